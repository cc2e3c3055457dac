"""Every command in the README and in docs/ runs, as written."""

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from codonbench.cli import main as cli
from codonbench.config import RunRequest
from codonbench.discovery import load_registry
from codonbench.planning import prepare
from codonbench.runner import run

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

ELSEWHERE = {
    "make run": "tests/test_clean_install.py",
    "make test": "the suite itself",
    "bench run --model lstm --data joiret2023": "needs the network; tests/test_download.py",
    "bench data fetch joiret2023": "needs the network; tests/test_download.py",
}
"""Commands that are run by something else than this file."""


def commands() -> list[str]:
    """Return each command of each fenced block without a language or with ``console``."""
    found: dict[str, None] = {}
    for page in PAGES:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
        for block in (text for language, text in blocks if language in ("", "console")):
            for line in block.splitlines():
                line = line.removeprefix("$ ").partition("  #")[0].strip()
                if line.startswith(("bench ", "make ", "python ")):
                    found[line] = None
    return list(found)


def test_the_readme_opens_with_its_two_commands() -> None:
    shown = [c for c in commands() if c.startswith("make ")]
    assert shown[:2] == ["make run", "make test"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small FASTA and one finished run."""
    folder = tmp_path_factory.mktemp("docs")
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [c for c in codons if c not in ("TAA", "TAG", "TGA")]
    stops = ("TAA", "TAG", "TGA")
    orfs = [f">orf{i}\nATG{''.join(sense)}{'GCA' * i}{stops[i % 3]}\n" for i in range(30)]
    (folder / "my_orfs.fa").write_text("".join(orfs))
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGES[1].read_text(), re.M | re.S)
    (folder / "perceptron.py").write_text(code)
    return folder


@pytest.mark.parametrize("command", [c for c in commands() if c not in ELSEWHERE])
def test_command_in_the_docs_runs(
    command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = shlex.split(command)
    assert words[0] == "bench", f"{command!r}: say in ELSEWHERE what runs it"
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("CODONBENCH_CACHE", str(workplace / "cache"))
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0, capsys.readouterr().err


def test_the_model_in_contributing_is_complete_and_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGES[1].read_text(), re.M | re.S)
    (tmp_path / "perceptron.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry()
    registry.add(import_module("perceptron"), "my-perceptron", "0.1.0")
    request = RunRequest(model="perceptron", pairs=12_800)
    job = prepare(request, registry, Path("no-cache"))
    ((record, _),) = run(job.plans, job, registry, lambda plan: lambda pairs, right, logits: None)
    assert record.status == "done"
    assert record.metrics["test_accuracy"] > 0.2  # the largest class has a tenth of the pairs
    assert tomllib.loads(_toml_in_contributing())["project"]["entry-points"]["codonbench"]


def _toml_in_contributing() -> str:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGES[1].read_text(), re.M | re.S)
    return text
