"""A trajectory as the bytes of an ``.npz`` file, and back, whoever wrote it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.contracts import TaskSpec, Trajectory, TrajectoryFacts

_ARRAYS = ("pairs", "logits", "first_seen", "test_counts", "frame_pairs", "frame_inputs")

_MOST = 1 << 30
"""Bytes once unpacked: 200,000 probes of the 64 codons. A file may hold a thousand times its
size."""


def pack(trajectory: Trajectory) -> bytes:
    """Return a trajectory as the bytes of a compressed ``.npz``."""
    header = {
        "task": trajectory.task.model_dump(mode="json"),
        "facts": trajectory.facts.model_dump(),
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        header=np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8),
        **{name: getattr(trajectory, name) for name in _ARRAYS},
    )
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
            arrays = {name: file[name] for name in _ARRAYS}
    trajectory = Trajectory(
        task=TaskSpec.model_validate(header["task"]),
        facts=TrajectoryFacts.model_validate(header["facts"]),
        **arrays,
    )
    _check_arrays(trajectory)
    return Trajectory(
        trajectory.task, trajectory.facts, **arrays | {"logits": _class_by_class(trajectory.logits)}
    )


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
    n_probes, n_inputs, n_classes = (
        len(np.atleast_1d(trajectory.pairs)),
        len(trajectory.task.probe_inputs),
        len(trajectory.task.classes),
    )
    n_frames = len(np.atleast_1d(trajectory.frame_pairs))
    shapes: dict[str, tuple[int | None, ...]] = {
        "pairs": (n_probes,),
        "logits": (n_probes, n_inputs, n_classes),
        "first_seen": (n_inputs,),
        "test_counts": (n_inputs,),
        "frame_pairs": (n_frames,),
        "frame_inputs": (n_frames, None),  # pairs in a batch
    }
    for name, shape in shapes.items():
        array, kind = getattr(trajectory, name), np.float32 if name == "logits" else np.int64
        found = tuple(None if n is None else m for n, m in zip(shape, array.shape, strict=False))
        if array.dtype.newbyteorder("=") != kind or array.ndim != len(shape) or found != shape:
            raise ValueError(
                f"{name} are {array.dtype} of shape {array.shape}, no array of a trajectory"
            )
    for name, low, high in (
        ("pairs", 0, trajectory.facts.pairs),
        ("first_seen", 0, None),
        ("test_counts", 0, None),
        ("frame_pairs", 0, trajectory.facts.pairs),
        ("frame_inputs", -1, n_inputs - 1),
    ):
        array = getattr(trajectory, name)
        if (array < low).any() or (high is not None and (array > high).any()):
            raise ValueError(f"{name} are out of range")
    for name in ("pairs", "frame_pairs"):
        if (np.diff(getattr(trajectory, name)) <= 0).any():
            raise ValueError(f"{name} do not rise")


def _class_by_class(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return logits (T, P, C) laid out in memory as a run leaves them, classes outermost.

    numpy adds in the order of memory: laid out otherwise, the same logits give probabilities
    whose last digit is not that of the run.
    """
    return np.moveaxis(np.moveaxis(logits, -1, 0).copy(), 0, -1)
