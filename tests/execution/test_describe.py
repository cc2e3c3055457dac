"""A stranger's plugin is asked about itself in a worker; this process never imports it."""

import sys

import pytest

from codonbench.contracts.tunable import tunable
from codonbench.errors import ConfigError, PluginError, UsageError
from codonbench.execution.describe import ask_new_worker, configure_untrusted, describe
from codonbench.execution.pool import WorkerProcess, launch_worker
from codonbench.execution.worker import Answer, Configured
from codonbench.plugins.discovery import discover
from codonbench.plugins.selection import Selection

pytestmark = pytest.mark.usefixtures("forked_workers")

ASKED_ABOUT = """
import codonbench
from torch import nn
from codonbench import Reference, ModelInfo, hookimpl
import helper_asked_about

print("on standard output")

@codonbench.model(encoding="codon_onehot", learning_rate=0.05, presets={"three": {"hidden": 3}})
def two_layers(task, hidden: int = 64):
    return nn.Linear(task.n_inputs, task.n_classes)

class Computed(Reference):
    info = ModelInfo(name="computed", version="1", summary="Knows it all")

@hookimpl
def run_finished(record):
    raise SystemExit("ran in the parent")
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "asked_about.py"
    file.write_text(ASKED_ABOUT)
    (tmp_path / "helper_asked_about.py").touch()
    return file


@pytest.fixture(scope="module")
def ask():
    """Asks one worker all along, which takes seconds to come up."""
    worker = WorkerProcess(lambda states: launch_worker(states))
    yield lambda owner, message, up: worker.ask(message, up)
    worker.end()


def described(file, ask):
    registry = discover([], Selection(trusted=()), [file])
    (stranger,) = registry.undescribed
    describe(registry, [stranger], ask)
    return registry


def test_what_a_file_registers_is_told_and_nothing_is_imported_here(file, ask):
    imported = discover([], files=[file]).model("three")  # as a trusted file is
    for name in [n for n in sys.modules if "asked_about" in n]:
        del sys.modules[name]
    registry = described(file, ask)
    assert (registry.failures, registry.undescribed) == ([], [])
    entry = registry.model("three")
    assert entry.cls.info == imported.cls.info
    assert entry.origin == imported.origin
    assert [n for n in sys.modules if "asked_about" in n] == []
    for name in ("run_finished", "computed"):
        assert name in [refused.name for refused in registry.refused]
    with pytest.raises(UsageError, match=r"model 'computed' of asked_about.py .* --trust asked_ab"):
        registry.model("computed")
    with pytest.raises(UsageError, match=r"--trust asked_about\.py"):
        entry.cls(None).build(None)
    configure_untrusted(registry, "two-layers", {"hidden": "3"}, "it", ask)
    entry, config, changes = registry.configured("two-layers", {})
    assert (entry.name, config.hidden, config.learning_rate) == ("three", 3, 0.05)
    assert changes == {}
    assert entry.fields == tunable(imported.cls.Config(hidden=3))
    with pytest.raises(PluginError, match="model 'two-layers': ended"):
        configure_untrusted(registry, "two-layers", {}, "it", ended)
    with pytest.raises(UsageError, match="it: field 'hidden': got 'many'"):
        configure_untrusted(registry, "two-layers", {"hidden": "many"}, "it", ask)


def ended(*question):
    raise PluginError("ended")


INFO = {"name": "one", "version": "1", "summary": ""}


def answer(file, **change):
    sources = (str(file), str(file.with_name("helper_asked_about.py")))
    model = {"info": INFO, "presets": {}, "trained": "by gradient", "sources": sources}
    model |= {"module": "codonbench_file_asked_about", **change}
    return Answer(models=(model,), others=(), failures=(), remarks=())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"module": "codonbench_models.mlp"}, "where it does not"),
        ({"sources": ("asked_about.py",)}, "leaves out"),
        ({"sources": ("FILE",)}, "leaves out .*helper_asked_about.py"),
        ({"sources": ("FILE", "HELPER", "/etc/passwd")}, "not its own"),
    ],
)
def test_what_it_says_is_held_to_what_is_known(file, change, words):
    there = {"FILE": str(file), "HELPER": str(file.with_name("helper_asked_about.py"))}
    if "sources" in change:
        change = {"sources": tuple(there.get(each, each) for each in change["sources"])}
    registry = described(file, lambda *question: answer(file, **change))
    assert registry.models == {}
    with pytest.raises(PluginError, match=words):
        registry.check_files([file])


def test_it_is_no_other_model_than_it_was(file):
    registry = described(file, lambda *question: answer(file))
    lie = Configured(name="mlp-64", values={}, changes={})
    with pytest.raises(PluginError, match="which it is not"):
        configure_untrusted(registry, "one", {}, "it", lambda *question: lie)


def test_what_it_says_of_its_configuration_is_held_to_what_the_harness_reads(file):
    registry = described(file, lambda *question: answer(file))
    said = Configured(name="one", values={"class_weights": "some"}, changes={})
    configure_untrusted(registry, "one", {}, "it", lambda *question: said)
    with pytest.raises(ConfigError, match="field 'class_weights': got 'some'"):
        registry.configured("one", {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os._exit(3)", "its process ended with exit code 3 as it was loaded"),
        ("import os, sys; os.write(int(sys.argv[2]), b'x' * 99)", "as it was loaded: .* at most"),
    ],
)
def test_one_that_does_not_load_is_named(file, source, words):
    file.write_text(source)
    registry = described(file, ask_new_worker)
    with pytest.raises(PluginError, match=words):
        registry.check_files([file])


UNSTORABLE = """
from typing import Any

import codonbench

class Settings(codonbench.ModelConfig):
    x: Any = {0}

class Unstorable(codonbench.Model):
    info = codonbench.ModelInfo(name="unstorable", version="1", summary="", {1})
    Config = Settings
    encoding = "input_index"
    def build(self, task): ...
"""


@pytest.mark.parametrize(
    ("field", "said", "words"),
    [
        ("1", "licence='a' * 400_000", "takes 400,... bytes; at most 131,072"),
        ("1", "authors=('ab',) * 100_000", "bytes; at most 131,072"),
        ("1", r"authors=('\ud800',)", "half a surrogate pair"),
        ("1", r"reference='\ud800'", "half a surrogate pair"),
        ("'a' * 400_000", "", "takes 400,... bytes; at most 131,072"),
        ("eval('[' * 30 + ']' * 30)", "", "nested deeper"),
        ("2**70", "", "out of the range"),
        ("1e309", "", "holds inf"),
        ("1\n    y: float = 1e309", "", "field 'y' holds inf"),
        (r"b'\xff'", "", "a record cannot hold"),
    ],
    ids=[
        "licence",
        "authors",
        "surrogate",
        "no text",
        "long",
        "deep",
        "huge",
        "infinite",
        "float",
        "bytes",
    ],
)
def test_what_no_record_can_hold_is_the_users_to_mend(file, ask, field, said, words):
    file.write_text(UNSTORABLE.format(field, said))
    registry = described(file, ask)
    with pytest.raises(UsageError, match=words):
        registry.check_files([file])
