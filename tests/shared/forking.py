"""Worker processes forked from one that has imported PyTorch, for tests of what workers do.

To import it takes a worker a second, and a test of a pool little more. A worker that is forked has
the same pipes, group, folder, environment and parent; how one starts is tested in
`tests/execution/test_launch.py`, and by night all of them start as users' do.
"""

import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock

MODULES = ("codonbench.execution.worker", "codonbench.testing.apart")
COMMAND = [sys.executable, "-P", "-m"]
_PR_SET_CHILD_SUBREAPER = 36
_ABOVE = 100  # no pipe of a test has such a number


class Forked:
    """What is asked of a `subprocess.Popen`, of a process that became a child of this one."""

    def __init__(self, pid):
        self.pid, self._code = pid, None

    def poll(self):
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout=None):
        begun = time.monotonic()
        while self.poll() is None:
            if timeout is not None and time.monotonic() - begun > timeout:
                raise subprocess.TimeoutExpired("a worker", timeout)
            time.sleep(0.002)
        return self._code


@contextmanager
def forking():
    """Yield what starts workers as `subprocess.Popen` does, and all other commands by it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", __file__, str(theirs.fileno())]
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lock = Lock()

    def popen(words, *, stdout, env, pass_fds, **options):
        if words[:3] != COMMAND or words[3] not in MODULES or "gpu" in words:
            options |= {"stdout": stdout, "env": env, "pass_fds": pass_fds}
            return subprocess.Popen(words, **options)
        asked = {"words": words[3:], "env": env, "cwd": str(Path.cwd()), "fds": pass_fds}
        message = json.dumps({**asked, "parent": os.getpid()}).encode()
        with lock, adopting():
            socket.send_fds(ours, [message], [stdout, *pass_fds])
            return Forked(int(ours.recv(32)))

    with subprocess.Popen(command, env=bare, pass_fds=[theirs.fileno()]), ours:
        theirs.close()
        yield popen


@contextmanager
def adopting():
    """Become the parent of processes that lose theirs."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


def serve(asks):
    """Fork a worker for each message, and answer with its number once it has its new parent."""
    for name in (*MODULES, "codonbench.training.determinism", "codonbench.engines.train"):
        import_module(name)
    while True:
        message, fds, _, _ = socket.recv_fds(asks, 1 << 20, 16)
        if not message:
            return
        if (between := os.fork()) == 0:
            if os.fork() == 0:
                become(asks, fds, **json.loads(message))
            os._exit(0)
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)


def become(asks, given, words, env, cwd, fds, parent):
    """Be the worker that was asked for."""
    code = 1
    try:
        for _ in range(10_000):
            if os.getppid() == parent:
                break
            time.sleep(0.001)
        asks.send(str(os.getpid()).encode())
        asks.close()
        os.setsid()
        printed, *pipes = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE) for fd in given]
        os.closerange(3, _ABOVE)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, place in [(nothing, 0), (printed, 1), (printed, 2), *zip(pipes, fds, strict=True)]:
            os.dup2(fd, place)
        os.closerange(_ABOVE, _ABOVE + 16)
        if nothing not in fds:
            os.close(nothing)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
        module = import_module(words[0])
        sys.argv = [module.__file__, *words[1:]]
        module.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
