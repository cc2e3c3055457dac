"""Each check of a model fails a toy that is wrong in just that way, and says so in words."""

import itertools
import os
import random
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from codonbench import GradientConfig, Model, ModelInfo, Reference
from codonbench.contracts.run_spec import PUBLIC_SALT, configure
from codonbench.data.stream import generator, relabelling
from codonbench.errors import ConfigError, UnknownNameError
from codonbench.testing import check_model
from codonbench.testing.checks import raise_failures
from codonbench.testing.environment import settings
from codonbench.testing.models import findings as found_in
from codonbench.testing.models import subject_of
from codonbench.testing.subject import dataset_of, find_task


class Sound(Model):
    """A linear layer, with nothing wrong; the toys below spoil one thing each."""

    info = ModelInfo(name="sound", version="1", summary="One layer", row_independent=True)
    Config = GradientConfig
    encoding = "codon_onehot"

    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes)


class Unclaimed(Sound):
    info = ModelInfo(name="unclaimed", version="1", summary="One layer")


class Wrapped(nn.Module):
    """A linear layer, for a toy to spoil its forward."""

    def __init__(self, task):
        super().__init__()
        self.layer = nn.Linear(task.n_inputs, task.n_classes)

    def forward(self, inputs):
        return self.layer(inputs)


def toy(forward, base=Sound, module=Wrapped):
    """A model whose module has this forward; both can be found by pickle."""
    name = f"Toy{len(TOYS)}"
    inner = type(f"{name}Module", (module,), {"forward": forward, "__module__": __name__})
    model = type(name, (base,), {"build": lambda self, task: inner(task), "__module__": __name__})
    TOYS.append(model)
    globals().update({inner.__name__: inner, name: model})
    return model


TOYS: list[type[Model]] = []


def findings(cls, **fields):
    config = configure(cls.Config, fields, {}, "toy")
    return list(found_in(subject_of(cls, config, find_task(None))))


def wrong(found, status="failed"):
    return {finding.id: finding.words for finding in found if finding.status == status}


def test_a_sound_model_passes_every_check():
    found = findings(Sound)
    assert {finding.status for finding in found} == {"passed"}
    words = {finding.id: finding.words for finding in found}
    assert words["size"] == "1,365 trainable parameters"
    assert words["rows"] == "claimed, and true"
    assert words["engine"].startswith("traced")
    assert "(64, 21)" in words["shape"]


# Identity and configuration


class SpoiltName(Sound):
    info = ModelInfo.model_construct(
        name="My Model", version="1", summary="x", row_independent=True, role="contestant"
    )


class SpoiltVersion(Sound):
    info = ModelInfo.model_construct(
        name="x", version="latest", summary="x", row_independent=True, role="contestant"
    )


class SpoiltPreset(Sound):
    presets = {"sound-fast": {"learning_rate": -1}}  # noqa: RUF012


class SpoiltPresetName(Sound):
    presets = {"Sound Fast": {}}  # noqa: RUF012


class Lossy(Sound):
    class Config(GradientConfig):
        widths: Any = (64, 32)


class Opaque(Sound):
    class Config(GradientConfig):
        thing: Any = Field(default_factory=object)


class Elsewhere(Sound):
    encoding = "protein_onehot"


# Building


class NoModule(Sound):
    def build(self, task):
        return lambda inputs: inputs


class InPlainList(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.layers = [nn.Linear(task.n_inputs, task.n_classes)]


class PlainList(Sound):
    def build(self, task):
        return InPlainList(task)


class Empty(Sound):
    def build(self, task):
        return nn.ReLU()


class Raises(Sound):
    def build(self, task):
        raise ValueError("the fuse blew")


class Exits(Sound):
    def build(self, task):
        sys.exit("had enough")


class Same(Sound):
    only = nn.Linear(64, 21)

    def build(self, task):
        return self.only


class Sharing(Sound):
    weight = nn.Parameter(torch.zeros(21, 64))

    def build(self, task):
        module = nn.Linear(task.n_inputs, task.n_classes)
        module.weight = self.weight
        return module


class Reseeds(Sound):
    def build(self, task):
        torch.manual_seed(0)
        return super().build(task)


class ReseedsNumpy(Sound):
    def build(self, task):
        np.random.seed(0)
        return super().build(task)


class Doubles(Sound):
    def build(self, task):
        torch.set_default_dtype(torch.float64)
        return super().build(task)


class GradOff(Sound):
    def build(self, task):
        torch.set_grad_enabled(False)
        return super().build(task)


class Threads(Sound):
    def build(self, task):
        torch.set_num_threads(2)
        return super().build(task)


class InFloat64(Sound):
    def build(self, task):
        return super().build(task).double()


class Away(Sound):
    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes, device="meta")


class Chatty(Sound):
    def build(self, task):
        print("loading weights " + "." * 1_000_000)
        return super().build(task)


class Warned(Sound):
    def build(self, task):
        sys.stderr.write(warnings.formatwarning("a layer of yours", FutureWarning, "x/y.py", 469))
        print("." * 3_000)
        return super().build(task)


# Outputs


class Narrow(Sound):
    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes - 1)


def _other_encoding(config):
    return "codon_index" if config.input == "index" else "codon_onehot"


class WrongInOne(Sound):
    class Config(GradientConfig):
        input: str = Field(default="onehot", pattern="index|onehot")

    presets = {"by-index": {"input": "index"}}  # noqa: RUF012
    encoding = property(lambda self: _other_encoding(self.config))

    def build(self, task):
        if self.config.input == "index":
            return nn.Embedding(task.n_inputs, 20)
        return super().build(task)


class Normed(Sound):
    def build(self, task):
        return nn.Sequential(super().build(task), nn.BatchNorm1d(task.n_classes))


class DropsOutHonestly(Unclaimed):
    def build(self, task):
        return nn.Sequential(nn.Dropout(0.5), super().build(task))


class NormedHonestly(Unclaimed):
    def build(self, task):
        return nn.Sequential(super().build(task), nn.BatchNorm1d(task.n_classes))


class DropsOut(Sound):
    def build(self, task):
        return nn.Sequential(nn.Dropout(0.5), super().build(task))


# Learning


class LeavesOut(Sound):
    def configure_optimizer(self, module):
        return torch.optim.Adam([module.weight])


class Extra(Wrapped):
    def __init__(self, task):
        super().__init__(task)
        self.unused = nn.Parameter(torch.zeros(3))


class Unreached(Sound):
    def build(self, task):
        return Extra(task)


class OwnChance(Wrapped):
    """Starts from the operating system's chance, which no seed governs."""

    def __init__(self, task):
        super().__init__(task)
        noise = torch.frombuffer(bytearray(os.urandom(21)), dtype=torch.uint8)
        self.layer.bias.data += noise / 1e4


class Unseeded(Sound):
    def build(self, task):
        return OwnChance(task)


class Counts(Wrapped):
    def __init__(self, task):
        super().__init__(task)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, inputs):
        self.seen += 1
        return self.layer(inputs)


class CountsProbes(Unclaimed):
    def build(self, task):
        return Counts(task)


class Hides(Wrapped):
    """Keeps a random matrix where no state_dict looks."""

    def __init__(self, task):
        super().__init__(task)
        self.matrix = torch.randn(64, 64)

    def forward(self, inputs):
        return self.layer(inputs.float() @ self.matrix.to(inputs))


class Hidden(Sound):
    def build(self, task):
        return Hides(task)


class KnowsCode(Sound):
    def build(self, task):
        module = super().build(task)
        labels = torch.tensor(dataset_of(find_task(None)).spec.evaluation.targets)
        module.weight.data += 10 * nn.functional.one_hot(labels).T
        return module


class FindsSeed(Sound):
    """Works out the seed from the generator, and from it how class ids are permuted."""

    def build(self, task):
        module = super().build(task)
        truth = np.array(dataset_of(find_task(None)).spec.evaluation.targets)
        for seed in range(10):
            if int(generator(seed, 2).integers(2**63)) == torch.initial_seed():
                labels = torch.as_tensor(relabelling(21, PUBLIC_SALT, seed).hide(truth))
                module.weight.data += 10 * nn.functional.one_hot(labels).T
        return module


class Grouping(Wrapped):
    def __init__(self, task):
        super().__init__(task)
        labels = torch.tensor(dataset_of(find_task(None)).spec.evaluation.targets)
        self.register_buffer("groups", nn.functional.one_hot(labels).float())
        self.layer = nn.Linear(21, 21)

    def forward(self, inputs):
        return self.layer(inputs @ self.groups)


class KnowsGroups(Sound):
    def build(self, task):
        return Grouping(task)


Nan = toy(lambda self, x: self.layer(x) * float("nan"))
Mutates = toy(lambda self, x: self.layer(x.mul_(0.5)))
Integers = toy(lambda self, x: self.layer(x).long())
Pair = toy(lambda self, x: (self.layer(x), None))
Jitters = toy(lambda self, x: self.layer(x) * (1 + random.random() / 100))
TorchJitters = toy(lambda self, x: self.layer(x) * (1 + torch.rand(()) / 100), base=Unclaimed)
_ticks = itertools.count()
Drifts = toy(lambda self, x: self.layer(x) + (0 if self.training else next(_ticks)))
Detached = toy(lambda self, x: self.layer.bias + self.layer(x).detach())

CASES = [
    (SpoiltName, "identity", ["'My Model'", "small letters"]),
    (SpoiltVersion, "identity", ["'latest'", "1.2.0"]),
    (SpoiltPreset, "identity", ["'sound-fast'", "learning_rate is -1", "greater than 0"]),
    (SpoiltPresetName, "identity", ["'Sound Fast'"]),
    (Lossy, "config", ["'widths'", "(64, 32)", "[64, 32]"]),
    (Opaque, "config", ["'thing'", "object", "which a record cannot hold"]),
    (Elsewhere, "encoding", ["'protein_onehot'", "it offers codon_index"]),
    (NoModule, "build", ["returned function", "expected a torch.nn.Module"]),
    (PlainList, "build", ["InPlainList.layers is a plain list", "nn.ModuleList"]),
    (Empty, "build", ["ReLU has no parameters"]),
    (Raises, "build", ["ValueError: the fuse blew", "(test_models.py:"]),
    (Exits, "build", ["SystemExit: had enough"]),
    (Same, "fresh", ["the same module twice"]),
    (Sharing, "fresh", ["share 'weight'"]),
    (Reseeds, "seeding", ["seeds torch itself"]),
    (ReseedsNumpy, "seeding", ["seeds numpy.random itself"]),
    (Doubles, "settings", ["default dtype from torch.float32 to torch.float64"]),
    (GradOff, "settings", ["grad mode from True to False"]),
    (Threads, "settings", ["number of threads from 1 to 2"]),
    (Away, "device", ["'weight' is on device 'meta'", "expected 'cpu'"]),
    (InFloat64, "shape", ["must have the same dtype", "float32", "double()"]),
    (Narrow, "shape", ["gave shape (64, 20)", "expected logits (64, 21)"]),
    (WrongInOne, "shape", ["codon_index", "(64, 20)", "(64, 21)"]),
    (Integers, "shape", ["torch.int64", "expected torch.float32"]),
    (Pair, "shape", ["gave a tuple", "expected logits (64, 21)"]),
    (Mutates, "inputs", ["64 of 4,096 values of its inputs in place"]),
    (KnowsCode, "untaught", ["320 of 320 codons right", "by true class id", "knows the answers"]),
    (FindsSeed, "untaught", ["320 of 320 codons right", "as a run counts them"]),
    (KnowsGroups, "untaught", ["built in, without their names"]),
    (LeavesOut, "optimiser", ["'bias'", "1 of 2"]),
    (Unreached, "gradient", ["'unused'", "1 of 3"]),
    (Detached, "gradient", ["'layer.weight'", "detach()"]),
    (Nan, "finite", ["loss is nan at batch 1 of 8", "expected a finite number"]),
    (Unseeded, "deterministic", ["first in 'layer.", "which are seeded"]),
    (Jitters, "evaluation", ["random numbers from random:"]),
    (TorchJitters, "evaluation", ["random numbers from torch:"]),
    (Drifts, "evaluation", ["give different outputs"]),
    (CountsProbes, "undisturbed", ["evaluation changed 'seen'"]),
    (Hidden, "weights", ["gives other outputs", "register_buffer"]),
    (Normed, "rows", ["claims row_independent", "in training it cannot take a row alone"]),
    (DropsOut, "rows", ["claims row_independent", "in training", "draws random numbers"]),
]


@pytest.mark.parametrize(
    ("cls", "check", "words"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_toy_fails_the_check_it_was_made_for_and_no_other(cls, check, words):
    failed = wrong(findings(cls))
    assert list(failed) == [check]
    for part in words:
        assert part in failed[check]


def test_every_check_that_can_fail_has_a_toy_that_does():
    advisory = {"logits", "portable", "size", "quiet", "learning", "engine"}
    assert {check for _, check, _ in CASES} == {f.id for f in findings(Sound)} - advisory


# Warnings and hints


class Still(Sound):
    def configure_optimizer(self, module):
        return torch.optim.SGD(module.parameters(), lr=1e-12)


class Off(Extra):
    def forward(self, inputs):
        return self.layer(inputs) + 0 * self.unused.sum()


Softmaxed = toy(lambda self, x: self.layer(x).softmax(dim=1))
Rooted = toy(lambda self, x: self.layer(x) + torch.zeros(21))
RootedInTraining = toy(lambda self, x: self.layer(x) + (torch.ones(21) if self.training else 0))


class SwitchedOff(Sound):
    def build(self, task):
        return Off(task)


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (Still, "learning", "does not seem to learn"),
        (SwitchedOff, "gradient", "'unused' is zero at each of 8 batches"),
        (Softmaxed, "logits", "leave out the last one"),
        (Rooted, "portable", "on another device forward fails"),
        (RootedInTraining, "portable", "device=inputs.device"),
        (Warned, "quiet", "beginning 'FutureWarning: a layer of yours'"),
        (Chatty, "quiet", "characters during these checks, beginning 'loading weights ..."),
    ],
)
def test_a_doubt_is_a_warning_and_fails_nothing(cls, check, words):
    found = findings(cls)
    assert not wrong(found)
    assert words in wrong(found, "warning")[check]


def test_a_megabyte_printed_is_told_by_its_amount_and_not_shown(capsys):
    amount = wrong(findings(Chatty), "warning")["quiet"].split()[2]
    assert int(amount.replace(",", "")) > 1_000_000
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Unclaimed, "not claimed, but true as far as was seen"),
        (NormedHonestly, "not claimed, rightly: in training it cannot take a row alone"),
        (DropsOutHonestly, "not claimed, rightly: in training one batch gives other outputs"),
    ],
)
def test_a_claim_that_is_not_made_is_looked_at_all_the_same(cls, words):
    found = {finding.id: finding for finding in findings(cls)}
    assert found["rows"].status == "passed"
    assert words in found["rows"].words
    assert "does not claim to be row-independent" in found["engine"].words


def test_what_cannot_be_checked_is_skipped_and_says_which_check_it_needs():
    skipped = wrong(findings(Narrow), "skipped")
    assert skipped["gradient"] == "it needs 'shape', which did not pass"
    assert {"inputs", "untaught", "deterministic", "rows", "engine"} <= set(skipped)


@pytest.mark.parametrize("cls", [Doubles, GradOff, Threads])
def test_global_settings_are_put_back(cls):
    before = settings()
    findings(cls)
    assert settings() == before


# The function for a test suite


def test_check_model_raises_every_failure_in_words():
    with pytest.raises(AssertionError, match=r"model Narrow: 1 of its checks failed\n  shape .*20"):
        check_model(Narrow)


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from codonbench.testing import check_metric, check_model

begun = sys.stdout, sys.stderr
with ThreadPoolExecutor(4) as pool:
    calls = [pool.submit(check_model, name) for name in ("count-table", "oracle")]
    calls += [pool.submit(check_metric, name) for name in ("mcc", "accuracy")]
    for call in calls:
        call.result()
assert (sys.stdout, sys.stderr) == begun
print("end")
"""


def test_checks_in_threads_leave_standard_output_where_it_was():
    """In a process of its own, where plugins are not loaded yet."""
    answer = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True)
    assert answer.stdout == "end\n", answer.stderr


def test_check_model_takes_a_class_a_name_and_a_preset():
    check_model(Sound)
    check_model("mlp-64")
    check_model("mlp", preset="mlp-64-12bit")
    with pytest.raises(UnknownNameError, match="no preset 'mlp-65'; it has mlp-64"):
        check_model("mlp", preset="mlp-65")
    with pytest.raises(UnknownNameError, match="unknown model 'mlpp'"):
        check_model("mlpp")
    with pytest.raises(ConfigError, match="learning_rate"):
        check_model(SpoiltPreset, preset="sound-fast")


def test_check_model_takes_a_task_that_cannot_be_enumerated(toys):
    task = toys.registry().task("gc-rich").task
    check_model("lstm", task=task)
    with pytest.raises(AssertionError, match="encoding 'codon_onehot' is not offered"):
        check_model(Sound, task=task)


def test_no_failure_is_no_error():
    raise_failures([], "model 'x'")


# Computed rows


class Flat(Reference):
    info = ModelInfo(name="flat", version="1", summary="Flat", role="reference")

    def logits(self, task):
        return np.zeros((64, 21), dtype=np.float32)


class FlatTooWide(Flat):
    def logits(self, task):
        return np.zeros((64, 22), dtype=np.float32)


class FlatByChance(Flat):
    def logits(self, task):
        return np.random.default_rng().normal(size=(64, 21)).astype(np.float32)


class FlatInfinite(Flat):
    def values(self, task, frequencies):
        return {"pairs_consumed": float("inf")}


class FlatMisnamed(Flat):
    def values(self, task, frequencies):
        return {"pairs consumed": 1.0}


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (FlatTooWide, "logits", "gave (64, 22), expected an array (64, 21)"),
        (FlatByChance, "logits", "other numbers the second time"),
        (FlatInfinite, "values", "pairs_consumed is inf"),
        (FlatMisnamed, "values", "'pairs consumed' is no name"),
    ],
)
def test_a_computed_row_fails_the_check_it_was_made_for(cls, check, words):
    failed = wrong(findings(cls))
    assert list(failed) == [check]
    assert words in failed[check]
    assert not wrong(findings(Flat))
