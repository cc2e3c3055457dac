from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts import Dataset, EvaluationSet, Input, Sequences, Split, Target, TaskSpec
from codonbench.contracts.run_spec import PUBLIC_SALT
from codonbench.data.stream import Relabelling, Stream, first_positions, generator, relabelling
from codonbench.errors import PluginError


@dataclass(frozen=True, eq=False, kw_only=True)
class Cards(Dataset):
    """A pack of cards, shuffled: some are trained on and the rest held out."""

    pack: tuple[int, ...]

    def split(self, rng):
        drawn = rng.permutation(np.array(self.pack))
        none = np.zeros(0, dtype=np.int64)
        return Split(drawn[: self.spec.train_size], none, drawn[self.spec.train_size :])


def cards(pack=tuple("aaaaaabbbbccd"), train=10, enumerable=True):
    """Four inputs a to d; d is rare."""
    return Cards(
        spec=TaskSpec(
            name="cards",
            version="1",
            title="Cards",
            input=Input.of_length(
                1, unit="card", symbol="letter", alphabet="abcd", enumerable=enumerable
            ),
            target=Target(names=("X", "Y")),
            protocol="decipher",
            evaluation=EvaluationSet(inputs=tuple("abcd"), targets=(0, 1, 0, 1)),
            train_size=train,
            test_size=len(pack) - train,
        ),
        source="cards",
        checksum="0",
        simulated=True,
        items=Sequences.of_rows(np.arange(4)[:, None]),
        targets=np.array([0, 1, 0, 1]),
        evaluation=np.arange(4),
        pack=tuple("abcd".index(card) for card in pack),
    )


PACKS = st.text("abcd", min_size=2, max_size=40)
SEEDS = st.integers(0, 2**31 - 1)


def everything(stream, batch_size, stop, start=0):
    """All batches of the stream, joined, and where each ended."""
    batches = list(stream.batches(batch_size, stop, start))
    joined = [i for batch in batches for i in batch.index.tolist()]
    return joined, [batch.pairs for batch in batches]


def test_batches_end_with_the_epoch_and_with_the_budget():
    """Epochs of 10 pairs, batches of 4, a budget of 17."""
    _, ends = everything(Stream(cards(), 0), 4, 17)
    assert ends == [4, 8, 10, 14, 17]


def test_a_batch_larger_than_the_epoch_is_the_epoch():
    _, ends = everything(Stream(cards(), 0), 64, 25)
    assert ends == [10, 20, 25]


@given(PACKS, SEEDS, st.integers(1, 50), st.integers(0, 100))
def test_the_order_is_the_same_for_every_batch_size(pack, seed, batch_size, stop):
    stream = Stream(cards(pack, len(pack) - 1), seed)
    joined, ends = everything(stream, batch_size, stop)
    one_by_one, _ = everything(Stream(cards(pack, len(pack) - 1), seed), 1, stop)
    assert joined == one_by_one
    assert len(joined) == stop
    assert ends == np.cumsum([b.index.size for b in stream.batches(batch_size, stop)]).tolist()


@given(PACKS, SEEDS, st.integers(1, 9), st.data())
def test_a_run_resumes_where_a_batch_ended(pack, seed, batch_size, data):
    dataset = cards(pack, len(pack))
    joined, ends = everything(Stream(dataset, seed), batch_size, 50)
    start = data.draw(st.sampled_from([0, *ends]))
    resumed, later = everything(Stream(dataset, seed), batch_size, 50, start)
    assert resumed == joined[start:]
    assert later == [end for end in ends if end > start]


@given(PACKS, SEEDS, st.integers(1, 30))
def test_train_and_test_pairs_share_out_the_draw(pack, seed, train):
    train = min(train, len(pack))
    dataset = cards(pack, train)
    stream = Stream(dataset, seed)
    assert (len(stream.split.train), len(stream.split.test)) == (train, len(pack) - train)
    assert stream.epoch_pairs == train
    assert sorted([*stream.split.train, *stream.split.test]) == sorted(dataset.pack)


@given(PACKS, SEEDS)
def test_every_epoch_holds_the_training_pairs(pack, seed):
    stream = Stream(cards(pack, len(pack) - 1), seed)
    for number in (0, 1, 2, 100, 0):
        assert sorted(stream.epoch(number)) == sorted(stream.split.train)


def test_every_epoch_is_shuffled_afresh_and_can_be_asked_for_again():
    dataset = cards("abcd" * 30, 120)
    stream = Stream(dataset, 3)
    orders = [tuple(stream.epoch(number)) for number in range(20)]
    assert len(set(orders)) == 20
    assert tuple(stream.epoch(7)) == orders[7]
    assert tuple(Stream(dataset, 3).epoch(7)) == orders[7]
    assert orders[0] != tuple(stream.split.train)


def first_seen(dataset, seed):
    epoch = Stream(dataset, seed).epoch(0)
    return first_positions(epoch, dataset.evaluation, len(dataset.items)).tolist()


@given(PACKS, SEEDS)
def test_first_positions_agree_with_a_loop_over_the_first_epoch(pack, seed):
    dataset = cards(pack, len(pack) - 1)
    first = [0, 0, 0, 0]
    for position, card in enumerate(Stream(dataset, seed).epoch(0).tolist(), start=1):
        first[card] = first[card] or position
    assert first_seen(dataset, seed) == first


def test_first_positions_follow_the_order_of_the_evaluation_set():
    dataset = cards()
    backwards = EvaluationSet(inputs=tuple("dcba"), targets=(1, 0, 1, 0))
    spec = dataset.spec.model_copy(update={"evaluation": backwards})
    reversed_ = replace(dataset, spec=spec, evaluation=np.array([3, 2, 1, 0]))
    assert first_seen(reversed_, 5) == first_seen(dataset, 5)[::-1]


@given(PACKS, SEEDS, st.integers(0, 60), st.integers(0, 60))
def test_pairs_between_two_positions_are_those_of_the_batches(pack, seed, start, more):
    dataset = cards(pack, len(pack) - 1)
    joined, _ = everything(Stream(dataset, seed), 1, start + more)
    assert Stream(dataset, seed).between(start, start + more).tolist() == joined[start:]


def test_seeds_are_independent_and_repeat():
    dataset = cards("abcd" * 30, 120)
    orders = [tuple(Stream(dataset, seed).epoch(0)) for seed in (*range(20), 0)]
    assert orders[0] == orders[-1]
    assert len(set(orders)) == 20


def test_the_generators_of_a_seed_differ_by_purpose_and_epoch():
    purposes = [(0,), (2,), *((1, epoch) for epoch in range(50))]
    keys = [(seed, *purpose) for seed in range(20) for purpose in purposes]
    assert len({generator(*key).integers(2**63) for key in keys}) == len(keys)


def test_no_global_generator_is_used():
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    everything(Stream(cards(), 0), 4, 30)
    assert np.random.get_state()[1].tolist() == before


NONE = np.zeros(0, int)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.zeros(9, int), NONE, np.zeros(3, int)), "9 training, 0 validation and 3 test"),
        (Split(np.zeros(10, int), np.zeros(1, int), np.zeros(3, int)), "1 validation and 3 test"),
        (Split(np.full(10, 4), NONE, np.zeros(3, int)), r"outside its 0\.\.3"),
        (Split(np.zeros(10, int), NONE, np.full(3, -1)), r"outside its 0\.\.3"),
    ],
)
def test_a_split_that_breaks_its_promise_is_named(split, message):
    dataset = cards()
    object.__setattr__(dataset, "split", lambda rng: split)
    with pytest.raises(PluginError, match=message):
        Stream(dataset, 0).split  # noqa: B018 - it is drawn when first asked for


CYCLE = Relabelling(np.array([1, 2, 0]))  # a model sees class 0 as 1, 1 as 2, 2 as 0

PERMUTATIONS = st.integers(2, 30).flatmap(lambda n: st.permutations(range(n)))


def test_labels_are_hidden_by_looking_them_up():
    assert CYCLE.hide(np.array([0, 1, 2, 0])).tolist() == [1, 2, 0, 1]


def test_columns_are_hidden_where_the_model_looks_for_them():
    """True class 0 of weight 10 is the model's class 1, and so on round the cycle."""
    assert CYCLE.hide_columns(np.array([10.0, 20.0, 30.0])).tolist() == [30.0, 10.0, 20.0]


def test_columns_are_revealed_in_true_order():
    logits = np.array([[[0.3, 0.1, 0.2]]], dtype=np.float32)  # model's classes 0, 1, 2
    assert CYCLE.reveal_columns(logits).tolist() == np.float32([[[0.1, 0.2, 0.3]]]).tolist()


@given(PERMUTATIONS, st.integers(0, 2**32 - 1))
def test_hiding_and_revealing_undo_each_other(forward, chance):
    permutation = Relabelling(np.array(forward))
    table = np.random.default_rng(chance).normal(size=(2, 5, len(forward)))
    assert np.array_equal(permutation.reveal_columns(permutation.hide_columns(table)), table)
    assert np.array_equal(permutation.hide_columns(permutation.reveal_columns(table)), table)


@given(PERMUTATIONS, st.integers(0, 2**32 - 1))
def test_the_right_column_stays_right(forward, chance):
    """A model that is right about a hidden label is right about the true one once revealed."""
    permutation = Relabelling(np.array(forward))
    labels = np.random.default_rng(chance).integers(len(forward), size=9)
    logits = np.eye(len(forward), dtype=np.float32)[permutation.hide(labels)]
    assert np.array_equal(permutation.reveal_columns(logits).argmax(axis=1), labels)


@given(PERMUTATIONS)
def test_a_class_keeps_its_weight(forward):
    permutation = Relabelling(np.array(forward))
    weights = np.arange(len(forward)) + 0.5
    hidden = permutation.hide_columns(weights)
    for label, weight in enumerate(weights):
        assert hidden[permutation.hide(np.array(label))] == weight


@pytest.mark.parametrize("n_classes", [2, 21, 1000])
def test_every_class_gets_an_id_of_its_own(n_classes):
    for seed in range(5):
        forward = relabelling(n_classes, PUBLIC_SALT, seed).forward
        assert sorted(forward.tolist()) == list(range(n_classes))


def test_the_public_relabelling_of_seed_zero_never_changes():
    forward = relabelling(21, PUBLIC_SALT, 0).forward.tolist()
    assert forward == [3, 2, 5, 6, 14, 17, 8, 19, 12, 18, 10, 13, 4, 11, 20, 15, 1, 0, 16, 9, 7]


def test_salt_and_seed_both_decide():
    chosen = [("a", 0), ("a", 1), ("b", 0), ("a\0001", 0), ("", 0)]
    forwards = {tuple(relabelling(21, salt, seed).forward.tolist()) for salt, seed in chosen}
    assert len(forwards) == len(chosen)


def test_each_id_is_about_equally_likely():
    """2,100 seeds, 21 ids: each class gets each id 100 times, give or take."""
    ids = np.array([relabelling(21, "salt", seed).forward for seed in range(2_100)])
    counts = np.array([np.bincount(column, minlength=21) for column in ids.T])
    chi_squared = ((counts - 100) ** 2 / 100).sum()
    assert 300 < chi_squared < 500  # 400 degrees of freedom: 400 +- 28
