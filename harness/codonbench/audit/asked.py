"""What a record says was asked: is it what this codonbench asks, and so can have answered?

What is of another version, or of a task, metric or protocol that is not installed, cannot be
checked here, and its figures would stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from codonbench.audit.answers import Remark
from codonbench.contracts import Frozen, Metric, Task
from codonbench.contracts.run_record import RunRecord
from codonbench.protocols import Protocol


def of_versions(
    record: RunRecord, task: Task, metrics: Mapping[str, Metric], *, earlier: bool
) -> Iterator[Remark]:
    """Yield each version of the task and of its metrics that is another than here.

    Args:
        record: Of a run.
        task: Its task.
        metrics: Those that are installed, by name.
        earlier: Whether an earlier one may stand, as in a table that was there before.
    """
    said: dict[str, tuple[str, str | None]] = {
        "run_spec.task_version": (record.run_spec.task_version, task.version)
    }
    for name, version in record.metric_versions.items():
        ours = metrics[name].version if name in metrics else None
        said[f"metric_versions.{name}"] = (version, ours)
    for field, (version, ours) in said.items():
        if version == ours or (earlier and ours is not None and _is_before(version, ours)):
            continue
        here = "none is installed here" if ours is None else f"here it is {ours!r}"
        yield field, f"is {version!r}; {here}, and what another says is not checked"


def _is_before(version: str, ours: str) -> bool:
    return version.isdecimal() and ours.isdecimal() and 0 < int(version) < int(ours)


def of_options(
    record: RunRecord, task: Task, protocols: Mapping[str, Protocol]
) -> Iterator[Remark]:
    """Yield what a spec says of task, protocol and part that no run of theirs is asked."""
    run_spec = record.run_spec
    if run_spec.task_version == task.version and not run_spec.is_own_table:
        yield from unlike("run_spec.task_options", run_spec.task_options, task.Options)
    name = run_spec.protocol or task.protocol
    protocol = protocols.get(name)
    if protocol is None:
        yield "run_spec.protocol", f"is {name!r}, which is not installed"
        return
    options = run_spec.protocol_options
    kind = Frozen if run_spec.protocol is None else protocol.Options
    yield from unlike("run_spec.protocol_options", options, kind)
    allowed = {protocol.stop_rules[0], "budget"}
    if run_spec.stop not in allowed:
        yield "run_spec.stop", f"is {run_spec.stop!r}; official rows end by {' or '.join(allowed)}"
    yield from _of_part(record, protocol)


def _of_part(record: RunRecord, protocol: Protocol) -> Iterator[Remark]:
    """Yield that a run is of a fold or on a number of examples that its protocol has none of."""
    run_spec, options = record.run_spec, record.run_spec.protocol_options
    fold, folds = run_spec.fold, options.get("folds")
    if fold is not None and (not protocol.joins or (isinstance(folds, int) and fold >= folds)):
        yield "run_spec.fold", f"is {fold}; {protocol.name!r} makes {folds or 'no'} folds"
    sizes = options.get("sizes", [None])
    if run_spec.subset not in (sizes if isinstance(sizes, list) else [None]):
        yield "run_spec.subset", f"is {run_spec.subset}; {protocol.name!r} asks for {sizes}"


def unlike(field: str, options: Mapping[str, Any], kind: type[Frozen]) -> Iterator[Remark]:
    """Yield that options are none of a kind, or not as a run would have written them."""
    if options == kind.model_construct().model_dump(mode="json"):
        return  # the defaults; a validator may import what an option is about
    try:
        written = kind.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        yield ".".join([field, *map(str, first["loc"])]), f"does not fit: {first['msg'].lower()}"
        return
    if written != options:
        yield field, "are not what a run would have written"
