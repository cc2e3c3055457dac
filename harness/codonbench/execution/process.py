"""Start a Python process and exchange messages with it over pipes, in a sandbox or not.

The child process gets three pipes: it reads from the first and writes to the second. A byte on the
third, its lifeline, asks the child to stop, and its end means that the parent process has gone.

What the child writes to standard output and error comes through a fourth pipe and goes to our
standard error, cleaned and up to a limit: it has no terminal to read from or to send commands to.

Messages travel as frames: the header's length, the body's length, and both. The parent never blocks
on reading and gives up on writing after a while, since a child that runs a plugin may do anything.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from codonbench.errors import WorkerError
from codonbench.records.files import printable_lines

if TYPE_CHECKING:
    from codonbench.execution.cgroup import Group
    from codonbench.execution.sandbox import Sandbox

Frame = tuple[bytes, memoryview]
"""A header and a body."""

MOST_HEADER = 1 << 18
"""Bytes of a header; reading it takes many times as many."""

MOST = 1 << 30
"""Bytes of a frame."""

MOST_PRINTED = 1 << 16
"""Bytes that a process may write to standard output and error; of more, it is told, and no more."""

_LENGTHS = struct.Struct("<IQ")
_AT_ONCE = 1 << 16  # bytes; room for as many is made each time, whatever has come
_BYTES_A_SECOND = 1e7  # that a process which is sent something reads at least
_PR_SET_PDEATHSIG = 1
_OUTPUT_WAIT = 0.5  # seconds for what it wrote last to be passed on
_LOOK = 1.0  # seconds between two looks at what a sandbox uses
_PAUSE = 0.05  # seconds between two reads of output that is no longer shown


class Process:
    """A process that `launch` has started.

    Attributes:
        incoming, outgoing: Non-blocking pipes for messages from the process and to it.
            written to the other.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        fds: Sequence[int],
        output: int,
        sandbox: Sandbox | None,
        group: Group | None,
    ) -> None:
        self._popen = popen
        self._sandbox = sandbox
        self._group = group
        self._overuse = ""
        self._closed = threading.Event()
        if sandbox is not None:
            threading.Thread(target=self._watch, args=(sandbox,), daemon=True).start()
        self._passed_on = threading.Thread(target=_pass_on, args=(output,), daemon=True)
        self._passed_on.start()
        self.incoming, self.outgoing, self._lifeline = fds
        self._open = True

    @property
    def pid(self) -> int:
        """Its number, and that of its group; or of what holds its sandbox."""
        return self._popen.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then its exit code, or the negative number of a signal."""
        code = self._popen.poll()
        # bubblewrap exits with 128 and the number of the signal that ended what is inside.
        if self._sandbox is not None and code is not None and code - 128 in set(signal.Signals):
            return 128 - code
        return code

    @property
    def overuse(self) -> str:
        """What it was ended for using too much of; empty where it was not."""
        if not self._overuse and self._sandbox and self._group and self._group.ran_out():
            self._overuse = self._sandbox.limits.too_much_memory
        return self._overuse

    def _watch(self, sandbox: Sandbox) -> None:
        """End it as soon as all that is in its sandbox uses too much."""
        from codonbench.execution.sandbox import too_much

        while not self._closed.wait(_LOOK) and self._popen.poll() is None:
            why = self.overuse or too_much(sandbox, self.pid, memory_too=self._group is None)
            if why:
                self._overuse = why
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
                return

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)

    def terminate(self) -> None:
        """Ask it to stop, which takes effect once it is up."""
        if self._open:
            with suppress(OSError):
                os.write(self._lifeline, b"!")

    def kill(self) -> None:
        """End it at once, and what it has started; let go of it."""
        if self._open:
            self._open = False
            self._closed.set()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
            self._passed_on.join(_OUTPUT_WAIT)
            if self._group is not None:
                self._overuse = self.overuse  # what the group knows goes with it
                self._group.remove()
            for fd in (self.incoming, self.outgoing, self._lifeline):
                os.close(fd)


def launch(
    module: str,
    arguments: Sequence[str] = (),
    *,
    python: str = sys.executable,
    sandbox: Sandbox | None = None,
) -> Process:
    """Run ``python -P -m MODULE HEARS SPEAKS LIFELINE ARGUMENTS``, which ends with its parent.

    It is deaf to this terminal's Ctrl-C, imports nothing from the current folder, and what it
    prints comes to our standard error, as our standard output is for results.

    Args:
        module: Runs as ``__main__``; it calls `attach_to_parent` first.
        arguments: Follow the three file descriptors in its ``sys.argv``.
        python: The interpreter; codonbench must be installed there, too.
        sandbox: Where to hold it; it ends with the thread that starts it then. None for nowhere.

    Raises:
        WorkerError: It cannot be started.
        UsageError: No sandbox can be had here, or it could not read what it is to be shown.
    """
    if os.name == "nt":
        raise WorkerError(
            "worker processes need pipes that Windows lacks; use --workers 0, and for plugins of "
            "others --trust NAME"
        )
    (child_reads, ours), (mine, child_writes), (life, held) = (os.pipe() for _ in range(3))
    output, print_to = os.pipe()
    theirs = (child_reads, child_writes, life)
    command = [python, "-P", "-m", module, *map(str, theirs), *arguments]
    group = None
    try:
        if sandbox is not None:
            command, group = sandbox.command(command), sandbox.group()
        popen = subprocess.Popen(
            command if group is None else group.command(command),
            stdin=subprocess.DEVNULL,
            stdout=print_to,
            stderr=print_to,
            env=_environment() if sandbox is None else sandbox.environment(),
            pass_fds=theirs,
            start_new_session=True,
        )
    except BaseException as error:
        for fd in (ours, mine, held, output):
            os.close(fd)
        if group is not None:
            group.remove()
        if isinstance(error, OSError):
            raise WorkerError(f"no worker process can be started: {error}") from error
        raise
    finally:
        for fd in (*theirs, print_to):
            os.close(fd)
    os.set_blocking(mine, False)
    os.set_blocking(ours, False)
    return Process(popen, (mine, ours, held), output, sandbox, group)


def _pass_on(fd: int) -> None:
    """Write what comes through a pipe to standard error, cleaned, as far as `MOST_PRINTED`."""
    left, line = MOST_PRINTED, b""
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while part := pipe.read(_AT_ONCE):
            if left <= 0:  # slows down the process that prints so much
                time.sleep(_PAUSE)
                continue
            *whole, line = (line + part[:left]).split(b"\n")
            left -= len(part)
            for each in whole:
                _print(each)
            if left <= 0:
                _print(line)
                _print(b"... a worker process prints too much; no more of it is shown")
                line = b""
        if line:
            _print(line)


def _print(line: bytes) -> None:
    with suppress(OSError, ValueError):  # nobody reads it
        sys.stderr.write(printable_lines(line.decode(errors="replace")) + "\n")
        sys.stderr.flush()


def importable() -> list[str]:
    """Return the folders that modules are imported from here, but for the current one."""
    return [path for path in sys.path if Path(path).is_absolute() and Path(path) != Path.cwd()]


def _environment() -> dict[str, str]:
    """Return ours, without what would import from the current folder."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [folder for folder in path if Path(folder).is_absolute()]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(absolute)}


def attach_to_parent() -> tuple[int, int]:
    """In the new process: end with the parent, and let that ask for a stop by SIGTERM.

    Returns:
        The pipes for messages from the parent and to it.
    """
    incoming, outgoing, lifeline = fds = [int(word) for word in sys.argv[1:4]]
    for fd in fds:
        os.set_inheritable(fd, False)  # what a plugin starts has no part in this
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    if sys.platform == "linux":  # even while something here lets no other thread run
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_hold, args=(lifeline,), daemon=True).start()
    return incoming, outgoing


def _hold(lifeline: int) -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    while os.read(lifeline, 1):
        signal.pthread_kill(main_thread, signal.SIGTERM)  # which wakes it, whatever it waits for
    os._exit(1)


def framed(header: bytes, *body: bytes | memoryview) -> bytes:
    """Return a frame as bytes; its body may come in parts."""
    size = sum(memoryview(part).nbytes for part in body)
    return b"".join([_LENGTHS.pack(len(header), size), header, *body])


class Inbox:
    """The frames that come through a pipe from a process that is not trusted.

    Args:
        fd: The pipe, non-blocking; nothing else reads from it.
        most_header, most: Bytes of the longest header and the longest frame that may come.

    Attributes:
        fd, most: The same.
    """

    def __init__(self, fd: int, most_header: int = MOST_HEADER, most: int = MOST) -> None:
        self.fd = fd
        self._most_header = most_header
        self.most = most
        self._come = bytearray()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are whole by now.

        Raises:
            EOFError: The other end is closed, and all that came whole has been yielded.
            OSError: The pipe is broken.
            ValueError: What came is no frame, or too long a one.
        """
        self._take_in()
        while (frame := self._whole()) is not None:
            yield frame

    def wait(self, seconds: float | None = None) -> Frame:
        """Return the next frame, within so many seconds; None for no limit.

        Raises:
            TimeoutError: It was not whole in time.
            EOFError, OSError, ValueError: As `frames` does.
        """
        deadline = _deadline(seconds)
        while (frame := self._whole()) is None:
            if not _ready(self.fd, selectors.EVENT_READ, deadline):
                raise TimeoutError(f"nothing whole within {seconds:g} s")
            self._take_in()
        return frame

    def is_silent(self) -> bool:
        """Return whether there is nothing to be read, not even the end."""
        return not _ready(self.fd, selectors.EVENT_READ, 0)

    @property
    def holds_more(self) -> bool:
        """Whether something has come behind the last frame that was returned."""
        return bool(self._come)

    def _take_in(self) -> None:
        try:
            part = os.read(self.fd, _AT_ONCE)
        except BlockingIOError:
            return
        if not part:
            raise EOFError
        self._come += part

    def _whole(self) -> Frame | None:
        """Take the first frame out, if all of it is there."""
        if len(self._come) < _LENGTHS.size:
            return None
        header, body = _LENGTHS.unpack_from(self._come)
        if header > self._most_header or header + body > self.most:
            raise ValueError(
                f"{header:,} bytes, and {body:,} of arrays; at most {self._most_header:,}, and "
                f"{self.most:,} with arrays"
            )
        start, end = _LENGTHS.size + header, _LENGTHS.size + header + body
        if len(self._come) < end:
            return None
        taken = bytes(memoryview(self._come)[_LENGTHS.size : end])
        del self._come[:end]
        return taken[: start - _LENGTHS.size], memoryview(taken)[start - _LENGTHS.size :]


def send(fd: int, data: bytes, patience: float | None = None) -> None:
    """Send bytes through a pipe.

    Args:
        fd: The pipe, non-blocking where there is a limit of time.
        data: What to send.
        patience: Seconds, beside those that so many bytes take, until they must have been read;
            None for no limit.

    Raises:
        TimeoutError: They are not read in time.
        OSError: The other end is closed.
    """
    own = len(data) / _BYTES_A_SECOND
    rest, deadline = memoryview(data), _deadline(None if patience is None else patience + own)
    while rest:
        if not _ready(fd, selectors.EVENT_WRITE, deadline):
            raise TimeoutError(f"{len(rest)} bytes were not read in time")
        with suppress(BlockingIOError):
            rest = rest[os.write(fd, rest) :]


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _ready(fd: int, event: int, deadline: float | None) -> bool:
    """Return whether a file is ready to be read or written before some time."""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, event)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return bool(selector.select(left))


@contextmanager
def ctrl_c_noted(note: Callable[[], None]) -> Iterator[None]:
    """Call `note` at the first Ctrl-C, and let only the second one interrupt this process.

    Nothing is changed outside the main thread, or where Ctrl-C is ignored, as in the background.
    """

    def first(number: int, frame: FrameType | None) -> None:
        note()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
