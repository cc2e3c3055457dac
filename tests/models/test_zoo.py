"""Networks of any sequence: shapes, padding, and each part against an independent reckoning."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import codonbench
from codonbench.contracts import (
    AuxiliaryLearner,
    Estimator,
    Input,
    Sequences,
    SequenceTuples,
    TaskView,
    TrainingSet,
)
from codonbench.data.encodings import make_encoder
from codonbench.errors import ConfigError
from codonbench.plugins.discovery import load_registry
from codonbench_models._autoencoder import (
    Autoencoder,
    FeatureCodec,
    SequenceCodec,
    VariationalAutoencoder,
    divergence,
)
from codonbench_models._dilated import ResidualBlocks
from codonbench_models._hyena import HyenaOperator, long_convolution
from codonbench_models._mamba import Scan, SelectiveStateSpace, scan
from codonbench_models._sequence_nets import Filters, Recurrence, Standardise
from codonbench_models._transformer import (
    Attention,
    BytePairs,
    Encoder,
    Kmers,
    Letters,
    rotate,
    slopes,
)

DNA, REGISTRY = "ACGT", load_registry()
NAMES = ["deepbind", "basset", "deepsea", "dilated", "bilstm", "bigru", "danq", "transformer"]
NAMES += ["transformer-kmers", "transformer-bytepairs", "conv-transformer", "hyena", "mamba"]
NAMES += ["autoencoder", "vae"]
FEATURES = ["mlp-features", "attention-features", "autoencoder-features", "vae-features"]
SMALL: dict[str, dict[str, Any]] = {"transformer": {"positions": "alibi"}}

MEASURED = Path(__file__).parents[2] / "benchmarks" / "zoo.md"
LEVELS = {
    (name, settings): float(level)
    for name, settings, level in re.findall(
        r"^\| `([\w-]+)(?: --set ([\w=.]+))?` \| \d \| 0\.\d+ \| (0\.\d\d) \|$",
        MEASURED.read_text(),
        re.M,
    )
}
"""Accuracy on the planted grammar that the page states of each network, by what is set of it."""


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
    return TaskView(**{"task": "toy", "n_outputs": 3, **inputs, **fields})


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


def outputs_and_loss(module: nn.Module, inputs: Any) -> Any:
    if isinstance(module, AuxiliaryLearner):
        return module.outputs_and_loss(inputs)
    return module(inputs), 0.0


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
    outputs, added = outputs_and_loss(module, encode(model, task, data, [0, 1, 2, 3]))
    (outputs.square().sum() + added).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    with torch.no_grad():
        together = module(encode(model, task, data, [0, 1, 2, 3]))
        alone = torch.cat([module(encode(model, task, data, [i])) for i in range(4)])
        embedded = module.embed(encode(model, task, data, [0, 1, 2, 3]))
    assert together.shape == (4, 3)
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    if not isinstance(module, Autoencoder):
        torch.testing.assert_close(module.output(embedded), together)


@pytest.mark.parametrize("name", NAMES)
def test_items_of_two_sequences_and_other_targets_are_served(name: str) -> None:
    model, task = make(name), view(3, 40, parts=2, target="quantities")
    data = SequenceTuples((items([40, 12, 3]), items([5, 40, 9], seed=1)))
    assert model.build(task)(encode(model, task, data, [0, 1, 2])).shape == (3, 3)


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_read_in_their_own_units(name: str) -> None:
    task = TaskView(
        task="toy",
        kind="features",
        unit="sample",
        symbol="gene",
        alphabet="",
        min_length=12,
        max_length=12,
        n_outputs=3,
    )
    features = torch.randn(9, 12) * torch.logspace(-2, 4, 12) + 100
    module = make(name).build(task)
    outputs, added = outputs_and_loss(module, features)
    (outputs.square().sum() + added).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    torch.testing.assert_close(module(features[:1]), module(features)[:1])
    twin = make(name).build(task)
    twin.load_state_dict(module.state_dict())  # with other units, seen in training
    scaled = [m for m in twin.modules() if isinstance(m, Standardise)]
    for part in scaled:
        part.load_state_dict({n: torch.zeros_like(b) for n, b in part.state_dict().items()})
    twin.train()
    with torch.no_grad():
        twin(features * 1000 - 7)
    torch.testing.assert_close(
        twin.eval()(features * 1000 - 7), module(features), rtol=1e-3, atol=1e-3
    )


def test_features_are_standardised_by_all_that_was_seen() -> None:
    standardise, batches = Standardise(3), [torch.randn(n, 3).double() * 5 + 2 for n in (1, 4, 7)]
    for batch in batches:
        standardise.double()(batch)
    seen = torch.cat(batches)
    expected = (batches[0] - seen.mean(0)) / seen.std(0, correction=0)
    torch.testing.assert_close(standardise.eval()(batches[0]), expected)


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


def split_by_hand(text: str, pairs: list[list[int]], known: int) -> list[int]:
    """Byte pair encoding as Sennrich et al. write it, over numbers of words."""
    words = ["NACGT".index(letter) for letter in text]
    for number, pair in enumerate(pairs, known):
        at = 0
        while at < len(words) - 1:
            if words[at : at + 2] == pair:
                words[at : at + 2] = [number]
            at += 1
    return words


def test_byte_pairs_are_the_most_frequent_ones_and_join_from_left_to_right() -> None:
    chance = np.random.default_rng(0)
    texts = ["".join(chance.choice(list("AACGTTN"), size=n)) for n in (40, 39, 7, 2, 1)]
    texts += ["AAAAAAA", "GATTACAGATTACA"]
    tokens = BytePairs(4, 12, 3).train()
    letters: Tensor = make_encoder(
        "symbol_onehot_mask", view(1, 40), Sequences.of(texts, DNA), torch.device("cpu")
    )(torch.arange(len(texts)))
    before, inside = tokens.eval()(letters)
    assert inside.sum(1).tolist() == [len(text) for text in texts]
    torch.testing.assert_close(before[1, :39], tokens.table.weight[split_by_hand(texts[1], [], 5)])
    found, inside = tokens.train()(letters)
    pairs = tokens.pairs.tolist()
    assert any(pairs[-2])
    for many, pair in enumerate(pairs):
        split = [split_by_hand(text, pairs[:many], 5) for text in texts]
        counts = Counter(two for words in split for two in pairwise(words) if 0 not in two)
        assert counts[pair[0], pair[1]] == (max(counts.values()) if any(pair) else 0)
        assert any(pair) == (max(counts.values()) > 1)
    for row, text in enumerate(texts):
        words = split_by_hand(text, pairs, 5)
        assert inside[row].tolist() == [i < len(words) for i in range(inside.shape[1])]
        torch.testing.assert_close(found[row, : len(words)], tokens.table.weight[words])
    tokens(letters.flip(0)[:2])
    assert tokens.pairs.tolist() == pairs  # found once


@pytest.mark.parametrize("length", [1, 6, 33])
def test_a_long_convolution_agrees_with_a_direct_sum(length: int) -> None:
    places = torch.randn(2, 3, length, dtype=torch.double, requires_grad=True)
    filters = torch.randn(3, length, dtype=torch.double, requires_grad=True)
    sums = [
        sum(filters[:, back] * places[..., at - back] for back in range(at + 1))
        for at in range(length)
    ]
    expected = torch.stack(sums, dim=-1)  # type: ignore[arg-type]
    found = long_convolution(places, filters)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    ours = torch.autograd.grad((found * weights).sum(), [places, filters])
    theirs = torch.autograd.grad((expected * weights).sum(), [places, filters])
    torch.testing.assert_close(ours, theirs)


def test_the_operator_gates_what_it_convolves_and_sees_nothing_later() -> None:
    operator = HyenaOperator(4, 20, 2, 3).double()
    letters = torch.randn(1, 9, 4).double()
    entered = operator.enter(letters)[0]
    short, bias = operator.short.weight[:, 0], operator.short.bias
    seen = [
        bias + sum(short[:, 2 - back] * entered[at - back] for back in range(3) if at >= back)
        for at in range(9)
    ]
    value, first, second = torch.stack(seen).chunk(3, dim=1)
    filters = operator.filters(9)
    for gate, rows, skip in zip((first, second), filters.chunk(2), operator.skip, strict=True):
        sums = [sum(rows[:, b] * value[at - b] for b in range(at + 1)) for at in range(9)]
        value = gate * (torch.stack(sums) + skip * value)  # type: ignore[arg-type]
    torch.testing.assert_close(operator(letters)[0], operator.leave(value))
    longer = torch.cat([letters, torch.randn(1, 5, 4).double()], dim=1)
    torch.testing.assert_close(operator(longer)[:, :9], operator(letters))


def loop(decay: Tensor, added: Tensor) -> Tensor:
    states, state = [], torch.zeros_like(added[0])
    for a, b in zip(decay, added, strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("length", [1, 2, 10, 57])
def test_the_scan_and_its_gradients_agree_with_a_loop(length: int) -> None:
    decay = torch.rand(length, 2, 3, dtype=torch.double, requires_grad=True)
    added = torch.randn(length, 2, 3, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(scan(decay, added), loop(decay, added))
    weights = torch.randn(length, 2, 3).double()
    ours = torch.autograd.grad((Scan.apply(decay, added) * weights).sum(), [decay, added])
    theirs = torch.autograd.grad((loop(decay, added) * weights).sum(), [decay, added])
    torch.testing.assert_close(ours, theirs)


def test_a_state_space_is_the_recurrence_of_the_paper() -> None:
    space = SelectiveStateSpace(3, 2, 1).double()
    places = torch.randn(6, 1, 3).double()
    rank, read, write = space.selected(places).split([1, 2, 2], dim=-1)
    step = nn.functional.softplus(space.step(rank))
    state, found = torch.zeros(3, 2).double(), []
    for t in range(6):
        for channel in range(3):
            for n in range(2):
                a = -space.log_decay[channel, n].exp()
                old, x = state[channel, n].clone(), places[t, 0, channel]
                grown = torch.exp(step[t, 0, channel] * a) * old
                state = state.clone()
                state[channel, n] = grown + step[t, 0, channel] * read[t, 0, n] * x
        found.append(state @ write[t, 0] + space.skip * places[t, 0])
    torch.testing.assert_close(space(places)[:, 0], torch.stack(found))


def test_the_divergence_is_the_closed_form_and_what_draws_give() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, -0.7]])
    spread = torch.exp(log_variance / 2)
    ours = torch.distributions.Normal(mean, spread)
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(ours, standard).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    draws = ours.sample((100_000,))
    apart = (ours.log_prob(draws) - standard.log_prob(draws)).sum(-1).mean(0)
    torch.testing.assert_close(apart, expected, rtol=0.02, atol=0.0)


def test_a_variational_loss_is_error_and_divergence_and_its_mean_answers() -> None:
    codec = FeatureCodec(5, 0, 4, 2)
    module = VariationalAutoencoder([codec], 2, 3, weight=0.5, divergence=0.1)
    features = torch.randn(6, 5)
    torch.manual_seed(3)
    _, loss = module.outputs_and_loss(features)
    mean, log_variance = codec.encoder(codec.standardise.apply_to(features)).chunk(2, dim=1)
    torch.manual_seed(3)
    latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    wanted = (features - features.mean(0)) / features.std(0, correction=0)
    error = nn.functional.mse_loss(codec.decoder(latent), wanted)
    expected = 0.5 * error + 0.1 * divergence(mean, log_variance).mean()
    torch.testing.assert_close(loss, expected)
    outputs = module.eval()(features)
    torch.testing.assert_close(outputs, module.output(torch.relu(mean)))


def test_the_error_of_letters_is_the_cross_entropy_of_those_known() -> None:
    task = view(1, 9)
    data = Sequences.of(["ACGTNACGT", "GT"], DNA)
    letters = make_encoder("symbol_onehot_mask", task, data, torch.device("cpu"))(torch.arange(2))
    codec = SequenceCodec(task.input, 3, 4, 4)
    latent = torch.randn(2, 4)
    places = torch.relu(codec.decoder(latent)).reshape(2, 3, -1)
    logits = codec.letters(places)
    ids = [[DNA.index(c) for c in text if c != "N"] for text in data.text(DNA)]
    at = [[i for i, c in enumerate(text) if c != "N"] for text in data.text(DNA)]
    expected = [
        nn.functional.cross_entropy(logits[i, :, at[i]].T, torch.tensor(ids[i])) for i in range(2)
    ]
    torch.testing.assert_close(codec.error(latent, letters), torch.stack(expected))


def test_hidden_letters_and_features_are_not_seen_by_the_encoder() -> None:
    codec = FeatureCodec(4, 0, 2, 2)
    codec.standardise(torch.randn(20, 4))
    codec.eval()
    almost_all = codec.encode(torch.randn(3, 4), 1 - 1e-9)
    torch.testing.assert_close(almost_all, codec.encoder.bias.expand(3, 2))  # type: ignore[operator]


def test_a_position_weight_matrix_is_log_odds_counted_by_hand() -> None:
    cls = REGISTRY.model("splice-pwm").cls
    texts, right = ["ACA", "ACC", "GTA", "GTN"], np.array([0, 0, 1, 1])
    task, data = view(3, 3, n_outputs=2), Sequences.of(texts, DNA)
    training = TrainingSet(task, data, right, np.random.default_rng(0))
    fitted = {order: cls(cls.Config(order=order, pseudocount=4.0)) for order in (0, 1)}
    for model in fitted.values():
        model.fit(training)
    letters = np.exp(fitted[0].tables)  # class, place, letter; one of each letter is added
    assert letters[0, 0] == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert letters[1, 2] == pytest.approx([2 / 5, 1 / 5, 1 / 5, 1 / 5])  # N does not count
    pairs = np.exp(fitted[1].tables).reshape(2, 3, 4, 4)  # letter before, letter; 1/4 of each
    assert pairs[0, 1, 0] == pytest.approx([0.25 / 3, 2.25 / 3, 0.25 / 3, 0.25 / 3])
    assert pairs[0, 1, 3] == pytest.approx([0.25] * 4)
    scores = fitted[0].predict(Sequences.of(["ACN"], DNA))
    assert scores[0, 0] - scores[0, 1] == pytest.approx(2 * np.log((3 / 6) / (1 / 6)), rel=1e-5)
    assert (fitted[1].predict(data).argmax(1) == right).all()


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (view(2, 9), "splice-pwm"),
        (view(3, 3, target="quantities"), "quantities"),
        (view(3, 3, parts=2), "2 sequences"),
    ],
)
def test_what_a_weight_matrix_does_not_serve_is_refused(task: TaskView, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make("splice-pwm").check_task(task)


@pytest.mark.parametrize(
    "fields", [{"tokens": "bytepairs"}, {"tokens": "kmers", "overlapping": True}]
)
def test_tokens_that_are_no_equal_parts_have_no_attention_by_letter(fields: dict[str, Any]) -> None:
    encoder = make("transformer", **fields).build(view(12, 12))
    letters = torch.nn.functional.pad(torch.eye(4).repeat(1, 3, 1), (0, 1), value=1.0)
    found = [part for part in encoder.modules() if isinstance(part, Encoder)]
    assert [part.attention(letters) for part in found] == [None]


@pytest.mark.nightly("trains each network for a minute or more")
@pytest.mark.parametrize(("name", "settings"), LEVELS)
def test_the_planted_grammar_is_learned_to_the_stated_level(
    name: str, settings: str, tmp_path: Path
) -> None:
    (record,) = codonbench.run(
        name,
        task="planted-motif",
        task_options={"difficulty": "easy"},
        config=dict([settings.split("=")]) if settings else {},
        epochs=None if issubclass(REGISTRY.model(name).cls, Estimator) else 5,
        results=tmp_path,
    )
    assert record.metrics["accuracy"] >= LEVELS[name, settings]


def test_a_level_is_stated_of_networks_that_there_are() -> None:
    assert {("deepbind", ""), ("transformer", "dropout=0")} <= set(LEVELS)
    for name, _ in LEVELS:
        assert REGISTRY.model(name).name == name
