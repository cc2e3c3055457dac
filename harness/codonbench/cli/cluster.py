"""`bench cluster`: what brings up a cluster where there is none."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from codonbench.errors import ConfigError

cluster = typer.Typer(
    help="Print a script that starts a cluster for bench run --on.", no_args_is_help=True
)

_TIME = re.compile(r"(\d+-\d+(:\d+){0,2}|\d+(:\d+){0,2})", re.ASCII)
_PARTITION = re.compile(r"[\w.-]+(,[\w.-]+)*", re.ASCII)
_TEMPLATE = Path(__file__).parents[1] / "templates" / "cluster" / "slurm.sh.template"


@cluster.callback()
def group() -> None:
    """Print a script that starts a cluster for bench run --on."""


@cluster.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def slurm(
    ctx: typer.Context,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of the allocation.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, help="Processors of each.")] = 8,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each.")] = 0,
    limit: Annotated[str, typer.Option("--time", help="As sbatch takes it.")] = "04:00:00",
    partition: Annotated[str | None, typer.Option(help="As sbatch takes it.")] = None,
) -> None:
    """Print a script for sbatch: a Ray cluster in the allocation, and bench run on it.

    What follows ``--`` goes to bench run:

    bench cluster slurm --nodes 4 --gpus 2 -- --suite gue --shared runs > job.sh
    """
    if ctx.args[:1] and not ctx.args[0].startswith("-"):
        raise ConfigError(
            f"{ctx.args[0]!r}: give options of bench run behind --, as in -- --suite gue"
        )
    if not _TIME.fullmatch(limit):
        raise ConfigError(
            f"--time {limit!r}: expected minutes, HH:MM:SS or DAYS-HH:MM:SS, as sbatch takes it"
        )
    if partition is not None and not _PARTITION.fullmatch(partition):
        raise ConfigError(f"--partition {partition!r}: expected a name, or several with commas")
    directives = [f"--time={limit}"]
    directives += [f"--gpus-per-node={gpus}"] if gpus else []
    directives += [f"--partition={partition}"] if partition else []
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        nodes=nodes,
        cpus=cpus,
        directives="".join(f"#SBATCH {word}\n" for word in directives),
        arguments=shlex.join(ctx.args),
    )
    typer.echo(text, nl=False)
