"""Records as a pandas DataFrame, for people who want to look further than the board."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from codonbench.contracts.run_record import RunRecord


def runs_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row a run: what it was, how it ended, and a column for each metric.

    Never and not applicable are missing values; so is not measured, whose names the column
    ``not_measured`` lists.

    >>> frame = runs_frame(store.scan())  # doctest: +SKIP
    >>> frame.groupby("model")["excess_pairs"].median()  # doctest: +SKIP
    """
    rows = [
        {
            "run_id": record.run_id,
            "comparability_key": record.comparability_key,
            "task": record.task,
            "data": record.dataset.source,
            "simulated": record.dataset.simulated,
            "model": record.model,
            "seed": record.seed,
            "status": record.status,
            "parameters": record.parameters,
            "pairs": record.pairs,
            "device": record.machine.device_name,
            "torch": record.machine.torch,
            "engine": record.engine.name,
            "train_seconds": record.timings.train,
            "weights_sha256": record.weights_sha256,
            "not_measured": " ".join(record.not_measured),
            **record.metrics,
        }
        for record in records
    ]
    return pd.DataFrame(rows)
