"""A trajectory as the bytes of an ``.npz`` file, and back, whoever wrote it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, TaskSpec, Trajectory, TrajectoryFacts

_ARRAYS = ("pairs", "outputs", "test_outputs")
_TARGETS = ("targets", "test_targets")  # of an evaluation set they stand in the task
_EXTRA = "array_"  # before the names of the protocol's own

_MOST = 1 << 30
"""Bytes once unpacked: 200,000 snapshots of 64 items. A file may hold a thousand times its size."""


def pack(trajectory: Trajectory) -> bytes:
    """Return a trajectory as the bytes of a compressed ``.npz``."""
    header = {
        "task": trajectory.task.model_dump(mode="json"),
        "facts": trajectory.facts.model_dump(),
    }
    names = _ARRAYS if trajectory.task.evaluation is not None else (*_ARRAYS, *_TARGETS)
    arrays: dict[str, Any] = {name: getattr(trajectory, name) for name in names}
    arrays |= {_EXTRA + name: array for name, array in trajectory.arrays.items()}
    text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=text, **arrays)
    return buffer.getvalue()


def unpack(path: Path) -> Trajectory:
    """Return the trajectory in a file. Nothing is unpickled.

    Raises:
        ValueError: Its arrays do not fit one another or the task, or it is too large.
        Exception: It is damaged: zip, zlib, numpy and JSON each have their own complaints.
    """
    # np.load forgets to close what it opened where a file is damaged.
    with path.open("rb") as opened:
        _check_size(opened)
        with np.load(opened, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            pairs, outputs, test_outputs = (file[name] for name in _ARRAYS)
            targets, tested = (file[name] if name in file.files else None for name in _TARGETS)
            arrays = {
                name.removeprefix(_EXTRA): file[name]
                for name in file.files
                if name.startswith(_EXTRA)
            }
    task = TaskSpec.model_validate_json(json.dumps(header["task"]))
    facts = TrajectoryFacts.model_validate(header["facts"])
    if task.evaluation is not None:
        targets = np.asarray(task.evaluation.targets, dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    trajectory = Trajectory(
        task=task,
        facts=facts,
        pairs=pairs,
        outputs=outputs,
        targets=none if targets is None else targets,
        test_outputs=test_outputs,
        test_targets=none if tested is None else tested,
        arrays=arrays,
    )
    _check_arrays(trajectory)
    return Trajectory(**{**vars(trajectory), "outputs": _output_by_output(outputs)})


def _check_size(opened: io.BufferedReader) -> None:
    """Raise where the members of an archive are larger, by its own account, than trajectories are.

    No more than that account says is ever unpacked.
    """
    with zipfile.ZipFile(opened) as file:
        size = sum(member.file_size for member in file.infolist())
    opened.seek(0)
    if size > _MOST:
        raise ValueError(
            f"it holds {size:,} bytes once unpacked; a trajectory has at most {_MOST:,}"
        )


def _check_arrays(trajectory: Trajectory) -> None:
    """Raise unless types, shapes and values are those that `Trajectory` describes."""
    task, n_outputs = trajectory.task, len(trajectory.task.target.names)
    n_items = None if task.evaluation is None else len(task.evaluation.inputs)
    shapes: dict[str, tuple[int | None, ...]] = {
        "pairs": (len(np.atleast_1d(trajectory.pairs)),),
        "outputs": (len(np.atleast_1d(trajectory.pairs)), n_items, n_outputs),
        "test_outputs": (None, n_outputs),
    }
    for name, shape in shapes.items():
        array, kind = getattr(trajectory, name), np.int64 if name == "pairs" else np.float32
        found = tuple(None if n is None else m for n, m in zip(shape, array.shape, strict=False))
        if array.dtype.newbyteorder("=") != kind or array.ndim != len(shape) or found != shape:
            raise ValueError(
                f"{name} are {array.dtype} of shape {array.shape}, no array of a trajectory"
            )
    for name, shown in (("targets", "outputs"), ("test_targets", "test_outputs")):
        array, n_items = getattr(trajectory, name), getattr(trajectory, shown).shape[-2]
        if len(array) != n_items and len(getattr(trajectory, shown)):
            raise ValueError(f"{name} are {len(array)}, of {n_items} items")
        if array.dtype.newbyteorder("=") not in (np.int64, np.float32):
            raise ValueError(f"{name} are {array.dtype}, no array of a trajectory")
    for name, array in trajectory.arrays.items():
        if array.dtype.newbyteorder("=") != np.int64:
            raise ValueError(f"{name} are {array.dtype}, no array of a trajectory")
    pairs = trajectory.pairs
    if ((pairs < 0) | (pairs > trajectory.facts.pairs)).any():
        raise ValueError("pairs are out of range")
    if (np.diff(pairs) <= 0).any():
        raise ValueError("pairs do not rise")


def _output_by_output(outputs: Outputs) -> npt.NDArray[np.float32]:
    """Return outputs (T, N, K) laid out in memory as a run leaves them, the K outermost.

    numpy adds in the order of memory: laid out otherwise, the same logits give probabilities
    whose last digit is not that of the run.
    """
    return np.moveaxis(np.moveaxis(outputs, -1, 0).copy(), 0, -1)
