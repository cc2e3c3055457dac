import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo
from codonbench.engines.comparison import check_is_plain
from codonbench.errors import CannotCapture, PluginError
from codonbench.execution.run import referees_of, requests_of
from codonbench.protocols.referee import RunSetup
from codonbench.training.determinism import hash_weights, pin_arithmetic, seeded_globals
from codonbench.training.loop import (
    Checkpointer,
    Feed,
    binary_cross_entropy,
    cross_entropy,
    evaluate,
    make_step,
    squared_error,
    train,
)
from codonbench.training.request import train_request
from codonbench.training.state import make_state
from codonbench_datasets.decipher import Positions

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [0.0, 3.0, 1.0]])
LABELS = torch.tensor([0, 2, 2])
WEIGHTS = torch.tensor([1.0, 5.0, 0.25])


# The loss


def losses_by_hand():
    """Minus the log softmax of the true class, pair by pair, in plain numpy."""
    logits = LOGITS.double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(3), LABELS])


def test_without_weights_the_loss_is_the_plain_mean():
    expected = losses_by_hand().mean()
    assert cross_entropy(LOGITS, LABELS, None, "none").item() == pytest.approx(expected)
    assert cross_entropy(LOGITS, LABELS, WEIGHTS, "none").item() == pytest.approx(expected)
    assert cross_entropy(LOGITS, LABELS, None, "sum").item() == pytest.approx(expected)


def test_sum_divides_by_the_weights_of_the_batch():
    weights = WEIGHTS.numpy()[LABELS]
    expected = (weights * losses_by_hand()).sum() / weights.sum()
    assert cross_entropy(LOGITS, LABELS, WEIGHTS, "sum").item() == pytest.approx(expected)
    built_in = nn.CrossEntropyLoss(weight=WEIGHTS)(LOGITS, LABELS)
    assert cross_entropy(LOGITS, LABELS, WEIGHTS, "sum").item() == built_in.item()


def test_n_divides_by_the_number_of_pairs_as_one_hot_float_targets_do():
    expected = (WEIGHTS.numpy()[LABELS] * losses_by_hand()).sum() / 3
    assert cross_entropy(LOGITS, LABELS, WEIGHTS, "n").item() == pytest.approx(expected)
    one_hot = F.one_hot(LABELS, 3).float()
    built_in = nn.CrossEntropyLoss(weight=WEIGHTS)(LOGITS, one_hot)
    assert cross_entropy(LOGITS, LABELS, WEIGHTS, "n").item() == pytest.approx(built_in.item())


MISSING = torch.tensor([[1.0, float("nan"), 0.0], [float("nan"), 1.0, 1.0]])
OUTPUTS = torch.tensor([[2.0, 9.0, -1.0], [-9.0, 0.5, 3.0]])
KNOWN = [(2.0, 1.0), (-1.0, 0.0), (0.5, 1.0), (3.0, 1.0)]  # outputs whose targets are there


def test_labels_that_are_missing_do_not_count():
    by_hand = [np.log1p(np.exp(-x if target else x)) for x, target in KNOWN]
    assert binary_cross_entropy(OUTPUTS, MISSING).item() == pytest.approx(np.mean(by_hand))


def test_quantities_that_are_missing_do_not_count():
    by_hand = [(x - target) ** 2 for x, target in KNOWN]
    assert squared_error(OUTPUTS, MISSING).item() == pytest.approx(np.mean(by_hand))


@pytest.mark.parametrize("loss", [binary_cross_entropy, squared_error])
def test_a_missing_target_sends_no_gradient_and_no_nan(loss):
    outputs = OUTPUTS.clone().requires_grad_()
    loss(outputs, MISSING).backward()
    assert torch.isfinite(outputs.grad).all()
    assert (outputs.grad == 0).tolist() == torch.isnan(MISSING).tolist()
    assert loss(OUTPUTS, torch.full_like(OUTPUTS, float("nan"))).item() == 0


# One step


class SoftmaxConfig(GradientConfig):
    bias: bool = True


class SoftmaxRegression(Model):
    """Plain SGD on a linear layer, from a fixed start."""

    info = ModelInfo(name="softmax-regression", version="1", summary="Softmax regression")
    Config = SoftmaxConfig
    encoding = "input_onehot"

    def build(self, task):
        layer = nn.Linear(task.n_inputs, task.n_classes, bias=self.config.bias)
        chance = torch.Generator().manual_seed(1)
        for parameter in layer.parameters():
            nn.init.normal_(parameter, generator=chance)
        return layer


def setup_of(toys, model, **config):
    """The setup of a run on the dipeptides, and its job."""
    job = toys.job(model, pairs=3_000, full=True, overrides={k: str(v) for k, v in config.items()})
    return RunSetup(job.run_specs[0], job.dataset, job.protocol, job.config.batch_size), job


def state_of(toys, model, **config):
    """A state that knows all targets, and its run's setup."""
    setup, job = setup_of(toys, model, **config)
    pin_arithmetic(1)
    with seeded_globals(0):
        request = train_request(0, setup)
        return make_state(model(job.config), job.config, request, targets=setup.hidden), setup


def sgd_by_hand(weight, bias, inputs, labels, class_weights, rate, weighting):
    """One step of softmax regression on one-hot inputs, in numpy: dL/dlogits = w (p - y) / N."""
    logits = weight.T[inputs] + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    w = np.ones(len(labels)) if weighting == "none" else class_weights[labels]
    scale = w / (w.sum() if weighting == "sum" else len(labels))
    gradient = scale[:, None] * (p - np.eye(p.shape[1])[labels])
    weight_gradient = np.zeros_like(weight)
    for i, row in zip(inputs, gradient, strict=True):
        weight_gradient[:, i] += row
    return weight - rate * weight_gradient, bias - rate * gradient.sum(axis=0)


@pytest.mark.parametrize("weighting", ["none", "sum", "n"])
def test_five_steps_agree_with_gradient_descent_by_hand(toys, weighting):
    rate = 0.5
    state, setup = state_of(
        toys, SoftmaxRegression, optimizer="sgd", learning_rate=rate, class_weights=weighting
    )
    weight, bias = (p.detach().double().numpy() for p in state.module.parameters())
    forward = setup.labels.forward
    class_weights = np.empty(4)
    class_weights[forward] = setup.dataset.spec.target.class_weights
    step = make_step(state)
    for batch in setup.stream.batches(64, 5 * 64):
        step(torch.as_tensor(batch.index))
        labels = forward[setup.dataset.targets[batch.index]]
        weight, bias = sgd_by_hand(
            weight, bias, batch.index, labels, class_weights, rate, weighting
        )
    learned_weight, learned_bias = (p.detach().numpy() for p in state.module.parameters())
    np.testing.assert_allclose(learned_weight, weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(learned_bias, bias, rtol=1e-4, atol=1e-6)


class Tally(nn.Module):
    """Learns without gradients; keeps what it is shown."""

    def __init__(self, n_inputs, n_classes):
        super().__init__()
        self.register_buffer("counts", torch.zeros(n_inputs, n_classes))
        self.with_gradient = []

    def update(self, inputs, labels):
        self.with_gradient.append(torch.is_grad_enabled())
        for i, label in zip(inputs.tolist(), labels.tolist(), strict=True):
            self.counts[i, label] += 1

    def forward(self, inputs):
        return self.counts[inputs]


class TallyModel(Model):
    info = ModelInfo(name="tally", version="1", summary="Counts")
    Config = ModelConfig
    encoding = "input_index"

    def build(self, task):
        return Tally(task.n_inputs, task.n_classes)


def test_a_batch_learner_is_given_each_batch_once_without_gradients(toys):
    state, setup = state_of(toys, TallyModel)
    assert state.optimizer is None
    step = make_step(state)
    for batch in setup.stream.batches(64, 1_500):
        step(torch.as_tensor(batch.index))
    assert not any(state.module.with_gradient)
    counts = np.bincount(setup.stream.split.train, minlength=25)
    assert state.module.counts.sum(dim=1).tolist() == counts.tolist()
    hidden = setup.labels.hide(setup.dataset.targets)
    assert (state.module.counts.argmax(dim=1).numpy() == hidden)[counts > 0].all()


# Evaluations


class Restless(nn.Module):
    """Everything that behaves differently in training: batch norm and dropout."""

    def __init__(self, n_inputs, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, n_classes)
        )

    def forward(self, inputs):
        return self.layers(inputs)


class RestlessModel(Model):
    info = ModelInfo(name="restless", version="1", summary="Batch norm and dropout")
    Config = GradientConfig
    encoding = "input_onehot"

    def build(self, task):
        return Restless(task.n_inputs, task.n_classes)


def every_batch(self, position, window_start):
    return self.clock.step(position)


def only_the_end(self, position, window_start):
    return self.clock.budget_pairs


def trained(toys, monkeypatch, after, model=RestlessModel):
    """Train to the end of the budget; return the state, its referee and what it told."""
    monkeypatch.setattr(Positions, "after", after)
    _, job = setup_of(toys, model)
    told = []

    def watch(run_spec):
        return lambda pairs, progress: told.append((pairs, progress()))

    referees = referees_of(job, watch)
    (request,) = requests_of(job, referees)
    pin_arithmetic(1)
    with seeded_globals(0):
        state = make_state(model(job.config), job.config, request)
        referees.begin(0)
        feed = Feed(0, state, request.clock, referees)
        train(feed, Checkpointer(referees, None, {}, [state]))
    assert feed.over
    return state, referees.referees[0], told


def test_evaluating_more_often_changes_no_weight(toys, monkeypatch):
    seldom, few, _ = trained(toys, monkeypatch, only_the_end)
    often, many, _ = trained(toys, monkeypatch, every_batch)
    assert few.pairs == [0, 3_000]
    assert len(many.pairs) == 49  # epochs of 1,500 pairs: 24 batches each
    assert hash_weights(seldom.module.state_dict()) == hash_weights(often.module.state_dict())
    assert np.array_equal(few.outputs[-1], many.outputs[-1])


def test_an_evaluation_is_in_evaluation_mode_and_leaves_training_mode_behind(toys):
    state, _ = state_of(toys, RestlessModel)
    state.module.train()
    modes = []
    state.module.layers[2].register_forward_hook(lambda m, *_: modes.append(m.training))
    before = torch.get_rng_state()
    first, second = evaluate(state, "evaluation"), evaluate(state, "evaluation")
    assert np.array_equal(first, second)
    assert modes == [False, False]
    assert all(part.training for part in state.module.modules())
    assert torch.equal(torch.get_rng_state(), before)
    state.module.eval()
    evaluate(state, "evaluation")
    assert not state.module.training


def test_an_evaluation_is_of_the_whole_set_in_float32_and_in_memory_of_its_own(toys):
    state, _ = state_of(toys, SoftmaxRegression)
    state.module.double()
    doubled = state.encode
    object.__setattr__(state, "encode", lambda index: doubled(index).double())
    logits = evaluate(state, "evaluation")
    assert logits.shape == (25, 4)
    assert logits.dtype == np.float32
    weight = state.module.weight.detach().numpy()
    np.testing.assert_allclose(
        logits[7], weight[:, 7] + state.module.bias.detach().numpy(), rtol=1e-6
    )
    kept = logits.copy()
    with torch.no_grad():
        state.module.weight.zero_()
    assert np.array_equal(logits, kept)


def test_the_loop_is_told_no_target_before_its_pair(toys, monkeypatch):
    """But for those of the batch after the next evaluation; those of its pairs are the setup's."""
    state, referee, told = trained(toys, monkeypatch, every_batch, TallyModel)
    assert [pairs for pairs, _ in told] == referee.pairs
    assert told[0][1] == " 0/25 dipeptides 0/2 stops"
    assert referee.position == 3_000
    setup = referee.setup
    seen = np.unique(setup.stream.epoch(0))
    assert state.targets.numpy()[seen].tolist() == setup.hidden[seen].tolist()
    unseen = np.setdiff1d(np.arange(25), seen)
    assert (state.targets.numpy()[unseen] == 0).all()


@pytest.mark.parametrize(
    ("output", "given"),
    [
        (lambda x: torch.zeros(len(x), 5), r"\(25, 5\)"),
        (lambda x: torch.zeros(len(x), 3), r"\(25, 3\)"),
        (lambda x: torch.zeros(4), r"\(4,\)"),
        (lambda x: (torch.zeros(len(x), 4), None), "tuple"),
    ],
)
def test_outputs_of_another_shape_are_refused(toys, output, given):
    """A fifth column would otherwise vanish when columns are put back in true order."""
    state, _ = state_of(toys, SoftmaxRegression)
    state.module.forward = output
    with pytest.raises(PluginError, match=rf"gives outputs {given}, expected \(25, 4\)"):
        evaluate(state, "evaluation")


class Penalised(nn.Linear):
    def outputs_and_loss(self, inputs):
        return self(inputs), 0.5 * self.weight.square().sum()


class PenalisedRegression(SoftmaxRegression):
    """Softmax regression that adds half its squared weights to the loss."""

    info = ModelInfo(name="penalised", version="1", summary="Penalised", row_independent=True)

    def build(self, task):
        module = Penalised(task.n_inputs, task.n_classes, bias=self.config.bias)
        module.load_state_dict(super().build(task).state_dict())
        return module


@pytest.mark.parametrize("parts", [1, 3])
def test_what_a_module_adds_to_the_loss_is_trained_too(toys, parts):
    fields = {"optimizer": "sgd", "learning_rate": 0.1}
    state, setup = state_of(toys, PenalisedRegression, accumulate=parts, **fields)
    plain, _ = state_of(toys, SoftmaxRegression, **fields)
    before = plain.module.weight.detach().clone()
    index = torch.as_tensor(next(setup.stream.batches(64, 64)).index)
    make_step(state)(index)
    make_step(plain)(index)
    torch.testing.assert_close(state.module.weight, plain.module.weight - 0.1 * before)
    with pytest.raises(CannotCapture, match="a loss of its own"):
        check_is_plain(state)
