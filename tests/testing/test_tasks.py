"""Each check of a task fails a toy that is wrong in just that way."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codonbench import (
    Column,
    Dataset,
    DataSource,
    EvaluationSet,
    Input,
    Ranking,
    Sequences,
    Split,
    Target,
    Task,
    TaskOptions,
    TaskSpec,
    TaskView,
)
from codonbench.errors import DataError, UnknownNameError
from codonbench.testing import check_task
from codonbench.testing.checks import examine
from codonbench.testing.tasks import TASK_CHECKS, TaskSubject

SPEC = TaskSpec(
    name="sides",
    version="1",
    title="Which side of the alphabet a word begins on",
    input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab", enumerable=True),
    target=Target(names=("left", "right")),
    protocol="decipher",
    evaluation=EvaluationSet(inputs=("aa", "ab", "ba", "bb"), targets=(0, 0, 1, 1)),
    train_size=500,
    test_size=20,
)
WORDS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def split_of(pairs, n_train=500):
    return Split(pairs[:n_train], np.zeros(0, dtype=np.int64), pairs[n_train:])


@dataclass(frozen=True, eq=False)
class Dice(Dataset):
    def split(self, rng):
        return split_of(rng.integers(4, size=520))


class Sides(Task):
    """A task with nothing wrong; the toys below spoil one thing each."""

    name = "sides"
    version = "1"
    title = SPEC.title
    protocol = "decipher"
    default_data = "dice"
    ranking = Ranking(
        metric="pairs_consumed",
        direction="lower",
        columns=(Column(metric="pairs_consumed", title="pairs"),),
    )
    data_names = {"dice": "thrown", "book": "a book that must be bought"}  # noqa: RUF012
    kind = Dice
    changes: dict[str, Any] = {}  # noqa: RUF012
    spec_changes: dict[str, Any] = {}  # noqa: RUF012

    def load(self, data, options, *, cache, offline=False):
        if data != "dice":
            raise DataError(f"no data {data!r} here; buy the book")
        facts = {
            "spec": SPEC.model_copy(update=self.spec_changes),
            "source": "dice",
            "checksum": "d" * 64,
            "simulated": True,
            "items": Sequences.of_rows(WORDS),
            "targets": np.array([0, 0, 1, 1]),
            "evaluation": np.arange(4),
            "frequencies": np.full(4, 0.25),
        }
        return self.kind(**facts | self.changes)


class Misnamed(Sides):
    name = "Left or right"


class Untitled(Sides):
    title = ""


class Unnameable(Sides):
    sources = (DataSource(name="page", summary="x", url="https://example.org", filename="x"),)


class Lossy(Sides):
    class Options(TaskOptions):
        order: Any = (1, 2)


class WithPath(Sides):
    changes = {"source": "/data/dice"}  # noqa: RUF012


class OtherSource(Sides):
    changes = {"source": "dice.csv"}  # noqa: RUF012


class Restless(Sides):
    def load(self, data, options, *, cache, offline=False):
        loaded = super().load(data, options, cache=cache, offline=offline)
        return replace(loaded, checksum=np.random.default_rng().bytes(8).hex())


class NotData(Sides):
    def load(self, data, options, *, cache, offline=False):
        super().load(data, options, cache=cache, offline=offline)
        return SimpleNamespace(spec=SPEC)


class OtherName(Sides):
    spec_changes = {"version": "2"}  # noqa: RUF012


def asking(*inputs):
    return SPEC.evaluation.model_copy(update={"inputs": inputs})


class Twins(Sides):
    spec_changes = {"target": Target(names=("left", "left"))}  # noqa: RUF012


class Twice(Sides):
    spec_changes = {"evaluation": asking("aa", "ab", "ba", "ba")}  # noqa: RUF012


class Misspelt(Sides):
    spec_changes = {"evaluation": asking("aa", "ba", "ab", "bb")}  # noqa: RUF012


class Telling(TaskSpec):
    def view(self):
        return TaskView(**{**super().view().model_dump(), "task": "left"})


class Leaky(Sides):
    changes = {"spec": Telling(**SPEC.model_dump())}  # noqa: RUF012


@dataclass(frozen=True, eq=False)
class Short(Dice):
    def split(self, rng):
        return split_of(rng.integers(4, size=420), 400)


@dataclass(frozen=True, eq=False)
class Fixed(Dice):
    def split(self, rng):
        return super().split(np.random.default_rng(0))


@dataclass(frozen=True, eq=False)
class OwnChance(Dice):
    def split(self, rng):
        return super().split(np.random.default_rng())


@dataclass(frozen=True, eq=False)
class GlobalChance(Dice):
    def split(self, rng):
        return split_of(np.random.randint(4, size=520))


class DrawsShort(Sides):
    kind = Short


class DrawsFixed(Sides):
    kind = Fixed


class DrawsOwn(Sides):
    kind = OwnChance


class DrawsGlobal(Sides):
    kind = GlobalChance


class Lopsided(Sides):
    changes = {"frequencies": np.array([0.7, 0.1, 0.1, 0.1])}  # noqa: RUF012


class TooMuch(Sides):
    changes = {"frequencies": np.full(4, 0.5)}  # noqa: RUF012


class Stumbles(Sides):
    def load(self, data, options, *, cache, offline=False):
        if data == "book":
            raise KeyError("page 7")
        return super().load(data, options, cache=cache, offline=offline)


class TakesAnything(Sides):
    def load(self, data, options, *, cache, offline=False):
        return super().load("dice", options, cache=cache, offline=offline)


def findings(task):
    return {finding.id: finding for finding in examine(TASK_CHECKS, TaskSubject(task), __file__)}


def test_a_sound_task_passes_every_check():
    check_task(Sides())
    found = findings(Sides())
    assert {finding.status for finding in found.values()} == {"passed"}
    assert found["names"].words == "not loaded offline, with a message: book"


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (Misnamed, "identity", "name is 'Left or right'"),
        (Untitled, "identity", "title is missing"),
        (Unnameable, "identity", "download 'page' is not in data_names"),
        (Lossy, "options", "(1, 2)"),
        (WithPath, "data", "'/data/dice', a path"),
        (OtherSource, "data", "'dice.csv', expected 'dice', the name that they were loaded by"),
        (Restless, "data", "another checksum"),
        (NotData, "data", "SimpleNamespace; expected a Dataset"),
        (OtherName, "spec", "its spec is 'sides' 2, but the task is 'sides' 1"),
        (Twins, "spec", "left, left"),
        (Twice, "inputs", "'ba' is there twice"),
        (Misspelt, "inputs", "'ba' is 'ab' in items"),
        (Leaky, "view", "view() tells the class 'left'"),
        (DrawsShort, "draw", "splits into 400 training, 0 validation and 20 test items"),
        (DrawsFixed, "draw", "seeds 0 and 1 give the same pairs"),
        (DrawsOwn, "draw", "other pairs the second time"),
        (DrawsGlobal, "draw", "uses a global generator"),
        (Lopsided, "frequencies", "different from the frequencies"),
        (TooMuch, "frequencies", "with sum 2"),
        (Stumbles, "names", "data 'book', offline: it raised KeyError: 'page 7' (test_tasks.py:"),
        (TakesAnything, "names", "unknown data"),
    ],
)
def test_a_toy_fails_the_check_it_was_made_for(cls, check, words):
    found = findings(cls())
    failed = [name for name, finding in found.items() if finding.status == "failed"]
    assert failed == [check]
    assert words in found[check].words


def test_check_task_raises_every_failure_in_words():
    with pytest.raises(AssertionError, match=r"task 'sides': 1 of its checks failed\n  view "):
        check_task(Leaky())


def test_the_toy_tasks_of_this_suite_hold(toys):
    registry = toys.registry()
    for name in ("gc-rich",):
        found = findings(registry.task(name).task)
        failed = [f.words for f in found.values() if f.status == "failed"]
        assert failed == ["unknown data 'no-such-data-anywhere' load; expected a DataError"]


def test_an_unknown_task_is_named():
    with pytest.raises(UnknownNameError, match="'mouse-codon'"):
        check_task("mouse-codon")
