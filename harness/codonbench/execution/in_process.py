"""Learning in this process: guides and learners side by side.

What is to be learned is `Work`; `learn` does it here, `pool.WorkerPool.learn` in others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codonbench.contracts import Dataset, Model, ModelConfig
from codonbench.contracts.machine import TorchFacts
from codonbench.contracts.run_spec import RunSpec
from codonbench.execution.machine import describe_machine
from codonbench.plugins.entries import ModelEntry
from codonbench.protocols.referee import Guide, Guides, OnProbe, Watch
from codonbench.protocols.setup import Setting
from codonbench.records.checkpoint_files import Checkpoints
from codonbench.training.result import Lab
from codonbench.training.trainer import Assignment, study

TOGETHER = 10
"""Seeds looked at together: what more would share of a step's overhead is little."""


def unwatched(run_spec: RunSpec) -> OnProbe:
    """Follow a run's probes with nothing."""
    return lambda pairs, right, logits: None


@dataclass(frozen=True)
class Work:
    """What is to be learned.

    Attributes:
        entry, config: The plugin and its validated configuration.
        dataset: The data.
        run_specs: One a seed, differing in nothing else.
        checkpoints: Where progress is kept and looked for; None for nowhere.
    """

    entry: ModelEntry
    config: ModelConfig
    dataset: Dataset
    run_specs: tuple[RunSpec, ...]
    checkpoints: Checkpoints | None = None

    def guides(
        self, run_specs: tuple[RunSpec, ...], watch: Watch, facts: TorchFacts | None = None
    ) -> Guides:
        """Return who leads some of the specs.

        Args:
            run_specs: The specs.
            watch: Called as each begins.
            facts: Of the interpreter that trains, without which no checkpoint fits.
        """
        kept = None
        if self.checkpoints is not None and facts is not None:
            run_spec = run_specs[0]
            facts = facts.model_copy(update={"threads": run_spec.threads})
            kept = self.checkpoints.on(describe_machine(run_spec.device, facts=facts))
        return Guides(
            [
                Guide(
                    Setting(run_spec, self.dataset, self.config.batch_size),
                    watch,
                    None if kept is None else kept.load(run_spec),
                )
                for run_spec in run_specs
            ],
            kept,
        )

    @property
    def every(self) -> float | None:
        """Seconds between two checkpoints of a run; None for none."""
        return None if self.checkpoints is None else self.checkpoints.every


def learn(work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
    """Train the model once for each spec, in this process; yield each as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow; what was seen until then is kept.

    Raises:
        UsageError: The model cannot serve this task.
    """
    from codonbench.training.arithmetic import pin_arithmetic, torch_facts

    pin_arithmetic(work.run_specs[0].threads)
    facts = torch_facts(work.run_specs[0].device == "cuda")
    model = work.entry.cls
    assert issubclass(model, Model)
    for i in range(0, len(work.run_specs), TOGETHER):
        guides = work.guides(work.run_specs[i : i + TOGETHER], watch, facts)
        interrupted = False
        for run, lab in _by_turns(
            study(model, work.config, assignments(guides), guides, work.every)
        ):
            lab.facts = facts
            yield guides.guides[run].setting, collected(lab, guides, run)
            interrupted = lab.status == "interrupted"
        if interrupted:
            return


def _by_turns(runs: Iterator[tuple[int, Lab]]) -> Iterator[tuple[int, Lab]]:
    """Let runs learn by an arithmetic of their own, which whoever takes them in does not share."""
    from codonbench.training.arithmetic import subnormals_as_zero

    while True:
        with subnormals_as_zero():
            ended = next(runs, None)
        if ended is None:
            return
        yield ended


def assignments(guides: Guides) -> list[Assignment]:
    """Return what the learners of some runs are given."""
    return [
        Assignment(
            run,
            guide.setting.brief(),
            *((guide.kept.position, guide.kept.state) if guide.kept else ()),
        )
        for run, guide in enumerate(guides.guides)
    ]


def collected(lab: Lab, guides: Guides, run: int) -> Lab:
    """Return what a learner leaves behind with what its guide has seen of it.

    The clock is the guide's; of its time, the learner says how much went into probes.
    """
    guide, probing = guides.guides[run], max(lab.probes.seconds, 0.0)
    guides.shares.end(run)
    build, total = guides.shares.of(run)
    if guide.resumed and guide.kept is not None:
        build, total = build + guide.kept.seconds[0], total + guide.kept.seconds[1]
    at = lab.probes.position
    lab.probes = guide.probes
    if not lab.probes.over and guide.may_be_at(at):
        lab.probes.position = at
    lab.build_seconds = build
    lab.probes.seconds = min(probing, total - build)
    lab.train_seconds = total - build - lab.probes.seconds
    if lab.status == "done" and lab.probes.logits and not np.isfinite(lab.probes.logits[-1]).all():
        lab.status = "diverged"
    return lab
