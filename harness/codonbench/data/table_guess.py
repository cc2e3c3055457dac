"""What the columns of a table are, guessed by name and content where nobody says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from codonbench.contracts import MetricName, TaskOptions
from codonbench.contracts.task import DNA, PROTEIN, RNA, Ambiguous, TargetKind
from codonbench.data.table import AMBIGUOUS, TableFormat
from codonbench.data.table_files import ID_NAMES, MISSING, SPLIT_NAMES, TableFiles, is_number
from codonbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PROTEIN_AMBIGUOUS = "BJOUXZ*"
"""IUPAC's letters for residues that are not known, or none of the twenty, and a stop."""

SEQUENCE_NAMES = ("sequence", "seq", "sequences", "dna", "rna", "protein")
TARGET_NAMES = (
    *("label", "target", "class", "labels", "category", "y"),
    *("value", "expression", "activity", "score"),
)
GROUP_NAMES = ("group", "groups", "cluster", "family")
SPLIT_COLUMNS = ("split", "set", "partition", "subset", "fold")
"""What columns may be called, in either case, the likeliest first."""

MOST_CLASSES = 32
"""Whole numbers of more different values are quantities."""

_SAMPLE = 200
_BASES = 0.8  # of the letters, where the sequences are DNA or RNA
_SHORTEST = 8  # letters of a cell, in the middle, that is taken for a sequence by its content


class TableOptions(TaskOptions):
    """What decides how a table is read and judged; a field that is None is guessed.

    In a record every field is set, and empty text means that there is no such column.

    Attributes:
        made_of: Says that a record's task is a table of one's own.
        sequence: The column of sequences, or several; none for a table of features.
        features: The columns of numbers, or ``*`` for all that are nothing else.
        target: One column of classes or quantities, or several of labels or quantities.
        kind: ``classes``, ``labels`` or ``quantities``.
        classes: As they are written, in index order; where empty, those that are found.
        split, group, id: Columns.
        alphabet: The letters, in index order.
        unknown: Letters that are read as unknown; any other is an error.
        ambiguous: What becomes of unknown letters; with ``refuse`` they are errors, too.
        metric: What orders the rows of its table.
        direction: Which way of it is better.
    """

    made_of: Literal["table"] = "table"
    sequence: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    target: tuple[str, ...] | None = None
    kind: TargetKind | None = None
    classes: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    id: str | None = None
    alphabet: str | None = Field(default=None, min_length=1, max_length=200, pattern="^[!-~]+$")
    unknown: str | None = Field(default=None, max_length=200, pattern="^[!-~]*$")
    ambiguous: Ambiguous = "zeros"
    metric: MetricName | None = None
    direction: Literal["lower", "higher"] | None = None

    @field_validator("split", "group", "id", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        """Take a column whose name is a number."""
        return str(value) if isinstance(value, int | float) else value

    @field_validator("sequence", "features", "target", "classes", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """Take ``a,b`` for two names."""
        if isinstance(value, int | float):
            return (str(value),)
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("alphabet")
    @classmethod
    def _once(cls, value: str | None) -> str | None:
        if value is not None and len(set(value.upper())) < len(value):
            raise ValueError("a letter stands twice")
        return value

    def form(self, columns: Sequence[str]) -> TableFormat:
        """Return the format of a table, once nothing is left to guess.

        Args:
            columns: Those that there are.
        """
        taken = {*(self.target or ()), self.split, self.group, self.id}
        features = self.features or ()
        if features == ("*",):
            features = tuple(name for name in columns if name not in taken)
        several = self.sequence or ()
        return TableFormat(
            sequence=several[0] if len(several) == 1 else several,
            features=features,
            targets=self.target or (),
            kind=self.kind or "classes",
            classes=self.classes,
            alphabet=self.alphabet or "",
            ambiguous="" if self.ambiguous == "refuse" else self.unknown or "",
            split=self.split or None,
            group=self.group or None,
            id=self.id or None,
        )


def guess(files: TableFiles, given: TableOptions) -> TableOptions:
    """Return options with all that is None guessed from a table.

    Args:
        files: The table.
        given: What is known.

    Raises:
        DataError: The table cannot be read, or it is not clear which column is what.
    """
    return _Guess(files, given).options()


class _Guess:
    """Guesses from the first rows of a table; the kind of target from all of them.

    Args:
        files: The table.
        given: What is known.
    """

    def __init__(self, files: TableFiles, given: TableOptions) -> None:
        self._files = files
        self._given = given
        self._path = files.first
        self._columns = files.columns()
        if len(set(self._columns)) < len(self._columns):
            twice = next(name for name in self._columns if self._columns.count(name) > 1)
            raise DataError(f"{self._path}, line 1: more than one column {twice!r}; rename one")
        chunk = next(files.chunks(self._path, self._columns, rows=_SAMPLE), None)
        if chunk is None or not len(chunk.frame):
            raise DataError(f"{self._path}: a header and no rows; expected an item a line")
        self._chunk = chunk
        self._sample = chunk.frame[:_SAMPLE]

    def options(self) -> TableOptions:
        given = self._given
        found: dict[str, Any] = {}
        self._check_given()
        found["split"] = self._pick(given.split, self._split)
        found["group"] = self._pick(given.group, lambda: self._named(GROUP_NAMES))
        found["id"] = self._pick(given.id, lambda: self._named(ID_NAMES))
        targets = given.target or ()
        taken = {*targets, found["split"], found["group"], found["id"]}
        sequence = given.sequence
        if sequence is None:
            sequence = () if given.features else self._sequence(taken)
        found["sequence"] = sequence
        taken.update(sequence)
        found["target"] = targets = targets or self._target(taken, bool(sequence))
        if not sequence and not given.features and not {*self._columns} - taken - {*targets}:
            shown = ", ".join(name[:32] for name in self._columns[:12])
            raise DataError(
                f"{self._path}: no column of sequences or numbers among {shown}; name it, "
                "--task-set sequence=COLUMN, and separate cells by comma, tab or semicolon"
            )
        found["features"] = () if sequence else given.features or ("*",)
        found["kind"] = given.kind or self._kind(targets)
        if found["kind"] == "classes" and len(targets) > 1:
            raise DataError(
                f"{self._path}: {len(targets)} columns of classes, {', '.join(targets)}; expected "
                "one, or kind=labels, each 0 or 1"
            )
        alphabet = given.alphabet or (self._alphabet(sequence) if sequence else "A")
        usual = {DNA: AMBIGUOUS, RNA: AMBIGUOUS, PROTEIN: PROTEIN_AMBIGUOUS}.get(alphabet, "")
        found["alphabet"] = alphabet
        found["unknown"] = usual if given.unknown is None else given.unknown
        return given.model_copy(update=found)

    def _check_given(self) -> None:
        """Raise DataError where a column that is named is not there."""
        given = self._given
        several = [*(given.sequence or ()), *(given.target or ()), *(given.features or ())]
        for name in [*several, given.split, given.group, given.id]:
            if name and name != "*" and name not in self._columns:
                found = ", ".join(column[:32] for column in self._columns[:12])
                raise DataError(f"{self._path}: no column {name!r}; the columns are {found}")

    @staticmethod
    def _pick(given: str | None, guessed: Any) -> str:
        return given if given is not None else guessed()

    def _named(self, names: Sequence[str]) -> str:
        """Return the column called as the likeliest of some names; empty where none is."""
        lower = {column.lower(): column for column in self._columns}
        return next((lower[name] for name in names if name in lower), "")

    def _split(self) -> str:
        if self._files.by_split:
            return ""
        name = self._named(SPLIT_COLUMNS)
        cells = {cell.lower() for cell in self._sample[name]} if name else set()
        return name if cells & SPLIT_NAMES.keys() else ""  # another word is refused by its line

    def _sequence(self, taken: set[str]) -> tuple[str, ...]:
        """Return the column of sequences; none where there is none.

        Raises:
            DataError: There are several.
        """
        named = self._named(SEQUENCE_NAMES)
        if named and named not in taken:
            return (named,)
        found = [
            name for name in self._columns if name not in taken and _is_text(self._sample[name])
        ]
        if len(found) > 1:
            raise DataError(
                f"{self._path}: {len(found)} columns of sequences, {', '.join(found)}; name one, "
                f"--task-set sequence={found[-1]}, or all that are one item: "
                f"--task-set sequence={','.join(found)}"
            )
        return tuple(found)

    def _target(self, taken: set[str], of_sequences: bool) -> tuple[str, ...]:
        """Return the columns of targets.

        Raises:
            DataError: It is not clear which.
        """
        left = [name for name in self._columns if name not in taken]
        named = self._named(TARGET_NAMES)
        if named in left:
            return (named,)
        if of_sequences and len(left) == 1:
            return (left[0],)
        text = [n for n in left if not all(map(is_number, self._sample[n]))]
        if not of_sequences and len(text) == 1:
            return (text[0],)
        shown = ", ".join(name[:32] for name in left[:12]) or "no other column"
        raise DataError(
            f"{self._path}: not clear which column is the target: {shown}; name it: "
            "--task-set target=COLUMN, or several with commas"
        )

    def _kind(self, targets: Sequence[str]) -> TargetKind:
        """Return the kind of target, from all rows: text or few whole numbers are classes."""
        values: set[str] = set()
        for path in self._files.files.values():
            for chunk in self._files.chunks(path, targets):
                for name in targets:
                    values.update(chunk.frame[name].unique())
                numbers = values - {*MISSING}
                if not all(map(is_number, numbers)):
                    fractions = sum(is_number(cell) and float(cell) % 1 != 0 for cell in numbers)
                    if 2 * fractions > len(numbers):  # what is none among them is refused
                        return "quantities"
                    return "classes" if len(targets) == 1 else self._no_kind(targets)
                if any(float(cell) % 1 for cell in numbers) or len(numbers) > MOST_CLASSES:
                    return "quantities"
        if len(targets) == 1:
            return "classes"
        return (
            "labels"
            if {float(cell) for cell in values - {*MISSING}} <= {0.0, 1.0}
            else "quantities"
        )

    def _no_kind(self, targets: Sequence[str]) -> TargetKind:
        raise DataError(
            f"{self._path}: of several targets, {', '.join(targets)}, each must be a number; a "
            "class is one column"
        )

    def _alphabet(self, sequence: Sequence[str]) -> str:
        """Return the alphabet of the first sequences.

        Raises:
            DataError: It is none that is known.
        """
        counts = Counter(text for name in sequence for text in "".join(self._sample[name]).upper())
        bases = sum(counts[letter] for letter in "ACGTUN")
        if bases >= _BASES * counts.total():
            return RNA if counts["U"] > counts["T"] else DNA
        known = {*PROTEIN, *PROTEIN_AMBIGUOUS}
        for name in sequence:
            for row, text in enumerate(self._sample[name]):
                if odd := next((letter for letter in text if letter.upper() not in known), ""):
                    raise self._chunk.error(
                        row,
                        name,
                        repr(odd),
                        "DNA, RNA or protein; of other letters say which, --task-set "
                        "alphabet=LETTERS, and unknown=LETTERS for those that count as unknown",
                    )
        return PROTEIN


def _is_text(cells: pd.Series[Any]) -> bool:
    """Return whether the cells of a column look like sequences."""
    texts = cells.tolist()
    lengths = sorted(map(len, texts))
    known = {*PROTEIN, *PROTEIN_AMBIGUOUS}
    letters = all(
        re.fullmatch(r"[A-Za-z*]+", text) and set(text.upper()) <= known for text in texts
    )
    return bool(letters) and lengths[len(lengths) // 2] >= _SHORTEST
