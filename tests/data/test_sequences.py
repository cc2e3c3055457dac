"""Items of any length: packed, taken, and encoded batch by batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts import (
    DNA,
    IUPAC,
    PROTEIN,
    RNA,
    UNKNOWN,
    Dataset,
    Features,
    Input,
    Sequences,
    Target,
    TaskSpec,
    TaskView,
)
from codonbench.data import encodings
from codonbench.data.encodings import available, make_encoder
from codonbench.errors import ConfigError, PluginError

CPU = torch.device("cpu")
TEXTS = st.lists(st.text("ACGTN", min_size=1, max_size=9), min_size=1, max_size=12)


def view(texts, **fields):
    lengths = [len(text) for text in texts]
    known = {"task": "t", "unit": "sequence", "symbol": "nucleotide", "alphabet": "ACGT"}
    known |= {"min_length": min(lengths), "max_length": max(lengths), "n_outputs": 2}
    return TaskView(**known | fields)


def encode(name, texts, index):
    items = Sequences.of(texts, "ACGT")
    return make_encoder(name, view(texts), items, CPU)(torch.as_tensor(index))


@given(TEXTS, st.data())
def test_what_is_taken_is_what_the_texts_say(texts, data):
    index = data.draw(st.lists(st.integers(0, len(texts) - 1)))
    items = Sequences.of(texts, "ACGT")
    assert items.text("ACGT") == texts
    assert items.lengths.tolist() == [len(text) for text in texts]
    taken = items.take(np.array(index, dtype=np.int64))
    assert taken.text("ACGT") == [texts[i] for i in index]
    assert len(taken) == len(index)


def test_case_does_not_matter_and_other_letters_are_unknown():
    items = Sequences.of(["acGu", "N-é"], "ACGU")
    assert items.letters.tolist() == [0, 1, 2, 3, UNKNOWN, UNKNOWN, UNKNOWN]


def test_t_and_u_are_one_letter_of_bases_but_not_of_proteins():
    assert Sequences.of(["TtUu"], DNA).letters.tolist() == [3, 3, 3, 3]
    assert Sequences.of(["TtUu"], RNA).letters.tolist() == [3, 3, 3, 3]
    assert Sequences.of(["NU"], IUPAC).letters.tolist() == [14, 3]
    assert Sequences.of(["TU"], PROTEIN).letters.tolist() == [16, UNKNOWN]
    assert Sequences.of(["TU"], PROTEIN).text(PROTEIN) == ["TX"]


def test_data_that_may_not_hold_other_letters_are_refused_by_item():
    fields = {"min_length": 1, "max_length": 3, "ambiguous": "refuse"}
    spec = TaskSpec(
        name="strict",
        version="1",
        title="No N",
        input=Input(**fields),
        target=Target(names=("a", "b")),
        protocol="supervised",
        train_size=2,
    )
    targets = np.zeros(2, dtype=np.int64)
    fine = Sequences.of(["AC", "GTT"], "ACGT")
    assert Dataset(spec, "mine", "0", False, fine, targets).items is fine
    with pytest.raises(PluginError, match=r"task 'strict'.*sequence 2 holds.*ACGT.*zeros"):
        Dataset(spec, "mine", "0", False, Sequences.of(["AC", "GNT"], "ACGT"), targets)


@given(TEXTS, st.data())
def test_shorter_items_are_padded_to_the_longest_of_their_batch(texts, data):
    index = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=6))
    longest = max(len(texts[i]) for i in index)
    by_hand = [
        ["ACGT".find(letter) % 5 for letter in texts[i]] + [5] * (longest - len(texts[i]))
        for i in index
    ]
    found = encode("symbol_index", texts, index)
    assert found.dtype == torch.int64
    assert found.tolist() == by_hand
    onehot = encode("symbol_onehot", texts, index)
    assert onehot.shape == (len(index), longest, 4)
    rows = [[[float(letter == k) for k in range(4)] for letter in row] for row in by_hand]
    assert onehot.tolist() == rows


@given(st.lists(st.text("ACGTN", min_size=4, max_size=4), min_size=1, max_size=8))
def test_a_table_and_batch_by_batch_are_the_same(texts):
    index = [0, len(texts) - 1, 0]
    for name in ("symbol_onehot", "symbol_onehot_flat"):
        table = encode(name, texts, index)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encodings, "_TABLE_LIMIT", 1)
            torch.testing.assert_close(encode(name, texts, index), table, rtol=0, atol=0)


def test_no_items_are_encoded_as_nothing():
    assert encode("symbol_onehot", ["AC", "A"], np.zeros(0, dtype=np.int64)).shape == (0, 0, 4)


def test_items_that_differ_in_length_have_nothing_flat():
    texts = ["AC", "A"]
    assert "nucleotide_onehot_flat" not in available(view(texts))
    with pytest.raises(ConfigError, match=r"_flat.*of one length.*1 to 2 letters.*symbol_onehot,"):
        encode("symbol_onehot_flat", texts, [0])


def test_features_are_given_as_they_are():
    items = Features(np.arange(6, dtype=np.float32).reshape(3, 2))
    asked = view(["AC"], kind="features", alphabet="")
    assert available(asked) == ("features", "none")
    taken = make_encoder("features", asked, items, CPU)(torch.tensor([2, 0]))
    assert taken.tolist() == [[4, 5], [0, 1]]
    assert items.take(np.array([2, 0])).values.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ConfigError, match="features"):
        make_encoder("symbol_onehot", asked, items, CPU)
