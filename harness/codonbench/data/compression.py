"""Open files as bytes or text; gzip, bzip2 and xz are detected by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from codonbench.errors import DataError

ENDINGS = (".gz", ".bz2", ".xz")
"""File name suffixes of compressed files."""

MOST_UNPACKED = 2 << 30
"""Most bytes of a decompressed file: gzip can expand a thousandfold."""

_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_REFUSED = {
    b"\x28\xb5\x2f\xfd": "Zstandard, which is not read; unpack it, or use gzip",
    b"PK\x03\x04": "a zip archive, which is not read; unpack it, or use gzip",
    b"7z\xbc\xaf": "7-Zip, which is not read; unpack it, or use gzip",
    b"\xd0\xcf\x11\xe0": "an Excel file, which is not read; save the table as CSV",
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
}
_XLSX = re.compile(rb"\[Content_Types\]\.xml|xl/|_rels/|docProps/")
"""Name of the first file in the zip archive of a spreadsheet."""
_TAR = slice(257, 262)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def open_unpacked(path: str | Path) -> io.BufferedReader:
    """Open a file as bytes, decompressed.

    Raises:
        DataError: The format is not supported, the file is an archive or, while reading, holds more
            than `MOST_UNPACKED`.
        OSError, EOFError, zlib.error, lzma.LZMAError: See `faults_named`.
    """
    raw = _opened(path)
    file: io.BufferedReader = io.BufferedReader(cast(Any, raw), 1 << 18)
    if file.peek(512)[_TAR] == b"ustar":
        file.close()
        raise DataError(f"{str(path)!r} is a tar archive; unpack it and give the file in it")
    return file


def _opened(path: str | Path) -> Any:
    """Open a file as decompressed bytes without a further buffer.

    Raises:
        DataError: The format is not supported.
    """
    with Path(path).open("rb") as stored:
        start = stored.read(64)
    for magic, what in _REFUSED.items():
        if start.startswith(magic):
            excel = _REFUSED[b"\xd0\xcf\x11\xe0"]
            raise DataError(f"{str(path)!r} is {excel if _XLSX.search(start) else what}")
    opener = next((o for magic, o in _OPENERS.items() if start.startswith(magic)), None)
    return Path(path).open("rb") if opener is None else _Bounded(opener(path), path)


class _Bounded(io.RawIOBase):
    """A decompressed stream of at most `MOST_UNPACKED` bytes."""

    def __init__(self, file: Any, path: str | Path) -> None:
        self._file, self._path, self._left = file, path, MOST_UNPACKED

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`; return the number of bytes."""
        count: int = self._file.readinto1(buffer)
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"{str(self._path)!r} holds more than {MOST_UNPACKED / 2**30:g} GiB once unpacked; "
                "unpack it first if that is what it should hold"
            )
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def open_text(path: str | Path) -> io.TextIOWrapper:
    """Open a file as UTF-8 text without a byte-order mark; line ends are kept."""
    return io.TextIOWrapper(open_unpacked(path), encoding="utf-8-sig", newline="")


@contextmanager
def faults_named(path: str | Path) -> Iterator[None]:
    """Turn errors of reading a file into a `DataError` with its name and the line.

    Raises:
        DataError: The file is missing, unreadable, damaged, truncated or not UTF-8.
    """
    name = repr(str(path))
    try:
        yield
    except UnicodeDecodeError as error:
        with faults_named(path):  # the file may also be damaged
            message = _undecodable(path)
        raise DataError(message) from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot read {name}: {error.strerror}") from error
        where = f"in line {_whole_lines(path) + 1:,}"
        raise DataError(f"{name} is damaged or cut short {where} ({error}); get it anew") from error


_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


def _whole_lines(path: str | Path) -> int:
    """Return the number of readable lines of a damaged file."""
    whole = 0
    # In small reads: a read that meets the damage returns nothing.
    with suppress(*_DAMAGED), _opened(path) as file:
        while part := file.read(1 << 12):
            whole += part.count(b"\n")
    return whole


def _undecodable(path: str | Path) -> str:
    """Return a message with the line of a file that is not UTF-8."""
    with open_unpacked(path) as file:
        if file.peek(2)[:2] in _UTF16:
            return f"{path}, line 1: text in UTF-16; save it as UTF-8"
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return (
                    f"{path}, line {number}: byte {byte:#04x} is not UTF-8; save the file as such"
                )
    return f"{path}: cut short within a letter; get it anew"
