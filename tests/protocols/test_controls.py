"""Controls of supervised tasks: what each takes away, and what it leaves alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codonbench import Dataset, Input, Ranking, Sequences, Target, Task, TaskSpec
from codonbench.audit.one_record import contradictions
from codonbench.contracts import Features
from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import ConfigError
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.protocols.controls import controls_of, permuted_targets
from codonbench.protocols.referee import RunSetup, unwatched
from codonbench.protocols.supervised import Supervised

SIZES = {"train": (0, 60), "validation": (60, 90), "test": (90, 130)}


class Motif(Task):
    """Sequences of 20 letters: does GATTACA, or its reverse complement, stand in one?"""

    name, version, title, protocol = "motif", "1", "Is the motif there?", "supervised"
    ranking = Ranking.by_mean("mcc", mcc="MCC")
    default_data, strand = "dice", "either"

    def load(self, data, options, *, cache, offline=False):
        rng = np.random.default_rng(3)
        targets = np.arange(130) % 2
        texts = ["".join(rng.choice(list("ACGT"), 13)) for _ in targets]
        with_motif = [
            t[:6] + ("GATTACA", "TCCTTCC")[1 - y] + t[6:]
            for t, y in zip(texts, targets, strict=True)
        ]
        return Dataset(
            spec=TaskSpec(
                name=self.name,
                version="1",
                title=self.title,
                input=Input.of_length(20),
                target=Target(names=("no", "yes")),
                protocol=self.protocol,
                **{f"{name}_size": stop - start for name, (start, stop) in SIZES.items()},
                default_epochs=3,
            ),
            source="dice",
            checksum="c" * 64,
            simulated=True,
            items=Sequences.of(with_motif, "ACGT"),
            targets=targets.astype(np.int64),
            splits={name: np.arange(*span) for name, span in SIZES.items()},
        )


@pytest.fixture(scope="module")
def made(toys):
    registry = toys.registry()
    registry.add(toys.module("motifs", tasks=(Motif(),)), "test", "1")

    def job(model="cnn", **asked):
        request = RunRequest(model=model, task="motif", device="cpu", **asked)
        return prepare(request, registry, Path("no-cache"))

    job.registry = registry
    return job


def setup(job, seed=0):
    run_spec = next(each for each in job.run_specs if each.seed == seed)
    return RunSetup(run_spec, job.dataset, job.protocol, job.batch_size)


def test_labels_are_permuted_within_training_and_validation_anew_for_each_seed(made):
    plain, control = made(seeds="0-1"), made(seeds="0-1", control="labels")
    natural, first, second = setup(plain), setup(control), setup(control, 1)
    for name, span in SIZES.items():
        part = slice(*span)
        own = [each.dataset.targets[part].tolist() for each in (natural, first, second)]
        assert Counter(own[1]) == Counter(own[0])
        assert (own[0] == own[1]) == (name == "test")
        assert (own[1] == own[2]) == (name == "test")
    assert first.hidden.tolist() == first.dataset.targets.tolist()
    assert np.array_equal(natural.stream.epoch(1), first.stream.epoch(1))
    salted = setup(made(seeds="0-1", control="labels", salt="another"))
    assert salted.dataset.targets.tolist() != first.dataset.targets.tolist()


def test_an_item_that_comes_twice_in_training_has_one_target():
    data = Motif().load("dice", None, cache=Path("no-cache"))
    split = data.split(np.random.default_rng(0))
    split = type(split)(np.repeat(split.train, 2), split.validation, split.test)
    found = permuted_targets(data, split, np.random.default_rng(0))
    assert Counter(found.targets[:60].tolist()) == Counter(data.targets[:60].tolist())


def test_composition_is_kept_and_order_is_not_the_same_for_all_seeds(made):
    plain, control = made().dataset, made(seeds="0-1", control="composition")
    before, after = (data.items.text("ACGT") for data in (plain, control.dataset))
    assert all(sorted(a) == sorted(b) for a, b in zip(before, after, strict=True))
    assert sum("GATTACA" in text for text in after) < 10 < sum("GATTACA" in text for text in before)
    assert setup(control).dataset.items is setup(control, 1).dataset.items
    assert control.dataset.targets.tolist() == plain.targets.tolist()
    assert "dinucleotides" in control.dataset.spec.notes[-1]
    assert control.dataset.checksum == plain.checksum


def test_only_test_items_are_turned_to_the_other_strand(made):
    before, after = (
        made(**asked).dataset.items.text("ACGT") for asked in ({}, {"control": "strand"})
    )
    assert after[:90] == before[:90]
    pairs = str.maketrans("ACGT", "TGCA")
    assert after[90:] == [text.translate(pairs)[::-1] for text in before[90:]]


def test_nothing_is_trained_and_the_start_is_tested(made):
    job = made(control="untrained")
    [(record, trajectory)] = run(job, made.registry, unwatched)
    assert (record.pairs, record.selected_pairs) == (0, 0)
    assert trajectory.pairs.tolist() == [0]
    assert len(trajectory.test_outputs) == 40
    assert record.run_spec.control == "untrained"
    assert list(contradictions(record, Motif())) == []


def test_a_control_is_part_of_what_is_asked_and_divides_tables(made):
    plain, control = made(), made(control="labels")
    assert plain.run_specs[0].task_options == {}
    assert control.run_specs[0].task_options == {"control": "labels"}
    assert made(task_overrides={"control": "labels"}).run_specs == control.run_specs
    assert plain.run_specs[0].run_id != control.run_specs[0].run_id


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        ("cnn", {"control": "lables"}, "task 'motif' has no control 'lables'; it has labels, "),
        ("kmer-linear", {"control": "untrained"}, "is fitted in one go and has no untrained state"),
        ("bound", {"control": "labels"}, "is computed, not trained; leave out --control labels"),
    ],
)
def test_what_cannot_be_had_is_refused(made, model, asked, message):
    with pytest.raises(ConfigError, match=message):
        made(model, **asked)


def test_what_a_task_lacks_is_not_offered(made, toys, monkeypatch):
    """A given strand has no other, features have no order, codons a control of their own."""
    monkeypatch.setattr(Motif, "strand", "given")
    with pytest.raises(ConfigError, match="no control 'strand'; it has labels, composition, u"):
        made(control="strand")
    found = Motif().load("dice", None, cache=Path("no-cache"))
    features = replace(
        found,
        spec=found.spec.model_copy(update={"input": Input.of_length(1, kind="features")}),
        items=Features(np.zeros((130, 1), np.float32)),
    )
    assert controls_of(Motif(), features, Supervised.controls) == ("labels", "untrained")
    with pytest.raises(ConfigError, match="has no control 'labels'; it has shuffled"):
        toys.job("mlp-64", task="human-codon", control="labels")
