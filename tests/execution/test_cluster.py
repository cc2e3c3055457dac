"""Runs on a cluster, without one: what a node does is done in this process."""

import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codonbench import Needs
from codonbench.contracts.run_spec import RunOptions, RunRequest, configure
from codonbench.errors import ClusterError, ConfigError, DataError, StoreError, WorkerError
from codonbench.execution.cluster import (
    Cluster,
    NodeLostError,
    Place,
    Resources,
    _first_line,
    choose_kind,
)
from codonbench.execution.cluster_runs import TRIES, ClusterRuns
from codonbench.execution.executor import Executor, Listener, load_plugins
from codonbench.execution.node import Node
from codonbench.execution.run import Outcome
from codonbench.records.store import Store, pack, unpack
from codonbench.scoring.score import comparability_key
from wheels import only_shop

pytestmark = pytest.mark.usefixtures("forked_workers")

REQUEST = {"model": "mlp-64", "seeds": "0-1", "pairs": 128, "engine": "eager", "device": "cpu"}


class InThisProcess:
    """A cluster of one node, which is this process, and of which runs may be lost."""

    own = False

    def __init__(self, node, lost=()):
        self.node, self.lost = node, list(lost)
        self.runs, self.followed = [], []

    def nodes(self):
        return [{"CPU": 2.0, "memory": 2.0**33}]

    def device(self, asked):
        return "cpu"

    def put(self, packed):
        return packed

    def submit(self, *run):
        self.runs.append(run)
        return len(self.runs) - 1

    def wait(self, submitted):
        return list(submitted)[:1]

    def news(self):
        return {order.run_spec.run_id: 0.5 for order, *_ in self.runs}

    def get(self, number):
        order, _, data, files = self.runs[number]
        if order.run_spec.seed in self.lost:
            self.lost.remove(order.run_spec.seed)
            raise NodeLostError("the node is gone")
        return self.node.serve(order, data, files, self.watch)

    def watch(self, run_spec):
        return lambda pairs, progress: self.followed.append((run_spec.seed, pairs))

    def stop(self, submitted):
        pass


@pytest.fixture(scope="module")
def node():
    made = Node()
    yield made
    made.close()


class Told(Listener):
    def __init__(self):
        self.sentences, self.moves = [], []

    def moved(self, under_way):
        self.moves.append(under_way)

    def remark(self, sentence):
        self.sentences.append(sentence)


@pytest.fixture
def on_cluster(tmp_path, node):
    """Makes a request's runs on a cluster; returns outcomes, cluster and what was said."""

    def make(lost=(), results="results", options=(), **request):
        told, asked = Told(), configure(RunRequest, REQUEST | request, {}, "test")
        where = {"on": "ray", "results": tmp_path / results, **dict(options)}
        where = configure(RunOptions, where, {}, "test")
        cluster = InThisProcess(node, lost)
        with Executor(where, asked, load_plugins) as executor:
            resources = configure(Resources, {}, where.resources, "--resources")
            runs = ClusterRuns(cluster, executor, where, resources, told)
            made = [o for _, o in runs.outcomes([asked])]
            cluster.moves = told.moves
            return made, cluster, told.sentences

    return make


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """The same runs, made without a cluster."""
    asked = configure(RunRequest, REQUEST, {}, "test")
    where = RunOptions(results=tmp_path_factory.mktemp("local") / "results")
    with Executor(where, asked, load_plugins) as executor:
        job = executor.prepare(asked)
        made = [outcome.record for outcome in executor.outcomes(job, asked)]
    return sorted(made, key=lambda record: record.seed)


def differences(outcomes, records):
    """What differs between two lists of records, where they should be the same."""
    found = sorted((o.record for o in outcomes), key=lambda record: record.seed)
    assert [record.seed for record in found] == [record.seed for record in records]
    return [
        (seed, name, ours, theirs)
        for seed, (one, other) in enumerate(zip(found, records, strict=True))
        for name, ours in one.result().items()
        if (theirs := other.result()[name]) != ours
    ]


def test_a_node_makes_the_records_that_this_machine_makes(on_cluster, at_home, tmp_path):
    made, _, _ = on_cluster()
    assert not differences(made, at_home)
    store = Store(tmp_path / "results")
    for outcome in made:
        found = store.find(outcome.record.run_id, outcome.record.name)
        assert found == outcome.record
        assert found.confinement == "process"
        assert len(store.load_trajectory(found).pairs)
    again, second, _ = on_cluster()
    assert [o.reused for o in again] == [True, True]
    assert not second.runs


def test_runs_under_way_are_followed_and_parts_count_as_such(on_cluster, tmp_path):
    _, cluster, _ = on_cluster(results="whole")
    for seed in (0, 1):
        pairs = [pairs for own, pairs in cluster.followed if own == seed]
        assert pairs == sorted(pairs)
        assert pairs[-1] == 128
    assert max(cluster.moves) == 1.0  # both by halves
    assert cluster.moves[-1] == 0.0
    rows = [f"{'ACGT'[i % 4] * 6}{'ACGT'[i // 4 % 4] * 4},{'ab'[i % 3 > 0]}" for i in range(90)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
    asked = {"model": "kmer-linear", "task": None, "data": str(tmp_path / "mine.csv"), "folds": 4}
    made, cluster, _ = on_cluster(results="parts", **asked, seeds="0", pairs=None)
    assert [o.record.status for o in made] == ["done"]
    assert [round(8 * move) for move in cluster.moves] == [4, 5, 6, 7, 0]


def test_a_run_whose_node_is_lost_is_made_on_another_and_its_record_says_so(on_cluster, at_home):
    made, cluster, said = on_cluster(lost=[1])
    assert not differences(made, at_home)
    assert {o.record.seed: o.record.resumed for o in made} == {0: (), 1: (0,)}
    assert len(cluster.runs) == 3
    assert any("seed 1" in sentence and "lost" in sentence for sentence in said)


def test_a_run_whose_nodes_are_lost_again_and_again_is_given_up_and_others_go_on(on_cluster):
    made, _, _ = on_cluster(lost=[0] * TRIES)
    (error,) = (o for o in made if not isinstance(o, Outcome))
    assert isinstance(error, ClusterError)
    assert "seed 0" in str(error)
    assert [o.record.seed for o in made if isinstance(o, Outcome)] == [1]


def damaged_spec(made):
    return made._replace(record=made.record.replace('"seed":1', '"seed":7'))


def damaged_figure(made):
    return made._replace(record=made.record.replace('"pairs":128', '"pairs":127'))


def other_outputs(made):
    trajectory = unpack(io.BytesIO(made.trajectory))
    return made._replace(trajectory=pack(replace(trajectory, outputs=trajectory.outputs + 1)))


@pytest.mark.parametrize("damage", [damaged_spec, damaged_figure, other_outputs])
def test_what_comes_home_is_held_to_what_was_ordered(on_cluster, tmp_path, monkeypatch, damage):
    serve = Node.serve

    def lie(node, order, *packed):
        made = serve(node, order, *packed)
        return damage(made) if order.run_spec.seed == 1 else made

    monkeypatch.setattr(Node, "serve", lie)
    made, _, _ = on_cluster()
    (error,) = (o for o in made if not isinstance(o, Outcome))
    assert isinstance(error, WorkerError)
    assert [r.seed for r in Store(tmp_path / "results").scan()] == [0]
    monkeypatch.undo()
    again, cluster, _ = on_cluster()
    assert [order.run_spec.seed for order, *_ in cluster.runs] == [1]
    assert sorted(o.reused for o in again) == [False, True]


def test_on_a_full_disk_the_driver_ends_and_goes_on_with_what_is_missing(
    on_cluster, tmp_path, monkeypatch
):
    save = Store.save

    def full(store, record, trajectory):
        if record.seed == 1:
            raise StoreError("no space left")
        save(store, record, trajectory)

    monkeypatch.setattr(Store, "save", full)
    with pytest.raises(StoreError, match="no space left"):
        on_cluster()
    assert [r.seed for r in Store(tmp_path / "results").scan()] == [0]
    monkeypatch.undo()
    made, cluster, _ = on_cluster()
    assert [order.run_spec.seed for order, *_ in cluster.runs] == [1]
    assert [o.record.status for o in made] == ["done", "done"]


def test_data_come_once_and_are_held_to_their_checksum(on_cluster, node):
    _, cluster, _ = on_cluster(seeds="2", results="other")
    order, _, data, files = cluster.runs[0]
    damaged = np.array(data)
    damaged[-1] ^= 1
    node.close()
    made = node.serve(order, damaged, files)
    assert (made.kind, made.record) == (DataError.__name__, "")
    assert "damaged" in made.error
    assert node.serve(order, data, files).record
    wrong = order.run_spec.model_copy(update={"data_checksum": "0" * 64})
    made = node.serve(order.model_copy(update={"run_spec": wrong}), data, files)
    assert made.kind == DataError.__name__


def test_an_error_of_rays_is_told_by_its_first_line_and_its_cause():
    assert _first_line(RuntimeError("it fails:\nTraceback ...\n  at\nOSError: gone")) == (
        "it fails: OSError: gone"
    )
    assert _first_line(RuntimeError("gone\nand more")) == "gone"
    assert _first_line(RuntimeError()) == "RuntimeError"


def test_a_shared_folder_that_a_node_cannot_make_costs_checkpoints_and_is_said(
    on_cluster, node, tmp_path
):
    (tmp_path / "file").touch()
    _, cluster, _ = on_cluster(seeds="4", results="fourth")
    order, _, data, files = cluster.runs[0]
    node.close()
    shared = {"shared": str(tmp_path / "file" / "folder"), "checkpoint_every": 0.1}
    options = order.options.model_copy(update=shared)
    made = node.serve(order.model_copy(update={"options": options}), data, files)
    assert made.record
    assert [remark for remark in made.remarks if "file/folder: Not a directory" in remark]


def test_a_node_with_other_code_says_so_and_makes_nothing(on_cluster, node):
    _, cluster, _ = on_cluster(seeds="3", results="third")
    order, _, data, files = cluster.runs[0]
    made = node.serve(order.model_copy(update={"source_sha256": "0" * 64}), data, files)
    assert made.kind == ClusterError.__name__
    assert "mlp-64" in made.error
    older = order.harness.model_copy(update={"version": "0.0.1"})
    made = node.serve(order.model_copy(update={"harness": older}), data, files)
    assert "0.0.1" in made.error
    assert not made.record


PLUGIN = """
import torch
from codonbench import GradientConfig, Model, ModelInfo, Needs
from helper import WIDTH


class Mine(Model):
    info = ModelInfo(name="mine", version="1", summary="One layer.")
    Config = GradientConfig
    needs = Needs(cpus=2, memory=1)
    encoding = "nucleotide_onehot"

    def build(self, task):
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.LazyLinear(WIDTH), torch.nn.Linear(WIDTH, task.n_classes)
        )
"""


def test_a_plugin_file_travels_with_what_lies_beside_it_and_says_what_it_needs(
    on_cluster, tmp_path, monkeypatch
):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "plugins"
    folder.mkdir()
    file = folder / "mine.py"
    file.write_text(PLUGIN)
    (folder / "helper.py").write_text("WIDTH = 8\n")
    made, cluster, _ = on_cluster(model="mine", seeds="0", options={"plugin": (file,)})
    ((order, place, _, _),) = cluster.runs
    assert place == Place(cpus=2, memory=1)
    assert order.options.plugin == (Path("0/mine.py"),)
    assert [o.record.status for o in made] == ["done"]
    assert made[0].record.plugin.distribution == "mine.py"
    assert list((tmp_path / "cache").rglob("helper.py"))


@pytest.mark.nightly("an environment is built on this machine on each push")
def test_a_plugins_own_packages_are_built_on_the_node_and_stand_in_its_record(
    on_cluster, tmp_path, monkeypatch
):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    only_shop(tmp_path, monkeypatch)
    file = tmp_path / "needy.py"
    needs = '# /// script\n# dependencies = ["tinypack<2"]\n# ///\nimport tinypack\n'
    file.write_text(needs + PLUGIN.replace("from helper import WIDTH", "WIDTH = 8"))
    made, cluster, _ = on_cluster(model="mine", seeds="0", options={"plugin": (file,)})
    ((order, _, _, _),) = cluster.runs
    assert [o.record.status for o in made] == ["done"]
    assert made[0].record.environment == order.environment
    assert order.environment.packages == ("tinypack==1.0",)


def test_what_a_run_takes_is_what_is_asked_or_else_what_its_model_says(toys):
    run_spec = toys.job("mlp-64").run_specs[0]
    needs = Needs(cpus=2, memory=4, gpus=0.5)
    assert Place.of(needs, Resources(), run_spec) == Place(cpus=2, memory=4)
    assert Place.of(needs, Resources(cpus=3), run_spec).cpus == 3
    on_gpu = run_spec.model_copy(update={"device": "cuda", "threads": 4})
    place = Place.of(needs, Resources(memory=8), on_gpu, "H100")
    assert place == Place(cpus=4, memory=8, gpus=0.5, accelerator="H100")
    assert place.options() == {
        "num_cpus": 4,
        "memory": 8 * 2**30,
        "num_gpus": 0.5,
        "accelerator_type": "H100",
        "max_retries": 0,
    }
    node = {"CPU": 16.0, "memory": 2.0**36, "GPU": 1.0, "accelerator_type:H100": 1.0}
    assert place.times_on(node) == 2
    assert place.times_on({**node, "GPU": 0.0}) == 0
    assert Place.of(needs, Resources(), on_gpu, "A100").times_on(node) == 0


def test_the_runs_of_a_table_stay_on_one_kind_of_gpu():
    a = {"GPU": 2.0, "accelerator_type:A100": 1.0}
    h = {"GPU": 8.0, "accelerator_type:H100": 1.0}
    assert choose_kind([a, a], ["NVIDIA H100"]) == ""
    assert choose_kind([a, h], []) == "H100"
    assert choose_kind([a, h], ["NVIDIA A100-SXM4-80GB"]) == "A100"
    assert choose_kind([a, a, a, a, a, h], ["NVIDIA L40S"]) == "A100"


def test_a_row_goes_to_the_kind_of_gpu_that_its_table_was_made_on(tmp_path, node, at_home):
    cluster, asked = InThisProcess(node, ()), configure(RunRequest, REQUEST, {}, "test")
    cluster.nodes = lambda: [
        {"GPU": 2.0, "accelerator_type:A100": 1.0},
        {"GPU": 8.0, "accelerator_type:H100": 1.0},
    ]
    where = RunOptions(on="ray", results=tmp_path / "results")
    with Executor(where, asked, load_plugins) as executor:
        job = executor.prepare(asked, "cuda")
        runs = ClusterRuns(cluster, executor, where, Resources(), Told())
        assert runs._kind(job) == "H100"
        machine = at_home[0].machine.model_copy(
            update={"device": "cuda", "device_name": "NVIDIA A100-SXM4-80GB", "cuda": "12.8"}
        )
        spec = job.run_specs[0]
        versions = {m.name: m.version for m in executor.registry.metrics_of(job.dataset.spec)}
        there = {
            "run_spec": spec,
            "run_id": spec.run_id,
            "machine": machine,
            "comparability_key": comparability_key(spec, versions, job.task.ranking),
        }
        Store(where.results).save(at_home[0].model_copy(update=there).sealed(), None)
        assert runs._kind(job) == "A100"


def test_what_no_node_has_room_for_is_said_at_once(on_cluster):
    (error,), cluster, _ = on_cluster(options={"resources": {"cpus": "64"}})
    assert isinstance(error, ClusterError)
    assert "64 processors" in str(error)
    assert not cluster.runs
    for name, much in {"gpus": "1", "accelerator": "H100"}.items():
        (error,), cluster, _ = on_cluster(options={"resources": {name: much}})
        assert isinstance(error, ConfigError)
        assert "leave out gpus and accelerator" in str(error)
        assert not cluster.runs
    with pytest.raises(ConfigError, match="no field 'cpu'; did you mean 'cpus'"):
        on_cluster(options={"resources": {"cpu": "64"}})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"on": "ray", "workers": 0}, "--on"),
        ({"resources": {"cpus": "2"}}, "--on"),
        ({"shared": "/there"}, "--on"),
        ({"on": "slurm"}, "on"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, word):
    with pytest.raises(ConfigError, match=word):
        configure(RunOptions, options, {}, "run")


class StandsInForRay:
    """Makes an actor or a task of anything, an actor in a moment; counts the actors."""

    def __init__(self):
        self.actors, self.told = 0, []

    def is_initialized(self):
        return True

    def remote(self, made):
        return Made(self, isinstance(made, type))


class Made:
    def __init__(self, ray, is_actor):
        self._ray, self._is_actor = ray, is_actor

    def options(self, **options):
        return self

    def remote(self, *given):
        if self._is_actor:
            time.sleep(0.1)
            self._ray.actors += 1
            return f"actor {self._ray.actors}"
        self._ray.told.append(given[3])
        return None


def test_trials_that_begin_at_once_ask_one_actor(on_cluster, monkeypatch):
    """The driver looks at one: what is asked of another waited for an answer without end."""
    _, made, _ = on_cluster(seeds="4", results="fourth")
    order = made.runs[0][0]
    ray = StandsInForRay()
    monkeypatch.setattr("codonbench.execution.cluster._ray", lambda: ray)
    monkeypatch.setattr(Cluster, "_beside_us", lambda cluster: {})
    with Cluster("ray") as cluster, ThreadPoolExecutor(3) as threads:
        for n in range(3):
            threads.submit(cluster.submit_trial, order, Place(cpus=1), None, None, str(n))
    assert ray.told == ["actor 1"] * 3


def test_without_ray_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"codonbench\[cluster\]"):
        Cluster("ray")


def test_a_run_without_a_cluster_imports_no_ray():
    code = (
        "import sys, codonbench; from codonbench.execution import executor, node; "
        "sys.exit(bool({'ray', 'fsspec', 'optuna'} & {n.partition('.')[0] for n in sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
