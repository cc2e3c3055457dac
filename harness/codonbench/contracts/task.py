"""What a task is: its input, its target, its protocol, and how its rows are ranked."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from codonbench.contracts.base import Frozen, MetricName, Name, Version
from codonbench.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from codonbench.contracts.dataset import Dataset, DataSource
    from codonbench.contracts.run_record import RunRecord

InputKind = Literal["sequence", "sequences", "features"]
TargetKind = Literal["classes", "labels", "quantities"]
Strand = Literal["given", "either"]
"""Whether a sequence means the strand that is given, or its reverse complement means the same."""

DNA = "ACGT"
RNA = "ACGU"
IUPAC = "ACGTRYSWKMBDHVN"
"""The four bases, then the codes for two, three or all of them, each a letter of its own."""
PROTEIN = "ACDEFGHIKLMNPQRSTVWY"

Ambiguous = Literal["zeros", "channel", "refuse"]
"""What becomes of a letter that the alphabet lacks, such as N: no channel of a one-hot is set, or
one more that is there for all such letters, or the data are refused."""


REFERENCE, ALTERNATIVE = "reference", "alternative"
"""What the two sequences of a variant are called."""


class Input(Frozen):
    """What one item is.

    Attributes:
        kind: A sequence of letters, several sequences, or a vector of numbers.
        unit: Name of one item: ``sequence``, ``pair``, ``sample``.
        symbol: Name of one letter, or one number: ``nucleotide``, ``gene``.
        alphabet: The letters, in index order: ``ACGT``; empty unless the kind is ``sequence``.
        min_length, max_length: Letters in one item, in all its sequences; for features how many
            there are.
        enumerable: True where the evaluation set holds every possible item.
        ambiguous: Treatment of letters that the alphabet lacks.
        parts: Of several sequences each, in order; its unit is its name: ``mirna``, ``target``.

    What was added after records were made is left out of what is written where it says nothing
    new, so that trajectories keep their checksums.
    """

    kind: InputKind = "sequence"
    unit: Name = "sequence"
    symbol: Name = "nucleotide"
    alphabet: str = DNA
    min_length: int = Field(ge=1)
    max_length: int = Field(ge=1)
    enumerable: bool = False
    ambiguous: Ambiguous = Field(default="zeros", exclude_if=lambda value: value == "zeros")
    parts: tuple[Input, ...] = Field(default=(), exclude_if=lambda value: not value)

    @classmethod
    def of_length(cls, length: int, **fields: Any) -> Self:
        """Return an input whose items all have one length."""
        return cls(min_length=length, max_length=length, **fields)

    @classmethod
    def of_parts(cls, *parts: Input, unit: str = "pair") -> Self:
        """Return an input whose items are several sequences each."""
        return cls(
            kind="sequences",
            unit=unit,
            symbol=parts[0].symbol,
            alphabet="",
            min_length=sum(part.min_length for part in parts),
            max_length=sum(part.max_length for part in parts),
            parts=parts,
        )

    @classmethod
    def of_variants(cls, sequence: Input) -> Self:
        """Return an input whose items are variants: a reference sequence, and an alternative."""
        both = (sequence.model_copy(update={"unit": name}) for name in (REFERENCE, ALTERNATIVE))
        return cls.of_parts(*both, unit="variant")

    @property
    def variants(self) -> bool:
        """Whether items are variants, see `of_variants`, which a model scores by their effect."""
        return tuple(part.unit for part in self.parts) == (REFERENCE, ALTERNATIVE)

    @property
    def sequences(self) -> tuple[Input, ...]:
        """Each of an item's sequences: its parts, or the one; none for features."""
        return (self,) if self.kind == "sequence" else self.parts

    @property
    def channels(self) -> int:
        """Width of one letter's one-hot: the alphabet's size, or one more; 4 or 5 for DNA."""
        return len(self.alphabet) + (self.ambiguous == "channel")

    @property
    def padding_index(self) -> int:
        """The letter index that stands behind an item's end.

        0 to the alphabet's size less 1 are its letters, and its size is any other letter: an
        embedding has ``padding_index + 1`` rows.
        """
        return len(self.alphabet) + 1

    @model_validator(mode="after")
    def _words_and_lengths(self) -> Self:
        if self.unit == self.symbol:
            raise ValueError(f"unit and symbol are both {self.unit!r}; encodings need two words")
        if self.min_length > self.max_length:
            raise ValueError(f"lengths run from {self.min_length} to {self.max_length}")
        if len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError(f"alphabet {self.alphabet!r} has a letter twice")
        if (self.kind == "sequences") != (len(self.parts) > 1):
            raise ValueError(
                f"kind is {self.kind!r} and there are {len(self.parts)} parts; several sequences "
                "have two parts or more, and nothing else has any"
            )
        if not all(part.kind == "sequence" for part in self.parts):
            raise ValueError("a part of several sequences is no sequence")
        return self


class Target(Frozen):
    """What is predicted for one item.

    Attributes:
        kind: One of several classes; several labels, each present or absent; or quantities.
        names: Names of the classes, labels or quantities, in index order.
        units: Units of the quantities; empty if they have none.
        class_weights: Loss weight of each class, for models that ask for weighting; None where
            the task has none. Using them counts as knowledge.
    """

    kind: TargetKind = "classes"
    names: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()
    class_weights: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        names, weights = self.names, self.class_weights
        if self.kind == "classes" and len(names) < 2:
            raise ValueError(f"one class, {names[0]!r}; expected two or more")
        if weights is not None and len(weights) != len(names):
            raise ValueError(f"{len(weights)} class weights for {len(names)} classes")
        if self.units and len(self.units) != len(names):
            raise ValueError(f"{len(self.units)} units for {len(names)} quantities")
        return self


class EvaluationSet(Frozen):
    """Items that are evaluated throughout a run, listed in the task itself.

    Attributes:
        inputs: The items as text, shape (P,).
        targets: The true class of each, shape (P,).
        groups: Named subsets, as indices into `inputs`: ``{"rare": (10, 11, 14)}``.
        target_accuracy: Share of the set that must be right for the task to count as solved.
    """

    inputs: tuple[str, ...] = Field(min_length=1)
    targets: tuple[int, ...]
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    target_accuracy: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        n = len(self.inputs)
        if len(self.targets) != n:
            raise ValueError(f"{len(self.targets)} targets for {n} inputs of the evaluation set")
        for group, members in self.groups.items():
            if not all(0 <= member < n for member in members):
                raise ValueError(f"group {group!r} names an input outside 0..{n - 1}")
        return self


_OF_INPUT = tuple(name for name in Input.model_fields if name != "enumerable")


class TaskView(Frozen):
    """What a model may know of a task: shapes and names of inputs, never a target's meaning.

    Attributes:
        task: The task's name.
        kind, unit, symbol, alphabet, min_length, max_length, ambiguous, parts: As in `Input`.
        n_inputs: Number of distinct items; None if they cannot be enumerated.
        target: Classes, labels or quantities.
        n_outputs: Number of classes, labels or quantities: columns of a module's output.
    """

    task: Name
    kind: InputKind = "sequence"
    unit: Name
    symbol: Name
    alphabet: str
    min_length: int = Field(ge=1)
    max_length: int = Field(ge=1)
    ambiguous: Ambiguous = "zeros"
    parts: tuple[Input, ...] = ()
    n_inputs: int | None = Field(default=None, ge=1)
    target: TargetKind = "classes"
    n_outputs: int = Field(ge=1)

    @property
    def length(self) -> int:
        """Letters in one item, the longest where they differ."""
        return self.max_length

    @property
    def input(self) -> Input:
        """The same as the task's own description of an item, as far as a model may know it."""
        return Input.model_validate(self.model_dump(include=set(_OF_INPUT)))

    @property
    def sequences(self) -> tuple[Input, ...]:
        """Each of an item's sequences, one or several, with its alphabet; none for features."""
        return self.input.sequences

    @property
    def padding_index(self) -> int:
        """The letter index that stands behind an item's end, as in `Input`."""
        return self.input.padding_index

    def of_one_sequence(self) -> TaskView:
        """Return the view of a model that scores a variant's sequences, a number each."""
        reference = self.parts[0].model_dump(include={*_OF_INPUT} - {"parts"})
        one = {**reference, "unit": "sequence", "target": "quantities", "n_outputs": 1}
        return TaskView.model_validate(self.model_dump() | {"parts": ()} | one)

    @property
    def n_classes(self) -> int:
        """How many classes there are.

        Raises:
            ConfigError: The task's target is not classes.
        """
        if self.target != "classes":
            raise ConfigError(
                f"the model serves classes, but task {self.task!r} asks for {self.target}; choose "
                "another, or let it use n_outputs, which every task has"
            )
        return self.n_outputs


class TaskSpec(Frozen):
    """A task in full: inputs, targets and protocol.

    Attributes:
        name, version, title: Identity; the version is raised with every change that could change a
            score.
        input, target: The item, and what is to be predicted for it.
        protocol: Name of the protocol, which says what is presented, when the model is evaluated
            and when a run ends.
        evaluation: Items that are evaluated throughout training; None if the validation split is.
        train_size, validation_size, test_size: Examples in each split, for each seed. Without
            training examples a task needs a protocol without training.
        default_epochs: The budget when none is given.
        facts: Facts that only this task's own protocol, metrics and figures read.
        notes: Remarks on this task's data for readers of the leaderboard.
        reference, licence: Where the task comes from, and on what terms.
    """

    name: Name
    version: Version
    title: str
    input: Input
    target: Target
    protocol: Name
    evaluation: EvaluationSet | None = None
    train_size: int = Field(ge=0)
    validation_size: int = Field(default=0, ge=0)
    test_size: int = Field(default=0, ge=0)
    default_epochs: int = Field(default=40, ge=1)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reference: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _targets_in_range(self) -> Self:
        if self.evaluation is None:
            if self.input.enumerable:
                raise ValueError("the input is enumerable, but there is no evaluation set")
            return self
        n_classes = len(self.target.names)
        if not all(0 <= target < n_classes for target in self.evaluation.targets):
            raise ValueError(f"targets of the evaluation set must lie in 0..{n_classes - 1}")
        return self

    @property
    def evaluation_set(self) -> EvaluationSet:
        """The evaluation set, for code that needs one.

        Raises:
            ValueError: There is none.
        """
        if self.evaluation is None:
            raise ValueError(f"task {self.name!r} has no evaluation set")
        return self.evaluation

    @property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """Named subsets of the evaluation set."""
        return {} if self.evaluation is None else self.evaluation.groups

    def view(self) -> TaskView:
        """Return what a model may know of this task."""
        inputs = self.input
        enumerated = self.evaluation is not None and inputs.enumerable
        return TaskView(
            task=self.name,
            **{name: getattr(inputs, name) for name in _OF_INPUT},
            n_inputs=len(self.evaluation.inputs) if enumerated and self.evaluation else None,
            target=self.target.kind,
            n_outputs=len(self.target.names),
        )


class Column(Frozen):
    """A column of a task's table.

    Attributes:
        metric: Metric shown, over a row's seeds.
        title: Heading.
        short: A shorter heading for narrow tables; the title if it is empty.
        statistic: ``censored_quantile``: null means never, and counts as longer than any.
            ``mean``: over the seeds that have a value.
        quantile: Which one, over seeds; 0.5 is the median.
        counts: True where null means that there is nothing to count, not "never".
        scale: ``position`` in the stream, from 0 to the budget; ``difference`` of two of them,
            which may be 0 or negative; or ``other``. Never is beyond the budget in the first two.
        window: How many pairs the measured event must last to count. If a run ended without a
            value, it began within the last window or never.
        digits: Decimals of a mean.
    """

    metric: MetricName
    title: str
    short: str = ""
    statistic: Literal["censored_quantile", "mean"] = "censored_quantile"
    quantile: float = Field(default=0.5, gt=0, lt=1)
    counts: bool = False
    scale: Literal["position", "difference", "other"] = "other"
    window: int = Field(default=0, ge=0)
    digits: int = Field(default=3, ge=0, le=9)


class Control(Frozen):
    """A control by which positions in the stream are compared, seed by seed.

    Attributes:
        name: The control's, one of `Task.controls`.
        metric: Metric compared, as a ratio: a position in the stream, where null is never.
        flagged_below: A row is flagged where the whole interval of its ratio lies below.
        flag: Note of a flagged row.
        headings: Of the metric without and with the control, of their ratio, and of the flag.
        explanation: Stands above the table of ratios.
    """

    name: Name
    metric: MetricName
    flagged_below: float = Field(gt=0)
    flag: str
    headings: tuple[str, str, str, str]
    explanation: str


class Doubt(str):
    """A note that puts a row's rank in question: it is shown with a question mark."""

    __slots__ = ()


class Ranking(Frozen):
    """How the rows of a task's table are ordered, and what they show.

    Rows of equal primary figure are ordered by success, and share a rank where that is equal too.
    A mean that leaves out runs without a value stands behind those that leave out none.

    Attributes:
        metric: The primary one.
        direction: Which direction is better.
        floor: Values better than this rank as equal to it; None for no such limit.
        columns: The table's columns, the primary one among them.
        brief: The columns to show where there is room for few, the most important first; the
            primary one where it is empty.
        success: A metric that is null where a run did not succeed; None where every run does.
        restricted_mean: A column whose mean up to the budget is shown too; None for none.
        versions_of: Metrics whose versions must be equal in one table; the columns' if it is empty.
            Others may be added or removed without dividing a table.
        budget_divides: Whether runs of another budget or stop rule have another table, as they must
            if training itself is measured. If the budget is a model's own choice, like its learning
            rate, they are another row of the same table.
        endings: What a table says about how its runs ended, by the stop rule of their specs.
        control: The control under which positions are compared, if the task has one.
        fixed: Metrics that data and seed alone fix: the same for every model, on every machine.
    """

    metric: MetricName
    direction: Literal["lower", "higher"]
    floor: float | None = None
    columns: tuple[Column, ...] = Field(min_length=1)
    brief: tuple[MetricName, ...] = ()
    success: MetricName | None = None
    restricted_mean: MetricName | None = None
    versions_of: tuple[MetricName, ...] = ()
    budget_divides: bool = True
    endings: dict[str, str] = Field(default_factory=dict)
    control: Control | None = None
    fixed: tuple[MetricName, ...] = ()

    @classmethod
    def by_mean(cls, metric: MetricName, **titles: str) -> Self:
        """Return a ranking by the mean of one metric, higher is better; all budgets share a table.

        Args:
            metric: The primary one.
            titles: Of the columns, by metric, in order, the primary one among them.
        """
        columns = (Column(metric=m, title=t, statistic="mean") for m, t in titles.items())
        return cls(metric=metric, direction="higher", columns=tuple(columns), budget_divides=False)

    @model_validator(mode="after")
    def _columns_are_there(self) -> Self:
        shown = {column.metric for column in self.columns}
        mean = () if self.restricted_mean is None else (self.restricted_mean,)
        for name in (self.metric, *self.brief, *mean):
            if name not in shown:
                raise ValueError(f"{name!r} is no column; the columns are {sorted(shown)}")
        return self

    def column(self, metric: str) -> Column:
        """Return the column that shows a metric; raises StopIteration where there is none."""
        return next(column for column in self.columns if column.metric == metric)

    @property
    def primary(self) -> Column:
        """The column that rows are ranked by."""
        return self.column(self.metric)

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.direction == "higher" else -1

    def cost(self, value: float | None) -> float:
        """Return what a value of the primary metric is ranked by, lower is better; None: never."""
        if value is None:
            return math.inf
        cost = -self.sign * value
        return cost if self.floor is None else max(cost, -self.sign * self.floor)

    @property
    def key_metrics(self) -> tuple[str, ...]:
        """Names of the metrics whose versions are part of a table's key."""
        return self.versions_of or tuple(column.metric for column in self.columns)


class Ceiling(Frozen):
    """The best possible value of a task's primary metric, if known.

    Attributes:
        value: Value of the primary metric.
        low, high: Its 95 % interval; both equal the value if it is exact.
        how: How it is derived, in a clause: ``Bayes rate, computed exactly``.
    """

    value: float
    low: float
    high: float
    how: str

    @classmethod
    def of_replicates(cls, r: float, n: int, how: str) -> Self:
        """Return the ceiling of a correlation with the mean of two replicates: sqrt(2r / (1 + r)).

        That is the correlation of the mean with what both measure, if their errors are independent
        and of equal size (Spearman 1910, Brown 1910). With r 0.8 it is sqrt(1.6 / 1.8) = 0.943.

        Args:
            r: Correlation of the replicates, of the primary metric's kind.
            n: Over how many items; gives the interval (Fisher's z).
            how: As in `Ceiling`.
        """
        z, half = math.atanh(r), 1.959964 / math.sqrt(n - 3)
        value, low, high = (
            round(math.sqrt(2 * each / (1 + each)), 6)  # the same on every machine
            for each in (r, math.tanh(z - half), math.tanh(z + half))
        )
        return cls(value=value, low=low, high=high, how=how)


class TaskOptions(Frozen):
    """Base of a task's options, set with ``--task-set field=value``.

    Attributes:
        control: The control of the run, ``--control NAME``; None, and not written, for none.
    """

    control: str | None = Field(
        default=None,
        exclude_if=lambda control: control is None,
        description="one of the task's controls, which removes what a score should depend on",
    )


class Task(ABC):
    """A task plugin.

    Class attributes:
        name, version, title: As in `TaskSpec`.
        protocol: As in `TaskSpec`.
        ranking: Order and columns of its rows.
        category: Its heading in lists of tasks, such as ``regulatory`` or ``expression``; rankings
            differ between categories.
        default: True for the task that is used if none is named; at most one may be.
        Options: The options a user may set.
        strand: Whether a sequence and its reverse complement have the same answer.
        controls: Controls that only this task has, by name, each with what is done; in addition to
            those of its protocol.
        counted_in: The unit of training: ``examples``, or ``pairs`` of an input and its target.
        folds: Default number of folds of cross-validation, for small data sets; 0 for its own
            split.
        official_budget: Budget of official rows in training pairs, if each budget has its own
            table; None if none is required.
        shares_targets: Whether the targets of its test items, without the items, may be published
            with results; else its table can only be rebuilt where the data are.
        default_data: The default of ``--data``.
        data_names: The data sources known by name, each with a line of explanation; anything
            else given to ``--data`` is a path.
        sources: Those of them that are downloads.
        licence: The terms of these, in a sentence, which ``bench data fetch`` shows.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    protocol: ClassVar[str]
    ranking: ClassVar[Ranking]
    category: ClassVar[str] = "other"
    default: ClassVar[bool] = False
    Options: ClassVar[type[TaskOptions]] = TaskOptions
    strand: ClassVar[Strand] = "given"
    controls: ClassVar[Mapping[str, str]] = {}
    counted_in: ClassVar[str] = "examples"
    folds: ClassVar[int] = 0
    official_budget: ClassVar[int | None] = None
    shares_targets: ClassVar[bool] = True
    default_data: ClassVar[str]
    data_names: ClassVar[Mapping[str, str]] = {}
    sources: ClassVar[tuple[DataSource, ...]] = ()
    licence: ClassVar[str] = ""

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
        """Return contradictions in a record of this task, as field and sentence.

        Beyond what holds for every task's records; checked without repeating the run.
        """
        return ()

    def flags(self, metrics: Mapping[str, float | int | bool | None]) -> tuple[str, ...]:
        """Return remarks on a run's figures for readers."""
        return ()

    def ending(self, record: RunRecord) -> str:
        """Return in words how a completed run ended; empty for the usual endings."""
        return ""

    def row_notes(
        self,
        records: tuple[RunRecord, ...],
        controlled: tuple[RunRecord, ...],
        references: Mapping[str, tuple[RunRecord, ...]],
    ) -> tuple[str, ...]:
        """Return notes on a row for readers; a `Doubt` marks its rank, too.

        Args:
            records: Records of the row, one a seed.
            controlled: Those of the same row under the ranking's control, one a seed.
            references: Those of the table's reference rows, by model.
        """
        return ()

    def motifs(self, record: RunRecord) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the known motifs in a record's data, by name.

        Probability of each letter of the alphabet at each place, (width, letters). Empty where
        none is known.
        """
        return {}

    def ceiling(self, record: RunRecord) -> Ceiling | None:
        """Return the best possible score on the data of a record; None if unknown.

        Known are the Bayes rate of simulated data, and the limit set by replicates of measured
        data. A value that depends on the data alone may be kept in `Dataset.provenance`.

        Args:
            record: Any run's: its ``run_spec.task_options`` and ``dataset`` say which data.
        """
        return None

    def source(self, name: str) -> DataSource:
        """Return the download called `name`.

        Raises:
            UnknownNameError: No download of this task has that name.
        """
        for source in self.sources:
            if source.name == name:
                return source
        names = ", ".join(source.name for source in self.sources) or "none"
        raise UnknownNameError(f"no download is called {name!r}; {self.name} has {names}")
