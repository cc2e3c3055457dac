"""Where in a plugin's code an exception arose: a file's name and a line, never a folder."""

from __future__ import annotations

import inspect
import traceback
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

_NOT_THE_PLUGINS = tuple(
    str(Path(spec.origin).parent)
    for spec in map(find_spec, ("codonbench", "torch"))  # found, not imported
    if spec and spec.origin
)


def place(trajectory: TracebackType | None, file: str) -> str:
    """Return `` (mine.py:12)``: the last line of the plugin's that was reached, or nothing.

    Args:
        trajectory: The traceback.
        file: The plugin's file; a frame elsewhere counts where none is in it and it is neither
            PyTorch's nor ours.
    """
    frames = traceback.extract_tb(trajectory)
    mine = [frame for frame in frames if frame.filename == file]
    other = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_PLUGINS)]
    for frame in (mine or other)[-1:]:
        return f" ({Path(frame.filename).name}:{frame.lineno})"
    return ""


def file_of(thing: type) -> str:
    """Return the file that defines a class, or nothing."""
    try:
        return inspect.getsourcefile(thing) or ""
    except (OSError, TypeError):
        return ""
