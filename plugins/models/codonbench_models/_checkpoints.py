"""Files of weights that were trained elsewhere: where they lie, and which they are."""

from __future__ import annotations

import hashlib
import os
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
