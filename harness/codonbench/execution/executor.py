"""What `bench run` and `codonbench.run` share: plugins loaded, workers started, a job run.

`Executor.prepare` makes a job of a request, and `Executor.outcomes` runs it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from codonbench.contracts import Reference
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.run_record import Confinement, Environment, RunRecord
from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec
from codonbench.errors import ConfigError
from codonbench.execution.machine import Terms, cores, note_facts, nvidia_is_visible
from codonbench.execution.parts import Parts
from codonbench.execution.pool import WorkerPool
from codonbench.execution.prepare import Job, prepare, with_preset
from codonbench.execution.run import Outcome, Train, run_all, train_here
from codonbench.plugins import discovery
from codonbench.plugins.beside import check_inside, parts_of
from codonbench.plugins.registry import Registry, why_refused
from codonbench.plugins.selection import BUILT_IN, FILE, selection_from_environment
from codonbench.protocols.referee import OnSnapshot, unwatched
from codonbench.records.files import cache_folder, is_offline
from codonbench.records.store import Store

if TYPE_CHECKING:
    from codonbench.execution.describe import AskPlugin
    from codonbench.execution.environment import OnStep, Step
    from codonbench.execution.sandbox import Sandbox
    from codonbench.execution.worker import Message, ToWorker

WatchBuild = Callable[[str], AbstractContextManager["OnStep"]]
"""Watches how the environment of a plugin, named so, is built."""

_TO_LOAD = 60.0  # seconds for a plugin to load in a sandbox, unless it is told otherwise


class Follower:
    """Shows how the runs of a job go on; this one only warns of what is set aside or fails."""

    def watch(self, run_spec: RunSpec) -> OnSnapshot:
        """Note that a run begins; return a function to be called at its evaluations."""
        return unwatched(run_spec)

    def remark(self, sentence: str) -> None:
        """Say what is set aside, what is waited for, what goes on from where."""
        warnings.warn(sentence, stacklevel=2)

    def finished(self, outcome: Outcome) -> None:
        """Note that a run is stored; warn of one that failed, which its record alone would not."""
        record = outcome.record
        if record.status == "error":
            run = f"{record.model} on {record.task}, seed {record.seed}"
            self.remark(f"{run}: error: {record.error}")

    def around(self, train: Train) -> Train:
        """Return `train`, perhaps with more output on failures."""
        return train


class Listener:
    """Shows how runs on a cluster go on; this one shows nothing."""

    def planned(self, index: int, job: Job) -> None:
        """Called with the job of a request."""

    def remark(self, sentence: str) -> None:
        """Say what is set aside, what was lost, what is begun again."""

    def moved(self, under_way: float) -> None:
        """Called with the number of runs under way, each counted by its spent share."""

    def finished(self, job: Job, outcome: Outcome) -> None:
        """Called with the outcome of a stored run."""


Load = Callable[
    [Sequence[Path], Sequence[Path], Callable[[Registry], "AskPlugin"], Sequence[str]], Registry
]
"""Loads plugins as `load_plugins` does. It is given files and folders of plugins; a function that,
given the registry so far, returns what asks plugins that are not trusted; and files that are."""


class Executor:
    """Loads the plugins and trains: here, in worker processes, or in such in a sandbox.

    Workers start at once, so that they come up while plugins and data are read here. A model that
    is not trusted is never imported here: a worker describes it, and trains it then.

    Args:
        options: How and where runs are made.
        request: The first request; None if nothing is stored in the results folder.
        load: Loads plugins.
        say: Told in a sentence which plugin gets an environment of its own, why, and each step of
            its building.
        watch: Watches that in another way, as by a bar.
        locks: The packages of plugins that are known already, by the file's or distribution's name.

    Attributes:
        registry: The plugins.

    Raises:
        UsageError: A plugin file or folder is not there, or no sandbox can be had.
    """

    def __init__(
        self,
        options: RunOptions,
        request: RunRequest | None,
        load: Load,
        say: Callable[[str], None] = lambda sentence: None,
        locks: Mapping[str, Environment] = MappingProxyType({}),
        watch: WatchBuild | None = None,
    ) -> None:
        self._options = options
        self._first = request
        self._keeps = request is not None
        self._offline = request is not None and request.offline
        self._gpu = False
        self._new = Store(options.results).missing()
        self._pool: WorkerPool | None = None
        self._environments: dict[str, tuple[Path | None, Environment | None]] = {}
        self._say = say
        self._watch = watch or partial(in_sentences, say)
        self._locks = locks
        if options.sandbox:
            from codonbench.execution.sandbox import unavailable

            if (reason := unavailable()) is not None:
                raise ConfigError(f"--sandbox: {reason}")
            if request is not None and options.on == "local":
                say(_how_memory_is_held())
        discovery.check_paths(options.plugin, options.plugins_dir)
        if not options.sandbox:
            self._start(request)
        # To name a plugin file and train in this process is to trust the file.
        named = map(str, options.plugin) if options.workers == 0 and self._keeps else ()
        try:
            self.registry = load(options.plugin, options.plugins_dir, self._asking, tuple(named))
        except BaseException:
            self.close()
            raise
        if self._pool is None:
            self._start(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; where no run came of it, leave no folder that was not there."""
        self.forget()
        Store(self._options.results).remove_if_empty(self._new)

    def forget(self) -> None:
        """End the workers, so that the next run finds nothing there that a plugin has kept."""
        if self._pool is not None:
            self._pool.close()

    def _start(self, request: RunRequest | None) -> None:
        """Start as many workers as what is to be run first can use."""
        options = self._options
        if request is not None and options.workers != 0 and options.on == "local":
            gpu = request.device != "cpu" and nvidia_is_visible()
            self._pool_for(request.threads, gpu=gpu).start(len(request.seeds))

    def _pool_for(self, threads: int, *, gpu: bool) -> WorkerPool:
        """Return workers, which may use a GPU if requested."""
        options = self._options
        size = options.workers or (1 if gpu else max(1, cores() // threads))
        if self._pool is None or (gpu and not self._gpu):
            self.close()
            self._gpu = gpu
            keeps = self._keeps and options.checkpoint_every > 0
            self._pool = WorkerPool(
                size,
                timeout=options.timeout,
                states=options.results / "checkpoints" if keeps else None,
                gpu=gpu,
                sandbox=self._sandbox() if options.sandbox else None,
                python_of=lambda owner: self._environment(owner, offline=self._offline)[0],
            )
        self._pool.size = size
        return self._pool

    def _asking(self, registry: Registry) -> AskPlugin:
        self.registry = registry  # which says what a sandbox hides
        return self._ask

    def _ask(self, owner: str, question: ToWorker, up: Callable[[], None]) -> Message:
        """Ask about an owner's plugins in a worker, which is kept for their runs."""
        options = self._options
        seconds = options.timeout or (_TO_LOAD if options.sandbox else None)
        return self._pool_for(1, gpu=self._gpu).ask(owner, question, up, seconds)

    def get_ready(self, request: RunRequest, owner: str = "") -> None:
        """Prepare for planning a request: describe its model and the GPUs.

        Args:
            request: What is asked.
            owner: Whose configuration it is, for messages; the model's by default.

        Raises:
            UsageError: The request is invalid.
            PluginError: The plugin has no answer.
        """
        if self._pool is not None and request.device != "cpu" and nvidia_is_visible():
            note_facts(self._pool_for(request.threads, gpu=True).facts())
        registry = self.registry
        if request.model not in registry.models and registry.undescribed:
            from codonbench.execution.describe import describe

            describe(registry, list(registry.undescribed), self._ask)
        entry = registry.models.get(request.model)
        if entry is None or entry.untrusted is None:
            return
        if self._options.workers == 0 and self._keeps:
            why = why_refused(entry.untrusted)
            raise ConfigError(f"--workers 0: model {request.model!r} {why}, or leave out --workers")
        from codonbench.execution.describe import configure_untrusted

        owner = owner or f"model {request.model!r}"
        overrides = with_preset(request)[0].overrides
        configure_untrusted(registry, request.model, overrides, owner, self._ask)

    def prepare(self, request: RunRequest, device: DeviceKind | None = None) -> Job:
        """Return the job of a request.

        Args:
            request: What is asked.
            device: Device of runs made on a cluster; None for runs made here.

        Raises:
            UsageError: The request is invalid.
            PluginError: A plugin does not load, or fails to load its data.
        """
        self.get_ready(request)
        entry = self.registry.models.get(request.model)
        owner = "" if entry is None else entry.owner
        environment = self._environment(owner, offline=request.offline)[1]
        job = prepare(request, self.registry, cache_folder(), device)
        return replace(job, environment=environment)

    def _environment(
        self, owner: str, *, offline: bool = False
    ) -> tuple[Path | None, Environment | None]:
        """Return the interpreter and the packages of an owner's plugins; neither for ours.

        Raises:
            UsageError: The options leave no room for one, or its lock is another platform's.
            PluginError: Its needs cannot be read or met, or what builds environments is not there.
        """
        options = self._options
        file = next((f for f in options.plugin if owner in (f.name, str(f.resolve()))), None)
        if owner in ("", BUILT_IN) or options.env == "ours":
            return None, None
        name = owner if file is None else file.name
        if owner not in self._environments and (lock := self._locks.get(name)) is not None:
            self._environments[owner] = self._built(lock, name), lock
        if owner not in self._environments:
            from codonbench.execution.environment import (
                conflict,
                environment_for,
                needs_of,
                needs_of_distribution,
            )

            found: tuple[Path | None, Environment | None] = None, None
            needs = needs_of_distribution(name) if file is None else needs_of(file)
            why = "" if needs is None else conflict(needs)
            if needs is not None and (why or options.env == "own"):
                if options.sandbox or (options.workers == 0 and self._keeps):
                    how = "--sandbox" if options.sandbox else "--workers 0"
                    raise ConfigError(
                        f"plugin {name} {why or 'is to have an environment of its own'}; that "
                        f"takes a worker outside a sandbox: leave out {how}"
                    )
                if why:
                    self._say(f"plugin {name} {why}: it gets an environment of its own")
                folder = cache_folder() / "environments"
                with self._watch(name) as show:
                    found = environment_for(needs, folder, offline=is_offline(offline), show=show)
            self._environments[owner] = found
        return self._environments[owner]

    def _built(self, lock: Environment, name: str) -> Path:
        """Return the interpreter of a plugin's environment, which is built from its lock."""
        from codonbench.execution.environment import built

        folder = cache_folder() / "environments"
        with self._watch(name) as show:
            return built(lock, name, folder, offline=is_offline(False), show=show)

    def train(self, run_spec: RunSpec) -> Train:
        """Return what trains."""
        entry = self.registry.models.get(run_spec.model)
        if self._options.workers == 0 and (entry is None or entry.untrusted is None):
            return train_here
        return self._pool_for(run_spec.threads, gpu=run_spec.device == "cuda").train

    def train_as(self, record: RunRecord) -> Train:
        """Return what trains a recorded run again: with the packages that it had.

        Raises:
            UsageError: They are another platform's, or the record may not have them installed.
            PluginError: One of the packages cannot be had, or nothing builds environments.
        """
        if record.environment is None:
            return self.train(record.run_spec)
        file, entry = record.plugin.distribution, self.registry.models.get(record.model)
        owner = file if entry is None else entry.owner
        # To install a package may run its code, and the record, perhaps forged, names the package.
        named = f"record {record.name} names packages that its plugin had to itself"
        if owner == BUILT_IN:
            raise ConfigError(f"{named}, and codonbench's own have none: it is forged")
        if self._options.sandbox:
            raise ConfigError(f"{named}; they are installed outside a sandbox: leave out --sandbox")
        self._environments[owner] = self._built(record.environment, file), record.environment
        self.forget()  # workers that are up may have other packages
        return self._pool_for(record.run_spec.threads, gpu=record.run_spec.device == "cuda").train

    def twin(self, job: Job, request: RunRequest) -> RunRequest | None:
        """Return the request for a pretrained model's random twin; None where there is none.

        Such a model has a field ``init``, of which `ranking.items.twin_of` knows as well.
        """
        if self._options.no_twin or getattr(job.config, "init", None) != "pretrained":
            return None
        return request.model_copy(update={"overrides": {**request.overrides, "init": "random"}})

    def outcomes(
        self,
        job: Job,
        request: RunRequest,
        follow: Callable[[Job], AbstractContextManager[Follower]] = lambda job: nullcontext(
            Follower()
        ),
    ) -> Iterator[Outcome]:
        """Run a job; yield one outcome a seed."""
        options = self._options
        store = Store(options.results)
        store.prepare()
        with follow(job) as follower:
            made = run_all(
                job,
                self.registry,
                store,
                follower.watch,
                follower.around(self.train(job.run_specs[0])),
                force=request.force,
                terms=Terms(alone=options.exclusive, wait=not options.no_wait),
                every=options.checkpoint_every or None,
                confinement=self.confinement(job),
                say=follower.remark,
            )
            if job.protocol.joins:
                made = chain.from_iterable(map(Parts(job, self.registry, store).take, made))
            for outcome in made:
                follower.finished(outcome)
                yield outcome
        lay_audit(job, options.results)

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        if self._options.workers == 0 or issubclass(job.entry.cls, Reference):
            return "none"
        return "sandbox" if self._options.sandbox else "process"

    def _sandbox(self) -> Sandbox:
        """Return where plugins see neither results nor the data that tasks bring along."""
        from codonbench.data.own_table import files_of
        from codonbench.execution.sandbox import Sandbox

        options = self._options
        models, tasks = (
            {entry.origin.module.partition(".")[0] for entry in table.values()}
            for table in (self.registry.models, self.registry.tasks)
        )
        hidden = []
        for name in tasks - models:
            spec = find_spec(name)
            if spec is not None and spec.origin is not None:
                file = Path(spec.origin)
                hidden.append(file if name.startswith(FILE) else file.parent)
        with suppress(OSError):  # storing the record will fail, too, and say so
            if self._keeps:
                options.results.mkdir(parents=True, exist_ok=True)
        hidden += [options.results] if options.results.is_dir() else []
        of_folders = [
            (file, folder) for folder in options.plugins_dir for file in folder.glob("*.py")
        ]
        of_folders.sort()
        files = (*options.plugin, *(file for file, _ in of_folders))
        plugins = _absolute((*files, *options.plugins_dir))
        if (first := self._first) is not None:
            data = None if first.data is None else Path(first.data).absolute()
            if data and data.exists() and not any(path.is_relative_to(data) for path in plugins):
                hidden.append(data)
            hidden += files_of(first.data, first.task)
        for file, folder in of_folders:
            check_inside([file], folder)
        parts = []
        for file in map(Path.resolve, files):
            check_inside(own := parts_of(file), file.parent)
            parts += own
        return Sandbox(readable=(*_absolute(files), *parts), hidden=tuple(hidden))


def lay_audit(job: Job, results: Path) -> None:
    """Copy the audit of a user's own table, if one is stored, to where the board looks for it."""
    if job.run_specs[0].is_own_table:
        from codonbench.leakage.own_table import copy_audit

        copy_audit(results, job.dataset)


def _how_memory_is_held() -> str:
    """Return in a sentence how much memory a sandbox has, and how that limit is enforced."""
    from codonbench.execution.cgroup import can_be_made
    from codonbench.execution.sandbox import GIB, Limits

    held = "held by a control group" if can_be_made() else "looked at once a second"
    return f"a sandbox has {Limits().memory / GIB:g} GiB of memory, {held}"


@contextmanager
def in_sentences(say: Callable[[str], None], owner: str) -> Iterator[OnStep]:
    """Say each step of the building of a plugin's environment, and how long it took."""
    begun: list[float] = []

    def show(step: Step) -> None:
        begun.append(time.monotonic())
        say(f"plugin {owner}: {step.words}")

    yield show
    if begun:
        took = timedelta(seconds=round(time.monotonic() - begun[0]))
        say(f"plugin {owner}: its environment is built, in {took}")


def _absolute(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path.absolute() for path in paths)  # inside, the working folder is another


def load_plugins(
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    asking: Callable[[Registry], AskPlugin] | None = None,
    named: Sequence[str] = (),
    trusted: Iterable[str] = (),
    off: Iterable[str] = (),
) -> Registry:
    """Load plugins, and ask workers about untrusted files; warn of what does not load."""
    wanted = selection_from_environment(off, (*trusted, *named))
    registry = discovery.discover(None, wanted, files, folders)
    untrusted = [candidate for candidate in registry.undescribed if candidate.is_one_file]
    if untrusted:
        from codonbench.execution.describe import ask_new_worker, describe

        describe(registry, untrusted, asking(registry) if asking else ask_new_worker)
    registry.check_files(files)
    for failure in registry.failures:
        warnings.warn(f"plugin {failure.whose} did not load: {failure.error}", stacklevel=2)
    return registry
