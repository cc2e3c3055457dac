"""Our engines, driven as `bench run` drives them: batches counted, bookkeeping done.

The only file here that knows what an engine looks like from inside.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from codonbench.contracts import Outputs
from codonbench.data.stream import Batch, first_positions
from codonbench.engines.capture import COMPILED, TRACED, Rung
from codonbench.engines.ensemble import StepInput, Traced, most_seeds, step_inputs, train_together
from codonbench.protocols.referee import (
    Evaluation,
    Instructions,
    Referee,
    RunOutputs,
    Schedule,
    unwatched,
)
from codonbench.training.loop import Checkpointer, Feed, train
from codonbench_datasets.decipher import Positions
from contenders.ground import SEEDS, WARM, Ground

Trainer = Callable[[Sequence[Feed], Checkpointer], Iterator[Feed]]


def _one_by_one(feeds: Sequence[Feed], checkpointer: Checkpointer) -> Iterator[Feed]:
    """Train in the plain loop, one after another."""
    for feed in feeds:
        train(feed, checkpointer)
        yield feed


def _in_step(rung: Rung) -> Trainer:
    """Return what trains runs together on a rung."""

    def trainer(feeds: Sequence[Feed], checkpointer: Checkpointer) -> Iterator[Feed]:
        engine = Traced([feed.state for feed in feeds], rung)
        return train_together(feeds, engine, checkpointer, lambda position, flats: None)

    return trainer


ENGINES: dict[str, tuple[Trainer, bool]] = {
    "eager": (_one_by_one, False),
    "traced": (_in_step(TRACED), True),
    "compiled": (_in_step(COMPILED), True),
}
"""By name: what trains some runs, and whether it takes several at once."""


After = Callable[[int], int]
"""Where to evaluate next, after a position."""


def never(ground: Ground) -> After:
    """Return a schedule without an evaluation but at the end, which no run goes without."""
    return lambda position: ground.pairs


def always(ground: Ground) -> After:
    """Return a schedule that evaluates after every step."""
    return lambda position: ground.setups[0].clock.step(position)


def scheduled(ground: Ground) -> After:
    """Return the schedule of `bench run`, for the first seed."""
    setup = ground.setups[0]
    dataset = setup.dataset
    seen = first_positions(setup.stream.epoch(0), dataset.evaluation, len(dataset.items))
    positions = Positions(setup.clock, dataset.spec, int(seen.max()))
    return lambda position: positions.after(position, None)


class Stopwatch(Schedule):
    """A schedule with an evaluation at either end of the counted steps, which it times."""

    def __init__(self, ground: Ground, after: After) -> None:
        self._steps, self._after, self._end = ground.steps, after, ground.pairs
        self._seen: dict[int, list[float]] = {ground.warm_pairs: [], ground.pairs: []}

    def first(self) -> Evaluation:
        """Return the evaluation before the first pair."""
        return Evaluation(position=0, split="evaluation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Note when a seed's evaluation was done; return the next."""
        position = evaluation.position
        if position in self._seen:
            self._seen[position].append(time.process_time())
        if position >= self._end:
            return None
        stop = next(stop for stop in self._seen if stop > position)
        return Evaluation(position=min(stop, self._after(position)), split="evaluation")

    def progress(self) -> str:
        """Return nothing: nobody waits."""
        return ""

    def seconds(self) -> float:
        """Return CPU seconds a step, from the last seed's first stop to the first seed's last."""
        started, ended = self._seen.values()
        return (min(ended) - max(started)) / self._steps


class Timed:
    """The referees of some runs, who go by a stopwatch."""

    def __init__(self, ground: Ground, seeds: Sequence[int], watch: Stopwatch) -> None:
        self.referees = [Referee(ground.setups[seed], unwatched) for seed in seeds]
        for referee in self.referees:
            referee.schedule = watch
            referee.begin()

    def answer(self, shown: Sequence[RunOutputs]) -> list[Instructions]:
        """Tell each run how to go on."""
        return [self.referees[s.run].answer(s.position, s.outputs) for s in shown]


def _train(ground: Ground, trainer: Trainer, seeds: Sequence[int], watch: Stopwatch) -> list[Feed]:
    """Train some seeds as `bench run` does, but evaluated as the stopwatch says."""
    referees = Timed(ground, seeds, watch)
    feeds = [
        Feed(run, ground.state(seed), ground.setups[seed].clock, referees)
        for run, seed in enumerate(seeds)
    ]
    deque(trainer(feeds, Checkpointer(referees, None, {}, [])), maxlen=0)
    return feeds


def _measure(ground: Ground, seeds: int, after: After) -> float:
    trainer, shares_steps = ENGINES[ground.engine]
    everyone = list(range(seeds))
    seconds = 0.0
    size = most_seeds(ground.state()) if shares_steps else 1
    for group in (everyone[i : i + size] for i in range(0, seeds, size)):
        watch = Stopwatch(ground, after)
        _train(ground, trainer, group, watch)
        seconds += watch.seconds()
    return seconds / seeds


def alone(ground: Ground) -> float:
    """One seed, no probes."""
    return _measure(ground, 1, never(ground))


def together(ground: Ground) -> float:
    """Eight seeds, no probes."""
    return _measure(ground, SEEDS, never(ground))


def alone_on_schedule(ground: Ground) -> float:
    """One seed, probed as `bench run` probes."""
    return _measure(ground, 1, scheduled(ground))


def alone_probing(ground: Ground) -> float:
    """One seed, probed after every step."""
    return _measure(ground, 1, always(ground))


def captured_step(
    ground: Ground, seeds: int
) -> tuple[Callable[[StepInput], None], Iterator[StepInput]]:
    """Return the captured step of some seeds, and what to feed it: their batches, counted.

    Counting is part of the step's price, so it happens as the iterator is drawn from.
    """
    states = [ground.state(seed) for seed in range(seeds)]
    batches = [[Batch(index.numpy(), 0) for index in ground.batches(s)] for s in range(seeds)]

    def counted() -> Iterator[StepInput]:
        for first in range(0, len(batches[0]), WARM):
            chunk = [mine[first : first + WARM] for mine in batches]
            yield from step_inputs(states, chunk, ground.dtype)

    engine = Traced(states, COMPILED if ground.engine == "compiled" else TRACED)

    def step(step_input: StepInput) -> None:
        gradients, _ = engine.gradients(step_input)
        engine.update(gradients)

    return step, counted()


def weights_after(ground: Ground) -> list[dict[str, Tensor]]:
    """Return every seed's weights, by name, at the end of the ground."""
    trainer, _ = ENGINES[ground.engine]
    watch = Stopwatch(ground, never(ground))
    feeds = _train(ground, trainer, range(SEEDS), watch)
    return [feed.state.module.state_dict() for feed in feeds]
