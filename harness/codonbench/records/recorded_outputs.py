"""What runs answered for the test items, small enough to be committed beside their records.

A trajectory is megabytes and stays where it was made. What comparisons need of it is one answer an
item: 16 bits a number, in ``outputs/<run>.npz``, and what is right for each item, without the item
itself, in ``outputs/targets-<hash>.npz``, once for all runs that were asked about the same items.
Item i of both is the i-th of the run's test split, in the order of the task's data.

Of classes the outputs less the item's largest are kept as float16, so the answer and its lead stay
what they were, as does softmax; of labels float16; of quantities 65,536 steps from the least to the
greatest. A record's metrics come from the run itself and not from here;
`ranking.items` checks that both agree.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, Ranking, Targets, TaskSpec, Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records.store import Store, arrays_of, check_targets

IntArray = npt.NDArray[np.int64]

FOLDER = "outputs"

OURS = re.compile(r"(.+-s\d+|targets)-[0-9a-f]{16}\.npz|figures-[0-9a-f]{16}\.json")
"""Names of the files that this project writes there."""

_STEPS = 2**16 - 1
_MOST = 1 << 28
"""Bytes once unpacked: 100 million numbers."""


@dataclass(frozen=True, eq=False)
class ItemOutputs:
    """What one run answered for the test items.

    Attributes:
        task: The task.
        trajectory: SHA-256 of the trajectory that this was taken from.
        items: SHA-256 of the targets of the items: runs that share it have the same items.
        outputs: Shape (N, K); of classes less each item's largest.
        targets: Class ids (N,), or labels or quantities (N, K); None where they are not at hand.
        groups: Group of each item, (N,), where items of one group belong together; else None.
    """

    task: TaskSpec
    trajectory: str
    items: str
    outputs: Outputs
    targets: Targets | None = None
    groups: IntArray | None = None

    @classmethod
    def of(cls, trajectory: Trajectory, sha256: str) -> ItemOutputs:
        """Return the test outputs of a trajectory with that hash, to 16 bits."""
        groups = trajectory.arrays.get("test_groups")
        targets = trajectory.test_targets
        header, packed = _reduced(trajectory)
        return cls(
            task=trajectory.task,
            trajectory=sha256,
            items=hash_items(targets, groups),
            outputs=_restored(header, packed),
            targets=targets,
            groups=groups,
        )

    def with_targets(self, targets: Targets, groups: IntArray | None, path: Path) -> ItemOutputs:
        """Return it with what is right for its items, and their groups.

        Args:
            targets: The targets.
            groups: Groups of the items; None if they have none.
            path: File of the outputs, for messages.

        Raises:
            StoreError: The outputs are of other items, or of another kind of target.
        """
        try:
            check_targets(self.task, targets, len(self.outputs))
            if groups is not None and (groups.shape, groups.dtype.kind) != ((len(targets),), "i"):
                raise ValueError(f"groups are {groups.dtype} of shape {groups.shape}")
        except ValueError as error:
            raise StoreError(f"{path} does not fit the targets: {error}; delete it") from error
        return replace(self, targets=targets, groups=groups)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the outputs and of which items they are for."""
        little = np.ascontiguousarray(self.outputs, dtype="<f4")
        return hashlib.sha256(self.items.encode() + little.tobytes()).hexdigest()


def tolerance(
    metric: str, n_items: int, ranking: Ranking | None, *, by_order: bool = False
) -> float:
    """Return how far a metric of test outputs may be off the run's own.

    16 bits a number may draw items level, which moves what rests on their order. The metric that
    ranks is held to the digits shown, or to one item's share of it where that is more, and others
    to 0.005 or that share; those that rest on an order are held to 0.05, since an area under a
    curve of committed records moved by 0.048.

    Args:
        metric: Its name.
        n_items: How many test items there are.
        ranking: The task's; None where it is not known.
        by_order: As `SplitMetric.by_order` says of the metric.
    """
    if ranking is not None and metric == ranking.metric:
        return float(max(0.5 * 10.0**-ranking.primary.digits, 1 / n_items))
    return 0.05 if by_order else max(0.005, 1 / n_items)


def hash_items(targets: Targets, groups: IntArray | None) -> str:
    """Return the SHA-256 (hex) of what is right for some items, and of their groups."""
    digest = hashlib.sha256()
    for name, array in (("targets", targets), ("groups", groups)):
        if array is not None:
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
    return digest.hexdigest()


def _reduced(trajectory: Trajectory) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Return test outputs in 16 bits a number, and what it takes to read them."""
    outputs, task = trajectory.test_outputs, trajectory.task
    if task.target.kind == "quantities":
        wide = outputs.astype(np.float64)
        low, high = wide.min(axis=0), wide.max(axis=0)
        steps = np.rint((wide - low) / np.where(high > low, high - low, 1) * _STEPS)
        return {"low": low.tolist(), "high": high.tolist()}, steps.astype(np.uint16)
    if task.target.kind == "labels":
        return {}, outputs.astype(np.float16)
    behind = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    least = np.finfo(np.float16).smallest_subnormal
    # No class that is behind may draw level: the first of equal ones is the answer.
    near = (behind < 0) & (behind > -least)
    with np.errstate(over="ignore"):
        small = np.maximum(behind, np.finfo(np.float16).min).astype(np.float16)
    return {}, np.where(near, -least, small).astype(np.float16)


def _restored(header: Mapping[str, Any], packed: npt.NDArray[Any]) -> Outputs:
    """Return outputs (N, K) as float32.

    Raises:
        ValueError: Of quantities there is no least and greatest each.
    """
    if packed.dtype != np.uint16:
        return np.asarray(packed, dtype=np.float32)
    low, high = (np.asarray(header[end], dtype=np.float64) for end in ("low", "high"))
    if not low.shape == high.shape == packed.shape[1:]:
        raise ValueError(f"quantities lie between {low.shape} and {high.shape} numbers")
    return np.asarray(low + packed / _STEPS * (high - low), dtype=np.float32)


def pack_outputs(item: ItemOutputs, trajectory: Trajectory) -> bytes:
    """Return a run's outputs as the bytes of a compressed ``.npz``."""
    header, packed = _reduced(trajectory)
    header |= {
        "task": item.task.model_dump(mode="json"),
        "trajectory": item.trajectory,
        "items": item.items,
    }
    return _pack(header, outputs=packed)


def pack_targets(targets: Targets, groups: IntArray | None) -> bytes:
    """Return what is right for some items as the bytes of a compressed ``.npz``."""
    return _pack({}, targets=targets, **({} if groups is None else {"groups": groups}))


def _pack(header: Mapping[str, Any], **arrays: npt.NDArray[Any]) -> bytes:
    encoded = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    members: dict[str, Any] = {"header": encoded, **arrays}
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def _unpack(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return what `_pack` was given. Nothing is unpickled.

    Raises:
        StoreError: It is damaged or too large.
    """
    try:
        with path.open("rb") as opened:
            return arrays_of(opened, _MOST)
    except Exception as error:  # zip, zlib, numpy and JSON each have their own complaints
        raise StoreError(f"{path} cannot be read: {error}; delete it and make it anew") from error


def read_outputs(path: Path) -> ItemOutputs:
    """Return the outputs in a file, without what is right.

    Raises:
        StoreError: It is damaged, or no such file.
    """
    header, arrays = _unpack(path)
    try:
        task = TaskSpec.model_validate_json(json.dumps(header["task"]))
        packed = arrays["outputs"]
        kind = np.uint16 if task.target.kind == "quantities" else np.float16
        if packed.dtype != kind or packed.ndim != 2 or packed.shape[1] != len(task.target.names):
            raise ValueError(f"outputs are {packed.dtype} of shape {packed.shape}")
        if not len(packed):
            raise ValueError("there are none")
        if not re.fullmatch(r"[0-9a-f]{64}", str(header["items"])):
            raise ValueError("the items' hash has not 64 hexadecimal digits")
        return ItemOutputs(
            task, str(header["trajectory"]), str(header["items"]), _restored(header, packed)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} holds no test outputs: {error}; make it anew") from error


def read_targets(path: Path, items: str) -> tuple[Targets, IntArray | None]:
    """Return what is right for some items, and their groups.

    Raises:
        StoreError: It is damaged, or not what the hash says.
    """
    _, arrays = _unpack(path)
    targets, groups = arrays.get("targets"), arrays.get("groups")
    if targets is None or hash_items(targets, groups) != items:
        raise StoreError(f"{path} does not hold the targets it is named for; make it anew")
    return targets, groups


def gather(
    store: Store,
    records: Sequence[RunRecord],
    shares_targets: Callable[[RunRecord], bool],
    shares_outputs: Callable[[RunRecord], bool],
) -> tuple[dict[str, ItemOutputs], dict[Path, bytes | None]]:
    """Return the test outputs of a results folder's runs, and the files that hold them.

    They come from the files that are there, else from trajectories at hand. Targets are looked for
    in the same places, and in the trajectory of any run with the same test items.

    Args:
        store: The results folder.
        records: Records of the runs.
        shares_targets: Whether what is right for the items of a record's task may be written down.
        shares_outputs: Whether what a record's run answered may be.

    Returns:
        Outputs by run id; and the content of each file that should be there, None where what is
        there already is right.

    Raises:
        StoreError: A file or a trajectory is damaged.
    """
    folder = store.folder / FOLDER
    found: dict[str, ItemOutputs] = {}
    files: dict[Path, bytes | None] = {}
    for record in records:
        path = folder / f"{record.name}.npz"
        if record.trajectory_sha256 is None or record.selected_pairs is None:
            continue
        item, files[path] = _run_outputs(store, record, path)
        if item is None or not shares_outputs(record):
            del files[path]
        if item is not None:
            found[record.run_id] = item
    known = {i.items: (i.targets, i.groups) for i in found.values() if i.targets is not None}
    for record in records:
        item = found.get(record.run_id)
        if item is None:
            continue
        path = folder / f"targets-{item.items[:16]}.npz"
        if path not in files and path.is_file():
            known[item.items] = read_targets(path, item.items)
            if shares_targets(record):
                files[path] = None
        elif item.items not in known and (trajectory := store.load_trajectory(record)) is not None:
            groups = trajectory.arrays.get("test_groups")
            known[item.items] = (trajectory.test_targets, groups)
        if item.items in known and path not in files and shares_targets(record):
            files[path] = pack_targets(*known[item.items])
    names = {record.run_id: record.name for record in records}
    for run_id, item in found.items():
        if item.items in known:
            path = folder / f"{names[run_id]}.npz"
            found[run_id] = item.with_targets(*known[item.items], path)
    return found, files


def _run_outputs(
    store: Store, record: RunRecord, path: Path
) -> tuple[ItemOutputs | None, bytes | None]:
    """Return a run's outputs, and what its file should hold where that is not right already."""
    kept = read_outputs(path) if path.is_file() else None
    if kept is not None and kept.trajectory == record.trajectory_sha256:
        return kept, None
    trajectory = store.load_trajectory(record)
    if trajectory is None or not _finite(trajectory.test_outputs):
        return None, None
    item = ItemOutputs.of(trajectory, str(record.trajectory_sha256))
    return item, pack_outputs(item, trajectory)


def _finite(outputs: Outputs) -> bool:
    return bool(len(outputs)) and bool(np.isfinite(outputs).all())
