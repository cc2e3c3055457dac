"""Every command in the README and in docs/ runs, as written; every name and link in them holds."""

import html
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import codonbench
from codonbench.cli import main as cli
from samples import run_here

ROOT = Path(__file__).resolve().parent.parent
README, FIRST_MODEL = ROOT / "README.md", ROOT / "docs" / "first-model.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("[!i]*.md"))]
"""All but the site's first page, which is the README."""

ELSEWHERE = {
    "make run": "tests/test_clean_install.py",
    "make test": "the suite itself",
    **dict.fromkeys(("make leaderboard", "make check-leaderboard"), "below, in a clone"),
    "bench data describe mine.csv > runs/board/items/mine.json": "tests/cli/test_plugin_file.py",
    "bench run --suite official": "too long here; tests/execution/test_suites.py reads it",
    "bench reproduce joiret2023 --data human_cds.fa.gz --seeds 0-2": "hours; "
    "tests/cli/human_codon/test_reproduce.py runs a publication of its own",
    "bench run --model motif-scan --plugin motif_scan.py --sandbox": "needs bubblewrap; "
    "tests/cli/test_sandbox.py",
    "bench validate --strict leaderboard/results": "here is no row; "
    "tests/cli/test_forged_records.py",
    "bench check --model mlp-64": "tests/testing checks every built-in model",
    "pip install -c constraints.txt '.[pretrained]'": "tests/models/test_hf.py needs it",
    **{
        f"bench run --model hf --task gue-tf-4 --protocol linear_probe --set checkpoint={words}": ""
        "tests/models/test_hf.py runs a checkpoint of its own"
        for words in ("FOLDER_OR_NAME", "FOLDER_OR_NAME --set init=random")
    },
    "bench run --model openspliceai --task gue-splice": "tests/models/test_openspliceai.py",
}
"""Commands that are run by something else than this file."""

SHELL = {
    ". .venv/bin/activate": ("tests/test_clean_install.py", "builds an environment"),
    "python3 -m venv ~/codonbench-env": ("tests/test_clean_install.py", "builds an environment"),
    "cd codonbench-mylstm": ("tests/cli/test_new.py", "installs what 'bench new' wrote"),
    "git switch --create my-model": ("tests/test_docs.py", "works in a clone, below"),
    "bench run --task planted-motif --model deepsea --seeds 0": (
        "tests/explain/test_sequences.py",
        "trains for minutes; there a smaller network is explained",
    ),
    "bench run --suite gue --on ray": (
        "tests/execution/test_ray.py",
        "needs the data of gue and a cluster; there tasks of its own run on one",
    ),
    "bench cluster slurm": (
        "tests/cli/test_cluster.py",
        "sbatch needs Slurm; there a stand-in of srun runs the script",
    ),
    "bench tune --model cnn --task gue-tf-0 --trials 50": (
        "tests/tuning/test_tuning.py",
        "needs the data of gue and an hour; there a study is of made-up items",
    ),
}
"""Blocks of commands that need another place than these tests', by how they begin; what runs such
commands, and why it is not here."""

LITTLE = ["--pairs", "640", "--engine", "eager"]
"""What keeps a run short, whatever it says itself: of an option given twice the last counts."""

NAMES = {"my_model": "page_model", "my-model": "page-model", "mylstm": "pagelstm"}
"""Names of the pages' models, and what stands for them here: a reader may have sent in theirs."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SAVED = re.compile(r"[Ss]ave this as\s`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.M | re.S)
"""A plugin that a page has its reader save, and the name of its file."""


def renamed(text: str) -> str:
    """Return text with other names for the pages' models."""
    for name, other in NAMES.items():
        text = text.replace(name, other)
    return text


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
    return {renamed(name): renamed(code) for name, code in SAVED.findall(page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_need_another_place_say_what_runs_them(page: Path) -> None:
    begun = re.compile(r"(bench|make|python3?|pip|cd|git|\.) \S", re.A)
    for block in blocks(page, "sh", *([] if page.stem == "reference" else ["text"])):
        if begun.match(block):
            ((test, why),) = {own for begin, own in SHELL.items() if block.startswith(begin)}
            assert why
            assert (ROOT / test).is_file()


def test_the_readme_opens_with_its_two_commands() -> None:
    assert commands(README)[:2] == ["make run", "make test"]


def table(rows: int, split: str = "", classes: tuple[str, str] = ("0", "1")) -> str:
    """Return a table of random sequences, half of them rich in G."""
    rng = random.Random(rows)
    lines = ["sequence,label" + (",split" if split else "")]
    for i in rng.sample(range(rows), rows):  # sorted rows would tell the class
        letters = "".join(rng.choices("ACGT", weights=(1, 1, 1 + 4 * (i % 2), 1), k=101))
        lines.append(f"{letters},{classes[i % 2]}" + (f",{split}" if split else ""))
    return "\n".join(lines) + "\n"


def divided(rows: int, classes: tuple[str, str] = ("0", "1")) -> str:
    """Return a table of so many rows in either of two splits."""
    parts = [table(rows, split, classes) for split in ("train", "test")]
    return parts[0] + parts[1].partition("\n")[2]


@pytest.fixture
def place(tmp_path: Path, made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Return a folder with the files that the pages speak of, and a run."""
    return shutil.copytree(made_once("place", furnish), tmp_path / "place")


def furnish(folder: Path) -> None:
    """Write what a reader of the pages has."""
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [c for c in codons if c not in ("TAA", "TAG", "TGA")]
    stops = ("TAA", "TAG", "TGA")
    orfs = [f">orf{i}\nATG{''.join(sense)}{'GCA' * i}{stops[i % 3]}\n" for i in range(30)]
    (folder / "my_orfs.fa").write_text("".join(orfs))
    (folder / "mine.csv").write_text(table(200))
    for split, rows in (("train", 200), ("dev", 60), ("test", 80)):
        (folder / f"{split}.csv").write_text(table(rows))
    (folder / "promoters.csv").write_text(divided(40, ("other", "promoter")))
    codonbench.run("mlp-64", pairs=640, results=folder / "runs", workers=0)
    shutil.copytree(folder / "runs", folder / "leaderboard" / "results")


def bench(command: str, place: Path, patch: pytest.MonkeyPatch) -> int | str | None:
    """Return the exit code of a `bench` command in a folder, made short."""
    words = shlex.split(command)
    assert words[0] == "bench", f"{command!r}: say in ELSEWHERE what runs it"
    if words[1] == "run":
        words += [*LITTLE, *(["--seeds", "0"] if "--seeds" in words else [])]
    patch.chdir(place)
    patch.setenv("CODONBENCH_CACHE", str(place / "cache"))
    patch.setenv("CODONBENCH_WORKERS", "0")
    patch.setenv("XDG_CONFIG_HOME", str(place / "settings"))
    patch.setattr("codonbench.cli.check.run_apart", run_here)
    patch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    "page", [page for page in PAGES[1:] if commands(page)], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_run_one_after_another(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    follow(page, place, monkeypatch, capsys)


def follow(
    page: Path, place: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Save a page's files in a folder and run its commands there, in order."""
    for name, code in saved(page).items():
        (place / name).write_text(code)
    for command in commands(page):
        if command not in ELSEWHERE:
            code = bench(renamed(command), place, patch)
            assert code == 0, f"{command}\n{capsys.readouterr().err}"


def test_the_plugin_of_a_checkpoint_is_asked_with_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ((name, code),) = saved(ROOT / "docs" / "pretrained.md").items()
    (tmp_path / name).write_text(code)
    (tmp_path / "mine.csv").write_text(table(200))
    layer = torch.nn.Linear(101 * 4, 2)
    with torch.no_grad():  # one that knows that the second class is rich in G
        layer.weight.zero_()[1, 2::4] = 1.0
        layer.bias.copy_(torch.tensor([0.0, -101 * 0.3]))
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    asked = {"data": tmp_path / "mine.csv", "protocol": "zero_shot", "workers": 0}
    (record,) = codonbench.run(tmp_path / name, results=tmp_path / "runs", **asked)
    assert record.metrics["mcc"] > 0.5


def test_the_readme_needs_a_table_and_nothing_else_and_touches_no_official_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "mine.csv").write_text(divided(100))  # that of docs/own_data.md has no splits
    follow(README, tmp_path, monkeypatch, capsys)
    made = {path.name for path in tmp_path.iterdir()}
    assert {"runs", "runs.csv", "pictures", "alice.pub"} <= made
    assert not made & {"leaderboard", "docs", "alice"}

    *_, code = blocks(README, "python")
    assert "codonbench.run(" in code
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="data audit: FAIL"):  # as all its items are alike
        exec(code.replace('seeds="0-4"', "seeds=0, pairs=640, workers=0"), {})
    assert "motif-scan" in capsys.readouterr().out


AROUND = {
    "cluster": ("from codonbench import Model\nfrom codonbench.contracts import Needs\n", ""),
    "first-model": ("import codonbench\n", "\ndef mine(task):\n    return None\n"),
}
"""What stands before and behind the lines that a page shows of a plugin."""

SHOWN = {
    page.stem: [c for c in blocks(page, "python") if renamed(c) not in saved(page).values()]
    for page in PAGES[1:]
    if page.stem != "reference"  # signatures, which tests/test_reference.py holds
}


@pytest.mark.parametrize("name", [name for name, codes in SHOWN.items() if codes])
def test_python_that_is_no_file_to_save_runs_as_shown(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before, after = AROUND.get(name, ("", ""))
    for code in SHOWN[name]:
        exec(compile(f"{before}{code}{after}", name, "exec", dont_inherit=True), {})


@pytest.mark.parametrize("name", saved(FIRST_MODEL))
def test_a_plugin_of_the_first_pages_learns(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(saved(FIRST_MODEL)[name])
    (record,) = codonbench.run(tmp_path / name, pairs=12_800, results=tmp_path / "runs", workers=0)
    assert record.status == "done"
    assert record.metrics["test_accuracy"] > 0.5  # the largest class has a tenth of the pairs


def test_the_first_model_begins_with_a_complete_plugin_of_fifteen_lines() -> None:
    language, code = FENCE.findall(FIRST_MODEL.read_text())[0]
    assert (language, renamed(code)) == ("python", next(iter(saved(FIRST_MODEL).values())))
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
    assert len(shown) == 7
    assert shown == row.findall((ROOT / "docs" / "reference.md").read_text())


PACKAGE = Path("plugins", "models", "codonbench_models")


@pytest.mark.parametrize("name", saved(FIRST_MODEL))
def test_the_plugins_shown_are_in_the_style_of_this_repository(name: str) -> None:
    ruff, file = [sys.executable, "-m", "ruff"], ["--stdin-filename", str(PACKAGE / name), "-"]
    for words in (["check", "--no-cache"], ["format", "--no-cache", "--diff"]):
        done = subprocess.run(
            [*ruff, *words, *file],
            input=saved(FIRST_MODEL)[name],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


OF_EVERY_MODEL = (
    "test_core_names.py test_reference.py test_structure.py test_exported_members.py "
    "cli/test_listing.py cli/test_new.py cli/test_plugins.py cli/test_startup.py "
    "models/test_models.py"
)
"""Tests that take up whatever model is there, or whose own names another could clash with."""

WHO = {f"GIT_{who}": "a@b.example" for who in ("AUTHOR_NAME", "AUTHOR_EMAIL")}
WHO |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in WHO.items()}


def but_few_records(folder: str, names: list[str]) -> set[str]:
    """Return what of a folder no clone needs; of our rows one is enough to stand beside.

    What is compiled goes along, as it would have to be compiled anew.
    """
    left_out = {".git", ".venv", "runs", "trajectories", "build"} & set(names)
    if Path(folder) == ROOT / "leaderboard" / "results":
        left_out |= {name for name in names if not name.startswith("mlp-64-s")}
    return left_out


@pytest.mark.nightly("each of its commands is tested by itself")
def test_the_pull_request_of_the_first_model_passes_as_written(tmp_path: Path) -> None:
    """Each line of it in a clone; in place of ``make test`` some of the tests."""
    (script,) = [block for block in blocks(FIRST_MODEL, "sh") if "git switch" in block]
    clone, programs = tmp_path / "clone", Path(sys.executable).parent
    shutil.copytree(ROOT, clone, ignore=but_few_records, symlinks=True)
    (name, code), *_ = SAVED.findall(FIRST_MODEL.read_text())
    (tmp_path / name).write_text(code)
    tests = " ".join(f"tests/{name}" for name in OF_EVERY_MODEL.split())
    instead = {
        "make test": "mypy && pytest -q -n 0 -m 'not slow and not nightly' "
        f"-k 'not half_a_second' {tests}",  # which is about the machine
        ". .venv/bin/activate": "true",
        "cp PATH/": f"cp {tmp_path}/",
        "--seeds 0-9": "--seeds 0-1",
        "make ": f"make BIN={programs} --old-file={programs}/bench ",
    }
    for line, stands_in in instead.items():
        assert line in script
        script = script.replace(line, stands_in)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    begin = "git init --quiet && git add --all && git commit --quiet --message clone\n"
    sources = [
        clone / "harness",
        *(clone / "plugins" / k for k in ("datasets", "metrics", "models")),
    ]
    done = subprocess.run(
        ["bash", "-exc", begin + script],
        cwd=clone,
        env=os.environ | WHO | {"PATH": path, "PYTHONPATH": os.pathsep.join(map(str, sources))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    board = (clone / "leaderboard" / "README.md").read_text()
    assert board.count("| my-model ") == 1


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
    sections["run"] += reference.partition("### Options of tasks")[2].partition("\n## ")[0]
    for line in named_commands(page):
        words = line.split()
        options = {word for word in words if word.startswith("-")} - {"-p", "--debug", "--help"}
        names = [name for name in sections if f"{name} ".startswith(f"{words[0]} ")]
        assert names or words[0].startswith("-"), f"bench {line}"
        known = {option for name in names for option in re.findall(r"`(-[^`]+)`", sections[name])}
        assert not names or options <= known, f"bench {line}: {options - known}"


@pytest.mark.parametrize("page", ["security.md", "rules.md"])
def test_every_test_that_a_promise_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for path in set(re.findall(r"`(tests/[\w/.]+)`", text)):
        assert (ROOT / path).exists(), path
    plugins = {path.stem for path in (ROOT / "tests" / "exploits" / "plugins").glob("*.py")}
    exploits = (ROOT / "tests" / "exploits" / "test_exploits.py").read_text(encoding="utf-8")
    named = re.findall(r"[(:,;|] ?`([a-z]+(?:_[a-z]+)+)`", text) if page == "security.md" else ()
    assert plugins <= {*named} or page == "rules.md"
    for name in named:
        assert name in plugins, name
        assert f"def test_{name}(" in exploits, name


@pytest.mark.slow
def test_the_pages_are_built_as_a_site_whose_links_hold_the_notebook_among_them(tmp_path) -> None:
    """As `make docs` builds it."""
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    page = re.sub("<.+?>", "", (tmp_path / "notebooks" / "own_data.html").read_text())
    notebook = json.loads((ROOT / "docs" / "notebooks" / "own_data.ipynb").read_text())
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(code) > 4
    assert all(cell in html.unescape(page) for cell in code)
    assert "notebooks/own_data.html" in (tmp_path / "index.html").read_text()


WITH_TESTS = [*ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("*.md")]


def test_each_test_that_a_page_names_is_there():
    named = {
        (page.name, path)
        for page in WITH_TESTS
        for path in re.findall(r"`(tests/[\w/.-]+)`", page.read_text(encoding="utf-8"))
    }
    assert [(page, path) for page, path in sorted(named) if not (ROOT / path).exists()] == []
    assert len(named) > 30


def test_each_cheat_stands_in_the_table_of_security_and_no_other():
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    cheats = {path.stem for path in ROOT.glob("tests/exploits/plugins/*.py")}
    assert set(re.findall(r"\| `([a-z]+_\w+)` \|", page)) == cheats
    assert set(re.findall(r"`([a-z]+_\w+)`", page)) - {"class_weights"} == cheats


def test_a_promise_of_security_that_a_part_is_asked_for_is_held_by_a_command_too():
    """In the same paragraph, which else says that no command can show it."""
    typed = ("cli", "exploits", "execution/test_ray.py")
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for paragraph in page.split("\n\n"):
        words = " ".join(paragraph.split())
        named = re.findall(r"`tests/([\w/.-]+)`", words)
        by_command = any(path.startswith(typed) for path in named) or "no command" in words
        assert by_command or not named, words
