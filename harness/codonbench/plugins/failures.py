"""A plugin's code that failed: whose it is, where it broke, and what to do about it."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import cast

from pydantic import ValidationError

from codonbench.contracts.model import ModelInfo
from codonbench.errors import BenchError, UsageError
from codonbench.plugins.selection import Candidate

_NOT_THE_PLUGINS = tuple(
    str(Path(spec.origin).parent)
    for spec in map(find_spec, ("codonbench", "torch"))  # found, not imported
    if spec and spec.origin
)


@dataclass(frozen=True)
class Failure(Candidate):
    """A plugin that did not load.

    Attributes:
        error: Last line of the traceback.
        details: All of it.
        line: The line of its file that failed; None where that is unknown.
        hint: Next step for the user.
        usage: Whether it asks for what cannot be, and no code of it failed.
        cause: The exception itself.
    """

    error: str = ""
    details: str = ""
    line: int | None = None
    hint: str = ""
    usage: bool = False
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> str:
        """File and line, ``mylstm.py:3``; empty where there is no file."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    @property
    def whose(self) -> str:
        """Module and distribution: ``mylstm of my-shop 1.0``."""
        owner = f"{self.distribution} {self.version}".strip()
        module = self.module or f"entry point {self.point!r}"
        return f"{module} of {owner}" if owner else module

    @property
    def why(self) -> str:
        """The error and where it was raised: ``ValueError: no luck (mylstm.py:3)``."""
        return f"{self.error} ({self.place})" if self.place else self.error


def _is_unstorable(error: BaseException) -> bool:
    """Return whether a model declares what no record can hold."""
    return isinstance(error, ValidationError) and error.title == ModelInfo.__name__


def describe_failure(error: BaseException, candidate: Candidate) -> Failure:
    """Return the description of `error`, raised while loading `candidate`."""
    file, line = candidate.file, None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    elif file:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == file), None)
    return Failure(
        **vars(replace(candidate, file=file)),
        error=last_line(error),
        details="".join(traceback.format_exception(error)),
        line=line,
        hint=_hint(error, candidate),
        usage=isinstance(error, UsageError) or _is_unstorable(error),
        cause=error,
    )


def _hint(error: BaseException, candidate: Candidate) -> str:
    """Return the next step."""
    owner = candidate.distribution or "the distribution that names it"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return f"mend it, or switch it off with -p no:{candidate.point or candidate.module}"
    if f"{candidate.module}.".startswith(f"{error.name}."):
        return (
            f"the entry point {candidate.point!r} names a module that does not exist; "
            f"reinstall {owner} or correct its [project.entry-points.codonbench]"
        )
    return f"install {error.name.partition('.')[0]!r} beside codonbench, or reinstall {owner}"


_DOUBLE = re.compile(
    r"^(Runtime|Value)Error: (?=.*\b(double|float64)\b)(?=.*\bfloat(32)?\b)", re.IGNORECASE
)
"""What PyTorch says of float64 beside float32, in many words."""


def last_line(error: BaseException) -> str:
    """Return what a traceback ends with, on one line."""
    if isinstance(error, BenchError):  # our own words need no type in front
        return str(error)
    if isinstance(error, ValidationError):  # its own text is a paragraph with links
        problems = (
            f"{'.'.join(map(str, d['loc'])) or error.title}: {d['msg']}, got {d['input']!r}"
            for d in error.errors()
        )
        line = f"{type(error).__name__}: {error.title}: {'; '.join(problems)}"
    else:
        line = " ".join(traceback.format_exception_only(error)[-1].split())
        line += remedy(line)
    return line.encode("utf-8", "backslashreplace").decode()


def remedy(line: str) -> str:
    """Return what to do about an exception, of which `line` is the last one, or nothing."""
    if _DOUBLE.search(line):  # PyTorch names the types, and not which of them is expected
        return "; a module is handed float32: let its parameters be float32, without double()"
    return ""


def place(
    raised: TracebackType | None, file: str, made_by: Callable[..., object] | None = None
) -> str:
    """Return `` (mine.py:12)``: the last line of the plugin's that was reached, or nothing.

    Args:
        raised: The traceback.
        file: The plugin's file; a frame elsewhere counts where none is in it and it is neither
            PyTorch's nor ours, nor that of another library.
        made_by: Where no frame counts, its code is named: a layer of PyTorch's that fails as it is
            called was made there.
    """
    frames = traceback.extract_tb(raised)
    mine = [frame for frame in frames if frame.filename == file]
    other = [
        frame
        for frame in frames
        if not frame.filename.startswith(_NOT_THE_PLUGINS)
        and (not file or _library(frame.filename) in ("", _library(file)))
    ]
    for frame in (mine or other)[-1:]:
        return f" ({Path(frame.filename).name}:{frame.lineno})"
    code = getattr(made_by, "__code__", None)
    if code is None or code.co_filename != file:
        return ""
    lines = [line for *_, line in code.co_lines() if line]
    return f" (made in {Path(file).name}:{max(lines)})"


def _library(file: str) -> str:
    """Return the package or module of an environment that a file is part of, or nothing."""
    return next(iter(re.findall(r".*[/\\](?:site|dist)-packages[/\\]([^/\\]+)", file)), "")


def maker_of(plugin: type) -> Callable[..., object] | None:
    """Return the function of a model or estimator that makes what is trained."""
    for name in ("function", "build", "fit"):
        if found := getattr(plugin, name, None):
            return cast(Callable[..., object], found)
    return None


def file_of(thing: type) -> str:
    """Return the file that defines a class, or nothing."""
    try:
        return inspect.getsourcefile(thing) or ""
    except (OSError, TypeError):
        return ""
