"""How a run stands at its last snapshot: the rarest inputs, and the pairs held out."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from codonbench import Output, TaskSpec, Trajectory
from codonbench.contracts import MetricValue
from codonbench_metrics.first_passage import OfDeciphering, first_passage

_SURE = 0.9
_VISIBLE = 0.056  # where the reference publication's colour scale saturates


class RareStopAmbiguity(OfDeciphering):
    """How many stop codons are left ambiguous, and how each of them stands.

    Stop codons end one open reading frame each, so they are the rarest inputs and the last
    to be learnt. They are the members of the task's group ``stop``; a task without one has
    None throughout. All but `stops_right_pairs` refer to the last probe. Where that is
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
                summary=f"Stop codons with p(stop) < {_SURE} at the last probe.",
            ),
            "stops_right_pairs": Output(
                unit="pairs",
                direction="lower",
                summary="Pairs at the first probe with every stop codon right.",
            ),
        }
        for codon in (task.evaluation_set.inputs[member] for member in task.groups.get("stop", ())):
            outputs |= _outputs_of(codon)
        return outputs

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return exactly those values."""
        stops = list(task.groups.get("stop", ()))
        if not stops:
            return {"rare_stop_ambiguity": None, "stops_right_pairs": None}
        all_right = np.asarray(trajectory.right[:, stops].all(axis=1))
        values: dict[str, MetricValue] = {"stops_right_pairs": first_passage(all_right, trajectory)}
        if not trajectory.finite[-1]:
            details = [
                name for stop in stops for name in _outputs_of(task.evaluation_set.inputs[stop])
            ]
            return values | {"rare_stop_ambiguity": len(stops)} | dict.fromkeys(details)
        for stop in stops:
            values |= _values_of(stop, trajectory)
        unsure = trajectory.probabilities(-1)[stops, trajectory.targets[stops]] < _SURE
        return values | {"rare_stop_ambiguity": int(unsure.sum())}


def _outputs_of(codon: str) -> dict[str, Output]:
    """Return the four outputs of one stop codon."""
    return {
        f"stop_{codon}_p": Output(
            unit="probability", direction="higher", summary=f"p(stop) of {codon}."
        ),
        f"stop_{codon}_margin": Output(
            unit="logits",
            direction="higher",
            summary=f"Logit of stop minus the best rival's for {codon}.",
        ),
        f"stop_{codon}_entropy": Output(
            unit="nats", direction="lower", summary=f"Entropy of the prediction for {codon}."
        ),
        f"stop_{codon}_rivals": Output(
            unit="count",
            direction="lower",
            summary=f"Wrong classes with p >= {_VISIBLE} for {codon}.",
        ),
    }


def _values_of(stop: int, trajectory: Trajectory) -> dict[str, MetricValue]:
    """Return the four values of one stop codon, a probe index, at the last probe."""
    codon, label = trajectory.task.evaluation_set.inputs[stop], trajectory.targets[stop]
    p = trajectory.probabilities(-1)[stop]
    nats = p * -np.log(np.maximum(p, np.finfo(np.float64).tiny))
    return {
        f"stop_{codon}_p": float(p[label]),
        f"stop_{codon}_margin": float(
            trajectory.true_logit[-1, stop] - trajectory.best_rival_logit[-1, stop]
        ),
        f"stop_{codon}_entropy": float(nats.sum()),
        f"stop_{codon}_rivals": int((np.delete(p, label) >= _VISIBLE).sum()),
    }


class HeldOutAccuracy(OfDeciphering):
    """Share of the held-out pairs that the last probe has right.

    A held-out pair is a probe input, so the accuracy follows from the probe and from how
    often each input is held out; no second pass over data is needed. None where no pair is
    held out. A tie is wrong, and a non-finite last probe has 0.
    """

    name = "test_accuracy"
    summary = "Share of the held-out pairs that are right at the last probe."

    gives: ClassVar = {"test_accuracy": Output(unit="share", direction="higher", summary=summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the share, 0 to 1."""
        held_out = int(trajectory.arrays["test_counts"].sum())
        if held_out == 0:
            return {"test_accuracy": None}
        return {
            "test_accuracy": int(trajectory.arrays["test_counts"][trajectory.right[-1]].sum())
            / held_out
        }
