"""A module learns: several seeds in one captured step where that holds, else one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from codonbench.config import RunPlan
from codonbench.contracts import BatchLearner, Dataset, Model, ModelConfig
from codonbench.engines.batches import rows_of
from codonbench.engines.blocks import Blocks, train_in_blocks
from codonbench.engines.check import check_against_reference, check_claims, same_alone
from codonbench.engines.errors import CannotCapture
from codonbench.engines.rungs import LADDER, Rung
from codonbench.engines.traced import Traced, most_seeds, train_together
from codonbench.entries import ModelEntry
from codonbench.errors import UsageError
from codonbench.lab import Lab, last_words, settled
from codonbench.machine import pin_arithmetic
from codonbench.records import Engine
from codonbench.seeding import seeded_globals
from codonbench.setting import Setting, make_course, make_lesson
from codonbench.training import ENGINE as EAGER
from codonbench.training import ENGINE_VERSION as EAGER_VERSION
from codonbench.training import Course, Lesson, OnProbe, Probes
from codonbench.training import train as train_eagerly

TOGETHER = 10
"""Seeds looked at together: what more would share of a step's overhead is little."""

Watch = Callable[[RunPlan], OnProbe]
"""Called as a run begins, and again should it begin anew; what it returns follows its probes."""


def unwatched(plan: RunPlan) -> OnProbe:
    """Follow a run's probes with nothing."""
    return lambda pairs, right, logits: None


@dataclass(frozen=True)
class Work:
    """What is to be learned.

    Attributes:
        entry, config: The plugin and its validated configuration.
        dataset: The data.
        plans: One a seed, differing in nothing else.
    """

    entry: ModelEntry
    config: ModelConfig
    dataset: Dataset
    plans: tuple[RunPlan, ...]


def learn(work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
    """Train the model once for each plan, in this process; yield each as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow; what was seen until then is kept.

    Raises:
        UsageError: The model cannot serve this task.
    """
    pin_arithmetic(work.plans[0].threads)
    model = work.entry.cls
    assert issubclass(model, Model)
    for i in range(0, len(work.plans), TOGETHER):
        settings = [
            Setting(plan, work.dataset, work.config.batch_size)
            for plan in work.plans[i : i + TOGETHER]
        ]
        for setting, lab in _learn_some(model, work.config, settings, watch):
            yield setting, lab
            interrupted = lab.status == "interrupted"
        if interrupted:
            return


def _learn_some(
    model: type[Model], config: ModelConfig, settings: Sequence[Setting], watch: Watch
) -> Iterator[tuple[Setting, Lab]]:
    """Train some seeds on the rung that holds."""
    reasons: list[str] = []
    for rung in LADDER[settings[0].plan.engine]:
        try:
            yield from _learn_together(model, config, settings, watch, rung, "; ".join(reasons))
            return
        except CannotCapture as why:
            reasons.append(str(why))
    reason = "; ".join(dict.fromkeys(reasons))
    for setting in settings:
        lab = _learn_alone(model, config, setting, watch(setting.plan))
        lab.engine = Engine(name=EAGER, version=EAGER_VERSION, reason=reason)
        yield setting, lab
        if lab.status == "interrupted":
            return


def _learn_alone(
    model: type[Model], config: ModelConfig, setting: Setting, on_probe: OnProbe
) -> Lab:
    """Build one seed's module and train it in the reference loop, under the seed's own chance."""
    lab = Lab(Probes())
    started = time.perf_counter()
    with seeded_globals(setting.plan.seed), last_words(lab):
        lesson = make_lesson(model(config), config, setting)
        lab.module = lesson.module
        lab.build_seconds = time.perf_counter() - started
        train_eagerly(make_course(lesson, setting, lab.probes, on_probe))
    lab.train_seconds = time.perf_counter() - started - lab.build_seconds - lab.probes.seconds
    return settled(lab)


def _learn_together(
    model: type[Model],
    config: ModelConfig,
    settings: Sequence[Setting],
    watch: Watch,
    rung: Rung,
    reason: str,
) -> Iterator[tuple[Setting, Lab]]:
    """Build all seeds' modules and train them in one captured step.

    Args:
        model: The plugin.
        config: Its configuration.
        settings: One a seed.
        watch: As in `learn`.
        rung: How the step is executed.
        reason: Why not on a higher rung.

    Raises:
        CannotCapture: The model, its optimiser or the task does not allow it, or the captured
            step is not the reference's.
    """

    def lesson_of(setting: Setting, dtype: torch.dtype = torch.float32) -> Lesson:
        with seeded_globals(setting.plan.seed):
            return make_lesson(model(config), config, setting, dtype)

    started = time.perf_counter()
    first = settings[0]
    early = {first: watch(first.plan)}  # the others begin when their turn comes
    try:
        with seeded_globals(first.plan.seed):
            check_claims(model(config), first.dataset.spec, first.plan.device, rung)
        lessons = [lesson_of(setting) for setting in settings]
        batches = [b.index for b in islice(first.stream.batches(first.clock.batch_size, 10**9), 3)]
        reference = lesson_of(first, torch.float64)
        if isinstance(reference.module, BatchLearner):
            raise CannotCapture("the model learns without gradients")
        in_float64 = Traced([lesson_of(first, torch.float64)], rung)
        check_against_reference(reference, in_float64, batches)
        together = min(len(lessons), most_seeds(lessons[0]))
        engine = Traced(lessons[:together], rung)
        if together > 1 and not same_alone(lessons[:together], engine):
            together, engine = 1, Traced(lessons[:1], rung)
        groups = [slice(i, i + together) for i in range(0, len(lessons), together)]
        engines = [engine, *(Traced(lessons[group], rung) for group in groups[1:])]
        trainers = [_trainer(engine) for engine in engines]
    except (CannotCapture, UsageError):
        raise
    except (Exception, SystemExit) as error:
        # The reference loop will meet it too, and say what is wrong with the plugin.
        raise CannotCapture(f"{type(error).__name__}: {error}") from error
    facts = Engine(
        name=rung.name,
        version=rung.version,
        seeds_together=together,
        rows=rows_of(lessons[0]) or 0,
        reason=reason,
    )
    building = (time.perf_counter() - started) / len(lessons)
    for group, trainer in zip(groups, trainers, strict=True):
        labs = [
            Lab(Probes(), module=lesson.module, engine=facts, build_seconds=building)
            for lesson in lessons[group]
        ]
        courses = [
            make_course(
                lesson,
                setting,
                lab.probes,
                early[setting] if setting in early else watch(setting.plan),
            )
            for lesson, setting, lab in zip(lessons[group], settings[group], labs, strict=True)
        ]
        yield from _train_group(settings[group], labs, courses, trainer)
        if any(lab.status == "interrupted" for lab in labs):
            return


Trainer = Callable[[Sequence[Course]], Iterator[Course]]


def _trainer(engine: Traced) -> Trainer:
    """Return what trains an engine's courses, ready to begin."""
    if not engine.rung.in_blocks:
        return lambda courses: train_together(courses, engine)
    blocks = Blocks(engine)
    return lambda courses: train_in_blocks(courses, blocks)


def _train_group(
    settings: Sequence[Setting],
    labs: Sequence[Lab],
    courses: Sequence[Course],
    train: Trainer,
) -> Iterator[tuple[Setting, Lab]]:
    """Train seeds that share a step; yield each as it is over."""
    place = {id(course): i for i, course in enumerate(courses)}
    yielded: set[int] = set()
    started = time.perf_counter()
    with last_words(*labs):
        for course in train(courses):
            i = place[id(course)]
            yielded.add(i)
            spent = time.perf_counter() - started
            # Seeds trained at once share the time that passes; what they have in common is
            # divided among them.
            labs[i].train_seconds = max(spent / len(labs) - labs[i].probes.seconds, 0.0)
            yield settings[i], settled(labs[i])
    for i, lab in enumerate(labs):
        if i not in yielded:  # Ctrl-C or an exception ended them
            yield settings[i], settled(lab)
