"""The folders that commands agree on, and how they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("leaderboard/results")

ResultsOption = Annotated[
    Path,
    typer.Option("--results", "-r", help="Folder of records.", show_default=True),
]


PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file that registers plugins; may be repeated."),
]

PluginsDirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins-dir",
        help="A folder of such files, each *.py not beginning with _; may be repeated.",
    ),
]


def cache_folder() -> Path:
    """Return where downloads and curated sequences are kept.

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
