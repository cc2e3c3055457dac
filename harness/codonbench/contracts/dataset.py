"""The data of a task: items as packed bytes, their targets, and splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from codonbench.contracts.base import Frozen, Name
from codonbench.contracts.task import Input, TaskSpec
from codonbench.errors import PluginError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]
"""Class ids (N,) int64; or labels or quantities (N, K) float32, NaN where one is missing."""

UNKNOWN = 255
"""The index of a letter that the alphabet lacks, such as N; see `Input.ambiguous`."""

_BASES = frozenset("ACGTURYSWKMBDHVN")
_AT_ONCE = 1 << 22  # letters looked at in one go, so that no second array of all of them is made


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of any lengths, one byte a letter, end to end.

    Attributes:
        letters: Index of each letter in the alphabet, or `UNKNOWN`; shape (letters in all,).
        offsets: Where each sequence begins, and the end; shape (N + 1,).
    """

    letters: npt.NDArray[np.uint8]
    offsets: IntArray

    @classmethod
    def of(cls, texts: Sequence[str], alphabet: str) -> Self:
        """Return sequences given as text; see `letter_table`."""
        table = letter_table(alphabet)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        packed = np.frombuffer("".join(texts).encode("latin-1", "replace"), dtype=np.uint8)
        return cls(table[packed], offsets)

    @classmethod
    def of_rows(cls, rows: npt.ArrayLike) -> Self:
        """Return sequences of one length, given as letter indices (N, length)."""
        letters = np.asarray(rows, dtype=np.uint8)
        return cls(letters.reshape(-1), np.arange(len(letters) + 1) * letters.shape[1])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Letters in each sequence, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def parts(self) -> tuple[Sequences, ...]:
        """These alone, as each item is one sequence; see `SequenceTuples`."""
        return (self,)

    def rows(self) -> npt.NDArray[np.uint8]:
        """Return letter indices (N, length) of sequences that all have one length."""
        return self.letters.reshape(len(self), -1)

    def take(self, index: IntArray) -> Sequences:
        """Return some of the sequences, in the order of `index`."""
        offsets = np.zeros(len(index) + 1, dtype=np.int64)
        np.cumsum(self.lengths[index], out=offsets[1:])
        ends = zip(self.offsets[index].tolist(), self.offsets[index + 1].tolist(), strict=True)
        parts = [self.letters[start:end] for start, end in ends]
        return Sequences(np.concatenate([self.letters[:0], *parts]), offsets)

    def text(self, alphabet: str) -> list[str]:
        """Return the sequences as text; ``N``, or ``X`` where that is a letter, for an unknown."""
        unknown = next(letter for letter in "NX?" if letter not in alphabet)
        table = np.full(256, ord(unknown), dtype=np.uint8)
        table[: len(alphabet)] = np.frombuffer(alphabet.encode(), dtype=np.uint8)
        whole = table[self.letters].tobytes().decode("latin-1")
        ends = self.offsets.tolist()
        return [whole[a:b] for a, b in pairwise(ends)]


def letter_table(alphabet: str) -> npt.NDArray[np.uint8]:
    """Return the letter index of each byte of text, shape (256,), `UNKNOWN` for other letters.

    Case does not matter, nor whether T or U is written where only one of them is a letter and all
    letters are bases.
    """
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    for index, letter in enumerate(alphabet):
        same = {letter, letter.lower(), letter.upper()}
        if letter in "TU" and not set("TU") <= set(alphabet) and set(alphabet) <= _BASES:
            same |= set("TUtu")
        for each in same:
            table[ord(each)] = index
    return table


@dataclass(frozen=True, eq=False)
class SequenceTuples:
    """Items that are several sequences each, such as a miRNA and its target.

    Attributes:
        parts: First sequences of all items, then second ones, and so on, each N of them.
    """

    parts: tuple[Sequences, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def lengths(self) -> IntArray:
        """Letters in each item, in all its sequences, shape (N,)."""
        whole: IntArray = np.stack([part.lengths for part in self.parts]).sum(axis=0)
        return whole

    def take(self, index: IntArray) -> SequenceTuples:
        """Return some of the items, in the order of `index`."""
        return SequenceTuples(tuple(part.take(index) for part in self.parts))


@dataclass(frozen=True, eq=False)
class Features:
    """Items that are vectors of numbers, such as expression levels.

    Attributes:
        values: Shape (N, F), float32.
    """

    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: IntArray) -> Features:
        """Return some of the items, in the order of `index`."""
        return Features(self.values[index])


Items = Sequences | SequenceTuples | Features


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test items, as indices; an item may occur twice.

    Attributes:
        train: Training examples, in drawn order, shape (n,).
        validation: Items that select the state to be tested, shape (v,).
        test: Items that are tested once, shape (t,).
    """

    train: IntArray
    validation: IntArray
    test: IntArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items, their targets, and how one seed divides them.

    Attributes:
        spec: The task these data serve.
        source: Short name for records and tables; never a path: ``usage``, ``human_cds.fa.gz``.
        checksum: SHA-256 (hex) of the content that decides the stream, not of the file.
        simulated: True where items were generated rather than observed.
        items: N of them.
        targets: The target of each, as `spec.target` says.
        evaluation: Index of each item of ``spec.evaluation``, in its order, shape (P,); empty
            where the task has no such set.
        splits: Items of ``train``, ``validation`` and ``test``, where they are fixed.
        ids: Names of the items, shape (N,); their numbers where it is empty.
        groups: Items of one group never cross splits, shape (N,); None where there are none.
        weights: Weight of each item in the training loss, from 0 up, shape (N,); None if all are
            equal. Not used in validation and test.
        origins: The origin of each item, as numbers (N,), by the kind of origin: ``organism``. Used
            only by the audit of the data, which checks whether a class is one of them.
        frequencies: Probability of each item of the evaluation set in one draw, shape (P,).
        report: Lines on what was found and curated, for the user.
        provenance: Facts worth keeping in the record: file checksum, release, counts.
        place: Returns the place of an item, by its index: ``mine.csv, line 7``; None if unknown.

    Raises:
        PluginError: The arrays do not fit one another or the spec.
    """

    spec: TaskSpec
    source: str
    checksum: str
    simulated: bool
    items: Items
    targets: Targets
    evaluation: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    splits: Mapping[str, IntArray] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    groups: IntArray | None = None
    weights: FloatArray | None = None
    origins: Mapping[str, IntArray] = field(default_factory=dict)
    frequencies: npt.NDArray[np.float64] | None = None
    report: tuple[str, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    place: Callable[[int], str] | None = None

    def __post_init__(self) -> None:
        wrong = self._wrong_items() or self._wrong_targets() or self._wrong_evaluation()
        if wrong is not None:
            raise PluginError(f"task {self.spec.name!r}, data {self.source!r}: {wrong}")

    def _wrong_items(self) -> str | None:
        spec, items = self.spec.input, self.items
        if isinstance(items, Features):
            expected = spec.max_length
            if spec.kind != "features" or items.values.ndim != 2:
                return f"items are features, but the task's input is {spec.kind!r}"
            if items.values.shape[1] != expected:
                return f"items have {items.values.shape[1]} features, expected {expected}"
            return None
        parts = items.parts
        if len(parts) != len(spec.sequences):
            many = "one sequence" if len(parts) == 1 else f"{len(parts)} sequences"
            return f"items are {many} each, but the task's input is {spec.kind!r}"
        if any(len(part) != len(items) for part in parts):
            return f"there are {[len(part) for part in parts]} sequences; expected as many of each"
        wrong = (_wrong_sequences(*each) for each in zip(parts, spec.sequences, strict=True))
        return next((each for each in wrong if each is not None), None)

    def _wrong_targets(self) -> str | None:
        target, found = self.spec.target, self.targets
        n = len(self.items)
        shape = (n,) if target.kind == "classes" else (n, len(target.names))
        if found.shape != shape:
            return f"targets {found.shape} should be {shape}"
        if target.kind == "classes" and found.dtype.kind not in "iu":
            return f"targets are {found.dtype}, expected class ids, int64"
        if target.kind == "classes" and not np.isin(found, np.arange(len(target.names))).all():
            return f"targets must be class ids 0..{len(target.names) - 1}"
        for name, index in self.splits.items():
            if name not in ("train", "validation", "test"):
                return f"a split is called {name!r}; expected train, validation or test"
            if len(index) and not 0 <= index.min() <= index.max() < n:
                return f"split {name!r} names items outside 0..{n - 1}"
        weights = self.weights
        if weights is not None and (weights.shape != (n,) or not (weights >= 0).all()):
            return f"weights {weights.shape} should be ({n},), each from 0 up"
        return None

    def _wrong_evaluation(self) -> str | None:
        evaluation, index = self.spec.evaluation, self.evaluation
        expected = 0 if evaluation is None else len(evaluation.inputs)
        if index.shape != (expected,):
            return f"evaluation {index.shape} should be ({expected},)"
        if evaluation is not None and tuple(self.targets[index].tolist()) != evaluation.targets:
            return "targets[evaluation] differs from the spec's evaluation.targets"
        if self.spec.input.enumerable and sorted(index.tolist()) != list(range(len(self.items))):
            return (
                "the spec's input is enumerable, so evaluation must hold each of "
                f"{len(self.items)} items once"
            )
        return None

    def split(self, rng: np.random.Generator) -> Split:
        """Return one seed's split: the fixed one, unless a subclass draws.

        Args:
            rng: The seed's own generator, the only allowed source of randomness.
        """
        empty = np.zeros(0, dtype=np.int64)
        return Split(*(self.splits.get(name, empty) for name in ("train", "validation", "test")))

    def for_run(self, rng: np.random.Generator) -> Self:
        """Return the data of one run: these, unless a control changes them.

        A control may give each run its own targets. It may change `targets` and, in `spec`, what
        follows from them, but not what `split` returns, so that its streams are the task's.

        Args:
            rng: From the spec's salt and seed: what a control does is as secret as the salt.
        """
        return self


def _wrong_sequences(items: Sequences, spec: Input) -> str | None:
    lengths, size = items.lengths, len(spec.alphabet)
    if len(items) and not spec.min_length <= lengths.min() <= lengths.max() <= spec.max_length:
        return (
            f"items have {lengths.min()} to {lengths.max()} letters, "
            f"expected {spec.min_length} to {spec.max_length}"
        )
    for start in range(0, len(items.letters), _AT_ONCE):
        part = items.letters[start : start + _AT_ONCE]
        if part.max() < size:
            continue
        if (part[part >= size] != UNKNOWN).any():
            return f"items must hold letter indices 0..{size - 1} or {UNKNOWN}"
        if spec.ambiguous == "refuse":
            at = start + int(np.argmax(part >= size))
            item = int(np.searchsorted(items.offsets, at, side="right")) - 1
            return (
                f"{spec.unit} {item + 1} holds a letter beside {spec.alphabet}, which the "
                "task's input refuses; leave it out, or set ambiguous to 'zeros' or 'channel'"
            )
    return None


class DataSource(Frozen):
    """A named download that a task can use: what it is, where it is from, and its checksum.

    Attributes:
        name: Name in ``--data NAME`` and ``bench data fetch NAME``.
        summary: One line.
        url: Address of the file.
        filename: File name in the cache folder.
        git_blob: SHA-1 that git gives the content, if that is its checksum.
        sha256: SHA-256 of the content, if known; if neither is, the sum of the first download is
            kept beside the file and required from then on.
        tested: False where the download has never been tried against the real server.
        terms: Restrictions of its licence that must be agreed to before download: ``academic,
            non-commercial use only``; empty if there are none.
        package: ``name==version`` of a Python package whose wheel it is, which pip downloads; empty
            for what is fetched from `url`.
        files: If it is a folder, its files; `url` and `filename` are then the folder's, and the
            files' names are below it.
    """

    name: Name
    summary: str
    url: str
    filename: str
    git_blob: str | None = None
    sha256: str | None = None
    tested: bool = True
    terms: str = ""
    package: str = ""
    files: tuple[DataSource, ...] = ()

    @classmethod
    def of_folder(
        cls,
        name: str,
        summary: str,
        url: str,
        files: Mapping[str, str | None],
        kept_as: Mapping[str, str] | None = None,
        *,
        terms: str = "",
    ) -> Self:
        """Return a download, not tested, of files below one address.

        Args:
            name: Name of the source.
            summary: One line.
            url: Address of the folder.
            files: The SHA-256 of each file by its path there, None where only its content is known.
            kept_as: The names under which files are kept here, where those differ from the paths.
            terms: As in the class.
        """
        names = {file: file for file in files} | dict(kept_as or {})
        parts = tuple(
            cls(
                name=name,
                summary=f"{file.split('.')[0]} of {name}",
                url=f"{url}/{quote(file)}",
                filename=names[file],
                sha256=sha256,
                tested=False,
                terms=terms,
            )
            for file, sha256 in files.items()
        )
        return cls(
            name=name,
            summary=summary,
            url=url,
            filename=name,
            tested=False,
            terms=terms,
            files=parts,
        )
