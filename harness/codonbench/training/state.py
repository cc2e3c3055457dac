"""What a training step needs, how it is made, kept in a checkpoint and put back, to the bit.

A state is made from a `TrainRequest`: no target of an item that is not trained on, no seed and no
salt among it. Where targets are told pair by pair, none is known before; see `protocols.referee`.
A checkpoint holds module, optimiser and the global generators, in a file of numbers and names only.
A batch with a long sequence, to which all others are padded, is cut into parts that fit the memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler

from codonbench.contracts import (
    BatchLearner,
    ClassWeights,
    Features,
    GradientConfig,
    Items,
    Model,
    ModelConfig,
    Sequences,
    Targets,
    TaskView,
)
from codonbench.contracts.model import OFF
from codonbench.contracts.run_record import About
from codonbench.data.encodings import Encoder, canonical, make_encoder
from codonbench.data.strands import concatenated, reverse_complements
from codonbench.data.stream import Batch, IntArray
from codonbench.errors import ConfigError, PluginError
from codonbench.training.request import TrainRequest
from codonbench.training.zero_shot import VariantScores


class Scale(NamedTuple):
    """What quantities are measured in while they are learned, each of shape (K,).

    The mean and the standard deviation over the training items, so that no learning rate depends
    on units.
    """

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class StepSettings:
    """How the plain loop makes a step, beyond the gradient of a batch; by default no more.

    Attributes:
        clip: Largest norm of the gradient; None for any.
        parts: In how many parts a batch is computed.
        autocast: What the module's products are rounded to; None for float32.
    """

    clip: float | None = None
    parts: int = 1
    autocast: torch.dtype | None = None


@dataclass(frozen=True)
class TrainState:
    """Everything a training step needs.

    Attributes:
        module: What is trained.
        optimizer: Its optimiser; None for a `BatchLearner`, and where nothing is trained.
        encode: From item indices to what the module is handed. Where there is a `flip`, indices
            from N on name the N items' reverse complements.
        view: The task, as a model may know it.
        targets: Of each item as far as it is known, shape (N, ...): class ids, permuted where they
            are hidden; labels; or quantities, in units of `scale`. 0 elsewhere.
        evaluated: Items of each split, as indices.
        fan: How many letters there are, where the items are every word of one length in
            lexicographic order; None where they are not.
        class_weights: Loss weight of each class id (C,), or None.
        weighting: How the weighted loss is averaged.
        weights: What each item counts in the loss (N,); None where all count alike.
        batch_size: Pairs in a full batch.
        scale: Of quantities; None for other targets.
        schedule: Of the step size, to be stepped after each update; None where it stays.
        settings: How a step is made.
        flip: Which indices a batch hands the module, (B,): some of its items, or their reverse
            complements; None where all are handed as they are.
        compiled: The module's own forward pass, compiled, for training; None to train it as it is.
        lengths: Letters of each of an item's sequences (N, P), where a batch may have to be cut;
            None where none is too large.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None
    encode: Encoder
    view: TaskView
    targets: Tensor
    evaluated: dict[str, Tensor]
    fan: int | None
    class_weights: Tensor | None
    weighting: ClassWeights
    batch_size: int
    weights: Tensor | None = None
    scale: Scale | None = None
    schedule: LRScheduler | None = None
    settings: StepSettings = StepSettings()
    flip: Callable[[Batch], IntArray] | None = None
    compiled: Callable[[Tensor], Tensor] | None = None
    lengths: IntArray | None = None


def require_parameters(module: torch.nn.Module) -> None:
    """Raise PluginError where a module to be trained has no parameter, or not those of its layers.

    PyTorch finds no layers in a plain list: they are neither trained, moved nor saved. What shares
    parameters with the module may be there on purpose, as a network whose head is not trained.
    """
    known = {id(parameter) for parameter in module.parameters()}
    for owner, name, value in _plain_containers(module):
        for layer in value.values() if isinstance(value, dict) else value:
            if isinstance(layer, torch.nn.Module):
                own = {id(p) for p in layer.parameters() if p.requires_grad}
                if own and own.isdisjoint(known):
                    kind = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
                    raise PluginError(
                        f"{owner}.{name} is a plain {type(value).__name__}, and layers in it are "
                        f"not trained; make it an {kind}"
                    )
    if not known:
        raise PluginError(
            f"{type(module).__name__} has no parameters, so there is nothing to train; a layer "
            "counts where it is an attribute of a module, or in an nn.ModuleList that is one"
        )


def _plain_containers(module: torch.nn.Module) -> Iterator[tuple[str, str, Any]]:
    """Yield owner, name and value of each attribute that is a list, tuple or dictionary."""
    for owner in module.modules():
        for name, value in vars(owner).items():
            if isinstance(value, dict | list | tuple):
                yield type(owner).__name__, name, value


def make_state(
    plugin: Model,
    config: ModelConfig,
    request: TrainRequest,
    dtype: torch.dtype = torch.float32,
    targets: Targets | None = None,
) -> TrainState:
    """Put module, optimiser and items on the device.

    Args:
        plugin: The plugin.
        config: Its validated configuration.
        request: Training request of the run.
        dtype: Of its parameters and inputs.
        targets: Targets (N, ...) that it knows from the start; those of the request by default.

    Raises:
        ConfigError: The task does not offer the encoding that the plugin asks for, or a setting
            does not serve the model, the task or the device.
        PluginError: There is nothing to train, or `configure_optimizer` returns something else.
    """
    view, device = request.view, torch.device(request.device)
    if view.kind == "features":  # which a model of sequences need not expect as it builds
        canonical(plugin.encoding, view)
    trained = request.clock.budget_pairs > 0
    scores_variants = not trained and view.input.variants
    module = plugin.build(view.of_one_sequence() if scores_variants else view)
    if not isinstance(module, torch.nn.Module):
        raise PluginError(f"build() returned a {type(module).__name__}, expected a torch.nn.Module")
    module = module.to(device)
    if dtype != torch.float32:
        module = module.to(dtype)
    optimizer = schedule = None
    if scores_variants:
        module = VariantScores(module, view, plugin.encoding)
    elif trained and not isinstance(module, BatchLearner):
        require_parameters(module)
        optimizer = plugin.configure_optimizer(module)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise PluginError(
                f"configure_optimizer() of model {plugin.info.name!r} returned a "
                f"{type(optimizer).__name__}, expected a torch.optim.Optimizer; a schedule of the "
                "step size is what configure_schedule(optimizer, steps) returns"
            )
        schedule = plugin.configure_schedule(optimizer, request.clock.batches)
    if trained:
        _check_settings(plugin, config, optimizer)
    items, flip = request.items, None
    if isinstance(config, GradientConfig) and config.reverse_complement:
        items, flip = with_reverse_complements(items, view), partial(_flipped, request)
    weights = request.class_weights
    known = torch.as_tensor(request.targets if targets is None else targets).clone()
    scale = None
    if view.target == "quantities":
        scale = _scale(known[torch.as_tensor(request.trained)].to(dtype).to(device))
        known = (known.to(dtype).to(device) - scale.mean) / scale.deviation
    return TrainState(
        module=module,
        optimizer=optimizer,
        encode=make_encoder(plugin.encoding, view, items, device, dtype),
        view=view,
        targets=known.to(device),
        evaluated={
            name: torch.as_tensor(index, device=device) for name, index in request.evaluated.items()
        },
        fan=_fan(view, request.items),
        class_weights=None
        if weights is None
        else torch.as_tensor(weights, dtype=dtype, device=device),
        weighting="sum" if config.class_weights == "balanced" else config.class_weights,
        batch_size=config.batch_size,
        weights=None
        if request.weights is None
        else torch.as_tensor(request.weights, dtype=dtype, device=device),
        scale=scale,
        schedule=schedule,
        settings=_step_settings(config, device),
        flip=flip,
        lengths=long_lengths(request.items, config.batch_size, device.type),
    )


def _check_settings(
    plugin: Model, config: ModelConfig, optimizer: torch.optim.Optimizer | None
) -> None:
    """Raise ConfigError where a setting would do nothing, because the model goes its own way."""
    if not isinstance(config, GradientConfig):
        return
    on = {name for name, off in OFF.items() if getattr(config, name) != off}
    if optimizer is None:
        idle, why = on - {"reverse_complement"}, "learns without gradients"
    else:
        groups = optimizer.param_groups
        idle = {
            name
            for name in on & {"momentum", "weight_decay"}
            if getattr(config, name) not in [group.get(name) for group in groups]
        }
        if type(plugin).configure_schedule is not Model.configure_schedule:
            idle |= on & {"schedule", "warmup"}
        why = "makes an optimiser or a schedule of its own"
    for name in sorted(idle):
        raise ConfigError(
            f"model {plugin.info.name!r} {why}, and takes no {name}={getattr(config, name)}; "
            "leave it out"
        )


def _step_settings(config: ModelConfig, device: torch.device) -> StepSettings:
    """Return how a configuration says that a step is made.

    Raises:
        ConfigError: The device has no bfloat16.
    """
    if not isinstance(config, GradientConfig):
        return StepSettings()
    half = config.precision == "bfloat16"
    if half and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            f"precision=bfloat16, but {torch.cuda.get_device_name()} has no such arithmetic; use "
            "precision=float32"
        )
    return StepSettings(config.gradient_clip, config.accumulate, torch.bfloat16 if half else None)


def with_reverse_complements(items: Items, view: TaskView) -> Items:
    """Return N items and, behind them, their N reverse complements.

    Raises:
        ConfigError: The items are no single sequences of nucleotides.
    """
    turned = reverse_complements(items, view.alphabet)
    if turned is None or not isinstance(items, Sequences):
        raise ConfigError(
            f"reverse_complement=true, but an item of task {view.task!r} is no sequence of "
            f"nucleotides: its kind is {view.kind!r}, its alphabet {view.alphabet!r}; leave it out"
        )
    return concatenated(items, turned)


def _flipped(request: TrainRequest, batch: Batch) -> IntArray:
    """Return a batch's indices, each moved to the item's reverse complement or not.

    By a generator of the batch's own, so that it matters neither where a run was cut short nor what
    else draws numbers.
    """
    chance = np.random.default_rng((*request.chance, batch.pairs))
    return batch.index + len(request.items) * chance.integers(2, size=len(batch.index))


def _scale(targets: Tensor) -> Scale:
    """Return mean and standard deviation of each quantity (n, K), what is missing left out."""
    known = ~torch.isnan(targets)
    count = known.sum(0).clamp(min=1)
    mean = torch.where(known, targets, 0.0).sum(0) / count
    variance = torch.where(known, (targets - mean) ** 2, 0.0).sum(0) / count
    deviation = variance.sqrt()
    return Scale(mean, torch.where(deviation > 0, deviation, 1.0))


def _fan(view: TaskView, items: Items) -> int | None:
    """Return the alphabet's size where the items are every word in lexicographic order."""
    size, length = len(view.alphabet), view.length
    if view.n_inputs is None or not isinstance(items, Sequences) or size**length != len(items):
        return None
    words = np.indices((size,) * length).reshape(length, -1).T
    return size if np.array_equal(words, items.rows()) else None


MOST_PADDED = {"cpu": 1 << 21, "cuda": 1 << 22}
"""Letters, padding and all, that are computed at a time, but no fewer than one item's.

A network of 128 filters keeps some 3 GB of what it computes on 2 million letters for the backward
pass; a batch of 128 sequences of 15,000 letters is just below that.
"""


def long_lengths(items: Items, batch_size: int, device: str) -> IntArray | None:
    """Return the letters of each item's sequences (N, P), where a batch may have to be cut."""
    if isinstance(items, Features) or not len(items):
        return None
    lengths = np.stack([part.lengths for part in items.parts], axis=1)
    most = batch_size * int(lengths.max(axis=0).sum())
    return lengths if most > MOST_PADDED[device] else None


def cut(index: Tensor, lengths: IntArray | None) -> tuple[Tensor, ...]:
    """Return item indices (B,) in parts, in their order, each within `MOST_PADDED` when padded.

    Args:
        index: Which items; from N on, their reverse complements, which are as long.
        lengths: Of the items, (N, P); None where no batch is too large.
    """
    if lengths is None or not len(index):
        return (index,)
    most, sizes = MOST_PADDED[index.device.type], [0]
    longest = np.zeros(lengths.shape[1], dtype=np.int64)
    for own in lengths[index.cpu().numpy() % len(lengths)]:
        longest = np.maximum(longest, own)
        if sizes[-1] and (sizes[-1] + 1) * longest.sum() > most:
            sizes.append(0)
            longest = own
        sizes[-1] += 1
    return torch.split(index, sizes)


def can_be_cut(module: torch.nn.Module) -> bool:
    """Return whether a module computes the same on a batch in parts: not where it has batch norm.

    A module whose outputs for an item depend on that item alone gives the same gradient in parts,
    but for rounding and for what dropout draws.
    """
    return not any(isinstance(part, _BatchNorm) for part in module.modules())


State = dict[str, Any]
"""Tensors, numbers and names, in dicts and lists: what `torch.load` reads with weights only."""


def read_state(path: Path, facts: State) -> State | None:
    """Return the state in a file; None where it is unreadable or of another engine."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # zip, pickle and torch each have their own complaints
        return None
    if not isinstance(state, dict) or not isinstance(state.get("facts"), dict):
        return None
    same = all(state["facts"].get(key) == facts[key] for key in ("name", "version", "rows"))
    return state if same else None


def whole_state(state: TrainState, selected: State | None) -> State:
    """Return all that the plain loop goes on from: with it, the state that is selected so far."""
    optimizer, schedule = state.optimizer, state.schedule
    return {
        "module": state.module.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
        "selected": selected,
        "chance": _generators(),
    }


def restore(state: TrainState, kept: State) -> None:
    """Put `whole_state` back into a state made anew, and the generators where they were.

    Raises:
        RuntimeError, ValueError, KeyError: It is of another module.
    """
    state.module.load_state_dict(kept["module"])
    if state.optimizer is not None:
        state.optimizer.load_state_dict(kept["optimizer"])
    if state.schedule is not None:
        state.schedule.load_state_dict(kept["schedule"])
    _set_generators(kept["chance"])


def _generators() -> State:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())],
        "python": list(random.getstate()[1]),
        "python_gauss": random.getstate()[2],
        "numpy": [kind, torch.as_tensor(np.asarray(keys, dtype=np.int64)), *rest],
    }


def _set_generators(state: State) -> None:
    torch.set_rng_state(state["torch"])
    for i, cuda in enumerate(state["cuda"]):
        torch.cuda.set_rng_state(cuda, i)
    random.setstate((3, tuple(state["python"]), state["python_gauss"]))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))


def about(module: torch.nn.Module) -> dict[str, str | int | float | bool]:
    """Return the facts of a module's ``about()`` for the record; none without one.

    Raises:
        PluginError: No record can hold it.
    """
    reported = getattr(module, "about", None)
    try:
        return _ABOUT.validate_python(dict(reported()) if callable(reported) else {})
    except ValidationError as error:
        name = "".join(map(str, error.errors(include_input=False)[0]["loc"][:1]))
        raise PluginError(
            f"about() says of {name!r:.99} what no record can hold, expected at most 32 names, "
            "each with true, false, a number below 2^63, or text of at most 200 ASCII characters"
        ) from None


_ABOUT: TypeAdapter[About] = TypeAdapter(About)
