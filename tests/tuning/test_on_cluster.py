"""Trials on a cluster, without one: what a node does is done in this process."""

import time

import numpy as np
import pytest

from codonbench.contracts.run_spec import RunOptions, RunRequest, configure
from codonbench.contracts.tunable import tunable
from codonbench.errors import ClusterError, ConfigError
from codonbench.execution.cluster import NodeLostError, Resources
from codonbench.execution.cluster_runs import TRIES, Orders
from codonbench.execution.executor import Executor, load_plugins
from codonbench.execution.node import Node
from codonbench.execution.run import tried
from codonbench.tuning.on_cluster import ClusterTrials
from codonbench.tuning.space import space_of
from codonbench.tuning.study import Study, StudyRequest

pytestmark = pytest.mark.usefixtures("forked_workers")


class InThisProcess:
    """A cluster of one node, which is this process, and of which trials may be lost."""

    own = False

    def __init__(self, node):
        self.node, self.lost, self.made = node, 0, 0

    def nodes(self):
        return [{"CPU": 2.0}]

    def device(self, asked):
        return "cpu"

    def put(self, packed):
        return packed

    def submit_trial(self, order, place, data, files, key):
        self.made += 1
        return order, data, files

    def attend(self, submitted, key, look, stopped):
        if self.lost:
            self.lost -= 1
            look(1, 0.0, 0.1)
            time.sleep(0.3)
            look(2, 0.0, 0.2)
            raise NodeLostError("the node is gone")
        return self.node.try_out(*submitted, look)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(300)]
    path.write_text("\n".join(["sequence,label", *(f"{r},{'ab'[r.count('G') > 5]}" for r in rows)]))
    return path


@pytest.fixture(scope="module")
def there(table, tmp_path_factory):
    """Trials on the cluster, and those of the same executor here."""
    where = tmp_path_factory.mktemp("there")
    options = RunOptions(results=where / "runs", on="ray", checkpoint_every=0)
    node, said = Node(), []
    with Executor(options, None, load_plugins) as executor:
        cluster = InThisProcess(node)
        orders = Orders(cluster, executor, options, Resources())
        yield ClusterTrials(cluster, executor, orders, said.append), said
    node.close()


def study(trials, table, path, prepare, attempt, **fields):
    request = {"model": "deepbind", "data": str(table), "seeds": "1000", "device": "cpu"}
    request = configure(RunRequest, request | {"epochs": 1} | fields, {}, "test")
    _, config, _ = trials.executor.registry.configured(request.model, {})
    space = space_of(tunable(config), {}, {})
    return Study(path, StudyRequest(request, space, 4, "median"), prepare, attempt)


def told(made):
    return [
        (trial.params, trial.value, trial.intermediate_values, trial.state)
        for trial in made.finished()
    ]


def test_trials_on_a_cluster_are_those_that_are_made_here(there, table, tmp_path):
    trials, _ = there
    local = RunOptions(workers=1, results=tmp_path / "none")
    with Executor(local, None, load_plugins) as executor:

        def attempt(request, job, look):
            return tried(job, executor.train(job.run_specs[0]), look)

        here = study(trials, table, tmp_path / "here.db", executor.prepare, attempt)
        here.run(lambda: None)
    remote = study(trials, table, tmp_path / "there.db", trials.prepare, trials)
    assert trials.at_once(remote.job, remote.study_request.request) == 2
    remote.run(lambda: None)
    assert told(remote) == told(here)
    assert len({str(trial.params) for trial in remote.finished()}) == 4


@pytest.mark.nightly("trials on a cluster are compared with those made here on each push")
def test_several_at_once_are_as_many_as_were_asked_for_and_draw_as_one_does(there, table, tmp_path):
    trials, _ = there
    made = study(trials, table, tmp_path / "s.db", trials.prepare, trials)
    heard = []
    made.run(lambda: heard.append(1), at_once=3)
    assert len(heard) == len(made.finished()) == 4
    alone = study(trials, table, tmp_path / "one.db", trials.prepare, trials)
    alone.run(lambda: None)
    drawn = [trial.params for trial in alone.finished()]
    assert [trial.params for trial in made.finished()] == drawn


def test_a_trial_whose_node_is_lost_is_made_on_another_or_given_up(there, table, tmp_path):
    trials, said = there
    trials.cluster.lost = 1
    made = study(trials, table, tmp_path / "s.db", trials.prepare, trials)
    made.run(lambda: None)
    assert len(made.finished()) == 4
    assert made.finished()[0].user_attrs["seconds"] > 0.3  # those of the lost one count
    assert said == ["a trial's node was lost; it is made on another one"]
    trials.cluster.lost = 2 * TRIES  # of two trials at once
    gone = study(trials, table, tmp_path / "gone.db", trials.prepare, trials)
    with pytest.raises(ClusterError, match=f"lost {TRIES} times: the node is gone"):
        gone.run(lambda: None, at_once=2)
    trials.cluster.lost = 0


def test_what_a_node_cannot_make_is_said_and_ends_the_study(there, table, tmp_path):
    trials, _ = there
    made = study(trials, table, tmp_path / "s.db", trials.prepare, trials)
    order, _, data = trials.orders.of(made.job, made.study_request.request)
    other = order.model_copy(update={"source_sha256": "0" * 64})
    found = trials.cluster.node.try_out(other, data, trials.orders.files, lambda *look: False)
    assert (found.score, found.kind) == (None, ClusterError.__name__)
    trials.stop()
    with pytest.raises(KeyboardInterrupt):
        made.run(lambda: None, at_once=2)
    assert not made.finished()
    trials._over.clear()
    with pytest.raises(ConfigError, match="begun with other budget"):
        study(trials, table, tmp_path / "s.db", trials.prepare, trials, epochs=2)
