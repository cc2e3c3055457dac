"""Share a job out to worker processes, which stay for more, and collect its runs as they end.

`WorkerPool` starts and keeps workers. A `RunGroup` is some runs of a job in one of them: it answers
the worker's messages by the referees of these runs.
"""

from __future__ import annotations

import math
import selectors
import shutil
import signal
import stat
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import ValidationError

from codonbench.contracts.run_record import TorchFacts
from codonbench.errors import OutOfTurnError, PluginError, UsageError, WorkerError
from codonbench.execution.prepare import Job
from codonbench.execution.process import (
    MOST,
    MOST_HEADER,
    Frame,
    Inbox,
    Process,
    ctrl_c_noted,
    importable,
    launch,
    send,
)
from codonbench.execution.run import TOGETHER, Refusals, completed, referees_of, requests_of
from codonbench.execution.worker import (
    OF_RESULT,
    Ask,
    Began,
    Ended,
    File,
    Hello,
    Kept,
    Message,
    Reply,
    Served,
    Taken,
    ToWorker,
    TrainOrder,
    Unusable,
    pack,
    unpack,
)
from codonbench.plugins.discovery import file_modules
from codonbench.plugins.entries import ModelEntry
from codonbench.protocols.referee import Referee, RefereeGroup, Watch
from codonbench.records.files import printable, printable_lines, visible
from codonbench.records.unfinished import Checkpoints, OwnFolder
from codonbench.training.request import TrainRequest, TrainResult

if TYPE_CHECKING:
    from codonbench.execution.sandbox import Sandbox

GRACE = 10.0
"""Seconds for a worker to return what it has once asked to stop, and then to end."""

TO_BEGIN = 60.0
"""Seconds beyond a run's own that a worker has until the run begins, where those are limited."""

_PATIENCE = 10.0  # seconds for a worker to read an answer, or for its end to be known
_TO_GREET = 600.0  # seconds for a worker to come up, which it does once it has imported PyTorch
_STATES = 1.5e7  # bytes of states kept a second: a disk takes more, but other processes use it
_TICK = 0.2  # seconds between two looks at the clock

Launch = Callable[[Path | None], Process]
"""Starts a worker that may write to a folder."""


def launch_worker(
    states: Path | None = None,
    *,
    describe: bool = False,
    gpu: bool = False,
    sandbox: Sandbox | None = None,
    python: Path | None = None,
) -> Process:
    """Start a worker.

    Args:
        states: Folder in which it may keep states of runs.
        describe: Whether it only describes plugins, without importing PyTorch.
        gpu: Whether to describe the GPU, which begins to use it.
        sandbox: Where to hold it; None for nowhere.
        python: The interpreter; this one where it is None.
    """
    held = None if sandbox is None else replace(sandbox, states=states, gpu=gpu)
    by = {} if python is None else {"python": str(python)}
    arguments = ["describe"] if describe else ["gpu"] if gpu else []
    return launch("codonbench.execution.worker", arguments, sandbox=held, **by)


class WorkerProcess:
    """A worker as its parent sees it.

    Args:
        launch: Starts it.
        beside: Folder in which to make one for states of runs; None for none.

    Attributes:
        process: The process itself.
        facts: What PyTorch says there; None until it has greeted, and where it only describes.
        owner: Whose plugin it has loaded, see `codonbench.plugins.entries.ModelEntry.owner`; None
            while it has loaded none.
        states: The folder of states.
    """

    def __init__(self, launch: Launch, beside: Path | None = None) -> None:
        self.facts: TorchFacts | None = None
        self._up = False
        self.owner: str | None = None
        self._folder: OwnFolder | None = None
        if beside is not None:
            with suppress(OSError):  # storing the record will fail, too, and say so
                self._folder = OwnFolder(beside)
        self.states = None if self._folder is None else self._folder.path
        self.process = launch(self.states)
        self._inbox = Inbox(self.process.incoming)

    @property
    def ended_with_open_pipe(self) -> bool:
        """Whether it has ended while a process that it has started still holds its pipe open."""
        return self.process.exitcode is not None and self._inbox.is_silent()

    def answer(self, message: ToWorker) -> None:
        """Send the answer it waits for.

        Raises:
            OutOfTurnError: It has sent another message instead.
            OSError: It does not listen.
        """
        if self._inbox.holds_more:
            raise OutOfTurnError("does not wait for an answer")
        self.send(message)

    def send(self, message: ToWorker) -> None:
        """Send a message.

        Raises:
            OSError: It does not listen.
        """
        send(self.process.outgoing, pack(message), _PATIENCE)

    def expect(self, size: int) -> None:
        """Accept messages with arrays of so many bytes together at most, to bound memory here."""
        self._inbox.most = min(MOST_HEADER + size, MOST)

    def messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived; its first, `Hello`, is noted.

        Raises:
            OutOfTurnError: It sends `Hello` twice.
            ValueError: It sent what is no message.
            EOFError, OSError: It has hung up.
        """
        yield from map(self._noted, self._inbox.frames())

    def wait(self, seconds: float | None) -> Message:
        """Return its next message, within so many seconds; None for no limit.

        Raises:
            TimeoutError: It said nothing whole in time.
            OutOfTurnError, ValueError, EOFError, OSError: As `messages` does.
        """
        return self._noted(self._inbox.wait(seconds))

    def wait_until_up(self) -> TorchFacts | None:
        """Wait until it is up; return its facts on PyTorch, if it is to train.

        Raises:
            WorkerError: It does not come up.
        """
        with suppress(EOFError, OSError, ValueError):
            if not self._up:
                self.wait(_TO_GREET)
        if not self._up:
            self.process.join(1.0)
            raise WorkerError(f"a worker process {self.how_it_ended()} before it came up")
        return self.facts

    def ask(
        self, question: ToWorker, up: Callable[[], None], seconds: float | None = None
    ) -> Message:
        """Return its answer to a question about a plugin, which it loads for that.

        Args:
            question: The question.
            up: Called once it has come up.
            seconds: How long it may take, once it has come up; None for as long as it takes.

        Raises:
            PluginError: It does not answer.
            WorkerError: It does not come up.
        """
        self.wait_until_up()
        up()
        self.expect(0)
        try:
            self.answer(question)
            return self.wait(seconds)
        except TimeoutError:
            raise PluginError(f"does not load within {seconds:g} s") from None
        except (EOFError, OSError):
            self.process.join(_PATIENCE)
            raise PluginError(f"its process {self.how_it_ended()} as it was loaded") from None
        except (OutOfTurnError, ValueError) as error:
            why = printable(_misfit(error))
            raise PluginError(f"sent what is no answer as it was loaded: {why}") from None

    def _noted(self, frame: Frame) -> Message:
        message = unpack(frame)
        if isinstance(message, Hello):
            if self._up:
                raise OutOfTurnError("greets twice")
            self._up, self.facts = True, message.facts
        return message

    def end(self) -> None:
        """End it at once, and remove what it has kept."""
        self.process.kill()
        if self._folder is not None:
            self._folder.remove()

    def how_it_ended(self) -> str:
        """Return ``was killed by SIGSEGV`` or ``ended with exit code 3``."""
        if self.process.overuse:
            return f"was ended: it {self.process.overuse}"
        code = self.process.exitcode
        if code is None:
            return "no longer answers"
        if code < 0:
            with suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
            return f"was killed by signal {-code}"
        return f"ended with exit code {code}"


class RunGroup:
    """Some runs of one model in one worker, which is idle or still coming up.

    Args:
        job: The runs.
        watch: Called as each run begins.
        checkpoints: Checkpoints of the runs; None for none.
        worker: The worker that trains.
        states_inside: The worker's folder of states, as it knows it; None where it is no other.

    Attributes:
        worker: The same.
        served: Whether the worker is done.
        in_order: Whether no run of it failed, so that it may be given more.
        gone: Whether it has ended, or has been ended.
        serves: Whether the model has answered or been trained, so that it can serve the task.
    """

    def __init__(
        self,
        job: Job,
        watch: Watch,
        checkpoints: Checkpoints | None,
        worker: WorkerProcess,
        states_inside: Path | None = None,
    ) -> None:
        self.worker = worker
        self._job = job
        self._checkpoints = checkpoints
        self._watch = watch
        self._states_inside = states_inside
        self._group: RefereeGroup | None = None
        self._began: dict[int, float] = {}
        self._kept: dict[int, float] = {}
        self._saved: dict[int, float] = {}
        self._ended: set[int] = set()
        self._anew: list[Job] = []
        self._overdue: float | None = None
        self._stop_time: float | None = None
        self._why = ""
        self.serves = self.served = self.gone = False
        self.in_order = True
        self._idle_since = time.monotonic()
        worker.owner = job.entry.owner
        if worker.facts is not None:
            try:
                self._order(worker.facts)
            except OSError:
                self._end_worker(patience=_PATIENCE)

    def receive(self) -> Iterator[tuple[Referee, TrainResult]]:
        """Process the messages that have arrived; yield the runs that ended.

        Raises:
            UsageError: The model cannot serve this task.
        """
        try:
            for message in self.worker.messages():
                if self.gone:
                    return
                if isinstance(message, Ended) and message.anew:
                    self._train_anew(message)
                elif isinstance(message, Ended):
                    yield self._run_ended(message)
                else:
                    self._answer(message)
        except OutOfTurnError as error:
            self._end_worker(f"sent a message out of turn: {error}")
        except ValueError:
            self._end_worker("sent what is no message")
        except (EOFError, OSError):  # it is ending, which on a busy machine takes a while
            self._end_worker(patience=_PATIENCE)

    @property
    def _referees(self) -> RefereeGroup:
        if self._group is None:
            raise OutOfTurnError("sent a message before its order")
        return self._group

    def _order(self, facts: TorchFacts) -> None:
        """Send the order, now that it is known which machine the runs are made on."""
        job, kept = self._job, self._checkpoints
        inside = self._states_inside or self.worker.states
        self._group = referees_of(job, self._watch, kept, facts)
        order = TrainOrder(
            path=tuple(importable()),
            files=_files_of(job.entry),
            origin=job.entry.origin,
            model=job.entry.name,
            config=job.config.model_dump_json(),
            requests=tuple(map(self._with_state, requests_of(job, self._group))),
            every=None if kept is None or self.worker.states is None else kept.every,
            states=None if self.worker.states is None else inside,
        )
        referees = self._group.referees
        self.worker.expect(sum(referee.most_shown for referee in referees))
        self.worker.send(order)
        for referee in referees:  # while it builds its modules
            referee.setup.stream.epoch(0)

    def _with_state(self, request: TrainRequest) -> TrainRequest:
        """Copy the file that a run continues from to the worker's folder of states."""
        if request.state is None or self.worker.states is None:
            return replace(request, start=0, state=None)
        file = self.worker.states / f"{request.run}.before"
        file.unlink(missing_ok=True)
        try:
            file.hardlink_to(request.state)
        except OSError:  # as on FAT and some network mounts
            shutil.copyfile(request.state, file)
        return replace(request, state=(self._states_inside or file.parent) / file.name)

    def _answer(self, message: Message) -> None:
        match message:
            case Hello(facts=TorchFacts() as facts):
                self._order(facts)
            case Unusable(error=error, letters=letters):
                if not self.serves:
                    raise UsageError(printable_lines(error), letters=letters)
                self._end_worker(f"refuses to go on: {visible(error)}")
            case Began(run=run):
                self._referees.begin(self._known(run))
                self._began.setdefault(run, time.monotonic())
            case Kept():
                self._keep(message)
            case Ask(shown=shown):
                runs = [self._known(each.run) for each in shown]
                arrays = [each.outputs for each in shown if each.outputs is not None]
                # No outputs are owed for a split without items.
                self.serves |= any(each.position for each in shown) or any(map(len, arrays))
                if len({*runs}) < len(runs) or any(a.dtype != np.float32 for a in arrays):
                    raise OutOfTurnError("names a run twice, or its outputs are not float32")
                self._reply(Reply(instructions=tuple(self._referees.instruct(shown))))
                self._referees.notify(shown)  # while it goes on
            case Served() if not self._unfinished():
                self.served = True
            case _:
                raise OutOfTurnError(f"says {message.kind!r}")

    def _keep(self, message: Kept) -> None:
        if self.worker.states is None:
            raise OutOfTurnError("sends a state that was not requested")
        source = self.worker.states / message.file

        def move(target: Path) -> None:
            source.replace(target)
            found = target.lstat()  # out of its reach now
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != size:
                raise OutOfTurnError(f"keeps {message.file}, which is no file of its own")

        if not source.is_file():
            raise OutOfTurnError(f"keeps {message.file}, which is not there")
        run, now = self._known(message.run), time.monotonic()
        every = None if self._checkpoints is None else self._checkpoints.every
        if now - self._kept.get(run, -math.inf) < (every or 0) / 2:  # others wait for the disk
            raise OutOfTurnError("sends its state too early")
        self._kept[run] = now
        size = source.stat().st_size
        rest = size * len(self._job.run_specs) / _STATES
        if now - self._saved.get(run, self._began.get(run, now)) < rest:
            source.unlink()
        else:
            self._saved[run] = now
            self._referees.keep(run, message.position, move)
        self._reply(Taken())

    def _reply(self, message: ToWorker) -> None:
        """Answer the worker; if it was asked to stop, it may have ended its runs instead."""
        try:
            self.worker.answer(message)
        except (OutOfTurnError, OSError):
            if self._stop_time is None:
                raise

    def _known(self, run: int) -> int:
        """Return the number of a run that is still to come or under way."""
        if not 0 <= run < len(self._job.run_specs) or run in self._ended:
            raise OutOfTurnError(f"sent a message about run {run}")
        return run

    def _train_anew(self, message: Ended) -> None:
        """Leave a run to another worker: this one has its targets, or its state."""
        kept = self._referees.referees[self._known(message.run)].kept
        if self._job.plain_because and not (kept and kept.position):
            raise OutOfTurnError("is to train anew what the plain loop trains")
        self._referees.forget(self._known(message.run))
        self._anew.append(self._job.anew(message.run, visible(message.anew)))
        self._ended.add(message.run)
        self.in_order = False

    def _run_ended(self, message: Ended) -> tuple[Referee, TrainResult]:
        referee = self._referees.referees[self._known(message.run)]
        status, error = message.status, message.error
        if status == "done" and not referee.over:
            raise OutOfTurnError("ends before its end")
        if status in ("timeout", "diverged"):  # the parent decides on these
            raise OutOfTurnError(f"says {status}")
        if status == "interrupted" and self._stop_time is None:
            status, error = "error", "interrupted itself"
        self.in_order = self.in_order and status == "done"
        facts = {name: getattr(message, name) for name in OF_RESULT}
        return self._collected(
            message.run, TrainResult(**facts | {"status": status, "error": error})
        )

    def _collected(self, run: int, result: TrainResult) -> tuple[Referee, TrainResult]:
        self._ended.add(run)
        self._idle_since = time.monotonic()
        group = self._group or referees_of(self._job, self._watch)
        return completed(group, run, result, self.worker.facts)

    def refused(self, why: str) -> None:
        """End the runs that are left in error: the model serves the task with other seeds."""
        self._end_worker(f"refuses this seed: {visible(why)}")

    def check_time(self, timeout: float | None) -> None:
        """End the worker if a run has been going on for too long, or if it ended unheard."""
        if self.gone or self.served:
            return
        now, unfinished = time.monotonic(), self._unfinished()
        running = [t for run, t in self._began.items() if run not in self._ended]
        idle = 0.0 if running else now - self._idle_since
        stopping = 0.0 if self._stop_time is None else now - self._stop_time
        if stopping > GRACE or (not unfinished and idle > GRACE):
            self._end_worker()
        elif timeout is not None and any(now - t > timeout for t in running):
            self._overdue = timeout
            self._end_worker()
        elif timeout is not None and unfinished and idle > timeout + TO_BEGIN:
            self._overdue = timeout + TO_BEGIN
            self._began[unfinished[0]] = self._idle_since  # it is that one's turn
            self._end_worker()
        elif self.worker.ended_with_open_pipe:
            self._end_worker()

    def ask_to_stop(self) -> None:
        """Ask the worker to end its runs and return what it has."""
        if self._stop_time is None and not self.gone:
            self._stop_time = time.monotonic()
            self.worker.process.terminate()

    def _end_worker(self, why: str = "", patience: float = 1.0) -> None:
        if not self.gone:
            self.gone = True
            self.worker.process.join(patience)
            self._why = why or self.worker.how_it_ended()
            self.worker.end()

    def cut_short(self) -> Iterator[tuple[Referee, TrainResult]]:
        """Yield the runs that the worker's end cut short, but for those begun anew elsewhere."""
        for run in self._unfinished():
            if run in self._begun_anew() or (
                self._stop_time is not None and run not in self._began
            ):
                continue
            at = 0 if self._group is None else self._group.referees[run].position
            where = f"at {at:,} {self._job.task.counted_in}"
            if self._stop_time is not None:
                result = TrainResult(status="interrupted")
            elif self._overdue is not None:
                error = f"not over after {self._overdue:g} seconds, {where}"
                result = TrainResult(status="timeout", error=error)
            else:
                error = f"the worker process {self._why}, {where}"
                result = TrainResult(status="error", error=error)
            yield self._collected(run, result)

    def left_over(self) -> list[Job]:
        """Return the runs that other workers are to begin anew, a job each."""
        others = [
            replace(self._job, run_specs=(self._job.run_specs[run],)) for run in self._begun_anew()
        ]
        return [*self._anew, *others]

    def _unfinished(self) -> list[int]:
        return [run for run in range(len(self._job.run_specs)) if run not in self._ended]

    def _begun_anew(self) -> list[int]:
        """Return the unfinished runs that are tried again: another may have ended the worker.

        Not a run that was alone or overdue, and none after Ctrl-C.
        """
        unfinished = self._unfinished()
        if self._stop_time is not None or len(self._job.run_specs) == 1:
            return []
        if self._overdue is not None:
            return [run for run in unfinished if run not in self._began]
        return unfinished


class WorkerPool:
    """Worker processes that train; they end with `close`, with this object, or with this process.

    A worker that has served is given more work of the same distribution, where that is trusted. One
    that has loaded a plugin that is not trusted is ended. No worker loads plugins of two owners.

    Args:
        size: Number of workers; by default one for each core that the runs' threads leave.
        timeout: Most seconds of a run; None for no limit.
        states: A folder in which workers keep states of runs on their way to the checkpoints,
            best on the same file system; None for no checkpoints.
        gpu: Whether workers may use a GPU.
        sandbox: Where to hold them; None for nowhere.
        launch: Starts a worker; by default from the other arguments.
        python_of: Returns the interpreter of an owner's plugins; None for this one.

    Attributes:
        interrupted: Whether Ctrl-C has been pressed.
    """

    def __init__(
        self,
        size: int,
        timeout: float | None = None,
        states: Path | None = None,
        *,
        gpu: bool = False,
        sandbox: Sandbox | None = None,
        launch: Launch | None = None,
        python_of: Callable[[str], Path | None] = lambda owner: None,
    ) -> None:
        self.size = size
        self._timeout = timeout
        self._states = states
        self._states_inside = None if sandbox is None else sandbox.states_inside
        self._launch_own = partial(launch_worker, gpu=gpu, sandbox=sandbox)
        self._launch = launch or self._launch_own
        self._python_of = python_of
        self._idle: list[WorkerProcess] = []
        self._end = weakref.finalize(self, _end_all, self._idle)
        self.interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that are left."""
        _end_all(self._idle)

    def start(self, count: int) -> None:
        """Start workers, so that they import PyTorch while this process does other things."""
        while len(self._idle) < min(count, self.size):
            self._idle.append(self._new())

    def facts(self) -> TorchFacts:
        """Wait until a worker is up; return its facts on PyTorch.

        Raises:
            WorkerError: It does not come up.
        """
        self.start(1)
        facts = self._idle[0].wait_until_up()
        assert facts is not None
        return facts

    def ask(
        self, owner: str, question: ToWorker, up: Callable[[], None], seconds: float | None = None
    ) -> Message:
        """Return the answer to a question about an owner's plugins; a worker of theirs gives it.

        That one is kept for their runs, unless it has no answer.

        Raises:
            PluginError, WorkerError: As `WorkerProcess.ask` does.
        """
        worker = self._worker_for(owner)
        worker.owner = owner
        try:
            answer = worker.ask(question, up, seconds)
        except BaseException:
            worker.end()
            raise
        self._idle.append(worker)
        return answer

    def train(
        self, job: Job, watch: Watch, checkpoints: Checkpoints | None = None
    ) -> Iterator[tuple[Referee, TrainResult]]:
        """Train the model once for each spec; yield each as it ends.

        A worker that dies ends its run in status ``error``; where it had several under way,
        each is begun again in a worker of its own, so that one cannot take the others along.
        One that overruns ends in ``timeout``. After Ctrl-C those under way end in
        ``interrupted``, and no more follow.

        Raises:
            UsageError: The model cannot serve this task.
        """
        recorded = False
        with ctrl_c_noted(self._note_ctrl_c):
            for referee, result in self._trained(job, watch, checkpoints):
                recorded = recorded or result.status == "interrupted"
                yield referee, result
        if self.interrupted and not recorded:
            raise KeyboardInterrupt

    def _trained(
        self, job: Job, watch: Watch, checkpoints: Checkpoints | None
    ) -> Iterator[tuple[Referee, TrainResult]]:
        """Keep as many workers busy as there may be; yield each run as it ends."""
        waiting = deque(_shared_out(job, self.size, checkpoints))
        busy: list[RunGroup] = []
        refusals, refused = Refusals(job), list[RunGroup]()
        if job.primary is not None:  # while the workers come up
            job.primary.get_ready(job.dataset.spec, job.dataset.targets)
        try:
            while busy or (waiting and not self.interrupted):
                while waiting and len(busy) < self.size and not self.interrupted:
                    part = waiting.popleft()
                    worker = self._worker_for(part.entry.owner)
                    inside = self._states_inside
                    busy.append(RunGroup(part, watch, checkpoints, worker, inside))
                if self.interrupted:
                    for group in busy:
                        group.ask_to_stop()
                for group in _with_messages([group for group in busy if not group.gone]):
                    try:
                        yield from group.receive()
                    except UsageError as error:
                        refusals.serves |= any(other.serves for other in busy)
                        refusals.weigh(error)
                        group.refused(str(error))
                        if not group.left_over():
                            busy.remove(group)
                            refusals.note(error)
                            refused.append(group)
                for group in list(busy):
                    group.check_time(self._timeout)
                    refusals.serves |= group.serves
                    if group.gone or group.served:
                        busy.remove(group)
                        # An untrusted plugin could keep targets of a seed for another job.
                        if group.served and group.in_order and job.entry.untrusted is None:
                            self._idle.append(group.worker)
                        else:
                            group.worker.end()
                        yield from group.cut_short()
                        waiting.extendleft(reversed(group.left_over()))
            if not self.interrupted:
                refusals.settle()
            for group in refused:
                yield from group.cut_short()
        finally:
            for group in busy:
                group.worker.end()

    def _worker_for(self, owner: str) -> WorkerProcess:
        """Return a worker that is idle or coming up and has loaded no other owner's plugin.

        One that has loaded this owner's is preferred.
        """
        python = self._python_of(owner)
        for worker in sorted(self._idle, key=lambda worker: worker.owner != owner):
            if worker.process.exitcode is not None:
                self._idle.remove(worker)
                worker.end()
            elif worker.owner == owner or (worker.owner is None and python is None):
                self._idle.remove(worker)
                return worker
        _end_all(self._idle)
        return self._new(python)

    def _new(self, python: Path | None = None) -> WorkerProcess:
        """Start a worker, by another interpreter where one is given."""
        started = self._launch if python is None else partial(self._launch_own, python=python)
        return WorkerProcess(started, self._states)

    def _note_ctrl_c(self) -> None:
        self.interrupted = True


def _files_of(entry: ModelEntry) -> tuple[File, ...]:
    """Return name and path of the module of a model's, where that is a file and not installed."""
    if entry.untrusted is None:
        return tuple(file for file in file_modules() if file[0] == entry.origin.module)
    if not entry.untrusted.is_one_file:
        return ()
    return ((entry.origin.module, Path(entry.untrusted.file)),)


def _end_all(workers: list[WorkerProcess]) -> None:
    while workers:
        workers.pop().end()


def _with_messages(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return those whose worker has spoken, after a while at most."""
    with selectors.DefaultSelector() as selector:
        for group in groups:
            selector.register(group.worker.process.incoming, selectors.EVENT_READ, group)
        return [key.data for key, _ in selector.select(_TICK)]


def _reveals_targets(job: Job) -> bool:
    """Return whether one run gets targets that another run of the job must not know.

    The other is tested or selected on them, or is to learn from fewer examples. Not where the
    evaluation set is all there is: there each seed permutes its targets.
    """
    spec, splits = job.dataset.spec, job.dataset.splits
    drawn = spec.train_size and not all(len(splits.get(n, ())) for n in ("validation", "test"))
    parts = [part for each in job.run_specs for part in (each.fold, each.subset)]
    parted = any(part is not None for part in parts)
    return bool(drawn or parted) and spec.evaluation is None


def _shared_out(job: Job, size: int, checkpoints: Checkpoints | None) -> list[Job]:
    """Return a job in parts, of as equal size as can be, at most `TOGETHER` specs each.

    An untrusted plugin gets a worker for each run where one run is told targets, or is handed a
    state, that would help another.
    """
    rounds = math.ceil(len(job.run_specs) / size / TOGETHER)
    if job.entry.untrusted is not None:
        resumed = checkpoints is not None and any(map(checkpoints.has, job.run_specs))
        if resumed or _reveals_targets(job):
            rounds = len(job.run_specs)
    parts = min(rounds * size, len(job.run_specs))
    bounds = [len(job.run_specs) * i // parts for i in range(parts + 1)]
    return [replace(job, run_specs=job.run_specs[a:b]) for a, b in pairwise(bounds)]


def _misfit(error: Exception) -> str:
    """Return how a message differs from what is expected."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
