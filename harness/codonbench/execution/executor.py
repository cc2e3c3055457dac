"""Who trains: this process, worker processes, or worker processes in a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, Self

from codonbench.contracts import Reference
from codonbench.contracts.run_record import Confinement
from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec
from codonbench.data.cache import cache_folder
from codonbench.errors import ConfigError
from codonbench.execution.describe import inquire
from codonbench.execution.machine import cores, note_facts, nvidia_is_visible
from codonbench.execution.messages import File, Question
from codonbench.execution.pool import WorkerPool
from codonbench.execution.prepare import Job, prepare
from codonbench.execution.run import Train
from codonbench.execution.sandbox import Sandbox, unavailable
from codonbench.plugins.discovery import file_modules, insist_on_what_is_there
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Selection


class Load(Protocol):
    """Loads plugins."""

    def __call__(
        self, files: Sequence[Path], folders: Sequence[Path], *, own_only: bool
    ) -> Registry:
        """Return the registry of files, folders and what is installed, or of our own alone."""


class Executor:
    """Loads the plugins and trains with them.

    Workers start at once, so that they come up while plugins and data are read here. In a sandbox
    no plugin but codonbench's own is imported by this process: a worker is asked about it.

    Args:
        options: How and where.
        request: What is to be run first; None where nothing is to be kept in the results folder.
        load: Loads plugins.
        selection: Which plugins are wanted, for a sandbox.

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
        selection: Selection,
    ) -> None:
        self._options = options
        self._request = request
        self._selection = selection
        self._gpu = request is not None and request.device != "cpu" and nvidia_is_visible()
        self._pool: WorkerPool | None = None
        self._described: dict[File, None] = {}
        files, folders = options.plugin, options.plugins_dir
        if options.sandbox:
            if (reason := unavailable()) is not None:
                raise ConfigError(f"--sandbox: {reason}")
            insist_on_what_is_there(files, folders)
            self.registry = load((), (), own_only=True)  # which says what is hidden
            self._start()
        else:
            self._start()
            self.registry = load(files, folders, own_only=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start as many workers as what is to be run first can use."""
        if self._options.workers != 0 and self._request is not None:
            self._pool = self._new_pool(self._request.threads)
            self._pool.start(len(self._request.seeds))

    def get_ready(self, request: RunRequest) -> None:
        """See to it that a request can be planned: what its model is, and what there is of GPUs.

        Raises:
            UsageError: Something is wrong with what was asked.
            PluginError: The plugin does not load in the sandbox.
        """
        if self._pool is not None and self._gpu:
            note_facts(self._pool.facts())
        own = self.registry.models.get(request.model)
        if not self._options.sandbox or (
            own is not None and own.origin.distribution == "codonbench"
        ):
            return
        question = Question(
            model=request.model,
            overrides=request.overrides,
            files=self._absolute(self._options.plugin),
            folders=self._absolute(self._options.plugins_dir),
            only=self._selection.only,
            off=self._selection.off,
        )
        entry, modules = inquire(question, self._sandbox(), self._options.timeout)
        self.registry.models[request.model] = entry
        self._described |= dict.fromkeys(modules)

    @staticmethod
    def _absolute(paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.absolute() for path in paths)  # inside, the working folder is another

    def prepare(self, request: RunRequest) -> Job:
        """Return the job that a request comes to.

        Raises:
            UsageError: Something is wrong with what was asked.
            PluginError: A plugin does not load, or fails to load its data.
        """
        self.get_ready(request)
        return prepare(request, self.registry, cache_folder())

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        if self._options.workers == 0 or issubclass(job.entry.cls, Reference):
            return "none"
        return "sandbox" if self._options.sandbox else "process"

    def train(self, run_spec: RunSpec) -> Train:
        """Return what trains."""
        if self._options.workers == 0:
            from codonbench.execution.in_process import train  # takes seconds: PyTorch

            return train
        gpu = run_spec.device == "cuda"
        if self._pool is None or (gpu and not self._gpu):
            self.close()
            self._gpu = gpu
            self._pool = self._new_pool(run_spec.threads)
        self._pool.size = self._size(run_spec.threads, gpu)
        self._pool.files = self.modules
        return self._pool.train

    @property
    def modules(self) -> tuple[File, ...]:
        """Name and path of each plugin module that is no installed one."""
        return tuple(self._described) if self._options.sandbox else tuple(file_modules())

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()

    def _new_pool(self, threads: int) -> WorkerPool:
        return WorkerPool(
            self._size(threads, self._gpu),
            timeout=self._options.timeout,
            states=self._states(),
            gpu=self._gpu,
            sandbox=self._sandbox() if self._options.sandbox else None,
        )

    def _states(self) -> Path | None:
        """Return where workers keep states of runs, on their way to the results folder."""
        keeps = self._request is not None and self._options.checkpoint_every > 0
        return self._options.results / "checkpoints" if keeps else None

    def _size(self, threads: int, gpu: bool) -> int:
        if self._options.workers is not None:
            return self._options.workers
        # Seeds of one model share a GPU best in one process.
        return 1 if gpu else max(1, cores() // threads)

    def _sandbox(self) -> Sandbox:
        shown = self._absolute((*self._options.plugin, *self._options.plugins_dir))
        return Sandbox(readable=shown, hidden=tuple(self._hidden()))

    def _hidden(self) -> list[Path]:
        """Return what no plugin gets to see: results, and the data that tasks bring along."""
        modules = {entry.origin.module.partition(".")[0] for entry in self.registry.tasks.values()}
        origins = (spec.origin for name in modules if (spec := find_spec(name)) is not None)
        packages = [Path(origin).parent for origin in origins if origin is not None]
        results = self._options.results
        with suppress(OSError):  # where it cannot be written, whoever writes there says so
            if self._request is not None:
                results.mkdir(parents=True, exist_ok=True)
        return [*packages, *([results] if results.is_dir() else [])]
