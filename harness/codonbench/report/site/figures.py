"""What a plugin draws of a row on the page: the contract, and the plugins that meet it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import ClassVar

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.plugins.registry import Registry
from codonbench.records.store import Store
from codonbench.scoring.score import row_key

Records = Mapping[str, RunRecord]
"""A row's records by run_id."""


def row_id(record: RunRecord) -> str:
    """Return the id of the row that a record counts in: a name for its file, and for links."""
    place = (record.comparability_key, record.machine.device_kind)
    return content_hash([*place, *row_key(record)])[:16]


class RowContent(Frozen):
    """What a row's file holds: base of what figures are drawn from, in full.

    Attributes:
        row: The row's id.
    """

    row: str


class Figures(ABC):
    """Figures of a row; the hook ``row_figures`` returns them.

    The last of `scripts` sets ``codonbench.figures.NAME`` to an object with

    - ``unpack(content)``: a promise of what ``draw`` is given, from a row file's content;
    - ``draw(body, content, table)``: fills the element `body`; returns ``{draw, stop}``, of which
      ``draw()`` is called when width or theme change, ``stop()`` when the row is closed;
    - ``learned(content)``, if it likes, of what ``unpack`` gave: ``{title, log, seeds}``, for each
      seed points ``{pairs, value}``, for a chart of a table's rows; `log` for the axis of pairs;
    - ``hints``: an explanation of a column by its metric's name; ``endings``: what ended a run by
      its stop rule; ``explain()``: an element that says how a table is to be read.

    Class attributes:
        name: Name of the object and of the folder of assets.
        scripts, styles: Files among the assets, in the order they are loaded.
        metrics: Metrics that the page gives of each seed, beside those that tables have columns of.
        Content: Content of a row's file.
    """

    name: ClassVar[str]
    scripts: ClassVar[tuple[str, ...]]
    styles: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]] = ()
    Content: ClassVar[type[RowContent]]

    @property
    @abstractmethod
    def assets(self) -> Traversable:
        """The folder of scripts and styles, as it lies in the plugin's package."""

    @abstractmethod
    def kept(self, old: RowContent, records: Records) -> RowContent:
        """Return what of a committed row belongs to its records and agrees with them.

        `old` is untrusted: what a script relies on has to be checked here.
        """

    @abstractmethod
    def make(
        self, records: Records, store: Store, old: RowContent | None, *, anew: bool
    ) -> RowContent | None:
        """Return a row's content: what was made before, and what trajectories at hand add to it.

        Args:
            records: The row's.
            store: Has their trajectories; None for none.
            old: What is kept of what was made before.
            anew: Make again what was made before, where the trajectory is at hand.

        Returns:
            None where there is nothing to draw of this row, or nothing to draw it from.

        Raises:
            StoreError: A trajectory is unreadable, or is not its record's.
        """

    def add_embedding(
        self,
        content: RowContent,
        records: Records,
        registry: Registry,
        cache: Path,
        data: str | None,
    ) -> RowContent:
        """Return `content` with what only a run made again can tell, for ``--embeddings``.

        Raises:
            UsageError: The run cannot be made again here.
        """
        return content
