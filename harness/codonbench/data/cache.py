"""Where downloads are kept, and whether the network may be used."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where downloads are kept.

    ``CODONBENCH_CACHE`` where that is set, else the platform's own cache folder.
    """
    chosen = os.environ.get("CODONBENCH_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("codonbench", appauthor=False)


def is_offline(asked: bool) -> bool:
    """Return whether network access is forbidden, by option or by ``CODONBENCH_OFFLINE``."""
    return asked or os.environ.get("CODONBENCH_OFFLINE", "") not in ("", "0")
