"""Checks of a model's identity and configuration, and of ``build`` and its side effects."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch

from codonbench.contracts import BaseConfig, BatchLearner, ModelInfo, Name
from codonbench.data.encodings import canonical
from codonbench.errors import ConfigError
from codonbench.plugins.entries import check_survives_json
from codonbench.testing.checks import Checks, Verdict, failed, misfit, passed, warning
from codonbench.testing.environment import generators, settings
from codonbench.testing.subject import DEVICE, ModelSubject
from codonbench.training.determinism import seeded_globals
from codonbench.training.state import require_parameters

CHECKS = Checks[ModelSubject]()
"""The first two apply to any plugin class, also without ``build``."""


@CHECKS.hold("identity")
def has_valid_names(subject: ModelSubject) -> Verdict:
    """Name, version and presets are valid."""
    cls, info = subject.cls, subject.cls.info
    if not isinstance(info, ModelInfo):
        return failed(f"info is {type(info).__name__}; expected a ModelInfo")
    wrong = misfit(ModelInfo, info.model_dump())
    for preset in cls.presets:
        wrong = wrong or misfit(Name, preset, "a preset's name")
    if wrong:
        return failed(
            f"{wrong}; names are of small letters, digits, '.', '_' and '-', versions such as 1 "
            "or 1.2.0"
        )
    for preset, values in cls.presets.items():
        if wrong := misfit(cls.Config, dict(values)):
            return failed(f"preset {preset!r}: {wrong}; change the preset or the field's bounds")
    if not info.summary.strip():
        return warning("its summary is empty; write one line for 'bench ls models'")
    return passed(f"{info.name}, version {info.version}")


@CHECKS.hold("config")
def survives_json(subject: ModelSubject) -> Verdict:
    """The configuration survives JSON."""
    config = subject.config
    if not isinstance(config, BaseConfig):
        return failed(f"Config is {type(config).__name__}; expected a subclass of BaseConfig")
    check_survives_json(config, "its configuration")
    return passed()


@CHECKS.hold("encoding")
def is_offered(subject: ModelSubject) -> Verdict:
    """The task has each encoding of the model."""
    try:
        encodings = [canonical(encoding, subject.view) for encoding in subject.variants()]
    except ConfigError as error:
        return failed(f"{error}; let encoding be one of those")
    return passed(" or ".join(encodings))


@CHECKS.hold("build", "encoding")
def returns_a_module(subject: ModelSubject) -> Verdict:
    """Build returns a module."""
    module = subject.build()
    if not isinstance(module, torch.nn.Module):
        return failed(f"build returned {type(module).__name__}; expected a torch.nn.Module")
    if not isinstance(module, BatchLearner):
        require_parameters(module)
    return passed()


@CHECKS.hold("settings", "build")
def leaves_settings(subject: ModelSubject) -> Verdict:
    """Build leaves global settings alone."""
    before = settings()
    subject.build()
    after = settings()
    for name in before:
        if before[name] != after[name]:
            return failed(
                f"build changed {name} from {before[name]} to {after[name]}; it would count for "
                "every model after it; put it back, or pass dtype= or device= where it is meant"
            )
    return passed()


@CHECKS.hold("fresh", "build")
def is_fresh(subject: ModelSubject) -> Verdict:
    """Build returns a fresh module each time."""
    plugin = subject.plugin()
    with seeded_globals(0):
        modules = [plugin.build(subject.view), plugin.build(subject.view)]
        modules.append(subject.plugin().build(subject.view))
    for i, module in enumerate(modules):
        for other in modules[:i]:
            if module is other:
                return failed(
                    "build returned the same module twice: the second run would begin where the "
                    "first ended; make a new one at each call"
                )
            own = dict(module.named_parameters()) | dict(module.named_buffers())
            others = {id(t) for t in chain(other.parameters(), other.buffers())}
            shared = [name for name, tensor in own.items() if id(tensor) in others]
            if shared:
                return failed(
                    f"two modules from build share {shared[0]!r}: training one trains the other; "
                    "make its tensors inside build"
                )
    return passed()


@CHECKS.hold("seeding", "build")
def leaves_seeding(subject: ModelSubject) -> Verdict:
    """Build leaves seeding to the harness."""
    states = []
    for seed in (0, 1):
        with seeded_globals(seed):
            subject.plugin().build(subject.view)
            states.append(generators())
    for name in states[0]:
        if states[0][name] == states[1][name]:
            return failed(
                f"build seeds {name} itself, so every seed begins alike; leave seeding to the "
                "harness, which seeds torch, numpy and random before each build"
            )
    return passed()


@CHECKS.hold("device", "build")
def is_on_device(subject: ModelSubject) -> Verdict:
    """Parameters and buffers are on the CPU."""
    module = subject.build()
    away = _elsewhere(module, lambda kind: kind == "meta")
    away = away or _elsewhere(module.to(DEVICE), lambda kind: kind != DEVICE)
    if away:
        name, device = away[0]
        return failed(
            f"{name!r} is on device {str(device)!r}, expected {DEVICE!r}, and {len(away) - 1} "
            "others are not either; build on the CPU with no device=, the harness moves the module"
        )
    return passed(DEVICE)


def _elsewhere(
    module: torch.nn.Module, wrong: Callable[[str], bool]
) -> list[tuple[str, torch.device]]:
    """Return name and device of each tensor for whose device type `wrong` is true."""
    tensors = chain(module.named_parameters(), module.named_buffers())
    return [(name, tensor.device) for name, tensor in tensors if wrong(tensor.device.type)]


@CHECKS.hold("size", "build")
def is_counted(subject: ModelSubject) -> Verdict:
    """Parameters are counted."""
    module = subject.build()
    subject.parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters()) - subject.parameters
    more = f", and {frozen:,} frozen" if frozen else ""
    return passed(f"{subject.parameters:,} trainable parameters{more}")
