"""One worker process as its parent sees it: started, greeted, spoken to, and ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from codonbench.contracts.provenance import TorchFacts
from codonbench.errors import OutOfTurnError, WorkerError
from codonbench.execution.messages import Arrays, Hello, Message, Spoken, pack, unpack
from codonbench.execution.process import Frame, Inbox, Process, launch, send
from codonbench.execution.sandbox import STATES, Sandbox
from codonbench.records.unfinished import OwnFolder

_PATIENCE = 10.0  # seconds for an answer to be taken off our hands
_TO_GREET = 600.0  # seconds for a worker to come up, which it does once it has imported PyTorch

Launch = Callable[[Path | None], Process]
"""Starts a worker that may write to a folder."""


def launch_worker(
    states: Path | None = None, *, gpu: bool = False, sandbox: Sandbox | None = None
) -> Process:
    """Start a worker.

    Args:
        states: The folder where it may keep states of runs.
        gpu: Whether to tell of a GPU, which begins to use it.
        sandbox: Where to hold it; None for nowhere.
    """
    held = None if sandbox is None else replace(sandbox, states=states, gpu=gpu)
    return launch("codonbench.execution.worker", ["gpu"] if gpu else [], sandbox=held)


class WorkerProcess:
    """A worker process.

    Args:
        launch: Starts it.
        beside: Where to make a folder in which it may keep states of runs; None for none.
        sandboxed: Whether it knows that folder as `STATES`.

    Attributes:
        process: The process itself.
        facts: What PyTorch says there; None until it has greeted.
        owner: Whose plugin it has loaded; None while it has loaded none.
        states, states_inside: The folder of states, here and as it is told of it.
    """

    def __init__(
        self, launch: Launch, beside: Path | None = None, *, sandboxed: bool = False
    ) -> None:
        self.facts: TorchFacts | None = None
        self.owner: str | None = None
        self._folder: OwnFolder | None = None
        if beside is not None:
            with suppress(OSError):  # who cannot write there cannot keep records either
                self._folder = OwnFolder(beside)
        self.states = None if self._folder is None else self._folder.path
        self.states_inside = STATES if sandboxed and self.states else self.states
        self.process = launch(self.states)
        self._inbox = Inbox(self.process.speaks)

    @property
    def fd(self) -> int:
        """What becomes ready to be read once it has spoken."""
        return self.process.speaks

    @property
    def ended_unheard(self) -> bool:
        """Whether it has ended, while something that it has started holds on to its pipe."""
        return self.process.exitcode is not None and self._inbox.is_silent()

    def send(self, message: Spoken, arrays: Arrays | None = None) -> None:
        """Tell it something.

        Raises:
            OSError: It does not listen.
        """
        send(self.process.hears, pack(message, arrays), _PATIENCE)

    def heard(self) -> Iterator[tuple[Message, Arrays]]:
        """Yield what it has said by now, its greeting noted.

        Raises:
            OutOfTurnError: It greets twice.
            ValueError: It said what is no message.
            EOFError, OSError: It has hung up.
        """
        yield from map(self._noted, self._inbox.frames())

    def wait(self, seconds: float) -> Message:
        """Return what it says next.

        Raises:
            TimeoutError: It said nothing whole in time.
            OutOfTurnError, ValueError, EOFError, OSError: As `heard` does.
        """
        return self._noted(self._inbox.wait(seconds))[0]

    def greeting(self) -> TorchFacts:
        """Wait until it has come up; return what PyTorch says there.

        Raises:
            WorkerError: It does not come up.
        """
        with suppress(EOFError, OSError, ValueError):
            if self.facts is None:
                self.wait(_TO_GREET)
        if self.facts is None:
            self.process.join(1.0)
            raise WorkerError(f"a worker process {self.how_it_ended()} before it came up")
        return self.facts

    def _noted(self, frame: Frame) -> tuple[Message, Arrays]:
        message, arrays = unpack(frame)
        if isinstance(message, Hello):
            if self.facts is not None:
                raise OutOfTurnError("greets twice")
            self.facts = message.facts
        return message, arrays

    def end(self) -> None:
        """End it at once, and remove what it has kept."""
        self.process.kill()
        if self._folder is not None:
            self._folder.remove()

    def how_it_ended(self) -> str:
        """Return ``was killed by SIGSEGV`` or ``ended with exit code 3``."""
        code = self.process.exitcode
        if code is None:
            return "no longer answers"
        if code < 0:
            with suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
            return f"was killed by signal {-code}"
        return f"ended with exit code {code}"


def ask_for_facts() -> TorchFacts:
    """Return what PyTorch says in a worker, which may use the GPU.

    Raises:
        WorkerError: It does not come up.
    """
    worker = WorkerProcess(partial(launch_worker, gpu=True))
    try:
        return worker.greeting()
    finally:
        worker.end()
