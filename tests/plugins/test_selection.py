from importlib.metadata import entry_points
from pathlib import Path

import pytest

from codonbench.errors import ConfigError
from codonbench.plugins.selection import (
    GROUP,
    Candidate,
    Selection,
    in_order,
    selection_from_environment,
    settings_file,
    trusted_by_settings,
)

OURS = Candidate("models", "codonbench", "codonbench_models")
MINE = Candidate("mylstm", "My_Shop", "my_shop.models")


@pytest.mark.parametrize(
    ("listed", "loaded"),
    [
        (None, [OURS, MINE]),
        ("", [OURS]),
        ("my-shop", [OURS, MINE]),
        (" other , mylstm", [OURS, MINE]),
        ("my_shop.models", [OURS, MINE]),
        ("other", [OURS]),
    ],
)
def test_the_variable_lists_what_is_loaded_beside_our_own(monkeypatch, listed, loaded):
    if listed is None:
        monkeypatch.delenv("CODONBENCH_PLUGINS", raising=False)
    else:
        monkeypatch.setenv("CODONBENCH_PLUGINS", listed)
    selection = selection_from_environment()
    assert [c for c in (OURS, MINE) if not selection.why_not(c)] == loaded


@pytest.mark.parametrize("name", ["mylstm", "my-shop", "My.Shop", "my_shop", "my_shop.models"])
def test_a_plugin_is_switched_off_by_entry_point_distribution_or_module(name):
    selection = Selection(off=(name,))
    assert selection.why_not(MINE) == f"-p no:{name}"
    assert selection.why_not(OURS) == ""


def test_a_part_of_a_name_switches_nothing_off():
    for name in ("my", "mylst", "my_shop.mod", "models"):
        assert Selection(off=(name,)).why_not(MINE) == ""


def test_what_is_listed_and_switched_off_is_off():
    assert Selection(only=("mylstm",), off=("mylstm",)).why_not(MINE) == "-p no:mylstm"


def test_our_own_can_be_switched_off_by_name_only():
    assert Selection(only=()).why_not(OURS) == ""
    assert Selection(off=("codonbench_models",)).why_not(OURS) == "-p no:codonbench_models"


def test_what_fits_nothing_is_found():
    selection = Selection(only=("mylstm", "gone"), off=("my-shop", "lost"))
    assert selection.names_nothing([OURS, MINE]) == ["-p no:lost", "CODONBENCH_PLUGINS: gone"]


def test_a_file_that_is_trusted_by_name_is_no_distribution_of_a_like_name():
    assert not Candidate("mine", "mine-py", "mine").is_trusted_as("mine.py")
    assert Candidate("mine", "mine-py", "mine").is_trusted_as("mine_py")
    assert Candidate.of_file(Path("mine.py")).is_trusted_as("mine.py")


@pytest.mark.parametrize("name", ["mine", "Mine.py", "mine.pyc", "mine-py", "else/mine.py", "*"])
def test_what_only_resembles_a_file_does_not_let_it_in(name, tmp_path):
    file = Candidate.of_file(tmp_path / "mine.py")
    assert not file.is_trusted_as(name)
    assert file.is_trusted_as(str(tmp_path / "else" / ".." / "mine.py"))


def test_settings_nested_without_end_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("trust = " + "[" * 50_000)
    with pytest.raises(ConfigError, match=r"settings .*settings\.toml: "):
        trusted_by_settings()


def test_a_distribution_that_goes_by_our_name_is_a_strangers(tmp_path, monkeypatch):
    info = tmp_path / "cheat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Codonbench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[codonbench]\ncheat = a_cheat\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = {c.module: c for _, c in in_order(entry_points(group=GROUP))}
    assert not found["a_cheat"].built_in
    assert found["a_cheat"].owner == "a_cheat"  # so that it shares no worker of ours
    assert [name for name, each in found.items() if each.built_in] == [
        *("codonbench_datasets", "codonbench_metrics", "codonbench_models")
    ]
