"""Records as a pandas DataFrame, for analyses that the board does not have."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import ConfigError, StoreError
from codonbench.records.files import printable, store_error
from codonbench.records.store import BadRecord, Store

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 12
"""Of a checksum, enough to tell a few apart, as on boards."""

Format = Literal["csv", "parquet", "json"]


class Records(list[RunRecord]):
    """Some records, and the same as a table; shown as a line each."""

    def __repr__(self) -> str:
        lines = (f"{r.model} on {r.task}, seed {r.seed}: {r.status}, {r.run_id}" for r in self)
        return "\n".join((f"{len(self)} record{'s'[: len(self) != 1]}", *lines))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: its settings, how it ended, and a column for each metric.

        ``overrides`` has the fields of the model that were set: ``filters=32 dropout=0.1``.
        ``data_checksum`` and ``source_sha256``, the first twelve digits of both, distinguish data
        of one name and versions of a model's source. Records of single folds are left out, as they
        are part of their seed's. ``part`` is the number of training examples of a run on a subset.
        Values that were never reached, are not applicable or were not measured are missing; the
        column ``not_measured`` lists the last. Metrics on validation begin with ``validation_``.

        >>> frame = codonbench.load_records("runs").to_frame()  # doctest: +SKIP
        >>> frame.groupby(["task", "model", "overrides"])["mcc"].mean()  # doctest: +SKIP
        """
        import pandas as pd  # takes half a second, and most who read records need none

        return pd.DataFrame([_row(each) for each in self if each.run_spec.fold is None])


def load_records(folder: str | Path) -> Records:
    """Return the sound records of a folder, in the order of their names; warn of other files.

    Raises:
        StoreError: There is no such folder.
    """
    records, left_out = read_folder(Path(folder))
    if left_out:
        warnings.warn(f"{folder}: {left_out}", stacklevel=2)
    return records


def read_folder(folder: Path) -> tuple[Records, str]:
    """Return the sound records of a folder, and a remark on the files that are left out.

    Raises:
        StoreError: There is no such folder.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder of records")
    found = list(Store(folder).scan())
    bad = [item for item in found if isinstance(item, BadRecord)]
    remark = ""
    if bad:
        files = "1 file is" if len(bad) == 1 else f"{len(bad):,} files are"
        name, reason = printable(bad[0].path.name), printable(bad[0].reason)
        remark = f"{files} left out; {name}: {reason}"
    return Records(item for item in found if isinstance(item, RunRecord)), remark


def export(records: Iterable[RunRecord], path: Path, kind: Format) -> int:
    """Write the table of some records to a file; return how many runs it has.

    Raises:
        ConfigError: Parquet is asked for, and what writes it is not installed.
        StoreError: The file cannot be written.
    """
    frame = Records(records).to_frame()
    try:
        if kind == "csv":
            frame.map(_no_formula).to_csv(path, index=False)
        elif kind == "json":
            frame.to_json(path, orient="records", indent=1)
        else:
            frame.to_parquet(path, index=False)
    except ImportError as error:
        raise ConfigError(
            "--format parquet needs pyarrow; try pip install 'codonbench[parquet]'"
        ) from error
    except OSError as error:
        raise store_error("table", path, error) from error
    return len(frame)


def _no_formula(value: object) -> object:
    """Return a value of a CSV, an apostrophe before text that a spreadsheet would calculate."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which would end the line
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _row(record: RunRecord) -> dict[str, object]:
    validation = {f"validation_{name}": v for name, v in record.validation_metrics.items()}
    return {
        "run_id": record.run_id,
        "comparability_key": record.comparability_key,
        "task": record.task,
        "data": record.dataset.source,
        "data_checksum": record.dataset.checksum[:_DIGITS],
        "simulated": record.dataset.simulated,
        "model": record.model,
        "source_sha256": record.plugin.source_sha256[:_DIGITS],
        "overrides": " ".join(f"{name}={set_}" for name, set_ in sorted(record.overrides.items())),
        "seed": record.seed,
        "part": record.run_spec.part,
        "status": record.status,
        "parameters": record.parameters,
        "pairs": record.pairs,
        "selected_pairs": record.selected_pairs,
        "device": record.machine.device_name,
        "torch": record.machine.torch,
        "engine": record.engine.name,
        "train_seconds": record.timings.train,
        "weights_sha256": record.weights_sha256,
        "not_measured": " ".join(record.not_measured),
        **validation,
        **record.metrics,
    }
