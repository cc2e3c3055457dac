"""Records as strangers hand them in: cut, edited, renamed, or made to break what reads them."""

import json
import os
import re
from functools import cache
from pathlib import Path

import pytest

from codonbench import errors
from codonbench.audit import validate as validation
from codonbench.contracts.run_spec import content_hash
from codonbench.plugins.discovery import load_registry
from codonbench.records.files import MAX_BYTES, MAX_DEPTH
from codonbench_datasets.human_codon.task import HumanCodon

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "leaderboard" / "results"
TASKS = {"human-codon": HumanCodon()}
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)


@cache
def installed():
    return load_registry()


def validate(paths, tasks=TASKS, metrics=None, **options):
    metrics = installed().known_metrics if metrics is None else metrics
    return validation.validate(paths, tasks, metrics, installed().known_protocols, **options)


@pytest.fixture(scope="module")
def contents(toys):
    """The content of a record whose run deciphered, and of one whose run spent its budget."""
    done, _ = toys.run("mlp-64", task="human-codon")
    spent, _ = toys.run("mlp-64", pairs=3_000, full=True, task="human-codon")
    assert done.metrics["success"] is True
    made = {name: json.loads(r.to_line()) for name, r in (("done", done), ("spent", spent))}
    for content in made.values():
        content["confinement"] = "process"
        content["harness"] |= {"commit": "0" * 40, "modified": False}
        content["machine"] |= {name: PINNED[name] for name in ("torch", "numpy")}
    return {name: seal(content) for name, content in made.items()}


@pytest.fixture
def content(contents):
    return json.loads(json.dumps(contents["done"]))


@pytest.fixture
def spent(contents):
    return json.loads(json.dumps(contents["spent"]))


def put(content, place, value):
    """Set a field by its dotted name."""
    *way, last = place.split(".")
    for step in way:
        content = content[step]
    content[last] = value


def seal(content):
    """Give a forged content the hashes it calls for, as a careful forger would."""
    content["run_id"] = content_hash(content["run_spec"])[:16]
    content["checksum"] = content_hash({k: v for k, v in content.items() if k != "checksum"})
    return content


def written(folder, content, name=None):
    """Write a content under the name it calls for."""
    stem = f"{content['model']}-s{content['seed']}-{content['run_id']}"
    path = folder / (name or f"{stem}.json")
    path.write_text(json.dumps(content))
    return path


def remarks(path, **options):
    """What is said of one file: field and message of each problem."""
    report = validate([path], **options)
    assert report.records == 1
    assert all(problem.file == str(path) for problem in report.problems)
    assert all(problem.message.isprintable() for problem in report.problems)
    return [(problem.field, problem.message) for problem in report.problems if not problem.warning]


def only_remark(path):
    (remark,) = remarks(path)
    return remark


# Sound records


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.nightly("all models")), 12])
def test_committed_records_are_valid_to_the_strictest_reading(every):
    model = re.compile(r"-s\d+-\w+\.json")
    models = {model.sub("", path.name) for path in COMMITTED.glob("*.json")}
    chosen = sorted(models)[::every]  # with all rows and seeds, which are held together
    paths = [path for path in COMMITTED.glob("*.json") if model.sub("", path.name) in chosen]
    report = validate(paths, installed().known_tasks, strict=True)
    assert [str(problem) for problem in report.problems] == []
    assert report.records == len(paths) > 0


def test_what_the_harness_writes_is_valid(tmp_path, content, spent):
    written(tmp_path, content)
    written(tmp_path, spent)
    report = validate([tmp_path])
    assert (report.records, report.invalid) == (2, 0)


def test_a_file_named_twice_is_read_once(tmp_path, content):
    path = written(tmp_path, content)
    assert validate([tmp_path, path]).records == 1
    assert validate([tmp_path, path]).invalid == 0


# Files that are no records


@pytest.mark.parametrize("keep", [0, 1, 100, -2])
def test_a_truncated_file_is_not_json(tmp_path, content, keep):
    path = written(tmp_path, content)
    path.write_text(path.read_text()[:keep])
    field, message = only_remark(path)
    assert field == ""
    assert message.startswith("is not JSON: ")


@pytest.mark.parametrize("text", ["[]", "7", "null", '"a record"'])
def test_json_that_is_no_object_is_no_record(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert only_remark(path)[1].startswith("is not a record: ")


def test_a_record_of_a_newer_codonbench_says_so(tmp_path, content):
    put(content, "schema_version", 9)
    field, message = only_remark(written(tmp_path, content))
    assert field == ""
    assert message.startswith("was made by a newer codonbench: it has schema version 9")


def test_a_file_that_is_not_utf_8_says_where(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"model": "\xff"}')
    assert only_remark(path) == ("", "is not UTF-8: byte 11 is invalid start byte")


def test_an_oversized_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: ten gigabytes of nothing
    assert only_remark(path) == (
        "",
        f"holds {10 * 2**30:,} bytes; a record has at most {MAX_BYTES:,}",
    )


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 40_000])
def test_a_depth_bomb_is_an_error_and_no_traceback(tmp_path, opening, depth):
    path = tmp_path / "x.json"
    closing = "]" if opening == "[" else "}"
    path.write_text(opening * depth + "1" + closing * depth)
    assert only_remark(path) == ("", f"is nested deeper than {MAX_DEPTH} levels")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(tmp_path, content, constant):
    path = written(tmp_path, content)
    path.write_text(path.read_text().replace('"pairs": ', f'"pairs": {constant}, "x": ', 1))
    assert only_remark(path) == ("", f"holds {constant}, which is no number")


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 4000])
def test_a_number_beyond_all_range_is_refused(tmp_path, content, number):
    put(content, "metrics.pairs_consumed", "HERE")
    path = written(tmp_path, content)
    path.write_text(path.read_text().replace('"HERE"', number))
    assert only_remark(path) == ("", "metrics.pairs_consumed is out of the range of numbers")


def test_a_number_of_too_many_digits_to_convert_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("9" * 100_000)
    assert "is not JSON" in only_remark(path)[1]


def test_a_key_given_twice_is_refused(tmp_path, content):
    path = written(tmp_path, content)
    path.write_text('{"pairs": 1, ' + path.read_text()[1:])
    assert only_remark(path) == ("", "gives 'pairs' twice")


def test_symbolic_links_are_not_followed(tmp_path, content):
    (tmp_path / "real").mkdir()
    target = written(tmp_path / "real", content)
    link = tmp_path / target.name
    link.symlink_to(target)
    assert only_remark(link) == ("", "is a symbolic link; a record is a file of its own")
    folder = tmp_path / "folder"
    folder.symlink_to(tmp_path / "real")
    assert "symbolic link" in only_remark(folder)[1]
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to("/nowhere")
    assert "symbolic link" in only_remark(dangling)[1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    assert only_remark(tmp_path / "x.json") == ("", "is not a regular file")


def test_a_folder_called_like_a_record_is_not_looked_into(tmp_path, content):
    written(tmp_path, content)
    (tmp_path / "x.json").mkdir()
    (problem,) = [p for p in validate([tmp_path]).problems if not p.warning]
    assert str(problem) == f"{tmp_path / 'x.json'}: is not a regular file"


def test_hostile_text_reaches_neither_the_terminal_nor_the_log(tmp_path, content):
    content["\x1b[2J\n::error::" + "x" * 5_000] = 1
    problem = validate([written(tmp_path, content)]).problems[0]
    assert str(problem).isprintable()
    assert len(str(problem)) < 1_000


def test_a_lone_surrogate_is_an_error_and_no_traceback(tmp_path, content):
    content["flags"] = ["\ud800"]
    assert remarks(written(tmp_path, content))


def test_ten_thousand_unknown_fields_are_not_ten_thousand_lines(tmp_path, content):
    content |= {f"x{i}": 0 for i in range(10_000)}
    assert len(remarks(written(tmp_path, content))) == 20


def test_a_path_that_is_not_there_and_a_folder_without_records_are_said_so(tmp_path):
    with pytest.raises(errors.StoreError, match="no record file or folder"):
        validate([tmp_path / "nowhere"])
    with pytest.raises(errors.StoreError, match="holds no record"):
        validate([tmp_path])


# Records that are not what the harness wrote


def test_a_renamed_file_is_told_its_name(tmp_path, content):
    path = written(tmp_path, content, "better.json")
    name = f"mlp-64-s0-{content['run_id']}.json"
    assert only_remark(path) == ("", f"should be called {name}")


def test_an_edited_value_breaks_the_checksum(tmp_path, content):
    content["timings"]["train"] += 1
    content["timings"]["total"] += 1
    assert only_remark(written(tmp_path, content))[0] == "checksum"


def test_an_edited_plan_breaks_the_run_id_too(tmp_path, content):
    content["run_spec"]["salt"] = "mine"
    fields = [field for field, _ in remarks(written(tmp_path, content))]
    assert fields == ["run_id", "checksum"]


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("pairs", "3000", "pairs"),
        ("pairs", 3000.0, "pairs"),
        ("pairs", -1, "pairs"),
        ("run_spec.seed", True, "run_spec.seed"),
        ("status", "great", "status"),
        ("timings", [], "timings"),
        ("metrics.test_accuracy", "1.0", "metrics.test_accuracy"),
        ("metrics.test_accuracy", [1.0], "metrics.test_accuracy"),
        ("run_spec.model", "../../etc", "run_spec.model"),
        ("machine.host", "mine", "machine.host"),
        ("comment", "trust me", "comment"),
    ],
)
def test_a_wrong_type_and_an_unknown_field_are_named(tmp_path, content, place, value, field):
    put(content, place, value)
    named, message = only_remark(written(tmp_path, content))
    assert named == field
    assert message.startswith("does not fit: ") or message == "is no field of a record"


def test_a_missing_field_is_named(tmp_path, content):
    del content["machine"]["torch"]
    assert only_remark(written(tmp_path, content)) == ("machine.torch", "is missing")


def test_model_and_plan_must_agree(tmp_path, content):
    content["model"] = "lstm-64"
    assert only_remark(written(tmp_path, content)) == (
        "",
        "does not fit: model differs from the spec's",
    )


# Records that are sealed and still contradict themselves


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("status", "error", "status"),
        ("status", "interrupted", "status"),
        ("error", "ValueError: no", "error"),
        ("run_spec.rules", "0", "run_spec.rules"),
        ("run_spec.rules", "0", "comparability_key"),
        ("run_spec.budget_pairs", 1_000, "pairs"),
        ("dataset.checksum", "0" * 64, "dataset.checksum"),
        ("dataset.source", "other", "dataset.source"),
        ("info.version", "9", "info.version"),
        ("machine.device", "cuda", "machine.device"),
        ("machine.threads", 8, "machine.threads"),
        ("machine.deterministic", False, "machine.deterministic"),
        ("machine.tf32", True, "machine.tf32"),
        ("overrides", {"hidden": [1]}, "overrides.hidden"),
        ("overrides", {"magic": 1}, "overrides.magic"),
        ("comparability_key", "0" * 12, "comparability_key"),
        ("metric_versions.excess_pairs", "2", "comparability_key"),
        ("plugin.source_sha256", "x", "plugin.source_sha256"),
        ("weights_sha256", "F" * 64, "weights_sha256"),
        ("weights_sha256", None, "weights_sha256"),
        ("trajectory_sha256", None, "trajectory_sha256"),
        ("metrics", {}, "metrics.excess_pairs"),
        ("metrics.a b", 1, "metrics.a b"),
        ("metric_versions.mine", "new", "metric_versions.mine"),
        ("not_measured", ["pairs_consumed"], "not_measured"),
        ("not_measured", ["nonsense"], "not_measured"),
        ("flags", ["the best"], "flags"),
        ("run_spec.config.class_weights", "n", "knowledge"),
        ("metrics.pairs_consumed", True, "metrics.pairs_consumed"),
        ("metrics.pairs_consumed", 0.5, "metrics.pairs_consumed"),
        ("metrics.pairs_consumed", -64, "metrics.pairs_consumed"),
        ("metrics.pairs_consumed", 10**9, "metrics.pairs_consumed"),
        ("metrics.pairs_consumed", None, "metrics.sustained_pairs"),
        ("metrics.pairs_consumed", 0, "metrics.last_failing_pairs"),
        ("metrics.excess_pairs", -10_000, "metrics.excess_pairs"),
        ("metrics.excess_pairs", None, "metrics.excess_pairs"),
        ("metrics.all_seen", None, "metrics.excess_pairs"),
        ("metrics.confident_pairs", 0, "metrics.confident_pairs"),
        ("metrics.confident_pairs", None, "metrics.confident_pairs"),
        ("metrics.confident_pairs_50", None, "metrics.confident_pairs"),
        ("metrics.sustained_pairs", None, "metrics.sustained_pairs"),
        ("metrics.sustained_pairs", None, "metrics.success"),
        ("metrics.success", False, "metrics.success"),
        ("metrics.success", 1, "metrics.success"),
        ("metrics.decipher_epoch", None, "metrics.decipher_epoch"),
        ("metrics.test_accuracy", 1.5, "metrics.test_accuracy"),
    ],
)
def test_a_forged_field_is_named_although_the_seals_fit(tmp_path, content, place, value, field):
    put(content, place, value)
    found = dict(remarks(written(tmp_path, seal(content))))
    assert field in found
    assert not {"", "run_id", "checksum"} & set(found)


def test_sustained_needs_its_window_within_the_run(tmp_path, content):
    content["metrics"]["sustained_pairs"] = content["pairs"] - 63_999
    assert "metrics.sustained_pairs" in dict(remarks(written(tmp_path, seal(content))))


def test_a_run_that_spends_its_budget_cannot_have_ended_early(tmp_path, spent):
    put(spent, "pairs", 2_944)
    assert only_remark(written(tmp_path, seal(spent))) == (
        "pairs",
        "is 2,944, but the spec spends the budget of 3,000",
    )


def test_a_fitted_run_is_given_what_a_cut_split_leaves_to_train_on(tmp_path, spent):
    put(spent, "pairs", 2_944)
    put(spent, "engine.name", "fit")
    assert remarks(written(tmp_path, seal(spent))) == []


def test_a_run_below_the_bound_must_be_flagged(tmp_path, content):
    metrics = content["metrics"]
    shift = metrics["excess_pairs"] + 640
    metrics["excess_pairs"] -= shift
    metrics["all_seen"] += shift
    assert [field for field, _ in remarks(written(tmp_path, seal(content)))] == ["flags"]


# What is no contradiction but keeps a record from being official


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"harness.modified": True}, "harness.modified"),
        ({"plugin.version": "", "plugin.distribution": "mine.py"}, "plugin.version"),
        ({"run_spec.threads": 4, "machine.threads": 4}, "run_spec.threads"),
        ({"run_spec.engine": "eager"}, "run_spec.engine"),
        ({"run_spec.engine": "compiled"}, "run_spec.engine"),
    ],
)
def test_a_doubt_is_a_warning_and_under_strict_a_problem(tmp_path, content, changes, field):
    for place, value in changes.items():
        put(content, place, value)
    path = written(tmp_path, seal(content))
    report = validate([path])
    assert (report.invalid, report.warnings) == (0, 1)
    assert report.problems[0].field == field
    assert [found for found, _ in remarks(path, strict=True)] == [field]


def test_a_run_of_the_whole_budget_may_have_been_compiled(tmp_path, spent):
    put(spent, "run_spec.engine", "compiled")
    short = [("run_spec.budget_pairs", "is 3,000; official rows of this task have 23,040,000")]
    assert remarks(written(tmp_path, seal(spent)), strict=True) == short
    put(spent, "run_spec.engine", "eager")
    said = "is 'eager'; official rows use 'auto', or 'compiled' where the whole budget is spent"
    expected = [*short, ("run_spec.engine", said)]
    assert remarks(written(tmp_path, seal(spent)), strict=True) == expected


def test_a_record_of_a_task_that_is_not_installed_is_checked_as_far_as_it_goes(tmp_path, content):
    put(content, "metrics.pairs_consumed", -64)
    put(content, "comparability_key", "0" * 12)
    path = written(tmp_path, seal(content))
    report = validate([path], {})
    assert [(p.field, p.warning) for p in report.problems] == [("task", True)]
    assert "'human-codon' is not installed" in report.problems[0].message
    put(content, "pairs", 10**10)
    assert validate([written(tmp_path, seal(content))], {}).invalid == 1


# Records that crowd one another


def test_two_records_for_one_seed_of_a_row_are_named_together(tmp_path, content):
    first = written(tmp_path, content)
    content["run_spec"]["salt"] = "another"
    second = written(tmp_path, seal(content))
    (problem,) = [p for p in validate([tmp_path]).problems if not p.warning]
    assert {first.name, second.name} == {
        Path(problem.file).name,
        problem.message.split("/")[-1][:-4],
    }
    assert problem.message.startswith("0 of this row is recorded in ")


def test_another_seed_model_or_config_is_no_duplicate(tmp_path, content):
    written(tmp_path, content)
    for place, value in (("seed", 4), ("model", "mlp-128"), ("run_spec.config.learning_rate", 0.5)):
        put(content, place, value)
        if place in content:
            put(content, f"run_spec.{place}", value)
        written(tmp_path, seal(content))
    assert validate([tmp_path]).records == 4
    assert validate([tmp_path]).invalid == 0
