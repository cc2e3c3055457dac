"""Built-in models: layers counted by hand, outputs and gradients held against brute force."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from codonbench.contracts import (
    BatchLearner,
    EvaluationSet,
    Input,
    Model,
    Reference,
    Sequences,
    Target,
    TaskSpec,
    TaskView,
)
from codonbench.data.encodings import make_encoder
from codonbench.errors import ConfigError
from codonbench.plugins.discovery import load_registry
from codonbench_datasets.human_codon.orfs import genetic_code
from codonbench_datasets.human_codon.task import human_codon_spec
from codonbench_models._baselines import CountTable
from codonbench_models._last_step import LastStep
from codonbench_models.baselines import Oracle
from codonbench_models.presets import PAPER

CODONS = human_codon_spec(genetic_code(1)).view()
PEPTIDES = TaskView(
    task="toy-peptides",
    unit="peptide",
    symbol="residue",
    alphabet="ACDEFGHIKLMNPQRSTVWY",
    min_length=2,
    max_length=2,
    n_inputs=400,
    n_outputs=5,
)
UNLISTED = PEPTIDES.model_copy(update={"task": "toy-unlisted", "n_inputs": None})


@cache
def registered() -> dict[str, Any]:
    """Every built-in model, by name."""
    entries = load_registry().models.values()
    return {entry.cls.info.name: entry.cls for entry in entries}


def models() -> dict[str, type[Model]]:
    return {name: cls for name, cls in registered().items() if issubclass(cls, Model)}


def presets() -> dict[str, tuple[type[Model], dict[str, Any]]]:
    return {
        preset: (cls, dict(fields))
        for cls in models().values()
        for preset, fields in cls.presets.items()
    }


def make(name: str, **fields: Any) -> Model:
    """A model by the name of the model or of one of its presets."""
    cls, given = presets()[name] if name in presets() else (models()[name], {})
    return cls(cls.Config(**{**given, **fields}))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def encode(model: Model, view: TaskView, index: Tensor, dtype: torch.dtype = torch.float32) -> Any:
    letters = itertools.product(range(len(view.alphabet)), repeat=view.length)
    items = Sequences.of_rows(list(letters))
    return make_encoder(model.encoding, view, items, torch.device("cpu"), dtype)(index)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# --- who is there -------------------------------------------------------------------------


def test_every_model_registers_under_its_name() -> None:
    assert set(registered()) >= {
        "mlp",
        "embedding-mlp",
        "rnn",
        "gru",
        "lstm",
        "count-table",
        "frequency-guess",
        "softmax-table",
        "majority",
        "untrained",
        "bound",
        "oracle",
        "cnn",
        "linear",
        "kmer-linear",
        "kmer-gbm",
        "length-composition",
        "onehot-linear",
        "nearest",
        "openspliceai",
        "variant-gc",
        "variant-markov",
    }


def test_published_configurations_have_presets_and_weighted_twins() -> None:
    plain = {
        "mlp-64",
        "mlp-128",
        "mlp-1024",
        "mlp-64-12bit",
        "mlp-64x1024",
        "embedding10-relu",
        "embedding2-tanh",
        "rnn-64",
        "rnn-256",
        "gru-64",
        "lstm-64",
    }
    assert set(presets()) >= plain | {f"{name}-weighted" for name in plain}


@pytest.mark.parametrize("name", [n for n in presets() if n.endswith("-weighted")])
def test_a_twin_differs_in_the_weights_of_the_loss_alone(name: str) -> None:
    twin, plain = make(name).config, make(name.removesuffix("-weighted")).config
    assert (plain.class_weights, twin.class_weights) == ("none", "n")
    assert twin.model_copy(update={"class_weights": "none"}) == plain


def test_reference_rows_are_set_apart() -> None:
    roles = {name: cls.info.role for name, cls in registered().items()}
    contestants = {name for name, role in roles.items() if role == "contestant"}
    assert contestants >= {"cnn", "linear", "mlp", "embedding-mlp", "rnn", "gru", "lstm"}
    references = {"bound", "count-table", "kmer-linear", "majority", "nearest", "oracle"}
    references |= {"kmer-gbm", "length-composition"}
    assert not contestants & references


@pytest.mark.parametrize(
    "name", [n for n, cls in registered().items() if cls.info.authors == ("codonbench",)]
)
def test_every_hyperparameter_of_ours_is_described(name: str) -> None:
    for field, info in registered()[name].Config.model_fields.items():
        assert info.description, field


@pytest.mark.parametrize(
    ("name", "rate"),
    [("mlp", 0.05), ("embedding-mlp", 0.05), ("rnn", 0.005), ("gru", 0.005), ("lstm", 0.005)],
)
def test_learning_rates_and_optimiser_are_the_papers(name: str, rate: float) -> None:
    model = make(name)
    optimizer = model.configure_optimizer(model.build(CODONS))
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups[0]["lr"] == rate
    model = make(name, optimizer="sgd")
    assert isinstance(model.configure_optimizer(model.build(CODONS)), torch.optim.SGD)


# --- shapes and sizes ---------------------------------------------------------------------

# A recurrent layer of width h with g gates reading n: g h (n + h + 2), for two bias vectors.
SIZES = {
    "mlp-64": 64 * 64 + 64 * 21,
    "mlp-128": 64 * 128 + 128 * 21,
    "mlp-1024": 64 * 1024 + 1024 * 21,
    "mlp-64-12bit": 12 * 64 + 64 * 21,
    "mlp-64x1024": 64 * 64 + (64 * 1024 + 1024) + 1024 * 21,
    "embedding10-relu": 64 * 10 + 10 * 64 + 64 * 1024 + 1024 * 21,
    "embedding2-tanh": 64 * 2 + 2 * 64 + 64 * 1024 + 1024 * 21,
    "rnn-64": 64 * (4 + 64 + 2) + 64 * (64 + 64 + 2) + 64 * 21,
    "rnn-256": 256 * (4 + 256 + 2) + 256 * (256 + 256 + 2) + 256 * 21,
    "gru-64": 3 * (64 * (4 + 64 + 2) + 64 * (64 + 64 + 2)) + 64 * 21,
    "lstm-64": 4 * (64 * (4 + 64 + 2) + 64 * (64 + 64 + 2)) + 64 * 21,
    "count-table": 0,
    "frequency-guess": 0,
    "softmax-table": 64 * 21,
    "majority": 0,
    "untrained": 64 * 64 + 64 * 21,
}


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_those_counted_by_hand(name: str) -> None:
    assert parameters(make(name).build(CODONS)) == SIZES[name]


def test_every_preset_and_model_is_counted() -> None:
    plain = {
        name
        for name, (cls, _) in presets().items()
        if cls.info.reference == PAPER and not name.endswith("-weighted")
    }
    assert set(SIZES) == plain | {
        *("count-table", "frequency-guess", "softmax-table", "majority", "untrained")
    }


def test_only_the_second_of_two_hidden_layers_has_a_bias() -> None:
    module = make("mlp-64x1024").build(CODONS)
    assert [n for n, _ in module.named_parameters()] == [
        "0.weight",
        "1.weight",
        "1.bias",
        "2.weight",
    ]


@pytest.mark.parametrize("view", [CODONS, PEPTIDES], ids=lambda view: view.task)
@pytest.mark.parametrize("name", SIZES)
def test_a_batch_of_any_task_gives_a_row_of_logits_each(name: str, view: TaskView) -> None:
    model = make(name)
    module = model.build(view)
    for size in (1, 5):
        logits = module(encode(model, view, torch.arange(size)))
        assert logits.shape == (size, view.n_classes)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp-64", (7, 64)),
        ("mlp-64-12bit", (7, 12)),
        ("embedding10-relu", (7,)),
        ("lstm-64", (7, 3, 4)),
        ("count-table", (7,)),
        ("softmax-table", (7, 64)),
    ],
)
def test_codons_arrive_in_the_shape_the_paper_gives_them(name: str, shape: tuple[int]) -> None:
    assert encode(make(name), CODONS, torch.arange(7)).shape == shape


@pytest.mark.parametrize(
    "name", ["mlp", "embedding-mlp", "count-table", "frequency-guess", "softmax-table", "untrained"]
)
def test_inputs_that_cannot_be_listed_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match="inputs can be enumerated, but 'toy-unlisted'"):
        make(name).build(UNLISTED)


@pytest.mark.parametrize("name", ["mlp-64-12bit", "rnn", "gru", "lstm", "majority"])
def test_models_that_read_letters_need_no_list_of_inputs(name: str) -> None:
    model = make(name)
    logits = model.build(UNLISTED)(encode(model, UNLISTED, torch.arange(3)))
    assert logits.shape == (3, 5)


# --- configuration ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mlp", {"hidden": ()}),
        ("mlp", {"hidden": (0,)}),
        ("mlp", {"hidden": (8193,)}),
        ("mlp", {"hidden": (64, 64, 64)}),
        ("mlp", {"hidden": "wide"}),
        ("mlp", {"hidden": True}),
        ("mlp", {"input": "32-bit"}),
        ("mlp", {"hiden": 64}),
        ("mlp", {"batch_size": 0}),
        ("mlp", {"class_weights": "yes"}),
        ("mlp", {"learning_rate": 0}),
        ("embedding-mlp", {"d": 0}),
        ("embedding-mlp", {"d": 1025}),
        ("embedding-mlp", {"activation": "gelu"}),
        ("embedding-mlp", {"hidden": (64,)}),
        ("rnn", {"hidden": 0}),
        ("gru", {"layers": 0}),
        ("lstm", {"initial_state": "random"}),
        ("softmax-table", {"learning_rate": -1}),
        ("count-table", {"learning_rate": 0.1}),
        ("untrained", {"hidden": 3}),
    ],
)
def test_a_field_out_of_range_or_misspelt_is_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        make(name, **fields)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (128, (128,)),
        ("128", (128,)),
        ("64x1024", (64, 1024)),
        ("64,1024", (64, 1024)),
        ("[64, 1024]", (64, 1024)),
        ([64, 1024], (64, 1024)),
    ],
)
def test_widths_are_read_as_people_write_them(written: Any, meant: tuple[int, ...]) -> None:
    assert make("mlp", hidden=written).config.hidden == meant


def test_a_width_out_of_range_is_told_once_and_by_its_place() -> None:
    with pytest.raises(ValidationError) as told:
        make("mlp", hidden=(64, 8193))
    assert [(error["loc"], error["type"]) for error in told.value.errors()] == [
        (("hidden", 1), "less_than_equal")
    ]


@pytest.mark.parametrize("name", presets())
def test_a_configuration_survives_json(name: str) -> None:
    config = make(name).config
    assert type(config).model_validate_json(config.model_dump_json()) == config


# --- against brute force ------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def rnn_step(x: Any, h: Any, c: Any, w: dict[str, Any]) -> tuple[Any, Any]:
    return np.tanh(w["ih"] @ x + w["b_ih"] + w["hh"] @ h + w["b_hh"]), c


def gru_step(x: Any, h: Any, c: Any, w: dict[str, Any]) -> tuple[Any, Any]:
    x_r, x_z, x_n = np.split(w["ih"] @ x + w["b_ih"], 3)
    h_r, h_z, h_n = np.split(w["hh"] @ h + w["b_hh"], 3)
    reset, update = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    new = np.tanh(x_n + reset * h_n)
    return (1 - update) * new + update * h, c


def lstm_step(x: Any, h: Any, c: Any, w: dict[str, Any]) -> tuple[Any, Any]:
    gates = w["ih"] @ x + w["b_ih"] + w["hh"] @ h + w["b_hh"]
    enter, forget, candidate, leave = np.split(gates, 4)
    c = sigmoid(forget) * c + sigmoid(enter) * np.tanh(candidate)
    return sigmoid(leave) * np.tanh(c), c


@pytest.mark.parametrize(
    ("name", "step"), [("rnn", rnn_step), ("gru", gru_step), ("lstm", lstm_step)]
)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_recurrence_agrees_with_the_textbook_step(
    name: str, step: Callable[..., tuple[Any, Any]], layers: int
) -> None:
    model = make(name, hidden=5, layers=layers)
    module = model.build(CODONS).double()
    weights = {k: v.numpy() for k, v in module.state_dict().items()}
    inputs = encode(model, CODONS, torch.arange(64), torch.float64)
    expected = []
    for word in inputs.numpy():
        sequence = list(word)
        for layer in range(layers):
            w = {
                short: weights[f"recurrence.{long}_l{layer}"]
                for short, long in (
                    ("ih", "weight_ih"),
                    ("hh", "weight_hh"),
                    ("b_ih", "bias_ih"),
                    ("b_hh", "bias_hh"),
                )
            }
            h, c = np.zeros(5), np.zeros(5)
            for position, x in enumerate(sequence):
                h, c = step(x, h, c, w)
                sequence[position] = h
        expected.append(weights["output.weight"] @ sequence[-1])
    np.testing.assert_allclose(module(inputs).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp-64", "mlp-64-12bit", "mlp-64x1024"])
def test_linear_perceptron_is_a_product_of_matrices(name: str) -> None:
    model = make(name)
    module = model.build(CODONS).double()
    inputs = encode(model, CODONS, torch.arange(64), torch.float64)
    expected = inputs.numpy()
    for layer in module.children():
        assert isinstance(layer, nn.Linear)
        expected = expected @ layer.weight.detach().numpy().T
        if layer.bias is not None:
            expected = expected + layer.bias.detach().numpy()
    np.testing.assert_allclose(module(inputs).detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize(("activation", "function"), [("relu", "maximum"), ("tanh", "tanh")])
def test_embedding_perceptron_agrees_with_numpy(activation: str, function: str) -> None:
    module = make("embedding-mlp", d=3, activation=activation).build(CODONS).double()
    table, first, second, last = (p.detach().numpy() for p in module.parameters())
    bend = np.tanh if function == "tanh" else lambda x: np.maximum(x, 0)
    expected = bend(bend(table @ first.T) @ second.T) @ last.T
    np.testing.assert_allclose(
        module(torch.arange(64)).detach().numpy(), expected, rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mlp", {"hidden": (3,)}),
        ("mlp", {"hidden": (3, 4), "input": "12-bit"}),
        ("embedding-mlp", {"d": 2, "activation": "tanh", "hidden": (3, 4)}),
        ("rnn", {"hidden": 3}),
        ("gru", {"hidden": 3}),
        ("lstm", {"hidden": 3}),
        ("softmax-table", {}),
    ],
)
def test_gradients_agree_with_finite_differences(name: str, fields: dict[str, Any]) -> None:
    model = make(name, **fields)
    module = model.build(CODONS).double()
    inputs = encode(model, CODONS, torch.tensor([0, 9, 9, 63]), torch.float64)
    labels = torch.tensor([1, 4, 4, 20])

    def loss() -> Tensor:
        return nn.functional.cross_entropy(module(inputs), labels)

    loss().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for place in range(0, flat.numel(), max(1, flat.numel() // 20)):
            kept = flat[place].item()
            with torch.no_grad():
                flat[place] = kept + 1e-6
                above = loss().item()
                flat[place] = kept - 1e-6
                below = loss().item()
                flat[place] = kept
            slope = (above - below) / 2e-6
            assert gradient[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


# --- chance and determinism ---------------------------------------------------------------


@pytest.mark.parametrize("name", [*SIZES, "rnn-orthogonal", "gru-orthogonal", "lstm-orthogonal"])
def test_evaluation_repeats_and_draws_no_random_number(name: str) -> None:
    cell = name.removesuffix("-orthogonal")
    model = make(name) if name in SIZES else make(cell, initial_state="orthogonal")
    module = model.build(CODONS).eval()
    inputs = encode(model, CODONS, torch.arange(64))
    before = torch.get_rng_state()
    first, second = module(inputs), module(inputs)
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", SIZES)
def test_training_draws_no_random_number_either_by_default(name: str) -> None:
    model = make(name)
    module = model.build(CODONS).train()
    before = torch.get_rng_state()
    module(encode(model, CODONS, torch.arange(64)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", SIZES)
def test_row_independent_models_give_a_row_the_same_alone_and_in_a_batch(name: str) -> None:
    model = make(name)
    assert model.row_independent
    module = model.build(CODONS).double()
    inputs = encode(model, CODONS, torch.arange(64), torch.float64)
    alone = torch.cat([module(inputs[i : i + 1]) for i in range(64)])
    torch.testing.assert_close(alone, module(inputs))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_an_orthogonal_initial_state_is_orthogonal_in_training(name: str) -> None:
    model = make(name, hidden=7, layers=3, initial_state="orthogonal")
    assert not model.row_independent
    module = model.build(CODONS).double()
    assert isinstance(module, LastStep)
    handed: list[Any] = []
    module.recurrence.register_forward_pre_hook(lambda _, args: handed.append(args[1]))
    inputs = encode(model, CODONS, torch.arange(5), torch.float64)
    module.train()(inputs)
    module(inputs)
    states = [s for state in handed for s in (state if isinstance(state, tuple) else (state,))]
    assert len(states) == (4 if name == "lstm" else 2)
    for state in states:
        assert state.shape == (3, 5, 7)
        rows = state.reshape(3, -1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(3, dtype=torch.float64))
    for one, other in itertools.combinations(states, 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_an_orthogonal_initial_state_is_zero_in_evaluation(name: str) -> None:
    model, plain = make(name, initial_state="orthogonal"), make(name)
    module, zero = model.build(CODONS).eval(), plain.build(CODONS).eval()
    zero.load_state_dict(module.state_dict())
    inputs = encode(model, CODONS, torch.arange(64))
    assert torch.equal(module(inputs), zero(inputs))
    assert not torch.equal(module.train()(inputs), zero(inputs))


@pytest.mark.parametrize("name", SIZES)
def test_weights_survive_a_round_trip(name: str) -> None:
    model = make(name)
    module, other = model.build(CODONS), model.build(CODONS)
    if isinstance(module, BatchLearner):
        module.update(encode(model, CODONS, torch.arange(5)), torch.arange(5))
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    inputs = encode(model, CODONS, torch.arange(64))
    assert torch.equal(module.eval()(inputs), other.eval()(inputs))


# --- the reference rows -------------------------------------------------------------------


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Strictly above every rival: a tie is wrong."""
    rivals = logits.clone()
    rivals[torch.arange(len(labels)), labels] = -torch.inf
    return logits[torch.arange(len(labels)), labels] > rivals.max(1).values


LABELS = torch.arange(64) * 7 % 21


def test_models_without_gradient_are_recognised() -> None:
    found = set()
    for name in models():
        with suppress(ConfigError):  # which needs a checkpoint, or serves other tasks
            found |= {name} if isinstance(make(name).build(CODONS), BatchLearner) else set()
    assert found == {"count-table", "frequency-guess", "majority", "untrained"}


def test_count_table_is_right_about_exactly_what_it_has_seen() -> None:
    module = make("count-table").build(CODONS)
    assert isinstance(module, CountTable)
    order = torch.randperm(64)
    seen = torch.zeros(64, dtype=torch.bool)
    for batch in order.split(5):
        assert torch.equal(right(module(torch.arange(64)), LABELS), seen)
        module.update(batch, LABELS[batch])
        seen[batch] = True
    logits = module(torch.arange(64))
    assert right(logits, LABELS).all()
    assert logits.softmax(1)[torch.arange(64), LABELS].min() > 0.9999


def test_count_table_counts_repeats_and_gives_shares() -> None:
    module = make("count-table").build(CODONS)
    assert isinstance(module, CountTable)
    module.update(torch.tensor([3, 3, 3, 3, 8]), torch.tensor([0, 1, 1, 1, 0]))
    assert module.counts.sum() == 5
    shares = module(torch.tensor([3, 8])).softmax(1)[:, :2]
    torch.testing.assert_close(shares, torch.tensor([[0.25, 0.75], [1, 0]]), rtol=0, atol=1e-4)


def test_frequency_guess_takes_what_it_has_not_seen_for_the_rarest_class_so_far() -> None:
    """Class 1 was seen twice and class 4 once, so that an unseen input is guessed to be of 4."""
    module = make("frequency-guess").build(CODONS)
    assert module(torch.tensor([9])).unique().numel() == 1  # nothing is known: a tie
    module.update(torch.tensor([3, 5, 8]), torch.tensor([1, 1, 4]))
    answers = module(torch.tensor([3, 8, 9, 10]))
    assert right(answers, torch.tensor([1, 4, 4, 4])).all()
    module.update(torch.tensor([8]), torch.tensor([4]))
    answers = module(torch.tensor([3, 8, 9]))
    assert right(answers, torch.tensor([1, 4, 4])).tolist() == [True, True, False]  # 1 and 4 tie


def test_softmax_table_starts_from_ties_and_deciphers() -> None:
    model = make("softmax-table")
    module = model.build(CODONS)
    inputs = encode(model, CODONS, torch.arange(64))
    assert torch.equal(module(inputs), torch.zeros(64, 21))
    optimizer = model.configure_optimizer(module)
    nn.functional.cross_entropy(module(inputs), LABELS).backward()
    optimizer.step()
    assert right(module(inputs), LABELS).all()


def test_majority_answers_with_the_commonest_class_whatever_it_reads() -> None:
    model = make("majority")
    module = model.build(CODONS)
    assert isinstance(module, BatchLearner)
    inputs = encode(model, CODONS, torch.arange(4))
    assert not right(module(inputs), torch.zeros(4, dtype=torch.int64)).any()
    module.update(inputs, torch.tensor([5, 2, 5, 0]))
    logits = module(inputs)
    assert logits.argmax(1).tolist() == [5, 5, 5, 5]
    torch.testing.assert_close(
        logits.softmax(1)[0, [0, 2, 5]], torch.tensor([0.25, 0.25, 0.5]), rtol=0, atol=1e-4
    )


def test_untrained_learns_nothing_and_is_mlp_64_at_its_start() -> None:
    model = make("untrained")
    torch.manual_seed(7)
    module = model.build(CODONS)
    assert isinstance(module, BatchLearner)
    torch.manual_seed(7)
    start = make("mlp-64").build(CODONS)
    inputs = encode(model, CODONS, torch.arange(64))
    for _ in range(3):
        module.update(inputs, LABELS)
    assert torch.equal(module(inputs), start(inputs))
    assert not right(module(inputs), LABELS).all()


def test_oracle_is_right_and_confident_about_the_whole_evaluation_set() -> None:
    spec = TaskSpec(
        name="toy",
        version="1",
        title="Two letters, three classes",
        input=Input.of_length(1, unit="word", symbol="letter", alphabet="AB", enumerable=True),
        target=Target(names=("x", "y", "z")),
        protocol="decipher",
        evaluation=EvaluationSet(inputs=("A", "B"), targets=(2, 0)),
        train_size=10,
        test_size=1,
    )
    row = Oracle(Oracle.Config())
    assert isinstance(row, Reference)
    logits = row.logits(spec)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, [[0, 0, 20], [20, 0, 0]])


def test_every_gradient_preset_learns_a_small_table() -> None:
    # Twelve inputs over three classes: enough to see that a step goes downhill.
    for name in SIZES:
        model = make(name)
        module = model.build(CODONS).train()
        if isinstance(module, BatchLearner):
            continue
        optimizer = model.configure_optimizer(module)
        inputs, labels = encode(model, CODONS, torch.arange(12)), torch.arange(12) % 3
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert min(losses[-5:]) < losses[0], name
