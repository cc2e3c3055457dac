"""Bad plugins, installed as real distributions: contained, named, and in nobody's way.

Each is asked four things. Do the others load? Is asking for the broken one exit code 1, with
what its traceback ends with and the file? Does `bench plugins` name it? Does -p silence it?
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

from answers import call as bench
from codonbench.contracts.run_record import RunRecord
from codonbench.plugins.selection import settings_file

pytestmark = pytest.mark.usefixtures("forked_workers")

MODEL = """
    import torch
    from codonbench import GradientConfig, Model, ModelInfo, hookimpl

    class Perceptron(Model):
        info = ModelInfo(name="perceptron", version="1", summary="One layer")
        Config = GradientConfig
        encoding = "codon_onehot"

        def build(self, task):
            return torch.nn.Linear(task.n_inputs, task.n_classes)

    @hookimpl
    def register_models(register):
        register(Perceptron)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that is trusted: its module, its metadata and its entry point."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    settings_file().parent.mkdir(parents=True)
    trusted = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CODONBENCH_WORKERS", "0")  # quicker, and beside the point
    monkeypatch.delenv("CODONBENCH_PLUGINS", raising=False)
    before = set(sys.modules)

    def install(source, name="broken", entry_point=None):
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        points = f"[codonbench]\n{name} = {entry_point or f'{name}_code'}\n"
        (info / "entry_points.txt").write_text(points)
        file = site / f"{name}_code.py"
        file.write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(site)
        trusted.append(name)
        settings_file().write_text(f"trust = {json.dumps(trusted)}")
        return file

    yield install
    for name in set(sys.modules) - before:
        if name.endswith("_code"):
            del sys.modules[name]


def is_contained(file, *, name, says, line=None):
    """Whether the others load, and asking for `name` is answered with cause and place."""
    asked = bench("run", "--model", name)
    place = f"{file}:{line}" if line else str(file or "")
    for part in (f"no model '{name}'", "of broken 1.0", says, place):
        assert part in asked.err.splitlines()[-1]
    assert (asked.code, asked.out) == (1, "")
    assert "Traceback" not in asked.err

    listed = bench("plugins")
    assert listed.code == 1
    for part in ("did not load: ", "of broken 1.0", says, place, "untrained"):
        assert part in listed.out
    return True


def test_a_plugin_whose_import_fails(install):
    file = install('"""The model perceptron."""\nraise RuntimeError("no licence found")\n')
    assert is_contained(file, name="perceptron", says="RuntimeError: no licence found", line=2)
    others = bench("ls", "models")
    assert (others.code, "mlp-64" in others.out) == (0, True), others.err
    assert "of broken 1.0 did not load" in others.err
    without = bench("-p", "no:broken", "plugins")
    assert (without.code, without.err) == (0, "")
    assert "switched off: " in without.out
    neighbour = bench("run", "--model", "untrained", "--pairs", "640", "--json")
    assert neighbour.code == 0, neighbour.err
    assert RunRecord.model_validate_json(neighbour.out).status == "done"


def test_a_plugin_with_a_syntax_error(install):
    file = install(textwrap.dedent(MODEL).replace("def build(self, task):", "def build(self task:"))
    assert is_contained(file, name="perceptron", says="SyntaxError", line=10)


def test_a_plugin_whose_dependency_is_missing(install):
    file = install("import nothing_of_this_name\n" + textwrap.dedent(MODEL))
    says = "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    assert is_contained(file, name="perceptron", says=says, line=1)
    assert "install 'nothing_of_this_name' beside codonbench" in bench("plugins").out


def test_a_plugin_that_exits_at_import(install):
    file = install("import sys\nsys.exit('perceptron needs a licence')\n")
    assert is_contained(file, name="perceptron", says="SystemExit: perceptron needs", line=2)


def test_a_plugin_that_raises_past_exception_at_import(install):
    file = install("class Rogue(BaseException): pass\nraise Rogue('perceptron')\n")
    assert is_contained(file, name="perceptron", says="Rogue: perceptron", line=2)


def test_an_entry_point_that_points_to_no_module(install):
    install("", entry_point="nothing_of_this_name")
    says = "No module named 'nothing_of_this_name'"
    assert is_contained(None, name="broken", says=says)
    assert "the entry point 'broken' names a module that does not exist" in bench("plugins").out


def test_an_entry_point_that_points_into_a_module(install):
    file = install(MODEL, entry_point="broken_code:Perceptron")
    says = "broken = 'broken_code:Perceptron'; expected the name of a module"
    assert is_contained(file, name="perceptron", says=says)


def test_a_distribution_whose_metadata_are_gone(install):
    file = install("raise RuntimeError('no licence found')\n")
    (file.parent / "broken-1.0.dist-info" / "METADATA").unlink()
    answer = bench("ls", "models")
    assert answer.code == 0
    assert "plugin broken_code did not load: RuntimeError: no licence found" in answer.err


def test_a_broken_task_is_told_like_a_broken_model(install):
    file = install("import nothing_of_this_name\n\nclass Task:\n    name = 'anticodon'\n")
    answer = bench("run", "--model", "mlp-64", "--task", "anticodon")
    assert answer.code == 1
    assert "no task 'anticodon': the plugin that seems to offer it did not load" in answer.err
    assert f"({file}:1)" in answer.err


@pytest.mark.parametrize("what", ["Mine", "None"])
def test_a_task_or_metric_that_is_none_is_told_what_it_should_be(install, what):
    source = f"""
        from codonbench import Metric, Task, hookimpl
        class Mine(Task):
            name = "anticodon"
        @hookimpl
        def register_tasks(register):
            register({what})
        @hookimpl
        def register_metrics(register):
            register({what})
    """
    install(source)
    shown = bench("plugins")
    assert shown.code == 1
    assert "expected an instance of a subclass of Task" in shown.out
    assert "expected an instance of a subclass of Metric" in shown.out
    assert ("register an instance of it: register(Mine())" in shown.out) == (what == "Mine")


def test_a_metric_whose_outputs_are_no_method_is_named(install):
    install("""
        from codonbench import Metric
        class Mine(Metric):
            name = "letters"
            version = "1"
            summary = "How many letters"
            outputs = {"letters": None}
            def compute(self, trajectory, task):
                return {"letters": 1}
    """)
    shown = bench("plugins")
    assert shown.code == 1
    assert "metric 'letters': outputs is {'letters': None} (dict); expected a method" in shown.out


def test_a_hook_with_a_wrong_signature(install):
    file = install(MODEL.replace("register_models(register)", "register_models(registry)"))
    says = "no argument 'registry'; expected def register_models(register)"
    assert is_contained(file, name="perceptron", says=says)


def test_a_hook_with_a_misspelt_name(install):
    file = install(MODEL.replace("register_models", "register_model"))
    says = "unknown hook 'register_model'; did you mean 'register_models'?"
    assert is_contained(file, name="perceptron", says=says)


def test_a_hook_without_its_mark(install):
    file = install(MODEL.replace("@hookimpl", ""))
    says = "register_models(register) lacks its mark, so it would never be called; write @hookimpl"
    assert is_contained(file, name="perceptron", says=says)


def test_a_constructor_with_a_wrong_signature(install):
    wrong = "def __init__(self):\n            self.config = None\n\n        def build("
    file = install(MODEL.replace("def build(", wrong))
    says = "Perceptron: __init__(self) cannot be called with (config)"
    assert is_contained(file, name="perceptron", says=says, line=18)


def test_a_build_with_a_wrong_signature(install):
    file = install(MODEL.replace("def build(self, task)", "def build(self)"))
    says = "build(self) cannot be called with (task): too many positional arguments; expected def"
    assert is_contained(file, name="perceptron", says=says, line=15)


def test_a_config_with_a_field_that_json_cannot_hold(install):
    config = """
    from collections.abc import Callable

    class Config(GradientConfig):
        activation: Callable = torch.relu

    class Perceptron"""
    file = install(MODEL.replace("\n    class Perceptron", config).replace("= GradientC", "= C"))
    says = "model 'perceptron': Config field 'activation' holds <built-in method relu"
    assert is_contained(file, name="perceptron", says=says)
    assert "which a record cannot hold: JSON has numbers" in bench("plugins").out


def test_a_preset_with_a_field_that_does_not_exist(install):
    presets = "\n        presets = {'wide': {'hiden': 8}}\n        encoding"
    file = install(MODEL.replace("\n        encoding", presets))
    says = "preset 'wide' of model 'perceptron': no field 'hiden'; it has "
    assert is_contained(file, name="wide", says=says)


@pytest.mark.parametrize(
    ("registered", "says"),
    [
        ("3", "given 3 (int); expected a subclass of Model, Estimator or Reference"),
        ("None", "given None; expected a subclass"),
        ("Perceptron(None)", "register the class itself: register(Perceptron)"),
        ("torch.nn.Linear", "given the class Linear; expected a subclass of Model"),
        ("register_models", "needs @codonbench.model(encoding=...) above it"),
    ],
)
def test_something_that_is_no_plugin_is_registered(install, registered, says):
    file = install(MODEL.replace("register(Perceptron)", f"register({registered})"))
    assert is_contained(file, name="perceptron", says=says, line=15)


def test_a_module_that_registers_nothing(install):
    file = install('NAME = "perceptron"\n')
    says = "registers nothing; expected a class that extends codonbench.Model, Estimator"
    assert is_contained(file, name="perceptron", says=says)


def test_a_network_alone_is_told_how_it_becomes_a_model(install):
    file = install("from torch import nn\n\nclass Perceptron(nn.Module):\n    'A perceptron.'\n")
    says = "its torch.nn.Module, def my_model(task): return Perceptron(...), and above it the line "
    assert is_contained(file, name="perceptron", says=says)


def test_the_traceback_is_there_for_the_asking(install):
    install("def fetch():\n    raise RuntimeError('no licence for perceptron')\nfetch()\n")
    for words in (("plugins",), ("run", "--model", "perceptron")):
        answer = bench("--debug", *words)
        assert answer.code == 1
        assert "in fetch" in answer.out + answer.err


def test_a_missing_name_that_no_broken_plugin_speaks_of_is_still_code_2(install):
    install("raise RuntimeError('no licence found')\n")
    answer = bench("run", "--model", "lsmt")
    assert answer.code == 2
    assert "did you mean 'lstm'" in answer.err


# Names given twice


def clash_is_survived(name, *words):
    """Whether a clash over `name` names both, and a switch gets one out of it."""
    for command in (("ls", "models"), ("run", "--model", "untrained", "--pairs", "640")):
        answer = bench(*command)
        assert answer.code == 1
        assert f"model '{name}' is registered twice: by " in answer.err
        assert [word for word in words if word not in answer.err] == []
    listed = bench("plugins")
    assert listed.code == 1
    assert f"name given twice: model '{name}'" in listed.out
    assert bench("leaderboard", "--results", "nowhere").code == 2  # as ever
    switch = answer.err.strip().rpartition("switch one off: ")[2].partition(" (")[0]
    answer = bench("ls", "models", *switch.split())
    assert answer.code == 0, answer.err
    assert answer.out.count(f"\n{name} ") + answer.out.count(f"\n  {name} ") == 1
    return True


def test_a_name_clash_with_a_built_in(install):
    install(MODEL.replace('"perceptron"', '"mlp"'))
    assert clash_is_survived("mlp", "codonbench 0.", "(codonbench_models.mlp)", "broken 1.0")


def test_a_name_clash_between_two_strangers(install):
    install(MODEL, "left")
    install(MODEL, "right")
    assert clash_is_survived("perceptron", "left 1.0 (left_code)", "right 1.0 (right_code)")


def test_a_name_clash_between_presets(install):
    presets = "\n        presets = {'wide': {'batch_size': 8}}\n        encoding"
    source = MODEL.replace("\n        encoding", presets)
    install(source, "left")
    install(source.replace('"perceptron"', '"other"'), "right")
    assert clash_is_survived("wide", "left 1.0", "right 1.0")


def test_a_name_clash_within_one_distribution_is_switched_off_by_module(install):
    site = install("", "shop", entry_point="shop_code").parent
    (site / "shop_code.py").unlink()
    (site / "shop_code").mkdir()
    for name in ("__init__", "one", "two"):
        (site / "shop_code" / f"{name}.py").write_text("" if name[0] == "_" else dedented())
    assert clash_is_survived("perceptron", "(shop_code.one)", "(shop_code.two)")
    for name in ("one", "two"):
        sys.modules.pop(f"shop_code.{name}", None)


def dedented():
    return textwrap.dedent(MODEL)


# A folder of files


def test_a_broken_file_of_a_folder_does_not_stop_its_neighbours(install, tmp_path, monkeypatch):
    """Nobody trusts them: each is asked about itself in a worker of its own."""
    monkeypatch.delenv("CODONBENCH_WORKERS")
    folder = Path(tmp_path / "mine")
    folder.mkdir()
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    (folder / "sound.py").write_text(dedented())
    (folder / "_draft.py").write_text("raise RuntimeError('drafts are not loaded')\n")
    words = ("--plugins-dir", folder, "--pairs", "640", "--json")
    answer = bench("run", "--model", "perceptron", *words)
    assert answer.code == 0, answer.err
    record = RunRecord.model_validate_json(answer.out)
    assert (record.model, record.plugin.distribution) == ("perceptron", "sound.py")
    assert "of broken.py did not load: ModuleNotFoundError" in answer.err
    assert "draft" not in answer.err
    answer = bench("run", "--model", "broken", *words)
    assert answer.code == 1
    assert f"({folder / 'broken.py'}:1)" in answer.err
    for name in ("codonbench_file_sound", "codonbench_file_broken"):
        sys.modules.pop(name, None)


# A task that answers what it should not

TASK = """
    from codonbench import Ranking
    from codonbench_datasets.planted_motif import PlantedMotif

    class Broken(PlantedMotif):
        name = "broken"
        {}
"""


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("def load(self, data, options, **rest): pass", "load returned NoneType, expected a Dat"),
        ("def flags(self, metrics): return metrics['no']", "flags failed: KeyError('no') (broke"),
        ("def row_notes(self, *rows): return 'seen'", "row_notes returned str, expected tuple"),
        ("def ceiling(self, record): return 0.5", "ceiling returned float, expected Ceiling or"),
        ("ranking = Ranking.by_mean('auorc', auorc='AUC')", "'auorc', which no metric gives of it"),
    ],
)
def test_a_task_that_answers_wrongly_is_named(install, member, says):
    install(TASK.format(member))
    words = ("--task", "broken", "--task-set", "difficulty=easy", "--examples", "64")
    answer = bench("run", "--model", "onehot-linear", *words)
    assert answer.code in (1, 2)
    assert "task 'broken'" in answer.err.splitlines()[-1]
    assert says in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
