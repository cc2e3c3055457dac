"""Several seeds a step, each step executed from a recording of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import torch
from torch import Tensor

from codonbench.engines.batches import Feed, feeds, rows_of
from codonbench.engines.ensemble import Ensemble
from codonbench.engines.errors import CannotCapture
from codonbench.engines.optimizers import Rule, recognise
from codonbench.engines.rungs import TRACED, Rung
from codonbench.training import Course, Lesson

_CHUNK = 128  # steps whose batches are counted at once
_PATIENCE = 32  # chunks after which even one finished seed is worth a new capture


_CACHE = 8 << 20  # bytes of parameters and their optimiser's state that a step runs through


def most_seeds(lesson: Lesson) -> int:
    """Return how many seeds a step should share at most: as many as the cache holds.

    Shared overhead counts for small networks, nearness in memory for large ones. On a GPU neither
    does. No result depends on it.
    """
    if lesson.labels.device.type != "cpu":
        return 1 << 20
    parameters = sum(p.numel() for p in lesson.module.parameters())
    return max(1, _CACHE // (16 * max(parameters, 1)))  # value, gradient and two moments each


class Traced:
    """Some seeds of one model, ready to be trained together.

    Args:
        lessons: One a seed.
        rung: How a step is executed.

    Raises:
        CannotCapture: The module, its optimiser or the task does not allow it.
    """

    def __init__(self, lessons: Sequence[Lesson], rung: Rung = TRACED) -> None:
        self.rung = rung
        self.ensemble = make_ensemble(lessons)
        self.flats = list(self.ensemble.flat.unbind(0))
        self.rule = make_rule(lessons[0], self.flats)
        flat = self.ensemble.flat
        self._gradients = rung.capture(self.ensemble.gradients, (flat, *self.ensemble.example()))
        self._forward = rung.capture(self.ensemble.forward, (flat,))

    def without(self, courses: Sequence[Course], kept: list[int]) -> Traced:
        """Return an engine that goes on with some of the seeds, from where they are."""
        for i in kept:
            self.ensemble.write_back(self.flats[i], courses[i].lesson.module)
        smaller = Traced([courses[i].lesson for i in kept], self.rung)
        self.rule.keep(kept)
        smaller.rule = self.rule
        return smaller

    def gradients(self, feed: Feed) -> tuple[Tensor, Tensor | None]:
        """Return every seed's gradient (S, N) in a batch.

        And, where the step computes them anyway, the logits of all inputs before that batch has
        been learned from, (S, K, C).
        """
        return self.ensemble.summed(self._gradients, self.ensemble.flat, feed)

    def update(self, gradients: Tensor) -> None:
        """Move every seed's parameters by its gradient."""
        self.rule.update(self.flats, list(gradients.unbind(0)))

    def logits(self) -> Tensor:
        """Return the logits of all inputs, shape (S, K, C)."""
        return torch.as_tensor(self._forward(self.ensemble.flat))


def make_ensemble(lessons: Sequence[Lesson]) -> Ensemble:
    """Return the ensemble of some seeds' lessons."""
    first = lessons[0]
    inputs = first.encode(torch.arange(len(first.labels), device=first.labels.device))
    labels = torch.stack([lesson.labels for lesson in lessons])
    modules = [lesson.module for lesson in lessons]
    return Ensemble(modules, inputs, labels, first.n_classes, first.fan, rows_of(first))


def make_rule(lesson: Lesson, flats: list[Tensor]) -> Rule:
    """Return the update rule of a lesson's optimiser, for seeds with parameters `flats`."""
    assert lesson.optimizer is not None
    return recognise(lesson.optimizer, lesson.module, flats)


def train_together(courses: Sequence[Course], engine: Traced) -> Iterator[Course]:
    """Train all courses in step; yield each as it is over, its probes and module filled.

    As seeds come to their end, the others go on in a smaller ensemble.

    Args:
        courses: One a seed; they share batch size, epoch and budget.
        engine: Made of their lessons, in that order.
    """
    members = list(courses)
    sources = [course.batches() for course in courses]
    waited = 0
    try:
        while running := [i for i, course in enumerate(members) if not course.probes.over]:
            waited += 1
            if engine.rung.shrinks and _is_worth_a_capture(len(running), len(members), waited):
                with suppress(CannotCapture):  # it goes on as it is, then
                    engine = engine.without(members, running)
                    members = [members[i] for i in running]
                    sources = [sources[i] for i in running]
                waited = 0
            chunk = [list(islice(source, _CHUNK)) for source in sources]
            if not chunk[0]:  # the budget is spent: no next step has the last probe's logits
                yield from _look(engine, members, None)
                break
            lessons = [course.lesson for course in members]
            for t, feed in enumerate(feeds(lessons, chunk, engine.ensemble.dtype)):
                gradients, logits = engine.gradients(feed)
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


def _is_worth_a_capture(running: int, members: int, waited: int) -> bool:
    """Return whether so many of the members, after so many chunks, deserve a step of their own."""
    return running <= members / 2 or (running < members and waited >= _PATIENCE)


def _look(engine: Traced, members: Sequence[Course], logits: Tensor | None) -> Iterator[Course]:
    """Probe the members that are due; yield those that are over now.

    Args:
        engine: Who learns.
        members: Their courses.
        logits: Of all inputs, (S, K, C), where they are known already.
    """
    started = time.perf_counter()
    seen = (engine.logits() if logits is None else logits).to(torch.float32).numpy()
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
