"""Each check of a metric fails a toy that is wrong in just that way."""

import random
import re

import numpy as np
import pytest

from codonbench import Metric, Output
from codonbench.errors import UnknownNameError
from codonbench.testing import check_metric
from codonbench.testing.checks import examine
from codonbench.testing.metrics import METRIC_CHECKS, MetricSubject, toys, trajectories_of

PAIRS = Output(unit="pairs", direction="lower", summary="Pairs")


class Last(Metric):
    """Pairs of the first deciphered evaluation; nothing is wrong with it."""

    name = "first_right"
    version = "1"
    summary = "First snapshot that is right"
    protocols = ("decipher",)

    def outputs(self, task):
        return {"first_right": PAIRS}

    def compute(self, trajectory, task):
        right = np.flatnonzero(trajectory.solved)
        return {"first_right": int(trajectory.pairs[right[0]]) if len(right) else None}


class Misnamed(Last):
    name = "first right"


class Unversioned(Last):
    version = "latest"


class Silent(Last):
    summary = ""


class Unnamed(Last):
    name = None


class NoUnit(Last):
    def outputs(self, task):
        return {"first_right": Output(unit=" ", direction="lower", summary="x")}


class NoOutput(Last):
    def outputs(self, task):
        return {"first_right": "pairs"}


class BadOutputName(Last):
    def outputs(self, task):
        return {"first right": PAIRS}


class Directionless(Last):
    def outputs(self, task):
        wrong = Output.model_construct(unit="pairs", direction="down", summary="x")
        return {"first_right": wrong}


class Undeclared(Last):
    def compute(self, trajectory, task):
        return {**super().compute(trajectory, task), "extra": 1}


class Text(Last):
    def compute(self, trajectory, task):
        return {"first_right": "soon"}


class NanOnDivergence(Last):
    def compute(self, trajectory, task):
        return {"first_right": float(trajectory.outputs[-1].max())}


class CrashesOnNever(Last):
    def compute(self, trajectory, task):
        return {"first_right": int(np.flatnonzero(trajectory.solved)[0])}


class NeedsFrames(Last):
    def compute(self, trajectory, task):
        return {"first_right": int(trajectory.arrays["frame_pairs"].max())}


class Sorts(Last):
    def compute(self, trajectory, task):
        trajectory.outputs.sort(axis=1)
        return {"first_right": len(trajectory.pairs)}


class Rolls(Last):
    def compute(self, trajectory, task):
        return {"first_right": random.random()}


class RollsItsOwn(Last):
    def compute(self, trajectory, task):
        return {"first_right": float(np.random.default_rng().random())}


class Constant(Last):
    def compute(self, trajectory, task):
        return {"first_right": 7}


def findings(metric):
    return {
        finding.id: finding for finding in examine(METRIC_CHECKS, MetricSubject(metric), __file__)
    }


def test_a_sound_metric_passes_every_check():
    check_metric(Last())
    assert {finding.status for finding in findings(Last()).values()} == {"passed"}


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (Misnamed, "identity", "name is 'first right'"),
        (Unnamed, "identity", "name is None"),
        (Unversioned, "identity", "version is 'latest'"),
        (Silent, "identity", "summary is missing"),
        (NoUnit, "outputs", "outputs['first_right'] has no unit"),
        (NoOutput, "outputs", "outputs['first_right'] is str; expected an Output"),
        (BadOutputName, "outputs", "outputs['first right']"),
        (Directionless, "outputs", "'lower', 'higher' or 'none'"),
        (Undeclared, "values", "['extra', 'first_right'], but declares ['first_right']"),
        (Text, "values", "first_right is 'soon'; expected a finite number"),
        (NanOnDivergence, "values", "a run that diverges on 'toy': "),
        (CrashesOnNever, "values", "a run that never learns on 'toy': it raised IndexError"),
        (CrashesOnNever, "values", "(test_metrics.py:"),
        (NeedsFrames, "values", "on 'toy': it raised ValueError"),
        (Sorts, "pure", "it changed the trajectory"),
        (Rolls, "steady", "draws random numbers from random"),
        (RollsItsOwn, "steady", "other values the second time"),
    ],
)
def test_a_toy_fails_the_check_it_was_made_for_and_no_other(cls, check, words):
    found = findings(cls())
    assert [name for name, finding in found.items() if finding.status == "failed"] == [check]
    assert words in found[check].words
    with pytest.raises(AssertionError, match=re.escape(words)):
        check_metric(cls())


def test_a_metric_that_always_says_the_same_is_warned_of():
    check_metric(Constant())
    assert "one that never does" in findings(Constant())["telling"].words


def test_an_unknown_metric_is_named():
    with pytest.raises(UnknownNameError, match="'pairs_eaten'"):
        check_metric("pairs_eaten")


def test_the_trajectories_are_what_they_are_called():
    trajectories = trajectories_of(toys()[0])
    ends = {what: bool(t.solved[-1]) for what, t in trajectories.items() if len(t.pairs)}
    assert ends == {
        "a run that learns": True,
        "a run that never learns": False,
        "a run stopped early": False,
        "a run that diverges": False,
        "a run right from pair 0": True,
    }
    assert not trajectories["a run that never learns"].solved.any()
    assert trajectories["a run right from pair 0"].solved.all()
    assert not trajectories["a run that diverges"].finite[-1]
    assert not trajectories["a run stopped early"].facts.complete
    assert not len(trajectories["a run cut short before its first evaluation"].pairs)
