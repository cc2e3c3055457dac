"""What the leaderboard's page draws of a row: learning curves, the code as it forms, the rest."""

from __future__ import annotations

import math
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import ClassVar

import numpy as np

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.plugins.registry import Registry
from codonbench.records.store import Store
from codonbench.report.site.figures import Figures, Records, RowContent, row_id
from codonbench.report.site.scripts import Packed, unpack
from codonbench_datasets.human_codon.asked import serves
from codonbench_datasets.human_codon.page.pictures import (
    Axes,
    EmbeddingPicture,
    HeatMap,
    RowPicture,
    SeedPicture,
    reduce_axes,
    reduce_heat_map,
    reduce_seed,
)

RANKED_BY = "excess_pairs"
DECIPHERED_AT = "pairs_consumed"


class CodonFigures(Figures):
    """Figures of a task whose inputs are all asked about at each evaluation, as codons are."""

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

    def kept(self, old: RowContent, records: Records) -> RowPicture:
        """Return what of a row's pictures belongs to its records and agrees with them.

        What a picture says of a run can be held against its record in one point: when the run
        deciphered. The rest is as trustworthy as who committed it.
        """
        assert isinstance(old, RowPicture)
        axes, heat_map, embedding = old.axes, old.heat_map, old.embedding

        def fits(part: SeedPicture | HeatMap | EmbeddingPicture | None) -> bool:
            return part is not None and _is_of(part, records) and _is_whole(part, axes)

        return RowPicture(
            row=old.row,
            axes=axes,
            seeds=tuple(s for s in old.seeds if fits(s) and _agrees(s, axes, records[s.run_id])),
            heat_map=heat_map if fits(heat_map) else None,
            embedding=embedding if fits(embedding) else None,
        )

    def make(
        self, records: Records, store: Store, old: RowContent | None, *, anew: bool = False
    ) -> RowPicture | None:
        """Return the pictures of a row: what was kept, and what trajectories at hand add to it.

        Raises:
            StoreError: A trajectory is unreadable, or is not its record's.
        """
        assert old is None or isinstance(old, RowPicture)
        known = {seed.run_id: seed for seed in old.seeds} if old else {}
        seeds, axes = [], old.axes if old and known else None
        for run_id, record in records.items():
            seed = known.get(run_id)
            missing = seed is None or anew
            if missing and (trajectory := store.load_trajectory(record)) is not None:
                if not serves(trajectory):
                    return None
                seed, axes = reduce_seed(record, trajectory), axes or reduce_axes(trajectory)
            if seed is not None:
                seeds.append(seed)
        if axes is None:
            return None
        heat_map = old.heat_map if old else None
        wanted = _median_run([records[seed.run_id] for seed in seeds])
        if anew or not (heat_map and heat_map.run_id == wanted.run_id):
            trajectory = store.load_trajectory(wanted)
            heat_map = reduce_heat_map(wanted, trajectory) if trajectory else heat_map
        return RowPicture(
            row=row_id(next(iter(records.values()))),
            axes=axes,
            seeds=tuple(seeds),
            heat_map=heat_map,
            embedding=old.embedding if old else None,
        )

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


def _is_of(part: SeedPicture | HeatMap | EmbeddingPicture, records: Records) -> bool:
    """Return whether a picture was made from one of these runs, and from its trajectory."""
    record = records.get(part.run_id)
    made_from = (part.seed, part.trace_sha256)
    return record is not None and (record.seed, record.trajectory_sha256) == made_from


def _is_whole(part: SeedPicture | HeatMap | EmbeddingPicture, axes: Axes) -> bool:
    """Return whether arrays have the shapes, and indices the range, that the page relies on."""
    n_inputs, n_classes = len(axes.inputs), len(axes.classes)
    if isinstance(part, EmbeddingPicture):
        is_placed = len(part.xy) == len(part.labels) == n_inputs
        return is_placed and _are_below(n_classes, part.labels)
    if len(probes := part.pairs.shape) != 1:
        return False
    if isinstance(part, SeedPicture):
        curves = (part.pairs, part.right, part.stops_right, part.lowest)
        return (
            all(_is_array(curve, *probes) for curve in curves)
            and _is_array(part.p_stop, len(part.stops), *probes)
            and _is_array(part.first_right, n_inputs)
            and _is_array(part.right_since, n_inputs)
            and _are_below(n_inputs, part.stops)
        )
    return (
        _is_array(part.pairs, *probes)
        and _is_array(part.p, n_inputs, n_classes, *probes)
        and _is_array(part.right, n_inputs, *probes)
        and _is_array(part.redrawn, n_inputs, len(part.looks))
        and _are_below(probes[0], part.looks)
        and len(part.labels) == n_inputs
        and _are_below(n_classes, part.labels)
    )


def _is_array(packed: Packed, *shape: int) -> bool:
    """Return whether a packed array holds what it promises, and promises this shape."""
    try:
        return unpack(packed).shape == shape
    except StoreError:
        return False


def _are_below(limit: int, indices: tuple[int, ...]) -> bool:
    return all(0 <= index < limit for index in indices)


def _agrees(seed: SeedPicture, axes: Axes, record: RunRecord) -> bool:
    """Return whether a seed deciphers where its record does."""
    there = np.flatnonzero(unpack(seed.right) >= axes.needed)
    found = int(unpack(seed.pairs)[there[0]]) if len(there) else None
    unanswered = DECIPHERED_AT in record.not_measured
    return unanswered or found == record.metrics.get(DECIPHERED_AT, found)


def _median_run(records: list[RunRecord]) -> RunRecord:
    """Return the run at the (lower) median of what rows are ranked by; never is last."""

    def position(record: RunRecord) -> tuple[float, int]:
        value = record.metrics.get(RANKED_BY)
        return math.inf if value is None else float(value), record.seed

    return sorted(records, key=position)[(len(records) - 1) // 2]
