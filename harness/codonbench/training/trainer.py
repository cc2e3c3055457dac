"""A learner's side: modules built and led through their lessons, several in one captured step.

Nothing here knows a true class, a seed or a salt; see `lesson.Brief`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from codonbench.contracts import BatchLearner, Model, ModelConfig
from codonbench.contracts.run_record import Engine
from codonbench.engines.batches import rows_of
from codonbench.engines.blocks import Blocks, train_in_blocks
from codonbench.engines.check import check_against_reference, check_claims, same_alone
from codonbench.engines.errors import CannotCapture
from codonbench.engines.rungs import LADDER, Rung
from codonbench.engines.traced import Traced, most_seeds, train_together
from codonbench.errors import UsageError
from codonbench.records.printable import storable
from codonbench.training.checkpoint import Keeper, read_state, restore
from codonbench.training.feed import Course, Leader, Probes
from codonbench.training.loop import ENGINE as EAGER
from codonbench.training.loop import ENGINE_VERSION as EAGER_VERSION
from codonbench.training.loop import train as train_eagerly
from codonbench.training.result import Lab, last_words, settled
from codonbench.training.seeding import seeded_globals
from codonbench.training.state import Brief, Lesson, make_lesson


@dataclass(frozen=True)
class Assignment:
    """One run, as its learner is given it.

    Attributes:
        run: Its number for the leader.
        brief: What is known before the first pair.
        start, state: Where it goes on, and the file it goes on from, where it was cut short.
    """

    run: int
    brief: Brief
    start: int = 0
    state: Path | None = None


def study(
    model: type[Model],
    config: ModelConfig,
    assignments: Sequence[Assignment],
    leader: Leader,
    every: float | None,
) -> Iterator[tuple[int, Lab]]:
    """Train the model once for each assignment; yield each run's number and lab as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow.

    Args:
        model: Who learns.
        config: Its configuration.
        assignments: One a seed, differing in nothing but chance and where they go on.
        leader: Of all of them.
        every: Seconds between two times that progress is kept; None for never.

    Raises:
        UsageError: The model cannot serve this task.
    """
    # Only what is at the same place can share a step.
    interrupted = False
    for _, group in groupby(sorted(assignments, key=_place), key=_place):
        for run, lab in _Class(model, config, tuple(group), leader, every).learn():
            yield run, lab
            interrupted = lab.status == "interrupted"
        if interrupted:
            return


def _place(assignment: Assignment) -> int:
    return assignment.start


@dataclass(frozen=True)
class _Class:
    """Some runs of one model that begin at the same place."""

    model: type[Model]
    config: ModelConfig
    assignments: tuple[Assignment, ...]
    leader: Leader
    every: float | None

    def learn(self) -> Iterator[tuple[int, Lab]]:
        """Train on the highest rung that holds."""
        reasons: list[str] = []
        for rung in LADDER[self.assignments[0].brief.engine]:
            try:
                yield from self._together(rung, storable("; ".join(reasons)))
                return
            except CannotCapture as why:
                reasons.append(str(why))
        reason = storable("; ".join(dict.fromkeys(reasons)))
        for assignment in self.assignments:
            lab = self._alone(assignment, reason)
            yield assignment.run, lab
            if lab.status == "interrupted":
                return

    def _alone(self, assignment: Assignment, reason: str) -> Lab:
        """Train one seed's module in the reference loop, under the seed's own chance."""
        facts = Engine(name=EAGER, version=EAGER_VERSION, reason=reason)
        lab = Lab(Probes(), engine=facts)
        kept = assignment.state
        state = None if kept is None else read_state(kept, facts.model_dump())
        self.leader.begin(assignment.run)
        with seeded_globals(assignment.brief.chance), last_words(self.model, lab):
            lesson = make_lesson(self.model(self.config), self.config, assignment.brief)
            lab.module = lesson.module
            if state is not None:
                try:
                    restore(lesson, state)
                except Exception:  # it is of another module: begin anew
                    return self._alone(replace(assignment, start=0, state=None), reason)
                lab.engine = Engine(**state["facts"])
            start = 0 if state is None else assignment.start
            course = self._course(assignment, lesson, lab, start)
            train_eagerly(course, self._keeper(lab.engine, [lesson]))
        return settled(lab)

    def _together(self, rung: Rung, reason: str) -> Iterator[tuple[int, Lab]]:
        """Build all seeds' modules and train them in one captured step.

        Args:
            rung: How the step is executed.
            reason: Why not on a higher rung.

        Raises:
            CannotCapture: The model, its optimiser or the task does not allow it, or the
                captured step is not the reference's.
        """
        first = self.assignments[0]
        self.leader.begin(first.run)  # the others begin when their turn comes
        try:
            groups, engines, lessons = self._captured(rung)
            trainers = [_trainer(engine) for engine in engines]
        except (CannotCapture, UsageError):
            raise
        except (Exception, SystemExit) as error:
            # The reference loop will meet it too, and say what is wrong with the plugin.
            raise CannotCapture(f"{type(error).__name__}: {error}") from error
        for group, engine, train in zip(groups, engines, trainers, strict=True):
            facts = Engine(
                name=rung.name,
                version=rung.version,
                seeds_together=len(lessons[groups[0]]),
                rows=rows_of(lessons[0]) or 0,
                reason=reason,
            )
            members = self.assignments[group]
            for assignment in members:
                if assignment is not first:
                    self.leader.begin(assignment.run)
            labs = [Lab(Probes(), lesson.module, engine=facts) for lesson in lessons[group]]
            start = _put_back(engine, members, labs, facts)
            courses = [
                self._course(assignment, lesson, lab, start)
                for assignment, lesson, lab in zip(members, lessons[group], labs, strict=True)
            ]
            keeper = self._keeper(facts, lessons[group])
            yield from _train_group(self.model, courses, labs, train, keeper)
            if any(lab.status == "interrupted" for lab in labs):
                return

    def _captured(self, rung: Rung) -> tuple[list[slice], list[Traced], list[Lesson]]:
        """Return all lessons, how they are grouped, and an engine for each group, checked."""

        def lesson_of(assignment: Assignment) -> Lesson:
            with seeded_globals(assignment.brief.chance):
                return make_lesson(self.model(self.config), self.config, assignment.brief)

        brief = self.assignments[0].brief
        with seeded_globals(brief.chance):
            check_claims(self.model(self.config), brief.view, brief.device, rung)
        lessons = [lesson_of(assignment) for assignment in self.assignments]
        self._check(brief, rung)
        together = min(len(lessons), most_seeds(lessons[0]))
        engine = Traced(lessons[:together], rung)
        if together > 1 and not same_alone(lessons[:together], engine):
            together, engine = 1, Traced(lessons[:1], rung)
        groups = [slice(i, i + together) for i in range(0, len(lessons), together)]
        engines = [engine, *(Traced(lessons[group], rung) for group in groups[1:])]
        return groups, engines, lessons

    def _check(self, brief: Brief, rung: Rung) -> None:
        """Hold a captured step to the reference's in float64, on pairs and labels made up."""
        chance = np.random.default_rng(0)
        n_inputs = len(brief.inputs)
        labels = chance.integers(brief.view.n_classes, size=n_inputs)
        batches = chance.integers(n_inputs, size=(3, self.config.batch_size))

        def lesson() -> Lesson:
            with seeded_globals(brief.chance):
                plugin = self.model(self.config)
                return make_lesson(plugin, self.config, brief, torch.float64, labels)

        reference = lesson()
        if isinstance(reference.module, BatchLearner):
            raise CannotCapture("the model learns without gradients")
        check_against_reference(reference, Traced([lesson()], rung), list(batches))

    def _course(self, assignment: Assignment, lesson: Lesson, lab: Lab, start: int) -> Course:
        clock = assignment.brief.clock
        return Course(assignment.run, lesson, clock, self.leader, lab.probes, start)

    def _keeper(self, facts: Engine, lessons: Sequence[Lesson]) -> Keeper:
        return Keeper(self.leader, self.every, facts.model_dump(), lessons)


Trainer = Callable[[Sequence[Course], Keeper], Iterator[Course]]


def _trainer(engine: Traced) -> Trainer:
    """Return what trains an engine's courses, ready to begin."""
    if not engine.rung.in_blocks:
        return lambda courses, keeper: train_together(courses, engine, keeper)
    blocks = Blocks(engine)
    return lambda courses, keeper: train_in_blocks(courses, blocks, keeper)


def _put_back(
    engine: Traced, members: Sequence[Assignment], labs: Sequence[Lab], facts: Engine
) -> int:
    """Put an engine's seeds where they were cut short; return where that is."""
    files = [member.state for member in members if member.state is not None]
    read = [read_state(file, facts.model_dump()) for file in files]
    states = [state for state in read if state is not None]
    if len(states) < len(members) or not all(engine.fits(i, s) for i, s in enumerate(states)):
        return 0
    for i, (lab, state) in enumerate(zip(labs, states, strict=True)):
        engine.put(i, state)
        lab.engine = Engine(**state["facts"])
    return members[0].start


def _train_group(
    model: type[Model],
    courses: Sequence[Course],
    labs: Sequence[Lab],
    train: Trainer,
    keeper: Keeper,
) -> Iterator[tuple[int, Lab]]:
    """Train seeds that share a step; yield each as it is over."""
    left = {course.run: lab for course, lab in zip(courses, labs, strict=True)}
    with last_words(model, *labs):
        for course in train(courses, keeper):
            yield course.run, settled(left.pop(course.run))
    for run, lab in left.items():  # Ctrl-C or an exception ended them
        yield run, settled(lab)
