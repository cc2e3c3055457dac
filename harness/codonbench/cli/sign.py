"""`bench keygen` and `bench sign`: say who ran a record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.finding import find_runs
from codonbench.cli.folders import RESULTS, ResultsOption


def keygen(
    file: Annotated[Path, typer.Argument(help="The private key; the public one is FILE.pub.")],
) -> None:
    """Make a pair of Ed25519 keys for 'bench sign'.

    FILE is secret and not encrypted: keep it out of any repository. FILE.pub
    is for everybody, in a folder for 'bench validate --keys', named for you.
    """
    from codonbench.records.signing import make_key

    found = make_key(file)
    typer.echo(f"wrote {file} (secret) and {file}.pub, fingerprint {found[:16]}")


def sign(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, as for 'bench show', and folders of them."),
    ],
    key: Annotated[Path, typer.Option(help="A private key, as 'bench keygen' writes it.")],
    results: ResultsOption = RESULTS,
) -> None:
    """Sign records: each gets a signature beside it, RECORD.sig.

    A signature says who ran it; whether it is true, 'bench audit' says. A
    record that is scored anew has to be signed anew.
    """
    from codonbench.records.signing import read_private_key, sign

    secret = read_private_key(key)
    for found in find_runs(runs, results):
        typer.echo(f"wrote {sign(found.path, secret)}")
