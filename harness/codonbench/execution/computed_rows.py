"""Rows that are computed, not trained: bounds and oracles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from codonbench.contracts import Dataset, ModelConfig, Reference
from codonbench.contracts.run_spec import RunSpec
from codonbench.protocols.schedule import WINDOW_PAIRS
from codonbench.protocols.setup import Setting
from codonbench.training.feed import Probes
from codonbench.training.result import Lab, last_words
from codonbench.training.seeding import seeded_globals


def compute(
    row: type[Reference], config: ModelConfig, dataset: Dataset, run_specs: Sequence[RunSpec]
) -> Iterator[tuple[Setting, Lab]]:
    """Lay out a computed row's constant logits as if it had been probed all through each run.

    An exception of the plugin ends in status ``error``.

    Raises:
        UsageError: The row cannot serve this task.
    """
    for run_spec in run_specs:
        setting = Setting(run_spec, dataset, config.batch_size)
        yield setting, _compute(row, config, setting)


def _compute(row: type[Reference], config: ModelConfig, setting: Setting) -> Lab:
    lab = Lab(Probes(), known={})
    dataset, logits = setting.dataset, None
    with seeded_globals(setting.run_spec.seed), last_words(row, lab):
        plugin = row(config)
        lab.known = dict(plugin.values(dataset.spec, dataset.frequencies))
        logits = plugin.logits(dataset.spec)
    if logits is None:
        return lab
    clock, stream, frames = setting.clock, setting.stream, setting.frames
    positions = {0, clock.end_of(WINDOW_PAIRS), clock.budget_pairs, *frames}
    as_learned = setting.labels.hide_columns(logits.astype(np.float64)).astype(np.float32)
    lab.probes.position = clock.budget_pairs
    lab.probes.pairs = sorted(positions)
    lab.probes.logits = [as_learned] * len(positions)
    lab.probes.frame_pairs = list(frames)
    for frame in frames:
        epoch, end = divmod(frame - 1, stream.epoch_pairs)
        batch = stream.epoch(epoch)[end + 1 - clock.batch_size : end + 1]
        lab.probes.frame_inputs.append(batch)
    return lab
