"""What a record of this harness cannot say of the machine and of the code that made it.

What it can say, whether true or not, is its maker's word until somebody repeats the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from codonbench.audit.answers import Remark
from codonbench.contracts.run_record import FITTED, RunRecord
from codonbench.contracts.run_spec import MAX_SEEDS, EngineChoice
from codonbench.records.files import printable
from codonbench.training.request import ENGINE

TOO_LONG = 3e9
"""Seconds, a hundred years, that no run has taken: sums of such numbers would end in infinity."""

_MOST_CORES = 65_536

_GPU = re.compile(r"[0-9a-f]{16}")
_VERSION = re.compile(r"\d+(\.\d+)*([A-Za-z0-9.+-]{0,16})")
_ENGINES = {*get_args(EngineChoice), FITTED.name} - {"auto"}

_GRADIENT = _ENGINES - {ENGINE, FITTED.name}

_OWN = "codonbench"
"""The distribution that the harness and its own plugins come in, and so share a version."""

_MAY_BE_EMPTY = {("plugin", "distribution"), ("plugin", "version"), ("engine", "reason")}


def of_machine(record: RunRecord) -> Iterator[Remark]:
    """Yield what cannot be said of what a run was made on, and of what trained."""
    machine, engine = record.machine, record.engine
    if not 1 <= machine.cpu_count <= _MOST_CORES:
        yield "machine.cpu_count", f"is {machine.cpu_count}"
    if machine.device == "cpu":
        for field in ("gpu_id", "cuda", "driver"):
            if (value := getattr(machine, field)) is not None:
                yield f"machine.{field}", f"is {value!r}, but the run was made on a CPU"
        if machine.device_name != machine.cpu_name:
            yield "machine.device_name", f"is {machine.device_name!r}, not the CPU's own name"
    elif machine.gpu_id is not None and not _GPU.fullmatch(machine.gpu_id):
        yield "machine.gpu_id", f"is {machine.gpu_id!r}; expected 16 hexadecimal digits"
    now = machine.circumstances
    counts = () if now is None else (now.neighbours, now.load_average, *now.clocks_mhz)
    if any(count is not None and not 0 <= count < TOO_LONG for count in counts):
        yield "machine.circumstances", f"are {list(counts)}, some of which cannot be counted"
    for field, version in (("machine.python", machine.python), ("engine.version", engine.version)):
        if not _VERSION.fullmatch(version):
            yield field, f"is {version!r}, which is no version"
    if not 1 <= engine.seeds_together <= MAX_SEEDS:
        yield "engine.seeds_together", f"is {engine.seeds_together}"
    if engine.name not in _ENGINES:
        yield "engine.name", f"is {engine.name!r}; there are {', '.join(sorted(_ENGINES))}"
    if engine.name in _GRADIENT and not record.parameters:
        yield "parameters", f"are none, but {engine.name!r} trains by gradient"
    if engine.name == FITTED.name and record.run_spec.stop != "budget":
        yield "engine.name", f"is {engine.name!r}, which ends by no rule, but run_spec.stop is one"


def of_day(record: RunRecord) -> Iterator[Remark]:
    """Yield what cannot be said of the day on which a run ended, where it is said."""
    if not record.day:
        return
    try:
        ahead = date.fromisoformat(record.day) - datetime.now(UTC).date()
    except ValueError:
        yield "day", f"is {record.day!r}, which is no day"
        return
    if ahead > timedelta(days=1):  # clocks differ
        yield "day", f"is {record.day}, which is yet to come"


def of_code(record: RunRecord) -> Iterator[Remark]:
    """Yield what cannot be said of the versions and names of what made a run."""
    for part in ("harness", "plugin", "machine", "engine"):
        for name, value in getattr(record, part):
            if name == "reason":  # which may quote PyTorch, line by line
                value = " ".join(value.split())
            if isinstance(value, str) and printable(value) != value:
                yield f"{part}.{name}", f"is {value!r}, which is not plain text on one line"
            elif value == "" and (part, name) not in _MAY_BE_EMPTY:
                yield f"{part}.{name}", "is empty"
    ours, plugins = record.harness.version, record.plugin.version
    if record.plugin.distribution == _OWN and ours != plugins:
        yield "plugin.version", f"is {plugins!r}, but the harness it comes with is {ours!r}"
    if record.plugin.distribution == _OWN and record.environment is not None:
        yield "environment", "names packages, but codonbench's own plugins have none to themselves"
