"""A plugin is asked about itself in a sandbox; this process never imports it."""

import sys

import pytest

from codonbench.errors import PluginError, UnknownNameError, UsageError
from codonbench.execution.sandbox import Sandbox, inquire, unavailable
from codonbench.execution.worker import Question

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=f"no sandbox: {unavailable()}")
nightly = pytest.mark.nightly("another lie or mistake of its kind stands for it")

ASKED_ABOUT = """
import os, sys
import codonbench
from torch import nn

print("on standard output")

@codonbench.model(encoding="codon_onehot", learning_rate=0.05, authors=("A. Stranger",))
def two_layers(task, hidden: int = 64):
    return nn.Linear(task.n_inputs, task.n_classes)
"""


@pytest.fixture
def ask(tmp_path):
    """Asks about a model that a file's source offers, with fields set as typed."""

    def ask(source, model="two-layers", **overrides):
        file = tmp_path / "asked_about.py"
        file.write_text(source)
        question = Question(model=model, overrides=overrides, files=(file,))
        return inquire(question, Sandbox(readable=(file,)))

    return ask


def test_name_facts_and_configuration_are_told_and_nothing_is_imported_here(ask):
    entry, modules = ask(ASKED_ABOUT, hidden="32")
    assert entry.name == "two-layers"
    assert entry.cls.info.authors == ("A. Stranger",)
    assert len(entry.origin.source_sha256) == 64
    ((name, path),) = modules
    assert path.name == "asked_about.py"
    assert name not in sys.modules
    values = entry.cls.Config.model_validate({"hidden": "32"})
    assert (values.hidden, values.learning_rate, values.batch_size) == (32, 0.05, 64)
    assert entry.cls.Config.model_validate({}).hidden == 64


LIES = """
from codonbench.execution import worker
from codonbench.contracts.run_record import Origin
import codonbench
from torch import nn

honest = worker.pack
worker.pack = lambda message: honest(message.model_copy(update=CHANGE))

@codonbench.model(encoding="codon_onehot")
def two_layers(task):
    return nn.Linear(task.n_inputs, task.n_classes)
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "{'origin': Origin(distribution='codonbench', version='0.1.0', "
            "module='codonbench_models.mlp', source_sha256='0' * 64)}",
            "comes from where it does not",
        ),
        pytest.param("{'origin': None}", "comes from where it does not", marks=nightly),
        pytest.param("{'name': 'mlp-64'}", "says nothing of itself", marks=nightly),
        ("{'files': (('x', '/etc/passwd'),)}", "nobody asked for"),
    ],
)
def test_what_it_says_is_held_to_what_is_known(ask, change, words):
    with pytest.raises(PluginError, match=words):
        ask(LIES.replace("CHANGE", change))


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=nightly) for name in ("..", "not_there.py", "nought\\0.py")),
        "notes.txt",
    ],
)
def test_of_a_folder_it_may_name_the_plugins_only(tmp_path, name):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "notes.txt").touch()
    change = f"{{'files': (('x', '{folder}/{name}'),)}}"
    (folder / "lying.py").write_text(LIES.replace("CHANGE", change))
    question = Question(model="two-layers", overrides={}, folders=(folder,))
    with pytest.raises(PluginError, match="nobody asked for"):
        inquire(question, Sandbox(readable=(folder,)))


def test_half_an_answer_is_waited_for_no_longer_than_a_whole_one(tmp_path):
    file = tmp_path / "halting.py"
    file.write_text(
        "import os, sys, time\nos.write(int(sys.argv[2]), b'\\0\\0\\1\\0')\ntime.sleep(600)"
    )
    question = Question(model="halting", overrides={}, files=(file,))
    with pytest.raises(PluginError, match="does not load within 2 s"):
        inquire(question, Sandbox(readable=(file,)), timeout=2)


def test_the_stand_in_builds_nothing(ask):
    entry, _ = ask(ASKED_ABOUT)
    stand_in = entry.cls(entry.cls.Config.model_validate({}))
    with pytest.raises(PluginError, match="outside its sandbox"):
        stand_in.build(None)


@pytest.mark.parametrize(
    ("source", "asked", "error", "words"),
    [
        ("1 / 0", {}, PluginError, "ZeroDivisionError"),
        ("import os; os._exit(3)", {}, PluginError, "does not load in the sandbox"),
        (ASKED_ABOUT, {"model": "tow-layers"}, UnknownNameError, "two-layers"),
        pytest.param(ASKED_ABOUT, {"hidden": "many"}, UsageError, "hidden", marks=nightly),
        (ASKED_ABOUT, {"model": "oracle"}, UsageError, "without --sandbox"),
    ],
)
def test_what_is_wrong_is_said_by_whose_it_is_to_mend(ask, source, asked, error, words):
    with pytest.raises(error, match=words):
        ask(source, **asked)
