from itertools import product

import numpy as np
import pytest
import torch

from codonbench.contracts import Input, Sequences, SequenceTuples, Target, TaskSpec
from codonbench.data import encodings
from codonbench.data.encodings import available, canonical, make_encoder
from codonbench.errors import ConfigError
from codonbench_datasets.human_codon.orfs import genetic_code
from codonbench_datasets.human_codon.task import human_codon_spec

CODONS = human_codon_spec(genetic_code(1)).view()
LETTERS = np.array(list(product(range(4), repeat=3)))
SEQUENCES = CODONS.model_copy(update={"n_inputs": None, "unit": "sequence"})
CPU = torch.device("cpu")

SHAPES = {
    "codon_index": ((), torch.int64),
    "codon_onehot": ((64,), torch.float32),
    "nucleotide_index": ((3,), torch.int64),
    "nucleotide_onehot": ((3, 4), torch.float32),
    "nucleotide_onehot_mask": ((3, 5), torch.float32),
    "nucleotide_onehot_flat": ((12,), torch.float32),
    "none": ((0,), torch.float32),
}


def encode(name, index, view=CODONS, letters=LETTERS):
    return make_encoder(name, view, Sequences.of_rows(letters), CPU)(torch.as_tensor(index))


def by_hand(name, index):
    """The same by plain loops."""
    rows = []
    for i in index:
        word = LETTERS[i].tolist()
        onehots = [[float(letter == k) for k in range(4)] for letter in word]
        rows.append(
            {
                "codon_index": i,
                "codon_onehot": [float(i == k) for k in range(64)],
                "nucleotide_index": word,
                "nucleotide_onehot": onehots,
                "nucleotide_onehot_mask": [[*onehot, 1.0] for onehot in onehots],
                "nucleotide_onehot_flat": [x for onehot in onehots for x in onehot],
                "none": [],
            }[name]
        )
    return torch.tensor(rows)


@pytest.mark.parametrize("name", SHAPES)
def test_every_encoding_agrees_with_loops_over_all_codons(name):
    index = [*range(64), 5, 5, 0]
    encoded = encode(name, index)
    shape, dtype = SHAPES[name]
    assert encoded.shape == (len(index), *shape)
    assert encoded.dtype == dtype
    assert torch.equal(encoded, by_hand(name, index))


def test_the_codon_auc_is_written_out_by_hand():
    auc = [0 * 0 + 2 * 16 + 0 * 4 + 1]  # letters UCAG: A = 2, U = 0, C = 1
    assert encode("nucleotide_index", auc).tolist() == [[2, 0, 1]]
    onehots = [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert encode("nucleotide_onehot", auc).tolist() == [onehots]
    assert encode("nucleotide_onehot_flat", auc).tolist() == [
        [*onehots[0], *onehots[1], *onehots[2]]
    ]
    assert encode("codon_onehot", auc).argmax().item() == 33


@pytest.mark.parametrize("name", SHAPES)
def test_an_encoding_has_a_generic_name_for_models_that_serve_any_task(name):
    generic = name.replace("codon", "input").replace("nucleotide", "symbol")
    assert canonical(generic, CODONS) == name
    assert torch.equal(encode(generic, [7, 9]), encode(name, [7, 9]))


@pytest.mark.parametrize("name", SHAPES)
def test_a_table_too_large_to_keep_encodes_the_same(name, monkeypatch):
    index = torch.arange(64).flip(0)
    kept = encode(name, index)
    monkeypatch.setattr(encodings, "_TABLE_LIMIT", 0)
    made = encode(name, index)
    assert torch.equal(made, kept)
    assert made.dtype == kept.dtype


def test_a_onehot_of_a_hundred_thousand_inputs_needs_no_square_table():
    many = CODONS.model_copy(update={"n_inputs": 100_000})
    encoded = encode("input_onehot", [99_999], many, np.zeros((100_000, 3), int))
    assert encoded.shape == (1, 100_000)
    assert encoded[0, 99_999] == 1
    assert encoded.sum() == 1


@pytest.mark.parametrize("name", SHAPES)
def test_a_module_that_works_in_place_spoils_neither_stream_nor_table(name):
    encoder = make_encoder(name, CODONS, Sequences.of_rows(LETTERS), CPU)
    index = torch.tensor([3, 4])
    before = encoder(index).clone()
    encoder(index).zero_()
    assert index.tolist() == [3, 4]
    assert torch.equal(encoder(index), before)


def test_inputs_that_cannot_be_enumerated_are_offered_letter_by_letter_only():
    kinds = ("index", "onehot", "onehot_mask", "onehot_flat")
    assert available(SEQUENCES) == (*(f"nucleotide_{kind}" for kind in kinds), "none")
    with pytest.raises(ConfigError) as caught:
        canonical("input_onehot", SEQUENCES)
    assert f"it offers {', '.join(f'symbol_{kind}' for kind in kinds)}, none" in str(caught.value)


@pytest.mark.parametrize("name", ["codon", "residue_index", "nucleotide_onehot_flat_", ""])
def test_an_unknown_encoding_lists_those_on_offer(name):
    with pytest.raises(ConfigError, match="it offers codon_index, codon_onehot, symbol_index"):
        encode(name, [0])


def test_another_alphabet_gives_other_widths():
    view = CODONS.model_copy(
        update={"alphabet": "GAVLI", "min_length": 2, "max_length": 2, "n_inputs": 25}
    )
    letters = np.array(list(product(range(5), repeat=2)))
    assert letters[7].tolist() == [1, 2]
    assert encode("symbol_onehot", [7], view, letters).tolist() == [
        [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    ]
    assert encode("symbol_onehot_flat", [7], view, letters).shape == (1, 10)


# Items of several lengths, unknown letters, features

READS = CODONS.model_copy(
    update={"unit": "read", "alphabet": "ACGT", "min_length": 1, "max_length": 4, "n_inputs": None}
)


def test_items_of_several_lengths_are_not_offered_flat():
    assert available(READS) == (
        "nucleotide_index",
        "nucleotide_onehot",
        "nucleotide_onehot_mask",
        "none",
    )


@pytest.mark.parametrize(("ambiguous", "of_n"), [("zeros", [0] * 4), ("channel", [0] * 4 + [1])])
def test_an_end_and_an_unknown_letter_are_told_apart(ambiguous, of_n):
    """Of AC, G and NTGA the second, first and third: N is 4, what lies behind an end is 5."""
    reads = Sequences.of(["AC", "G", "NTGA"], "ACGT")
    view, asked = READS.model_copy(update={"ambiguous": ambiguous}), torch.tensor([1, 0, 2])
    [sequence] = view.sequences
    assert (sequence.channels, sequence.padding_index) == (len(of_n), 5)
    index = make_encoder("symbol_index", view, reads, CPU)(asked)
    assert index.tolist() == [[2, 5, 5, 5], [0, 1, 5, 5], [4, 3, 2, 0]]
    onehot = make_encoder("symbol_onehot", view, reads, CPU)(asked)
    width = len(of_n)
    rows = [*np.eye(4, width).tolist(), of_n, [0] * width]
    assert onehot.tolist() == [[rows[letter] for letter in item] for item in index.tolist()]
    masked = make_encoder("symbol_onehot_mask", view, reads, CPU)(asked)
    assert torch.equal(masked[..., :-1], onehot)
    assert masked[..., -1].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_features_are_no_sequences_and_are_told_so():
    with pytest.raises(ConfigError, match="whose items are sequences"):
        canonical("features", READS)


PAIRS = TaskSpec(
    name="pairs",
    version="1",
    title="Does a miRNA bind its target?",
    input=Input.of_parts(
        Input.of_length(2, unit="mirna", alphabet="ACGU"),
        Input(unit="target", min_length=1, max_length=3, ambiguous="channel"),
    ),
    target=Target(names=("no", "yes")),
    protocol="supervised",
    train_size=2,
).view()


def test_items_of_several_sequences_are_handed_over_as_a_tuple():
    items = SequenceTuples((Sequences.of(["AT", "GU"], "ACGU"), Sequences.of(["N", "ACG"], "ACGT")))
    assert [part.unit for part in PAIRS.sequences] == ["mirna", "target"]
    first, second = make_encoder("symbol_index", PAIRS, items, CPU)(torch.tensor([1, 0]))
    assert first.tolist() == [[2, 3], [0, 3]]
    assert second.tolist() == [[0, 1, 2], [4, 5, 5]]
    first, second = make_encoder("symbol_onehot", PAIRS, items, CPU)(torch.tensor([1, 0]))
    assert (first.shape, second.shape) == ((2, 2, 4), (2, 3, 5))
    taken = items.take(np.array([1]))
    assert taken.parts[0].text("ACGU") == ["GU"]
    assert taken.parts[1].text("ACGT") == ["ACG"]
    with pytest.raises(ConfigError, match="symbol_onehot_flat"):
        make_encoder("symbol_onehot_flat", PAIRS, items, CPU)
