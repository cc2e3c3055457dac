"""What a model knows before its first pair: of an honest one, no more than chance gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from codonbench.contracts.run_spec import PUBLIC_SALT
from codonbench.data.relabelling import relabelling
from codonbench.testing.findings import Verdict, failed, passed
from codonbench.testing.subject import DEVICE, Subject
from codonbench.training.determinism import seeded_globals

_SEEDS = 5
_DRAWS = 2_000
_SPREADS = 6  # standard deviations above chance: no accident, and a known code is at 40 or more
_LARGEST = 256  # probe inputs that are compared pair by pair
_MOSTLY = 0.95  # of the inputs treated alike, that belong together
_MANY = 0.5  # of those that belong together, treated alike

_RULE = (
    "what it knows must come from the pairs it is shown; class ids are permuted from seed to "
    "seed, so a built-in code is worth nothing in a run and is not allowed in one"
)

IntArray = npt.NDArray[np.int64]


def knows_nothing(subject: Subject) -> Verdict:
    """Hold that an untrained module is right as often as chance is.

    It is asked for five seeds, once against the true class ids and once against those of the
    run. Chance is what the same answers get under class ids permuted at random. A module that
    gives inputs of one class one output, and others another, has the code without its names.
    """
    spec = subject.dataset.spec
    truth = np.asarray(spec.evaluation_set.targets)
    logits = [_untrained(subject, seed) for seed in range(_SEEDS)]
    answers = [_answers(table) for table in logits]
    hidden = [
        relabelling(len(spec.target.names), PUBLIC_SALT, s).hide(truth) for s in range(_SEEDS)
    ]
    mean, spread = _chance(answers, truth, len(spec.target.names))
    asked = _SEEDS * len(truth)
    for labels, whose in ((hidden, "as a run counts them"), ([truth] * _SEEDS, "by true class id")):
        right = sum(int((a == b).sum()) for a, b in zip(answers, labels, strict=True))
        if right > mean + _SPREADS * spread and right > mean + 1:
            return failed(
                f"untrained, it has {right} of {asked} {spec.input.unit}s right {whose} ({_SEEDS} "
                f"seeds), where chance gives {mean:.0f}, hardly ever more than "
                f"{mean + _SPREADS * spread:.0f}: it knows the answers already; {_RULE}"
            )
    alike, together, of = _grouping(logits[0], truth)
    if of and together >= _MOSTLY * alike and together >= _MANY * of:
        return failed(
            f"untrained, it gives the same output to {alike} pairs of {spec.input.unit}s, of which "
            f"{together} belong to one class, of {of} such pairs in all: the classes are built in, "
            f"without their names; {_RULE}"
        )
    right = sum(int((a == b).sum()) for a, b in zip(answers, hidden, strict=True))
    return passed(f"{right} of {asked} right untrained; chance gives {mean:.0f}")


def _untrained(subject: Subject, seed: int) -> npt.NDArray[np.float64]:
    """Return the logits of the probe set (P, C) before any training."""
    module = subject.build(seed).to(DEVICE).eval()
    probe = torch.as_tensor(subject.dataset.evaluation)
    with seeded_globals(seed), torch.no_grad():
        logits = module(subject.encoder(subject.plugin().encoding)(probe))
    return np.asarray(logits.double().numpy())


def _answers(logits: npt.NDArray[np.float64]) -> IntArray:
    """Return the class that beats every other for each input (P,); -1 where there is a tie."""
    best = logits.argmax(axis=1)
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) != 1
    return np.where(tied, -1, best).astype(np.int64)


def _chance(answers: list[IntArray], truth: IntArray, n_classes: int) -> tuple[float, float]:
    """Return mean and standard deviation of how many answers are right under random class ids."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(n_classes) for _ in range(_DRAWS)])
    hits = np.stack([(ids[:, truth] == answer).sum(axis=1) for answer in answers])
    return float(hits.mean(axis=1).sum()), float(np.sqrt(hits.var(axis=1).sum()))


def _grouping(logits: npt.NDArray[np.float64], truth: IntArray) -> tuple[int, int, int]:
    """Return pairs of inputs with the same output, those of one class among them, and all those."""
    logits, truth = logits[:_LARGEST], truth[:_LARGEST]
    above = np.triu_indices(len(truth), k=1)
    same_class = (truth[:, None] == truth[None])[above]
    scale = np.abs(logits).max() or 1.0
    apart = np.abs(logits[:, None] - logits[None]).max(axis=2)[above]
    same_output = apart < 1e-6 * scale
    return int(same_output.sum()), int((same_output & same_class).sum()), int(same_class.sum())
