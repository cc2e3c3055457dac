"""Metrics of the protocol ``decipher``: when something first holds, how a run ends, one instrument.

The instrument is that of Joiret et al. (2023), Frontiers in Artificial Intelligence 6,
doi 10.3389/frai.2023.1128153: a heat map of p(class | codon), redrawn three times an epoch, after
batches 3000, 6000 and 9000, and each time only in the columns of the codons that are in that one
batch of 64. A code is deciphered when the map is complete and unequivocal. So 192 pairs an epoch
are looked at, and a model that is always right still waits until each rare stop codon has been in
one of those batches. With UAG, UAA and UGA at 0.578, 0.682 and 1.240 per thousand (open reading
frames of 400 codons) that takes about 14 epochs on average.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import numpy as np

from codonbench import NOT_MEASURED, Metric, Output, TaskSpec, Trajectory
from codonbench.contracts import MetricValue, NotMeasured, required_right
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray, TrajectoryFacts

_TAUS = {"confident_pairs": 0.9, "confident_pairs_50": 0.5}  # the first is the headline
_SURE = 0.9

_BATCH = 64
_VISIBLE = 0.056  # p at which the instrument's colour scale saturates: brighter looks the same
_CLEAN = 0.014  # a quarter of that, below which a cell looks empty
_CRITERIA = {
    "argmax": "the true class beats every rival in each column",
    "unique": f"p(true) >= {_VISIBLE} and no rival >= {_VISIBLE} in each column",
    "clean": f"p(true) >= {_VISIBLE} and every rival < {_CLEAN} in each column",
}
_PUBLISHED = "unique"


def _pairs(summary: str, direction: Literal["lower", "none"] = "lower") -> Output:
    return Output(unit="pairs", direction=direction, summary=summary)


class OfDeciphering(Metric):
    """A metric of a run under the protocol ``decipher``; subclasses define `compute`.

    Class attributes:
        gives: Its values, where they do not depend on the task.
    """

    version: ClassVar[str] = "1"
    protocols: ClassVar[tuple[str, ...]] = ("decipher",)
    gives: ClassVar[Mapping[str, Output]] = {}

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the values it gives, by name."""
        return self.gives


def first_passage(reached: BoolArray, trajectory: Trajectory) -> int | NotMeasured | None:
    """Return the pairs presented before the first evaluation at which `reached` holds.

    Args:
        reached: Whether it holds at each evaluation, shape (T,).
        trajectory: Where the evaluations come from.

    Returns:
        Pairs, or what `never` says where no evaluation reaches it.
    """
    if not reached.any():
        return never(trajectory)
    return int(trajectory.pairs[reached.argmax()])


def never(trajectory: Trajectory) -> NotMeasured | None:
    """Return what an event that no evaluation shows is worth.

    Returns:
        None (right-censored) where the run spent its budget or went non-finite;
        NOT_MEASURED where it was stopped first and the event might still have come.
    """
    return None if trajectory.facts.complete else NOT_MEASURED


# When something first holds


class PairsConsumed(OfDeciphering):
    """Pairs at the first deciphered evaluation, and at the failing evaluation just before it.

    The true value lies above `last_failing_pairs` and at or below `pairs_consumed`.
    `last_failing_pairs` is None where the first evaluation is already right, or none ever is.
    """

    name = "pairs_consumed"
    summary = "Training pairs until the task is deciphered for the first time."
    gives: ClassVar = {
        "pairs_consumed": _pairs("Pairs at the first deciphered evaluation."),
        "last_failing_pairs": _pairs(
            "Pairs at the last failing evaluation before the first deciphered one.", "none"
        ),
    }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the bracket; None or NOT_MEASURED where no evaluation is deciphered."""
        consumed = first_passage(trajectory.solved, trajectory)
        before = int(trajectory.solved.argmax()) - 1
        failing = int(trajectory.pairs[before]) if before >= 0 else None
        reached = isinstance(consumed, int)
        return {"pairs_consumed": consumed, "last_failing_pairs": failing if reached else consumed}


class DecipherEpoch(OfDeciphering):
    """``ceil(pairs_consumed / epoch_pairs)``, counted from 1.

    Right on the last pair of epoch 1 is epoch 1; one pair later is epoch 2. A model that is
    right before its first pair is said to decipher in epoch 1, so that no epoch 0 exists.
    """

    name = "decipher_epoch"
    summary = "Epoch, from 1, in which the task is deciphered for the first time."
    gives: ClassVar = {"decipher_epoch": Output(unit="epochs", direction="lower", summary=summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the epoch; None or NOT_MEASURED where no evaluation is deciphered."""
        pairs = first_passage(trajectory.solved, trajectory)
        if not isinstance(pairs, int):
            return {"decipher_epoch": pairs}
        return {"decipher_epoch": max(1, -(-pairs // trajectory.facts.epoch_pairs))}


class ExcessPairs(OfDeciphering):
    """`pairs_consumed` minus `all_seen` rounded up to the end of its batch.

    A learner that is right only about inputs it has been shown, and at once, has exactly 0,
    whatever the luck of its stream, so this is what the ranking uses. `all_seen` is a bound for
    such learners only: luck, guessing by class frequency, structured input and prior knowledge
    go below it. It is None where the inputs cannot be enumerated or the stream never shows one
    of them, and the excess is then None too.
    """

    name = "excess_pairs"
    summary = "Pairs consumed beyond the batch in which the stream has shown every input."
    gives: ClassVar = {
        "all_seen": _pairs(
            "Position in this seed's stream at which every input has appeared.", "none"
        ),
        "excess_pairs": _pairs(summary),
    }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return both; the excess is None where either of its terms is."""
        first_seen = trajectory.arrays["first_seen"]
        if not task.input.enumerable or not first_seen.all():
            return {"all_seen": None, "excess_pairs": None}
        all_seen, pairs = int(first_seen.max()), first_passage(trajectory.solved, trajectory)
        end = batch_end(all_seen, trajectory.facts)
        excess = pairs - end if isinstance(pairs, int) else pairs
        return {"all_seen": all_seen, "excess_pairs": excess}


def batch_end(position: int, facts: TrajectoryFacts) -> int:
    """Return the pairs presented once the batch that holds a stream position is done.

    Batches restart at each epoch, so an epoch's last batch may be short; so may the very
    last batch of a run. With batches of 4 and epochs of 10: position 3 gives 4, position 9
    gives 10 and position 11 gives 14, or 12 where the run ended at 12.

    Args:
        position: Position in the stream, from 1.
        facts: Batch and epoch size, and where the run ended.
    """
    epoch_start = (position - 1) // facts.epoch_pairs * facts.epoch_pairs
    batches = -(-(position - epoch_start) // facts.batch_size)
    end = epoch_start + min(batches * facts.batch_size, facts.epoch_pairs)
    return min(end, facts.pairs) if position <= facts.pairs else end


class SustainedPairs(OfDeciphering):
    """The first evaluation from which all evaluations stay right for the next `window_pairs` pairs.

    That is the start of the first unbroken stretch of deciphered evaluations whose last evaluation
    lies at least `window_pairs` beyond its first. A run that ends inside the window is
    censored: it has not shown that it stays right.

    A relapse is a deciphered evaluation followed by one that is not, counted up to
    `sustained_pairs`, or over the whole run where deciphering is never sustained. Success
    of a run means sustained. All three are NOT_MEASURED in a run that was stopped before
    the question was settled.
    """

    name = "sustained_pairs"
    summary = "Training pairs until the task is deciphered and stays so for a whole window."
    gives: ClassVar = {
        "sustained_pairs": _pairs(
            "Pairs at the first evaluation from which deciphering lasts a window."
        ),
        "relapses": Output(
            unit="count",
            direction="lower",
            summary="Times the task was deciphered and lost again before it was sustained.",
        ),
        "success": Output(
            unit="bool", direction="higher", summary="Whether deciphering was sustained."
        ),
    }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the three values; see the class for None and NOT_MEASURED."""
        window = cast(int, trajectory.facts.protocol["window_pairs"])
        start = _sustained_from(trajectory.solved, trajectory.pairs, window)
        if start is None and never(trajectory) is NOT_MEASURED:
            return dict.fromkeys(("sustained_pairs", "relapses", "success"), NOT_MEASURED)
        before = trajectory.solved[: None if start is None else start + 1]
        return {
            "sustained_pairs": None if start is None else int(trajectory.pairs[start]),
            "relapses": int(np.count_nonzero(before[:-1] & ~before[1:])),
            "success": start is not None,
        }


def _sustained_from(right: BoolArray, pairs: IntArray, window: int) -> int | None:
    """Return the index of the first evaluation that begins a long enough stretch of right ones.

    Args:
        right: Whether each evaluation is deciphered, shape (T,).
        pairs: Pairs presented before each evaluation, shape (T,).
        window: Pairs that a stretch must span from its first evaluation to its last.
    """
    steps = np.diff(right.astype(np.int8), prepend=0, append=0)
    firsts, lasts = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    long_enough = firsts[pairs[lasts] - pairs[firsts] >= window]
    return int(long_enough[0]) if len(long_enough) else None


class ConfidentPairs(OfDeciphering):
    """The first evaluation at which every true class has probability tau or more.

    For a task with a target accuracy below 1, as many evaluation inputs must be that sure as
    must be right for the task to be deciphered. Probabilities are float64 softmax of the
    logits; nothing counts from the first non-finite evaluation on.
    """

    name = "confident_pairs"
    summary = "Training pairs until every true class has at least a given probability."
    gives: ClassVar = {
        name: _pairs(f"Pairs at the first evaluation with p(true class) >= {tau} throughout.")
        for name, tau in _TAUS.items()
    }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return pairs for each tau; None or NOT_MEASURED where no evaluation is that sure."""
        surest = _required_confidence(trajectory, required_right(task))
        return {name: first_passage(surest >= tau, trajectory) for name, tau in _TAUS.items()}


def _required_confidence(trajectory: Trajectory, needed: int) -> FloatArray:
    """Return, for each evaluation, the p(true) that at least `needed` inputs reach, shape (T,).

    Where all inputs are needed this is the minimum over inputs. Non-finite evaluations get -1.
    """
    n_finite = int(trajectory.finite.sum())
    p_true = trajectory.probabilities(slice(n_finite))[
        :, np.arange(len(trajectory.targets)), trajectory.targets
    ]
    confidence = np.full(len(trajectory.pairs), -1.0)
    confidence[:n_finite] = np.sort(p_true, axis=1)[:, -needed]
    return confidence


# How a run ends

_OF_A_STOP: tuple[tuple[str, str, Literal["higher", "lower"], str], ...] = (
    ("p", "probability", "higher", "p(stop) of {}."),
    ("margin", "logits", "higher", "Logit of stop minus the best rival's for {}."),
    ("entropy", "nats", "lower", "Entropy of the prediction for {}."),
    ("rivals", "count", "lower", f"Wrong classes with p >= {_VISIBLE} for {{}}."),
)
"""What is said of each stop codon: the end of the value's name, unit, direction and summary."""


class RareStopAmbiguity(OfDeciphering):
    """How many stop codons are left ambiguous, and how each of them stands.

    Stop codons end one open reading frame each, so they are the rarest inputs and the last
    to be learnt. They are the members of the task's group ``stop``; a task without one has
    None throughout. All but `stops_right_pairs` refer to the last evaluation. Where that is
    non-finite every stop codon counts as ambiguous and the details are None.
    """

    name = "rare_stop_ambiguity"
    summary = "Stop codons that the model is not sure of at the end, and how each stands."

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the count, the pairs until all are right, and four values a stop codon."""
        outputs = {
            "rare_stop_ambiguity": Output(
                unit="count",
                direction="lower",
                summary=f"Stop codons with p(stop) < {_SURE} at the last evaluation.",
            ),
            "stops_right_pairs": Output(
                unit="pairs",
                direction="lower",
                summary="Pairs at the first evaluation with every stop codon right.",
            ),
        }
        codons = [task.evaluation_set.inputs[stop] for stop in task.groups.get("stop", ())]
        return outputs | {
            f"stop_{codon}_{part}": Output(
                unit=unit, direction=direction, summary=summary.format(codon)
            )
            for codon in codons
            for part, unit, direction, summary in _OF_A_STOP
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return exactly those values."""
        stops = list(task.groups.get("stop", ()))
        if not stops:
            return {"rare_stop_ambiguity": None, "stops_right_pairs": None}
        all_right = np.asarray(trajectory.right[:, stops].all(axis=1))
        values: dict[str, MetricValue] = {"stops_right_pairs": first_passage(all_right, trajectory)}
        finite, unsure = trajectory.finite[-1], 0
        for stop in stops:
            of_it = _values_of(stop, trajectory) if finite else (None,) * len(_OF_A_STOP)
            unsure += of_it[0] is None or of_it[0] < _SURE
            for (part, *_), value in zip(_OF_A_STOP, of_it, strict=True):
                values[f"stop_{task.evaluation_set.inputs[stop]}_{part}"] = value
        return values | {"rare_stop_ambiguity": unsure}


def _values_of(stop: int, trajectory: Trajectory) -> tuple[float, float, float, int]:
    """Return the four values of one stop codon, an evaluation's index, at the last evaluation."""
    p, label = trajectory.probabilities(-1)[stop], trajectory.targets[stop]
    margin = trajectory.true_logit[-1, stop] - trajectory.best_rival_logit[-1, stop]
    nats = p * -np.log(np.maximum(p, np.finfo(np.float64).tiny))
    rivals = int((np.delete(p, label) >= _VISIBLE).sum())
    return float(p[label]), float(margin), float(nats.sum()), rivals


class HeldOutAccuracy(OfDeciphering):
    """Share of the held-out pairs that the last evaluation has right.

    A held-out pair is an evaluation input, so the accuracy follows from the evaluation and from how
    often each input is held out; no second pass over data is needed. None where no pair is
    held out. A tie is wrong, and a non-finite last evaluation has 0.
    """

    name = "test_accuracy"
    summary = "Share of the held-out pairs that are right at the last evaluation."

    gives: ClassVar = {"test_accuracy": Output(unit="share", direction="higher", summary=summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the share, 0 to 1."""
        counts = trajectory.arrays["test_counts"]
        held_out, right = int(counts.sum()), int(counts[trajectory.right[-1]].sum())
        return {"test_accuracy": right / held_out if held_out else None}


# The instrument


class PaperInstrument(OfDeciphering):
    """The epoch and the pairs that the paper's heat map and its counting would give.

    What "unequivocal" means is not spelt out in the paper, so three readings are given:
    ``argmax``, ``unique`` and ``clean``. `paper_epoch` and `paper_pairs` are the ``unique``
    ones: the colour scale saturates at p = 0.056, so a column looks settled when one cell
    is at full colour and no other is. Epochs count from 1. Pairs are counted as the
    authors' script prints them, one epoch short from the second epoch on; see
    `printed_pairs`.

    None in a run that never got there in its budget, and wherever the instrument is not
    defined: tasks without `instrument_batches`, and batches of other than 64. NOT_MEASURED
    in every run that was ended by a stop rule, also where the map was settled before that:
    keeping only those that were would keep the fast ones. NOT_MEASURED too where the trajectory
    lacks the evaluation of a frame.
    """

    name = "paper_instrument"
    summary = "Epoch and pairs as the heat maps of Joiret et al. (2023) would report them."

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return epoch and pairs, under the published criterion and under each of three."""
        outputs = {}
        for suffix, meaning in {"": _CRITERIA[_PUBLISHED], **_CRITERIA}.items():
            epoch, pairs = _names(suffix)
            outputs[epoch] = Output(
                unit="epochs", direction="lower", summary=f"Epoch, by the paper: {meaning}."
            )
            outputs[pairs] = Output(
                unit="pairs", direction="lower", summary=f"Pairs as the paper prints: {meaning}."
            )
        return outputs

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return exactly those values; see the class for None and NOT_MEASURED."""
        if not task.facts.get("instrument_batches") or trajectory.facts.batch_size != _BATCH:
            return dict.fromkeys(self.outputs(task))
        frames, epoch_pairs = trajectory.arrays["frame_pairs"], trajectory.facts.epoch_pairs
        if not trajectory.facts.complete or not np.isin(frames, trajectory.pairs).all():
            return dict.fromkeys(self.outputs(task), NOT_MEASURED)
        values: dict[str, MetricValue] = {}
        for criterion, settled in _settled_columns(trajectory, frames).items():
            epoch, printed = _names(criterion)
            frame = first_settled_frame(settled, trajectory.arrays["frame_inputs"])
            pairs = None if frame is None else int(frames[frame])
            values[epoch] = None if pairs is None else (pairs - 1) // epoch_pairs + 1
            values[printed] = None if pairs is None else printed_pairs(pairs, epoch_pairs)
        published = [values[name] for name in _names(_PUBLISHED)]
        return values | dict(zip(_names(""), published, strict=True))


def _names(criterion: str) -> tuple[str, str]:
    """Return the names of the epoch and the pairs under a criterion; "" has no suffix."""
    suffix = f"_{criterion}" if criterion else ""
    return f"paper_epoch{suffix}", f"paper_pairs{suffix}"


def _settled_columns(trajectory: Trajectory, frames: IntArray) -> dict[str, BoolArray]:
    """Return, for each criterion, which columns would pass it if redrawn, shape (F, P).

    None does from the first non-finite evaluation on. `frames`: the instrument's, in pairs.
    """
    probes = np.searchsorted(trajectory.pairs, frames)
    finite = trajectory.finite[probes, None]
    p = np.where(finite[..., None], trajectory.probabilities(slice(None))[probes], 0.0)
    columns = np.arange(len(trajectory.targets))
    p_true = p[:, columns, trajectory.targets]
    p[:, columns, trajectory.targets] = 0.0
    p_rival = p.max(axis=2)
    visible = p_true >= _VISIBLE
    return {
        "argmax": trajectory.right[probes],
        "unique": visible & (p_rival < _VISIBLE),
        "clean": visible & (p_rival < _CLEAN),
    }


def first_settled_frame(settled: BoolArray, frame_inputs: IntArray) -> int | None:
    """Return the first frame at which the whole heat map is drawn and settled.

    Each frame redraws the columns of the inputs in its batch; the others keep what an
    earlier frame drew. With two columns, frames that redraw {0}, {0}, {1} and column 0
    settled at the first frame only, the map is complete at the third but column 0 still
    shows the second: not settled.

    Args:
        settled: Whether each column, redrawn at each frame, is unequivocal, shape (F, P).
        frame_inputs: Probe inputs in the batch behind each frame, shape (F, B).

    Returns:
        The frame's index, from 0, or None.
    """
    n_frames, n_columns = settled.shape
    redrawn = (frame_inputs[:, :, None] == np.arange(n_columns)).any(axis=1)
    frames = np.arange(n_frames)[:, None]
    drawn_at = np.maximum.accumulate(np.where(redrawn, frames, -1), axis=0)
    shown = (drawn_at >= 0) & settled[drawn_at, np.arange(n_columns)]
    complete = shown.all(axis=1)
    return int(complete.argmax()) if complete.any() else None


def printed_pairs(pairs: int, epoch_pairs: int) -> int:
    """Return the cumulated pairs that the authors' script prints after so many pairs.

    It prints ``max(0, (i - 1) * 576000) + 64 * batch`` with the epoch ``i`` counted from 0,
    which is one epoch short from the second epoch on: batch 6000 of the second epoch is
    printed as 384,000 pairs, where 960,000 have been presented.

    Args:
        pairs: Pairs presented, from 1.
        epoch_pairs: Pairs in one epoch.
    """
    epoch = (pairs - 1) // epoch_pairs
    return max(0, (epoch - 1) * epoch_pairs) + pairs - epoch * epoch_pairs
