"""Committed rows as a forger would hand them in: `bench validate --strict` names what was forged.

Each variant changes something in one whole committed row and seals it anew, as whoever forges can.
"""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts.run_record import Environment, RunRecord, hash_trajectory
from codonbench.contracts.run_spec import content_hash
from codonbench.plugins.discovery import load_registry
from codonbench.records.store import Store, upgrade
from codonbench.scoring.score import comparability_key, score
from codonbench_datasets.decipher import RANKING

COMMITTED = Path(__file__).parents[2] / "leaderboard" / "results"

CODONS = "mlp-64 on usage"
SUPERVISED = "cnn on gue-tf-2"
FITTED = "kmer-linear on gue-tf-2"
GUESSER = "frequency-guess on usage"

TIMES = ("build", "train", "probe", "score", "total")


def in_todays_format(content):
    """A committed record as a run of today would have been written."""
    if content["schema_version"] == 2:
        return content
    content = upgrade(content) | {"trajectory_format": 2, "confinement": "process"}
    content["timings"]["total"] = sum(content["timings"][part] for part in TIMES[:-1])
    return content


@cache
def committed():
    """Name and content of the committed records of some rows, by row and seed."""
    rows = {CODONS: {}, SUPERVISED: {}, FITTED: {}, GUESSER: {}}
    models = [row.partition(" on ")[0] for row in rows]
    for path in (path for model in models for path in COMMITTED.glob(f"{model}-s?-*.json")):
        content = in_todays_format(json.loads(path.read_text()))
        row = f"{content['model']} on {content['dataset']['source']}"
        if row in rows and "control" not in content["run_spec"]["task_options"]:
            rows[row][content["seed"]] = (path.name, content)
    return rows


def put(content, place, value):
    *way, last = place.split(".")
    for step in way:
        content = content[step]
    content[last] = value


def write(folder, content):
    """Write a content, sealed; return its file's name without the ending."""
    folder.mkdir(exist_ok=True)
    content["run_id"] = content_hash(content["run_spec"])[:16]
    content["checksum"] = content_hash({k: v for k, v in content.items() if k != "checksum"})
    name = f"{content['model']}-s{content['seed']}-{content['run_id']}"
    (folder / f"{name}.json").write_text(json.dumps(content))
    return name


def key_of(content):
    """The comparability key that a content calls for."""
    record = RunRecord.model_validate(content)
    return comparability_key(record.run_spec, record.metric_versions, RANKING)


@pytest.fixture
def row(tmp_path):
    """Return what writes a committed row, with its test outputs and a change to some seeds."""

    def row(name, changes=(), seeds=(3,), *, folder=tmp_path / "forged", only=None):
        outputs = folder / "outputs"
        outputs.mkdir(parents=True, exist_ok=True)
        for seed, (file, content) in sorted(committed()[name].items()):
            if only is not None and seed not in only:
                continue
            content = json.loads(json.dumps(content))
            for place, value in changes if seed in seeds else ():
                put(content, place, value(content) if callable(value) else value)
            written = write(folder, content)
            if (COMMITTED / "outputs" / file).with_suffix(".npz").is_file():
                source = (COMMITTED / "outputs" / file).with_suffix(".npz")
                shutil.copy(source, outputs / f"{written}.npz")
        for targets in (COMMITTED / "outputs").glob("targets-*.npz"):
            shutil.copy(targets, outputs)
        return folder

    return row


def named(bench, *folders):
    """The fields that a strict reading names."""
    answer = bench("validate", "--strict", "--json", *folders)
    report = json.loads(answer.out)
    assert answer.code == (1 if report["problems"] else 0), answer.err
    return {problem["field"] for problem in report["problems"]}


ENVIRONMENT = Environment.of(["numpy==1.26.4"], "cpython-311-linux-x86_64").model_dump(mode="json")

TUNING = {
    **{"name": "mine", "task": "human-codon", "data_checksum": "0" * 64, "study": "s"},
    **{"trials": 3, "pruned": 0, "seeds": [0], "device": "cpu", "seconds": 1.0},
    **{"metric": "mcc", "best": 1.0, "median": 0.5, "tests_unseen": True},
}


@pytest.mark.parametrize("name", [CODONS, SUPERVISED])
def test_a_committed_row_is_sound(bench, row, name):
    assert named(bench, row(name)) == set()


def test_what_was_fitted_need_not_be_arrays(bench, row):
    assert named(bench, row(FITTED, [("weights_sha256", None)], seeds=range(10))) == set()


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        (CODONS, [("info.pretrained_on", "GRCh38")], "info.pretrained_on"),
        (CODONS, [("confinement", "none")], "confinement"),
        (CODONS, [("confinement", None), ("trajectory_format", 2)], "confinement"),
        (CODONS, [("machine.torch", "2.9.0")], "machine.torch"),
        (CODONS, [("machine.numpy", "1.26.4")], "machine.numpy"),
        (CODONS, [("harness.commit", None), ("harness.modified", None)], "harness.commit"),
        (CODONS, [("harness.commit", "main")], "harness.commit"),
        (CODONS, [("parameters", 0)], "parameters"),
        (CODONS, [("info.role", "reference")], "info.role"),
        (CODONS, [("dataset.simulated", False)], "dataset.simulated"),
        (CODONS, [("parameters", 1)], "parameters"),
        (CODONS, [("run_spec.salt", "mine")], "run_spec.salt"),
        (CODONS, [("resumed", [10**9])], "resumed"),
        (CODONS, [("resumed", [0] * 40_000)], "resumed"),
        (CODONS, [("harness.modified", None)], "harness.modified"),
        (CODONS, [("knowledge", ["everything"])], "knowledge"),
        (CODONS, [("info.authors", ["Somebody Else"])], "info"),
        (CODONS, [("plugin.version", "9.9")], "plugin"),
        (CODONS, [("machine.cpu_count", 0)], "machine.cpu_count"),
        (CODONS, [("machine.gpu_id", "0" * 16)], "machine.gpu_id"),
        (CODONS, [("machine.cuda", "12.8")], "machine.cuda"),
        (CODONS, [("machine.device_name", "NVIDIA H200")], "machine.device_name"),
        (CODONS, [("machine.system", "\x1b[2J")], "machine.system"),
        (CODONS, [("machine.python", "")], "machine.python"),
        (CODONS, [("machine.circumstances", {"load_average": -1.0})], "machine.circumstances"),
        (CODONS, [("harness.version", "9.9")], "plugin.version"),
        (CODONS, [("dataset.provenance.genetic_code", -1)], "dataset"),
        (CODONS, [("trajectory_format", -1)], "trajectory_format"),
        (CODONS, [("engine.name", "mine")], "engine.name"),
        (CODONS, [("engine.name", "fit")], "engine.name"),
        (CODONS, [("metrics.all_seen", 0)], "metrics.all_seen"),
        (CODONS, [("metrics.decipher_epoch", -1)], "metrics.decipher_epoch"),
        (CODONS, [("metrics.rare_stop_ambiguity", -1)], "metrics.rare_stop_ambiguity"),
        (CODONS, [("metrics.relapses", 7)], "metrics.relapses"),
        (CODONS, [("metrics.excess_pairs", False)], "metrics.excess_pairs"),
        (CODONS, [("metrics.stop_UAA_p", 1.5)], "metrics.stop_UAA_p"),
        (CODONS, [("metrics.stop_UGA_rivals", -1)], "metrics.stop_UGA_rivals"),
        (CODONS, [("metrics.stops_right_pairs", 10**9)], "metrics.stops_right_pairs"),
        (CODONS, [("run_spec.config.batch_size", "")], "metrics.excess_pairs"),
        (CODONS, [("day", "0000-00-00")], "day"),
        (CODONS, [("day", "2999-01-01")], "day"),
        (CODONS, [("timings.total", 1e308)], "timings.total"),
        (CODONS, [("pairs", lambda c: c["pairs"] + 64_000)], "metrics.sustained_pairs"),
        (CODONS, [("timings.total", 0.001)], "timings.total"),
        (CODONS, [("timings", dict.fromkeys(TIMES, 0.0))], "timings.total"),
        (CODONS, [("timings.train", -1.0)], "timings.train"),
        (CODONS, [("validation_metrics", {"mcc": 1.0})], "selected_pairs"),
        (CODONS, [("engine.name", "eager")], "engine.name"),
        (CODONS, [("run_spec.threads", 2), ("machine.threads", 2)], "run_spec.threads"),
        (CODONS, [("run_spec.engine", "eager")], "run_spec.engine"),
        (CODONS, [("run_spec.budget_seconds", 60.0)], "run_spec.budget_seconds"),
        (CODONS, [("plugin.version", ""), ("plugin.distribution", "a.py")], "plugin.version"),
        (CODONS, [("harness.modified", True)], "harness.modified"),
        (CODONS, [("environment", ENVIRONMENT)], "environment"),
        (SUPERVISED, [("overrides", {"width": 11})], "overrides"),
        (SUPERVISED, [("run_spec.config.batch_size", 0)], "run_spec.config.batch_size"),
        (SUPERVISED, [("run_spec.config.class_weights", "all")], "run_spec.config.class_weights"),
        (SUPERVISED, [("metrics.mcc", 0.99)], "metrics.mcc"),
        (
            SUPERVISED,
            [("metrics.accuracy", lambda c: c["metrics"]["accuracy"] + 0.02)],
            "metrics.accuracy",
        ),
        (SUPERVISED, [("metrics.mcc", None)], "metrics.mcc"),
        (SUPERVISED, [("metrics.auroc", 1.01)], "metrics.auroc"),
        (SUPERVISED, [("validation_metrics.accuracy", 1.5)], "validation_metrics.accuracy"),
        (SUPERVISED, [("validation_metrics.mcc", True)], "validation_metrics.mcc"),
        (SUPERVISED, [("selected_pairs", 10**7)], "selected_pairs"),
        (SUPERVISED, [("selected_pairs", -1)], "selected_pairs"),
        (SUPERVISED, [("selected_pairs", None)], "selected_pairs"),
    ],
)
def test_a_forged_value_is_named(bench, row, name, changes, field):
    assert field in named(bench, row(name, changes))


ONE_OF_MANY = {
    CODONS: {
        "not_measured": [],
        "metrics.confident_pairs_50": 1,
        "metrics.decipher_epoch": 2,
        "metrics.excess_pairs": -1,
        "metrics.last_failing_pairs": None,
        "metrics.rare_stop_ambiguity": 2,
        "metrics.relapses": None,
        "metrics.stop_UAA_p": None,
        "metrics.stop_UAG_margin": 1e308,
        "metrics.stop_UGA_entropy": 3.0,
        "metrics.stops_right_pairs": None,
        "metrics.test_accuracy": None,
        "engine.reason": "\x1b[2J",
        "engine.seeds_together": 0,
        "engine.version": "<b>x</b>",
        "machine.cpu_count": 10**15,
        "machine.python": "snake",
    },
    SUPERVISED: {
        "validation_metrics.log_loss": 1e308,
        "trajectory_format": 1,
    },
}


@pytest.mark.parametrize("name", ONE_OF_MANY)
def test_each_of_many_forged_values_is_named(bench, row, name):
    """A figure that others do not bear out, or that no run comes to."""
    forged = ONE_OF_MANY[name]
    found = named(bench, row(name, forged.items()))
    instrument = {field for field in found if field.startswith("metrics.paper_")}
    assert bool(instrument) == ("not_measured" in forged)
    assert found - instrument >= forged.keys() - {"not_measured"}


def test_runs_of_the_same_data_and_seed_have_metrics_of_the_same_names(bench, row):
    folder = row(CODONS, [("metrics", lambda c: c["metrics"] | {"zz": 1})])
    assert named(bench, folder) == set()  # no other run of that data and seed to be held against
    for seed, (_, content) in committed()[CODONS].items():
        content = json.loads(json.dumps(content)) | {"model": "another"}
        content |= {"trajectory_sha256": f"{seed:064x}"}
        content["run_spec"]["model"] = "another"
        write(folder, content)
    assert named(bench, folder) == {"metrics"}


def add(row, folder, seeds):
    """Hand in further seeds of a committed row, made up from its first; return their folder."""
    content = json.loads(json.dumps(committed()[row][0][1]))
    for seed in seeds:
        content |= {
            "seed": seed,
            "weights_sha256": f"{seed:064x}",
            "trajectory_sha256": f"{seed:064x}",
        }
        content["run_spec"]["seed"] = seed
        write(folder, content)
    return folder


@pytest.mark.parametrize(
    ("kept", "added"),
    [((), range(20, 30)), ((0, 1, 2, 4, 5, 6, 7, 8, 9), ()), (range(9), (12,))],
    ids=["ten others", "one left out", "one put in another's place"],
)
def test_only_the_first_seeds_make_an_official_row(bench, row, kept, added):
    folder = add(CODONS, row(CODONS, only=kept), added)
    assert named(bench, folder) == {"seed"}
    answer = bench(
        "leaderboard", "--results", folder
    )  # a reader's own board ranks them, and says so
    assert answer.code == 0, answer.err
    (table,) = json.loads((folder / "board" / "leaderboard.json").read_text())["tables"]
    (own,) = table["rows"]
    assert own["rank"] == 1
    assert any("an official row has 0 to 9" in note for note in own["notes"])


def test_runs_added_to_somebody_elses_row_are_named(bench, row, tmp_path):
    there = row(CODONS, only=range(5))
    assert named(bench, there) == set()
    assert named(bench, there, add(CODONS, tmp_path / "added", range(5, 10))) == {""}


def test_nobody_hands_in_a_control_of_somebody_elses_row(bench, row, tmp_path):
    """Which would put its rank in doubt, or out of it."""
    changes = [
        ("run_spec.task_options.control", "shuffled"),
        ("trajectory_sha256", lambda content: f"{content['seed']:064x}"),
        ("comparability_key", key_of),
    ]
    there, added = row(CODONS), row(CODONS, changes, range(10), folder=tmp_path / "added")
    assert named(bench, added) == set()
    assert named(bench, there, added) == {""}


def test_no_record_of_an_earlier_format_is_handed_in(bench, row, tmp_path):
    """It would not have to say how its run was kept."""
    there = row(SUPERVISED)
    for path in COMMITTED.glob("mlp-64-s?-*.json"):
        if json.loads(path.read_text())["schema_version"] == 1:
            (tmp_path / "added").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "added")
    assert "schema_version" in named(bench, there, tmp_path / "added")
    assert "schema_version" not in named(bench, tmp_path / "added")


def test_what_data_and_seed_fix_is_the_same_for_every_model(bench, row, tmp_path):
    folder = row(CODONS)
    name = "another-model"
    for seed, (_, content) in committed()[CODONS].items():
        content = json.loads(json.dumps(content))
        content |= {"model": name, "trajectory_sha256": f"{seed:064x}"}
        content["run_spec"]["model"] = name
        if seed == 3:
            content["metrics"]["all_seen"] -= 64
            content["metrics"]["excess_pairs"] += 64
        write(folder, content)
    report = json.loads(bench("validate", "--json", folder).out)
    (problem,) = (problem for problem in report["problems"] if not problem["warning"])
    assert problem["field"] == "metrics.all_seen"
    assert "of the same data and seed, has" in problem["message"]


def test_another_rows_trajectory_is_named(bench, row):
    folder = row(CODONS)
    for _, content in committed()[CODONS].values():
        content = json.loads(json.dumps(content))
        content["model"] = content["run_spec"]["model"] = "zz-copy"
        write(folder, content)
    assert named(bench, folder) == {"trajectory_sha256"}


def test_the_same_runs_make_no_second_row_under_another_version(bench, row):
    folder = row(CODONS)
    row(CODONS, [("run_spec.model_version", "77"), ("info.version", "77")], range(10))
    assert named(bench, folder) == {"trajectory_sha256"}


def scaled(factor):
    return lambda content: {part: factor * t for part, t in content["timings"].items()}


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        (CODONS, [("run_spec.budget_pairs", 11_520_000)], "run_spec.budget_pairs"),
        (CODONS, [("tuning", TUNING)], "tuning"),
        (CODONS, [("run_spec.task_version", "9")], "run_spec.task_version"),
        (CODONS, [("run_spec.task_options.zz", 1)], "run_spec.task_options.zz"),
        (CODONS, [("run_spec.task_options", {"made_of": "table", "metric": "mcc"})], "task"),
        (CODONS, [("timings", scaled(1e-9))], "timings.total"),
        (CODONS, [("parameters", 0)], "parameters"),
        (SUPERVISED, [("metric_versions.mcc", "2")], "metric_versions.mcc"),
        (SUPERVISED, [("metric_versions.mcc", "0")], "metric_versions.mcc"),
        (SUPERVISED, [("metric_versions.zz", "1")], "metric_versions.zz"),
        (SUPERVISED, [("run_spec.protocol", "zz")], "run_spec.protocol"),
        (SUPERVISED, [("run_spec.stop", "zz")], "run_spec.stop"),
        (SUPERVISED, [("run_spec.fold", 0)], "run_spec.fold"),
        (SUPERVISED, [("run_spec.subset", 100)], "run_spec.subset"),
        (SUPERVISED, [("run_spec.protocol_options", {"a": 1})], "run_spec.protocol_options.a"),
        (CODONS, [("environment", ENVIRONMENT)], "environment"),
    ],
)
def test_what_keeps_a_whole_row_from_being_official_is_named(bench, row, name, changes, field):
    """With a key of its own where what was asked is another: it would be a table of its own."""
    assert field in named(bench, row(name, changes, range(10)))


@pytest.mark.parametrize(
    "changes",
    [
        [("pruned", 4)],
        [("seconds", 0.0)],
        [("incumbents", [[0, 0.5, 0.4], [1, 0.9, 0.9]])],
        [("incumbents", [[0, 0.5, 0.4], [1, 0.9, 1.0]]), ("median", 1.5)],
    ],
)
def test_a_study_that_contradicts_itself_is_named(bench, row, changes):
    tuning = TUNING | {"seeds": [10]}
    assert named(bench, row(CODONS, [("tuning", tuning)], range(10))) == set()
    (field,) = named(bench, row(CODONS, [("tuning", tuning | dict(changes))], range(10)))
    assert field.startswith("tuning.")


def test_data_and_notes_of_a_table_are_not_said_anew(bench, row, tmp_path):
    """They stand above its rows on the board, as its first record says them."""
    there = row(SUPERVISED)
    said = [("dataset.notes", ["All others cheat."]), ("dataset.source", "the true one")]
    said += [("run_spec.data", "the true one"), ("dataset.provenance", {"best_accuracy": 1})]
    assert {"dataset.notes", "dataset.source", "dataset.provenance"} <= named(
        bench, there, row(FITTED, said, range(10), folder=tmp_path / "added")
    )


def test_other_data_do_not_go_by_a_known_name(bench, row, tmp_path):
    there, made_up = row(SUPERVISED), "0" * 64
    said = [("run_spec.data_checksum", made_up), ("dataset.checksum", made_up)]
    added = row(FITTED, said, range(10), folder=tmp_path / "added")
    assert "run_spec.data_checksum" in named(bench, there, added)


def test_nobody_elses_row_stands_in_for_the_honest_guesser(bench, row, tmp_path):
    """A row is held against it on the board: one that is sooner knows more than frequencies."""
    guess = {seed: content["metrics"] for seed, (_, content) in committed()[GUESSER].items()}

    def sooner(content):
        early = guess[content["seed"]]["pairs_consumed"] - 64
        excess = early - content["metrics"]["all_seen"]
        return content["metrics"] | {"pairs_consumed": early, "excess_pairs": excess}

    row(CODONS, [("metrics", sooner)], range(4))
    folder = row(GUESSER)
    late = [("metrics", lambda c: c["metrics"] | {"pairs_consumed": 10**6, "excess_pairs": 10**5})]
    for salt in "abcd":  # as their names fall, some before our own and some after
        others = [("plugin.distribution", f"by-{salt}"), ("run_spec.salt", salt)]
        row(GUESSER, [*late, *others], range(10))
    assert bench("leaderboard", "--results", folder).code == 0
    (table,) = json.loads((folder / "board" / "leaderboard.json").read_text())["tables"]
    (own,) = table["rows"]
    assert len(table["references"]) == 5
    assert any("sooner than frequency-guess in 4 of 10" in note for note in own["notes"])


def test_one_trajectory_has_one_result(bench, row):
    folder = row(CODONS, [("trajectory_sha256", "a" * 64)], (3, 4))
    assert named(bench, folder) == {"metrics"}


def test_an_official_row_of_a_test_split_hands_in_its_test_outputs(bench, row):
    folder = row(SUPERVISED)
    first, second, third, *_ = sorted((folder / "outputs").glob("cnn-*.npz"))
    shutil.copy(first, second)
    third.unlink()
    report = json.loads(bench("validate", "--strict", "--json", folder).out)
    found = {Path(problem["file"]).stem: problem["message"] for problem in report["problems"]}
    assert set(found) == {second.stem, third.stem}
    assert "the test outputs of another run" in found[second.stem]
    assert "nor are there test outputs in outputs/" in found[third.stem]


def test_runs_on_one_split_answer_for_the_same_test_items(bench, row):
    row(SUPERVISED)
    folder = row(FITTED)
    (path,) = (folder / "outputs").glob("kmer-linear-s0-*.npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes()) | {"items": "0" * 64}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path.with_suffix(""), **arrays)
    report = json.loads(bench("validate", "--json", folder).out)
    assert {Path(problem["file"]).stem for problem in report["problems"]} == {path.stem}
    assert any("other test items" in problem["message"] for problem in report["problems"])


def of_quantities(header, outputs):
    header["task"]["target"]["kind"] = "quantities"
    return header | {"low": [0, 0], "high": [1, 1]}, outputs.astype(np.uint16)


def without_end(header, outputs):
    """Broadcast, its numbers would take 24 GB."""
    far = {"low": [[[0.0]]] * 20_000, "high": [[[1.0]]] * 20_000}
    return of_quantities(header, np.zeros((75_000, 2)))[0] | far, np.zeros((75_000, 2), np.uint16)


FORGED_OUTPUTS = {
    "of fewer items": lambda header, outputs: (header, outputs[:-5]),
    "of none": lambda header, outputs: (header, outputs[:0]),
    "of labels": lambda header, outputs: (
        header | {"task": header["task"] | {"target": {"kind": "labels", "names": ["a", "b"]}}},
        outputs,
    ),
    "of quantities, by which nothing would be recomputed": of_quantities,
    "of more numbers than it holds": without_end,
    "with a header that takes a hundred times as much once decoded": lambda header, outputs: (
        header | {"more": "a" * (1 << 24)},
        outputs,
    ),
    "of items whose targets are nowhere": lambda header, outputs: (
        header | {"items": "0" * 64},
        outputs,
    ),
}


@pytest.mark.parametrize("change", FORGED_OUTPUTS.values(), ids=FORGED_OUTPUTS)
def test_forged_test_outputs_are_named_and_end_no_reading(bench, row, change):
    folder = row(SUPERVISED)
    path = sorted((folder / "outputs").glob("cnn-s3-*.npz"))[0]
    with np.load(path) as file:
        header, outputs = change(json.loads(file["header"].tobytes()), file["outputs"])
    encoded = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez_compressed(path, header=encoded, outputs=outputs)
    report = json.loads(bench("validate", "--strict", "--json", folder).out)
    assert {Path(problem["file"]).stem for problem in report["problems"]} == {path.stem}
    if header["items"] != "0" * 64:  # such a run is only not compared by its items
        answer = bench("leaderboard", "--results", folder)
        assert answer.code == 2
        assert path.stem in answer.err


def test_a_trajectory_with_answers_of_its_own_is_named(bench, tmp_path, monkeypatch):
    """Its metrics follow from it; but others of that data and seed were asked something else."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    lines = [f"{''.join(noise.choice(list('ACGT'), 20))},{noise.integers(2)}" for _ in range(120)]
    Path("noise.csv").write_text("\n".join(["sequence,label", *lines]))
    for model, folder in ("kmer-linear", "there"), ("majority", "forged"):
        words = ("--data", "noise.csv", "--folds", 0, "--workers", 0, "--results", folder)
        assert bench("run", "--model", model, *words).code == 0
    store = Store(Path("forged"))
    (record,) = store.scan()
    trajectory = store.load_trajectory(record)
    trajectory = replace(trajectory, test_targets=np.zeros_like(trajectory.test_targets))
    forged = record.model_copy(
        update={
            "trajectory_sha256": hash_trajectory(trajectory),
            "metrics": score(trajectory, load_registry().metrics_of(trajectory.task)).values,
        }
    )
    store.save(forged.sealed(), trajectory)
    report = json.loads(bench("validate", "--json", "there", "forged").out)
    (problem,) = (p for p in report["problems"] if not p["warning"])
    assert "other test items" in problem["message"]


def test_metrics_are_computed_anew_from_a_trajectory_beside_its_record(bench, run):
    assert run("--model", "mlp-64").code == 0
    (path,) = Path("results").glob("*.json")
    content = json.loads(path.read_text())
    content["metrics"]["test_accuracy"] = content["metrics"]["test_accuracy"] / 2 + 0.1
    path.unlink()
    write(Path("results"), content)
    answer = bench("validate", "results")
    assert answer.code == 1
    assert "metrics.test_accuracy is" in answer.out
    assert "but its stored outputs give" in answer.out
