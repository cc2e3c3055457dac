"""Commands that plugins add: listed, loaded when called, switched off, and named where broken."""

import json
import sys

import pytest

SOURCE = """
import typer

def greet(name: str = "you") -> None:
    \"\"\"Say hello.\"\"\"
    typer.echo(f"hello {name}")
"""


@pytest.fixture
def add(tmp_path, monkeypatch, trust):
    """Install a distribution that adds a command, from the source of its module."""

    def add(source=SOURCE, name="greet", *, trusted=True):
        if trusted:
            trust("greeter")
        info = tmp_path / "site" / "greeter-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
        points = f"[codonbench.commands]\n{name} = greeter:greet\n"
        (info / "entry_points.txt").write_text(points)
        (tmp_path / "site" / "greeter.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.delitem(sys.modules, "greeter", raising=False)

    yield add
    sys.modules.pop("greeter", None)


def test_a_plugins_command_is_listed_helped_and_run(bench, add):
    add()
    assert "Say hello." in bench("--help").out
    assert "--name" in bench("greet", "-h").out
    assert bench("greet", "--name", "codon").out == "hello codon\n"


def test_commands_are_listed_with_the_plugins_and_none_is_loaded(bench, add):
    add("raise SystemExit(9)", trusted=False)
    listed = bench("plugins")
    assert listed.code == 0, listed.err
    assert "commands of greeter 1.0: greet\n" in listed.out
    found = json.loads(bench("plugins", "--json").out)["commands"]
    assert [each["module"] for each in found if each["name"] == "greet"] == ["greeter"]
    assert "greeter" not in bench("plugins", "-p", "no:greeter").out


def test_a_strangers_command_is_imported_only_where_he_is_trusted(bench, add):
    add("raise SystemExit(9)", trusted=False)
    assert "Of greeter; needs --trust greeter." in bench("--help").out
    for words in ((), ("genome.fa", "--name", "codon")):
        answer = bench("greet", *words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("bench: command 'greet' of greeter would run in this process")
        assert answer.err.endswith("allow it by --trust greeter\n")
    assert bench("greet", "--trust", "greeter").code != 2


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SOURCE, "gr\x1b[2Jeet"),
        (SOURCE, "::warning::greet"),
        ("raise OSError('##[error]')", "greet"),
    ],
)
def test_what_a_command_is_called_or_says_steers_no_terminal_and_no_log(bench, add, source, name):
    add(source, name)
    answer = bench("--help")
    assert answer.code == 0
    assert [word for word in ("\x1b", "##[", "::warning") if word in answer.out] == []
    assert ("Did not load" in answer.out) == (name == "greet")


def test_a_command_is_not_loaded_for_another(bench, add):
    add("raise SystemExit(9)")
    assert bench("--version").code == 0
    assert bench("ls", "models").code == 0


@pytest.mark.parametrize("broken", ["import nowhere", "greet = 3"])
def test_a_broken_command_is_named_and_the_others_go_on(bench, add, broken):
    add(broken)
    assert "Did not load" in bench("--help").out
    answer = bench("greet", "--name", "codon")
    assert answer.code == 1
    assert "command 'greet' of greeter (greeter:greet) did not load" in answer.err
    assert "-p no:greet" in answer.err


def test_a_command_that_is_switched_off_is_none(bench, add, monkeypatch):
    add()
    assert bench("-p", "no:greeter", "greet").code == 2
    assert "greet" not in bench("--help", "-p", "no:greet").out
    monkeypatch.setenv("CODONBENCH_PLUGINS", "")
    assert bench("greet").code == 2
    assert bench("plot", "--help").code == 0


@pytest.mark.parametrize("name", ["run", "plot"])
def test_a_stranger_takes_the_place_of_no_command_of_ours(bench, add, name):
    add(name=name)
    assert "Say hello." not in bench(name, "--help").out


def test_for_a_command_of_ours_no_installed_plugin_is_looked_for(bench, monkeypatch):
    monkeypatch.setattr("codonbench.cli.main.entry_points", lambda **_: pytest.fail("looked"))
    assert bench("keygen", "alice").code == 0
