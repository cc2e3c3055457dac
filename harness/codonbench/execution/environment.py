"""An environment for a plugin's needs: read, locked, built with uv, and kept.

A one-file plugin says what it needs as inline script metadata (PEP 723):

    # /// script
    # requires-python = ">=3.11"
    # dependencies = ["numpy<2"]
    # ///

A distribution says it in its metadata, ``Requires-Dist`` and ``Requires-Python``. What it needs and
what that needs is resolved once to exact versions, the lock; they are installed into a virtual
environment that is kept by the hash of the lock. Behind it lie the packages of the interpreter that
runs codonbench, so that the worker finds codonbench and the same PyTorch there, unless the plugin
asks for another. Once built, nothing of it needs a network.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from codonbench.contracts.run_record import Environment
from codonbench.contracts.run_spec import content_hash
from codonbench.errors import ConfigError, StoreError, UnmetNeedError
from codonbench.execution.process import importable
from codonbench.plugins.selection import BUILT_IN
from codonbench.records.files import parse_tables, printable

_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")
_WITH_TORCH = re.compile(r"(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==")
_LONGEST, _NAMED = 300, 5

_UNDER_WAY = re.compile(
    r"\s*(?P<what>Downloading|Downloaded|Building|Built) (?P<package>\S+)"
    r"(?: \((?P<size>[\d.]+)(?P<unit>[KMG]?)i?B\))?"
)
"""What uv says of a package while it installs several."""

_DONE = re.compile(r"(Using Python|Resolved|Prepared|Installed|Audited|\s*[+~-] \S+==)")
_MEBIBYTES = {"": 2**-20, "K": 2**-10, "M": 1.0, "G": 2.0**10}


@dataclass(frozen=True)
class Step:
    """How far the building of an environment has come.

    Attributes:
        words: The step, as text.
        done, total: MiB that were downloaded, and that are known to be.
    """

    words: str
    done: float = 0.0
    total: float = 0.0


OnStep = Callable[[Step], None]
"""Told each step of the building of an environment."""


@dataclass(frozen=True)
class PackageNeeds:
    """The requirements of a plugin.

    Attributes:
        owner: The name of its file or distribution, for messages.
        python: The versions of Python it runs on; empty for any.
        dependencies: Requirements, as pip takes them.
    """

    owner: str
    python: str
    dependencies: tuple[str, ...]

    def takes_torch(self, version: str) -> bool:
        """Return whether PyTorch of some version will do."""
        named = [
            r for r in map(Requirement, self.dependencies) if canonicalize_name(r.name) == "torch"
        ]
        return all(r.specifier.contains(version, prereleases=True) for r in named)


def needs_of(file: Path) -> PackageNeeds | None:
    """Return the inline metadata of a plugin file; None where it has none.

    Raises:
        UnmetNeedError: It is no such metadata; says why.
    """
    owner = f"plugin {file.name}: its script metadata"
    blocks = [*_blocks(file.read_text(encoding="utf-8", errors="replace").split("\n"))]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise UnmetNeedError(f"{owner} stands there {len(blocks)} times; leave one block")
    text = "\n".join(line[2:] for line in blocks[0])
    try:
        found: dict[str, Any] = parse_tables(text)
        python, listed = found.get("requires-python", ""), found.get("dependencies", [])
        if not isinstance(python, str) or not isinstance(listed, list):
            raise ValueError("requires-python is text, and dependencies are a list")
        SpecifierSet(python)
        dependencies = tuple(map(str, _read(listed)))
    except (ValueError, StoreError, InvalidSpecifier) as error:
        raise UnmetNeedError(
            f"{owner} cannot be read: {printable(str(error).splitlines()[0])}"
        ) from error
    return PackageNeeds(file.name, python, dependencies)


def _read(listed: Iterable[object]) -> Iterator[Requirement]:
    """Yield what is required here, but for codonbench itself, which is in each environment.

    Raises:
        ValueError: One is none, or names where to get a package, which no lock could hold.
    """
    for each in listed:
        if not isinstance(each, str):
            raise ValueError(f"{each!r} among the dependencies is no text")
        try:
            found = Requirement(each)
        except InvalidRequirement as error:
            raise ValueError(f"{each!r}: {error}") from error
        if found.marker is not None and not found.marker.evaluate({"extra": ""}):
            continue
        if found.url is not None:
            raise ValueError(f"{each!r} is an address; expected a package and versions of it")
        if canonicalize_name(found.name) != BUILT_IN:
            yield found


def _blocks(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield what PEP 723 takes for script metadata: its regular expression's time has no bound."""
    at = 0
    while at < len(lines):
        begin = at = at + 1
        if lines[begin - 1] != "# /// script":
            continue
        while at < len(lines) and (lines[at] == "#" or lines[at].startswith("# ")):
            at += 1
        ends = (i for i in range(at - 1, begin, -1) if lines[i] == "# ///")
        if (end := next(ends, None)) is not None:
            yield lines[begin:end]


def needs_of_distribution(name: str) -> PackageNeeds | None:
    """Return what an installed distribution needs beside codonbench; None where that is nothing.

    Raises:
        UnmetNeedError: Its metadata cannot be read.
    """
    try:
        found = importlib.metadata.distribution(name)
        python = str(found.metadata.json.get("requires_python", ""))
        SpecifierSet(python)
        listed = [*_read(found.requires or ())]
    except importlib.metadata.PackageNotFoundError:
        return None
    except ValueError as error:
        why = printable(str(error).splitlines()[0])
        raise UnmetNeedError(f"plugin {name}: its metadata cannot be read: {why}") from error
    dependencies = tuple(map(str, listed))
    return PackageNeeds(name, python, dependencies) if dependencies else None


def conflict(needs: PackageNeeds) -> str:
    """Return the first package that is not here as it is needed, in words; empty for none.

    Raises:
        UnmetNeedError: It needs another Python, which no environment of its own has either.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    if not SpecifierSet(needs.python).contains(version, prereleases=True):
        raise UnmetNeedError(
            f"plugin {needs.owner} needs Python {needs.python}, and this is {version}"
        )
    for dependency in map(Requirement, needs.dependencies):
        try:
            version = importlib.metadata.version(dependency.name)
        except importlib.metadata.PackageNotFoundError:
            return f"needs {dependency}, which is not installed here"
        if not dependency.specifier.contains(version, prereleases=True):
            return f"needs {dependency}, and here is {version}"
    return ""


def environment_for(
    needs: PackageNeeds, folder: Path, *, offline: bool, show: OnStep = lambda step: None
) -> tuple[Path, Environment]:
    """Return the interpreter of an environment that meets some needs, built where it is not there.

    Args:
        needs: Needs of a plugin.
        folder: Where environments and locks are kept.
        offline: Whether the network is forbidden.
        show: Told each step, where it is built.

    Raises:
        UnmetNeedError: Its needs cannot be met, or uv is not installed; says why.
    """
    torch = importlib.metadata.version("torch").partition("+")[0]
    key = content_hash([needs.dependencies, _platform(), torch])[:16]
    file = folder / "locks" / f"{key}.json"
    with suppress(OSError, ValueError):
        kept = Environment.model_validate_json(file.read_text(encoding="utf-8"))
        return built(kept, needs.owner, folder, offline=offline, show=show), kept
    show(Step("resolving what it needs"))
    ours_serves = needs.takes_torch(torch)
    constraint = [f"torch=={torch}"] if ours_serves else []
    pins = _resolved(needs, constraint, folder, offline=offline)
    if ours_serves:
        named = {canonicalize_name(Requirement(each).name) for each in needs.dependencies}
        own = named - {"torch"}
        pins = [p for p in pins if p.partition("==")[0] in own or not _WITH_TORCH.match(p)]
    lock = Environment.of(pins, _platform())
    python = built(lock, needs.owner, folder, offline=offline, show=show)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(lock.model_dump_json(), encoding="utf-8")
    return python, lock


def _resolved(
    needs: PackageNeeds, constraints: Sequence[str], folder: Path, *, offline: bool
) -> list[str]:
    """Return the exact versions that meet some needs, and theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    given = folder / f"constraints-{os.getpid()}.txt"
    given.write_text("\n".join(constraints), encoding="utf-8")
    arguments = ["pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    try:
        output = _uv(
            [*arguments, "--python", sys.executable, "--constraint", str(given)],
            f"what plugin {needs.owner} needs cannot be resolved",
            offline=offline,
            text="\n".join(needs.dependencies),
        )
    finally:
        given.unlink(missing_ok=True)
    return sorted(line.strip() for line in output.splitlines() if _PIN.match(line.strip()))


def built(
    lock: Environment,
    owner: str,
    folder: Path,
    *,
    offline: bool,
    show: OnStep = lambda step: None,
) -> Path:
    """Return the interpreter of a lock's environment, which is built where it is not there.

    Args:
        lock: Exact versions.
        owner: The plugin's file or distribution, for messages.
        folder: Where environments are kept.
        offline: Whether the network is forbidden.
        show: Told each step, where it is built.

    Raises:
        ConfigError: The lock is another platform's.
        UnmetNeedError: A version cannot be had, or uv is not installed; says which.
    """
    if lock.platform != _platform():
        raise ConfigError(
            f"the environment of plugin {owner} was locked on {lock.platform}, and this is "
            f"{_platform()}"
        )
    place = folder / lock.sha256[:16]
    python = Path("bin", "python")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{place.name}.lock"):
        if (place / "complete").is_file():
            return place / python
        made = folder / f".building-{place.name}"
        for left in (place, made):  # by a process that was killed
            rmtree(left, ignore_errors=True)
        try:
            _uv(
                ["venv", "--quiet", "--relocatable", "--python", sys.executable, str(made)],
                f"no environment can be made for plugin {owner}",
                offline=offline,
            )
            if lock.packages:
                n, named = len(lock.packages), ", ".join(lock.packages[:_NAMED])
                more = ", ..." if n > _NAMED else ""
                show(Step(f"installing {n} package{'s'[: n - 1]}: {named}{more}"))
                _uv(
                    ["pip", "install", "--no-deps", "--python", str(made / python), *lock.packages],
                    f"the locked environment of plugin {owner} cannot be built",
                    offline=offline,
                    on_line=_Downloads(show).read_line,
                )
            _add_own_packages(made)
            _check_imports(made / python, owner)
            (made / "complete").touch()
            made.rename(place)
        finally:
            rmtree(made, ignore_errors=True)
    return place / python


def _add_own_packages(environment: Path) -> None:
    """Have what is imported from here found there, too, after the environment's own."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = environment / "lib" / name / "site-packages"
    standard = Path(sysconfig.get_path("stdlib"))
    ours = [
        path
        for path in map(Path, importable())
        if path.is_dir() and (path.name == "site-packages" or not path.is_relative_to(standard))
    ]
    (site / "zz-codonbench.pth").write_text("\n".join(map(str, ours)) + "\n", encoding="utf-8")


def _check_imports(python: Path, owner: str) -> None:
    """Import there what a worker imports, PyTorch among it: some may be older than ours needs it.

    Raises:
        UnmetNeedError: It cannot be imported.
    """
    imports = "import codonbench.execution.worker, codonbench.engines.train"
    command = [str(python), "-P", "-c", imports]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = printable((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
        raise UnmetNeedError(
            f"codonbench cannot be imported beside what plugin {owner} needs: {why}"
        )


class _Downloads:
    """What uv has announced, and what of it is here.

    Args:
        show: Called with each change.
    """

    def __init__(self, show: OnStep) -> None:
        self._show = show
        self._sizes: dict[str, float] = {}
        self._done = 0.0

    def read_line(self, line: str) -> None:
        """Take in a line of uv's."""
        if (match := _UNDER_WAY.match(line)) is None:
            return
        package, words = match["package"], f"{match['what'].lower()} {match['package']}"
        if match["size"]:
            self._sizes[package] = float(match["size"]) * _MEBIBYTES[match["unit"]]
            words += f", {self._sizes[package]:.1f} MiB"
        total = sum(self._sizes.values())
        if match["what"] == "Downloaded":
            self._done += self._sizes.get(package, 0.0)
            words += f": {self._done:.1f} of {total:.1f} MiB"
        self._show(Step(printable(words), self._done, total))


def _uv(
    arguments: Sequence[str],
    what: str,
    *,
    offline: bool,
    text: str = "",
    on_line: Callable[[str], None] = lambda line: None,
) -> str:
    """Run uv; return what it prints.

    Args:
        arguments: Arguments.
        what: Description of the call for error messages.
        offline: Whether the network is forbidden.
        text: Its standard input.
        on_line: Called with each line of its messages.

    Raises:
        UnmetNeedError: It is not installed, or fails: `what`, and its reason.
    """
    if find_spec("uv") is None:
        raise UnmetNeedError(
            f"{what}: an environment of its own needs uv, which is not installed: "
            "pip install 'codonbench[env]'"
        )
    command = [sys.executable, "-P", "-m", "uv", *arguments, *(["--offline"] if offline else [])]
    pipe, lines = subprocess.PIPE, []
    with TemporaryFile("w+", encoding="utf-8") as printed:
        with subprocess.Popen(command, stdin=pipe, stdout=printed, stderr=pipe, text=True) as uv:
            assert uv.stdin is not None
            assert uv.stderr is not None
            try:
                with suppress(BrokenPipeError):  # it will say why
                    uv.stdin.write(text)
                    uv.stdin.close()
                for line in uv.stderr:
                    on_line(line)
                    lines.append(line)
            except BaseException:  # Ctrl-C
                uv.kill()
                raise
        if uv.returncode:
            left = (li for li in lines if not (_UNDER_WAY.match(li) or _DONE.match(li)))
            raise UnmetNeedError(f"{what}: {_reason(' '.join(left))}")
        printed.seek(0)
        return printed.read()


def _reason(text: str) -> str:
    """Return uv's message, in one line."""
    reason = " ".join(re.sub(r"[×╰─▶│├\s]+", " ", text).split())
    reason = reason.removeprefix("error: ").removeprefix("No solution found when resolving ")
    return printable(reason)[:_LONGEST] or "uv says nothing"


def _platform() -> str:
    """Return what a lock holds for: ``cpython-311-linux-x86_64``."""
    tag = f"{sys.implementation.name}-{sys.version_info.major}{sys.version_info.minor}"
    return f"{tag}-{sysconfig.get_platform()}"
