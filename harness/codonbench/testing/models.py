"""Is a model what the contract asks? Every check, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from codonbench.contracts import Model, ModelConfig, Reference, Task
from codonbench.contracts.run_spec import configure
from codonbench.errors import UnknownNameError
from codonbench.plugins.failures import file_of
from codonbench.testing import building, identity, learning, outputs, prior, probing
from codonbench.testing.checklist import Check, examine
from codonbench.testing.findings import Finding, Verdict, insist
from codonbench.testing.references import REFERENCE_CHECKS, Row
from codonbench.testing.subject import Subject, installed
from codonbench.testing.surroundings import kept_settings, listening
from codonbench.training.determinism import pin_arithmetic

_BUILT = ("device", "fresh", "settings")
_SOUND = (*_BUILT, "shape", "inputs")
_TRAINED = (*_SOUND, "optimiser", "finite")

MODEL_CHECKS: tuple[Check[Subject], ...] = (
    Check(
        "identity", "name, version and presets are valid", lambda s: identity.has_valid_names(s.cls)
    ),
    Check("config", "the configuration survives JSON", lambda s: identity.survives_json(s.config)),
    Check(
        "class", "the class can be sent to another process", lambda s: identity.class_pickles(s.cls)
    ),
    Check("encoding", "the task offers each encoding", identity.is_offered),
    Check("build", "build returns a module", building.returns_a_module, ("encoding",)),
    Check("settings", "build leaves global settings alone", building.leaves_settings, ("build",)),
    Check("fresh", "build returns a fresh module each time", building.is_fresh, ("build",)),
    Check("seeding", "build leaves seeding to the harness", building.leaves_seeding, ("build",)),
    Check("device", "the module is where it is asked to be", building.is_on_device, ("build",)),
    Check("size", "its parameters are counted", building.is_counted, ("build",)),
    Check("shape", "one row of logits for each input", outputs.has_shape, _BUILT),
    Check(
        "logits",
        "its outputs are logits",
        outputs.are_logits,
        (*_BUILT, "shape"),
        advisory=True,
    ),
    Check(
        "portable",
        "forward works where its inputs are",
        outputs.follows_inputs,
        (*_BUILT, "shape"),
        advisory=True,
    ),
    Check("inputs", "inputs are left as they are", outputs.leaves_inputs, (*_BUILT, "shape")),
    Check("untaught", "it knows nothing before its first pair", prior.knows_nothing, _SOUND),
    Check("optimiser", "the optimiser holds every parameter", learning.is_optimised, _SOUND),
    Check(
        "gradient", "gradients reach every parameter", learning.is_reached, (*_SOUND, "optimiser")
    ),
    Check("finite", "the loss is finite", learning.is_finite, (*_SOUND, "optimiser")),
    Check("deterministic", "one seed gives one result", learning.is_deterministic, _TRAINED),
    Check("evaluation", "evaluation draws no random numbers", probing.draws_nothing, _SOUND),
    Check(
        "probing",
        "being probed does not change training",
        probing.leaves_training,
        (*_TRAINED, "deterministic", "evaluation"),
    ),
    Check(
        "weights", "its state_dict is all of it", probing.weights_survive, (*_TRAINED, "evaluation")
    ),
    Check("pickle", "the module can be pickled", probing.module_pickles, (*_TRAINED, "evaluation")),
    Check(
        "rows", "what it claims of rows is true", outputs.keeps_rows_apart, (*_SOUND, "evaluation")
    ),
    Check("learning", "the loss falls", learning.learns, _TRAINED, advisory=True),
    Check(
        "engine",
        "which engine will train it",
        learning.engine,
        (*_TRAINED, "rows"),
        advisory=True,
    ),
    Check("quiet", "it does not fill the terminal", lambda s: building.printed_little(s.printed)),
)
"""What every model must pass. A check comes after those it needs."""


def check_model(
    model: str | type[Model] | type[Reference],
    *,
    preset: str | None = None,
    task: str | Task | None = None,
) -> None:
    """Hold a model to everything that `bench check` does, in the process it is called in.

    Args:
        model: A class, or the name of an installed model or preset.
        preset: One of the class's presets; its defaults otherwise.
        task: A task or its name; the default task otherwise.

    Raises:
        AssertionError: Lists every check that failed, in words.
        UnknownNameError: No model, preset or task has that name.
        ConfigError: The preset's fields are not valid.
    """
    if isinstance(model, str):
        entry = installed().model(model)
        cls, values, whose = entry.cls, dict(entry.preset), f"model {model!r}"
    else:
        cls, values, whose = model, {}, f"model {model.__name__}"
    if preset is not None:
        if preset not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise UnknownNameError(f"{whose} has no preset {preset!r}; it has {known}")
        values, whose = dict(cls.presets[preset]), f"{whose}, preset {preset!r}"
    config = configure(cls.Config, values, {}, whose)
    examined = examination(cls, config, find_task(task))
    insist(examined.findings(hurry=True), whose)


@dataclass(frozen=True)
class Examination:
    """What is to be examined, and how.

    Attributes:
        subject: The model or computed row.
        checks: What is held, in order.
    """

    subject: Subject | Row
    checks: tuple[Check[Any], ...]

    def findings(
        self, begun: Callable[[str], None] = lambda check: None, *, hurry: bool = False
    ) -> Iterator[Finding]:
        """Yield findings; what the plugin prints is counted, what it sets is put back.

        Args:
            begun: Told the id of each check before it begins.
            hurry: Leave out the checks that cannot fail.
        """

        def quietly(check: Check[Any], subject: Subject | Row) -> Verdict:
            with kept_settings(), listening(subject.printed):
                return check.examine(subject)

        contained = [
            replace(check, examine=partial(quietly, check))
            for check in self.checks
            if not (hurry and check.advisory)
        ]
        with kept_settings():
            pin_arithmetic(1)
            yield from examine(contained, self.subject, file_of(self.subject.cls), begun)


def examination(cls: type[Model] | type[Reference], config: ModelConfig, task: Task) -> Examination:
    """Return the examination of a model in one configuration on one task; nothing is done yet."""
    if issubclass(cls, Reference):
        return Examination(Row(cls, config, task), REFERENCE_CHECKS)
    return Examination(Subject(cls, config, task), MODEL_CHECKS)


def find_task(task: str | Task | None) -> Task:
    """Return a task, by its name where it is one, the default for None."""
    return task if isinstance(task, Task) else installed().task(task).task
