"""`bench explain`: which letters of an input a trained model leans on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.console import say
from codonbench.cli.finding import find_run
from codonbench.cli.loading import insist_on
from codonbench.cli.options import (
    RESULTS,
    DataOption,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
)
from codonbench.data.cache import cache_folder

if TYPE_CHECKING:
    from codonbench_datasets.human_codon.explain.explanation import Explanation
    from codonbench_datasets.human_codon.plots.style import Format as Form


def explain(
    run: Annotated[str, typer.Argument(help="A run, as for 'bench show'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also draw it: a .png, .svg or .pdf file.")
    ] = None,
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Say which positions of an input a trained model leans on, for each codon and on average.

    The run is made again from its record. Two methods: substitution (exact
    Shapley values over the positions, for any model) and integrated
    gradients (captum), for models that are handed nucleotides.
    """
    insist_on("pictures", "captum", "matplotlib")
    from codonbench.audit.repeat import repeat
    from codonbench.cli.loading import load_plugins
    from codonbench.records.files import write_atomically
    from codonbench_datasets.human_codon.explain.explanation import explain as explain_model
    from codonbench_datasets.human_codon.plots.runs import Run

    form = None if out is None else _form(out)
    record = find_run(run, results).record
    registry = load_plugins(plugin, plugins_dir)
    say(f"{record.name}: running it again (it took {record.timings.total:.0f} s)")
    repetition = repeat(record, registry, cache_folder(), data)
    explanation = explain_model(repetition)
    if not explanation.same_weights:
        say(f"{record.name}: the repetition's weights are not the recorded ones")
    title = Run(record, repetition.trajectory).title
    if as_json:
        typer.echo(_as_json(explanation))
    else:
        typer.echo(f"{title}\n")
        _print(explanation)
    if out is not None and form is not None:
        from codonbench_datasets.human_codon.plots.leaning import draw_leaning
        from codonbench_datasets.human_codon.plots.style import as_file, house_style

        with house_style():
            write_atomically(out, as_file(draw_leaning(explanation, title), form))
        say(f"drawn: {out}")


def _form(path: Path) -> Form:
    """Return what a file's ending asks for.

    Raises:
        UsageError: Nothing that we draw.
    """
    from codonbench.errors import UsageError

    forms: dict[str, Form] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
    if path.suffix not in forms:
        raise UsageError(f"--out {path} should end in .png, .svg or .pdf")
    return forms[path.suffix]


def _as_json(explanation: Explanation) -> str:
    """Return everything, and what follows from it, as one line of JSON."""
    from codonbench.contracts.run_spec import canonical_json
    from codonbench_datasets.human_codon.explain.explanation import summaries

    content = explanation.model_dump(mode="json")
    for facts, attribution in zip(content["attributions"], explanation.attributions, strict=True):
        facts["shares"] = attribution.shares.tolist()
    content["summaries"] = [summary.model_dump(mode="json") for summary in summaries(explanation)]
    return canonical_json(content)


def _print(explanation: Explanation) -> None:
    """Print a row for each input, then the means, then what they rest on."""
    from codonbench.cli.console import print_table
    from codonbench_datasets.human_codon.explain.explanation import summaries

    positions = range(1, len(explanation.silent[0]) + 1)
    shown = explanation.attributions
    shares = [attribution.shares for attribution in shown]
    heads = [f"{a.method}: {p}" if p == 1 else str(p) for a in shown for p in positions]
    rows = []
    for i, (text, meaning) in enumerate(zip(explanation.inputs, explanation.meanings, strict=True)):
        silent = ", ".join(str(p + 1) for p, yes in enumerate(explanation.silent[i]) if yes)
        cells = [f"{x:.2f}" for table in shares for x in table[i]]
        rows.append([text, meaning, silent or "-", *cells, "" if explanation.right[i] else "wrong"])
    print_table(["input", "class", "silent", *heads, ""], rows)
    typer.echo()
    print_table(
        ["mean share", "inputs", "n", *(f"position {p}" for p in positions), "last is least"],
        [
            [s.method, s.over, str(s.n), *(f"{x:.3f}" for x in s.shares), f"{s.least} of {s.n}"]
            for s in summaries(explanation)
        ],
    )
    typer.echo()
    for attribution in shown:
        if attribution.method != "the code itself":
            typer.echo(
                f"{attribution.method}: values add up to within {attribution.residual:.1e} "
                f"of what they should, the largest sum being {attribution.span:.3g} logits"
            )
    for remark in explanation.remarks:
        typer.echo(remark)
