"""Suites: TOML in, requests out, and every mistake said in one sentence."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from codonbench import errors
from codonbench.execution.prepare import prepare
from codonbench.execution.suites import FIELDS, find_suite, read_suite
from codonbench.plugins.shipped_files import shipped_files

ROOT = Path(__file__).resolve().parents[2]

HEAD = '[suite]\nname = "mine"\ntitle = "What I am after"\n'


@pytest.fixture
def suite(tmp_path):
    """Write a suite's tables below its head and read them, with settings typed elsewhere."""

    def read(tables, head=HEAD, **given):
        path = tmp_path / "mine.toml"
        path.write_text(head + tables)
        return read_suite(path, given)

    return read


def test_a_list_of_models_is_a_request_each_in_order(suite):
    found = suite('[[run]]\nmodel = ["lstm", "gru-64"]\n[[run]]\nmodel = "rnn-64"\n')
    assert (found.name, found.title) == ("mine", "What I am after")
    assert [request.model for request in found.requests] == ["lstm", "gru-64", "rnn-64"]


def test_a_run_prevails_over_what_is_typed_and_that_over_the_defaults(suite):
    tables = """
[defaults]
seeds = "0-9"
data = "usage"
threads = 2
[[run]]
model = "lstm"
[[run]]
model = "bound"
seeds = 0
"""
    plain, typed = suite(tables), suite(tables, seeds=(5,), data="my.fa")
    assert [request.seeds for request in plain.requests] == [tuple(range(10)), (0,)]
    assert [request.seeds for request in typed.requests] == [(5,), (0,)]
    assert {(request.data, request.threads) for request in typed.requests} == {("my.fa", 2)}


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"0-2,7"', (0, 1, 2, 7)), ("3", (3,)), ("[4, 1]", (4, 1)), ('["0-1", 5]', (0, 1, 5))],
)
def test_seeds_are_written_as_on_the_command_line_or_as_numbers(suite, written, expected):
    (request,) = suite(f'[[run]]\nmodel = "lstm"\nseeds = {written}\n').requests
    assert request.seeds == expected


def test_one_kind_of_budget_takes_the_place_of_the_other(suite):
    tables = (
        '[defaults]\nepochs = 40\n[[run]]\nmodel = "lstm"\n[[run]]\nmodel = "gru"\npairs = 64\n'
    )
    budgets = [(r.epochs, r.pairs) for r in suite(tables).requests]
    assert budgets == [(40, None), (None, 64)]
    typed = [(r.epochs, r.pairs) for r in suite(tables, pairs=1_000).requests]
    assert typed == [(None, 1_000), (None, 64)]


def test_overrides_are_joined_field_by_field_and_reach_the_configuration(suite, toys):
    tables = """
[defaults]
task = "dipeptide"
overrides = { learning_rate = 0.5, batch_size = 32 }
[[run]]
model = "mlp"
overrides = { hidden = [8, 16], learning_rate = 0.25 }
[[run]]
model = "mlp"
"""
    first, second = suite(tables).requests
    config = prepare(first, toys.registry(), Path("no-cache")).config.model_dump()
    assert (config["hidden"], config["learning_rate"], config["batch_size"]) == ((8, 16), 0.25, 32)
    assert second.overrides == {"learning_rate": "0.5", "batch_size": "32"}


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ("", r"it needs at least one \[\[run\]\]"),
        ("[[runs]]\nmodel = 'lstm'\n", r"no table 'runs'; it has \[suite\], \[defaults\]"),
        ("[[run]]\nseeds = 3\n", r"\[\[run\]\] 1: field 'model': got None; expected a name"),
        ("[[run]]\nmodel = []\n", r"\[\[run\]\] 1: field 'model': got \[\]; expected"),
        ("[[run]]\nmodel = [3]\n", r"\[\[run\]\] 1: field 'model': got \[3\]; expected"),
        ("[defaults]\nmodel = 'x'\n[[run]]\nmodel = 'x'\n", r"\[defaults\]: field 'model' belongs"),
        (
            "[defaults]\nepoch = 3\n[[run]]\nmodel = 'x'\n",
            r"\[defaults\]: no field 'epoch'; it has",
        ),
        ("[defaults]\nepochs = 0\n[[run]]\nmodel = 'x'\n", r"\[defaults\]: field 'epochs': got 0"),
        (
            "[defaults]\ndevice = 'tpu'\n[[run]]\nmodel = 'x'\n",
            r"field 'device': got 'tpu'; .*'cuda'",
        ),
        (
            "[[run]]\nmodel = 'a'\n[[run]]\nmodel = 'b'\nseeds = '9-0'\n",
            r"\[\[run\]\] 2: field 'seeds': seeds '9-0': the range 9-0 runs backwards",
        ),
        ("[[run]]\nmodel = 'a'\nseeds = -1\n", r"\[\[run\]\] 1: field 'seeds': seeds '-1'"),
        ("[[run]]\nmodel = 'a'\nseeds = [true]\n", r"field 'seeds': seeds 'True'"),
        ("[[run]]\nmodel = 'a'\nforce = true\n", r"\[\[run\]\] 1: no field 'force'"),
        ("[[run]]\nmodel = 'a'\nfull = 'perhaps'\n", r"field 'full': got 'perhaps'"),
        ("[[run]]\nmodel = 'a'\noverrides = 3\n", r"field 'overrides': got 3; input should be"),
        ("[[run]]\nmodel = 'a'\nepochs = 1\npairs = 1\n", r"\[\[run\]\] 1: .* not both"),
        ("[[run]\n", r"is not TOML: .*line"),
    ],
)
def test_a_mistake_names_file_table_and_field(suite, tables, sentence):
    with pytest.raises(errors.ConfigError, match=sentence) as caught:
        suite(tables)
    assert re.match(r"suite .*mine\.toml", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("", r"\[suite\] is missing"),
        ("suite = 3\n", r"\[suite\]: got 3; expected a table"),
        ('[suite]\nname = "mine"\n', r"\[suite\]: field 'title'"),
        ('[suite]\nname = "A B"\ntitle = ""\n', r"\[suite\]: field 'name': got 'A B'"),
        ("run = 3\n" + HEAD + "[defaults]\n", r"it needs at least one \[\[run\]\]"),
        ("run = [3]\n" + HEAD, r"\[\[run\]\] 1: got 3; expected a table"),
        (HEAD + "seeds = 3\n", r"\[suite\]: no field 'seeds'; it has name, title"),
    ],
)
def test_a_suite_says_who_it_is_and_holds_tables(suite, head, sentence):
    run = "" if head.startswith("run") else '[[run]]\nmodel = "lstm"\n'
    with pytest.raises(errors.ConfigError, match=sentence):
        suite(run, head=head)


def test_a_file_that_is_not_utf_8_or_not_readable_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(errors.ConfigError, match=r"mine\.toml is not TOML"):
        read_suite(path)
    with pytest.raises(errors.ConfigError, match=r"nowhere\.toml cannot be read"):
        read_suite(tmp_path / "nowhere.toml")


def test_an_unknown_name_lists_the_shipped_suites():
    with pytest.raises(errors.UnknownNameError, match=r"did you mean 'official'\?") as caught:
        find_suite("oficial")
    assert "shipped are expression, gue, joiret2023" in str(caught.value)


def test_a_file_is_preferred_to_a_shipped_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_suite("official") == shipped_files("suites", "suite")["official"]
    Path("official").write_text("")
    assert find_suite("official") == Path("official")


# Shipped suites


@pytest.mark.parametrize("name", sorted(shipped_files("suites", "suite")))
def test_a_shipped_suite_names_what_there_is_and_is_called_like_its_file(name, toys):
    suite = read_suite(shipped_files("suites", "suite")[name])
    assert suite.name == name
    for request in suite.requests:
        task = toys.installed.task(request.task).task
        if task.default_data in {source.name for source in task.sources}:  # not downloaded here
            assert toys.installed.model(request.model)
            continue
        if not task.sources and task.default_data == task.name:  # comes by --data
            with pytest.raises(errors.DataError, match="CODONBENCH_DATA"):
                prepare(request, toys.installed, Path("no-cache"))
            continue
        job = prepare(request, toys.installed, Path("no-cache"))
        assert len(job.run_specs) == len(request.seeds)


def test_the_official_suites_hold_every_preset_and_every_reference_row(toys):
    suites = [
        read_suite(find_suite(name)) for name in ("official", "supervised", "zoo", "variants")
    ]
    models = {request.model for suite in suites for request in suite.requests}
    entries = toys.installed.models
    rows = {
        name
        for name, entry in entries.items()
        if name != entry.cls.info.name or entry.cls.info.role == "reference"
    }
    rows -= {name for name in rows if entries[name].cls.info.name == "hf"}  # needs a checkpoint
    assert models >= rows


def test_the_published_table_is_there_row_by_row_with_its_whole_budget():
    requests = read_suite(find_suite("joiret2023")).requests
    rows = {(r.model, *sorted(r.overrides.items())) for r in requests}
    recurrent = ["rnn-64", "rnn-64-weighted", "rnn-256", "rnn-256-weighted", "gru-64", "lstm-64"]
    embeddings = ["embedding10-relu", "embedding2-tanh"]
    one_layer = ["mlp-64", "mlp-64-12bit"]
    published = [*one_layer, "mlp-64x1024", *embeddings, *recurrent]
    published += [f"{model}-weighted" for model in embeddings]
    weighted = [model for model in published if model.endswith("-weighted")]
    sgd, by_sum = ("optimizer", "sgd"), ("class_weights", "sum")
    assert rows == {(model,) for model in published} | {
        *((model, sgd) for model in (*one_layer, *recurrent)),
        ("mlp-64", ("learning_rate", "0.005"), sgd),
        *((model, by_sum) for model in weighted),
        *((model, by_sum, sgd) for model in weighted if model in recurrent),
        *((model,) for model in ("oracle", "bound", "count-table", "untrained")),
    }
    assert all(request.full for request in requests)
    assert {r.model for r in requests if len(r.seeds) != 10} == {"bound"}


def entry_point(name):
    return EntryPoint(name, name, "codonbench")


def package(folder, name, body, **suites):
    """An importable package with suites beside it."""
    (folder / name / "suites").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)
    for stem, text in suites.items():
        (folder / name / "suites" / f"{stem}.toml").write_text(text)


def test_a_strangers_suite_is_found_although_the_package_is_broken(tmp_path, monkeypatch):
    package(tmp_path, "stranger_with_suite", "raise RuntimeError('broken')", theirs=HEAD)
    monkeypatch.syspath_prepend(tmp_path)
    points = [entry_point("stranger_with_suite"), entry_point("nobody_at_all.inside")]
    assert list(shipped_files("suites", "suite", points)) == ["theirs"]


def test_two_suites_of_one_name_are_named_together(tmp_path, monkeypatch):
    package(tmp_path, "stranger_one", "", same=HEAD)
    package(tmp_path, "stranger_two", "", same=HEAD)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(errors.NameClashError, match=r"stranger_one.*stranger_two"):
        shipped_files("suites", "suite", [entry_point("stranger_two"), entry_point("stranger_one")])


def test_the_page_on_suites_is_true(tmp_path, toys):
    page = (ROOT / "docs" / "suites.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    for request in read_suite(path).requests:
        toys.installed.model(request.model)
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert named == set(FIELDS)


@pytest.mark.parametrize(
    "runs", ["[[run]]\nmodel = 'a'\n" * 9_000, "[[run]]\nmodel = [" + "'a'," * 60_000 + "]\n"]
)
def test_a_suite_of_runs_without_end_is_one_sentence(suite, runs):
    with pytest.raises(errors.ConfigError, match=r"has more than 1,000 runs; cut it in parts"):
        suite(runs)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9" * 5000, "is not TOML: Exceeds the limit"),
        ("0x" + "f" * 5000, "is out of the range of numbers"),
        ("nan", "is out of the range of numbers"),
        ("[" * 3000 + "]" * 3000, "is nested too deeply"),
        ("[" * 100 + "]" * 100, "is nested deeper than 16 levels"),
        (f"0\na{'.a' * 50_000} = 1", "is nested too deeply"),
        (f"0\noverrides = {{{','.join(f'k{i}=1' for i in range(1_001))}}}", "at most 1000 items"),
        ("0\n[[run]]\nmodel = 'a'\n" * 20_000, "holds more than 262,144 bytes"),
    ],
)
def test_numbers_and_nesting_beyond_all_bounds_are_said_so(suite, value, message):
    with pytest.raises(errors.ConfigError, match=message):
        suite(f'[[run]]\nmodel = "mlp-64"\nseeds = {value}\n')
