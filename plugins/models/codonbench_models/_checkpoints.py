"""Files of weights that were trained elsewhere: where they lie, and which they are."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from codonbench.errors import ConfigError

FOLDER_VARIABLE = "CODONBENCH_MODELS"
"""Names a folder of local copies of weights, by which records need no path."""


def find_weights(name: str) -> Path | None:
    """Return the file or folder of that name, a path, or below ``$CODONBENCH_MODELS``; or None."""
    root = os.environ.get(FOLDER_VARIABLE)
    places = [Path(name)] + ([Path(root) / name] if root else [])
    return next((place for place in places if place.exists()), None)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def known_weights(name: str, sha256: str) -> Path:
    """Return the file of weights that has this SHA-256.

    Raises:
        ConfigError: It is not there, or is another.
    """
    file = find_weights(name)
    if file is None or not file.is_file():
        raise ConfigError(
            f"no weights {name}: expected a file with SHA-256 {sha256[:12]}... in the folder that "
            f"${FOLDER_VARIABLE} names"
        )
    found = sha256_of(file)
    if found != sha256:
        raise ConfigError(f"{file}: SHA-256 is {found[:12]}..., expected {sha256[:12]}...")
    return file


PICKLED = (".bin", ".pt", ".pth")
"""Endings of files that PyTorch pickles."""


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder's weights: those of safetensors, or else pickled ones."""
    safe = sorted(folder.glob("*.safetensors"))
    return safe or sorted(file for file in folder.iterdir() if file.suffix in PICKLED)


@lru_cache
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    if len(files) == 1:
        return sha256_of(files[0][0])
    lines = [f"{sha256_of(file)}  {file.name}\n" for file, *_ in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_folder(name: str) -> str | None:
    """Return the SHA-256 of a folder's weights; None where there is no such folder, or no weights.

    Of one file its own; of several that of a line each, as ``sha256sum`` writes them.
    """
    folder = find_weights(name)
    if folder is None or not folder.is_dir():
        return None
    files = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in weight_files(folder)]
    return _hash_files(tuple(files)) if files else None


BESIDE = (".json", ".txt", ".model", ".py")
"""Endings of files that say how weights are read: settings, a vocabulary, code."""


def hash_beside(folder: Path) -> str:
    """Return the SHA-256 of the files beside a folder's weights, a line each."""
    files = sorted(file for file in folder.iterdir() if file.suffix in BESIDE)
    lines = [f"{sha256_of(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
