"""Networks of any sequence: shapes, padding, and each part against an independent reckoning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codonbench.contracts import Input, Sequences, SequenceTuples, TaskView
from codonbench.data.encodings import make_encoder
from codonbench.plugins.discovery import load_registry
from codonbench_models._dilated import ResidualBlocks
from codonbench_models._sequence_nets import Filters, Recurrence
from codonbench_models._transformer import Attention, Encoder, Kmers, Letters, rotate, slopes

DNA, REGISTRY = "ACGT", load_registry()
NAMES = ["deepbind", "basset", "deepsea", "dilated", "bilstm", "bigru", "danq", "transformer"]
NAMES += ["transformer-kmers", "conv-transformer"]
SMALL: dict[str, dict[str, Any]] = {"transformer": {"positions": "alibi"}}


def make(name: str, **fields: Any) -> Any:
    entry = REGISTRY.model(name)
    return entry.cls(entry.cls.Config(**{**entry.preset, **fields}))


def view(low: int, high: int, *, parts: int = 1, **fields: Any) -> TaskView:
    """A toy task of DNA of some lengths, with three outputs."""
    one = {"alphabet": DNA, "min_length": low, "max_length": high}
    inputs = {"unit": "sequence", "symbol": "nucleotide", **one}
    if parts > 1:
        both = Input.of_parts(*(Input(unit=f"part-{i}", **one) for i in range(parts)))
        inputs = both.model_dump(exclude={"enumerable"})
    return TaskView(task="toy", n_outputs=3, **{**inputs, **fields})


def items(lengths: list[int], seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.of(["".join(rng.choice(list("ACGTN"), n)) for n in lengths], DNA)


def encode(model: Any, task: TaskView, data: Any, index: list[int]) -> Any:
    return make_encoder(model.encoding, task, data, torch.device("cpu"))(torch.tensor(index))


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# --- every network ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("low", "high"), [(1, 70), (70, 70)], ids=["ragged", "one length"])
def test_an_item_has_the_same_outputs_alone_and_beside_longer_ones(
    name: str, low: int, high: int
) -> None:
    model, task = make(name, **SMALL.get(name, {})), view(low, high)
    lengths = [high, low, min(high, 33), min(high, 7)]
    data, module = items(lengths), None
    module = model.build(task)
    module.train()
    module(encode(model, task, data, [0, 1, 2, 3])).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    with torch.no_grad():
        together = module(encode(model, task, data, [0, 1, 2, 3]))
        alone = torch.cat([module(encode(model, task, data, [i])) for i in range(4)])
        embedded = module.embed(encode(model, task, data, [0, 1, 2, 3]))
    assert together.shape == (4, 3)
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.output(embedded), together)


@pytest.mark.parametrize("name", NAMES)
def test_items_of_two_sequences_and_other_targets_are_served(name: str) -> None:
    model, task = make(name), view(3, 40, parts=2, target="quantities")
    data = SequenceTuples((items([40, 12, 3]), items([5, 40, 9], seed=1)))
    assert model.build(task)(encode(model, task, data, [0, 1, 2])).shape == (3, 3)


# Weights and biases counted by hand for 600 letters of DNA and three outputs; batch norm has two
# numbers a channel.
PUBLISHED = {
    "deepbind-published": (16 * 4 * 24 + 16) + (16 * 32 + 32) + (32 * 3 + 3),
    "deepsea-published": (4 * 8 * 320 + 320)
    + (320 * 8 * 480 + 480)
    + (480 * 8 * 960 + 960)
    + (38 * 960 * 925 + 925)
    + (925 * 3 + 3),
    "basset-published": (4 * 19 * 300 + 3 * 300)
    + (300 * 11 * 200 + 3 * 200)
    + (200 * 7 * 200 + 3 * 200)
    + (13 * 200 * 1000 + 3 * 1000)
    + (1000 * 1000 + 3 * 1000)
    + (1000 * 3 + 3),
    "danq-published": (4 * 26 * 320 + 320)
    + 2 * 4 * 320 * (320 + 320 + 2)
    + (47 * 640 * 925 + 925)
    + (925 * 3 + 3),
    "dilated-published": (4 * 32 + 32) + 8 * 2 * (32 * 11 * 32 + 3 * 32) + (32 * 3 + 3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_as_many_weights_as_counted_by_hand(name: str) -> None:
    with torch.device("meta"):
        module = make(name).build(view(600, 600))
    assert sum(p.numel() for p in module.parameters()) == PUBLISHED[name]


# --- parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "dilation"), [(1, 1), (4, 1), (5, 3), (4, 2)])
def test_filters_agree_with_a_direct_sum(width: int, dilation: int) -> None:
    filters, places = Filters(2, 3, width, dilation).double(), torch.randn(1, 2, 11).double()
    before = dilation * (width - 1) // 2
    expected = torch.zeros(1, 3, 11).double() + filters.bias[:, None]
    for place in range(11):
        for i in range(width):
            at = place - before + i * dilation
            if 0 <= at < 11:
                expected[0, :, place] += filters.weight[:, :, i] @ places[0, :, at]
    torch.testing.assert_close(filters(places), expected)


def test_a_residual_block_sees_as_far_as_its_dilation_says() -> None:
    trunk = ResidualBlocks(4, 6, 3, [1, 2], centre=True).double().eval()
    letters = torch.rand(1, 41, 5).double().requires_grad_()
    with torch.no_grad():
        letters[..., -1] = 1
    trunk(letters).sum().backward()
    assert letters.grad is not None
    seen = letters.grad[0, :, :-1].abs().sum(1).nonzero()[:, 0]
    assert (seen.min().item(), seen.max().item()) == (20 - 2 * (1 + 2), 20 + 2 * (1 + 2))


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_both_directions_read_an_item_and_nothing_behind_it(cell: str) -> None:
    ragged = Recurrence(4, 5, cell=cell, ragged=True)
    places, inside = torch.randn(2, 4, 9), torch.ones(2, 1, 9)
    inside[1, :, 6:] = 0
    states = ragged(places, inside)
    short = ragged.states(places[1:, :, :6].transpose(1, 2))[0].transpose(1, 2)
    torch.testing.assert_close(states[1:, :, :6], short)
    assert (states[1, :, 6:] == 0).all()


def test_attention_without_places_agrees_with_torch() -> None:
    ours, theirs = Attention(8, 2, 0.0, rotary=False), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.enter.weight)
        theirs.in_proj_bias.copy_(ours.enter.bias)
        theirs.out_proj.load_state_dict(ours.leave.state_dict())
    tokens, inside = torch.randn(3, 6, 8), torch.ones(3, 6, dtype=torch.bool)
    inside[2, 4:] = False
    bias = torch.zeros(3, 1, 1, 6).masked_fill(~inside[:, None, None], float("-inf"))
    expected, weights = theirs(tokens, tokens, tokens, ~inside, average_attn_weights=False)
    torch.testing.assert_close(ours(tokens, bias), expected)
    torch.testing.assert_close(ours.weights(tokens, bias), weights)


def test_products_of_rotated_vectors_depend_on_their_distance_alone() -> None:
    query, key = torch.randn(2, 8).double()
    scores = rotate(query.expand(12, 8)) @ rotate(key.expand(12, 8)).T
    for distance in range(-11, 12):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    torch.testing.assert_close(scores[3, 3], query @ key)
    turned = rotate(query.expand(12, 8))
    pairs = torch.complex(query[:4], query[4:])  # turned by 1 / 10000^(2 i / D) a place
    expected = pairs * torch.exp(1j * 5 * 10_000 ** (-torch.arange(4).double() / 4))
    torch.testing.assert_close(torch.complex(turned[5, :4], turned[5, 4:]), expected)


def test_slopes_are_those_of_the_paper_for_eight_heads() -> None:
    assert slopes(8).tolist() == [1 / 2**n for n in range(1, 9)]


@pytest.mark.parametrize("rotary", [True, False])
def test_attention_maps_are_what_the_layers_gather_by(rotary: bool) -> None:
    fields: dict[str, Any] = {"width": 8, "layers": 2, "heads": 2, "feed_forward": 8}
    encoder = Encoder(Letters(4, 8), **fields, rotary=rotary, ragged=True, dropout=0.0).eval()
    letters = torch.rand(2, 7, 5)
    letters[..., -1] = 1
    letters[1, 5:] = 0
    maps = encoder.attention(letters)
    assert maps.shape == (2, 2, 2, 7, 7)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 2, 7))
    assert (maps[1, ..., 5:] == 0).all()
    tokens, inside = encoder.tokens(letters)
    first = encoder.layers[0]
    assert isinstance(first.attention, Attention)
    normed = first.before_attention(tokens)
    value = first.attention.enter(normed)[..., 16:].unflatten(2, (2, 4)).transpose(1, 2)
    gathered = first.attention.leave((maps[:, 0] @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(first.attention(normed, encoder.bias(tokens, inside)), gathered)


@pytest.mark.parametrize("overlapping", [False, True])
def test_words_of_letters_are_numbered_in_base_five(overlapping: bool) -> None:
    texts = ["ACGTAC", "GN", "TTTT"]
    task, tokens = view(2, 6), Kmers(4, 3, 2, overlapping=overlapping)
    letters: Tensor = make_encoder(
        "symbol_onehot_mask", task, Sequences.of(texts, DNA), torch.device("cpu")
    )(torch.arange(3))
    found, inside = tokens(letters)
    for row, text in enumerate(texts):
        starts = range(0, max(1, len(text) - 2)) if overlapping else range(0, len(text), 3)
        words = [text[i : i + 3].ljust(3, "N") for i in starts]
        numbers = [["NACGT".index(letter) for letter in word] for word in words]
        index = [25 * a + 5 * b + c for a, b, c in numbers]
        assert inside[row].tolist() == [i < len(words) for i in range(inside.shape[1])]
        torch.testing.assert_close(found[row, : len(words)], tokens.table.weight[index])
