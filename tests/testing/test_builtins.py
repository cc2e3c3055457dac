"""Everything that codonbench ships passes the checks that a stranger's plugins must pass."""

from functools import partial

import numpy as np
import pytest

from codonbench.contracts import Estimator, Model, Reference
from codonbench.plugins.discovery import load_registry
from codonbench.testing import check_metric, check_model, check_task
from codonbench_datasets.expression import CELLS
from codonbench_datasets.gue_tf import GueTf

INSTALLED = load_registry()


NEVER_TRAINED = {
    name
    for name, entry in INSTALLED.models.items()
    if entry.cls.info.pretrained_on or name.startswith("variant-")
}
"""Held by tests/protocols/test_zero_shot.py, tests/models/test_hf.py and test_openspliceai.py."""

FITTED = {
    name for name, entry in INSTALLED.models.items() if issubclass(entry.cls, Estimator)
} - NEVER_TRAINED


def trained():
    """Yield each model and preset that is trained; those that another stands for, for the night.

    Models that share a base of ours differ in what is between encoding and output, which tests of
    their own look into.
    """
    seen = set()
    for name in sorted(INSTALLED.models.keys() - FITTED - NEVER_TRAINED):
        mark = pytest.mark.nightly("another preset or model of its base stands for it")
        cls = INSTALLED.models[name].cls
        base = cls if cls.__base__ in (Model, Reference) else cls.__base__
        yield pytest.param(name, marks=[mark] if base in seen else [])
        seen.add(base)


@pytest.mark.parametrize("name", list(trained()))
def test_a_built_in_model_keeps_the_contract(name, tmp_path):
    if getattr(INSTALLED.models[name].cls, "encoding", "") == "features":
        check_model(name, task="tcga-breast", data=copy_of("tcga-breast", tmp_path))
    else:
        check_model(name)


@pytest.mark.parametrize("name", sorted(FITTED))
def test_a_built_in_estimator_keeps_the_contract(name, folder, tmp_path):
    task, data = "gue-tf-0", folder
    if name == "linear":
        task, data = "tcga-breast", copy_of("tcga-breast", tmp_path)
    check_model(name, task=task, data=data)


@pytest.mark.parametrize("name", sorted(INSTALLED.metrics))
def test_a_built_in_metric_keeps_the_contract(name):
    check_metric(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three splits of sequences of 101 letters, for GUE's tasks."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        rows = ["".join(rng.choice(list("ACGT"), 101)) for _ in range(130)]
        lines = [f"{row},{int(row[0] in 'AC')}" for row in rows]
        (folder / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return str(folder)


def made_up(task, folder):
    """Write random sequences in the form of a local copy of a task whose data are a table."""
    rng, form = np.random.default_rng(0), task.form
    named = filter(None, (form.split, form.group, *form.origins))
    columns = [*form.sequences, *form.targets, *named]
    for split, (stem, *_) in task.tables.items():
        rows = [",".join(columns)]
        for i in range(300 if not split or form.split else 100):
            parts = [rng.choice(list("ACGT"), part.max_length) for part in task.input.sequences]
            right = (
                [form.classes[i % len(form.classes)]]
                if form.classes
                else [f"{np.mean(parts[0] == 'G') + j:.4g}" for j in range(len(form.targets))]
            )
            beside = [("train", "dev", "test")[i % 3]] if form.split else []
            beside += [str(i)] if form.group else []
            beside += [f"origin {i % 7}" for _ in form.origins]
            rows.append(",".join(["".join(part) for part in parts] + right + beside))
        (folder / f"{stem}.csv").write_text("\n".join(rows) + "\n")


def copy_of(task, folder):
    """Write made-up data in the form of a local copy into a folder; return it."""
    for file, text in COPIES[task].items():
        (folder / file).write_text(text())
    return str(folder)


def quantities(length, column):
    """Return a table of random sequences with the splits in a column, a group a sequence."""
    rng = np.random.default_rng(0)
    rows = [f"sequence,{column},split,group"]
    for i in range(300):
        text = "".join(rng.choice(list("ACGT"), length))
        rows.append(f"{text},{text.count('G') / length},{('train', 'dev', 'test')[i % 3]},{i}")
    return "\n".join(rows) + "\n"


def expression(column, classes, n_features):
    """Return a table of random numbers, the first of which depends on the class."""
    rng = np.random.default_rng(0)
    rows = [",".join([column, *(f"g{i}" for i in range(n_features))])]
    for i in range(60):
        values = rng.normal(size=n_features).round(2)
        values[0] += i % len(classes)
        rows.append(",".join([classes[i % len(classes)], *map(str, values)]))
    return "\n".join(rows) + "\n"


def variants_of(column, **measured):
    """Return two tables: one sequence of 200 or 100 letters, and substitutions of some of it."""
    texts = {"element": "F9", "exon": "X15"}, {"element": 200, "exon": 100}
    name, letters = (known[column] for known in texts)
    sequence = "ACGT" * (letters // 4)
    rows = [f"{column},offset,ref,alt,{','.join(measured)}"]
    for at in range(0, 40, 4):
        values = ",".join(str(each[at // 4 % len(each)]) for each in measured.values())
        rows.append(f"{name},{at},A,G,{values}")
    return {
        f"{column}s.csv": lambda: f"{column},sequence\n{name},{sequence}\n",
        "variants.csv": lambda: "\n".join(rows) + "\n",
    }


def genes(seed):
    """Return a FASTA file of made-up genes, whose stop codon two genetic codes know."""
    rng = np.random.default_rng(seed)
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    inside = [codon for codon in codons if codon not in ("TAA", "TAG", "TGA", "AGA", "AGG")]
    bodies = ("".join(rng.choice(inside, 200)) for _ in range(20))
    return "".join(f">{i}\nATG{body}TAA\n" for i, body in enumerate(bodies))


def mrnas():
    """Return a FASTA file of made-up messenger RNAs, of which 400 letters are coding."""
    rng = np.random.default_rng(0)
    texts = ("".join(rng.choice(list("ACGT"), 600)) for _ in range(100))
    rows = (f">m{i} cds=101-500 cluster=C{i}\n{t[:100]}ATG{t[103:]}" for i, t in enumerate(texts))
    return "\n".join(rows) + "\n"


COPIES = {
    "yeast-promoter": {"all.csv": partial(quantities, 80, "expression")},
    "mrfp-expression": {"mrfp_expression.csv": partial(quantities, 678, "value")},
    "cov-degradation": {"cov_degradation.csv": partial(quantities, 81, "value")},
    "tc-riboswitch": {"tc_riboswitch.csv": partial(quantities, 70, "value")},
    "khan": dict.fromkeys(("train.csv", "test.csv"), partial(expression, "label", "1234", 2308)),
    "pbmc": {"pbmc.csv": partial(expression, "label", CELLS, 765)},
    **{name: {"human_mrna_with_cds.fa": mrnas} for name in ("orf-frame", "orf-start")},
    "yeast-codon": {"genes.fa": partial(genes, 1)},
    "human-mito-codon": {"genes.fa": partial(genes, 2)},
    "satmut-mpra": variants_of("element", effect=(0.5, -0.25, 0.125), barcodes=(12,)),
    "brca1-sge": variants_of("exon", **{"class": ("LOF", "FUNC", "INT")}),
    "golub": dict.fromkeys(
        ("train.csv", "test.csv"), partial(expression, "label", ("ALL", "AML"), 7129)
    ),
    "tcga-breast": dict.fromkeys(
        ("train.csv", "test.csv"), partial(expression, "subtype", ("Basal", "Her2", "LumA"), 384)
    ),
}
"""Made-up data of tasks whose own must be downloaded, in the form of a local copy."""


def each_task():
    """Yield each task; those of which another of the same family is asked by day, for the night."""
    seen = {"ContigOrigin"}  # of 15,000 letters an item
    for name in sorted(INSTALLED.tasks):
        family = type(INSTALLED.tasks[name].task).__qualname__
        mark = pytest.mark.nightly("another set of its family stands for it")
        yield pytest.param(name, marks=[mark] if family in seen else [])
        seen.add(family)


@pytest.mark.parametrize("name", list(each_task()))
def test_a_built_in_task_keeps_the_contract(name, folder, tmp_path):
    for file, text in COPIES.get(name, {}).items():
        (tmp_path / file).write_text(text())
    task = INSTALLED.tasks[name].task
    downloaded = task.default_data in {source.name for source in task.sources}
    copy = str(tmp_path)
    if isinstance(task, GueTf):
        copy = folder
    elif downloaded and name not in COPIES:
        made_up(task, tmp_path)
    check_task(name, data=copy if downloaded or name in COPIES else None)


def test_a_task_whose_data_were_never_downloaded_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path))
    with pytest.raises(AssertionError, match=r"bench data fetch gue-tf-0.*data="):
        check_task("gue-tf-0")


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_a_built_in_model_keeps_the_contract_on_a_supervised_task(name, folder):
    check_model(name, task="gue-tf-0", data=folder)
