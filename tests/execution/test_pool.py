"""Worker processes: the same results as in this one, and nothing a plugin does gets out."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import UsageError
from codonbench.execution.in_process import Work, learn, unwatched
from codonbench.execution.pool import Crew, _shared_out
from codonbench.execution.prepare import prepare
from codonbench.execution.run_all import run_all
from codonbench.execution.run_one import run
from codonbench.plugins.discovery import discover, file_modules
from codonbench.records.store import Store

PLUGINS = """
import gc, os, signal, struct, sys, time
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from codonbench import Model, ModelConfig, ModelInfo, hookimpl
from codonbench.errors import ConfigError
from pydantic import Field


class Config(ModelConfig):
    here: str = Field(default=".", description="a folder to leave notes in")


class Module(torch.nn.Module):
    def __init__(self, learn, here):
        super().__init__()
        self.learn, self.here = learn, here

    def forward(self, inputs):
        return torch.zeros(len(inputs), 21)

    def update(self, inputs, labels):
        self.learn(self.here)


def die(here):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(here):
    os._exit(3)


def hang(here):
    (here / "hanging").touch()
    time.sleep(600)


def hang_deaf(here):
    (here / "hanging").touch()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def fork(here):
    if os.fork() == 0:
        raise SystemExit


def nonsense(here):
    for number in range(3, 64):
        try:
            os.write(number, b"\\x00\\x00\\x00\\x02{}")
        except OSError:
            pass


def orphan(here):
    os.kill(os.getppid(), signal.SIGKILL)  # the ancestor of all workers
    die(here)


def signal_without_a_name(here):
    os.kill(os.getpid(), 40)


def interrupt(here):
    raise KeyboardInterrupt


def end_its_group(here):
    os.kill(0, signal.SIGTERM)


def refuse_late(here):
    raise ConfigError("not any more")


def fork_and_die(here):
    if os.fork() == 0:
        time.sleep(600)  # and holds on to all that is open
    die(here)


def fork_and_learn(here):
    if not (here / "forked").exists():
        (here / "forked").touch()
        if os.fork() == 0:
            time.sleep(600)


def unlink_its_ancestor(here):
    Path(forkserver._forkserver._forkserver_address).unlink(missing_ok=True)
    leave(here)


def orphan_and_hang(here):
    os.kill(os.getppid(), signal.SIGKILL)
    hang(here)


def drip(here):
    pipe = next(x for x in gc.get_objects() if type(x) is Connection and not x.closed)
    os.write(pipe.fileno(), struct.pack("!i", 1 << 20))
    while True:
        os.write(pipe.fileno(), b"x")
        time.sleep(0.1)


class NeverGone(torch.nn.Module):
    def forward(self, inputs):
        return torch.zeros(len(inputs), 21)

    def update(self, inputs, labels):
        pass

    def __del__(self):
        time.sleep(600)


def once(here):
    # The first process to come here dies, the others do not.
    try:
        (here / "died").touch(exist_ok=False)
    except FileExistsError:
        return
    die(here)


def slow(here):
    (here / "learning").touch()
    time.sleep(0.01)


def make(model_name, learn=None, build=None):
    class Bad(Model):
        info = ModelInfo(name=model_name, version="1", summary="bad")
        encoding = "symbol_index"

        def build(self, task):
            if build is not None:
                build(Path(self.config.here))
            return Module(learn, Path(self.config.here)) if learn or build else NeverGone()

    Bad.Config = Config
    return Bad


def refuse(here):
    raise ConfigError("not this task")


@hookimpl
def register_models(register):
    learners = [die, leave, hang, hang_deaf, fork, nonsense, orphan, once, slow]
    learners += [signal_without_a_name, interrupt, end_its_group, refuse_late, drip]
    learners += [fork_and_die, fork_and_learn, unlink_its_ancestor, orphan_and_hang]
    for learn in learners:
        register(make(learn.__name__.replace("_", "-"), learn))
    register(make("never-gone"))
    register(make("endless-build", build=hang))
    register(make("refusing", build=refuse))
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugins") / "bad_models.py"
    file.write_text(PLUGINS)
    registry = discover(files=[file])
    assert not registry.failures
    return registry


@pytest.fixture
def do(registry, tmp_path):
    """Run a model in a crew; return its records by seed."""

    def do(model, *, size=2, timeout=None, watch=unwatched, overrides=None, **request):
        if overrides is None:
            overrides = {"here": f'"{tmp_path}"'}
        asked = {"model": model, "overrides": overrides, "pairs": 640, **request}
        job = prepare(RunRequest(**asked), registry, tmp_path / "cache")
        crew = Crew(size, file_modules(), timeout)
        outcomes = run_all(job, registry, Store(tmp_path / "results"), watch, crew.learn)
        return {outcome.record.seed: outcome.record for outcome in outcomes}

    return do


@pytest.fixture
def process_tree_of(tmp_path):
    """Start a script; know it and every process that descends from it by their environment."""

    @contextmanager
    def tree(script):
        mark = f"CODONBENCH_TREE={uuid4()}"
        name, _, value = mark.partition("=")
        parent = subprocess.Popen(
            [sys.executable, script], cwd=tmp_path, env={**os.environ, name: value}
        )

        def descendants():
            found = []
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    dead = "State:\tZ" in (entry / "status").read_text()
                    if mark.encode() in (entry / "environ").read_bytes() and not dead:
                        found.append(int(entry.name))
                except OSError:
                    continue  # it has ended meanwhile
            return [pid for pid in found if pid != parent.pid]

        deadline = time.monotonic() + 60
        while len(descendants()) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)  # the ancestor, its tracker, and two workers
        yield parent, descendants
        for pid in [*descendants(), parent.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait()

    return tree


@pytest.mark.parametrize(
    ("model", "options"), [("mlp-64", {}), ("count-table", {"control": "shuffled"})]
)
def test_a_crew_gives_the_records_that_this_process_gives(registry, tmp_path, model, options):
    request = RunRequest(model=model, seeds=(0, 1, 2), pairs=20_000, task_overrides=options)
    job = prepare(request, registry, tmp_path)
    here = {r.seed: (r, t) for r, t in run(job.run_specs, job, registry, unwatched, learn)}
    told = {}

    def watch(run_spec):
        return lambda pairs, right, logits: told.setdefault(run_spec.seed, []).append(
            (pairs, int(right.sum()), logits.shape)
        )

    there = {r.seed: (r, t) for r, t in run(job.run_specs, job, registry, watch, Crew(2).learn)}
    assert sorted(there) == [0, 1, 2]
    for seed, (record, trajectory) in there.items():
        expected, its_trace = here[seed]
        assert record.result() == expected.result()
        assert record.weights_sha256 == expected.weights_sha256
        assert record.parameters == expected.parameters
        assert record.trajectory_sha256 == expected.trajectory_sha256
        assert [pairs for pairs, _, _ in told[seed]] == trajectory.pairs.tolist()
        assert [right for _, right, _ in told[seed]] == its_trace.right.sum(axis=1).tolist()
        assert np.array_equal(trajectory.outputs, its_trace.logits)


MISDEEDS = {
    "die": "dies of a segmentation fault",
    "leave": "calls `os._exit`",
    "nonsense": "writes to every descriptor there is",
    "orphan": "ends what workers are forked from, and dies",
    "signal-without-a-name": "dies of a signal without a name",
    "interrupt": "raises `KeyboardInterrupt`",
    "end-its-group": "signals its process group",
    "refuse-late": "refuses to go on",
    "fork-and-die": "dies and leaves a child with its pipe",
    "unlink-its-ancestor": "cuts off what workers are forked from",
    "drip": "sends a message byte by byte without end",
    "orphan-and-hang": "ends what workers are forked from, and hangs",
}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("die", "was killed by SIGSEGV"),
        ("leave", "ended with exit code 3"),
        ("nonsense", "sent"),
        ("orphan", "the worker process"),
        ("signal-without-a-name", "was killed by signal 40"),
        ("refuse-late", "refuses to go on: not any more"),
        ("fork-and-die", "was killed by SIGSEGV"),
        ("unlink-its-ancestor", "ended with exit code 3"),
    ],
)
def test_a_worker_that_dies_becomes_a_record_and_the_others_go_on(
    do, model, words, record_property
):
    records = do(model, seeds=(0, 1, 2), size=2)
    assert sorted(records) == [0, 1, 2]
    for record in records.values():
        assert record.status == "error"
        assert words in record.error
        assert "at 0 pairs" in record.error
    assert do("mlp-64", overrides={})[0].status == "done"
    record_property(f"runs whose plugin {MISDEEDS[model]}, each with its record", len(records))


@pytest.mark.parametrize("model", ["interrupt", "end-its-group"])
def test_a_plugin_cannot_say_that_ctrl_c_was_pressed(do, model, record_property):
    records = do(model, seeds=(0, 1, 2), size=2)
    assert [records[seed].status for seed in (0, 1, 2)] == ["error"] * 3
    assert {(record.error, record.pairs) for record in records.values()} == {
        ("interrupted itself", 0)
    }
    record_property(f"runs whose plugin {MISDEEDS[model]}, each with its record", len(records))


def test_the_seeds_beside_one_that_dies_are_begun_again(do):
    records = do("once", seeds=(0, 1, 2), size=1)
    assert [records[seed].status for seed in (0, 1, 2)] == ["done"] * 3


def test_a_run_that_overruns_ends_in_timeout_and_the_next_ones_go_on(do, tmp_path):
    started = time.monotonic()
    records = do("hang", seeds=(0, 1), size=2, timeout=1.5)
    assert time.monotonic() - started < 30
    assert [records[seed].status for seed in (0, 1)] == ["timeout"] * 2
    assert records[0].error == "not over after 1.5 seconds, at 0 pairs"
    assert (tmp_path / "hanging").exists()


@pytest.mark.parametrize("model", ["drip", "orphan-and-hang"])
def test_who_neither_speaks_nor_ends_is_ended(do, model, record_property):
    records = do(model, seeds=(0, 1), size=1, timeout=3)
    assert [records[seed].status for seed in (0, 1)] == ["timeout"] * 2
    record_property(f"runs whose plugin {MISDEEDS[model]}, each with its record", len(records))


def test_what_a_run_leaves_running_holds_nobody_up(do):
    records = do("fork-and-learn", seeds=(0, 1), size=2)
    assert [records[seed].status for seed in (0, 1)] == ["done"] * 2


def test_a_worker_that_has_told_all_has_to_end(do, monkeypatch):
    monkeypatch.setattr("codonbench.execution.worker_process.GRACE", 1.0)
    assert do("never-gone")[0].status == "done"


class Silent:
    """A worker that never says a word."""

    exitcode = None

    def __init__(self, theirs):
        self.theirs = Connection(os.dup(theirs.fileno()))

    def join(self, timeout=None):
        pass

    terminate = join

    def kill(self):
        self.theirs.close()


def test_a_worker_in_which_no_run_begins_is_late_in_the_end(registry, tmp_path, monkeypatch):
    monkeypatch.setattr("codonbench.execution.worker_process.TO_BEGIN", 0.3)
    job = prepare(RunRequest(model="slow", seeds=(0, 1), pairs=640), registry, tmp_path / "cache")
    crew = Crew(1, timeout=0.2, start=Silent)
    outcomes = run_all(job, registry, Store(tmp_path / "results"), unwatched, crew.learn)
    said = [(outcome.record.seed, outcome.record.status) for outcome in outcomes]
    assert said == [(0, "timeout"), (1, "timeout")]


def test_an_endless_build_ends_in_timeout(do):
    record = do("endless-build", timeout=1.5)[0]
    assert record.status == "timeout", record.error


def test_seeds_that_wait_behind_one_that_overruns_are_not_counted_late(do):
    # One worker, three seeds one after another: each has its own time.
    records = do("slow", seeds=(0, 1, 2), size=1, timeout=60)
    assert [records[seed].status for seed in (0, 1, 2)] == ["done"] * 3
    records = do("hang", seeds=(0, 1, 2), size=1, timeout=1.0)
    assert [records[seed].status for seed in (0, 1, 2)] == ["timeout"] * 3


def test_a_plugin_that_forks_harms_nobody(do):
    assert do("fork", seeds=(0, 1))[1].status in ("done", "error")


def test_a_model_that_cannot_serve_the_task_is_the_askers_error(do):
    with pytest.raises(UsageError, match="not this task"):
        do("refusing")


@pytest.mark.parametrize("model", ["slow", "hang-deaf"])
def test_ctrl_c_leaves_records_of_what_is_under_way(do, tmp_path, monkeypatch, model):
    monkeypatch.setattr("codonbench.execution.worker_process.GRACE", 1.0)
    sign = tmp_path / ("learning" if model == "slow" else "hanging")

    def press():
        while not sign.exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    records = do(model, seeds=(0, 1), size=2, pairs=576_000)
    assert {record.status for record in records.values()} == {"interrupted"}
    if model == "slow":
        assert records[0].pairs > 0
        assert records[0].weights_sha256 is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks processes up in /proc")
def test_workers_die_with_their_parent(tmp_path, process_tree_of):
    # Begun by a process that is killed while they train.
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\n"
        "from codonbench.contracts.run_spec import RunRequest\n"
        "from codonbench.execution.run_all import run_all\n"
        "from codonbench.execution.in_process import unwatched\n"
        "from codonbench.execution.prepare import prepare\n"
        "from codonbench.plugins.discovery import load_registry\n"
        "from codonbench.records.store import Store\n"
        "from codonbench.execution.pool import Crew\n"
        "registry = load_registry()\n"
        "request = RunRequest(model='lstm-64', seeds=(0, 1), full=True)\n"
        "job = prepare(request, registry, Path('cache'))\n"
        "list(run_all(job, registry, Store(Path('results')), unwatched, Crew(2).learn))\n"
    )
    with process_tree_of(script) as (parent, children):
        assert len(children()) >= 4
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert children() == []


@pytest.fixture
def said_by(tmp_path):
    """Run a script to its end; return what it and its children wrote to standard error."""

    def said(script):
        (tmp_path / "parent.py").write_text(script)
        done = subprocess.run(
            [sys.executable, tmp_path / "parent.py"], stderr=subprocess.PIPE, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return said


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signals to block here")
def test_ctrl_c_does_not_reach_workers_and_their_ancestor_from_their_first_import_on(said_by):
    script = (
        "import os, signal, time\n"
        "from multiprocessing.forkserver import _forkserver\n"
        "from codonbench.execution.processes import start, warm_up\n"
        "warm_up()\n"
        "ancestor = _forkserver._forkserver_pid\n"
        "for _ in range(20):\n"
        "    os.kill(ancestor, signal.SIGINT)\n"
        "    time.sleep(0.02)\n"
        "worker = start(time.sleep, (0.5,))\n"
        "os.kill(worker.pid, signal.SIGINT)\n"
        "worker.join()\n"
        "assert worker.exitcode == 0\n"
        "assert _forkserver._forkserver_pid == ancestor\n"
    )
    assert said_by(script) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there, nobody is asked to end")
@pytest.mark.parametrize("ends", ["worker.terminate()", "ours.close()"])
def test_a_worker_that_is_not_wanted_any_more_ends_without_a_word(said_by, ends):
    script = (
        "from multiprocessing import Pipe\n"
        "from codonbench.execution.processes import start\n"
        "from codonbench.execution.worker import serve\n"
        "ours, theirs = Pipe()\n"
        "worker = start(serve, (theirs,))\n"
        "theirs.close()\n"
        "ours.recv_bytes()\n"
        f"{ends}\n"
        "worker.join()\n"
    )
    assert said_by(script) == ""


@pytest.mark.parametrize(
    ("seeds", "size", "expected"),
    [(1, 4, [1]), (10, 2, [5, 5]), (30, 2, [7, 8, 7, 8]), (3, 2, [1, 2]), (25, 1, [8, 8, 9])],
)
def test_plans_are_shared_out_evenly_ten_at_most_to_a_worker(toys, seeds, size, expected):
    job = toys.job("mlp-64", seeds=tuple(range(seeds)))
    work = Work(job.entry, job.config, job.dataset, job.run_specs)
    parts = _shared_out(work, size)
    assert [len(part.run_specs) for part in parts] == expected
    assert sum((part.run_specs for part in parts), ()) == job.run_specs
