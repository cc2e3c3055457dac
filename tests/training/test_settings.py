"""What a training may be set to do, each held to the same written out by hand."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.shared.letters import TARGETS, TEXTS, Linear, state_of, view_of
from torch import nn

from codonbench.contracts import (
    DNA,
    IUPAC,
    PROTEIN,
    GradientConfig,
    Sequences,
)
from codonbench.contracts.model import OFF, as_recorded, from_record, step_size
from codonbench.data.stream import Batch, BatchClock
from codonbench.errors import ConfigError, PluginError
from codonbench.training.loop import evaluate, make_step
from codonbench.training.state import with_reverse_complements

EVERYTHING = torch.arange(len(TEXTS))


def weights_of(state):
    return torch.cat([p.detach().flatten() for p in state.module.parameters()]).clone()


def gradient_of(state, **loss):
    """The gradient of the first step, as plain gradient descent with step size 1 shows it."""
    plain = state_of(optimizer="sgd", learning_rate=1.0, **loss)
    before = weights_of(plain)
    make_step(plain)(EVERYTHING)
    return before - weights_of(plain)


def test_adamw_takes_the_decay_from_the_parameters_and_not_from_the_gradient():
    state = state_of(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    before, gradient = weights_of(state), gradient_of(state)
    make_step(state)(EVERYTHING)
    expected = before * (1 - 0.1 * 0.5) - 0.1 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(weights_of(state), expected)


def test_sgd_with_momentum_goes_on_in_its_direction_and_decays():
    state = state_of(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    twin = state_of(optimizer="sgd", learning_rate=1.0)
    velocity = torch.zeros(15)
    step, ahead = make_step(state), make_step(twin)
    for _ in range(3):
        before = weights_of(state)
        nn.utils.vector_to_parameters(before.clone(), twin.module.parameters())
        ahead(EVERYTHING)
        gradient = before - weights_of(twin)
        velocity = 0.9 * velocity + gradient + 0.01 * before
        step(EVERYTHING)
        torch.testing.assert_close(weights_of(state), before - 0.1 * velocity)


def rates(state, steps):
    """The step size of each update."""
    step, seen = make_step(state), []
    for _ in range(steps):
        seen.append(state.optimizer.param_groups[0]["lr"])
        step(EVERYTHING)
    return seen


def test_a_cosine_follows_a_warm_up_over_the_whole_budget():
    seen = rates(state_of(schedule="cosine", warmup=0.2, learning_rate=0.5), 10)
    falling = [0.25 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert seen == pytest.approx([0.25, 0.5, *falling])
    assert step_size(10, 10, 2, cosine=True) == 0
    assert rates(state_of(warmup=0.5, learning_rate=1.0), 7) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1, 1, 1]
    )


def test_one_cycle_rises_for_three_tenths_of_the_steps_and_falls():
    seen = rates(state_of(schedule="one-cycle", learning_rate=0.5), 10)
    assert seen[0] == pytest.approx(0.5 / 25)
    assert int(np.argmax(seen)) == 2
    assert seen[2] == pytest.approx(0.5)
    assert seen[-1] == pytest.approx(0.5 / 250_000)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_a_schedule_may_be_a_step_long(schedule, steps):
    state = state_of(schedule=schedule, batch_size=-(-80 // steps))
    assert all(math.isfinite(rate) for rate in rates(state, steps))


def test_the_budgets_batches_are_counted():
    for size, epoch, budget in [(8, 8, 80), (3, 8, 80), (5, 7, 23), (64, 10, 4), (1, 1, 1)]:
        clock, position, count = BatchClock(size, epoch, budget), 0, 0
        while position < budget:
            position, count = clock.step(position), count + 1
        assert clock.batches == count


def test_a_gradient_is_clipped_to_its_largest_norm():
    state = state_of(optimizer="sgd", learning_rate=1.0, gradient_clip=0.25)
    before, gradient = weights_of(state), gradient_of(state)
    assert gradient.norm() > 0.25
    make_step(state)(EVERYTHING)
    expected = before - 0.25 * gradient / gradient.norm()
    torch.testing.assert_close(weights_of(state), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 8, 50])
@pytest.mark.parametrize(
    ("target", "weighting"),
    [("classes", "none"), ("classes", "sum"), ("classes", "n"), ("labels", ""), ("quantities", "")],
)
def test_a_batch_in_parts_gives_the_same_step(target, weighting, parts):
    asked = {"optimizer": "sgd", "learning_rate": 1.0, "class_weights": weighting or "none"}
    whole, split = state_of(target, **asked), state_of(target, accumulate=parts, **asked)
    for state in (whole, split):
        make_step(state)(EVERYTHING)
    torch.testing.assert_close(weights_of(split), weights_of(whole))


def test_bfloat16_rounds_products_and_keeps_parameters_and_outputs_in_float32():
    exact, rounded = state_of(), state_of(precision="bfloat16")
    one, other = (evaluate(state, "validation") for state in (exact, rounded))
    assert other.dtype == np.float32
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, rtol=2**-7, atol=2**-5)
    make_step(rounded)(EVERYTHING)
    assert {p.dtype for p in rounded.module.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in rounded.module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("alphabet", "texts", "turned"),
    [
        (DNA, ["AACG", "T", "GATNA", "CCC"], ["CGTT", "A", "TNATC", "GGG"]),
        ("ACGU", ["AACG", "U"], ["CGUU", "A"]),
        (IUPAC, ["ARYB", "NSW", "KMDHV"], ["VRYT", "WSN", "BDHKM"]),
    ],
)
def test_reverse_complements_stand_behind_their_items(alphabet, texts, turned):
    items = with_reverse_complements(Sequences.of(texts, alphabet), view_of(alphabet=alphabet))
    assert items.text(alphabet) == texts + turned


@pytest.mark.parametrize("alphabet", [PROTEIN, "ACG", "AB"])
def test_what_is_no_nucleotide_has_no_complement(alphabet):
    with pytest.raises(ConfigError, match=rf"'letters'.*'{alphabet}'"):
        with_reverse_complements(Sequences.of(["A"], alphabet), view_of(alphabet=alphabet))


def test_half_of_the_items_are_handed_as_their_reverse_complements_by_the_batch_alone():
    state = state_of(reverse_complement=True)
    index = np.tile(np.arange(8), 200)
    first, again, later = (state.flip(Batch(index, pairs)) for pairs in (64, 64, 128))
    assert first.tolist() == again.tolist() != later.tolist()
    assert (first % 8 == index).all()
    assert 0.45 < (first >= 8).mean() < 0.55
    turned = state.encode(torch.tensor([8 + 2]))[0].argmax(1)
    assert turned.tolist() == [DNA.index(letter) for letter in "TGCATG"]
    make_step(state)(torch.as_tensor(first[:8]))  # targets are those of the items
    plain = state_of()
    make_step(plain)(torch.as_tensor(index[:8]))
    assert not torch.equal(weights_of(state), weights_of(plain))


WEIGHTS = np.array([3, 1, 0, 2, 1, 0, 1, 2], dtype=np.float32)


@pytest.mark.parametrize(
    ("target", "weighting"), [*((target, "none") for target in TARGETS), ("classes", "sum")]
)
@pytest.mark.parametrize("parts", [1, 3])
def test_an_item_of_weight_w_counts_as_w_of_them(target, weighting, parts):
    asked = {"optimizer": "sgd", "learning_rate": 1.0, "class_weights": weighting}
    weighted = state_of(target, weights=WEIGHTS, accumulate=parts, **asked)
    make_step(weighted)(EVERYTHING)
    repeated = state_of(target, batch_size=16, **asked)
    make_step(repeated)(torch.as_tensor(np.repeat(np.arange(8), WEIGHTS.astype(int))))
    torch.testing.assert_close(weights_of(weighted), weights_of(repeated))


class Tuple(Linear):
    """Returns a schedule beside the optimiser, as PyTorch Lightning has it."""

    def configure_optimizer(self, module):
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 10)


def test_an_optimiser_beside_a_schedule_is_refused_with_the_place_for_it():
    with pytest.raises(PluginError, match=r"a tuple.*configure_schedule\(optimizer, steps\)"):
        state_of(model=Tuple)


class Parts(Linear):
    """Returns layers that no module holds."""

    info = Linear.info.model_copy(update={"name": "parts"})

    def build(self, task):
        return {"layer": super().build(task)}


def test_what_build_returns_is_a_module():
    with pytest.raises(PluginError, match=r"build\(\) returned a dict, expected a torch\.nn"):
        state_of(model=Parts)


class Own(Linear):
    """Brings an optimiser and a schedule of its own."""

    info = Linear.info.model_copy(update={"name": "own-ways"})

    def configure_optimizer(self, module):
        return torch.optim.SGD(module.parameters(), lr=1.0)

    def configure_schedule(self, optimizer, steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)


class Counting(Linear):
    """Learns without gradients."""

    info = Linear.info.model_copy(update={"name": "counting"})

    def build(self, task):
        module = super().build(task)
        module.update = lambda inputs, labels: None
        return module


def test_a_models_own_schedule_is_stepped_over_the_budget():
    assert rates(state_of(model=Own), 10) == pytest.approx([1 - step / 10 for step in range(10)])


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (Own, "weight_decay", 0.1),
        (Own, "schedule", "cosine"),
        (Own, "warmup", 0.1),
        (Counting, "gradient_clip", 1.0),
        (Counting, "precision", "bfloat16"),
        (Counting, "accumulate", 2),
    ],
)
def test_a_setting_that_a_model_does_not_heed_is_refused(model, field, value):
    with pytest.raises(ConfigError, match=f"'{model.info.name}'.*{field}={value}"):
        state_of(model=model, **{field: value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"momentum": 0.9}, "sgd"),
        ({"schedule": "one-cycle", "warmup": 0.1}, "one-cycle"),
        ({"optimizer": "lion"}, "'adam', 'adamw' or 'sgd'"),
        ({"gradient_clip": 0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        GradientConfig(**fields)


def test_what_is_off_is_not_recorded_and_what_is_not_recorded_was_off():
    plain = GradientConfig().model_dump(mode="json")
    assert {name: plain[name] for name in OFF} == OFF
    assert as_recorded(plain, {}) == {
        "batch_size": 64,
        "class_weights": "none",
        "optimizer": "adam",
        "learning_rate": 0.001,
    }
    asked = GradientConfig(optimizer="adamw", weight_decay=0.1, schedule="cosine")
    recorded = as_recorded(asked.model_dump(mode="json"), {})
    assert set(recorded) - set(as_recorded(plain, {})) == {"weight_decay", "schedule"}

    class Decaying(GradientConfig):
        """One with a default that is on."""

        weight_decay: float = 0.3

    off = Decaying(weight_decay=0.0).model_dump(mode="json")
    assert Decaying(**from_record(Decaying, as_recorded(off, {}))).weight_decay == 0
    assert "weight_decay" in as_recorded(off, {"weight_decay": 0.0})
    on = as_recorded(Decaying().model_dump(mode="json"), {})
    assert Decaying(**from_record(Decaying, on)).weight_decay == 0.3


@pytest.mark.parametrize(
    ("field", "value"), [("schedule", "cosine"), ("gradient_clip", 1.0), ("accumulate", 2)]
)
def test_the_plain_loop_trains_where_a_captured_step_would_drop_a_setting(toys, field, value):
    record, _ = toys.run("mlp-64", pairs=640, overrides={field: str(value)})
    assert record.engine.name == "eager"
    assert "captured step" in record.engine.reason
    assert record.overrides == {field: value}
    assert record.run_spec.config[field] == value
