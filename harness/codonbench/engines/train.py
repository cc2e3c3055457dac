"""Train some runs of one model: several in one captured step, or one by one in the plain loop.

Nothing here knows a true target, a seed or a salt; see `training.request.TrainRequest`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from codonbench.contracts import AuxiliaryLearner, BaseConfig, Estimator, Model, ModelConfig
from codonbench.contracts.run_record import Engine
from codonbench.engines.blocks import Blocks, train_in_blocks
from codonbench.engines.capture import LADDER, Rung
from codonbench.engines.comparison import (
    Comparison,
    Rechecks,
    check_claims,
    check_is_plain,
    same_alone,
)
from codonbench.engines.ensemble import Recheck, Traced, most_seeds, rows_of, train_together
from codonbench.errors import CannotCapture, UsageError
from codonbench.protocols.linear_probe import LinearProbe
from codonbench.records.files import storable
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.fit import fit_estimator, fit_runs
from codonbench.training.loop import Checkpointer, Feed, Referees, forward, loss_of
from codonbench.training.loop import train as train_eagerly
from codonbench.training.probe import fit_probe
from codonbench.training.request import (
    ENGINE,
    ENGINE_VERSION,
    TrainRequest,
    TrainResult,
    error_text,
    errors_noted,
)
from codonbench.training.state import TrainState, about, make_state, read_state, restore

TOLERANCE, ROUNDED_TOLERANCE = 1e-3, 5e-2
"""How far a compiled module may be from itself in float32, and in bfloat16: in outputs and
gradients, as a share of the largest of each."""


def train_runs(
    model: type[Model] | type[Estimator],
    config: BaseConfig,
    requests: Sequence[TrainRequest],
    referees: Referees,
    every: float | None,
) -> Iterator[tuple[int, TrainResult]]:
    """Train the model once for each request; yield each run's number and result as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow. A run whose captured step turns out on the way not to be the plain loop's is to
    be trained anew, see `TrainResult.anew`.

    Args:
        model: The model's class.
        config: Its configuration.
        requests: One a seed, differing in nothing but chance and where they go on.
        referees: Of all of them.
        every: Seconds between two checkpoints; None for none.

    Raises:
        UsageError: The model cannot serve this task.
    """
    if requests[0].protocol == LinearProbe.name:
        yield from fit_runs(model, config, requests, referees, fit_probe)
        return
    if issubclass(model, Estimator):
        yield from fit_runs(model, config, requests, referees, fit_estimator)
        return
    assert isinstance(config, ModelConfig)
    # Only what is at the same position, and meets the ends of epochs together, can share a step.
    interrupted = False
    for _, group in groupby(sorted(requests, key=_shape), key=_shape):
        for run, result in _Group(model, config, tuple(group), referees, every).train():
            yield run, result
            interrupted = result.status == "interrupted"
        if interrupted:
            return


def _shape(request: TrainRequest) -> tuple[int, ...]:
    """Return a run's first position and the sizes of its epochs, budget and evaluated splits."""
    sizes = (len(items) for _, items in sorted(request.evaluated.items()))
    return (request.start, request.clock.epoch_pairs, request.clock.budget_pairs, *sizes)


_UNFIT = "the state that was kept does not fit"
"""Why a run that was handed one is to be trained anew, by another process."""


@dataclass(frozen=True)
class _Group:
    """Some runs of one model that begin at the same position."""

    model: type[Model]
    config: ModelConfig
    requests: tuple[TrainRequest, ...]
    referees: Referees
    every: float | None

    def train(self) -> Iterator[tuple[int, TrainResult]]:
        """Train on the highest rung that holds."""
        first = self.requests[0]
        reasons = [first.plain_because] if first.plain_because else []
        for rung in () if reasons else LADDER[first.engine]:
            try:
                yield from self._together(rung, storable("; ".join(reasons)))
                return
            except CannotCapture as why:
                reasons.append(str(why))
        reason = storable("; ".join(dict.fromkeys(reasons)))
        for request in self.requests:
            result = self._alone(request, reason)
            yield request.run, result
            if result.status == "interrupted":
                return

    def _alone(self, request: TrainRequest, reason: str) -> TrainResult:
        """Train one seed's module in the plain loop, under the seed's own chance."""
        result = TrainResult(engine=Engine(name=ENGINE, version=ENGINE_VERSION, reason=reason))
        feed: Feed | None = None
        self.referees.begin(request.run)
        with (
            seeded_globals(request.chance),
            errors_noted(self.model, result, view=request.view),
        ):
            state = make_state(self.model(self.config), self.config, request)
            result.module = state.module
            if request.engine == "compiled":
                state, result.engine = compiled_loop(state, result.engine)
            file, facts = request.state, result.engine.model_dump()
            kept = None if file is None else read_state(file, facts)
            try:
                if kept is not None:
                    restore(state, kept)
                    result.engine = Engine(**kept["facts"])
            except Exception:  # it is of another module
                kept = None
            if kept is None and file is not None:
                result.anew = _UNFIT
                return result
            feed = Feed(request.run, state, request.clock, self.referees, request.start)
            selected = None if kept is None else kept["selected"]
            train_eagerly(feed, self._checkpointer(result.engine, [state]), selected)
            result.over = feed.over
        return _ended(self.model, result, feed)

    def _together(self, rung: Rung, reason: str) -> Iterator[tuple[int, TrainResult]]:
        """Build all seeds' modules and train them in one captured step.

        Args:
            rung: How the step is executed.
            reason: Why not on a higher rung.

        Raises:
            CannotCapture: The model, its optimiser or the task does not allow it, or the
                captured step is not the reference's.
        """
        first = self.requests[0]
        self.referees.begin(first.run)  # the others begin when their turn comes
        try:
            groups, engines, states, comparison = self._captured(rung)
            trainers = [_trainer(engine) for engine in engines]
        except (CannotCapture, UsageError, KeyboardInterrupt):
            raise
        except BaseException as error:
            # The plain loop will meet it too, and say what is wrong with the plugin.
            raise CannotCapture(f"{type(error).__name__}: {error_text(error)}") from error
        for group, engine, train in zip(groups, engines, trainers, strict=True):
            facts = Engine(
                name=rung.name,
                version=rung.version,
                seeds_together=len(states[groups[0]]),
                rows=rows_of(states[0]) or 0,
                reason=reason,
            )
            members = self.requests[group]
            for request in members:
                if request is not first:
                    self.referees.begin(request.run)
            results = [TrainResult(state.module, engine=facts) for state in states[group]]
            start = _put_back(engine, members, results, facts)
            if start < members[0].start:
                for request, result in zip(members, results, strict=True):
                    result.anew = _UNFIT
                    yield request.run, result
                continue
            feeds = [
                Feed(request.run, state, request.clock, self.referees, start)
                for request, state in zip(members, states[group], strict=True)
            ]
            checkpointer = self._checkpointer(facts, states[group])
            rechecks = Rechecks(comparison, members[0].chance, self.config.batch_size)
            yield from _train_group(self.model, feeds, results, train, checkpointer, rechecks)
            if any(result.status == "interrupted" for result in results):
                return

    def _captured(
        self, rung: Rung
    ) -> tuple[list[slice], list[Traced], list[TrainState], Comparison]:
        """Return the groups of states, an engine for each, all states, and their comparison.

        Raises:
            CannotCapture: The captured step is not the reference's.
        """
        first = self.requests[0]
        with seeded_globals(first.chance):
            check_claims(self.model(self.config), first.view, first.device, rung)
        states = [self._state(request) for request in self.requests]
        for state in states:
            check_is_plain(state)
        comparison = self._comparison(first, rung)
        together = min(len(states), most_seeds(states[0]))
        engine = Traced(states[:together], rung)
        if together > 1 and not same_alone(states[:together], engine):
            together, engine = 1, Traced(states[:1], rung)
        groups = [slice(i, i + together) for i in range(0, len(states), together)]
        engines = [engine, *(Traced(states[group], rung) for group in groups[1:])]
        return groups, engines, states, comparison

    def _state(self, request: TrainRequest) -> TrainState:
        with seeded_globals(request.chance):
            return make_state(self.model(self.config), self.config, request)

    def _comparison(self, request: TrainRequest, rung: Rung) -> Comparison:
        """Return a captured step that was compared with the plain loop's on made-up targets."""
        rng = np.random.default_rng(0)
        targets = rng.integers(request.view.n_outputs, size=len(request.items))

        def state() -> TrainState:
            with seeded_globals(request.chance):
                plugin = self.model(self.config)
                return make_state(plugin, self.config, request, torch.float64, targets)

        comparison = Comparison(state(), state(), rung)
        comparison.hold()
        return comparison

    def _checkpointer(self, facts: Engine, states: Sequence[TrainState]) -> Checkpointer:
        return Checkpointer(self.referees, self.every, facts.model_dump(), states)


def compiled_loop(state: TrainState, plain: Engine) -> tuple[TrainState, Engine]:
    """Return a state whose forward and backward pass `torch.compile` makes, and its engine.

    Held to the module itself on one batch in evaluation mode; where that is not the same, or cannot
    be compiled, the state as it is, and why. Random numbers are those of the plain loop.

    Args:
        state: As the plain loop trains it.
        plain: The plain loop's engine, for the record.
    """

    def gradients(function: Callable[[Tensor], Tensor]) -> list[Tensor]:
        outputs = forward(state, state.encode(index), function)
        found = torch.autograd.grad(loss_of(state, outputs, state.targets[index]), parameters)
        return [outputs.detach(), *found]

    if state.optimizer is None:
        return state, plain.model_copy(update={"reason": "the model learns without gradients"})
    if isinstance(state.module, AuxiliaryLearner):
        return state, plain.model_copy(update={"reason": "the model adds a loss of its own"})
    parameters = [p for p in state.module.parameters() if p.requires_grad]
    index = torch.arange(min(state.batch_size, len(state.targets)), device=state.targets.device)
    state.module.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, about parts of PyTorch
            function: Callable[[Tensor], Tensor] = torch.compile(
                state.module, dynamic=True, options={"fallback_random": True}
            )
            pairs = zip(gradients(function), gradients(state.module), strict=True)
            worst = max(float((a - b).abs().max() / (b.abs().max() + 1e-6)) for a, b in pairs)
    except Exception as error:  # no C++ compiler, or a module that it cannot follow
        first = next(iter(str(error).splitlines()), "")
        why = f"cannot be compiled: {type(error).__name__}: {first}"
        return state, plain.model_copy(update={"reason": storable(why)})
    finally:
        state.module.train()
    if worst > (TOLERANCE if state.settings.autocast is None else ROUNDED_TOLERANCE):
        why = f"compiled, the module is {worst:.1g} away from itself"
        return state, plain.model_copy(update={"reason": why})
    engine = plain.model_copy(update={"name": "torch-compile", "version": "1"})
    return replace(state, compiled=function), engine


TrainTogether = Callable[[Sequence[Feed], Checkpointer, Recheck], Iterator[Feed]]


def _trainer(engine: Traced) -> TrainTogether:
    """Return the function that trains an engine's runs."""
    if not engine.rung.in_blocks:
        return lambda feeds, *beside: train_together(feeds, engine, *beside)
    blocks = Blocks(engine)
    return lambda feeds, *beside: train_in_blocks(feeds, blocks, *beside)


def _put_back(
    engine: Traced,
    members: Sequence[TrainRequest],
    results: Sequence[TrainResult],
    facts: Engine,
) -> int:
    """Load the seeds' checkpoints into an engine; return their position, 0 where none fit."""
    files = [member.state for member in members if member.state is not None]
    read = [read_state(file, facts.model_dump()) for file in files]
    states = [state for state in read if state is not None]
    if len(states) < len(members) or not all(engine.fits(i, s) for i, s in enumerate(states)):
        return 0
    for i, (result, state) in enumerate(zip(results, states, strict=True)):
        engine.put(i, state)
        result.engine = Engine(**state["facts"])
    return members[0].start


def _train_group(
    model: type[Model],
    feeds: Sequence[Feed],
    results: Sequence[TrainResult],
    train: TrainTogether,
    checkpointer: Checkpointer,
    rechecks: Rechecks,
) -> Iterator[tuple[int, TrainResult]]:
    """Train seeds that share a step; yield each as it is over, or is to be trained anew."""
    left = {feed.run: (feed, result) for feed, result in zip(feeds, results, strict=True)}
    try:
        with errors_noted(model, *results, view=feeds[0].state.view):
            for feed in train(feeds, checkpointer, rechecks.recheck):
                rechecks.last(feed.state.module)
                _, result = left.pop(feed.run)
                result.over = True
                yield feed.run, _ended(model, result, feed)
    except CannotCapture as why:
        for _, result in left.values():
            result.anew = storable(f"seen later in the run: {why}")
    for run, (feed, result) in left.items():  # Ctrl-C or an exception ended them
        yield run, _ended(model, result, feed)


def _ended(model: type[Model], result: TrainResult, feed: Feed | None) -> TrainResult:
    """Note the final facts of a run; a module that fails to give them ends the run in error."""
    if feed is not None:
        result.position, result.evaluate_seconds = feed.position, feed.seconds
    failure = TrainResult()
    if (module := result.module) is not None:
        with errors_noted(model, failure):
            trained = (p for p in module.parameters() if p.requires_grad)
            result.parameters = sum(p.numel() for p in trained)
            result.weights_sha256 = hash_weights(module.state_dict())
            result.about = about(module)
    if result.status == "done":
        result.status, result.error, result.details = failure.status, failure.error, failure.details
    return result
