"""Guess the role of a table's columns from their names and content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from codonbench.contracts import MetricName, TaskOptions
from codonbench.contracts.task import DNA, PROTEIN, RNA, Ambiguous, TargetKind
from codonbench.data.table import AMBIGUOUS, MISSING, TableFormat, is_number
from codonbench.data.table_files import ID_NAMES, TableFiles
from codonbench.data.table_formats import SPLIT_NAMES, kind_of, no_header
from codonbench.errors import DataError

PROTEIN_AMBIGUOUS = "BJOUXZ*"
"""IUPAC codes of ambiguous and rare residues, and of a stop."""

SEQUENCE_NAMES = ("sequence", "seq", "sequences", "dna", "rna", "protein")
TARGET_NAMES = (
    *("label", "target", "class", "labels", "category", "y"),
    *("value", "expression", "activity", "score"),
)
GROUP_NAMES = ("group", "groups", "cluster", "family")
WEIGHT_NAMES = ("weight", "weights", "sample_weight")
SPLIT_COLUMNS = ("split", "set", "partition", "subset", "fold")
"""Names of columns by role, most likely first; case is ignored."""

_KNOWN_NAMES = {
    *(*SEQUENCE_NAMES, *TARGET_NAMES, *GROUP_NAMES, *SPLIT_COLUMNS, *ID_NAMES, *WEIGHT_NAMES)
}

_Correlation = Annotated[float, Field(gt=0, lt=1)]
_Items = Annotated[int, Field(gt=3)]

_SAMPLE = 200
_BASES = 0.8  # least share of bases in letters for DNA or RNA
_MOST = 0.9  # least share of valid cells for a column of sequences with mistakes
_SHORTEST = 8  # least median length of cells for a column of sequences


class TableOptions(TaskOptions):
    """Options for reading and scoring a table; fields that are None are guessed.

    In a record all fields are set; empty text means that there is no such column.

    Attributes:
        made_of: Marks a record's task as a user's own table.
        sequence: Column of sequences, or several; empty for a table of features.
        features: Columns of numbers, or ``*`` for all columns without another role.
        target: One column of classes or quantities, or several of labels or quantities.
        kind: ``classes``, ``labels`` or ``quantities``; guessed from all rows.
        classes: Class names in index order; empty to use those found.
        split, group, id: Columns.
        weight: Column of training weights; guessed only for tables of sequences, because it could
            be a feature in others. Not recorded if there is none.
        alphabet: Letters in index order.
        unknown: Letters read as unknown; any other letter is an error.
        ambiguous: Encoding of unknown letters; with ``refuse`` they are errors.
        metric: Metric that orders the rows of the task's board.
        direction: Which direction of the metric is better.
        replicates: For one quantity that is the mean of two replicates: their correlation, of the
            metric's kind, and over how many items; gives the table's ceiling. Not recorded if
            there is none.
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
    weight: str | None = Field(default=None, exclude_if=lambda column: not column)
    alphabet: str | None = Field(default=None, min_length=1, max_length=200, pattern="^[!-~]+$")
    unknown: str | None = Field(default=None, max_length=200, pattern="^[!-~]*$")
    ambiguous: Ambiguous = "zeros"
    metric: MetricName | None = None
    direction: Literal["lower", "higher"] | None = None
    replicates: tuple[_Correlation, _Items] | None = Field(
        default=None, exclude_if=lambda replicates: replicates is None
    )

    @field_validator("split", "group", "id", "weight", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        """Accept a column whose name is a number."""
        return str(value) if isinstance(value, int | float) else value

    @field_validator("replicates", mode="before")
    @classmethod
    def _two(cls, value: Any) -> Any:  # after `_several`: pydantic calls the last of them first
        if isinstance(value, tuple | list) and len(value) != 2:
            raise ValueError("expected r,n: a correlation and over how many items, as in 0.85,400")
        return value

    @field_validator("sequence", "features", "target", "classes", "replicates", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """Read ``a,b`` as two names."""
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
        """Return the format of a table; of all options only the kind may still be None.

        Args:
            columns: Columns of the table.
        """
        taken = {*(self.target or ()), self.split, self.group, self.id, self.weight}
        features = self.features or ()
        if features == ("*",):
            features = tuple(name for name in columns if name not in taken)
        several = self.sequence or ()
        return TableFormat(
            sequence=several[0] if len(several) == 1 else several,
            features=features,
            targets=self.target or (),
            kind=self.kind,
            classes=self.classes,
            alphabet=self.alphabet or "",
            ambiguous="" if self.ambiguous == "refuse" else self.unknown or "",
            split=self.split or None,
            group=self.group or None,
            id=self.id or None,
            weight=self.weight or None,
        )


class Guess:
    """The roles of a table's columns, guessed from its first rows unless given.

    Args:
        files: The files of the table.
        given: Options given by the user.

    Attributes:
        columns: Columns of the table.
        doubt: Remark that the first line was taken as header although it may be a row; else empty.
        options: Complete options, except that the kind of target may be None.

    Raises:
        DataError: The table cannot be read, has no header, or the role of a column is not clear.
    """

    def __init__(self, files: TableFiles, given: TableOptions) -> None:
        self._files = files
        self._given = given
        self._path = files.first
        chunk = next(files.chunks(self._path, rows=_SAMPLE), None)
        if chunk is None:
            raise DataError(f"{self._path}: a header and no rows; expected one item per line")
        self._chunk = chunk
        self._sample = chunk.cells
        self.columns = tuple(self._sample)
        self.doubt = self._check_header()
        self.options = self._options()

    def _check_header(self) -> str:
        """Return a remark if the first line may not be a header; else empty text.

        Raises:
            DataError: The first line is a row.
        """
        named = {name for _, name in self._named_columns()}
        if kind_of(self._path) != "delimited" or named & {*self.columns}:
            return ""
        found = {_is_cell(name, cells) for name, cells in self._sample.items()}
        shown = ", ".join(name[:32] for name in self.columns[:6])
        if True in found and False not in found:
            raise DataError(no_header(self._chunk.head, self.columns))
        if False in found and True not in found:
            return ""
        return f"{self._chunk.head.rpartition(', ')[2]} as header: {shown}"

    def _options(self) -> TableOptions:
        given = self._given
        found: dict[str, Any] = {}
        self._check_named()
        found["split"] = self._split() if given.split is None else given.split
        found["id"] = self._named(ID_NAMES) if given.id is None else given.id
        targets = given.target or ()
        group = self._named(GROUP_NAMES) if given.group is None else given.group
        found["group"] = "" if given.group is None and group in targets else group
        taken = {*targets, found["split"], found["group"], found["id"]}
        sequence = given.sequence
        if sequence is None:
            sequence = () if given.features else self._sequence(taken)
        found["sequence"] = sequence
        taken.update(sequence)
        if (
            given.group is None
            and not targets
            and not {*self.columns} - taken - {self._named(WEIGHT_NAMES)}
        ):
            taken.discard(found["group"])  # the only column left is the target
            found["group"] = ""
        weight = self._named(WEIGHT_NAMES) if sequence else ""
        if given.weight is not None or weight in taken:
            weight = given.weight or ""
        found["weight"] = weight
        taken.add(weight)
        found["target"] = targets = targets or self._target(taken, bool(sequence))
        if not sequence and not given.features and not {*self.columns} - taken - {*targets}:
            shown = ", ".join(name[:32] for name in self.columns[:12])
            raise DataError(
                f"{self._chunk.head}: no column of sequences or numbers among {shown}; name it, "
                "--task-set sequence=COLUMN, and separate cells by comma, tab or semicolon"
            )
        if not sequence and not given.features:
            self._check_features({*self.columns} - taken - {*targets})
        found["features"] = () if sequence else given.features or ("*",)
        if given.kind == "classes" and len(targets) > 1:
            raise DataError(
                f"{self._chunk.head}: {len(targets)} columns of classes, {', '.join(targets)}; "
                "expected one, or kind=labels, each 0 or 1"
            )
        alphabet = given.alphabet or (self._alphabet(sequence) if sequence else "A")
        usual = {DNA: AMBIGUOUS, RNA: AMBIGUOUS, PROTEIN: PROTEIN_AMBIGUOUS}.get(alphabet, "")
        found["alphabet"] = alphabet
        found["unknown"] = usual if given.unknown is None else given.unknown
        return given.model_copy(update=found)

    def _named_columns(self) -> Iterator[tuple[str, str]]:
        """Yield the field and the name of each column that the user named."""
        for field in ("sequence", "features", "target", "split", "group", "id", "weight"):
            value = getattr(self._given, field) or ()
            yield from ((field, name) for name in ([value] if isinstance(value, str) else value))

    def _check_named(self) -> None:
        """Raise DataError if a column that the user named is missing."""
        known = {"*", *self.columns}
        for field, name in self._named_columns():
            if name not in known:
                found = ", ".join(column[:32] for column in self.columns[:12])
                one = f"; {field} takes one column" if "," in name else ""
                raise DataError(
                    f"{self._chunk.head}: no column {name!r}; the columns are {found}{one}"
                )

    def _check_features(self, names: Iterable[str]) -> None:
        """Raise DataError if a column is neither of numbers nor of known sequences."""
        for name in names:
            cells = self._sample[name]
            for row, cell in enumerate(cells):
                if is_number(cell) or (len(cell) < _SHORTEST and any(map(is_number, cells))):
                    continue  # the reader reports such cells
                raise self._chunk.error(
                    row,
                    name,
                    repr(cell[:32]) if cell else "nothing",
                    f"a number; where the column names the items say --task-set id={name}; where "
                    "it holds sequences of other letters than DNA, RNA or protein, --task-set "
                    f"sequence={name} --task-set alphabet=LETTERS",
                )

    def _named(self, names: Sequence[str]) -> str:
        """Return the column with the first of some names that exists; empty for none."""
        lower = {column.lower(): column for column in self.columns}
        return next((lower[name] for name in names if name in lower), "")

    def _split(self) -> str:
        if self._files.by_split:
            return ""
        name = self._named(SPLIT_COLUMNS)
        cells = {cell.lower() for cell in self._sample[name]} if name else set()
        if name.lower() == "split" and not cells & SPLIT_NAMES.keys():
            raise self._chunk.error(
                0,
                name,
                repr(self._sample[name][0][:32]),
                f"one of {', '.join(SPLIT_NAMES)}; to leave the column out say --task-set split=",
            )
        return name if cells & SPLIT_NAMES.keys() else ""  # the reader reports other words

    def _sequence(self, taken: set[str]) -> tuple[str, ...]:
        """Return the column of sequences; empty if there is none.

        Raises:
            DataError: There are several.
        """
        named = self._named(SEQUENCE_NAMES)
        if named and named not in taken:
            return (named,)
        own = {*(self._given.alphabet or ""), *(self._given.unknown or "")}
        left = [name for name in self.columns if name not in taken]
        found = [name for name in left if _is_text(self._sample[name], own)]
        if not found:  # the reader then reports the invalid cell
            found = [name for name in left if _is_mostly_text(self._sample[name], own)]
        if len(found) > 1:
            raise DataError(
                f"{self._chunk.head}: {len(found)} columns of sequences, {', '.join(found)}; name "
                f"one, --task-set sequence={found[-1]}, or all that are one item: "
                f"--task-set sequence={','.join(found)}"
            )
        return tuple(found)

    def _target(self, taken: set[str], of_sequences: bool) -> tuple[str, ...]:
        """Return the columns of targets.

        Raises:
            DataError: They are not clear.
        """
        left = [name for name in self.columns if name not in taken]
        named = self._named(TARGET_NAMES)
        if named in left:
            return (named,)
        left = [name for name in left if name.lower() not in GROUP_NAMES] or left
        if of_sequences and len(left) == 1:
            return (left[0],)
        text = [n for n in left if not all(map(is_number, self._sample[n]))]
        if not of_sequences and len(text) == 1:
            return (text[0],)
        shown = ", ".join(name[:32] for name in left[:12]) or "no other column"
        raise DataError(
            f"{self._chunk.head}: not clear which column is the target: {shown}; name it: "
            "--task-set target=COLUMN, or several with commas"
        )

    def _alphabet(self, sequence: Sequence[str]) -> str:
        """Return the alphabet of the first sequences.

        Raises:
            DataError: It is unknown.
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


def _is_text(cells: Sequence[str], own: set[str]) -> bool:
    """Return whether the cells of a column look like sequences, of the letters `own` if given."""
    lengths = sorted(map(len, cells))
    fit = {*"".join(cells)} <= own if own else _letters(cells) is not None
    return fit and lengths[len(lengths) // 2] >= _SHORTEST


def _is_mostly_text(cells: Sequence[str], own: set[str]) -> bool:
    """Return whether most cells of a column look like sequences of nucleotides or of `own`."""
    known = own or {*DNA, "U", *AMBIGUOUS}
    fit = [cell for cell in cells if cell and {*(cell if own else cell.upper())} <= known]
    return len(fit) >= _MOST * len(cells) and _is_text(fit, own)


def _letters(cells: Sequence[str]) -> set[str] | None:
    """Return the letters allowed in such cells, of nucleotides or residues; None for others."""
    found = {*"".join(cells).upper()}
    for known in ({*DNA, "U", *AMBIGUOUS}, {*PROTEIN, *PROTEIN_AMBIGUOUS}):
        if found <= known and all(cells):
            return known
    return None


def _is_cell(name: str, cells: Sequence[str]) -> bool | None:
    """Return whether a column's entry in the first line is a cell; None if it is not clear.

    Args:
        name: The entry.
        cells: The cells below.
    """
    below = [cell for cell in cells if cell not in MISSING]
    if name in MISSING or not below:
        return None
    if name in below:
        return True
    if name.lower() in _KNOWN_NAMES:
        return False
    if all(map(is_number, below)):
        return is_number(name)
    letters, lengths = _letters(below), {*map(len, below)}
    if letters is None or 2 * len({*below}) < len(below):  # recurring words, not sequences
        return None
    if not {*name.upper()} <= letters:
        return False
    return True if min(lengths) <= len(name) <= max(lengths) else None
