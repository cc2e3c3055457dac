"""Curated ORFs on disk, found again by the content of the file they came from."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from codonbench.data.fasta import Sequences, read_fasta
from codonbench_datasets.human_codon.genetic_code import GeneticCode
from codonbench_datasets.human_codon.orfs import REASONS, Orfs, curate

_FORMAT = 1  # raise it whenever reading or curation changes what is kept


def load_orfs(
    path: str | Path,
    code: GeneticCode,
    cache: Path,
    read: Callable[[str | Path], Sequences] = read_fasta,
) -> tuple[Orfs, str]:
    """Read and curate a file, or take what an earlier call made of the same content.

    A cached copy that is damaged is made anew; a cache folder that cannot be written costs
    time and nothing else.

    Args:
        path: The file.
        code: Says which codons are stops.
        cache: A folder to keep curated ORFs in; made when missing.
        read: How to read the file.

    Returns:
        The ORFs, and the SHA-256 (hex) of the file as stored.

    Raises:
        DataError: The file cannot be read, or holds nothing usable.
    """
    sha256 = _file_sha256(path)
    if sha256 is None:  # no readable file: reading it says why
        return curate(read(path), code, str(path)), ""
    kept = cache / "curated" / f"{sha256[:32]}-{read.__name__}-code{code.number}-v{_FORMAT}.npz"
    orfs = _load(kept, code)
    if orfs is None:
        orfs = curate(read(path), code, str(path))
        _save(kept, orfs, code)
    return orfs, sha256


def _file_sha256(path: str | Path) -> str | None:
    """Return the SHA-256 (hex) of a regular file, None where there is none to read."""
    try:
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def _load(path: Path, code: GeneticCode) -> Orfs | None:
    """Return the ORFs stored at `path`, or None where they are missing or damaged."""
    try:
        # np.load forgets to close what it opened where a file is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            dropped = dict(zip(REASONS, stored["dropped"].tolist(), strict=True))
            orfs = Orfs(stored["codons"], stored["lengths"], dropped)
            intact = str(stored["checksum"]) == orfs.checksum(code)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return None
    return orfs if intact else None


def _save(path: Path, orfs: Orfs, code: GeneticCode) -> None:
    """Store the ORFs, whole or not at all."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.savez(
                file,
                codons=orfs.codons,
                lengths=orfs.lengths,
                dropped=np.array([orfs.dropped[reason] for reason in REASONS]),
                checksum=np.array(orfs.checksum(code)),
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # full, read-only, not a folder: the run goes on without a cache
        if temporary is not None:
            temporary.unlink(missing_ok=True)
