"""Read nucleotide FASTA into arrays: 100 MB in about a second, with memory of about 200 MB.

The whole text is read, then rewritten in place block by block: headers and white space are
removed, and letters replaced by base indices. Memory thus stays near one copy.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.data.compression import faults_named, open_unpacked
from codonbench.errors import DataError

_BLOCK = 1 << 20  # fits the CPU cache; larger blocks are slower
MOST_RECORDS = 10_000_000
"""Most records of a file; each takes tens of bytes in addition to its letters."""

_LF, _CR, _GT, _SEMICOLON = b"\n\r>;"
_BOM = b"\xef\xbb\xbf"

_UNKNOWN, _AMBIGUOUS, _PROTEIN, _INVALID, _RECORD = range(4, 9)


@cache
def _letter_table() -> bytes:
    """Return the translation of bytes: 0..3 for a base, else the kind of byte."""
    table = bytearray([_INVALID] * 256)
    kinds = {0: "UT", 1: "C", 2: "A", 3: "G", _UNKNOWN: "NX-.*?"}
    kinds |= {_AMBIGUOUS: "RYSWKMBDHV", _PROTEIN: "EFILPQJOZ", _RECORD: ">"}
    for kind, letters in kinds.items():
        for letter in letters + letters.lower():
            table[ord(letter)] = kind
    return bytes(table)


@dataclass(frozen=True, eq=False)
class FastaRecords:
    """The records of a FASTA file, as slices of one array.

    Attributes:
        bases: 0..3 for U (or T), C, A, G. Record i is ``bases[starts[i]:][:lengths[i]]``;
            elements between records, and values above 3, are no bases.
        starts: Start of each record, shape (n,).
        lengths: Letters of each record, shape (n,).
        unclear: Whether a record has a letter other than A, C, G, T, U, shape (n,).
    """

    bases: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    unclear: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)


def read_fasta(path: str | Path) -> FastaRecords:
    """Read a nucleotide FASTA file.

    Supported: plain, gzip, bzip2 or xz (detected by the first bytes); DNA or RNA letters in either
    case; wrapped sequences; LF, CRLF or CR line ends; blank lines; comment lines that begin with
    ``;``.

    Args:
        path: The file, named in messages as given here.

    Raises:
        DataError: The file is missing, unreadable, empty, truncated, not FASTA, protein FASTA, or
            holds more than 2 GiB once decompressed, or more than 10,000,000 sequences.
    """
    return _parse(_read_text(path), str(path))


def read_table(path: str | Path) -> FastaRecords:
    r"""Read a table of sequences: a header line, then lines of ``id<TAB>sequence``.

    Args:
        path: The file, plain or compressed, named in messages as given here.

    Raises:
        DataError: As for `read_fasta`, or the file is not such a table.
    """
    header, _, rows = bytes(_read_text(path)).partition(b"\n")
    if b"\t" not in header or b"\t" not in rows:
        raise DataError(f"{str(path)!r} is not a table of id and sequence separated by a tab")
    # With '>' and line ends as separators such a table is FASTA.
    text = b">" + rows.strip().replace(b"\n", b"\n>").replace(b"\t", b"\n")
    return _parse(bytearray(text), str(path))


def _read_text(path: str | Path) -> bytearray:
    """Return the file's content, decompressed."""
    text = bytearray()
    with faults_named(path):
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path() would tidy the name the user gave
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise DataError(f"{str(path)!r} is {what}; give a FASTA file")
        with open_unpacked(path) as stream:
            while chunk := stream.read(4 * _BLOCK):
                text += chunk
    return text


def _check_beginning(text: bytearray, name: str) -> None:
    """Raise DataError unless the text begins like FASTA; blank out a byte order mark."""
    if text.startswith(_BOM):
        text[: len(_BOM)] = b"\n" * len(_BOM)
    first = re.search(rb"\S", text)
    if first is None:
        raise DataError(f"{name!r} is empty; give a FASTA file of coding sequences")
    if first.group() not in b">;":
        raise _no_header(name)


def _no_header(name: str) -> DataError:
    return DataError(
        f"{name!r} is no FASTA file in plain text: it does not begin with a '>' header line"
    )


def _parse(text: bytearray, name: str) -> FastaRecords:
    """Parse FASTA text, overwriting it with base indices."""
    _check_beginning(text, name)
    raw = np.frombuffer(text, dtype=np.uint8)
    written = n_records = n_lines = 0
    in_header, last_byte = False, _LF
    marks: list[npt.NDArray[np.int64]] = []
    unclear: list[npt.NDArray[np.int64]] = []
    kinds = np.zeros(_RECORD + 1, dtype=np.int64)
    for low in range(0, len(raw), _BLOCK):
        block = raw[low : low + _BLOCK]
        ends = np.flatnonzero((block == _LF) | (block == _CR))
        angles = np.flatnonzero((block == _GT) | (block == _SEMICOLON))
        before = np.where(angles > 0, block[angles - 1], last_byte)
        first = (before == _LF) | (before == _CR)
        last_byte = int(block[-1])

        begun = angles[first]  # both headers and comments end with their line
        headers = begun[block[begun] == _GT]
        opened = np.concatenate(([0], begun)) if in_header else begun
        closed = np.append(ends, len(block))[np.searchsorted(ends, opened)]
        in_header = bool(len(opened)) and bool(closed[-1] == len(block))
        depth = np.zeros(len(block) + 1, dtype=np.int8)
        depth[opened] += 1
        depth[closed] -= 1  # may equal `opened`, at the start of a block
        block[np.cumsum(depth[:-1], dtype=np.int8).view(np.bool_)] = _LF
        if (block[angles] == _GT).any():
            raise _no_letter(name, block, ends, n_lines, ord(">"))
        block[headers] = _GT  # kept to mark the border between records

        kept = np.frombuffer(block.tobytes().translate(_letter_table(), b"\n\r\t "), dtype=np.uint8)
        odd = np.flatnonzero(kept > 3)  # few: everything but bases
        kind = kept[odd]
        if (kind == _INVALID).any():
            raise _no_letter(name, block, ends, n_lines)
        borders, odd = odd[kind == _RECORD], odd[kind != _RECORD]
        unclear.append(np.unique(n_records - 1 + np.searchsorted(borders, odd)))
        marks.append(borders + written)
        kinds += np.bincount(kind, minlength=len(kinds))
        raw[written : written + len(kept)] = kept
        written += len(kept)
        n_records += len(borders)
        if n_records > MOST_RECORDS:
            raise DataError(f"{name!r} holds more than {MOST_RECORDS:,} sequences; cut it in parts")
        n_lines += int(np.count_nonzero(block[ends] == _LF))

    borders = np.concatenate(marks)
    if not n_records or borders[0] > 0:
        raise _no_header(name)
    n_letters = written - n_records
    if kinds[_PROTEIN] > n_letters / 20 or kinds[_PROTEIN] + kinds[_AMBIGUOUS] > n_letters / 2:
        raise DataError(f"{name!r} looks like protein; give nucleotide coding sequences")
    is_unclear = np.zeros(n_records, dtype=np.bool_)
    is_unclear[np.concatenate(unclear)] = True
    lengths = np.diff(borders, append=written) - 1
    return FastaRecords(raw[:written], borders + 1, lengths, is_unclear)


def _no_letter(
    name: str,
    block: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    n_lines: int,
    byte: int | None = None,
) -> DataError:
    """Return the error for the first byte of the block that is not a letter (or is `byte`)."""
    kinds = np.frombuffer(_letter_table(), dtype=np.uint8)[block]
    blank = np.isin(block, np.frombuffer(b"\n\r\t ", dtype=np.uint8))
    wrong = (kinds == _INVALID) & ~blank if byte is None else block == byte
    where = int(np.flatnonzero(wrong)[0])
    line = n_lines + int(np.count_nonzero(block[ends[ends < where]] == _LF)) + 1
    shown = repr(chr(block[where])) if 32 < block[where] < 127 else f"byte {block[where]:#04x}"
    return DataError(f"line {line} of {name!r} holds {shown}, which is no sequence letter")
