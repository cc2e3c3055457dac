"""Who trains for `bench run`: this process, others, or others in a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from codonbench.cli.loading import load_plugins
from codonbench.cli.switches import selection
from codonbench.contracts import Reference
from codonbench.contracts.run_record import Confinement
from codonbench.contracts.run_spec import RunRequest, RunSpec
from codonbench.execution.describe import inquire
from codonbench.execution.in_process import learn
from codonbench.execution.machine import cores, note_facts, nvidia_is_visible
from codonbench.execution.messages import File, Question
from codonbench.execution.pool import WorkerPool
from codonbench.execution.prepare import Job
from codonbench.execution.run_one import Learn
from codonbench.execution.sandbox import Sandbox
from codonbench.plugins.discovery import file_modules, insist_on_what_is_there
from codonbench.plugins.registry import Registry


class Hands:
    """Loads the plugins and trains with them.

    Workers start at once, so that they come up while plugins and data are read here.

    Args:
        workers: How many processes train; 0 for this one, None for one a core.
        timeout: Seconds that a run may take.
        files: Plugin files.
        folders: Folders of them.
        results: The results folder.
        request: What is to be run first; None where that is not known.
        keeps: Whether workers keep states of runs, on their way to the results folder.
    """

    def __init__(
        self,
        workers: int | None,
        timeout: float | None,
        files: Sequence[Path],
        folders: Sequence[Path],
        results: Path,
        request: RunRequest | None = None,
        keeps: bool = False,
    ) -> None:
        self._workers = workers
        self._timeout = timeout
        self._results = results
        self._request = request
        self._keeps = keeps
        self._gpu = request is not None and request.device != "cpu" and nvidia_is_visible()
        self._pool: WorkerPool | None = None
        self.registry = self._load(files, folders)

    def _load(self, files: Sequence[Path], folders: Sequence[Path]) -> Registry:
        self._start()
        return load_plugins(files, folders)

    def _start(self) -> None:
        """Start as many workers as what is to be run first can use."""
        if self._workers != 0 and self._request is not None:
            self._pool = self._new_pool(self._request.threads)
            self._pool.start(len(self._request.seeds))

    def get_ready(self, request: RunRequest) -> None:
        """See to it that the model of a request can be planned with."""
        if self._pool is not None and self._gpu:
            note_facts(self._pool.facts())

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        here = self._workers == 0 or issubclass(job.entry.cls, Reference)
        return "none" if here else "process"

    def learn(self, run_spec: RunSpec) -> Learn:
        """Return what trains."""
        if self._workers == 0:
            return learn
        gpu = run_spec.device == "cuda"
        if self._pool is None or (gpu and not self._gpu):
            self.close()
            self._gpu = gpu
            self._pool = self._new_pool(run_spec.threads)
        self._pool.size = self._size(run_spec.threads, gpu)
        self._pool.files = self.modules
        return self._pool.learn

    @property
    def modules(self) -> tuple[File, ...]:
        """Name and path of each plugin module that is no installed one."""
        return tuple(file_modules())

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()

    def _new_pool(self, threads: int) -> WorkerPool:
        return WorkerPool(
            self._size(threads, self._gpu),
            timeout=self._timeout,
            states=self._results / "checkpoints" if self._keeps else None,
            gpu=self._gpu,
            sandbox=self._sandbox(),
        )

    def _sandbox(self) -> Sandbox | None:
        return None

    def _size(self, threads: int, gpu: bool) -> int:
        if self._workers is not None:
            return self._workers
        # Seeds of one model share a GPU best in one process.
        return 1 if gpu else max(1, cores() // threads)


class SandboxedHands(Hands):
    """Trains in sandboxes, and imports no plugin but codonbench's own.

    Args:
        workers: How many processes train; None for one a core.
        timeout: Seconds that a run may take.
        files: Plugin files.
        folders: Folders of them.
        results: The results folder, which no plugin gets to see.
        request: What is to be run first; None where that is not known.
        keeps: Whether workers keep states of runs, on their way to the results folder.

    Raises:
        UsageError: A file or folder is not there.
    """

    def __init__(
        self,
        workers: int | None,
        timeout: float | None,
        files: Sequence[Path],
        folders: Sequence[Path],
        results: Path,
        request: RunRequest | None = None,
        keeps: bool = False,
    ) -> None:
        insist_on_what_is_there(files, folders)
        # Inside, the working directory is another.
        self._plugin_files = tuple(path.absolute() for path in files)
        self._plugin_folders = tuple(path.absolute() for path in folders)
        self._modules: dict[File, None] = {}
        super().__init__(workers, timeout, files, folders, results, request, keeps)

    def _load(self, files: Sequence[Path], folders: Sequence[Path]) -> Registry:
        self.registry = load_plugins(own_only=True)  # which says what is hidden
        self._start()
        return self.registry

    def get_ready(self, request: RunRequest) -> None:
        """Ask a model that is not codonbench's own about itself, in a sandbox.

        Raises:
            UsageError: Something is wrong with what was asked.
            PluginError: The plugin does not load.
        """
        super().get_ready(request)
        own = self.registry.models.get(request.model)
        if own is not None and own.origin.distribution == "codonbench":
            return
        question = Question(
            model=request.model,
            overrides=request.overrides,
            files=self._plugin_files,
            folders=self._plugin_folders,
            only=selection().only,
            off=selection().off,
        )
        entry, modules = inquire(question, self._sandbox(), self._timeout)
        self.registry.models[request.model] = entry
        self._modules |= dict.fromkeys(modules)

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        return "none" if issubclass(job.entry.cls, Reference) else "sandbox"

    @property
    def modules(self) -> tuple[File, ...]:
        """Name and path of each plugin module that is no installed one, as sandboxes told."""
        return tuple(self._modules)

    def _sandbox(self) -> Sandbox:
        shown = (*self._plugin_files, *self._plugin_folders)
        return Sandbox(readable=shown, hidden=tuple(self._hidden()))

    def _hidden(self) -> list[Path]:
        """Return what no plugin gets to see: results, and the data that tasks bring along."""
        modules = {entry.origin.module.partition(".")[0] for entry in self.registry.tasks.values()}
        origins = (spec.origin for name in modules if (spec := find_spec(name)) is not None)
        packages = [Path(origin).parent for origin in origins if origin is not None]
        with suppress(OSError):  # where it cannot be written, whoever writes there says so
            if self._request is not None:
                self._results.mkdir(parents=True, exist_ok=True)
        return [*packages, *([self._results] if self._results.is_dir() else [])]
