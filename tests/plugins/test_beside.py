"""What lies beside a plugin's file: helper modules that it imports, files that it declares."""

import os
import subprocess
import sys

import pytest

from codonbench.errors import ConfigError
from codonbench.plugins.beside import HELPERS, READERS, declared_in, modules_beside, parts_of
from codonbench.plugins.discovery import discover

MODEL = """
import torch
from codonbench import Model, ModelInfo
{first}

class Toy(Model):
    info = ModelInfo(name="{name}", version="1", summary="Toy")
    encoding = "input_index"
    files = {files}
    def build(self, task):
        {then}
"""


@pytest.fixture
def write(tmp_path):
    """Write a plugin and what lies beside it; return the plugin's file."""

    def write(first="", files=(), then="return None", name="toy", folder=tmp_path, **beside):
        folder.mkdir(exist_ok=True)
        for stem, text in beside.items():
            (folder / stem.replace("__", ".")).write_text(text)
        file = folder / f"mine_{name}.py"
        file.write_text(MODEL.format(first=first, files=files, then=then, name=name))
        return file

    before = dict(HELPERS.paths)
    yield write
    HELPERS.paths = before
    for module in [m for m in sys.modules if m.startswith(("codonbench_file_mine_", "helper_of"))]:
        del sys.modules[module]


def hash_of(file):
    registry = discover([], files=[file])
    registry.check_files([file])
    return next(iter(registry.models.values())).origin.source_sha256


def test_a_module_beside_a_file_is_imported_at_once_or_later_and_hashed_with_what_it_imports(write):
    words = {"first": "from helper_of_a import A", "then": "import helper_of_b"}
    beside = {"helper_of_a__py": "from helper_of_c import A", "helper_of_b__py": "B = 2"}
    hashes = set()
    for c in ("A = 1", "A = 23"):
        file = write(**words, **beside, helper_of_c__py=c, stranger__py="1 / 0")
        assert list(modules_beside(file)) == ["helper_of_a", "helper_of_b", "helper_of_c"]
        hashes.add(hash_of(file))
        a = sys.modules["helper_of_a"]
        assert int(c[4:]) == a.A
    assert len(hashes) == 2
    assert __import__("helper_of_b").B == 2
    assert "stranger" not in sys.modules


def test_a_package_beside_a_file_is_imported_and_hashed_whole(write, tmp_path):
    folder, hashes = tmp_path / "helper_of_all", set()
    folder.mkdir()
    (folder / "__init__.py").write_text("from helper_of_all import inner\n")
    for inner in ("A = 1", "A = 23"):
        (folder / "inner.py").write_text(inner)
        file = write("import helper_of_all")
        assert list(modules_beside(file)) == ["helper_of_all", "helper_of_all.inner"]
        hashes.add(hash_of(file))
        assert int(inner[4:]) == sys.modules["helper_of_all"].inner.A
    assert len(hashes) == 2


@pytest.mark.parametrize("read", ["ck.txt", "below/ck.txt", "code.py"])
def test_what_is_read_as_a_file_is_imported_and_not_declared_is_refused_to_its_models(
    write, tmp_path, read
):
    (tmp_path / "below").mkdir()
    (tmp_path / read).write_text("1")
    hash_of(
        write(f"from pathlib import Path; Path(__file__).parent.joinpath({read!r}).read_text()")
    )
    with (
        pytest.raises(ConfigError, match=f"reads {read}, which is not declared"),
        READERS.refusing("codonbench_file_mine_toy"),
    ):
        pass


def test_what_is_installed_goes_before_what_lies_beside(write):
    file = write("import random, numpy", random__py="1 / 0", numpy__py="1 / 0")
    assert modules_beside(file) == {}
    hash_of(file)


def test_two_plugins_cannot_have_two_modules_of_one_name(write, tmp_path):
    files = [
        write("import helper_of_all", name=name, folder=tmp_path / name, helper_of_all__py="")
        for name in ("one", "two")
    ]
    registry = discover([], files=files)
    assert list(registry.models) == ["one"]
    (failure,) = registry.failures
    for said in ("'helper_of_all'", str(tmp_path / "one"), str(tmp_path / "two"), "rename one"):
        assert said in failure.why


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.timeout(60)
def test_what_is_no_file_is_no_module_of_a_package_or_folder(write, tmp_path):
    (tmp_path / "helper_of_d").mkdir()
    (tmp_path / "helper_of_d" / "__init__.py").touch()
    os.mkfifo(tmp_path / "helper_of_d" / "pipe.py")
    os.mkfifo(tmp_path / "pipe.py")
    assert list(modules_beside(write(first="import helper_of_d"))) == ["helper_of_d"]
    assert not discover([], folders=[tmp_path]).failures


def test_a_declared_file_is_part_of_the_source_and_must_be_there(write, tmp_path):
    hashes = {hash_of(write(files=("ck.pt",), ck__pt=text)) for text in ("1", "2", "2")}
    assert len(hashes) == 2
    (tmp_path / "ck.pt").unlink()
    registry = discover([], files=[write(files=("ck.pt",))])
    assert "Toy.files names 'ck.pt', and there is no such file in" in registry.failures[0].why


@pytest.mark.parametrize("names", [("../ck.pt",), ("/etc/hosts",), (".env",), "ck.pt", (1,)])
def test_only_files_in_a_plugins_folder_or_below_can_be_declared(write, names):
    registry = discover([], files=[write(files=repr(names))])
    assert "expected names of files in the plugin's folder or below" in registry.failures[0].why


def test_what_is_declared_is_read_off_the_source(write, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.npy").touch()
    function = """
import codonbench, helper_of_it
@codonbench.model(encoding="input_index", files=("b.pt", "gone.pt", "../c.pt", 3))
def other(task): ...
"""
    beside = {"b__pt": "", "helper_of_it__py": 'class A:\n    files: tuple = ["c.pt"]', "c__pt": ""}
    file = write(function, files=("tables/a.npy",), **beside)
    assert sorted(declared_in(file)) == ["b.pt", "gone.pt", "tables/a.npy"]
    found = [str(path.relative_to(tmp_path)) for path in parts_of(file)]
    assert sorted(found) == ["b.pt", "c.pt", "helper_of_it.py", "tables/a.npy"]


def test_a_source_that_cannot_be_looked_into_has_nothing_beside_it(tmp_path):
    (tmp_path / "deep.py").write_text(f"import helper\nx = {'-' * 200_000}1")
    (tmp_path / "helper.py").touch()
    assert parts_of(tmp_path / "deep.py") == []


def test_tracebacks_show_their_lines_once_a_plugins_file_is_loaded(tmp_path):
    """Python reads these when no frame is left."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from codonbench.plugins.beside import READERS\n"
        f"with READERS.noting('mine', Path({str(tmp_path / 'mine.py')!r})):\n"
        "    pass\n"
        "raise ValueError  # as shown\n"
    )
    (tmp_path / "mine.py").touch()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert "raise ValueError  # as shown" in done.stderr
