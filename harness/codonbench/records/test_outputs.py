"""What runs answered for the test items, small enough to be committed beside their records.

A trajectory is megabytes and stays where it was made. What comparisons need of it is one answer an
item: 16 bits a number, in ``outputs/<run>.npz``, and what is right for each item, without the item
itself, in ``outputs/targets-<hash>.npz``, once for all runs that were asked about the same items.
Item i of both is the i-th of the run's test split, in the order of the task's data.

Of classes the outputs less the item's largest are kept as float16, so the answer and its lead stay
what they were, as does softmax; of labels float16; of quantities 65,536 steps from the least to the
greatest. A record's metrics come from the run itself and not from here; `check_fit` holds that both
say the same to the digits a leaderboard shows.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, Targets, TaskSpec, Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records.store import Store

IntArray = npt.NDArray[np.int64]

FOLDER = "outputs"

_STEPS = 2**16 - 1
_MOST = 1 << 28
"""Bytes once unpacked: 100 million numbers."""


@dataclass(frozen=True, eq=False)
class ItemOutputs:
    """What one run answered for the test items.

    Attributes:
        task: What was asked.
        trajectory: SHA-256 of the trajectory that this was taken from.
        items: SHA-256 of what is right for the items: runs that share it were asked the same.
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
        """Return what a trajectory with that hash holds of the test items, to 16 bits."""
        groups = trajectory.arrays.get("test_groups")
        targets = trajectory.test_targets
        header, packed = _reduced(trajectory.test_outputs, trajectory.task)
        return cls(
            task=trajectory.task,
            trajectory=sha256,
            items=hash_items(targets, groups),
            outputs=_restored(header, packed),
            targets=targets,
            groups=groups,
        )

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the outputs and of which items they are for."""
        little = np.ascontiguousarray(self.outputs, dtype="<f4")
        return hashlib.sha256(self.items.encode() + little.tobytes()).hexdigest()


def hash_items(targets: Targets, groups: IntArray | None) -> str:
    """Return the SHA-256 (hex) of what is right for some items, and of their groups."""
    digest = hashlib.sha256()
    for name, array in (("targets", targets), ("groups", groups)):
        if array is not None:
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
    return digest.hexdigest()


def _reduced(outputs: Outputs, task: TaskSpec) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Return outputs in 16 bits a number, and what it takes to read them."""
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
    """Return outputs (N, K) as float32."""
    if "low" not in header:
        return packed.astype(np.float32)
    low, high = np.asarray(header["low"]), np.asarray(header["high"])
    return (low + packed / _STEPS * (high - low)).astype(np.float32)


def pack_outputs(item: ItemOutputs, trajectory: Trajectory) -> bytes:
    """Return a run's outputs as the bytes of a compressed ``.npz``."""
    header, packed = _reduced(trajectory.test_outputs, trajectory.task)
    header |= {
        "task": item.task.model_dump(mode="json"),
        "trajectory": item.trajectory,
        "items": item.items,
    }
    return _pack(header, outputs=packed)


def pack_targets(item: ItemOutputs) -> bytes:
    """Return what is right for a run's test items as the bytes of a compressed ``.npz``."""
    assert item.targets is not None
    arrays = {"targets": item.targets}
    return _pack({}, **arrays, **({} if item.groups is None else {"groups": item.groups}))


def _pack(header: Mapping[str, Any], **arrays: npt.NDArray[Any]) -> bytes:
    encoded = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=encoded, **arrays)
    return buffer.getvalue()


def _unpack(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return what `_pack` was given. Nothing is unpickled.

    Raises:
        StoreError: It is damaged or too large.
    """
    try:
        with path.open("rb") as opened:
            with zipfile.ZipFile(opened) as file:
                size = sum(member.file_size for member in file.infolist())
            if size > _MOST:
                raise ValueError(f"it holds {size:,} bytes once unpacked, at most {_MOST:,} do")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
        assert isinstance(header, dict)
    except Exception as error:  # zip, zlib, numpy and JSON each have their own complaints
        raise StoreError(f"{path} cannot be read: {error}; delete it and make it anew") from error
    return header, arrays


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


class OutputsFolder:
    """The test outputs beside the records of a results folder.

    Args:
        store: The results folder.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.folder / FOLDER

    def gather(
        self, records: Iterable[RunRecord], shared: Mapping[str, bool]
    ) -> tuple[dict[str, ItemOutputs], dict[Path, bytes]]:
        """Return the outputs of runs that have any, and the files that should hold them.

        They come from the files that are there, else from trajectories at hand. Targets are
        looked for in the same places, and in any other trajectory of the same items.

        Args:
            records: Of the runs.
            shared: By task, whether what is right for its items may be written to a file.

        Returns:
            Outputs by run id, and the content of each file that is missing or is not the run's.

        Raises:
            StoreError: A file or a trajectory is damaged.
        """
        found: dict[str, ItemOutputs] = {}
        files: dict[Path, bytes] = {}
        for record in records:
            if record.trajectory_sha256 is None or record.selected_pairs is None:
                continue
            item = self._kept(record)
            if item is None:
                trajectory = self._store.load_trajectory(record)
                if trajectory is None or not _finite(trajectory.test_outputs):
                    continue
                item = ItemOutputs.of(trajectory, record.trajectory_sha256)
                files[self._path(record)] = pack_outputs(item, trajectory)
                if shared.get(record.task, False):
                    files.setdefault(self._targets_path(item), pack_targets(item))
            found[record.run_id] = item
        return self._with_targets(found, records), _changed(files)

    def _kept(self, record: RunRecord) -> ItemOutputs | None:
        """Return a run's outputs from their file; None where there is none, or of another run."""
        path = self._path(record)
        item = read_outputs(path) if path.is_file() else None
        return item if item and item.trajectory == record.trajectory_sha256 else None

    def _with_targets(
        self, found: Mapping[str, ItemOutputs], records: Iterable[RunRecord]
    ) -> dict[str, ItemOutputs]:
        known = {i.items: (i.targets, i.groups) for i in found.values() if i.targets is not None}
        for record in records:
            item = found.get(record.run_id)
            if item is None or item.items in known:
                continue
            path = self._targets_path(item)
            if path.is_file():
                known[item.items] = read_targets(path, item.items)
            elif (trajectory := self._store.load_trajectory(record)) is not None:
                groups = trajectory.arrays.get("test_groups")
                known[item.items] = (trajectory.test_targets, groups)
        return {
            run_id: replace(item, targets=targets, groups=groups)
            for run_id, item in found.items()
            for targets, groups in (known.get(item.items, (None, None)),)
        }

    def _path(self, record: RunRecord) -> Path:
        return self._folder / f"{record.name}.npz"

    def _targets_path(self, item: ItemOutputs) -> Path:
        return self._folder / f"targets-{item.items[:16]}.npz"


def _finite(outputs: Outputs) -> bool:
    return bool(len(outputs)) and bool(np.isfinite(outputs).all())


def _changed(files: Mapping[Path, bytes]) -> dict[Path, bytes]:
    return {p: b for p, b in files.items() if not (p.is_file() and p.read_bytes() == b)}
