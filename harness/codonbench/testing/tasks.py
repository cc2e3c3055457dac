"""Checks of tasks: a valid spec, and pairs that are determined by the seed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from codonbench.contracts import (
    Dataset,
    Sequences,
    Task,
    TaskSpec,
    TaskView,
)
from codonbench.data.encodings import available, make_encoder
from codonbench.data.stream import Stream, first_positions
from codonbench.errors import DownloadError, UsageError
from codonbench.plugins import entries
from codonbench.plugins.failures import file_of, last_line, place
from codonbench.testing.checks import (
    Checks,
    Verdict,
    examine,
    failed,
    passed,
    raise_failures,
    skipped,
    warning,
)
from codonbench.testing.environment import generators, moved, one_at_a_time
from codonbench.testing.subject import dataset_of, find_task, installed

_FAR = 0.1  # total variation distance of drawn pairs and frequencies


@dataclass
class TaskSubject:
    """A task to check, by default on its default data."""

    task: Task
    data: str | None = None

    @property
    def dataset(self) -> Dataset:
        """The data."""
        return dataset_of(self.task, self.data)

    @property
    def spec(self) -> TaskSpec:
        """The spec of the data."""
        return self.dataset.spec

    @property
    def evaluated(self) -> npt.NDArray[np.int64]:
        """Items evaluated during a run with seed 0."""
        if self.spec.evaluation is not None:
            return self.dataset.evaluation
        split = Stream(self.dataset, 0).split
        return split.validation if len(split.validation) else split.test


@one_at_a_time
def check_task(task: str | Task, data: str | None = None) -> None:
    """Check a task against the contract, without network.

    Args:
        task: A task, or the name of an installed one.
        data: Name or path of data; None for its default data.

    Raises:
        AssertionError: Checks failed; the message lists all.
        UnknownNameError: No task has that name.
    """
    task = find_task(task)
    name = getattr(task, "name", type(task).__name__)
    raise_failures(
        examine(TASK_CHECKS, TaskSubject(task, data), file_of(type(task))), f"task {name!r}"
    )


TASK_CHECKS = Checks[TaskSubject]()
"""The checks of tasks."""


@TASK_CHECKS.hold("identity")
def has_valid_names(subject: TaskSubject) -> Verdict:
    """Name, version and title are valid."""
    task = subject.task
    entries.check_task(task)
    if not task.title.strip():
        return failed("title is missing; write one line for 'bench ls tasks'")
    unknown = [source.name for source in task.sources if source.name not in task.data_names]
    if unknown:
        return failed(f"download {unknown[0]!r} is not in data_names, so --data cannot name it")
    return passed()


@TASK_CHECKS.hold("options")
def has_options(subject: TaskSubject) -> Verdict:
    """The options survive JSON."""
    options = subject.task.Options()
    read = subject.task.Options.model_validate_json(options.model_dump_json())
    if read != options:
        return failed(f"its options are {options!r}, and {read!r} once written to JSON and read")
    return passed()


@TASK_CHECKS.hold("data", "options")
def loads(subject: TaskSubject) -> Verdict:
    """The default data load."""
    try:
        first = subject.dataset
    except DownloadError as error:
        return failed(f"{error}; or name other data: check_task(..., data=...)")
    if not isinstance(first, Dataset):
        return failed(f"load returned {type(first).__name__}; expected a Dataset")
    dataset_of.cache_clear()
    second = subject.dataset
    if (first.checksum, first.spec) != (second.checksum, second.spec):
        return failed("load gives another checksum or specification the second time")
    if not first.checksum or not first.source:
        return failed("source and checksum must not be empty: they name the data in records")
    if set(first.source) & set("/\\"):
        return failed(f"source is {first.source!r}, a path; expected a short name for tables")
    data = subject.task.default_data if subject.data is None else subject.data
    if data in subject.task.data_names and first.source != data:
        return failed(
            f"source is {first.source!r}, expected {data!r}, the name that they were loaded by: "
            "'bench verify' and 'bench explain' load them again by their source"
        )
    return passed(f"{first.source}, {len(first.items):,} items")


@TASK_CHECKS.hold("spec", "identity", "data")
def agrees(subject: TaskSubject) -> Verdict:
    """The specification is consistent."""
    task, spec = subject.task, subject.spec
    if (spec.name, spec.version) != (task.name, task.version):
        return failed(
            f"its spec is {spec.name!r} {spec.version}, but the task is {task.name!r} "
            f"{task.version}; take both from one place"
        )
    if type(spec).model_validate_json(spec.model_dump_json()) != spec:
        return failed("its spec is another once written to JSON and read back")
    if len(set(spec.target.names)) < len(spec.target.names):
        return failed(f"a class has the name of another: {', '.join(spec.target.names)}")
    weights = spec.target.class_weights
    if weights is not None and not min(weights) > 0:
        return failed(f"class weights must be above zero; the smallest is {min(weights)}")
    evaluated = 0 if spec.evaluation is None else len(spec.evaluation.inputs)
    return passed(f"{len(spec.target.names)} {spec.target.kind}, {evaluated} evaluation items")


@TASK_CHECKS.hold("inputs", "data")
def has_sound_inputs(subject: TaskSubject) -> Verdict:
    """Evaluation items are distinct and match their letters."""
    spec, data = subject.spec, subject.dataset
    if spec.evaluation is None:
        return skipped("it has no evaluation set")
    inputs = spec.evaluation.inputs
    if len(set(inputs)) < len(inputs):
        twice = next(word for word in inputs if inputs.count(word) > 1)
        return failed(f"item {twice!r} is there twice; each must be distinct")
    assert isinstance(data.items, Sequences)
    texts = data.items.text(spec.input.alphabet)
    for word, item in zip(inputs, data.evaluation.tolist(), strict=True):
        if texts[item] != word:
            return failed(
                f"item {word!r} is {texts[item]!r} in items; expected letter "
                f"indices into {spec.input.alphabet!r}"
            )
    if len(set(texts)) < len(texts):
        return failed("an item is there twice in items; each must be distinct")
    low, high = int(data.targets.min()), int(data.targets.max())
    if low < 0 or high >= len(spec.target.names):
        return failed(f"targets lie in {low}..{high}, expected 0..{len(spec.target.names) - 1}")
    return passed()


@TASK_CHECKS.hold("view", "data")
def hides_classes(subject: TaskSubject) -> Verdict:
    """Models do not see the names of classes."""
    view = subject.spec.view()
    if type(view) is not TaskView:
        return failed(f"view() returns {type(view).__name__}; expected a TaskView and no more")
    spec = subject.spec
    if (view.n_outputs, view.length) != (len(spec.target.names), spec.input.max_length):
        return failed("view() tells other numbers of outputs or letters than the spec")
    texts = {value for value in view.model_dump().values() if isinstance(value, str)}
    named = (texts - {spec.name}) & {name for name in spec.target.names if len(name) > 1}
    if named:
        return failed(f"view() tells the class {named.pop()!r}; a model may not know its name")
    return passed()


@TASK_CHECKS.hold("encodings", "inputs")
def encodes(subject: TaskSubject) -> Verdict:
    """Each encoding works."""
    view, index = subject.spec.view(), torch.as_tensor(subject.evaluated[:4])
    for name in available(view):
        encode = make_encoder(name, view, subject.dataset.items, torch.device("cpu"))
        encoded = encode(index)
        for part in encoded if isinstance(encoded, tuple) else (encoded,):
            if len(part) != len(index):
                return failed(f"encoding {name!r} gives {len(part)} rows for {len(index)}")
    return passed(", ".join(available(view)))


@TASK_CHECKS.hold("draw", "inputs")
def draws_by_seed(subject: TaskSubject) -> Verdict:
    """One seed gives one stream of pairs."""
    before, data = generators(), subject.dataset
    first, again, other = (Stream(data, seed) for seed in (0, 0, 1))
    one, two, third = first.split, again.split, other.split
    if moved(before):
        return failed("split uses a global generator; draw from the one it is given")
    if not (np.array_equal(one.train, two.train) and np.array_equal(one.test, two.test)):
        return failed("one seed gives other pairs the second time; draw from the generator given")
    if not data.splits and np.array_equal(one.train, third.train):
        return failed("seeds 0 and 1 give the same pairs; draw from the generator given")
    sizes = f"{len(one.train):,} training, {len(one.validation):,} validation and {len(one.test):,}"
    if subject.spec.evaluation is None:
        held_out = np.concatenate([one.validation, one.test])
        if shared := np.intersect1d(one.train, held_out).tolist():
            return failed(f"{len(shared)} items are trained on and held out, the first {shared[0]}")
    elif subject.spec.input.enumerable:
        seen = first_positions(first.epoch(0), data.evaluation, len(data.items))
        if not seen.all():
            return warning("an epoch of seed 0 does not show every item; it may be too short")
    return passed(f"{sizes} test pairs")


@TASK_CHECKS.hold("frequencies", "draw")
def tells_frequencies(subject: TaskSubject) -> Verdict:
    """Frequencies are those of the training pairs."""
    data = subject.dataset
    p = data.frequencies
    if p is None:
        return skipped("the data have none")
    if (
        p.shape != data.evaluation.shape
        or not np.isfinite(p).all()
        or p.min() < 0
        or p.sum() > 1 + 1e-9
    ):
        return failed(
            f"frequencies {p.shape} with sum {p.sum():g}; expected a probability for each of "
            f"{len(data.evaluation)} evaluation items"
        )
    if not data.spec.input.enumerable:
        return passed()
    drawn = np.bincount(Stream(data, 0).split.train, minlength=len(data.items))[data.evaluation]
    apart = float(np.abs(drawn / drawn.sum() - p).sum() / 2)
    if apart > _FAR:
        return failed(
            f"{apart:.0%} of seed 0's pairs are different from the frequencies; the bound is "
            "computed from them, so they must be those of the split"
        )
    return passed(f"{apart:.1%} away from seed 0's pairs")


@TASK_CHECKS.hold("ranking", "data")
def has_ranking(subject: TaskSubject) -> Verdict:
    """The metrics of its table are installed."""
    ranking = subject.task.ranking
    metrics = installed().metrics_of(subject.spec)
    given = {name for metric in metrics for name in metric.outputs(subject.spec)}
    unknown = [column.metric for column in ranking.columns if column.metric not in given]
    if unknown:
        return warning(f"no installed metric gives {' or '.join(map(repr, unknown))}")
    return passed(f"ranked by {ranking.metric}, {ranking.direction} is better")


@TASK_CHECKS.hold("names", "identity", "data")
def names_its_data(subject: TaskSubject) -> Verdict:
    """Each name of data loads, or fails with a message."""
    task = subject.task
    absent = []
    with tempfile.TemporaryDirectory() as cache:
        for data in (*task.data_names, "no-such-data-anywhere"):
            try:
                task.load(data, task.Options(), cache=Path(cache), offline=True)
            except UsageError as error:
                if not str(error).strip():
                    return failed(f"data {data!r} fails without a message")
                absent.append(data)
            except Exception as error:
                where = place(error.__traceback__, file_of(type(task)))
                return failed(
                    f"data {data!r}, offline: it raised {last_line(error)}{where}; expected a "
                    "DataError or DownloadError that says what to do"
                )
            else:
                if data not in task.data_names:
                    return failed(f"unknown data {data!r} load; expected a DataError")
    return passed(f"not loaded offline, with a message: {', '.join(absent[:-1]) or 'none'}")
