"""`bench data`: download sequences, list them, check them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from codonbench.cli import FAILED
from codonbench.cli.console import messages, output, print_list, say
from codonbench.cli.options import PluginOption, PluginsDirOption, TaskSettingsOption, load_plugins
from codonbench.contracts import DataSource
from codonbench.contracts.run_spec import parse_settings
from codonbench.data import download
from codonbench.errors import UnknownNameError
from codonbench.plugins.registry import Registry
from codonbench.records.files import cache_folder, is_offline, plain_json, printable_lines

data = typer.Typer(help="Download data, list them, check them.", no_args_is_help=True)


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data source, as 'bench data ls' names it.")],
    agree: Annotated[
        bool, typer.Option("--agree", help="Agree to the terms of its licence without being asked.")
    ] = False,
    anew: Annotated[
        bool,
        typer.Option("--force", help="Download it again, though the source may have changed."),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Download a data source into the cache, and verify it.

    Its licence is shown. If that restricts use, you are asked whether you agree.
    """
    registry = load_plugins(plugin, plugins_dir)
    source = _find(name, registry)
    console = messages()
    for entry in registry.tasks.values():
        if source in entry.task.sources and entry.task.licence:
            say(f"licence: {entry.task.licence}")
    if source.terms and not agree and console.is_terminal:
        agree = typer.confirm(f"It is licensed for {source.terms}. Do you agree?", err=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        shown = bar.add_task(source.name, total=None)

        def progress(done: int, size: int | None) -> None:
            bar.update(shown, completed=done, total=size)

        path = download.fetch(
            source,
            cache_folder(),
            offline=is_offline(offline),
            progress=progress,
            agreed=agree,
            anew=anew,
        )
    typer.echo(f"{name}: {path}")


@data.command("ls")
def list_sources(plugin: PluginOption = None, plugins_dir: PluginsDirOption = None) -> None:
    """List the data sources of every task, and which are downloaded.

    A narrow terminal leaves out the task, which mostly has its data's name, and then cuts the
    description with an ellipsis; in a file or a pipe the list is complete.
    """
    rows = []
    for entry in load_plugins(plugin, plugins_dir).tasks.values():
        downloads = {source.name: source for source in entry.task.sources}
        for name, summary in entry.task.data_names.items():
            source = downloads.get(name)
            state = "built in" if source is None else download.status(source, cache_folder())
            if source is not None and not source.tested:
                state += " *"
            rows.append((name, entry.name, state, summary))
    print_list(("data", "task", "here", "what"), rows, spare=("task",))
    if any(state.endswith("*") for _, _, state, _ in rows):
        say("* never tried against the real server", console=output())


@data.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="One data source; all by default.")] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Check downloaded files against their checksums; exit 1 if one is not sound."""
    registry = load_plugins(plugin, plugins_dir)
    if name is None:
        known = [source for entry in registry.tasks.values() for source in entry.task.sources]
        chosen = [s for s in known if download.status(s, cache_folder()) != "absent"]
    else:
        chosen = [_find(name, registry)]
    if not chosen:
        typer.echo("nothing downloaded yet")
    sound = True
    for source in chosen:
        ok, sentence = download.verify(source, cache_folder())
        typer.echo(f"{source.name}: {sentence}")
        sound = sound and ok
    if not sound:
        raise typer.Exit(FAILED)


@data.command()
def describe(
    task: Annotated[str, typer.Argument(metavar="TASK | TABLE", help="A task, or a table.")],
    at: Annotated[
        str | None, typer.Option("--data", "-d", help="Where its data are, if not in the cache.")
    ] = None,
    settings: TaskSettingsOption = None,
    only_examples: Annotated[
        bool,
        typer.Option(
            "--examples", help="Print ten examples only, whatever the licence, for your own use."
        ),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Describe items as JSON: ten examples, and lengths and likeness to training of test items.

    Saved in a folder 'items' beside a board (runs/board/items/NAME.json), it is shown on the
    task's page. Examples are left out if the licence of the data does not allow them.
    """
    from codonbench.api import subject_of  # takes a second
    from codonbench.report.item_facts import examples, item_facts

    registry = load_plugins(plugin, plugins_dir)
    overrides = parse_settings(settings or [], "--task-set")
    subject = subject_of([task], overrides, registry, at, is_offline(offline))
    if only_examples:
        for own in examples(subject.dataset):
            typer.echo(printable_lines(f"{own.answer}: {', '.join(own.parts)}"))
        return
    entry = registry.tasks.get(task)
    facts = item_facts(entry.task if entry else None, subject.dataset)
    typer.echo(plain_json(facts.model_dump_json(indent=1)))


def _find(name: str, registry: Registry) -> DataSource:
    """Return the download called `name`."""
    known = {s.name: s for entry in registry.tasks.values() for s in entry.task.sources}
    if name in known:
        return known[name]
    raise UnknownNameError(
        f"no download called {name!r}; there are {', '.join(known)} ('bench data ls' says more)"
        f"{registry.untrusted}"
    )
