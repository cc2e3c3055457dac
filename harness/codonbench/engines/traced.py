"""The traced engine: several seeds a step, each step replayed from a recording."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from codonbench.engines.capture import captured
from codonbench.engines.ensemble import Ensemble
from codonbench.engines.optimizers import Rule, recognise
from codonbench.streams import Batch
from codonbench.training import Course, Lesson

ENGINE = "traced"
ENGINE_VERSION = "1"

_CHUNK = 128  # steps whose batches are counted at once
_PATIENCE = 32  # chunks after which even one finished seed is worth a new capture


class Traced:
    """Some seeds of one model, ready to be trained together.

    Raises:
        CannotCapture: The module, its optimiser or the task does not allow it.
    """

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self.ensemble = make_ensemble(lessons)
        self.flats = list(self.ensemble.flat.unbind(0))
        self.rule = make_rule(lessons[0], self.flats)
        example = torch.zeros(len(lessons), len(lessons[0].labels), dtype=self.ensemble.dtype)
        self._gradients = captured(self.ensemble.gradients, (self.ensemble.flat, example))
        self._forward = captured(self.ensemble.forward, (self.ensemble.flat,))

    def without(self, courses: Sequence[Course], kept: list[int]) -> Traced:
        """Return an engine that goes on with some of the seeds, from where they are."""
        for i in kept:
            self.ensemble.write_back(self.flats[i], courses[i].lesson.module)
        smaller = Traced([courses[i].lesson for i in kept])
        self.rule.keep(kept)
        smaller.rule = self.rule
        return smaller

    def gradients(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return every seed's gradient (S, N) in a batch, told by its coefficients (S, K).

        And the logits of all inputs before it has been learned from, (S, K, C).
        """
        gradients, logits = self._gradients(self.ensemble.flat, coefficients)
        return gradients, logits

    def update(self, gradients: Tensor) -> None:
        """Move every seed's parameters by its gradient."""
        self.rule.update(self.flats, list(gradients.unbind(0)))

    def logits(self) -> Tensor:
        """Return the logits of all inputs, shape (S, K, C)."""
        return torch.as_tensor(self._forward(self.ensemble.flat))


def make_ensemble(lessons: Sequence[Lesson]) -> Ensemble:
    """Return the ensemble of some seeds' lessons."""
    first = lessons[0]
    inputs = first.encode(torch.arange(len(first.labels)))
    labels = torch.stack([lesson.labels for lesson in lessons])
    return Ensemble(
        [lesson.module for lesson in lessons], inputs, labels, first.n_classes, first.fan
    )


def make_rule(lesson: Lesson, flats: list[Tensor]) -> Rule:
    """Return the update rule of a lesson's optimiser, for seeds with parameters `flats`."""
    assert lesson.optimizer is not None
    return recognise(lesson.optimizer, lesson.module, flats)


def train_together(courses: Sequence[Course]) -> Iterator[Course]:
    """Train all courses in step; yield each as it is over, its probes and module filled.

    As seeds come to their end, the others go on in a smaller ensemble.

    Args:
        courses: One a seed; they share batch size, epoch and budget.

    Raises:
        CannotCapture: Before anything is trained.
    """
    engine = Traced([course.lesson for course in courses])
    members = list(courses)
    sources = [course.batches() for course in courses]
    waited = 0
    try:
        while running := [i for i, course in enumerate(members) if not course.probes.over]:
            waited += 1
            if len(running) <= len(members) / 2 or (
                len(running) < len(members) and waited >= _PATIENCE
            ):
                engine, waited = engine.without(members, running), 0
                members = [members[i] for i in running]
                sources = [sources[i] for i in running]
            chunk = [list(islice(source, _CHUNK)) for source in sources]
            if not chunk[0]:  # the budget is spent: no next step has the last probe's logits
                yield from _look(engine, members, engine.logits())
                break
            weighted = coefficients([c.lesson for c in members], chunk, engine.ensemble.dtype)
            for t, weights in enumerate(weighted):
                gradients, logits = engine.gradients(weights)
                if any(course.is_due for course in members):
                    yield from _look(engine, members, logits)
                    if all(course.probes.over for course in members):
                        break
                engine.update(gradients)
                for course, batches in zip(members, chunk, strict=True):
                    if not course.probes.over:
                        course.learned(batches[t])
    finally:  # also after Ctrl-C: what was learned until then is kept
        for flat, course in zip(engine.flats, members, strict=True):
            if not course.probes.over:
                engine.ensemble.write_back(flat, course.lesson.module)


def _look(engine: Traced, members: Sequence[Course], logits: Tensor) -> Iterator[Course]:
    """Probe the members that are due, by the logits (S, K, C); yield those that are over now."""
    started = time.perf_counter()
    seen = logits.to(torch.float32).numpy()
    due = [i for i, course in enumerate(members) if course.is_due]
    for i in due:
        course = members[i]
        course.probed(seen[i][course.lesson.probe.numpy()])
        if course.probes.over:
            engine.ensemble.write_back(engine.flats[i], course.lesson.module)
    spent = (time.perf_counter() - started) / len(due)
    for i in due:
        members[i].probes.seconds += spent
    yield from (members[i] for i in due if members[i].probes.over)


def coefficients(
    lessons: Sequence[Lesson], chunk: Sequence[Sequence[Batch]], dtype: torch.dtype
) -> Tensor:
    """Return the weight of each input in each batch of each seed, shape (T, S, K).

    The cross-entropy of a batch is the sum over inputs of this weight times the input's own.
    """
    n_inputs = len(lessons[0].labels)
    result = np.empty((len(chunk[0]), len(lessons), n_inputs))
    for i, (lesson, batches) in enumerate(zip(lessons, chunk, strict=True)):
        sizes = [len(batch.index) for batch in batches]
        place = np.repeat(np.arange(len(batches)) * n_inputs, sizes)
        index = np.concatenate([batch.index for batch in batches])
        counts = np.bincount(place + index, minlength=len(batches) * n_inputs)
        weighted = counts.reshape(len(batches), n_inputs).astype(np.float64)
        total = np.asarray(sizes, dtype=np.float64)
        if lesson.weighting != "none" and lesson.class_weights is not None:
            weighted *= lesson.class_weights[lesson.labels].double().numpy()
            if lesson.weighting == "sum":
                total = weighted.sum(axis=1)
        result[:, i] = weighted / total[:, None]
    return torch.as_tensor(result).to(dtype)
