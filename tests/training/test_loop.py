import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo
from codonbench.contracts.run_record import hash_weights
from codonbench.errors import PluginError
from codonbench.protocols.referee import Guide, Guides
from codonbench.protocols.schedule import ProbeSchedule
from codonbench.protocols.setup import Setting
from codonbench.training.arithmetic import pin_arithmetic
from codonbench.training.checkpoint import Keeper
from codonbench.training.feed import Course, Probes
from codonbench.training.loop import cross_entropy, make_step, probe_logits, train
from codonbench.training.seeding import seeded_globals
from codonbench.training.state import make_lesson

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


def lesson_of(toys, model, **config):
    """A lesson on the dipeptides, and its setting."""
    job = toys.job(model, pairs=3_000, overrides={k: str(v) for k, v in config.items()})
    setting = Setting(job.run_specs[0], job.dataset, job.config.batch_size)
    pin_arithmetic(1)
    with seeded_globals(0):
        lesson = make_lesson(model(job.config), job.config, setting.brief(), labels=setting.hidden)
        return lesson, setting


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
    lesson, setting = lesson_of(
        toys, SoftmaxRegression, optimizer="sgd", learning_rate=rate, class_weights=weighting
    )
    weight, bias = (p.detach().double().numpy() for p in lesson.module.parameters())
    forward = setting.labels.forward
    class_weights = np.empty(4)
    class_weights[forward] = setting.dataset.spec.class_weights
    step = make_step(lesson)
    for batch in setting.stream.batches(64, 5 * 64):
        step(torch.as_tensor(batch.index))
        labels = forward[setting.dataset.labels[batch.index]]
        weight, bias = sgd_by_hand(
            weight, bias, batch.index, labels, class_weights, rate, weighting
        )
    learned_weight, learned_bias = (p.detach().numpy() for p in lesson.module.parameters())
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


def test_a_batch_learner_is_shown_each_batch_once_without_gradients(toys):
    lesson, setting = lesson_of(toys, TallyModel)
    assert lesson.optimizer is None
    step = make_step(lesson)
    for batch in setting.stream.batches(64, 1_500):
        step(torch.as_tensor(batch.index))
    assert not any(lesson.module.with_gradient)
    counts = np.bincount(setting.stream.train, minlength=25)
    assert lesson.module.counts.sum(dim=1).tolist() == counts.tolist()
    hidden = setting.labels.hide(setting.dataset.labels)
    assert (lesson.module.counts.argmax(dim=1).numpy() == hidden)[counts > 0].all()


# Probes


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


class EveryBatch(ProbeSchedule):
    def next_after(self, position, window_start):
        return self.clock.step(position)


class OnlyTheEnd(ProbeSchedule):
    def next_after(self, position, window_start):
        return self.clock.budget_pairs


def trained(toys, schedule_class, model=RestlessModel, frames=()):
    """Train to the end of the budget; return lesson, the guide's probes, what it told, setting."""
    lesson, setting = lesson_of(toys, model)
    setting = Setting(
        setting.run_spec.model_copy(update={"stop": "budget"}),
        setting.dataset,
        setting.clock.batch_size,
    )
    setting.frame_set = frozenset(frames)
    told = []
    guide = Guide(
        setting, lambda run_spec: lambda pairs, right, logits: told.append((pairs, right.copy()))
    )
    guide._schedule = schedule_class(setting.clock, setting.dataset.spec, setting.stream.all_seen)
    leader = Guides([guide])
    with seeded_globals(0):
        leader.begin(0)
        course = Course(0, lesson, setting.clock, leader, Probes())
        train(course, Keeper(leader, None, {}, [lesson]))
    return lesson, guide.probes, told, setting


def test_probing_more_often_changes_no_weight(toys):
    seldom, few, _, _ = trained(toys, OnlyTheEnd)
    often, many, _, _ = trained(toys, EveryBatch)
    assert len(few.pairs) == 2
    assert len(many.pairs) == 49  # epochs of 1,500 pairs: 24 batches each
    assert hash_weights(seldom.module.state_dict()) == hash_weights(often.module.state_dict())
    assert np.array_equal(few.logits[-1], many.logits[-1])


def test_a_probe_is_in_evaluation_mode_and_leaves_training_mode_behind(toys):
    lesson, _ = lesson_of(toys, RestlessModel)
    lesson.module.train()
    modes = []
    lesson.module.layers[2].register_forward_hook(lambda m, *_: modes.append(m.training))
    before = torch.get_rng_state()
    first, second = probe_logits(lesson), probe_logits(lesson)
    assert np.array_equal(first, second)
    assert modes == [False, False]
    assert all(part.training for part in lesson.module.modules())
    assert torch.equal(torch.get_rng_state(), before)
    lesson.module.eval()
    probe_logits(lesson)
    assert not lesson.module.training


def test_a_probe_is_the_whole_probe_set_in_float32_and_in_memory_of_its_own(toys):
    lesson, _ = lesson_of(toys, SoftmaxRegression)
    lesson.module.double()
    doubled = lesson.encode
    object.__setattr__(lesson, "encode", lambda index: doubled(index).double())
    logits = probe_logits(lesson)
    assert logits.shape == (25, 4)
    assert logits.dtype == np.float32
    weight = lesson.module.weight.detach().numpy()
    np.testing.assert_allclose(
        logits[7], weight[:, 7] + lesson.module.bias.detach().numpy(), rtol=1e-6
    )
    kept = logits.copy()
    with torch.no_grad():
        lesson.module.weight.zero_()
    assert np.array_equal(logits, kept)


def test_the_loop_reports_position_right_answers_and_frames(toys):
    frames = (64, 1_500, 1_564)
    _, probes, told, setting = trained(toys, EveryBatch, SoftmaxRegression, frames)
    assert probes.position == 3_000
    assert probes.pairs == [pairs for pairs, _ in told]
    hidden = setting.labels.hide(setting.dataset.labels)
    for logits, (_, right) in zip(probes.logits, told, strict=True):
        for i in range(25):
            rivals = [logits[i, c] for c in range(4) if c != hidden[i]]
            assert right[i] == (logits[i, hidden[i]] > max(rivals))
    assert probes.frame_pairs == [64, 1_500, 1_564]
    whole = [*setting.stream.epoch(0), *setting.stream.epoch(1)]
    assert probes.frame_inputs[0].tolist() == whole[:64]
    assert probes.frame_inputs[1].tolist() == whole[23 * 64 : 1_500]
    assert probes.frame_inputs[2].tolist() == whole[1_500:1_564]


@pytest.mark.parametrize(
    ("output", "given"),
    [
        (lambda x: torch.zeros(len(x), 5), r"\(25, 5\)"),
        (lambda x: torch.zeros(len(x), 3), r"\(25, 3\)"),
        (lambda x: torch.zeros(4), r"\(4,\)"),
        (lambda x: (torch.zeros(len(x), 4), None), "tuple"),
    ],
)
def test_logits_of_another_shape_are_refused(toys, output, given):
    """A fifth column would otherwise vanish when columns are put back in true order."""
    lesson, _ = lesson_of(toys, SoftmaxRegression)
    lesson.module.forward = output
    with pytest.raises(PluginError, match=rf"gives logits {given}, expected \(25, 4\)"):
        probe_logits(lesson)
