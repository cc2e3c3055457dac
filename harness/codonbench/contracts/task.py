"""What a task is: inputs, classes, a probe set, and a source of training pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from codonbench.contracts.base import Frozen, MetricName, Name, Version
from codonbench.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord

IntArray = npt.NDArray[np.int64]


class TaskView(Frozen):
    """What a model may know of a task: shapes and names of inputs, never a label's meaning.

    Attributes:
        task: The task's name.
        unit: What one input is called: ``codon``.
        symbol: What one letter of an input is called: ``nucleotide``.
        alphabet: The letters, in index order: ``UCAG``.
        length: Letters in one input.
        n_inputs: How many distinct inputs there are; None where they cannot be enumerated.
        n_classes: How many classes there are.
    """

    task: Name
    unit: Name
    symbol: Name
    alphabet: str
    length: int = Field(ge=1)
    n_inputs: int | None = Field(ge=1)
    n_classes: int = Field(ge=2)


class TaskSpec(Frozen):
    """A task in full: what is asked, what is right, and how it is scored.

    Attributes:
        name, version, title: Identity; the version changes whenever a score could.
        unit, symbol, alphabet, length: The input, as in `TaskView`.
        classes: Class names in true class order: ``("A", ..., "*")``.
        enumerable: True where the probe set holds every possible input.
        probe_inputs: The probe set as text, shape (P,).
        probe_labels: The true class of each probe input, shape (P,).
        groups: Named subsets of the probe set, as probe indices: ``{"stop": (10, 11, 14)}``.
        class_weights: Loss weight of each true class (C,), for models that ask for weighting;
            None where the task has none. Using them counts as knowledge.
        target_accuracy: Share of the probe set that must be right to count as deciphered.
        test_size, train_size: Pairs held out and pairs in one epoch, for each seed.
        default_epochs: The budget when none is given.
        instrument_batches: Batches of each epoch after which the reference publication
            looked at the model (the frames of its instrument); empty where there is none.
        notes: What a reader of the leaderboard must know about this task's data.
        reference: Where the task comes from.
    """

    name: Name
    version: Version
    title: str
    unit: Name
    symbol: Name
    alphabet: str
    length: int = Field(ge=1)
    classes: tuple[str, ...] = Field(min_length=2)
    enumerable: bool
    probe_inputs: tuple[str, ...] = Field(min_length=1)
    probe_labels: tuple[int, ...]
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    class_weights: tuple[float, ...] | None = None
    target_accuracy: float = Field(default=1.0, gt=0, le=1)
    train_size: int = Field(ge=1)
    test_size: int = Field(ge=0)
    default_epochs: int = Field(default=40, ge=1)
    instrument_batches: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    reference: str = ""

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        n_probes, n_classes = len(self.probe_inputs), len(self.classes)
        if self.unit == self.symbol:
            raise ValueError(f"unit and symbol are both {self.unit!r}; encodings need two words")
        if len(self.probe_labels) != n_probes:
            raise ValueError(f"{len(self.probe_labels)} probe labels for {n_probes} probe inputs")
        if not all(0 <= label < n_classes for label in self.probe_labels):
            raise ValueError(f"probe labels must lie in 0..{n_classes - 1}")
        if self.class_weights is not None and len(self.class_weights) != n_classes:
            raise ValueError(f"{len(self.class_weights)} class weights for {n_classes} classes")
        for group, members in self.groups.items():
            if not all(0 <= member < n_probes for member in members):
                raise ValueError(f"group {group!r} names a probe outside 0..{n_probes - 1}")
        return self

    def view(self) -> TaskView:
        """Return what a model may know of this task."""
        return TaskView(
            task=self.name,
            unit=self.unit,
            symbol=self.symbol,
            alphabet=self.alphabet,
            length=self.length,
            n_inputs=len(self.probe_inputs) if self.enumerable else None,
            n_classes=len(self.classes),
        )


@dataclass(frozen=True)
class Dataset:
    """Sequences made ready: every distinct input, its class, and a way to draw pairs.

    A pair is an index into `inputs`; its label is ``labels[index]``. Subclasses, or the
    task that makes one, supply `draw`.

    Attributes:
        spec: The task these data serve.
        source: Short name for records and tables; never a path: ``usage``, ``human_cds.fa.gz``.
        checksum: SHA-256 (hex) of the content that decides the stream, not of the file.
        simulated: True where sequences were generated rather than observed.
        inputs: Letter indices of each input, shape (N, length).
        labels: True class of each input, shape (N,).
        probe: Index into `inputs` of each probe input, shape (P,), in the spec's order.
        frequencies: Probability of each probe input in one draw, shape (P,); None if unknown.
        report: One line per curation reason, for the person who runs it.
        provenance: Facts worth keeping in the record: file checksum, release, counts.

    Raises:
        PluginError: The arrays do not fit one another or the spec.
    """

    spec: TaskSpec
    source: str
    checksum: str
    simulated: bool
    inputs: IntArray
    labels: IntArray
    probe: IntArray
    frequencies: npt.NDArray[np.float64] | None = None
    report: tuple[str, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec, n_inputs = self.spec, len(self.inputs)
        wrong = None
        if self.inputs.shape != (n_inputs, spec.length) or self.labels.shape != (n_inputs,):
            wrong = (
                f"inputs {self.inputs.shape} and labels {self.labels.shape} should be "
                f"(N, {spec.length}) and (N,)"
            )
        elif not np.isin(self.inputs, np.arange(len(spec.alphabet))).all():
            wrong = f"inputs must hold letter indices 0..{len(spec.alphabet) - 1}"
        elif self.probe.shape != (len(spec.probe_inputs),):
            wrong = f"probe {self.probe.shape} should be ({len(spec.probe_inputs)},)"
        elif tuple(self.labels[self.probe].tolist()) != spec.probe_labels:
            wrong = "labels[probe] differs from the spec's probe_labels"
        elif spec.enumerable and sorted(self.probe.tolist()) != list(range(n_inputs)):
            wrong = f"the spec is enumerable, so probe must hold each of {n_inputs} inputs once"
        if wrong is not None:
            raise PluginError(f"task {spec.name!r}, data {self.source!r}: {wrong}")

    def draw(self, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw one seed's pairs.

        Args:
            rng: The seed's own generator; nothing else may be a source of chance.

        Returns:
            Training pairs (train_size,) and held-out pairs (test_size,), as input indices.
        """
        raise TypeError(f"{type(self).__name__} does not define draw()")

    def for_run(self, rng: np.random.Generator) -> Self:
        """Return these data as one run is asked about them: themselves, but for a control.

        A control may give each run labels of its own. It may change `labels` and, in `spec`,
        what follows from them; never what `draw` gives, so that its streams are the task's.

        Args:
            rng: From the spec's salt and seed: what a control does is as secret as the salt.
        """
        return self


@dataclass(frozen=True)
class DataSource:
    """A named download that a task can use: what it is, where from, and how it is known.

    Attributes:
        name: As in ``--data NAME`` and ``bench data fetch NAME``.
        summary: One line.
        url: Where it comes from.
        filename: Its name in the cache folder.
        git_blob: SHA-1 that git gives the content, where that is how it is known.
        sha256: SHA-256 of the content, where that is known; where neither is, the sum seen
            on first download is kept beside the file and held from then on.
        tested: False where the download has never been tried against the real server.
    """

    name: Name
    summary: str
    url: str
    filename: str
    git_blob: str | None = None
    sha256: str | None = None
    tested: bool = True


class Column(Frozen):
    """A column of a task's table.

    Attributes:
        metric: What it shows, over a row's seeds.
        title: Its heading.
        statistic: ``censored_median``: null means never, and counts as longer than any.
            ``mean``: over the seeds that have a value.
        counts: True where null means that there is nothing to count, not "never".
    """

    metric: MetricName
    title: str
    statistic: Literal["censored_median", "mean"] = "censored_median"
    counts: bool = False


class Ranking(Frozen):
    """How the rows of a task's table are ordered, and what they show.

    Attributes:
        metric: The primary one.
        direction: Which way of it is better.
        columns: The table's, the primary one among them.
        tie_breakers: Metrics among the columns that order rows of equal primary value; lower is
            better, as in first-passage positions.
        success: A metric that is null where a run did not succeed; None where every run does.
        restricted_mean: A metric whose mean up to the budget is shown; None for none.
        versions_of: Metrics whose versions decide who is comparable with whom; the columns'
            where it is empty. Others may come and go without dividing a table.
    """

    metric: MetricName
    direction: Literal["lower", "higher"]
    columns: tuple[Column, ...] = Field(min_length=1)
    tie_breakers: tuple[MetricName, ...] = ()
    success: MetricName | None = None
    restricted_mean: MetricName | None = None
    versions_of: tuple[MetricName, ...] = ()

    @property
    def key_metrics(self) -> tuple[str, ...]:
        """Names of the metrics whose versions are part of a table's key."""
        return self.versions_of or tuple(column.metric for column in self.columns)


class TaskOptions(Frozen):
    """Base of a task's options, set with ``--task-set field=value``."""


class Task(ABC):
    """A task plugin.

    Class attributes:
        name, version, title: As in `TaskSpec`.
        ranking: How its rows are ordered, and what they show.
        default: True for the task that is meant where none is named; one may be.
        Options: The options a user may set.
        default_data: What ``--data`` means when it is not given.
        data_names: The data sources known by name, each with a line of explanation; anything
            else given to ``--data`` is a path.
        sources: Those of them that are downloads.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    ranking: ClassVar[Ranking]
    default: ClassVar[bool] = False
    Options: ClassVar[type[TaskOptions]] = TaskOptions
    default_data: ClassVar[str]
    data_names: ClassVar[Mapping[str, str]] = {}
    sources: ClassVar[tuple[DataSource, ...]] = ()

    @abstractmethod
    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Load, curate and check the data.

        Args:
            data: A name from `data_names` or a path.
            options: A validated instance of `Options`.
            cache: A folder this may read and write; it may not exist yet.
            offline: True forbids any network access.

        Returns:
            The dataset, its spec included.

        Raises:
            DataError: The data are missing, unreadable or unusable; says what to do next.
            DownloadError: A download failed or did not verify.
        """

    def remarks(self, record: RunRecord) -> tuple[tuple[str, str], ...]:
        """Return what a record of this task cannot say, as field and sentence.

        Beyond what holds for every task's records; checked without repeating the run.
        """
        return ()

    def flags(self, metrics: Mapping[str, float | int | bool | None]) -> tuple[str, ...]:
        """Return what a reader must be told about a run's figures."""
        return ()

    def row_notes(self, records: tuple[RunRecord, ...]) -> tuple[str, ...]:
        """Return what a reader must be told about a row, from its records, one a seed."""
        return ()

    def fetch(
        self,
        name: str,
        *,
        cache: Path,
        offline: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Path:
        """Download the source called `name` into `cache`, verified; return the file.

        Args:
            name: One of `sources`.
            cache: Where files are kept.
            offline: True forbids any network access: only what is there already will do.
            progress: Called with bytes so far and bytes in all (None where unknown).

        Raises:
            DownloadError: No network, a failed or truncated transfer, or a wrong checksum.
        """
        raise UnknownNameError(f"task {self.name!r} has no download called {name!r}")

    def verify(self, name: str, *, cache: Path) -> tuple[bool, str]:
        """Return whether the cached file of source `name` is sound, and a sentence on it."""
        raise UnknownNameError(f"task {self.name!r} has no download called {name!r}")

    def status(self, name: str, *, cache: Path) -> str:
        """Return what is in the cache for source `name`: ``absent`` or ``97.1 MB``."""
        raise UnknownNameError(f"task {self.name!r} has no download called {name!r}")
