"""One run on a node of a cluster: an order in, a record and its trajectory out.

The node is to its worker processes what `bench` is on one machine: it referees, scores and keeps
runs apart, in the sandbox or an environment of its own where that is asked for. It stays for more
runs, and so do its workers. Nothing here knows how orders come here and results leave.
"""

from __future__ import annotations

import os
import pickle
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from codonbench.contracts import Dataset, Frozen, SplitMetric
from codonbench.contracts.model import as_recorded
from codonbench.contracts.run_record import Environment, Harness, Tuning, describe_harness
from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec
from codonbench.data.own_table import table_task
from codonbench.data.table_guess import TableOptions
from codonbench.errors import BenchError, ClusterError, DataError
from codonbench.execution.executor import Executor, in_sentences, load_plugins
from codonbench.execution.machine import Say, Terms, occupied
from codonbench.execution.prepare import Job, primary_of
from codonbench.execution.run import Tried, origin_of, run, tried
from codonbench.protocols.referee import Watch, unwatched
from codonbench.protocols.trial import Look
from codonbench.records.files import cache_folder, write_atomically
from codonbench.records.remote import checkpoints_at
from codonbench.records.store import pack
from codonbench.records.unfinished import OwnFolder, sweep_own

Packed = npt.NDArray[np.uint8]
"""Bytes, which every process of a node reads in the same memory."""

_AT_HAND = 4
"""Data sets that a process keeps, the latest ones."""


class Order(Frozen):
    """One run.

    Attributes:
        run_spec: The run.
        model, overrides: Name of the requested model or preset, and fields as typed.
        options: Run options, with plugin files; see `packed`.
        off: Plugins switched off.
        supplier, source_sha256: Distribution of the model, and the hash of its code.
        harness: Version and hash of codonbench, which must be the node's own.
        data_sha256, files_sha256: Of the packed data and plugin files.
        plain_because, tuning, environment: As in `Job`.
        openmp: ``OMP_NUM_THREADS`` of the driver; None if it is not set.
        shares_gpu: Whether others may use the same GPU.
        lost: How many nodes that began it were lost.
    """

    run_spec: RunSpec
    model: str
    overrides: dict[str, str]
    options: RunOptions
    off: tuple[str, ...]
    supplier: str
    source_sha256: str
    harness: Harness
    data_sha256: str
    files_sha256: str
    plain_because: str
    tuning: Tuning | None
    environment: Environment | None
    openmp: str | None
    shares_gpu: bool
    lost: int


class Made(NamedTuple):
    """The result of an order.

    Attributes:
        record: The record as JSON; empty if there is none.
        trajectory: The trajectory, packed as in a file.
        remarks: Messages for the user.
        error, kind: Why there is no record, and the name of the exception.
    """

    record: str
    trajectory: bytes
    remarks: tuple[str, ...]
    error: str = ""
    kind: str = ""


def packed(value: Dataset | list[tuple[str, bytes]]) -> Packed:
    """Return data, or plugin files with the paths that they have below a folder, as bytes."""
    return np.frombuffer(pickle.dumps(value, protocol=5), dtype=np.uint8)


def digest(content: Packed) -> str:
    """Return the SHA-256 (hex) of bytes."""
    return sha256(content.data).hexdigest()


class Node:
    """State of a process of a node between runs: plugins, workers, data."""

    def __init__(self) -> None:
        self._data: dict[str, Dataset] = {}
        self._executor: Executor | None = None
        self._for: tuple[str, ...] = ()
        self._own: OwnFolder | None = None

    def close(self) -> None:
        """End the workers, and forget the data."""
        if self._executor is not None:
            self._executor.close()
        if self._own is not None:
            self._own.remove()
        self._executor = self._own = None
        self._data.clear()

    def _states(self, shared: str | None) -> Path:
        """Return where states of runs are kept here, or lie on their way to an address.

        Ray ends a process without warning, which leaves its files here: the next process that makes
        such a folder removes them.
        """
        if shared is not None and "://" not in shared:
            return Path(shared)
        folder = cache_folder() / "nodes"
        if shared is None:  # nothing is kept
            return folder
        if self._own is None:
            sweep_own(folder)
            self._own = OwnFolder(folder)
        return self._own.path

    def serve(self, order: Order, data: Packed, files: Packed, watch: Watch = unwatched) -> Made:
        """Make a run, which `watch` follows; return its result."""
        remarks: list[str] = []
        try:
            job, executor = self._job(order, data, files, remarks.append)
            return self._made(order, job, executor, remarks, watch)
        except BenchError as error:
            return Made("", b"", tuple(remarks), str(error), type(error).__name__)
        except KeyboardInterrupt:
            return Made("", b"", tuple(remarks), "interrupted", "KeyboardInterrupt")

    def try_out(self, order: Order, data: Packed, files: Packed, look: Look) -> Tried:
        """Make a trial of a study; return its result."""
        try:
            job, executor = self._job(order, data, files, _ignore)
            with occupied(order.run_spec.device, Terms(share_gpu=order.shares_gpu), _ignore):
                return tried(job, executor.train(order.run_spec), look)
        except BenchError as error:
            return Tried(None, 0.0, "error", str(error), type(error).__name__)
        except KeyboardInterrupt:
            return Tried(None, 0.0, "interrupted")

    def _job(self, order: Order, data: Packed, files: Packed, say: Say) -> tuple[Job, Executor]:
        os.environ.pop("OMP_NUM_THREADS", None)  # that is the carrier's own
        if order.openmp is not None:
            os.environ["OMP_NUM_THREADS"] = order.openmp
        if order.harness != describe_harness():
            here, there = describe_harness(), order.harness
            raise ClusterError(
                f"a node has codonbench {_version(here)}, and this is {_version(there)}; "
                "install the same one on every node"
            )
        dataset = self._dataset(order, data)
        request = RunRequest(
            model=order.model,
            overrides=order.overrides,
            device=order.run_spec.device,
            threads=order.run_spec.threads,
        )
        executor = self._executor_for(order, files, request, say)
        executor.get_ready(request)
        registry, run_spec = executor.registry, order.run_spec
        entry, config, overrides = registry.configured(order.model, order.overrides)
        same = as_recorded(config.model_dump(mode="json"), overrides) == run_spec.config
        if entry.origin.source_sha256 != order.source_sha256 or not same:
            raise ClusterError(
                f"a node has other code of model {order.model!r}; install the same on every node"
            )
        if run_spec.is_own_table:
            metrics = [
                m.name for m in registry.metrics_of(dataset.spec) if isinstance(m, SplitMetric)
            ]
            options = TableOptions.model_validate(run_spec.task_options)
            task = table_task(run_spec.task, options, metrics)
        else:
            task = registry.task(run_spec.task).task
        job = Job(
            entry=entry,
            config=config,
            overrides=overrides,
            task=task,
            dataset=dataset,
            protocol=registry.protocol(dataset.spec.protocol),
            run_specs=(run_spec,),
            primary=primary_of(task, dataset.spec, registry),
            plain_because=order.plain_because,
            tuning=order.tuning,
            environment=order.environment,
        )
        return job, executor

    def _made(
        self, order: Order, job: Job, executor: Executor, remarks: list[str], watch: Watch
    ) -> Made:
        options, run_spec = order.options, order.run_spec
        states = self._states(options.shared)
        try:
            states.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remarks.append(f"no checkpoints are kept in {states}: {error.strerror}")
        checkpoints = checkpoints_at(
            options.shared,
            states,
            origin_of(job),
            (options.checkpoint_every or None) if options.shared else None,
            remarks.append,
        )
        terms = Terms(alone=options.exclusive, share_gpu=order.shares_gpu)
        with occupied(run_spec.device, terms, _ignore) as circumstances:
            ((record, trajectory),) = run(
                job,
                executor.registry,
                watch,
                executor.train(run_spec),
                circumstances,
                checkpoints,
                executor.confinement(job),
            )
        if (unsaid := order.lost - len(record.resumed)) > 0:  # begun anew, for nothing was kept
            record = record.model_copy(update={"resumed": (*(0,) * unsaid, *record.resumed)})
        return Made(record.sealed().to_line(), pack(trajectory), tuple(remarks))

    def _dataset(self, order: Order, data: Packed) -> Dataset:
        """Return the data of an order, verified.

        Raises:
            DataError: They are not those that were sent, or not the run's.
        """
        key = order.data_sha256
        if (dataset := self._data.pop(key, None)) is None:
            if digest(data) != key:
                raise DataError(f"data {order.run_spec.data!r} came to a node damaged")
            dataset = pickle.loads(data.data)  # by our own driver: see docs/security.md
        self._data[key] = dataset
        for old in list(self._data)[:-_AT_HAND]:
            del self._data[old]
        if dataset.checksum != order.run_spec.data_checksum:
            raise DataError(f"data {order.run_spec.data!r} came to a node for another run")
        return dataset

    def _executor_for(self, order: Order, files: Packed, request: RunRequest, say: Say) -> Executor:
        """Return the executor, kept while plugins, options and the GPU are the same."""
        wanted = (
            order.options.model_dump_json(),
            order.files_sha256,
            *order.off,
            *([] if order.environment is None else [order.environment.sha256]),
            os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        )
        if self._executor is not None and wanted == self._for:
            return self._executor
        if self._executor is not None:
            self._executor.close()
        options = self._with_files(order, files)
        locks = {} if order.environment is None else {order.supplier: order.environment}
        load = partial(load_plugins, trusted=options.trust, off=order.off)
        unshown = partial(in_sentences, _ignore)
        self._executor = Executor(options, request, load, say, locks, unshown)
        self._for = wanted
        return self._executor

    def _with_files(self, order: Order, files: Packed) -> RunOptions:
        """Return an order's options, with its plugin files written here, once a node."""
        folder = cache_folder() / "plugins" / order.files_sha256[:16]
        options = order.options
        if options.plugin or options.plugins_dir:
            if digest(files) != order.files_sha256:
                raise ClusterError("plugin files came to a node damaged")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                for path, content in pickle.loads(files.data):
                    target = folder / path
                    if not target.is_file() or target.read_bytes() != content:
                        write_atomically(target, content)
        return options.model_copy(
            update={
                "on": "local",
                "workers": 1,
                "results": self._states(options.shared),
                "checkpoint_every": options.checkpoint_every if options.shared else 0,
                "plugin": tuple(folder / path for path in options.plugin),
                "plugins_dir": tuple(folder / path for path in options.plugins_dir),
            }
        )


def _ignore(sentence: str) -> None:
    """Show nothing: neither that other runs are on the node, nor how an environment is built."""


def _version(harness: Harness) -> str:
    commit = "" if harness.commit is None else f" at commit {harness.commit[:12]}"
    return f"{harness.version}{commit}{', modified' if harness.modified else ''}"
