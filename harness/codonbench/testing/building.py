"""What ``build`` returns, and what it leaves behind."""

from __future__ import annotations

from itertools import chain

import torch

from codonbench.testing.findings import Verdict, failed, passed, warning
from codonbench.testing.subject import DEVICE, Subject
from codonbench.testing.surroundings import Printed, generators, settings
from codonbench.training.determinism import seeded_globals

_MUCH = 2_000  # characters; a line at each of some hundred steps is more


def returns_a_module(subject: Subject) -> Verdict:
    """Hold that ``build`` returns a module."""
    module = subject.build()
    if not isinstance(module, torch.nn.Module):
        return failed(f"build returned {type(module).__name__}; expected a torch.nn.Module")
    return passed()


def leaves_settings(subject: Subject) -> Verdict:
    """Hold that making and building a model changes no global setup."""
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


def is_fresh(subject: Subject) -> Verdict:
    """Hold that no two modules share anything."""
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


def leaves_seeding(subject: Subject) -> Verdict:
    """Hold that chance comes from the harness: two seeds leave the generators apart."""
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


def is_on_device(subject: Subject) -> Verdict:
    """Hold that all tensors are where they are asked to be."""
    module = subject.build()
    away = [
        (name, tensor.device)
        for name, tensor in chain(module.named_parameters(), module.named_buffers())
        if tensor.device.type == "meta"
    ]
    if not away:
        module = module.to(DEVICE)
        away = [
            (name, tensor.device)
            for name, tensor in chain(module.named_parameters(), module.named_buffers())
            if tensor.device.type != DEVICE
        ]
    if away:
        name, device = away[0]
        return failed(
            f"{name!r} is on device {str(device)!r}, expected {DEVICE!r}, and {len(away) - 1} "
            "others are not either; build on the CPU with no device=, the harness moves the module"
        )
    return passed(DEVICE)


def is_counted(subject: Subject) -> Verdict:
    """Count the parameters."""
    module = subject.build()
    subject.parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters()) - subject.parameters
    more = f", and {frozen:,} frozen" if frozen else ""
    return passed(f"{subject.parameters:,} trainable parameters{more}")


def printed_little(printed: Printed) -> Verdict:
    """Hold that a plugin does not fill the terminal; asked last."""
    amount = printed.characters
    if amount > _MUCH:
        return warning(
            f"it printed {amount:,} characters during these checks, beginning "
            f"{printed.beginning!r}; a whole run may print thousands of times as much: print "
            "nothing in build, forward and update"
        )
    return passed(f"{amount:,} characters printed" if amount else "")
