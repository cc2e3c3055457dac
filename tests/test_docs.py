"""Every command in the README and in docs/ runs, as written; every name and link in them holds."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from codonbench.cli import main as cli
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.plugins.discovery import load_registry

ROOT = Path(__file__).resolve().parent.parent
README, FIRST_MODEL = ROOT / "README.md", ROOT / "docs" / "first-model.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

ELSEWHERE = {
    "make run": "tests/test_clean_install.py",
    "make test": "the suite itself",
    "bench run --suite official": "too long here; tests/test_suites.py reads it",
    "bench reproduce joiret2023 --data human_cds.fa.gz --seeds 0-2": "hours; "
    "tests/cli/test_reproduce.py runs a publication of its own",
    "bench run --model lstm --data joiret2023": "needs the network; tests/test_download.py",
    "bench run --model two-layers --plugin two_layers.py --sandbox": "needs bubblewrap; "
    "tests/cli/test_sandbox.py",
    "bench data fetch joiret2023": "needs the network; tests/test_download.py",
}
"""Commands that are run by something else than this file."""

BUDGET = "12800"
"""Pairs that each run of the pages gets here: what is held is that the command works."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SAVED = re.compile(r"[Ss]ave this as\s`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.M | re.S)
"""A plugin that a page has its reader save, and the name of its file."""


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in one of `languages`."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def commands(page: Path) -> list[str]:
    """Return each command of a page's blocks without a language or with ``console``.

    The README's table of commands is one such block.
    """
    lines = [line for block in blocks(page, "", "console") for line in block.splitlines()]
    if page == README:
        tables = re.findall(r"^\|.*\|$", page.read_text(), re.M)
        lines += [span for row in tables for span in re.findall(r"`(bench [^`]+ [^`]+)`", row)]
    found: dict[str, None] = {}
    for line in lines:
        command = line.removeprefix("$ ").partition("  #")[0].strip()
        if command.startswith(("bench ", "make ", "python ", "pip ")):
            found[command] = None
    return list(found)


def saved(page: Path) -> dict[str, str]:
    """Return the plugins that a page has its reader save, by file name."""
    return dict(SAVED.findall(page.read_text()))


def test_the_readme_opens_with_its_two_commands() -> None:
    assert commands(README)[:2] == ["make run", "make test"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small FASTA and one finished run, as a reader may have it."""
    folder = tmp_path_factory.mktemp("recorded")
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [c for c in codons if c not in ("TAA", "TAG", "TGA")]
    stops = ("TAA", "TAG", "TGA")
    orfs = [f">orf{i}\nATG{''.join(sense)}{'GCA' * i}{stops[i % 3]}\n" for i in range(30)]
    (folder / "my_orfs.fa").write_text("".join(orfs))
    with pytest.MonkeyPatch.context() as patch:
        assert bench("bench run --model mlp-64", folder, patch) == 0
    return folder


def bench(command: str, place: Path, patch: pytest.MonkeyPatch) -> int | str | None:
    """Return the exit code of a `bench` command in a folder; a run is cut to some seconds."""
    words = shlex.split(command)
    assert words[0] == "bench", f"{command!r}: say in ELSEWHERE what runs it"
    if words[1] == "run" and "--pairs" not in words:
        words += ["--pairs", BUDGET]
    patch.chdir(place)
    patch.setenv("CODONBENCH_CACHE", str(place / "cache"))
    patch.setenv("CODONBENCH_WORKERS", "0")
    patch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("page", list(filter(commands, PAGES)), ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_another(
    page: Path,
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    place = tmp_path / "place"
    shutil.copytree(recorded, place)
    for name, code in saved(page).items():  # the plugins that the page has its reader save
        (place / name).write_text(code)
    for command in commands(page):
        if command not in ELSEWHERE:
            code = bench(command, place, monkeypatch)
            assert code == 0, f"{command}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("name", saved(FIRST_MODEL))
def test_a_plugin_of_the_first_pages_learns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(saved(FIRST_MODEL)[name])
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry()
    built_in = set(registry.models)
    registry.add(import_module(name.removesuffix(".py")), "my-distribution", "0.1.0")
    model = min(set(registry.models) - built_in, key=len)
    job = prepare(RunRequest(model=model, pairs=12_800), registry, Path("no-cache"))
    ((record, _),) = run(job, registry, lambda run_spec: lambda *evaluation: None)
    assert record.status == "done"
    assert record.metrics["test_accuracy"] > 0.5  # the largest class has a tenth of the pairs


def test_the_first_model_begins_with_a_complete_plugin_of_fifteen_lines() -> None:
    language, code = FENCE.findall(FIRST_MODEL.read_text())[0]
    name, plugin = next(iter(saved(FIRST_MODEL).items()))
    assert (language, name, code) == ("python", "my_model.py", plugin)
    assert len(code.splitlines()) <= 15


def test_the_entry_point_shown_is_the_one_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = blocks(FIRST_MODEL, "toml")
    assert bench("bench new model mylstm", tmp_path, monkeypatch) == 0
    written = tomllib.loads((tmp_path / "codonbench-mylstm" / "pyproject.toml").read_text())
    assert tomllib.loads(shown)["project"]["entry-points"] == written["project"]["entry-points"]


def test_the_encodings_shown_are_those_of_the_reference() -> None:
    row = re.compile(r"^\| (`\w+`) \|(?: `\w+` \|)? (\(B,.*?\)) \| (\w+) \|", re.M)
    shown = row.findall(FIRST_MODEL.read_text())
    assert len(shown) == 5
    assert shown == row.findall((ROOT / "docs" / "reference.md").read_text())


@pytest.mark.nightly("types the whole code again for each; the first pages' plugins run above")
@pytest.mark.parametrize("name", saved(FIRST_MODEL))
def test_the_plugins_shown_can_be_sent_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pull request of that one file does: lint, types, check, run, records in order."""
    for part in ("harness", "plugins", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    models = tmp_path / "plugins" / "models"
    (models / "codonbench_models" / name).write_text(saved(FIRST_MODEL)[name])
    sources = [tmp_path / "harness", models, *(tmp_path / "plugins").glob("[dm]*s")]
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, sources)))
    model = name.removesuffix(".py").replace("_", "-")
    file = models / "codonbench_models" / name
    main = ["codonbench.cli.main"]
    for words in (
        ["ruff", "check", file],
        ["ruff", "format", "--check", file],
        ["mypy"],
        [*main, "check", "--model", model],
        [*main, "run", "--model", model, "--seeds", "0-1"],
        [*main, "validate", "leaderboard/results"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


# Names and links


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of a page may say after ``#``."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"(?<!\\)\]\(([^)\s]+)\)", prose(page))
    for target in targets:
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    for page in PAGES[1:]:
        assert f"]({page.relative_to(ROOT)}" in README.read_text(), page.name


def named_commands(page: Path) -> Iterator[str]:
    """Yield what follows ``bench`` in inline code, and in blocks of other languages."""
    yield from re.findall(r"`bench ([^`]+)`", prose(page))
    yield from re.findall(r"^bench (.+?)(?:  +#.*)?$", "".join(blocks(page, "sh")), re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_command_named_in_passing_exists_with_its_options(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    sections = dict(re.findall(r"^### `bench (.+?)`\n(.*?)(?=^##)", reference, re.M | re.S))
    for line in named_commands(page):
        words = line.split()
        options = {word for word in words if word.startswith("-")} - {"-p", "--debug", "--help"}
        names = [name for name in sections if f"{name} ".startswith(f"{words[0]} ")]
        assert names or words[0].startswith("-"), f"bench {line}"
        known = {option for name in names for option in re.findall(r"`(-[^`]+)`", sections[name])}
        assert not names or options <= known, f"bench {line}: {options - known}"
