"""The folders that commands agree on, and how they are asked for."""

from __future__ import annotations

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
