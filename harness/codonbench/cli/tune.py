"""`bench tune`: seek a model's configuration on training and validation items; keep the best."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from contextlib import ExitStack, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from codonbench.cli.bars import Lines, TimeLeft, TimeLeftColumn, building_shown, rest
from codonbench.cli.console import messages, say, terminal_kept
from codonbench.cli.options import (
    PluginOption,
    PluginsDirOption,
    files_of,
    insist_on,
    load_plugins,
    name_of,
)
from codonbench.contracts.run_spec import (
    RunOptions,
    RunRequest,
    configure,
    parse_seeds,
    parse_settings,
)
from codonbench.errors import ConfigError, UsageError
from codonbench.records.files import is_offline, write_atomically

if TYPE_CHECKING:
    from codonbench.execution.executor import Executor
    from codonbench.execution.prepare import Job
    from codonbench.execution.run import Tried
    from codonbench.protocols.trial import Look
    from codonbench.tuning.study import Study


def tune(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="A model or preset, or a Python file of one."),
    ],
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="A task that has a validation split."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Total number of trials.")] = 50,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="As in 'bench run': a table needs no task."),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", "-s", help="Seeds of each trial; none of an official row.")
    ] = "1000",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Fix a field, which is then not tuned."),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=RANGE",
            help="Tune a field in LOW..HIGH, in LOW..HIGH:log, or among A,B,C.",
        ),
    ] = None,
    task_set: Annotated[
        list[str] | None,
        typer.Option("--task-set", metavar="FIELD=VALUE", help="As in 'bench run'."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Budget of a trial, in epochs.")] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Budget of a trial, in training items.")
    ] = None,
    pruner: Annotated[
        str,
        typer.Option(help="How trials that fall behind are stopped: median, hyperband or none."),
    ] = "median",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that work on the study, by default one; trials that are still "
            "running as the last one ends are given up. On a cluster: simultaneous "
            "trials, by default as many as there is room for.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="The study's file.  [default: tuning/MODEL-TASK.db]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The preset's file.  [default: tuning/MODEL-TASK.toml]"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw scores over time into a file, .svg or .png."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a trial.")] = 1,
    on: Annotated[
        str, typer.Option(help="Where to run trials, as in 'bench run'; the study stays here.")
    ] = "local",
    resources: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Resources of a trial, as in 'bench run'."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Tune a model's hyperparameters on training and validation items; write a preset file.

    Trials have no test items, and seeds of official rows are refused. An interrupted study
    resumes; several processes, on one machine or with one shared folder, may work on one file.
    Use the preset with 'bench run --preset-file'; its rows say on the board what tuning cost.
    """
    insist_on("tune", "optuna")
    if plot is not None:
        insist_on("pictures", "matplotlib")
        if plot.suffix not in (".svg", ".png"):  # else it would be said after all trials
            raise ConfigError(f"--plot {plot} should end in .svg or .png")
    request = configure(
        RunRequest,
        {
            "model": model,
            "task": task,
            "data": data,
            "seeds": parse_seeds(seeds),
            "overrides": parse_settings(settings or [], "--set"),
            "task_overrides": parse_settings(task_set or [], "--task-set"),
            "folds": "0",
            "epochs": epochs,
            "examples": examples,
            "device": device,
            "threads": threads,
            "offline": is_offline(offline),
        },
        {},
        "tune",
    )
    if pruner not in ("median", "hyperband", "none"):
        raise ConfigError(f"--pruner {pruner!r}: expected median, hyperband or none")
    from codonbench.execution.executor import Executor
    from codonbench.execution.prepare import preset_text
    from codonbench.tuning.on_cluster import on_cluster
    from codonbench.tuning.space import fields_of, space_of
    from codonbench.tuning.study import Pruner, Study, StudyRequest, check_tuning_seeds

    check_tuning_seeds(request.seeds)
    ranges = parse_settings(space or [], "--space")
    where = {
        "plugin": files_of(model, plugin),
        "plugins_dir": tuple(plugins_dir or ()),
        "workers": 1,
        "checkpoint_every": 0,
        "on": on,
        "resources": parse_settings(resources or [], "--resources"),
    }
    options = configure(RunOptions, where, {}, "tune")
    with terminal_kept(), redirect_stdout(sys.stderr):
        with (
            Executor(options, None, load_plugins, say, watch=building_shown) as executor,
            ExitStack() as stack,
        ):
            model = name_of(model, executor.registry)
            request = request.model_copy(update={"model": model})
            executor.get_ready(request)
            entry, config, _ = executor.registry.configured(request.model, request.overrides)
            sought = space_of(fields_of(entry, config), ranges, request.overrides)
            study_request = StudyRequest(request, sought, trials, cast(Pruner, pruner))
            there = (
                None if on == "local" else stack.enter_context(on_cluster(executor, options, say))
            )
            prepare = executor.prepare if there is None else there.prepare
            known = task is not None and task in executor.registry.tasks
            name = f"{model}-{task if known else prepare(request).task.name}"
            file = study or Path("tuning") / f"{name}.db"
            out = out or Path("tuning") / f"{name}.toml"
            begun = file.exists()
            made = Study(file, study_request, prepare, there or partial(_made_here, executor))
            for field, drawn in sought.items():
                kind = ", by ratio" if drawn.log else ""
                ends = f"{drawn.low:g} to {drawn.high:g}{kind}" if not drawn.choices else ""
                say(f"  {field}: {ends or ', '.join(map(str, drawn.choices))}")
            run = made.run
            if there is not None:
                at_once = jobs or there.at_once(made.job, request)
                run = partial(run, at_once=at_once, stop=there.stop)
            others = [_another() for _ in range((jobs or 1) - 1 if there is None else 0)]
            try:
                with _StudyDisplay(made, trials, 1 + len(others)) as shown:
                    run(shown.count, on_look=shown.move)
            except UsageError:
                if not begun and not made.finished():  # refused before anything was found
                    file.unlink(missing_ok=True)
                    with suppress(OSError):  # others' studies are in it
                        file.parent.rmdir()
                raise
            finally:
                for other in others:
                    other.terminate()
                    other.wait()
        values, tuning = made.result(name[:64])
    write_atomically(out, preset_text(tuning.name, model, values, tuning).encode())
    if plot is not None:
        from codonbench.report.pictures import draw_study

        draw_study(list(made.scores()), made.metric, plot, lower=made.lower)
    again: list[tuple[str, str | Path | None]] = [
        ("--preset-file", out),
        ("--task", task),
        ("--data", data),
    ]
    again += [("--task-set", setting) for setting in task_set or ()]
    again += [("--folds", "0" if made.job.task.folds else None), ("--seeds", "0-9")]
    again += [("--plugin", path) for path in options.plugin]
    again += [("--plugins-dir", path) for path in plugins_dir or ()]
    arguments = [str(word) for pair in again if pair[1] is not None for word in pair]
    refused = made.refused()
    unfit = f", {len(refused)} of them as refused: {refused[0]}" if refused else ""
    say(
        f"best {tuning.metric} {tuning.best:g} on validation, median {tuning.median:g}, of "
        f"{_trials(tuning.trials)} ({tuning.pruned} ended early{unfit}), "
        f"{tuning.cost.partition(', ')[2]}; wrote {out}; to run it on the official seeds: "
        f"bench run {shlex.join(arguments)}"
    )


def _made_here(executor: Executor, request: RunRequest, job: Job, look: Look) -> Tried:
    from codonbench.execution.run import tried

    return tried(job, executor.train(job.run_specs[0]), look)


def _trials(n: int) -> str:
    return f"{n} trial{'s'[: n != 1]}"


def _another() -> subprocess.Popen[bytes]:
    """Start this very command once more, for one process; it works on the same study."""
    arguments = [*sys.argv[1:], "--jobs", "1"]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "codonbench.cli.main", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class _StudyDisplay:
    """A context that shows how many trials are finished, the best of them, and the time left.

    Args:
        study: The study.
        trials: Number of trials to finish.
        processes: How many make them; the others are taken to be as far as this one.
    """

    def __init__(self, study: Study, trials: int, processes: int = 1) -> None:
        self._study, self._trials, self._processes = study, trials, processes
        self._terminal = messages().is_terminal
        self._progress = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeLeftColumn(),
            console=messages(),
            disable=not self._terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        began = time.monotonic()
        self._lines = Lines(began)
        self._before = self._n = len(study.finished())
        self._left = TimeLeft(trials - self._before, None, began, small=1.0)
        self._left.update(0, began)
        self._best = ""
        self._bar = self._progress.add_task(
            "", total=trials, best="", completed=self._n, left=self._left, early=True
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def count(self) -> None:
        """Look how many trials are finished, whoever made them, and say so of each."""
        scores = [score for score, _ in self._study.scores()]
        if len(scores) == self._n:
            return
        self._n, whole = len(scores), [score for score in scores if score is not None]
        self._trials = max(self._trials, self._n)  # of several processes each may end one more
        self._progress.update(self._bar, total=self._trials)
        if whole:
            best = min(whole) if self._study.lower else max(whole)
            self._best = f"best {self._study.metric} {best:.4f}"
        shown = self._show(self._n)
        if not self._terminal:
            say(f"trial {self._n} of {self._trials}{': ' * bool(shown)}{shown}")

    def move(self) -> None:
        """Show how far the trials that are under way here have come; say so now and then."""
        at_once, now = min(self._processes, self._trials - self._n), time.monotonic()
        done = self._n + self._study.under_way * max(at_once, 1)
        shown = self._show(done)
        if done > self._n and not self._terminal and self._lines.are_due(now):
            say(f"{done:.2f} of {_trials(self._trials)}{': ' * bool(shown)}{shown}")

    def _show(self, done: float) -> str:
        """Move the bar; return the best score and how long the others take at this pace."""
        now, early = time.monotonic(), self._n == self._before  # the first may end early
        self._left.update(done - self._before, now)
        self._progress.update(self._bar, completed=done, best=self._best, early=early)
        return ", ".join(filter(None, [self._best, rest(self._left.at(now), early=early)]))
