"""A Ray cluster, and what a run takes of its nodes.

Each run is a Ray task with its resources, and `node` does what a task does. Ray sends orders, data,
records and trajectories, finds a node, and says which was lost; it is imported when a cluster is
asked for, and nowhere else.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field

from codonbench.contracts import Needs
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import ClusterError, ConfigError, WorkerError
from codonbench.execution.machine import cores
from codonbench.execution.node import Made, Node, Order, Packed
from codonbench.execution.run import Tried
from codonbench.execution.sandbox import PASSED_ON
from codonbench.protocols.referee import OnSnapshot, share_spent
from codonbench.protocols.trial import Look

_OF_THE_NODE = {"PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"}
_SETTINGS = (*sorted({*PASSED_ON} - _OF_THE_NODE), "CODONBENCH_PLUGINS", "CODONBENCH_OFFLINE")
"""Of this process's environment, what nodes have too: what may change a result, or what is run."""

_WAIT = 1.0  # seconds between two looks at whether Ctrl-C was pressed
_REPORT_EVERY = 1.0  # seconds after which a run tells how far it has come
_KNOCK = 10.0  # seconds for a cluster's address to answer
_LOOK = 2.0  # seconds for which the nodes that were there count as there


class Resources(Needs):
    """``--resources FIELD=VALUE``: resources of a run, in place of those its model declares."""

    accelerator: str | None = Field(default=None, description="the kind of GPU, as Ray calls it")


@dataclass(frozen=True)
class Place:
    """What one run takes of a node.

    Attributes:
        cpus, memory, gpus: As in `Needs`, with nothing left open.
        accelerator: The kind of GPU; empty for any.
    """

    cpus: float
    memory: float = 0.0
    gpus: float = 0.0
    accelerator: str = ""

    @classmethod
    def of(cls, needs: Needs, given: Resources, run_spec: RunSpec, accelerator: str = "") -> Self:
        """Return the resources of a run: as given, else as its model declares.

        Raises:
            ConfigError: A GPU is requested for a run on a CPU.
        """
        on_gpu = run_spec.device == "cuda"
        if not on_gpu and (given.gpus or given.accelerator):
            raise ConfigError(
                "--resources asks for a GPU, and runs are made on CPUs, as --device says or as no "
                "node of the cluster has a GPU: leave out gpus and accelerator"
            )
        return cls(
            cpus=max(given.cpus or needs.cpus or 0, run_spec.threads),
            memory=given.memory or needs.memory or 0.0,
            gpus=(given.gpus or needs.gpus or 1.0) if on_gpu else 0.0,
            accelerator=accelerator if on_gpu else "",
        )

    def options(self) -> dict[str, Any]:
        """Return it as Ray takes it."""
        found: dict[str, Any] = {"num_cpus": self.cpus, "max_retries": 0}
        if self.memory:
            found["memory"] = int(self.memory * 2**30)
        if self.gpus:
            found["num_gpus"] = self.gpus
        if self.accelerator:
            found["accelerator_type"] = self.accelerator
        return found

    def times_on(self, node: Mapping[str, float]) -> int:
        """Return how many such runs a node with these resources has room for at once."""
        if self.accelerator and f"{_KIND}{self.accelerator}" not in node:
            return 0
        needed = {"CPU": self.cpus, "memory": self.memory * 2**30, "GPU": self.gpus}
        return int(min(node.get(name, 0) / much for name, much in needed.items() if much))

    def __str__(self) -> str:
        """Return ``2 processors and 0.5 GPUs``."""
        parts = [f"{self.cpus:g} processor{'s'[: self.cpus != 1]}"]
        parts += [f"{self.memory:g} GiB"] if self.memory else []
        kind = f" {self.accelerator}" if self.accelerator else ""
        parts += [f"{self.gpus:g}{kind} GPU{'s'[: self.gpus != 1]}"] if self.gpus else []
        return " and ".join(parts)


_KIND = "accelerator_type:"  # before the name of a kind of GPU, among Ray's resources


def choose_kind(nodes: Sequence[Mapping[str, float]], known: Sequence[str]) -> str:
    """Return the kind of GPU that a table's runs are made on; empty where there is but one.

    Args:
        nodes: The resources of each node.
        known: The names of the GPUs that the table's rows were made on so far.
    """
    kinds: dict[str, float] = {}
    for node in nodes:
        for name in node:
            if name.startswith(_KIND):
                kind = name.removeprefix(_KIND)
                kinds[kind] = kinds.get(kind, 0.0) + node.get("GPU", 0.0)
    if len(kinds) < 2:
        return ""
    for kind in sorted(kinds):
        if any(kind.lower() in name.lower() for name in known):
            return kind
    return max(sorted(kinds), key=lambda kind: kinds[kind])


def _ray() -> Any:
    """Return Ray.

    Raises:
        ConfigError: It is not installed.
    """
    # Read as Ray is imported: a cluster that is started here is this machine's own.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # on a busy machine, too
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--on needs ray, which is not installed: pip install 'codonbench[cluster]'"
        ) from error
    return ray


def _knock(address: str) -> None:
    """Make sure that a server listens at an address with a port: Ray itself tries for minutes.

    Raises:
        OSError: None does.
        ValueError: The port is none.
    """
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.port is not None:
        socket.create_connection((place.hostname or "", place.port), _KNOCK).close()


class Cluster:
    """A Ray cluster: one that runs, or one that is started here and ends with this object.

    Args:
        on: ``ray``, ``ray://HOST:PORT`` or ``HOST:PORT``; see `RunOptions.on`.

    Attributes:
        own: Whether it was started here, and so is this machine.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, on: str) -> None:
        self._ray = ray = _ray()
        address = (os.environ.get("RAY_ADDRESS") or "local") if on == "ray" else on
        self._nodes: list[Mapping[str, float]] = []
        self._looked = -math.inf
        self._joined = not ray.is_initialized()
        self.own = address == "local"
        if self._joined:
            own = {"num_cpus": cores(), "include_dashboard": False} if self.own else {}
            settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
            try:
                _knock(address)
                ray.init(
                    address,
                    runtime_env={"env_vars": settings},
                    logging_level="ERROR",
                    log_to_driver=False,
                    **own,
                )
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                raise ClusterError(
                    f"no cluster at {address}: {_first_line(error)}; one that asks for a token is "
                    "reached with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
                ) from error
        self._serve, self._try_out = ray.remote(_serve), ray.remote(_try_out)
        self._made_between: Any = None
        self._one_actor = threading.Lock()
        self._news: Any = None
        self._requested_at = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave it; where it was started here, end it."""
        if self._joined:
            self._ray.shutdown()

    def nodes(self) -> list[Mapping[str, float]]:
        """Return the resources of each node that is there, or was a moment ago."""
        if time.monotonic() > self._looked + _LOOK:
            self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def device(self, requested: str) -> DeviceKind:
        """Return the device to run on.

        Raises:
            ConfigError: ``cuda`` is requested and no node has a GPU.
        """
        there = any(node.get("GPU") for node in self.nodes())
        if requested == "cuda" and not there:
            raise ConfigError("device 'cuda': no node of the cluster has a GPU; use --device cpu")
        return "cuda" if there and requested != "cpu" else "cpu"

    def put(self, content: Packed) -> Any:
        """Store bytes where each node fetches them once; return their reference."""
        return self._ray.put(content)

    def submit(self, order: Order, place: Place, data: Any, files: Any) -> Any:
        """Submit a run; return the reference of its result."""
        task = self._serve.options(name=f"{order.model}", **place.options())
        return task.remote(order.model_dump_json(), data, files, self._between())

    def submit_trial(self, order: Order, place: Place, data: Any, files: Any, key: str) -> Any:
        """Submit a trial, whose looks `attend` answers; return the reference of its result."""
        task = self._try_out.options(name=f"{order.model}", **place.options())
        return task.remote(order.model_dump_json(), data, files, self._between(), key)

    def attend(self, submitted: Any, key: str, look: Look, stopped: Callable[[], bool]) -> Tried:
        """Answer the looks of a trial until it ends; return its result.

        Args:
            submitted: Ray's reference of the submitted trial.
            key: Key of the trial's looks.
            look: Called with each look; returns the answer.
            stopped: Returns whether the trial must stop and return what it has.

        Raises:
            NodeLostError: Its node, or the process there, is gone.
        """
        question, stopping = self._between().next.remote(key), False
        while True:
            done, _ = self._ray.wait([question, submitted], num_returns=1, timeout=_WAIT)
            if stopped() and not stopping:
                self.stop(submitted)
                stopping = True
            if question in done:
                self._between().answer.remote(key, look(*self._ray.get(question)))
                question = self._between().next.remote(key)
            elif submitted in done:
                self._ray.cancel(question)
                made = self._come(submitted)
                return Tried(None, 0.0, "interrupted") if made is None else Tried(*made)

    def news(self) -> dict[str, float]:
        """Return the spent shares that runs have reported since, by run id, without waiting."""
        if self._news is None and time.monotonic() - self._requested_at >= _REPORT_EVERY:
            self._requested_at, self._news = time.monotonic(), self._between().take_shares.remote()
        if self._news is None or not self._ray.wait([self._news], timeout=0)[0]:
            return {}
        found, self._news = self._news, None
        with suppress(self._ray.exceptions.RayError):  # its node is lost, and runs go on
            return dict(self._ray.get(found))
        return {}

    def _between(self) -> Any:
        """Return the actor between runs and us: one for all threads, so that each is answered."""
        with self._one_actor:
            if self._made_between is None:
                # A byte: where an actor that takes nothing lives is drawn, whatever is asked.
                options = {"num_cpus": 0, "memory": 1, **self._beside_us()}
                self._made_between = self._ray.remote(_Between).options(**options).remote()
        return self._made_between

    def _beside_us(self) -> dict[str, Any]:
        """Return the options of what lives as long as we do: on our own node, if we have one."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = self._ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=True)}

    def wait(self, submitted: Sequence[Any]) -> list[Any]:
        """Return the runs that are done, after a second at most."""
        many = min(len(submitted), 100)
        done, _ = self._ray.wait(list(submitted), num_returns=1, timeout=_WAIT)
        more, _ = self._ray.wait(list(submitted), num_returns=many, timeout=0)
        return list(dict.fromkeys([*done, *more]))

    def get(self, submitted: Any) -> Made | None:
        """Return what came of a run that is done; None where it was stopped.

        Raises:
            NodeLostError: Its node, or the process there, is gone.
        """
        made = self._come(submitted)
        return None if made is None else Made(*made)

    def _come(self, submitted: Any) -> Sequence[Any] | None:
        """Return the result of a Ray task that is done; None if it was stopped."""
        gone = self._ray.exceptions
        try:
            found: Sequence[Any] = self._ray.get(submitted)
            return found
        except gone.TaskCancelledError:
            return None
        except gone.RayTaskError as error:
            if isinstance(error.cause, gone.RayError):
                raise NodeLostError(_first_line(error.cause)) from error
            raise WorkerError(f"a run failed on a node: {error.cause!r}") from error
        except gone.RayError as error:
            raise NodeLostError(_first_line(error)) from error

    def stop(self, submitted: Any) -> None:
        """Stop a run, which returns what it has; a waiting one is not begun."""
        with suppress(Exception):
            self._ray.cancel(submitted)


class NodeLostError(Exception):
    """A node is gone, or the process there that made a run."""


def _first_line(error: BaseException) -> str:
    """Return an error's first line; one that announces a traceback is followed by its last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and lines[1:] else lines[0]


_here: list[Node] = []


def _node() -> Node:
    """Return the state that this process of a node keeps between runs."""
    if not _here:
        _here.append(Node())
    return _here[0]


def _serve(order: str, data: Packed, files: Packed, between: Any) -> tuple[Any, ...]:
    """Make a run in this process of a node, and report the spent share of its budget."""

    def watch(run_spec: RunSpec) -> OnSnapshot:
        reported = time.monotonic()

        def follow(pairs: int, progress: Callable[[], str]) -> None:
            nonlocal reported
            if time.monotonic() - reported >= _REPORT_EVERY:
                reported = time.monotonic()
                between.note_share.remote(run_spec.run_id, share_spent(run_spec, pairs))

        return follow

    return tuple(_node().serve(Order.model_validate_json(order), data, files, watch))


def _try_out(order: str, data: Packed, files: Packed, between: Any, key: str) -> tuple[Any, ...]:
    """Make a trial in this process of a node; the driver answers its looks."""
    import ray

    def look(*what: float) -> bool:
        return bool(ray.get(between.ask.remote(key, *what)))

    return tuple(_node().try_out(Order.model_validate_json(order), data, files, look))


class _Between:
    """An actor between runs and the driver: trials ask and wait, runs report progress."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}
        self._questions: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self._answers: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    async def note_share(self, run_id: str, share: float) -> None:
        self._shares[run_id] = share

    async def take_shares(self) -> dict[str, float]:
        shares, self._shares = self._shares, {}
        return shares

    async def ask(self, key: str, *what: Any) -> Any:
        await self._questions[key].put(what)
        return await self._answers[key].get()

    async def next(self, key: str) -> Any:
        return await self._questions[key].get()

    async def answer(self, key: str, answer: Any) -> None:
        await self._answers[key].put(answer)
