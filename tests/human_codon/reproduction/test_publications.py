"""Publications: what a file may say, which are shipped, and that the shipped one can be run."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from codonbench import errors
from codonbench.contracts.run_spec import configure
from codonbench.execution.suites import find_suite, read_suite
from codonbench.plugins.shipped_files import find_file, shipped_files
from codonbench_datasets.human_codon.reproduction.publications import SHIPPED, read_publication

ROOT = Path(__file__).resolve().parents[3]

HEAD = """
[publication]
name = "mine"
title = "Mine"
reference = "Somebody (2026)"
doi = "10.1/1"
suite = "mine"
task = "human-codon"
budget_epochs = 2
"""
INSTRUMENT = """
[instrument]
epoch = "paper_epoch"
pairs = "paper_pairs"
criteria = ["unique"]
epoch_pairs = 300
frames = [100, 200, 300]
frame_inputs = 10
"""
CELL = """
[[cell]]
configuration = "RNN"
condition = ""
printed = "1 epoch"
epoch = 1
readings = [{ protocol = "Adam", model = "rnn-64" }]
"""


@pytest.fixture
def publication(tmp_path):
    """Read a publication of this text."""

    def publication(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return read_publication(path)

    return publication


def test_a_publication_says_what_was_published_and_what_repeats_it(publication):
    found = publication(HEAD + INSTRUMENT + CELL)
    assert found.budget_pairs == 600
    assert [(c.configuration, c.figure) for c in found.cells] == [("RNN", 1)]
    assert found.cells[0].readings[0].model == "rnn-64"


def test_a_censored_cell_has_no_figure_whatever_its_last_epoch(publication):
    cell = CELL.replace("epoch = 1\n", "epoch = 2\ncensored = true\n")
    assert publication(HEAD + INSTRUMENT + cell).cells[0].figure is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + INSTRUMENT, r"cells: "),
        (INSTRUMENT + CELL, r"it needs a table \[publication\]"),
        (HEAD + CELL, r"instrument: "),
        (HEAD + INSTRUMENT + CELL + "[other]\n", r"no table 'other'; it has \[publication\]"),
        (HEAD + INSTRUMENT + CELL.replace("epoch = 1\n", ""), r"cells\.0: give an epoch, or"),
        (
            HEAD + INSTRUMENT + CELL.replace("epoch = 1", "pairs = 1\ncensored = true"),
            r"cells\.0: pairs need the epoch",
        ),
        (
            HEAD + INSTRUMENT + CELL.replace("epoch = 1", "epcoh = 1"),
            r"cells\.0\.epcoh: Extra inputs",
        ),
        (
            HEAD + INSTRUMENT.replace("[100, 200, 300]", "[200, 100]") + CELL,
            r"instrument: frames must ascend",
        ),
        (
            HEAD + INSTRUMENT.replace("[100, 200, 300]", "[301]") + CELL,
            r"instrument: frames must ascend and lie within epoch_pairs",
        ),
        (
            HEAD + INSTRUMENT + CELL + '[[reference]]\nlabel="b"\nrole="bound"\nmodel="bound"\n',
            r"references\.0: a bound, and nothing else, names its quantiles",
        ),
        ("[publication\n", r"is not TOML"),
    ],
)
def test_a_mistake_names_file_and_field(publication, text, sentence):
    with pytest.raises(errors.ConfigError, match=sentence) as caught:
        publication(text)
    assert re.match(r"publication .*mine\.toml", str(caught.value))


def test_two_readings_of_one_protocol_are_refused(publication):
    twice = CELL.replace(
        'readings = [{ protocol = "Adam", model = "rnn-64" }]',
        'readings = [{ protocol = "A", model = "a" }, { protocol = "A", model = "b" }]',
    )
    with pytest.raises(errors.ConfigError, match="two readings of a cell have one protocol"):
        publication(HEAD + INSTRUMENT + twice)


def test_an_unknown_name_lists_what_is_shipped():
    with pytest.raises(errors.UnknownNameError, match=r"did you mean 'joiret2023'\?"):
        find_file("joiret2032", *SHIPPED)
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        read_publication(Path("nowhere.toml"))


def test_a_strangers_publication_is_found_without_importing_the_package(tmp_path, monkeypatch):
    folder = tmp_path / "stranger_with_table" / "publications"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('broken')")
    (folder / "theirs.toml").write_text(HEAD)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("stranger_with_table", "stranger_with_table", "codonbench")
    assert list(shipped_files(*SHIPPED, [point])) == ["theirs"]


@pytest.mark.parametrize("name", sorted(shipped_files(*SHIPPED)))
def test_a_shipped_publication_is_repeated_by_its_suite(name, toys):
    """Every reading and reference is a run of the suite, as configurations and not by spelling."""
    found = read_publication(shipped_files(*SHIPPED)[name])
    assert found.name == name
    requests = read_suite(find_suite(found.suite)).requests
    run = {(r.model, *_settled(r.model, r.overrides, toys)) for r in requests}
    for cell in found.cells:
        for reading in cell.readings:
            overrides = {k: str(v) for k, v in reading.overrides.items()}
            assert (reading.model, *_settled(reading.model, overrides, toys)) in run
            # Records name departures from the model's own configuration, and only those.
            assert reading.overrides == dict(_settled(reading.model, overrides, toys))
    options = {(r.model, tuple(sorted(r.task_overrides.items()))) for r in requests}
    for reference in found.references:
        own = {k: str(v) for k, v in (reference.task_options or {}).items()}
        own.pop("genetic_code", None)  # the default
        assert (reference.model, tuple(sorted(own.items()))) in options


def _settled(model, overrides, toys):
    """Where a configuration departs from that of the name asked for."""
    entry = toys.installed.model(model)
    named = configure(entry.cls.Config, dict(entry.preset), {}, model).model_dump(mode="json")
    config = configure(entry.cls.Config, dict(entry.preset), overrides, model)
    values = config.model_dump(mode="json")
    return tuple(sorted((k, v) for k, v in values.items() if v != named[k]))


def test_the_published_instrument_is_the_tasks_own(toys):
    """64 inputs after batches 3000, 6000 and 9000 of 64, in epochs of 576,000."""
    found = read_publication(find_file("joiret2023", *SHIPPED))
    dataset = toys.installed.task(found.task).task
    loaded = dataset.load(dataset.default_data, dataset.Options(), cache=Path("no-cache"))
    instrument = found.instrument
    assert instrument.epoch_pairs == loaded.spec.train_size
    assert found.budget_epochs == loaded.spec.default_epochs
    batches = [pairs // instrument.frame_inputs for pairs in instrument.frames]
    assert batches == loaded.spec.facts["instrument_batches"] == [3000, 6000, 9000]
    names = {
        name
        for metric in toys.installed.metrics.values()
        for name in metric.metric.outputs(loaded.spec)
    }
    for criterion in instrument.criteria:
        assert {f"{instrument.epoch}_{criterion}", f"{instrument.pairs}_{criterion}"} <= names


def test_the_page_on_publications_is_true(publication):
    page = (ROOT / "docs" / "publications.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    shown, shipped = publication(example), read_publication(find_file("joiret2023", *SHIPPED))
    assert shown.instrument == shipped.instrument
    assert all(cell in shipped.cells for cell in shown.cells)
    assert all(reference in shipped.references for reference in shown.references)
