"""Our engines, driven as `bench run` drives them: batches counted, bookkeeping done.

The only file here that knows what an engine looks like from inside.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from codonbench.protocols.schedule import ProbeSchedule
from torch import Tensor

from codonbench.data.stream import Batch
from codonbench.engines.batches import Feed, feeds
from codonbench.engines.rungs import COMPILED, TRACED, Rung
from codonbench.engines.traced import Traced, most_seeds, train_together
from codonbench.protocols.referee import Guide, Guides
from codonbench.training.checkpoint import Keeper
from codonbench.training.feed import Course, Probes
from codonbench.training.loop import train
from contenders.ground import SEEDS, WARM, Ground

Trainer = Callable[[Sequence[Course], Keeper], Iterator[Course]]


def _one_by_one(courses: Sequence[Course], keeper: Keeper) -> Iterator[Course]:
    """Train in the reference loop; as iterators of courses go, each when it is over."""
    for course in courses:
        train(course, keeper)
        yield course


def _in_step(rung: Rung) -> Trainer:
    """Return what trains courses together on a rung."""

    def trainer(courses: Sequence[Course], keeper: Keeper) -> Iterator[Course]:
        engine = Traced([course.lesson for course in courses], rung)
        return train_together(courses, engine, keeper)

    return trainer


ENGINES: dict[str, tuple[Trainer, bool]] = {
    "eager": (_one_by_one, False),
    "traced": (_in_step(TRACED), True),
    "compiled": (_in_step(COMPILED), True),
}
"""By name: what trains some courses, and whether it takes several at once."""


class Schedule(Protocol):
    """What says where to probe next: the harness's own `ProbeSchedule`, or one of these."""

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return where to probe next."""


class Never:
    """A schedule without a probe."""

    def __init__(self, ground: Ground) -> None:
        self._end = ground.pairs

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return the end of the run, which no run goes without."""
        return self._end


class Always:
    """A schedule that probes after every step."""

    def __init__(self, ground: Ground) -> None:
        self._clock = ground.settings[0].clock

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return the end of the next batch."""
        return self._clock.step(position)


def scheduled(ground: Ground) -> ProbeSchedule:
    """Return the schedule of `bench run`, for the first seed."""
    setting = ground.settings[0]
    return ProbeSchedule(setting.clock, setting.dataset.spec, setting.stream.all_seen)


class Stopwatch:
    """A schedule with a probe at either end of the counted steps, which it times."""

    def __init__(self, ground: Ground, schedule: Schedule) -> None:
        self._steps, self._schedule = ground.steps, schedule
        self._seen: dict[int, list[float]] = {ground.warm_pairs: [], ground.pairs: []}

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return where to probe next."""
        stop = next(stop for stop in self._seen if stop > position)
        return min(stop, self._schedule.next_after(position, window_start))

    def probed(self, pairs: int, right: object, logits: object) -> None:
        """Note when a seed's probe was done."""
        if pairs in self._seen:
            self._seen[pairs].append(time.process_time())

    def seconds(self) -> float:
        """Return CPU seconds a step, from the last seed's first stop to the first seed's last."""
        started, ended = self._seen.values()
        return (min(ended) - max(started)) / self._steps


def _train(
    ground: Ground, trainer: Trainer, seeds: Sequence[int], watch: Stopwatch
) -> list[Course]:
    """Train some seeds, led as `bench run` leads them but probed as the stopwatch says."""
    leader = Guides([Guide(ground.settings[seed], lambda run_spec: watch.probed) for seed in seeds])
    courses = []
    for run, (seed, guide) in enumerate(zip(seeds, leader.guides, strict=True)):
        guide._schedule = watch
        leader.begin(run)
        setting = ground.settings[seed]
        courses.append(Course(run, ground.lesson(seed), setting.clock, leader, Probes()))
    deque(trainer(courses, Keeper(leader, None, {}, [])), maxlen=0)
    return courses


def _measure(ground: Ground, seeds: int, schedule: Schedule) -> float:
    trainer, shares_steps = ENGINES[ground.engine]
    everyone = list(range(seeds))
    seconds = 0.0
    size = most_seeds(ground.lesson()) if shares_steps else 1
    for group in (everyone[i : i + size] for i in range(0, seeds, size)):
        watch = Stopwatch(ground, schedule)
        _train(ground, trainer, group, watch)
        seconds += watch.seconds()
    return seconds / seeds


def alone(ground: Ground) -> float:
    """One seed, no probes."""
    return _measure(ground, 1, Never(ground))


def together(ground: Ground) -> float:
    """Eight seeds, no probes."""
    return _measure(ground, SEEDS, Never(ground))


def alone_on_schedule(ground: Ground) -> float:
    """One seed, probed as `bench run` probes."""
    return _measure(ground, 1, scheduled(ground))


def alone_probing(ground: Ground) -> float:
    """One seed, probed after every step."""
    return _measure(ground, 1, Always(ground))


def captured_step(ground: Ground, seeds: int) -> tuple[Callable[[Feed], None], Iterator[Feed]]:
    """Return the captured step of some seeds, and what to feed it: their batches, counted.

    Counting is part of the step's price, so it happens as the iterator is drawn from.
    """
    lessons = [ground.lesson(seed) for seed in range(seeds)]
    batches = [[Batch(index.numpy(), 0) for index in ground.batches(s)] for s in range(seeds)]

    def counted() -> Iterator[Feed]:
        for first in range(0, len(batches[0]), WARM):
            chunk = [mine[first : first + WARM] for mine in batches]
            yield from feeds(lessons, chunk, ground.dtype)

    engine = Traced(lessons, COMPILED if ground.engine == "compiled" else TRACED)

    def step(feed: Feed) -> None:
        gradients, _ = engine.gradients(feed)
        engine.update(gradients)

    return step, counted()


def weights_after(ground: Ground) -> list[dict[str, Tensor]]:
    """Return every seed's weights, by name, at the end of the ground."""
    trainer, _ = ENGINES[ground.engine]
    watch = Stopwatch(ground, Never(ground))
    courses = _train(ground, trainer, range(SEEDS), watch)
    return [course.lesson.module.state_dict() for course in courses]
