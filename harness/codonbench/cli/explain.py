"""`bench explain`: what a trained model rests on; what it needs is imported when called."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from codonbench.cli.console import print_table, say
from codonbench.cli.find_runs import find_run, parts_of
from codonbench.cli.options import (
    RESULTS,
    DataOption,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    insist_on,
    load_plugins,
)
from codonbench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from codonbench.audit.repeat import Repetition
    from codonbench.contracts.run_record import RunRecord
    from codonbench.explain.explained import Explainer, Explanation
    from codonbench.explain.sequences import Explained, Method, Projection, SequenceExplanation
    from codonbench.plugins.registry import Registry

FORMATS = (".png", ".svg", ".pdf")


def explain(
    run: Annotated[str, typer.Argument(help="A run, as for 'bench show'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also draw it into a .png, .svg or .pdf file."),
    ] = None,
    items: Annotated[
        int,
        typer.Option(min=1, max=100, help="Number of test items to explain, each class in turn."),
    ] = 4,
    projection: Annotated[
        Literal["pca", "umap"],
        typer.Option(help="Projection of NAME-embedding; umap needs umap-learn."),
    ] = "pca",
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Show what a trained model relies on: letters, motifs, embeddings.

    The run is made again from its record in this process, so a model of others has to be
    allowed by --trust. Letters of some test sequences are explained by mutagenesis and, if the
    model gets letters, by saliency, integrated gradients and DeepLIFT (captum); motifs of the
    first layer's filters are compared with those known to be in the data. --out also writes
    NAME-motifs and NAME-embedding. A task may define its own explanation.
    """
    insist_on("pictures", "captum", "matplotlib")
    if projection == "umap":
        insist_on("umap", "umap")
    if out is not None and out.suffix not in FORMATS:
        raise UsageError(f"--out {out} should end in .png, .svg or .pdf")
    import torch

    from codonbench.audit.repeat import model_of, repeat
    from codonbench.cli.progress import followed
    from codonbench.contracts.run_spec import canonical_json
    from codonbench.explain.style import as_file, house_style, safe
    from codonbench.ranking.rows import name_text
    from codonbench.records.files import cache_folder, plain_json, write_atomically

    run_found = find_run(run, results)
    record = run_found.record
    if parts := parts_of(run_found):
        named = ", ".join(part.run_id[:8] for part in parts[:5])
        raise UsageError(
            f"{record.name} joins {len(parts)} runs, each of a module of its own; explain one of "
            f"them: {named}{', ...' if len(parts) > 5 else ''}"
        )
    registry = load_plugins(plugin, plugins_dir)
    explainer = _explainer(record, registry, items, projection)
    try:
        model_of(record, registry)
    except UnknownNameError as error:  # this process looks into the module
        trust = f" --trust {record.plugin.file}" if record.plugin.file else ""
        raise UnknownNameError(f"{error}{trust}") from error
    say(f"{record.name}: running it again (it took {record.timings.total:.0f} s)")
    threads = torch.get_num_threads()  # all that there are; the run is repeated with its own number
    repetition = repeat(record, registry, cache_folder(), data, follow=followed)
    if not repetition.same_weights:
        say(f"{record.name}: the repetition's weights are not the recorded ones")
    torch.set_num_threads(threads)
    found = explainer(repetition)
    model = safe(name_text(record.model, record.overrides, record.plugin.distribution))
    title = (
        f"{model}  ·  {safe(f'{record.task} on {record.dataset.source}')}  ·  seed {record.seed}"
    )
    if as_json:
        typer.echo(plain_json(canonical_json(found.facts.model_dump(mode="json"))))
    else:
        typer.echo(f"{title}\n")
        found.print()
    if out is None:
        return
    with house_style():
        for added, figure in found.draw(title).items():
            path = out.with_stem(out.stem + added)
            write_atomically(path, as_file(figure, out.suffix.removeprefix(".")))
            say(f"drawn: {path}")


def _explainer(
    record: RunRecord, registry: Registry, n_items: int, projection: Projection
) -> Explainer:
    """Return what explains a run: by the hook ``explainer`` its task's plugin, else our own."""
    from codonbench.explain.explained import Explanation
    from codonbench.explain.sequences import draw_sequences, explain_sequences
    from codonbench.plugins.registry import ask_task

    def explain_any(repetition: Repetition) -> Explanation:
        task = registry.tasks.get(record.task)
        known = {} if task is None else ask_task(task.task.motifs, record)
        found = explain_sequences(repetition, known, n_items, projection)
        return Explanation(found, partial(print_sequences, found), partial(draw_sequences, found))

    own: list[Explainer] = registry.ask("explainer", record=record)
    if own and projection != "pca":
        raise UsageError(
            f"--projection {projection} lays out embedded test items, and {record.task} has a way "
            "of its own to be explained, without them; leave it out"
        )
    return own[0] if own else explain_any


def print_sequences(explanation: SequenceExplanation) -> None:
    """Print the results of each method, the motifs, and what is missing."""
    import numpy as np

    from codonbench.explain.motifs import SIMILAR, consensus

    methods = list(dict.fromkeys(m for item in explanation.items for m in item.values))
    rows = []
    for item in explanation.items:
        own = item.values["mutagenesis"]
        place = int(np.argmax(own))
        agree = [_agreement(item, method) for method in methods[1:]]
        window = item.text[max(0, place - 5) : place + 6]
        rows.append([item.item, item.asked, f"{item.score:.3g}", f"{place + 1}", window, *agree])
    heads = ["item", "asked", "score", "place", "around it", *methods[1:]]
    print_table(heads, rows)
    words = "; methods: rank correlation of their values with what each letter's replacement costs"
    typer.echo(f"\nplace: where another letter costs most{words if methods[1:] else ''}")
    if explanation.motifs:
        typer.echo()
        motifs = explanation.motifs[:8]
        print_table(
            [
                "filter",
                "motif",
                "bits",
                "sites",
                *(["like", "similarity"] * bool(explanation.known)),
            ],
            [
                [
                    str(m.filter),
                    consensus(np.asarray(m.probabilities), explanation.alphabet),
                    f"{m.bits:.1f}",
                    f"{m.sites:,}",
                    *([m.known, f"{m.similarity:.2f}"] * bool(explanation.known)),
                ]
                for m in motifs
            ],
        )
    if explanation.recovered is not None:
        n = len(explanation.known)
        typer.echo(
            f"\nmotifs recovered: {round(explanation.recovered * n)} of {n} known "
            f"({', '.join(explanation.known.values())}), by a similarity of {SIMILAR} or more"
        )
    for remark in explanation.remarks:
        typer.echo(remark)


def _agreement(item: Explained, method: Method) -> str:
    from scipy.stats import spearmanr

    if method not in item.values:
        return "-"
    return f"{spearmanr(item.values[method], item.values['mutagenesis']).statistic:.2f}"
