"""The control: the same pairs, and a code of its own for each run."""

from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts.run_spec import RunRequest
from codonbench.data.stream import Stream, hidden_generator
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.protocols.referee import RunSetup
from codonbench_datasets.human_codon.orfs import CLASSES, CODONS
from codonbench_datasets.human_codon.task import NOTE, HumanCodon, HumanCodonOptions
from codonbench_models.baselines import Oracle

RESULTS = Path(__file__).resolve().parents[2] / "leaderboard" / "results"


def load(**options):
    return HumanCodon().load("usage", HumanCodonOptions(**options), cache=Path("no-cache"))


@pytest.fixture(scope="module")
def natural():
    return load()


@pytest.fixture(scope="module")
def control():
    return load(control="shuffled")


def for_run(control, seed, salt="salt"):
    return control.for_run(hidden_generator(salt, seed, "control"))


def test_the_code_of_a_run_is_the_natural_one_in_the_order_that_its_generator_gives(control):
    class Backwards:
        def permutation(self, labels):
            return labels[::-1]

    assert control.for_run(Backwards()).targets.tolist() == control.targets.tolist()[::-1]


def test_every_class_keeps_its_number_of_codons(natural, control):
    for seed in range(20):
        targets = for_run(control, seed).targets
        assert (np.bincount(targets) == np.bincount(natural.targets)).all()
        assert (targets != natural.targets).sum() > 40  # 61 of 64 on average


def test_each_codon_may_come_to_mean_anything(control):
    """2,100 codes: leucine, six codons of 64, takes a codon in 197 of them, give or take 13."""
    codes = np.array([for_run(control, seed).targets for seed in range(2_100)])
    leucine = (codes == CLASSES.index("L")).sum(axis=0)
    assert 140 < leucine.min() < leucine.max() < 255
    chi_squared = ((leucine - 2_100 * 6 / 64) ** 2 / (2_100 * 6 / 64)).sum()
    assert 20 < chi_squared < 110  # 63 degrees of freedom, times 64/63 and 58/64: 58 +- 10


def test_pairs_and_their_order_are_those_without_the_control(natural, control):
    one, other = Stream(natural, 3), Stream(for_run(control, 3), 3)
    assert np.array_equal(one.split.train, other.split.train)
    assert np.array_equal(one.epoch(1), other.epoch(1))
    assert np.array_equal(one.split.test, other.split.test)
    assert control.checksum == natural.checksum


def test_seed_and_salt_both_decide_the_code(control):
    chosen = [("a", 0), ("a", 1), ("b", 0)]
    codes = {tuple(for_run(control, seed, salt).targets.tolist()) for salt, seed in chosen}
    assert len(codes) == 3
    assert np.array_equal(for_run(control, 0).targets, for_run(control, 0).targets)


def test_the_code_of_seed_zero_never_changes(control):
    targets = for_run(control, 0, "codonbench-public-1").targets
    code = "".join(CLASSES[target] for target in targets)
    assert code == "RDGTFQLFLWDCPPLLIANHV*ARVPSLGGNRSK*PTCVYIRATRSSKGAIERSTSE*HVMLYQ"


def test_groups_follow_the_shuffled_code_and_rare_codons_stay_rare(natural, control):
    spec = for_run(control, 1).spec
    stop = CLASSES.index("*")
    assert spec.groups["stop"] == tuple(np.flatnonzero(np.array(spec.evaluation.targets) == stop))
    assert spec.groups["stop"] != natural.spec.groups["stop"]
    assert len(spec.groups["stop"]) == 3
    assert spec.groups["rare"] == natural.spec.groups["rare"]
    in_classes = sorted(i for name in (*CLASSES[:-1], "stop") for i in spec.groups[name])
    assert in_classes == list(range(64))
    assert NOTE in spec.notes
    assert spec.target.class_weights == natural.spec.target.class_weights


def test_without_a_run_the_code_is_the_natural_one_and_its_stops_are_open(natural, control):
    assert np.array_equal(control.targets, natural.targets)
    assert "stop" not in control.spec.groups


def test_a_run_is_asked_about_its_own_code(toys):
    """The oracle answers what the run holds to be true: nothing else in the run may differ."""
    registry = toys.registry()
    request = RunRequest(model="oracle", task_overrides={"control": "shuffled"}, seeds=(0, 1))
    job = prepare(request, registry, Path("no-cache"))
    trajectories = [trajectory for _, trajectory in run(job, registry, lambda run_spec: None)]
    assert all(trajectory.right.all() for trajectory in trajectories)
    assert trajectories[0].task.evaluation.targets != trajectories[1].task.evaluation.targets
    for run_spec, trajectory in zip(job.run_specs, trajectories, strict=True):
        assert trajectory.task == RunSetup(run_spec, job.dataset, job.protocol, 64).dataset.spec


def test_a_knower_of_the_real_code_is_wrong_under_the_control(natural, control):
    asked = for_run(control, 0).spec
    known = Oracle(Oracle.Config()).logits(natural.spec).argmax(axis=1)
    assert (known == np.array(asked.evaluation.targets)).sum() < 12


def test_the_records_of_before_are_found_again(toys):
    """The hash of a spec names a run: an option that is not used must not be in it."""
    assert HumanCodonOptions().model_dump(mode="json") == {"genetic_code": 1, "mean_length": None}
    job = toys.job("mlp-64", task="human-codon", seeds=(0, 9))
    for run_spec in job.run_specs:
        assert (RESULTS / f"mlp-64-s{run_spec.seed}-{run_spec.run_id}.json").is_file()


def test_a_control_is_another_run_and_another_table(toys):
    plain = toys.job("mlp-64", task="human-codon").run_specs[0]
    control = toys.job("mlp-64", task="human-codon", task_overrides={"control": "shuffled"})
    assert control.run_specs[0].task_options["control"] == "shuffled"
    assert control.run_specs[0].run_id != plain.run_id
    assert control.dataset.spec.evaluation.inputs == CODONS
