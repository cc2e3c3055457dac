"""`bench leaderboard`: the same records, the same bytes; `--check` says when they are not."""

import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from codonbench.cli import bars
from codonbench.records.store import Store

END = "<!-- leaderboard:end -->"
BOARD = ("leaderboard", "--results", "leaderboard/results")
RESULTS = ("--results", str(Path(__file__).parents[2] / "leaderboard" / "results"))


@pytest.fixture
def folder(board, tmp_path):
    """A board's folder with results in it; nothing generated yet."""
    shutil.copytree(board, tmp_path / "leaderboard" / "results")
    return tmp_path / "leaderboard"


def generated(folder):
    return {name: (folder / name).read_bytes() for name in ("README.md", "leaderboard.json")}


def test_the_board_is_written_above_the_results(bench, folder):
    answer = bench(*BOARD)
    assert answer.code == 0
    assert "wrote leaderboard/README.md and leaderboard/leaderboard.json" in answer.out
    assert "rows: 2, tables: 1" in answer.out
    page = (folder / "README.md").read_text()
    assert page.startswith("# Leaderboard\n")
    assert "| mlp-64" in page
    board = json.loads((folder / "leaderboard.json").read_text())
    assert [row["model"] for row in board["tables"][0]["rows"]] == ["mlp-64"]


def test_in_a_terminal_a_bar_counts_tables(bench, folder, monkeypatch):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr(bars, "messages", lambda: console)
    assert bench(*BOARD).code == 0
    assert re.search(r"tables .* 0/1", shown.getvalue())


def test_rows_of_two_kinds_of_gpu_and_of_a_processor_share_no_table(bench, folder):
    store = Store(folder / "results")
    for record in [each for each in store.scan() if each.model == "mlp-64"]:
        machine = {"device": "cuda", "device_name": ("NVIDIA A100", "NVIDIA H100")[record.seed]}
        spec = record.run_spec.model_copy(update={"device": "cuda"})
        changes = {
            "machine": record.machine.model_copy(update=machine),
            "run_spec": spec,
            "run_id": spec.run_id,
            "trajectory_sha256": None,
        }
        store.save(record.model_copy(update=changes).sealed(), None)
    assert bench(*BOARD).code == 0
    tables = json.loads((folder / "leaderboard.json").read_text())["tables"]
    rows = {table["device"]: [row["seeds"] for row in table["rows"]] for table in tables}
    assert rows == {"cpu": [[0, 1]], "NVIDIA A100": [[0]], "NVIDIA H100": [[1]]}


def test_by_default_a_readers_runs_get_a_board_of_their_own(bench, board):
    shutil.copytree(board, "runs")
    assert bench("leaderboard").code == 0
    assert bench("site").code == 0
    assert sorted(p.name for p in Path("runs/board").iterdir()) == [
        "README.md",
        "leaderboard.json",
        "site",
    ]
    assert "up to date" in bench("leaderboard", "--check").out
    assert not Path("leaderboard").exists()


def test_the_same_records_give_the_same_bytes(bench, folder, tmp_path):
    bench(*BOARD)
    first = generated(folder)
    assert "up to date" in bench(*BOARD).out
    assert generated(folder) == first
    other = tmp_path / "other"
    (other / "results").mkdir(parents=True)
    for path in sorted((folder / "results").glob("*.json"), reverse=True):
        shutil.copy(path, other / "results" / f"{path.stem[::-1]}.json")
    bench("leaderboard", "--results", other / "results")
    assert generated(other) == first


def test_out_puts_the_board_elsewhere(bench, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    assert bench(*BOARD, "--out", "elsewhere").code == 0
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == [
        "README.md",
        "leaderboard.json",
    ]
    assert not (folder / "README.md").exists()


def test_a_board_elsewhere_rests_on_the_same_audits(bench, folder):
    """Figures of test outputs follow from audits, and would be deleted where these are missed."""
    (folder / "audits").mkdir()
    (folder / "audits" / "mine.json").write_text("{}")
    for command in ("leaderboard", "site"):
        answer = bench(command, *BOARD[1:], "--out", "elsewhere")
        assert answer.code == 2
        assert "mine.json: no audit of data" in answer.err


def test_check_passes_while_the_files_are_up_to_date(bench, folder):
    bench(*BOARD)
    before = generated(folder)
    assert bench(*BOARD, "--check").code == 0
    assert generated(folder) == before


@pytest.mark.parametrize("change", ["missing", "page", "json", "record gone"])
def test_check_fails_when_a_file_is_stale_and_writes_nothing(bench, folder, change):
    bench(*BOARD)
    if change == "missing":
        (folder / "leaderboard.json").unlink()
    elif change == "page":
        page = folder / "README.md"
        page.write_text(page.read_text().replace("mlp-64", "mlp-65"))
    elif change == "json":
        (folder / "leaderboard.json").write_text("{}")
    else:
        next((folder / "results").glob("mlp-64-s1-*.json")).unlink()
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    answer = bench(*BOARD, "--check")
    assert answer.code == 3
    assert "out of date; run 'bench leaderboard --results leaderboard/results'" in answer.err
    assert "Traceback" not in answer.err
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert bench(*BOARD).code == 0
    assert bench(*BOARD, "--check").code == 0


def test_what_people_write_around_the_board_stays_to_the_byte(bench, folder):
    bench(*BOARD)
    page = folder / "README.md"
    board = page.read_bytes()
    page.write_bytes(b"# Mine\r\n\xc3\xa9\r\n" + board + b"\r\nno newline at its end")
    next((folder / "results").glob("mlp-64-s1-*.json")).unlink()
    assert bench(*BOARD).code == 0
    content = page.read_bytes()
    assert content != board
    assert content.startswith(b"# Mine\r\n\xc3\xa9\r\n# Leaderboard\n")
    assert content.endswith(f"{END}\n\r\nno newline at its end".encode())


def test_a_page_without_markers_is_left_alone_until_they_are_added(bench, folder):
    path = folder / "README.md"
    path.write_text("# My project\n")
    answer = bench(*BOARD)
    assert answer.code == 2
    begin, end = re.findall(r"<!-- .*? -->", answer.err)
    assert "where the board should stand, or give another folder with --out" in answer.err
    assert path.read_text() == "# My project\n"
    assert not (folder / "leaderboard.json").exists()
    path.write_text(f"# My project\n\n{begin}\n{end}\n\nafter\n")
    assert bench(*BOARD).code == 0
    page = path.read_text()
    assert page.startswith(f"# My project\n\n{begin}\n\n### human-codon")
    assert page.endswith(f"\n\n{end}\n\nafter\n")


@pytest.mark.parametrize("page", [f"{END}\n", "text\n\xff"], ids=["half a marker", "not UTF-8"])
def test_a_page_that_cannot_be_written_into_is_left_alone(bench, folder, page):
    path = folder / "README.md"
    path.write_bytes(page.encode("latin-1"))
    answer = bench(*BOARD)
    assert answer.code == 2
    assert "leaderboard/README.md" in answer.err
    assert answer.err.count("\n") == 1
    assert path.read_bytes() == page.encode("latin-1")
    assert not (folder / "leaderboard.json").exists()


def test_an_empty_results_folder_gives_an_empty_board(bench, tmp_path):
    (tmp_path / "leaderboard" / "results").mkdir(parents=True)
    assert bench(*BOARD).code == 0
    assert "No results yet." in (tmp_path / "leaderboard" / "README.md").read_text()


def test_files_that_are_no_records_are_listed_as_not_counted(bench, folder):
    (folder / "results" / "stray.json").write_text("{}")
    answer = bench(*BOARD)
    assert answer.code == 0
    assert "not counted: stray.json" in answer.err
    assert "Not counted" in (folder / "README.md").read_text()
    assert "stray.json" in (folder / "README.md").read_text()


def test_a_copy_of_a_record_is_named_by_its_file(bench, folder):
    (path,) = (folder / "results").glob("mlp-64-s0-*.json")
    shutil.copy(path, folder / "results" / "copy.json")
    answer = bench(*BOARD)
    assert answer.err == f"not counted: copy.json: holds the same run as {path.name}\n"


def test_the_name_of_a_stray_file_does_nothing_to_the_terminal_or_the_page(bench, folder):
    (folder / "results" / "stray\x1b[2J\u202e<!-- leaderboard:end -->.json").write_text("{}")
    for _ in range(2):
        answer = bench(*BOARD)
        assert "not counted: stray\ufffd[2J\ufffd<!--" in answer.err
        assert not {"\x1b", "\u202e"} & set(answer.err)
    assert "up to date" in answer.out
    page = (folder / "README.md").read_text()
    assert "stray\ufffd\\[2J\ufffd&lt;!-- leaderboard:end --&gt;.json" in page
    assert not {"\x1b", "\u202e"} & set(page)


def test_records_of_a_task_that_is_not_there_are_not_counted(bench, folder):
    answer = bench("-p", "no:codonbench_datasets.human_codon", *BOARD)
    assert answer.code == 0
    assert "rows: 0, tables: 0" in answer.out
    assert "task human-codon is not installed" in answer.err
    assert "No results yet." in (folder / "README.md").read_text()


def test_a_task_that_does_not_load_is_named_beside_what_it_leaves_out(bench, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "codonbench_datasets.human_codon", None)
    answer = bench(*BOARD)
    assert "plugin codonbench_datasets.human_codon of codonbench" in answer.err
    assert "did not load: ModuleNotFoundError" in answer.err
    assert answer.err.count("not counted") == 4


def test_the_board_needs_no_model(bench, folder):
    answer = bench("-p", "no:codonbench_models", *BOARD)
    assert answer.code == 0
    assert "rows: 2, tables: 1" in answer.out


# Test outputs


@pytest.fixture
def tested(bench, tmp_path):
    """Three seeds of a model and of a reference row on a small table; returns the folder."""
    rng = np.random.default_rng(0)
    rows = ["a,b,label,split"]
    for i in range(90):
        split = ("train", "train", "test")[i % 3]
        rows.append(f"{rng.normal() + i % 2:.3f},{rng.normal():.3f},{i % 2},{split}")
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    for model in ("linear", "majority"):
        words = ("--model", model, "--data", "mine.csv", "--seeds", "0-2", "--results", "r")
        assert bench("run", *words).code == 0
    return tmp_path / "r"


def test_rows_are_compared_over_items_with_or_without_trajectories(bench, tested):
    assert "7 files of test outputs" in bench("leaderboard", "--results", tested).out
    page = (tested / "board" / "README.md").read_text()
    assert "over seeds and 30 test items" in page
    assert "Gain: over majority" in page
    (row,) = json.loads((tested / "board" / "leaderboard.json").read_text())["tables"][0]["rows"]
    assert row["tier"] == 1
    assert row["gain"]["low"] < row["gain"]["value"] == row["means"]["mcc"]["value"]
    shutil.rmtree(tested / "trajectories")
    assert bench("leaderboard", "--results", tested, "--check").code == 0
    (targets,) = (tested / "outputs").glob("targets-*.npz")
    targets.unlink()  # as of a task whose targets may not be shared
    assert bench("leaderboard", "--results", tested, "--check").code == 3


def test_outputs_that_do_not_fit_their_record_are_refused(bench, tested):
    bench("leaderboard", "--results", tested)
    outputs = sorted((tested / "outputs").glob("linear-*.npz"))
    with np.load(outputs[0]) as file:
        arrays = dict(file)
    np.savez(outputs[0], **arrays | {"outputs": arrays["outputs"][:, ::-1]})
    answer = bench("leaderboard", "--results", tested)
    assert answer.code == 2
    assert f"test outputs of {outputs[0].stem} give mcc" in answer.err


def test_outputs_of_records_that_are_gone_go_too_and_nothing_else(bench, tested):
    bench("leaderboard", "--results", tested)
    (tested / "outputs" / "notes.npz").write_bytes(b"mine")
    for path in (*tested.glob("majority-*.json"), *tested.glob("linear-s0-*.json")):
        path.unlink()
    bench("leaderboard", "--results", tested)
    kept = sorted(path.name.split("-")[0] for path in (tested / "outputs").iterdir())
    assert kept == ["linear", "linear", "notes.npz", "targets"]


def test_every_committed_record_has_a_day():
    folder = Path(__file__).parents[2] / "leaderboard"
    days = json.loads((folder / "days.json").read_bytes())
    records = [json.loads(path.read_bytes()) for path in (folder / "results").glob("*.json")]
    unknown = {r["harness"]["commit"] for r in records if not r.get("day")} - days.keys()
    assert unknown == set()
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) for day in days.values())


def test_days_of_commits_that_are_none_are_refused(bench, folder):
    (folder / "days.json").write_text("[")
    found = bench(*BOARD)
    assert found.code == 2
    assert "days.json holds no days of commits; delete it" in found.err


def test_two_models_are_compared_in_a_line_a_table_or_as_json(bench):
    words = ("compare", "kmer-linear", "cnn", *RESULTS, "--task", "gue-tf-2")
    answer = bench(*words)
    assert (answer.code, answer.err) == (0, "")
    head, _, _, line = answer.out.rstrip().splitlines()
    assert head == "kmer-linear - cnn"
    assert line.split()[:7] == ["gue-tf-2,", "cpu", "MCC", "-0.096", "[-0.140,", "-0.052]", "<"]
    (made,) = json.loads(bench(*words, "--json").out)
    assert (made["first"], made["second"], made["seeds"]) == ("kmer-linear", "cnn", 5)
    assert made["clean_items"] == 946
    assert made["clean_low"] < made["clean_difference"] < made["clean_high"] < 0
    assert f"{made['clean_difference']:+.3f}" in line.split()
    missing = bench("compare", "cnn", "nobody", *RESULTS, "--task", "gue-tf-2")
    assert missing.code == 2
    assert "no table has both 'cnn' and 'nobody'" in missing.err
