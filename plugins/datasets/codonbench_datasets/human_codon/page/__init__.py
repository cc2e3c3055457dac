"""What the leaderboard's page draws of a row: learning curves, the code as it forms, the rest."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import ClassVar

from codonbench.plugins.registry import Registry
from codonbench.records.store import Store
from codonbench.report.site.figures import Figures, Records, RowContent
from codonbench_datasets.human_codon.page.pictures import RowPicture
from codonbench_datasets.human_codon.page.rows import kept_part, picture_row


class CodonFigures(Figures):
    """Figures of a task whose inputs are all asked about at each probe, as codons are."""

    name: ClassVar[str] = "codons"
    scripts: ClassVar[tuple[str, ...]] = (
        "curves.js",
        "heatmap.js",
        "codons.js",
        "embedding.js",
        "figures.js",
    )
    styles: ClassVar[tuple[str, ...]] = ("style.css",)
    metrics: ClassVar[tuple[str, ...]] = ("all_seen",)
    Content: ClassVar[type[RowContent]] = RowPicture

    @property
    def assets(self) -> Traversable:
        """The folder beside this file."""
        return files(__name__) / "assets"

    def kept(self, old: RowContent, records: Records) -> RowContent:
        """Return the seeds and pictures that fit; see `rows.kept_part`."""
        assert isinstance(old, RowPicture)
        return kept_part(old, records)

    def make(
        self, records: Records, store: Store, old: RowContent | None, *, anew: bool
    ) -> RowContent | None:
        """Return the pictures of a row; see `rows.picture_row`."""
        assert old is None or isinstance(old, RowPicture)
        return picture_row(records, store, old, anew=anew)

    def add_embedding(
        self,
        content: RowContent,
        records: Records,
        registry: Registry,
        cache: Path,
        data: str | None,
    ) -> RowContent:
        """Return the pictures with the embedding of the run whose heat map is shown."""
        # here, because it needs PyTorch, which the page itself does not
        from codonbench_datasets.human_codon.plots.embedding import draw_embedding, has_embedding

        assert isinstance(content, RowPicture)
        if content.embedding or not content.heat_map:
            return content
        record = records[content.heat_map.run_id]
        if not has_embedding(record, registry, content.axes.view(record.task)):
            return content
        is_file = record.run_spec.data not in registry.task(record.task).task.data_names
        drawn = draw_embedding(record, registry, cache, data if is_file else None)
        return content.model_copy(update={"embedding": drawn})
