"""What is known of single items, worked out by hand; and whose items are not shown."""

import numpy as np
import pytest

from codonbench import Dataset, DataSource, Input, Sequences, Target, TaskSpec
from codonbench.errors import StoreError
from codonbench.report.item_facts import LONGEST, item_facts, read_facts

LETTERS = ("ACGTACGTACGTAAAA", "GGGGCCCCGGGGCCCCGGGG", "ACGTACGTACGTAAAA", "TTTTTTTTTTTT" * 20)
SPEC = TaskSpec(
    name="made-up",
    version="1",
    title="Made up",
    input=Input(min_length=4, max_length=300),
    target=Target(names=("no", "yes")),
    protocol="supervised",
    train_size=2,
    test_size=2,
)


class Licensed:
    """As much of a task as is asked."""

    sources = ()
    shares_targets = True
    licence = "MIT"


def data(**changes):
    given = {
        "spec": SPEC,
        "source": "made-up",
        "checksum": "c" * 64,
        "simulated": False,
        "items": Sequences.of(LETTERS, "ACGT"),
        "targets": np.array([0, 1, 0, 1]),
        "splits": {
            "train": np.array([0, 3]),
            "validation": np.array([0]),
            "test": np.array([1, 2]),
        },
    }
    return Dataset(**{**given, **changes})


def test_lengths_shares_of_gc_and_likeness_of_test_items():
    facts = item_facts(Licensed(), data())
    values = {name: own.tolist() for name, own in facts.values().items()}
    assert values["length"] == [20, 16]
    assert values["GC"] == [100, 38]  # 6 of 16 letters
    assert values["likeness"] == [0, 100]  # the second stands in training, letter by letter
    assert facts.items == 2


def test_examples_are_of_training_cut_and_of_each_class_in_turn():
    facts = item_facts(Licensed(), data())
    assert sorted(each.answer for each in facts.examples) == ["no", "yes"]
    (long,) = [each for each in facts.examples if each.answer == "yes"]
    assert long.parts == ("T" * LONGEST,)
    assert long.lengths == (240,)
    assert facts.withheld == ""


@pytest.mark.parametrize(
    ("changes", "simulated", "why"),
    [
        ({"licence": ""}, False, "no licence is stated that would allow it"),
        ({"licence": "none stated (the public copy)"}, False, "no licence is stated"),
        ({"shares_targets": False}, False, "its targets must not be published"),
        (
            {
                "sources": (
                    DataSource(
                        name="x", summary="", url="u", filename="f", terms="academic use only"
                    ),
                )
            },
            False,
            "the terms of the data are: academic use only",
        ),
        ({"licence": ""}, True, ""),
    ],
    ids=["no licence", "none stated", "hidden targets", "terms", "simulated"],
)
def test_items_are_withheld_where_the_licence_does_not_allow_them(changes, simulated, why):
    task = type("Other", (Licensed,), changes)()
    facts = item_facts(task, data(simulated=simulated))
    assert facts.withheld.startswith(why)
    assert bool(facts.examples) == (not why)
    assert facts.values()["length"].tolist() == [20, 16]  # that is no sequence


def test_a_table_of_ones_own_is_for_its_owner_to_show():
    assert item_facts(None, data()).examples


def test_what_is_written_is_read_and_what_is_damaged_is_named(tmp_path):
    facts = item_facts(Licensed(), data())
    (tmp_path / "made-up.json").write_text(facts.model_dump_json())
    assert read_facts(tmp_path) == {facts.checksum: facts}
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(StoreError, match=r"other\.json: no description of items"):
        read_facts(tmp_path)
