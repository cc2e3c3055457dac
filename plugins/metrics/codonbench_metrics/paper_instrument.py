"""What the instrument of Joiret et al. (2023) would have reported for the same run.

Their figure of merit is a heat map of p(class | codon), redrawn three times an epoch, after
batches 3000, 6000 and 9000, and each time only in the columns of the codons that are in
that one batch of 64. A code is deciphered when the map is complete and unequivocal. So 192
pairs an epoch are looked at, and a model that is always right still waits until each rare
stop codon has been in one of those batches. With UAG, UAA and UGA at 0.57, 0.67 and 1.22 per
thousand (open reading frames of 400 codons) that takes about 14 epochs on average.

Reference: Frontiers in Artificial Intelligence 6 (2023), doi 10.3389/frai.2023.1128153.
"""

from collections.abc import Mapping

import numpy as np

from codonbench import NOT_MEASURED, Output, TaskSpec, Trajectory
from codonbench.contracts import MetricValue
from codonbench.contracts.trajectory import BoolArray, IntArray
from codonbench_metrics.first_passage import OfDeciphering

_BATCH = 64
_VISIBLE = 0.056  # p at which the map's colour scale saturates: brighter looks the same
_CLEAN = 0.014  # a quarter of that, below which a cell looks empty
_CRITERIA = {
    "argmax": "the true class beats every rival in each column",
    "unique": f"p(true) >= {_VISIBLE} and no rival >= {_VISIBLE} in each column",
    "clean": f"p(true) >= {_VISIBLE} and every rival < {_CLEAN} in each column",
}
_PUBLISHED = "unique"


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
    lacks the probe of a frame.
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
        if not trajectory.facts.complete:
            return dict.fromkeys(self.outputs(task), NOT_MEASURED)
        probes = _frame_probes(trajectory)
        if probes is None:
            return dict.fromkeys(self.outputs(task), NOT_MEASURED)
        values: dict[str, MetricValue] = {}
        for criterion, settled in _settled_columns(trajectory, probes).items():
            values |= _reading(criterion, settled, trajectory)
        return values | dict(
            zip(_names(""), (values[name] for name in _names(_PUBLISHED)), strict=True)
        )


def _names(criterion: str) -> tuple[str, str]:
    """Return the names of the epoch and the pairs under a criterion; "" has no suffix."""
    suffix = f"_{criterion}" if criterion else ""
    return f"paper_epoch{suffix}", f"paper_pairs{suffix}"


def _frame_probes(trajectory: Trajectory) -> IntArray | None:
    """Return the index of the probe taken at each frame, shape (F,); None if one is missing."""
    probes = np.searchsorted(trajectory.pairs, trajectory.arrays["frame_pairs"])
    if (probes == len(trajectory.pairs)).any() or (
        trajectory.pairs[probes] != trajectory.arrays["frame_pairs"]
    ).any():
        return None
    return probes


def _settled_columns(trajectory: Trajectory, probes: IntArray) -> dict[str, BoolArray]:
    """Return, for each criterion, which columns would pass it if redrawn, shape (F, P).

    None does from the first non-finite probe on.
    """
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


def _reading(criterion: str, settled: BoolArray, trajectory: Trajectory) -> dict[str, MetricValue]:
    """Return epoch and printed pairs under one criterion."""
    epoch_name, pairs_name = _names(criterion)
    frame = first_settled_frame(settled, trajectory.arrays["frame_inputs"])
    if frame is None:
        return {epoch_name: None, pairs_name: None}
    pairs, epoch_pairs = int(trajectory.arrays["frame_pairs"][frame]), trajectory.facts.epoch_pairs
    return {
        epoch_name: (pairs - 1) // epoch_pairs + 1,
        pairs_name: printed_pairs(pairs, epoch_pairs),
    }
