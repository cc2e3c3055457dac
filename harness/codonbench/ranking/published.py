"""What others published of a task, to be read beside a board's own rows and never among them.

    [table]
    source = "Zhou et al., DNABERT-2, ICLR 2024, arXiv 2306.15006"
    place = "table 4"
    split = "the benchmark's own"
    comparable = "the same test items; models were pretrained, and chosen by their authors"

    [[figure]]
    task = "gue-tf-0"
    metric = "mcc"
    model = "DNABERT-2"
    value = 0.7199

A package that an entry point of the group ``codonbench`` names ships such TOML files in its folder
``published``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from codonbench.contracts import Frozen, MetricName, Name
from codonbench.contracts.run_spec import configure
from codonbench.errors import ConfigError
from codonbench.plugins.shipped_files import read_tables, shipped_files

KIND = "published table"


class Source(Frozen):
    """Where figures were read.

    Attributes:
        source: The publication.
        place: Its page or table.
        split: Split they were measured on.
        comparable: How far they are comparable with a board's rows.
    """

    source: str
    place: str
    split: str
    comparable: str


class Figure(Frozen):
    """One published figure.

    Attributes:
        task: The task whose data it was measured on.
        metric: As this project names it.
        model: As the publication names it.
        value: The figure.
    """

    task: Name
    metric: MetricName
    model: str
    value: float


class Published(Frozen):
    """Figures of one task from one publication.

    Attributes:
        source: Their source.
        figures: In the order of the publication.
    """

    source: Source
    figures: tuple[Figure, ...] = Field(min_length=1)

    def says(self, note: str) -> bool:
        """Return whether a task's note is of these figures alone, and need not be read twice."""
        named = (any(f"{f.value:.{d}f}" in note for d in (2, 3, 4)) for f in self.figures)
        return note.startswith("Published") and all(named)


def read_published(path: Path) -> dict[str, Published]:
    """Return the figures of a file, by task.

    Raises:
        ConfigError: Names the file, the table and the field that is wrong.
        StoreError: It cannot be read.
    """
    tables = read_tables(path, KIND)
    owner = f"{KIND} {path}"
    if set(tables) != {"table", "figure"}:
        raise ConfigError(f"{owner}: it has {sorted(tables)}; expected [table] and [[figure]]")
    source = configure(Source, _dict(tables["table"], f"{owner}, [table]"), {}, f"{owner}, [table]")
    found: dict[str, list[Figure]] = {}
    for i, table in enumerate(tables["figure"], 1):
        named = f"{owner}, [[figure]] {i}"
        figure = configure(Figure, _dict(table, named), {}, named)
        found.setdefault(figure.task, []).append(figure)
    return {task: Published(source=source, figures=tuple(own)) for task, own in found.items()}


def _dict(table: Any, owner: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(f"{owner}: got {table!r}; expected a table")
    return table


def shipped_published(paths: Iterable[Path] | None = None) -> dict[str, tuple[Published, ...]]:
    """Return what installed packages ship, by task.

    Raises:
        ConfigError: A file is wrong.
        StoreError: A file cannot be read.
    """
    found: dict[str, tuple[Published, ...]] = {}
    for path in shipped_files("published", KIND).values() if paths is None else paths:
        for task, own in read_published(path).items():
            found[task] = (*found.get(task, ()), own)
    return found
