from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts import Dataset, TaskSpec
from codonbench.data.stream import Stream, generator
from codonbench.errors import PluginError


@dataclass(frozen=True, eq=False, kw_only=True)
class Cards(Dataset):
    """A pack of cards, shuffled: some are trained on and the rest held out."""

    pack: tuple[int, ...]

    def draw(self, rng):
        drawn = rng.permutation(np.array(self.pack))
        return drawn[: self.spec.train_size], drawn[self.spec.train_size :]


def cards(pack=tuple("aaaaaabbbbccd"), train=10, enumerable=True):
    """Four inputs a to d; d is rare."""
    return Cards(
        spec=TaskSpec(
            name="cards",
            version="1",
            title="Cards",
            unit="card",
            symbol="letter",
            alphabet="abcd",
            length=1,
            classes=("X", "Y"),
            enumerable=enumerable,
            probe_inputs=tuple("abcd"),
            probe_labels=(0, 1, 0, 1),
            train_size=train,
            test_size=len(pack) - train,
        ),
        source="cards",
        checksum="0",
        simulated=True,
        inputs=np.arange(4)[:, None],
        labels=np.array([0, 1, 0, 1]),
        probe=np.arange(4),
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
    assert (len(stream.train), len(stream.test)) == (train, len(pack) - train)
    assert stream.epoch_pairs == train
    assert sorted([*stream.train, *stream.test]) == sorted(dataset.pack)
    by_hand = [stream.test.tolist().count(card) for card in range(4)]
    assert stream.test_counts.tolist() == by_hand


@given(PACKS, SEEDS)
def test_every_epoch_holds_the_training_pairs(pack, seed):
    stream = Stream(cards(pack, len(pack) - 1), seed)
    for number in (0, 1, 2, 100, 0):
        assert sorted(stream.epoch(number)) == sorted(stream.train)


def test_every_epoch_is_shuffled_afresh_and_can_be_asked_for_again():
    dataset = cards("abcd" * 30, 120)
    stream = Stream(dataset, 3)
    orders = [tuple(stream.epoch(number)) for number in range(20)]
    assert len(set(orders)) == 20
    assert tuple(stream.epoch(7)) == orders[7]
    assert tuple(Stream(dataset, 3).epoch(7)) == orders[7]
    assert orders[0] != tuple(stream.train)


@given(PACKS, SEEDS)
def test_first_seen_agrees_with_a_loop_over_the_first_epoch(pack, seed):
    stream = Stream(cards(pack, len(pack) - 1), seed)
    first = [0, 0, 0, 0]
    for position, card in enumerate(stream.epoch(0).tolist(), start=1):
        first[card] = first[card] or position
    assert stream.first_seen.tolist() == first
    assert stream.all_seen == (max(first) if all(first) else None)


def test_all_seen_is_null_where_inputs_cannot_be_enumerated():
    stream = Stream(cards(enumerable=False, train=13), 0)
    assert stream.first_seen.all()
    assert stream.all_seen is None
    assert stream.test_counts.tolist() == [1, 1, 1, 1]


def test_first_seen_follows_the_order_of_the_probe_set():
    dataset = cards()
    spec = dataset.spec.model_copy(
        update={"probe_inputs": tuple("dcba"), "probe_labels": (1, 0, 1, 0)}
    )
    backwards = replace(dataset, spec=spec, probe=np.array([3, 2, 1, 0]))
    assert Stream(backwards, 5).first_seen.tolist() == Stream(dataset, 5).first_seen[::-1].tolist()
    counts = Stream(dataset, 5).test_counts
    assert Stream(backwards, 5).test_counts.tolist() == counts[::-1].tolist()


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


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda rng: (np.zeros(9, int), np.zeros(3, int)), "drew 9 training and 3 held-out pairs"),
        (lambda rng: (np.full(10, 4), np.zeros(3, int)), "outside its inputs 0..3"),
        (lambda rng: (np.zeros(10, int), np.full(3, -1)), "outside its inputs 0..3"),
    ],
)
def test_a_draw_that_breaks_its_promise_is_named(draw, message):
    dataset = cards()
    object.__setattr__(dataset, "draw", draw)
    with pytest.raises(PluginError, match=message):
        Stream(dataset, 0)
