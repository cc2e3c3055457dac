"""Runs on a Ray cluster of several nodes, of which some are killed: all records come home.

The nodes are processes of this machine, each with its own scheduler and object store.
"""

import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket

import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.execution.sandbox import unavailable
from codonbench.records.store import Store

pytestmark = [
    pytest.mark.nightly("starts clusters; tests/execution/test_cluster.py does without"),
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),  # of Ray's own
]

SHORT = ("--model", "mlp-64", "--pairs", "2000", "--seeds", "0-3")
LONG = ("--model", "mlp-64", "--engine", "traced", "--pairs", "400000", "--full", "--seeds", "0-2")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes, each with one processor; tests add more, and kill some."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback alone
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_agent_register_timeout_ms", "120000")
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "120")  # on a busy machine
        from ray.cluster_utils import Cluster

        with socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        head = {"num_cpus": 1, "ray_client_server_port": port}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.client = f"ray://127.0.0.1:{port}"
        made.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", made.address)
        try:
            yield made
        finally:
            made.shutdown()


def begun(folder, *words, on="ray"):
    where = () if on is None else ("--on", on)
    return bench(folder, "run", *words, *where, "-r", "results")


def bench(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "codonbench.cli.main", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, *words, on="ray", code=0):
    process = begun(folder, *words, on=on)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == code, said
    return said


def results(folder):
    """What each record of a folder says, by model and seed, and the records."""
    store = Store(folder / "results")
    records = {(r.model, r.seed): r for r in store.scan() if isinstance(r, RunRecord)}
    for record in records.values():
        assert record.trajectory_sha256 is None or store.load_trajectory(record) is not None
    return {key: record.result() for key, record in records.items()}, records


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """The results of a line that is run without a cluster, each once."""
    made = {}

    def make(*words):
        if words not in made:
            folder = tmp_path_factory.mktemp("local")
            run(folder, *words, on=None)
            made[words] = results(folder)[0]
        return made[words]

    return make


@contextmanager
def ended(process):
    try:
        yield
    finally:
        process.kill()
        process.wait()


def until(true, process, seconds=600):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def checkpoints(folder):
    return list((folder / "kept" / "checkpoints").glob("*.ckpt"))


def test_two_nodes_and_four_make_the_records_that_one_machine_makes(cluster, at_home, tmp_path):
    two, four = tmp_path / "two", tmp_path / "four"
    two.mkdir()
    four.mkdir()
    run(two, *SHORT)
    assert results(two)[0] == at_home(*SHORT)
    more = [cluster.add_node(num_cpus=1) for _ in range(2)]
    try:
        run(four, *SHORT)
        assert results(four)[0] == at_home(*SHORT)
    finally:
        for node in more:
            cluster.remove_node(node)


def test_runs_go_on_where_they_were_when_their_node_is_killed(cluster, at_home, tmp_path):
    last = cluster.add_node(num_cpus=2)
    first = [node for node in cluster.worker_nodes if node is not last]
    longer = (*LONG, "--pairs", "1600000")  # seconds each, so that a time left is told meanwhile
    words = (*longer, "--shared", str(tmp_path / "kept"), "--checkpoint-every", "0.05")
    process = begun(tmp_path, *words)
    with ended(process):
        until(lambda: len(checkpoints(tmp_path)) >= 3, process)
        cluster.remove_node(last, allow_graceful=False)
        said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "its node was lost" in said
    assert re.search(r"[012]\.\d of 3 runs, \d:\d\d:\d\d left", said)  # before the first ended
    found, records = results(tmp_path)
    assert found == at_home(*longer)
    assert any(record.resumed and min(record.resumed) > 0 for record in records.values())
    assert not checkpoints(tmp_path)
    assert first  # and that node has made them


BESIDE = """
import ray
from codonbench.execution.cluster import Cluster

def where(actor):
    return ray.get_runtime_context().get_node_id()

for _ in range(6):
    with Cluster("ray") as cluster:
        found = ray.get(cluster._between().__ray_call__.remote(where))
        assert found == ray.get_runtime_context().get_node_id()
"""


def test_what_carries_news_is_on_the_drivers_node_and_is_not_lost_with_another(cluster):
    done = subprocess.run(
        [sys.executable, "-c", BESIDE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_killed_driver_is_started_again_and_makes_nothing_twice(cluster, at_home, tmp_path):
    words = (*LONG, "--workers", "1", "--shared", str(tmp_path / "kept"))
    words = (*words, "--checkpoint-every", "0.05")
    process = begun(tmp_path, *words)
    with ended(process):
        until(
            lambda: list((tmp_path / "results").glob("*.json")) and checkpoints(tmp_path), process
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*.json")}
    assert 0 < len(before) < 3
    said = run(tmp_path, *words)
    assert said.count("already recorded") == len(before)
    assert "goes on from" in said
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    found, records = results(tmp_path)
    assert found == at_home(*LONG)
    assert any(record.resumed for record in records.values())


CRASHES = """
import os, signal
import torch
from codonbench import Model, ModelConfig, ModelInfo


class Crashes(Model):
    info = ModelInfo(name="crashes", version="1", summary="Dies as it learns.")
    Config = ModelConfig
    encoding = "nucleotide_onehot"

    def build(self, task):
        class Module(torch.nn.Module):
            def forward(self, inputs):
                return torch.zeros(len(inputs), task.n_classes)

            def update(self, inputs, labels):
                os.kill(os.getpid(), signal.SIGSEGV)

        return Module()
"""
SUITE = """
[suite]
name = "mixed"
title = "One that crashes, and one that does not"

[defaults]
seeds = "0-1"
pairs = 2000

[[run]]
model = ["crashes", "mlp-64"]
"""


def test_a_plugin_that_crashes_its_worker_ends_its_runs_and_no_others(cluster, at_home, tmp_path):
    (tmp_path / "crashes.py").write_text(CRASHES)
    (tmp_path / "mixed.toml").write_text(SUITE)
    run(tmp_path, "--suite", "mixed.toml", "--plugin", "crashes.py", code=1)
    found, records = results(tmp_path)
    assert {key: record.status for key, record in records.items()} == {
        ("crashes", 0): "error",
        ("crashes", 1): "error",
        ("mlp-64", 0): "done",
        ("mlp-64", 1): "done",
    }
    assert "SIGSEGV" in records["crashes", 0].error
    local = at_home(*SHORT)
    assert all(found["mlp-64", seed] == local["mlp-64", seed] for seed in (0, 1))


PEEKS = """
import os
from pathlib import Path
import codonbench


@codonbench.model(encoding="nucleotide_onehot_flat", learning_rate=0.01)
def peeks(task):
    from torch import nn

    for path in (Path(SECRET), *Path("/proc").glob("[0-9]*/environ")):
        try:
            if b"of-a-value-to-look-for" in path.read_bytes():
                raise RuntimeError(f"reads {path}")
        except OSError:
            pass
    return nn.Linear(task.length * len(task.alphabet), task.n_classes)
"""


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_a_sandbox_holds_a_plugin_on_a_node_too(cluster, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of-a-value-to-look-for")
    (tmp_path / "peeks.py").write_text(PEEKS.replace("SECRET", repr(str(secret))))
    words = ("--plugin", "peeks.py", "--model", "peeks", "--pairs", "2000", "--seeds", "0")
    run(tmp_path, *words, code=1)  # or there is nothing to be kept from
    ((_, record),) = results(tmp_path)[1].items()
    assert (record.status, record.confinement) == ("error", "process")
    assert str(secret) in record.error
    run(tmp_path, *words, "--sandbox", "--force")
    ((_, record),) = results(tmp_path)[1].items()
    assert (record.status, record.confinement, record.error) == ("done", "sandbox", None)


def test_a_node_without_the_data_gets_them_from_the_driver(cluster, tmp_path):
    draw = random.Random(0)
    lines = ["".join(draw.choices("ACGT", k=40)) for _ in range(200)]
    table = "\n".join(["sequence,label", *(f"{line},{line.count('G') > 9}" for line in lines)])
    words = ("--model", "kmer-linear", "--data", "mine.csv", "--seeds", "0-1", "--folds", "0")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.csv").write_text(table + "\n")
    run(tmp_path / "here", *words, on=None)
    process = begun(tmp_path / "there", *words)
    with ended(process):
        line = ""
        while "read as" not in line:
            line = process.stdout.readline()
            assert line
        (tmp_path / "there" / "mine.csv").unlink()  # before a node has begun
        said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert results(tmp_path / "there")[0] == results(tmp_path / "here")[0]


def test_ctrl_c_has_runs_tell_what_they_have_and_leaves_no_process(cluster, at_home, tmp_path):
    words = (*LONG, "--shared", str(tmp_path / "kept"), "--checkpoint-every", "0.05")
    process = begun(tmp_path, *words)
    with ended(process):
        until(lambda: len(checkpoints(tmp_path)) >= 2, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    statuses = [record.status for record in results(tmp_path)[1].values()]
    assert "interrupted" in statuses
    end = time.monotonic() + 60
    while workers_of(cluster):
        assert time.monotonic() < end
        time.sleep(0.5)
    run(tmp_path, *words)
    assert results(tmp_path)[0] == at_home(*LONG)


TUNE = ("tune", "--model", "deepbind", "--task", "planted-motif", "--epochs", "2", "--trials", "6")


def tuned(folder, *words):
    """The preset that a study writes; that of a study that is cut short goes on."""
    process = bench(folder, *TUNE, *words)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    (preset,) = (folder / "tuning").glob("*.toml")
    text = re.sub(r"(?m)^seconds = .*$", "", preset.read_text())
    return re.sub(r"\[(\d+), [\d.]+, ", r"[\1, ", text), said


def test_a_study_on_a_cluster_goes_on_when_its_driver_is_killed_and_is_the_one_made_here(
    cluster, tmp_path
):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    local, _ = tuned(here)
    process = bench(there, *TUNE, "--on", "ray", "--jobs", "1")
    with ended(process):
        lines = iter(process.stdout.readline, "")
        assert any("trial 2 of 6" in line for line in lines)
        process.send_signal(signal.SIGKILL)
    found, said = tuned(there, "--on", "ray", "--jobs", "1")
    assert found == local
    assert "trial 2 of 6" not in said
    assert "trial 6 of 6" in said


def test_a_cluster_is_reached_through_rays_client_too(cluster, at_home, tmp_path):
    run(tmp_path, *SHORT, on=cluster.client)
    assert results(tmp_path)[0] == at_home(*SHORT)
    _, said = tuned(tmp_path, "--on", cluster.client, "--trials", "2")
    assert "trial 2 of 2" in said


def test_nothing_is_left_where_temporary_files_are(tmp_path, monkeypatch):
    """A node's process is ended without a word: what it lays there would stay."""
    temporary = tempfile.TemporaryDirectory(dir="/tmp")  # a socket's path must be short
    monkeypatch.setenv("TMPDIR", temporary.name)
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def own():
        return {path.name for path in (tmp_path / "cache" / "nodes").glob(".worker-*")}

    with temporary:
        run(tmp_path, *SHORT)
        assert not own()
        again = (*SHORT, "--force", "--shared", f"file://{tmp_path}/kept")
        run(tmp_path, *again)
        before = own()
        run(tmp_path, *again)
        assert before
        assert not before & own()  # who comes next removes what was left
        assert [path.name for path in Path(temporary.name).iterdir()] == ["ray"]  # its own logs


def workers_of(cluster):
    """The worker processes whose parent is a process of this cluster's nodes."""
    ps = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in ps.stdout.splitlines()[1:]]
    parents = {row[0]: row[1] for row in rows}
    raylets = {
        str(info.process.pid)
        for node in cluster.list_all_nodes()
        for infos in node.all_processes.values()
        for info in infos
    }
    ours = [row[0] for row in rows if "codonbench.execution.worker" in row[2]]
    return [pid for pid in ours if parents.get(parents.get(pid)) in raylets]


def test_the_cluster_that_is_started_here_listens_on_loopback_alone(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    process = begun(tmp_path, *LONG, "--checkpoint-every", "0.05")
    with ended(process):
        until(lambda: list((tmp_path / "results" / "checkpoints").glob("*.ckpt")), process)
        inside = descendants(process.pid)
        listening = [line for line in listeners() if line[1] & inside]
        assert listening
        wide = [place for place, _ in listening if not is_loopback(place)]
        assert not wide
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in inside):
        assert time.monotonic() < end
        time.sleep(0.5)


def descendants(pid):
    ps = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    children = {}
    for line in ps.stdout.splitlines()[1:]:
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = set(), [pid]
    while waiting:
        found.add(one := waiting.pop())
        waiting += children.get(one, [])
    return found


def listeners():
    """Each listening TCP socket: its local address in hexadecimal, and whose it is."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                found[words[9]] = words[1].partition(":")[0]
    owners = {inode: set() for inode in found}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            for fd in (process / "fd").iterdir():
                inode = re.fullmatch(r"socket:\[(\d+)\]", str(fd.readlink()))
                if inode and inode[1] in owners:
                    owners[inode[1]].add(int(process.name))
    return [(found[inode], owners[inode]) for inode in found]


def is_loopback(place):
    ipv4 = bytes.fromhex(place)[-4:][::-1]
    one = "00000000000000000000000001000000"
    return ipv4[0] == 127 or place == one
