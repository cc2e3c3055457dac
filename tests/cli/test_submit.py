"""`bench submit`: what a pull request needs, from the records of one's own runs."""

import random

import pytest

import codonbench


@pytest.fixture
def runs(bench, tmp_path):
    """Ten runs of the majority class and one of another model, in the folder runs."""
    rng = random.Random(0)
    lines = ["sequence,label"]
    lines += [f"{''.join(rng.choices('ACGT', k=30))},{i % 2}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    words = ("--seeds", "0-9", "--data", "mine.csv", "--folds", "0")
    ran = bench("run", "--model", "majority", *words)
    assert ran.code == 0, ran.err
    return tmp_path / "runs"


def test_a_submission_holds_records_and_outputs_and_says_what_it_is(bench, runs, tmp_path):
    done = bench("submit", "majority")
    folder = tmp_path / "submission"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    records = {name for name in names if name.endswith(".json")}
    assert len(records) == 10
    assert sum(name.startswith("outputs/majority-s") for name in names) == 10
    assert not any("trajectories" in name for name in names)
    text = (folder / "README.md").read_text()
    assert text in done.out
    assert "mine: your own table; a maintainer needs it" in " ".join(done.err.split())
    alike = [line.partition(": ")[2] for line in done.err.splitlines() if ".json" in line]
    assert len(alike) == len({*alike})  # what all ten runs have is said once
    for words in ("# Submission: majority", "| mine | 0 to 9 |", "bench run --model majority"):
        assert words in text
    assert f"- Supplied by: codonbench {codonbench.__version__}\n" in text
    strict = bench("validate", "--strict", "submission")
    assert (strict.code == 0) == (done.code == 0)
    assert "invalid: 0" in bench("validate", "submission").out


def test_what_cannot_be_submitted_ends_with_2_and_writes_nothing(bench, runs, tmp_path):
    unknown = bench("submit", "nobody")
    assert (unknown.code, "'nobody'" in unknown.err) == (2, True)
    assert "majority" in unknown.err
    other = bench("submit", "majority", "--task", "gue-tf-0")
    assert (other.code, "gue-tf-0" in other.err) == (2, True)
    assert not (tmp_path / "submission").exists()
    (tmp_path / "submission").mkdir()
    again = bench("submit", "majority")
    assert (again.code, "submission is there already" in again.err) == (2, True)


def test_neither_a_link_nor_a_record_by_another_name_is_handed_on(bench, runs, tmp_path):
    (tmp_path / "secret").write_text("mine")
    first, second, *_ = sorted(runs.glob("*.json"))
    first.with_suffix(".json.sig").symlink_to(tmp_path / "secret")
    assert bench("submit", "majority").code in (0, 1)
    assert not [*(tmp_path / "submission").glob("*.sig")]
    second.rename(runs / "other.json")
    done = bench("submit", "majority", "--out", "again")
    assert (done.code, "is in another file" in done.err) == (2, True), done.err
