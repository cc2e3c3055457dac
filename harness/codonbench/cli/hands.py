"""Who trains for `bench run`: this process, others, or others in a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

from codonbench.cli.loading import load_plugins
from codonbench.cli.switches import selection
from codonbench.contracts import Reference
from codonbench.contracts.run_record import Confinement
from codonbench.contracts.run_spec import RunRequest, RunSpec
from codonbench.execution.describe import Question, inquire
from codonbench.execution.in_process import learn
from codonbench.execution.orders import File
from codonbench.execution.pool import Crew
from codonbench.execution.prepare import Job
from codonbench.execution.processes import Process, cores
from codonbench.execution.run_one import Learn
from codonbench.execution.sandbox import Limits, start
from codonbench.plugins.discovery import file_modules, insist_on_what_is_there
from codonbench.plugins.registry import Registry


class Hands:
    """Loads the plugins and trains with them.

    Args:
        workers: How many processes train; 0 for this one, None for one a core.
        timeout: Seconds that a run may take.
        files: Plugin files.
        folders: Folders of them.
    """

    def __init__(
        self,
        workers: int | None,
        timeout: float | None,
        files: Sequence[Path],
        folders: Sequence[Path],
    ) -> None:
        self._workers = workers
        self._timeout = timeout
        self.registry = self._load(files, folders)

    def _load(self, files: Sequence[Path], folders: Sequence[Path]) -> Registry:
        return load_plugins(files, folders)

    def get_ready(self, request: RunRequest) -> None:
        """See to it that the model of a request can be planned with."""

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        here = self._workers == 0 or issubclass(job.entry.cls, Reference)
        return "none" if here else "process"

    def learn(self, run_spec: RunSpec) -> Learn:
        """Return what trains."""
        if self._workers == 0:
            return learn
        return Crew(self._size(run_spec), file_modules(), self._timeout).learn

    def _size(self, run_spec: RunSpec) -> int:
        if self._workers is not None:
            return self._workers
        # Seeds of one model share a GPU best in one process.
        return 1 if run_spec.device == "cuda" else max(1, cores() // run_spec.threads)


class SandboxedHands(Hands):
    """Trains in sandboxes, and imports no plugin but codonbench's own.

    Args:
        workers: How many processes train; None for one a core.
        timeout: Seconds that a run may take.
        files: Plugin files.
        folders: Folders of them.
        results: The results folder, which no plugin gets to see.

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
    ) -> None:
        insist_on_what_is_there(files, folders)
        super().__init__(workers, timeout, files, folders)
        # Inside, the working directory is another.
        self._plugin_files = tuple(path.absolute() for path in files)
        self._plugin_folders = tuple(path.absolute() for path in folders)
        self._results = results
        self._modules: dict[File, None] = {}

    def _load(self, files: Sequence[Path], folders: Sequence[Path]) -> Registry:
        return load_plugins(own_only=True)

    def get_ready(self, request: RunRequest) -> None:
        """Ask a model that is not codonbench's own about itself, in a sandbox.

        Raises:
            UsageError: Something is wrong with what was asked.
            PluginError: The plugin does not load.
        """
        own = self.registry.models.get(request.model)
        if own is not None and own.origin.distribution == "codonbench":
            return
        question = Question(
            model=request.model,
            overrides=request.overrides,
            files=self._plugin_files,
            folders=self._plugin_folders,
            selection=selection(),
        )
        entry, modules = inquire(question, Limits(), self._hidden(), self._timeout)
        self.registry.models[request.model] = entry
        self._modules |= dict.fromkeys(modules)

    def confinement(self, job: Job) -> Confinement:
        """Return how far a job's runs are kept apart, for the record."""
        return "none" if issubclass(job.entry.cls, Reference) else "sandbox"

    @property
    def modules(self) -> tuple[File, ...]:
        """Name and path of each plugin module that is no installed one, as sandboxes told."""
        return tuple(self._modules)

    def learn(self, run_spec: RunSpec) -> Learn:
        """Return what trains."""
        modules = self.modules

        def begin(connection: Connection) -> Process:
            return start(
                "codonbench.execution.worker",
                (),
                connection,
                readable=[path for _, path in modules],
                hidden=self._hidden(),
                gpu=run_spec.device == "cuda",
            )

        return Crew(self._size(run_spec), modules, self._timeout, begin).learn

    def _hidden(self) -> list[Path]:
        """Return what no plugin gets to see: results, and the data that tasks bring along."""
        modules = {entry.origin.module.partition(".")[0] for entry in self.registry.tasks.values()}
        origins = (spec.origin for name in modules if (spec := find_spec(name)) is not None)
        packages = [Path(origin).parent for origin in origins if origin is not None]
        return [*packages, *([self._results] if self._results.is_dir() else [])]
