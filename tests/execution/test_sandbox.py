"""What a process in a sandbox can reach: nothing. Each test has one try, and really tries."""

import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from uuid import uuid4

import pytest

from codonbench.errors import UsageError
from codonbench.execution import cgroup
from codonbench.execution import sandbox as sandboxes
from codonbench.execution.process import Inbox, framed, launch, send
from codonbench.execution.sandbox import Limits, Sandbox, unavailable

needs_sandbox = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

MIB = 2**20

PRELUDE = """
import json, os, signal, socket, sys, time
from pathlib import Path
from codonbench.execution.process import Inbox, framed, send, attach_to_parent

pipes = list(map(int, sys.argv[1:4]))
hears, speaks = attach_to_parent()
inbox = Inbox(hears)
del sys.argv[1:4]
sys.argv.insert(1, "")


def tell(what):
    send(speaks, framed(json.dumps(what).encode()))


def hear():
    return inbox.wait()[0]


def attempt(do):
    try:
        return repr(do())
    except Exception as error:
        return type(error).__name__
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is shown and imported from."""
    folder = tmp_path / "shown"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(folder)
    return folder


class Inside:
    """A process in a sandbox, and what it says."""

    def __init__(self, process):
        self.process = process
        self._inbox = Inbox(process.incoming)

    def heard(self):
        return json.loads(self._inbox.wait(60)[0])

    def say(self, words):
        send(self.process.outgoing, framed(words), 10)


@pytest.fixture
def begin(folder):
    """Start a piece of code in a sandbox; return the process and what it says."""
    begun = []

    def begin(code, *arguments, **options):
        (folder / "inside.py").write_text(PRELUDE + textwrap.dedent(code))
        sandbox = Sandbox(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
        process = launch("inside", [str(word) for word in arguments], sandbox=sandbox)
        begun.append(process)
        return process, Inside(process)

    yield begin
    for process in begun:
        process.kill()


@pytest.fixture
def ask(begin):
    """Run a piece of code in a sandbox; return what it tells."""

    def ask(code, *arguments, **options):
        process, inside = begin(code, *arguments, **options)
        told = inside.heard()
        process.join(60)
        assert process.exitcode == 0
        return told

    return ask


def marked(mark):
    """The processes of this machine that have been started with an argument."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def eventually(happens, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


# What it can do


@needs_sandbox
def test_torch_works_inside_and_the_pipe_goes_both_ways(begin):
    _, ours = begin("""
        import torch
        import codonbench.contracts
        weight = torch.ones(3, requires_grad=True)
        (weight * float(hear())).sum().backward()
        tell(weight.grad.tolist())
    """)
    ours.say(b"2.5")
    assert ours.heard() == [2.5, 2.5, 2.5]


@needs_sandbox
def test_it_reads_what_it_is_shown_and_writes_to_its_own_tmp(ask, tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text("a plugin")
    read, home, seen = ask(
        """
        seen = os.listdir("/tmp")
        Path.home().joinpath("left-by-the-sandbox").write_text("x")
        tell([Path(sys.argv[2]).read_text(), str(Path.home()), seen])
        """,
        plugin,
        readable=[plugin],
    )
    assert (read, home) == ("a plugin", "/tmp")
    assert not Path("/tmp/left-by-the-sandbox").exists()
    on_the_way = {Path(p).parts[2] for p in (*sys.path, sys.prefix, plugin) if "/tmp/" in str(p)}
    assert set(seen) <= on_the_way


@needs_sandbox
def test_standard_output_is_kept_for_results(begin, capfd):
    process, _ = begin("print('to stdout'); tell(sys.stdin.read())")
    process.join()
    assert capfd.readouterr() == ("", "to stdout\n")


# Files


@pytest.fixture
def secrets(tmp_path, folder, monkeypatch):
    """Files that are not to be seen: in a results folder, in home, and below a shown folder."""
    home, results, task = tmp_path / "home", tmp_path / "results", folder / "task_package"
    for place in (home, results, task):
        place.mkdir()
        (place / "secret.txt").write_text("GCU is alanine")
    (folder / "secret.txt").write_text("GCU is alanine")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(results)
    return {"home": home, "results": results, "task": task, "file": folder / "secret.txt"}


@needs_sandbox
@pytest.mark.parametrize("where", ["home", "results", "task"])
def test_it_cannot_read_what_it_is_not_shown(ask, secrets, where):
    told = ask(
        "tell(attempt(Path(sys.argv[2]).read_text))",
        secrets[where] / "secret.txt",
        hidden=[secrets["task"]],
    )
    assert told == "FileNotFoundError"


@needs_sandbox
def test_a_hidden_file_cannot_be_read_and_the_one_beside_it_can(ask, secrets, folder):
    told = ask(
        "tell([attempt(Path(name).read_text) for name in sys.argv[2:]])",
        secrets["file"],
        secrets["task"] / "secret.txt",
        hidden=[secrets["file"]],
    )
    assert told[0] == "PermissionError"
    assert "alanine" in told[1]


@needs_sandbox
def test_what_is_hidden_stays_hidden_where_it_is_asked_to_be_shown(ask, secrets):
    within = secrets["results"] / "secret.txt"
    for hidden in ([secrets["results"]], [within], [within, secrets["results"], within]):
        told = ask(
            "tell(attempt(Path(sys.argv[2]).read_text))",
            secrets["results"] / "secret.txt",
            readable=[secrets["results"]],
            hidden=hidden,
        )
        assert told in ("FileNotFoundError", "PermissionError")


@needs_sandbox
def test_no_link_leads_to_what_is_hidden(ask, secrets, tmp_path):
    to_it, above = tmp_path / "to_it", tmp_path / "above"
    to_it.symlink_to(secrets["task"])
    above.symlink_to(secrets["task"].parent)
    told = ask(
        "tell([attempt(Path(name).read_text) for name in sys.argv[2:]])",
        above / "secret.txt",
        above / "task_package" / "secret.txt",
        to_it / "secret.txt",
        readable=[to_it, above],
        hidden=[secrets["task"]],
    )
    assert "alanine" in told[0]
    assert told[1:] == ["FileNotFoundError"] * 2


@needs_sandbox
def test_neither_the_working_directory_nor_tmp_is_shown_for_being_imported_from(
    ask, secrets, monkeypatch
):
    for place in ("", str(secrets["results"]), str(secrets["home"]), "/tmp", "/"):
        monkeypatch.syspath_prepend(place)
    told = ask(
        "tell([attempt(Path(name).read_text) for name in sys.argv[2:]])",
        secrets["results"] / "secret.txt",
        secrets["home"] / "secret.txt",
    )
    assert told == ["FileNotFoundError"] * 2


@needs_sandbox
def test_it_can_write_nowhere_but_in_tmp(ask, folder):
    """Tried in every folder that can be reached in three steps, and in those it is shown."""
    told = ask(
        """
        def folders(place, depth):
            yield place
            if depth:
                for inner in place.iterdir():
                    if inner.is_dir() and not inner.is_symlink():
                        try:
                            yield from folders(inner, depth - 1)
                        except OSError:
                            pass

        written = []
        tried = [*folders(Path("/"), 3), *map(Path, sys.path), Path(sys.prefix)]
        for place in tried:
            if place.is_relative_to("/proc"):
                continue
            try:
                (place / "written").touch()
                written.append(str(place))
            except OSError:
                pass
        tell([len(tried), written])
        """
    )
    assert told[0] > 100
    shared = {str(Path(p)) for p in told[1]} - {"/tmp", "/dev/shm"}
    assert all(Path(place).is_relative_to("/tmp") for place in shared)
    assert not any((Path(place) / "written").exists() for place in told[1])


@needs_sandbox
def test_tmp_holds_only_so_much(ask):
    told = ask(
        """
        def fill(place):
            for number in range(8):
                Path(place, str(number)).write_bytes(bytes(2**20))

        tell([attempt(lambda: fill("/tmp")), attempt(lambda: fill("/dev/shm"))])
        """,
        limits=Limits(scratch=4 * MIB),
    )
    assert told == ["OSError", "OSError"]


@needs_sandbox
def test_states_can_be_written_to_one_folder_and_are_here_then(ask, tmp_path):
    states = tmp_path / "states"
    states.mkdir()
    told = ask(
        """
        Path("/states/0.state").write_bytes(bytes(2**20))
        tell([os.listdir("/states"), attempt(lambda: Path("/states").rmdir())])
        """,
        states=states,
        hidden=[states],
    )
    assert told == [["0.state"], "OSError"]
    assert (states / "0.state").stat().st_size == 2**20


# Network, processes, environment, rights


@needs_sandbox
def test_it_reaches_no_socket_of_this_machine_and_resolves_no_name(ask, tmp_path):
    name = f"codonbench-{uuid4()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        told = ask(
            """
            def abstract():
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect("\\0" + sys.argv[3])

            tell([
                attempt(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5)),
                attempt(abstract),
                attempt(lambda: socket.create_connection(("192.0.2.1", 80), 5)),
                attempt(lambda: socket.getaddrinfo("pypi.org", 443)),
            ])
            """,
            server.getsockname()[1],
            name,
        )
    assert told == ["ConnectionRefusedError", "ConnectionRefusedError", "OSError", "gaierror"]


@needs_sandbox
def test_it_sees_no_process_but_its_own(ask):
    told = ask("tell([os.getpid(), sorted(int(p.name) for p in Path('/proc').glob('[0-9]*'))])")
    assert told == [2, [1, 2]]


@needs_sandbox
def test_tokens_in_the_environment_do_not_get_in(ask, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "of-a-value-to-look-for")
    for name in ("CODONBENCH_SALT", "TORCH_TOKEN", "NVIDIA_TOKEN", "LC_TOKEN", "OMP_TOKEN"):
        monkeypatch.setenv(name, "of-a-value-to-look-for")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment, first = ask("""
        tell([dict(os.environ), Path("/proc/1/environ").read_text() if os.access(
            "/proc/1/environ", os.R_OK) else ""])
    """)
    assert "of-a-value-to-look-for" not in [*environment.values(), first]
    assert "of-a-value-to-look-for" not in first
    assert environment["OMP_NUM_THREADS"] == "1"


@needs_sandbox
def test_it_inherits_its_pipes_and_no_other_file(ask, tmp_path):
    with (tmp_path / "open-here").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        told = ask(
            "tell([sorted(pipes), [fd for fd in range(256) if attempt(lambda: os.fstat(fd)) \n"
            "!= 'OSError']])"
        )
    assert told[1] == [0, 1, 2, *told[0]]


@needs_sandbox
def test_it_has_no_terminal(ask):
    told = ask("""
        kinds = [Path(f"/proc/self/fd/{fd}").readlink().as_posix() for fd in range(3)]
        tell([kinds, attempt(lambda: open("/dev/tty"))])
    """)
    assert told[0][0] == "/dev/null"
    assert [kind.partition(":")[0] for kind in told[0][1:]] == ["pipe", "pipe"]
    assert told[1] in ("OSError", "PermissionError", "FileNotFoundError")


@needs_sandbox
@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls are by their numbers there")
def test_calls_that_lead_around_limits_and_keys_of_ours_are_refused(ask):
    """Namespaces in which a file system in memory could be filled unseen, keys, shared memory."""
    calls = {
        "unshare": (272, 0x1000_0000),
        "clone": (56, 0x1000_0000 | signal.SIGCHLD, 0, 0, 0, 0),
        "keyctl": (250, 0, -4, 0),
        "add_key": (248, b"user", b"x", b"x", 1, -3),
        "shmget": (29, 0, 1 << 30, 0o1600),
        "io_uring_setup": (425, 8, bytes(120)),
        "unshare, by the second numbers": (0x4000_0000 + 272, 0x1000_0000),
    }
    code = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); calls = {calls!r}\n"
    code += "print([libc.syscall(*call) and ctypes.get_errno() for call in calls.values()])"
    told = ask(f"""
        import subprocess
        tell(subprocess.run([sys.executable, "-c", {code!r}], capture_output=True).stdout.decode())
    """)
    assert told == f"{[errno.EPERM] * len(calls)}\n"


@needs_sandbox
def test_what_it_prints_is_cleaned_and_capped(begin, capfd):
    code = "print('\\x1b[2Ja' + chr(0x202e), 'x' * 99)\nfor _ in range(9000): print('y' * 70)\n"
    process, _ = begin(code + "sys.stdout.flush(); tell(1)")
    process.join(60)
    process.kill()
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert chr(0x202E) not in said
    assert len(said) < 70_000
    assert said.endswith("a worker process prints too much; no more of it is shown\n")


@needs_sandbox
def test_it_has_no_rights_and_can_gain_none(ask):
    told = ask("""
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\\t", 1) for line in lines)
        tell([status[key].split()[0] for key in ("Uid", "CapEff", "CapPrm", "NoNewPrivs")])
    """)
    assert int(told[0]) >= sandboxes.NOBODYS
    assert (int(told[1], 16), int(told[2], 16), told[3]) == (0, 0, "1")


# Limits


@needs_sandbox
@pytest.mark.parametrize(
    ("take", "mib", "error"),
    [
        ("bytearray(2**29)", 256, "MemoryError"),
        ("[bytes(2**20) for _ in range(512)]", 256, "MemoryError"),
        ("__import__('mmap').mmap(-1, 2**36)", 256, "OSError"),  # shared with whom it forks
        # PyTorch itself takes a quarter of a GiB, for which whoever watches would kill it
        ("__import__('torch').zeros(2**29)", 1024, "RuntimeError"),
    ],
)
def test_memory_ends_in_an_error_and_not_in_a_dead_machine(ask, take, mib, error):
    assert ask(f"tell(attempt(lambda: len({take})))", limits=Limits(memory=mib * MIB)) == error


TOGETHER = {
    "processes": """
        if all(os.fork() for _ in range(4)):
            time.sleep(60)
        mine = bytearray(100 << 20)
        mine[::4096] = b"x" * len(mine[::4096])  # every page of it
        time.sleep(60)
    """,
    "memory files": """
        for _ in range(4):
            os.write(os.memfd_create("x"), bytes(100 << 20))
        time.sleep(60)
    """,
    "files": """
        for i in range(5_000):
            Path(f"/tmp/{i}").touch()
        time.sleep(60)
    """,
}


@pytest.fixture(params=["control group", "looked at"])
def counted(request, monkeypatch):
    """Who counts memory: the kernel, where it lets us make a group, or we."""
    if request.param == "looked at":
        monkeypatch.setattr(cgroup, "_within", lambda: None)
    elif not cgroup.can_be_made():
        pytest.skip("no control group can be made here")


@needs_sandbox
@pytest.mark.parametrize("what", TOGETHER)
def test_what_all_of_it_uses_together_is_limited(begin, what, counted):
    process, _ = begin(TOGETHER[what], limits=Limits(memory=300 * MIB, files=2_000))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert ("files" if what == "files" else "GiB of memory, all processes") in process.overuse


ON_THE_DISK = {
    "named": """
        for i in range(12):
            Path(f"/states/{i}.state").write_bytes(bytes(1 << 20))
    """,
    "without a name": """
        held = [open(f"/states/{i}.state", "wb") for i in range(12)]
        for file in held:
            os.unlink(file.name)
            os.write(file.fileno(), bytes(1 << 20))
    """,
    "below": """
        Path("/states/below").mkdir()
    """,
}


@needs_sandbox
@pytest.mark.parametrize("what", ON_THE_DISK)
def test_what_it_leaves_on_the_disk_is_limited(begin, tmp_path, what):
    (states := tmp_path / "states").mkdir()
    code = f"{ON_THE_DISK[what]}\n        time.sleep(60)"
    process, _ = begin(code, states=states, limits=Limits(file_size=2 * MIB))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    expected = "leaves more than files" if what == "below" else "leaves states of more than 0.007"
    assert expected in process.overuse


@needs_sandbox
def test_processor_time_is_limited(begin):
    process, _ = begin("while True: pass", limits=Limits(cpu_seconds=1))
    process.join(120)
    assert process.exitcode == -signal.SIGXCPU


@needs_sandbox
def test_who_is_deaf_to_the_limit_is_killed(begin):
    process, _ = begin(
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        limits=Limits(cpu_seconds=1),
    )
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@needs_sandbox
def test_a_loop_of_forks_comes_to_an_end(ask):
    made, error = ask(
        """
        made = 0
        try:
            for _ in range(100):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                made += 1
            tell([made, "none"])
        except OSError as error:
            tell([made, type(error).__name__])
        """,
        limits=Limits(processes=20),
    )
    assert 15 <= made < 20
    assert error == "BlockingIOError"


@needs_sandbox
def test_threads_count_as_processes(ask):
    error = ask(
        """
        import threading

        def many():
            for _ in range(100):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

        tell(attempt(many))
        os._exit(0)
        """,
        limits=Limits(processes=20),
    )
    assert error == "RuntimeError"


@needs_sandbox
def test_two_sandboxes_do_not_share_a_limit(begin):
    code = """
        for _ in range(12):
            if os.fork() == 0:
                time.sleep(60)
        tell("forked")
        hear()
    """
    both = [begin(code, limits=Limits(processes=20)) for _ in range(2)]
    assert [ours.heard() for _, ours in both] == ["forked"] * 2


# Signals and ends


@needs_sandbox
def test_terminate_is_heard_inside(begin):
    process, ours = begin("""
        def asked(number, frame):
            tell("asked to stop")
            os._exit(7)

        signal.signal(signal.SIGTERM, asked)
        tell("ready")
        while True:
            time.sleep(1)
    """)
    assert ours.heard() == "ready"
    assert process.exitcode is None
    process.terminate()
    assert ours.heard() == "asked to stop"
    process.join(60)
    assert process.exitcode == 7


@needs_sandbox
def test_terminate_ends_what_has_hardly_begun(begin):
    process, _ = begin("time.sleep(60)")
    process.terminate()
    process.join(60)
    assert process.exitcode == -signal.SIGTERM


@needs_sandbox
def test_ctrl_c_in_our_terminal_is_not_for_it(begin):
    process, ours = begin("tell(os.getpgrp()); tell(hear().decode())")
    ours.heard()
    assert os.getpgid(process.pid) != os.getpgrp()
    ours.say(b"alive")
    assert ours.heard() == "alive"


@needs_sandbox
def test_kill_leaves_nothing_behind(begin):
    mark = str(uuid4())
    process, ours = begin(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
                os._exit(0)
        tell("forked")
        time.sleep(600)
        """,
        mark,
    )
    ours.heard()
    assert eventually(lambda: len(marked(mark)) >= 6)  # its children fork in their own time
    process.kill()
    assert eventually(lambda: marked(mark) == [])
    assert process.exitcode == -signal.SIGKILL


@needs_sandbox
def test_what_it_leaves_behind_ends_with_it(begin):
    mark = str(uuid4())
    process, _ = begin("if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)", mark)
    process.join(60)
    assert process.exitcode == 0
    assert eventually(lambda: marked(mark) == [])


@needs_sandbox
def test_it_dies_with_its_parent(folder, tmp_path):
    mark = str(uuid4())
    # what is up a second is bound to its parent: bubblewrap starts it just before it binds itself
    (folder / "inside.py").write_text(
        "import sys, time\n"
        "time.sleep(1)\n"
        "print('up', file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from codonbench.execution.process import launch\n"
        "from codonbench.execution.sandbox import Sandbox\n"
        "process = launch('inside', sys.argv[1:], sandbox=Sandbox())\n"
        "time.sleep(600)\n"
    )
    # -P: where the script lies is not to be shown, as nobody but root may go through it
    command = [sys.executable, "-P", script, mark]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        said = parent.stderr.readline()
        there = len(marked(mark))
        parent.kill()
    assert said == "up\n"
    assert there == 4  # it, bubblewrap twice, and the inside
    assert eventually(lambda: marked(mark) == [])


@needs_sandbox
@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("os._exit(200)", 200),
        ("sys.stderr = None; raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_how_it_ended_is_told(begin, ends, code):
    process, _ = begin(ends)
    process.join(120)
    assert process.exitcode == code
    process.terminate()  # to no effect
    process.kill()


# Where none can be had


@pytest.fixture
def asked_anew():
    unavailable.cache_clear()
    yield
    unavailable.cache_clear()


def test_without_bubblewrap_it_says_how_to_come_by_it(asked_anew, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert unavailable() == (
        "a sandbox needs bubblewrap, and there is no 'bwrap'; try 'apt install bubblewrap'"
    )
    with pytest.raises(UsageError, match="apt install bubblewrap"):
        launch("inside", sandbox=Sandbox())


def test_on_another_system_it_says_so(asked_anew, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert unavailable() == "a sandbox needs bubblewrap, which is for Linux only; this is darwin"


@pytest.mark.parametrize(
    ("said", "next_step"),
    [
        ("bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns=0"),
        ("bwrap: Unknown option --disable-userns", "it must be 0.8 or newer"),
        ("bwrap: out of luck", "'bwrap --unshare-all --ro-bind / / true' should work"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux only")
def test_where_bubblewrap_fails_its_own_words_are_given(
    asked_anew, monkeypatch, tmp_path, said, next_step
):
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(f"#!/bin/sh\necho '{said}.' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert unavailable().startswith(f"bubblewrap does not work here: {said}; ")
    assert next_step in unavailable()


@needs_sandbox
@pytest.mark.skipif(sys.platform != "linux" or not sandboxes.is_root(), reason="is for root")
def test_root_is_told_of_what_it_alone_can_read(begin, tmp_path):
    file = tmp_path / "plugin.py"
    file.touch(0o600)
    with pytest.raises(UsageError, match=r"plugin\.py can be read by root alone.*chmod o\+rX"):
        begin("pass", readable=[file])


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux only")
def test_a_gpu_adds_its_devices_and_leaves_addresses_unlimited(monkeypatch):
    monkeypatch.setattr(sandboxes, "_gpu_devices", lambda: ["/dev/nvidia0", "/dev/nvidiactl"])
    words = Sandbox(gpu=True).surroundings()
    bound = [words[i + 1] for i, word in enumerate(words) if word == "--dev-bind"]
    assert bound == ["/dev/nvidia0", "/dev/nvidiactl"]
    assert words[words.index("/sys") - 1] == "--ro-bind"
    assert "/sys" not in Sandbox().surroundings()
    assert words.index("/dev/nvidia0") > words.index("--dev")
    assert "RLIMIT_AS" in Limits().settings(gpu=False)
    assert "RLIMIT_AS" not in Limits().settings(gpu=True)
    assert "RLIMIT_DATA" in Limits().settings(gpu=True)
