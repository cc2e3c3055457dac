"""Worker processes: the same results as in this one, and nothing a plugin does gets out."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest

from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import UsageError
from codonbench.execution.pool import WorkerPool, _shared_out, launch_worker
from codonbench.execution.prepare import Job, prepare
from codonbench.execution.process import Inbox, Process, framed, send
from codonbench.execution.run import run, run_all, train_here
from codonbench.plugins.discovery import discover
from codonbench.protocols.referee import unwatched
from codonbench.records.store import Store
from codonbench.records.unfinished import Checkpoints

pytestmark = pytest.mark.usefixtures("forked_workers")

nightly = pytest.mark.nightly("another misdeed of its kind stands for it")

PLUGINS = """
import os, signal, struct, sys, time
from contextlib import suppress
from pathlib import Path

import torch
from codonbench import GradientConfig, Model, ModelConfig, ModelInfo, hookimpl
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


def drip(here):
    pipe = int(sys.argv[2])
    os.write(pipe, struct.pack("<IQ", 1 << 10, 0))
    while True:
        os.write(pipe, b"x")
        time.sleep(0.1)


def bracket(here):
    pipe = int(sys.argv[2])
    os.write(pipe, struct.pack("<IQ", 1 << 18, 1 << 29) + b"[" * (1 << 18))
    while True:
        os.write(pipe, b"[" * (1 << 16))


def announce_more_than_is_due(here):
    pipe = int(sys.argv[2])
    os.write(pipe, struct.pack("<IQ", 100, 1 << 20))
    time.sleep(600)


def close_its_pipes(here):
    for number in range(3, 64):
        try:
            os.close(number)
        except OSError:
            pass
    hang(here)


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


def count(here):
    (here / str(os.getpid())).touch()


def make(model_name, learn=None, build=None):
    class Bad(Model):
        info = ModelInfo(name=model_name, version="1", summary="bad")
        encoding = "symbol_index"

        def build(self, task):
            if build is not None:
                build(Path(self.config.here))
            if learn is refuse:
                return RefusesToAnswer(learn, Path(self.config.here))
            return Module(learn, Path(self.config.here)) if learn or build else NeverGone()

    Bad.Config = Config
    return Bad


class SwitchedConfig(GradientConfig):
    here: str = Field(default=".", description="a folder to look for a note in")


class Switched(torch.nn.Module):
    def __init__(self, here):
        super().__init__()
        self.layer, self.note = torch.nn.Linear(64, 21), here + "/switched"

    def forward(self, inputs):
        return self.layer(inputs) * (0.5 if os.path.exists(self.note) else 1.0)


class SwitchedModel(Model):
    info = ModelInfo(name="switched", version="1", summary="Goes by a file", row_independent=True)
    Config = SwitchedConfig
    encoding = "input_onehot"

    def build(self, task):
        return Switched(self.config.here)


def refuse(here):
    raise ConfigError("not this task")


class RefusesToAnswer(Module):
    def forward(self, inputs):
        raise ConfigError("not these items")


def refuse_one(here):
    import torch

    seed = str(torch.initial_seed())
    with suppress(FileExistsError), (here / "refused").open("x") as file:
        file.write(seed)
    if (here / "refused").read_text() == seed:
        raise ConfigError("not this seed")


def begin_without_end(here):
    import gc

    parent = next(each for each in gc.get_objects() if type(each).__name__ == "Parent")
    while True:
        parent.begin(0)


def refuse_in_another(here):
    # In every process but the first to come here, once the first has learned something.
    with suppress(FileExistsError), (here / "first").open("x") as file:
        file.write(str(os.getpid()))
    while not (first := (here / "first").read_text()):
        time.sleep(0.01)
    if first != str(os.getpid()):
        while not (here / "learning").exists():
            time.sleep(0.01)
        raise ConfigError("not this seed")


@hookimpl
def register_models(register):
    learners = [die, leave, hang, hang_deaf, fork, nonsense, once, slow]
    learners += [signal_without_a_name, interrupt, end_its_group, refuse_late, drip]
    learners += [fork_and_die, fork_and_learn, bracket, close_its_pipes, count]
    learners += [begin_without_end, announce_more_than_is_due]
    for learn in learners:
        register(make(learn.__name__.replace("_", "-"), learn))
    register(SwitchedModel)
    register(make("never-gone"))
    register(make("endless-build", build=hang))
    register(make("refusing", build=refuse))
    register(make("refusing-to-answer", learn=refuse))
    register(make("refusing-another", learn=slow, build=refuse_in_another))
    register(make("refusing-one", learn=count, build=refuse_one))
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
    """Run a model in a pool of workers; return its records by seed."""

    def do(model, *, size=2, timeout=None, watch=unwatched, overrides=None, launch=None, **request):
        if overrides is None:
            overrides = {"here": f'"{tmp_path}"'}
        asked = {"model": model, "overrides": overrides, "pairs": 640, **request}
        job = prepare(RunRequest(**asked), registry, tmp_path / "cache")
        with WorkerPool(size, timeout, launch=launch) as pool:
            outcomes = run_all(job, registry, Store(tmp_path / "results"), watch, pool.train)
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
        while len(descendants()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield parent, descendants
        for pid in [*descendants(), parent.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait()

    return tree


@pytest.mark.parametrize(
    ("model", "options"), [("mlp-64", {}), ("count-table", {"control": "shuffled"})]
)
def test_a_pool_gives_the_records_that_this_process_gives(registry, tmp_path, model, options):
    request = RunRequest(model=model, seeds=(0, 1, 2), pairs=6_400, task_overrides=options)
    job = prepare(request, registry, tmp_path)
    here = {r.seed: (r, t) for r, t in run(job, registry, unwatched, train_here)}
    told = {}

    def watch(run_spec):
        return lambda pairs, progress: told.setdefault(run_spec.seed, []).append(
            (pairs, progress())
        )

    with WorkerPool(2) as pool:
        there = {r.seed: (r, t) for r, t in run(job, registry, watch, pool.train)}
    assert sorted(there) == [0, 1, 2]
    for seed, (record, trajectory) in there.items():
        expected, its_trajectory = here[seed]
        assert record.result() == expected.result()
        assert record.weights_sha256 == expected.weights_sha256
        assert record.parameters == expected.parameters
        assert record.trajectory_sha256 == expected.trajectory_sha256
        assert [pairs for pairs, _ in told[seed]] == trajectory.pairs.tolist()
        right = trajectory.right.sum(axis=1).tolist()
        assert all(str(n) in words for n, (_, words) in zip(right, told[seed], strict=True))
        assert np.array_equal(trajectory.outputs, its_trajectory.outputs)


def test_what_a_captured_step_stands_for_no_longer_is_trained_anew_by_another_worker(do, tmp_path):
    def watch(run_spec):
        return lambda pairs, progress: (tmp_path / "switched").touch() if pairs else None

    asked = {"overrides": {"here": f'"{tmp_path}"', "batch_size": "8"}, "pairs": 8_400}
    (record,) = do("switched", size=1, watch=watch, full=True, **asked).values()
    assert (record.status, record.pairs, record.engine.name) == ("done", 8_400, "eager")
    assert record.engine.reason.startswith("seen later in the run: ")


MISDEEDS = {
    "die": "dies of a segmentation fault",
    "leave": "calls `os._exit`",
    "nonsense": "writes to every descriptor there is",
    "signal-without-a-name": "dies of a signal without a name",
    "interrupt": "raises `KeyboardInterrupt`",
    "end-its-group": "signals its process group",
    "refuse-late": "refuses to go on",
    "fork-and-die": "dies and leaves a child with its pipe",
    "drip": "sends a message byte by byte without end",
    "bracket": "sends brackets without end",
    "announce-more-than-is-due": "announces a message larger than any that is due",
    "begin-without-end": "says without end that it begins",
    "close-its-pipes": "closes its pipes, and hangs",
}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("die", "was killed by SIGSEGV"),
        pytest.param("leave", "ended with exit code 3", marks=nightly),
        ("nonsense", "sent"),
        pytest.param("signal-without-a-name", "was killed by signal 40", marks=nightly),
        ("refuse-late", "refuses to go on: not any more"),
        pytest.param("fork-and-die", "was killed by SIGSEGV", marks=nightly),
        pytest.param("bracket", "sent what is no message", marks=nightly),
        pytest.param("announce-more-than-is-due", "sent what is no message", marks=nightly),
        ("close-its-pipes", "no longer answers"),
        ("begin-without-end", "begins twice"),
    ],
)
def test_a_worker_that_dies_becomes_a_record_and_the_others_go_on(
    do, model, words, record_property, monkeypatch
):
    if model == "close-its-pipes":  # the only one whose end is waited for in vain
        monkeypatch.setattr("codonbench.execution.pool._PATIENCE", 1.0)
    records = do(model, seeds=(0, 1) if model == "die" else (0,), size=2)
    assert sorted(records) == [0, 1] if model == "die" else [0]
    for record in records.values():
        assert record.status == "error"
        assert words in record.error
        assert "at 0 pairs" in record.error
    record_property(f"runs whose plugin {MISDEEDS[model]}, each with its record", len(records))


@pytest.mark.parametrize("model", [pytest.param("interrupt", marks=nightly), "end-its-group"])
def test_a_plugin_cannot_say_that_ctrl_c_was_pressed(do, model, record_property):
    records = do(model, seeds=(0, 1), size=1)
    assert [records[seed].status for seed in (0, 1)] == ["error"] * 2
    assert {(record.error, record.pairs) for record in records.values()} == {
        ("interrupted itself", 0)
    }
    record_property(f"runs whose plugin {MISDEEDS[model]}, each with its record", len(records))


def test_the_seeds_beside_one_that_dies_are_begun_again(do):
    records = do("once", seeds=(0, 1, 2), size=1)
    assert [records[seed].status for seed in (0, 1, 2)] == ["done"] * 3


def test_a_run_that_overruns_ends_in_timeout_and_the_next_ones_go_on(do, tmp_path):
    records = do("hang", seeds=(0, 1), size=1, timeout=1.5)
    assert [records[seed].status for seed in (0, 1)] == ["timeout"] * 2
    assert records[0].error == "not over after 1.5 seconds, at 0 pairs"
    assert (tmp_path / "hanging").exists()


def test_who_neither_speaks_nor_ends_is_ended(do, record_property):
    records = do("drip", size=1, timeout=3)
    assert [record.status for record in records.values()] == ["timeout"]
    record_property(f"runs whose plugin {MISDEEDS['drip']}, each with its record", len(records))


def test_what_a_run_leaves_running_holds_nobody_up(do):
    records = do("fork-and-learn", seeds=(0, 1), size=1)
    assert [records[seed].status for seed in (0, 1)] == ["done"] * 2


def test_a_worker_that_has_told_all_has_to_end(do, monkeypatch):
    monkeypatch.setattr("codonbench.execution.pool.GRACE", 1.0)
    assert do("never-gone")[0].status == "done"


def test_a_worker_in_which_no_run_begins_is_late_in_the_end(registry, tmp_path, monkeypatch):
    monkeypatch.setattr("codonbench.execution.pool.TO_BEGIN", 0.3)
    job = prepare(RunRequest(model="slow", seeds=(0, 1), pairs=640), registry, tmp_path / "cache")

    def silent(states):
        sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
        pipes = os.pipe(), os.pipe(), os.pipe()
        said, _ = os.pipe()
        popen = subprocess.Popen(sleeps, start_new_session=True)
        (speaks, _), (_, hears), (_, lifeline) = pipes
        os.set_blocking(speaks, False)
        return Process(popen, (speaks, hears, lifeline), said, None, None)

    with WorkerPool(1, timeout=0.2, launch=silent) as pool:
        outcomes = run_all(job, registry, Store(tmp_path / "results"), unwatched, pool.train)
        said = [(outcome.record.seed, outcome.record.status) for outcome in outcomes]
    assert said == [(0, "timeout"), (1, "timeout")]


def test_an_endless_build_ends_in_timeout(do):
    record = do("endless-build", timeout=1.5)[0]
    assert record.status == "timeout", record.error


@pytest.mark.nightly("seeds that follow one another in a worker are trained on each push")
def test_seeds_that_wait_behind_others_are_not_counted_late(do):
    # One worker, three seeds one after another: each has its own time.
    records = do("slow", seeds=(0, 1, 2), size=1, timeout=60)
    assert [records[seed].status for seed in (0, 1, 2)] == ["done"] * 3


@nightly
def test_a_plugin_that_forks_harms_nobody(do):
    assert do("fork", seeds=(0, 1))[1].status in ("done", "error")


@pytest.mark.parametrize(
    ("model", "words"), [("refusing", "not this task"), ("refusing-to-answer", "not these items")]
)
def test_a_model_that_cannot_serve_the_task_is_the_askers_error(do, tmp_path, model, words):
    with pytest.raises(UsageError, match=words):
        do(model, seeds=(0, 1))
    assert not list((tmp_path / "results").glob("*.json"))


@pytest.mark.parametrize(
    ("model", "size"), [("refusing-another", 2), ("refusing-one", 2), ("refusing-one", 1)]
)
def test_a_seed_that_is_refused_does_not_end_the_others(do, model, size):
    records = do(model, seeds=(0, 1), size=size)
    assert sorted(record.status for record in records.values()) == ["done", "error"]
    (said,) = (record.error for record in records.values() if record.error)
    assert "refuses this seed: not this seed" in said


def test_where_two_seeds_are_refused_in_the_same_words_the_model_is(do, tmp_path):
    with pytest.raises(UsageError, match="not this task"):
        do("refusing", seeds=(0, 1, 2), size=1)
    assert not list((tmp_path / "results").glob("*.json"))


@pytest.mark.parametrize("model", ["slow", "hang-deaf"])
def test_ctrl_c_leaves_records_of_what_is_under_way(do, tmp_path, monkeypatch, model):
    if model != "slow":  # which has all the time there is to tell its weights
        monkeypatch.setattr("codonbench.execution.pool.GRACE", 1.0)
    sign = tmp_path / ("learning" if model == "slow" else "hanging")

    def press():
        while not sign.exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    size = 2 if model == "slow" else 1
    records = do(model, seeds=(0, 1), size=size, pairs=576_000)
    assert {record.status for record in records.values()} == {"interrupted"}
    if model == "slow":
        first = max(records.values(), key=lambda record: record.pairs)  # the other may come up yet
        assert first.pairs > 0
        assert first.weights_sha256 is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class HeldBack:
    """A worker that is heard late: once it learns, all that it says comes when it has ended."""

    def __init__(self, states, sign):
        self._process, self._sign, self.asks = launch_worker(states), sign, threading.Event()
        self.outgoing = self._process.outgoing
        self.incoming, self._ours = os.pipe()
        os.set_blocking(self.incoming, False)
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self):
        inbox, held = Inbox(self._process.incoming), []
        with suppress(EOFError, OSError):
            while True:
                frame = framed(*inbox.wait())
                if self._sign.exists():
                    held.append(frame)
                    self.asks.set()
                else:
                    send(self._ours, frame)
        send(self._ours, b"".join(held))
        os.close(self._ours)

    def __getattr__(self, name):
        return getattr(self._process, name)


def test_what_a_run_asked_last_before_ctrl_c_costs_it_nothing(do, tmp_path):
    worker = HeldBack(None, tmp_path / "learning")

    def press():
        worker.asks.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    records = do("slow", size=1, pairs=576_000, launch=lambda states: worker)
    assert records[0].status == "interrupted"
    assert records[0].weights_sha256 is not None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks processes up in /proc")
def test_workers_die_with_their_parent(tmp_path, process_tree_of):
    # Begun by a process that is killed while they train.
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\n"
        "from codonbench.contracts.run_spec import RunRequest\n"
        "from codonbench.execution.run import run_all\n"
        "from codonbench.protocols.referee import unwatched\n"
        "from codonbench.execution.prepare import prepare\n"
        "from codonbench.plugins.discovery import load_registry\n"
        "from codonbench.records.store import Store\n"
        "from codonbench.execution.pool import WorkerPool\n"
        "registry = load_registry()\n"
        "request = RunRequest(model='lstm-64', seeds=(0, 1), full=True)\n"
        "job = prepare(request, registry, Path('cache'))\n"
        "list(run_all(job, registry, Store(Path('results')), unwatched, "
        "WorkerPool(2).train))\n"
    )
    with process_tree_of(script) as (parent, children):
        assert len(children()) >= 2
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert children() == []


def process_of(path):
    return {int(file.name) for file in path.iterdir() if file.name.isdigit()}


def test_a_worker_stays_for_more_runs_of_one_author_and_for_no_other(registry, toys, tmp_path):
    def work(model, seeds):
        overrides = {"here": f'"{tmp_path}"'} if model == "count" else {}
        asked = RunRequest(model=model, overrides=overrides, pairs=640, seeds=seeds)
        return prepare(asked, registry, tmp_path / "cache")

    def statuses(job):
        return [result.status for _, result in pool.train(job, unwatched)]

    with WorkerPool(1) as pool:
        for seeds in ((0, 1), (2,)):
            assert statuses(work("count", seeds)) == ["done"] * len(seeds)
        assert len(process_of(tmp_path)) == 1
        assert [result.status for _, result in pool.train(work("mlp-64", (0,)), unwatched)] == [
            "done"
        ]
        assert [result.status for _, result in pool.train(work("count", (3,)), unwatched)] == [
            "done"
        ]
    pids = process_of(tmp_path)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_strangers_runs_share_no_worker_where_one_is_told_what_another_is_not_to_know():
    def shares(stranger, splits, subset=None, train_size=8):
        spec = SimpleNamespace(evaluation=None, train_size=train_size)
        dataset = SimpleNamespace(spec=spec, splits=splits)
        specs = (SimpleNamespace(fold=None, subset=subset),) * 4
        entry = SimpleNamespace(untrusted=stranger)
        job = Job(entry, None, {}, None, dataset, None, specs)
        return [len(part.run_specs) for part in _shared_out(job, 2, None)]

    fixed = {"validation": np.arange(2), "test": np.arange(2)}
    assert shares("somebody's", fixed) == [2, 2]
    assert shares("somebody's", {}, train_size=0) == [2, 2]
    assert shares("somebody's", {}) == [1, 1, 1, 1]
    assert shares("somebody's", {"test": np.arange(2)}) == [1, 1, 1, 1]
    assert shares("somebody's", fixed, subset=4) == [1, 1, 1, 1]
    assert shares(None, {}) == [2, 2]


@pytest.mark.parametrize(("stranger", "expected"), [("somebody's", [1, 1, 1, 1]), (None, [2, 2])])
def test_a_strangers_runs_share_no_worker_where_one_is_handed_its_state(
    toys, tmp_path, stranger, expected
):
    job = toys.job("mlp-64", seeds=(0, 1, 2, 3))
    job = replace(job, entry=replace(job.entry, untrusted=stranger))
    checkpoints = Checkpoints(tmp_path, "", 1.0, print)
    assert [len(part.run_specs) for part in _shared_out(job, 2, checkpoints)] == [2, 2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{job.run_specs[2].run_id}.ckpt").touch()
    assert [len(part.run_specs) for part in _shared_out(job, 2, checkpoints)] == expected


@pytest.mark.parametrize(
    ("seeds", "size", "expected"),
    [(1, 4, [1]), (10, 2, [5, 5]), (30, 2, [7, 8, 7, 8]), (3, 2, [1, 2]), (25, 1, [8, 8, 9])],
)
def test_plans_are_shared_out_evenly_ten_at_most_to_a_worker(toys, seeds, size, expected):
    job = toys.job("mlp-64", seeds=tuple(range(seeds)))
    parts = _shared_out(job, size, None)
    assert [len(part.run_specs) for part in parts] == expected
    assert sum((part.run_specs for part in parts), ()) == job.run_specs
