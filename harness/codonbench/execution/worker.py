"""A worker: trains what its parent orders, asks it for every pair, keeps states in files.

``python -P -m codonbench.execution.worker HEARS SPEAKS LIFELINE [gpu]``
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

from codonbench.errors import UsageError
from codonbench.execution.messages import (
    OF_RESULT,
    Arrays,
    Ask,
    Began,
    Ended,
    Hello,
    Kept,
    Message,
    Order,
    Question,
    Served,
    Spoken,
    Told,
    Unusable,
    pack,
    read_order,
    read_told,
    unpack_told,
)
from codonbench.execution.process import receive, send_all, take_hold
from codonbench.protocols.referee import Instructions, Shown
from codonbench.records.files import storable
from codonbench.training.request import TrainResult


def main() -> None:
    """Serve until the parent hangs up."""
    serve(*take_hold(), gpu="gpu" in sys.argv[4:])


def serve(hears: int, speaks: int, *, gpu: bool = False) -> None:
    """Greet, and do what is ordered; this process ends when the parent hangs up.

    Args:
        hears: The pipe from the parent.
        speaks: The one to it.
        gpu: Whether to tell of a GPU, which begins to use it.
    """
    from codonbench.training.determinism import (  # takes a second: PyTorch
        pin_arithmetic,
        torch_facts,
    )

    pin_arithmetic(1)
    parent = Parent(hears, speaks)
    parent.send(Hello(facts=torch_facts(gpu)))
    while True:
        told, arrays = parent.hear()
        if isinstance(told, Order):
            _train(parent, told, arrays)
        elif isinstance(told, Question):
            from codonbench.execution.describe import answer  # which training does not need

            answer(told, parent.send)


def _train(parent: Parent, order: Order, arrays: Arrays) -> None:
    """Train what is ordered, and tell of it."""
    from codonbench.engines.train import train_runs
    from codonbench.training.determinism import pin_arithmetic, subnormals_as_zero

    relay = Relay(parent, order.states)
    pin_arithmetic(order.threads)
    try:
        model, config, requests = read_order(order, arrays)
        with subnormals_as_zero():
            for run, result in train_runs(model, config, requests, relay, order.every):
                relay.ended(run, result)
                if result.status == "interrupted":  # all there was to tell is told
                    os._exit(0)
    except UsageError as error:
        parent.send(Unusable(error=storable(str(error))))
        return
    except KeyboardInterrupt:
        os._exit(0)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent.send(Served())


class Parent:
    """The parent, at the other end of two pipes. Whose parent is gone ends without a word.

    Args:
        hears, speaks: The pipes from it and to it.
    """

    def __init__(self, hears: int, speaks: int) -> None:
        self._hears = hears
        self._speaks = speaks
        self._sending = self._asked = False

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once, and not while a message is on its way."""
        if self._asked:
            return
        self._asked = True
        if not self._sending:
            raise KeyboardInterrupt

    def send(self, message: Message, arrays: Arrays | None = None) -> None:
        """Send one message whole, which no signal cuts in two."""
        asked, self._sending = self._asked, True
        with _or_die():
            send_all(self._speaks, pack(message, arrays))
        self._sending = False
        if self._asked and not asked:
            raise KeyboardInterrupt

    def hear(self) -> tuple[Spoken, Arrays]:
        """Return what it says."""
        with _or_die():
            return unpack_told(receive(self._hears))


class Relay:
    """Stands in for the referees, who are with the parent.

    Args:
        parent: Where they are.
        states: The folder where states of runs are kept; None for nowhere.
    """

    def __init__(self, parent: Parent, states: Path | None) -> None:
        self._parent = parent
        self._states = states

    def begin(self, run: int) -> None:
        """Tell that a run begins."""
        self._parent.send(Began(run=run))

    def answer(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Tell what some runs show; return how they go on.

        Until the first time there is nothing to tell once asked to stop, so that SIGTERM is left
        to end this process.
        """
        signal.signal(signal.SIGTERM, self._parent.asked_to_stop)
        outputs = [s.outputs for s in shown if s.outputs is not None]
        arrays = {"outputs": np.stack(outputs).astype(np.float32)} if outputs else {}
        runs, positions = tuple(s.run for s in shown), tuple(s.position for s in shown)
        self._parent.send(Ask(runs=runs, positions=positions), arrays)
        told, columns = self._parent.hear()
        assert isinstance(told, Told)
        return read_told(told, columns)

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Leave what a run needs to go on from here where the parent takes it from."""
        assert self._states is not None
        file = f"{run}.state"
        write(self._states / file)
        self._parent.send(Kept(run=run, position=position, file=file))
        self._parent.hear()

    def ended(self, run: int, result: TrainResult) -> None:
        """Tell how a run ended."""
        facts = {name: getattr(result, name) for name in OF_RESULT}
        self._parent.send(Ended(run=run, **facts))


@contextmanager
def _or_die() -> Iterator[None]:
    """End this process where its parent turns out to have gone."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    from codonbench.execution import worker  # under its own name, as plugins know it

    worker.main()
