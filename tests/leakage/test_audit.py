"""Audits: each leak that is planted is found and named; what has none is let pass."""

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

import codonbench
from codonbench.contracts import Sequences
from codonbench.errors import DataError
from codonbench.leakage.audit import splits_of
from codonbench.leakage.twins import in_pieces
from codonbench.leakage.verdict import rule, share
from codonbench.plugins.discovery import load_registry
from codonbench.report.data_audit import table_rows
from codonbench_datasets.gue_prom import TWINS
from leaks import OPPOSITE, cut_and_pasted, dinucleotide_shuffle, rows, text, write

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data")) / "tasks"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def audited(tmp_path):
    """Audit training and test rows."""

    def audited(train, test, header="sequence,label", **options):
        files = [
            write(tmp_path / name, found, header) for name, found in (("a", train), ("b", test))
        ]
        return codonbench.audit_data(*files, **options)

    return audited


def grades(audit):
    return {finding.check: finding.grade for finding in audit.findings}


def other(label):
    return "1" if label == "0" else "0"


CLEAN = random.Random(0)
TRAIN, TEST = rows(CLEAN, 400), rows(CLEAN, 200)


def test_a_clean_set_passes(audited):
    audit = audited(TRAIN, TEST)
    assert audit.verdict == "PASS"
    assert set(grades(audit).values()) == {"clear", "row zero"}
    assert (audit.train, audit.validation, audit.test) == (360, 40, 200)
    assert audit.clean == tuple(range(200))


def copies(rng):
    return [(TRAIN[i][0], TRAIN[i][1]) for i in range(12)]


def reverse_complements(rng):
    return [(TRAIN[i][0][::-1].translate(OPPOSITE), other(TRAIN[i][1])) for i in range(12)]


@pytest.mark.parametrize(
    ("planted", "words"), [(copies, "6.0%"), (reverse_complements, "12 as reverse complement")]
)
def test_copies_are_found_and_counted(audited, planted, words):
    audit = audited(TRAIN, [*TEST[12:], *planted(random.Random(1))])
    assert audit.verdict == "FAIL"
    (copied,) = (finding for finding in audit.findings if finding.check == "copies")
    assert (copied.grade, copied.value) == ("leak", 0.06)
    assert words in copied.words
    assert ("12 with another class" in copied.words) == (planted is reverse_complements)
    assert audit.copied == tuple(range(188, 200))


def test_near_copies_are_found_and_a_few_are_a_doubt(audited):
    def near(i):
        letters = list(TRAIN[i][0])
        for place in random.Random(i).sample(range(80), 8):
            letters[place] = "C" if letters[place] != "C" else "G"
        return "".join(letters), TRAIN[i][1]

    many = audited(TRAIN, [*TEST[30:], *map(near, range(30))])
    assert many.verdict == "FAIL"
    assert grades(many)["copies"] == "clear"
    assert len(many.copied) == 30
    few = audited(TRAIN, [*TEST[4:], *map(near, range(4))])
    assert (few.verdict, few.worst.check) == ("WARN", "near-copies")


def test_a_share_is_rounded_once(audited):
    """347 of 2,600 is 13.346 %: 0.1335, of which 13.4 % or 13.3 % can be made."""
    found = share("copies", 347, 2_600, "13.3% of test items (347 of 2,600) stand in training")
    assert found.value == 0.1335
    audit = audited(TRAIN, TEST).model_copy(update={"findings": (found,)})
    assert table_rows(audit)[0][2] == "13.3%"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (rule("missing letters", 0.2, 0.3, 200, "w"), "chance"),  # 2.8 standard errors
        (rule("missing letters", 0.25, 0.05, 200, "w"), "0.050"),  # 3.5, chosen on validation
        (rule("words in place", 0.45, 0.5, 200, "w"), "composition"),
        (share("copies", 2, 200, "w"), "fewer than 3"),
        (rule("missing letters", 0.09, 0.3, 200, "w"), ""),  # below 0.1, which needs no reason
        (rule("missing letters", 0.25, 0.3, 200, "w"), ""),  # a doubt
    ],
)
def test_a_figure_beyond_its_threshold_that_is_clear_says_why(audited, found, why):
    """Composition goes further than words in place, for which the audit lets these pass."""
    if why == "composition":
        found = found.model_copy(update={"grade": "clear"})
    composition = rule("composition", 0.5, 0.5, 200, "c", row_zero=True)
    audit = audited(TRAIN, TEST).model_copy(update={"findings": (composition, found)})
    said = audit.describe(found)
    assert (said.partition(": ")[2] != "", why in said) == (why != "", True)
    assert table_rows(audit)[1][-1] == said
    assert audit.reason.endswith(said)


def test_a_pass_names_what_went_furthest_as_no_fault(audited):
    audit = audited(TRAIN, TEST)
    assert audit.line.startswith("PASS: no fault beyond chance was found; strongest finding: ")
    none = audit.model_copy(update={"findings": (share("copies", 0, 200, "none"),)})
    assert none.line == "PASS: no fault beyond chance was found"


def test_of_a_few_test_items_the_verdict_is_said_to_tell_little(audited):
    for n, said in ((10, True), (11, False)):
        remarks = audited(TRAIN, TEST[:n]).remarks
        assert any(f"{n} test items" in remark for remark in remarks) == said


def test_one_copy_is_let_pass(audited):
    assert audited(TRAIN, [*TEST[1:], TRAIN[0]]).verdict == "PASS"


@pytest.mark.parametrize(
    ("make", "check"),
    [(dinucleotide_shuffle, "shuffled twins"), (cut_and_pasted, "pieces in place")],
)
@pytest.mark.parametrize("within_training", [True, False])
def test_negatives_made_of_positives_are_found(audited, make, check, within_training):
    rng = random.Random(2)
    positives = [text(rng, 80) for _ in range(300)]
    made = [(make(each, rng), "0") for each in positives]
    given = [(each, "1") for each in positives]
    if within_training:
        every = [*given, *made]
        rng.shuffle(every)
        audit = audited(every[:400], every[400:])
    else:  # nothing in training tells what twins mean
        audit = audited([*rows(rng, 100), *given], [*made[:50], *rows(rng, 50)])
    assert audit.verdict == "FAIL"
    assert grades(audit)[check] == "leak"
    assert "the other class" in audit.worst.words


def test_a_position_that_tells_is_found(audited):
    def marked(row):
        sequence, label = row
        return sequence[:20] + ("G" if label == "1" else "A") + sequence[21:], label

    audit = audited([*map(marked, TRAIN)], [*map(marked, TEST)])
    assert (audit.verdict, audit.best_rule.check) == ("FAIL", "one position")
    assert "letter 21 " in audit.best_rule.words


def test_composition_that_every_position_shows_is_no_leak_of_positions(audited):
    rng = random.Random(3)

    def rich(found):
        weights = {"0": (1, 1, 1, 1), "1": (1, 1, 5, 1)}
        return [("".join(rng.choices("ACGT", weights[label], k=80)), label) for _, label in found]

    audit = audited(rich(TRAIN), rich(TEST))
    assert grades(audit)["words in place"] == "clear"
    assert max(f.value for f in audit.findings if f.check in ("composition", "k-mers")) > 0.9
    assert audit.verdict == "PASS"


def test_sorted_rows_are_found(audited):
    def by_class(found):
        return sorted(found, key=lambda row: row[1])

    audit = audited(by_class(TRAIN), by_class(TEST))
    assert (audit.verdict, audit.worst.check) == ("FAIL", "order of rows")


def with_column(found, column):
    return [(*row, each) for row, each in zip(found, column, strict=True)]


def test_groups_that_cross_splits_are_a_leak_and_genes_a_doubt(audited):
    leaky = [f"g{i % 50}" for i in range(400)], [f"g{i % 60}" for i in range(200)]
    for name, verdict in (("group", "FAIL"), ("gene", "WARN")):
        found = (
            with_column(part, column) for part, column in zip((TRAIN, TEST), leaky, strict=True)
        )
        audit = audited(*found, header=f"sequence,label,{name}")
        assert (audit.verdict, audit.worst.check) == (verdict, "groups")
        assert f"share their {name} with training items" in audit.worst.words
    apart = [f"g{i % 50}" for i in range(400)], [f"h{i % 50}" for i in range(200)]
    found = (with_column(part, column) for part, column in zip((TRAIN, TEST), apart, strict=True))
    assert audited(*found, header="sequence,label,group").verdict == "PASS"


def test_a_class_that_is_one_organism_is_a_doubt(audited):
    organism = {"0": "E. coli", "1": "B. subtilis"}
    found = [with_column(part, [organism[label] for _, label in part]) for part in (TRAIN, TEST)]
    audit = audited(*found, header="sequence,label,organism")
    (finding,) = (f for f in audit.findings if f.check == "classes of one origin")
    assert (audit.verdict, finding.grade, finding.value) == ("WARN", "doubt", 1.0)
    assert "each of the classes 0, 1 is as good as one organism: 100.0%" in finding.words
    mixed = [with_column(part, [f"o{i % 7}" for i in range(len(part))]) for part in (TRAIN, TEST)]
    assert grades(audited(*mixed, header="sequence,label,organism"))[finding.check] == "clear"


def test_the_best_rule_has_an_interval_and_its_answers_are_kept(audited):
    audit = audited(TRAIN, TEST)
    best = audit.best_rule
    assert best.low <= best.value <= best.high
    assert [f for f in audit.findings if f.low is not None] == [best]
    assert len(audit.answers) == 200
    right = [int(label) for _, label in TEST]
    said = [int(digit) for digit in audit.answers]
    assert best.value == pytest.approx(matthews_corrcoef(right, said), abs=5e-4)


def test_quantities_are_audited_too(audited):
    def measured(found):
        return [(sequence, f"{random.Random(sequence).gauss(0, 1):.4f}") for sequence, _ in found]

    audit = audited(measured(TRAIN), measured(TEST))
    assert (audit.verdict, audit.score) == ("PASS", "Pearson's r")
    longer = [(s[: 40 + int(10 * float(y)) % 40], y) for s, y in measured(TRAIN)]
    shorter = [(s[: 40 + int(10 * float(y)) % 40], y) for s, y in measured(TEST)]
    assert grades(audited(longer, shorter))["length"] in ("doubt", "leak")


def test_near_copies_of_missing_quantities_do_not_excuse_the_others(audited):
    measured = [(sequence, f"{random.Random(sequence).gauss(0, 1):.4f}") for sequence, _ in TRAIN]
    measured[0] = (measured[0][0], "")
    copies = [
        (sequence[:-1] + sequence[-1].translate(OPPOSITE), y) for sequence, y in measured[:60]
    ]
    copies[0] = (copies[0][0], "1.5")
    audit = audited(measured, [*copies, *((sequence, "0.5") for sequence, _ in TEST)])
    (found,) = (finding for finding in audit.findings if finding.check == "near-copies")
    assert (found.grade, "tell little" in found.words) == ("leak", False)


def test_three_tables_frames_and_one_table_with_splits_say_the_same(tmp_path):
    parts = {"train": TRAIN[:300], "validation": TRAIN[300:], "test": [*TEST, *TRAIN[:20]]}
    frames = [pd.DataFrame(part, columns=["sequence", "label"]) for part in parts.values()]
    one = codonbench.audit_data(*frames)
    whole = [(*row, name) for name, part in parts.items() for row in part]
    two = codonbench.audit_data(write(tmp_path / "one.csv", whole, "sequence,label,split"))
    assert (one.verdict, one.copied) == ("FAIL", tuple(range(200, 220)))
    assert one.model_dump(exclude={"task"}) == two.model_dump(exclude={"task"})


def test_features_and_several_sequences_are_audited():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(90, 5)), columns=list("abcde"))
    frame["label"] = rng.integers(0, 2, 90)
    frame["split"] = ["train"] * 60 + ["test"] * 30
    assert codonbench.audit_data(frame).verdict == "PASS"
    frame.iloc[60:70, :5] = frame.iloc[:10, :5].to_numpy()
    assert codonbench.audit_data(frame).worst.check == "copies"
    pairs = pd.DataFrame(
        [(*(text(CLEAN, 25) for _ in range(2)), i % 2) for i in range(300)],
        columns=["mirna", "site", "label"],
    )
    options = {"sequence": "mirna,site"}
    frame = pairs.sample(frac=1, random_state=0)
    assert codonbench.audit_data(frame[:200], frame[200:], task_options=options).verdict == "PASS"
    same = [frame[:200], pd.concat([frame[200:], frame[:20]])]
    audit = codonbench.audit_data(*same, task_options=options)
    assert (audit.verdict, len(audit.copied)) == ("FAIL", 20)


def test_an_audit_is_kept_and_the_same_to_the_byte(tmp_path, audited, monkeypatch):
    first = audited(TRAIN, TEST)
    (kept,) = (tmp_path / "cache" / "audits").iterdir()
    content = kept.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("codonbench.leakage.audit.audit", None)  # is not called
        assert audited(TRAIN, TEST) == first
    kept.write_text("damaged")
    assert audited(TRAIN, TEST) == first
    assert kept.read_bytes() == content


def test_a_task_without_test_items_of_their_own_is_refused():
    with pytest.raises(DataError, match="draws its examples anew"):
        codonbench.audit_data("human-codon")


def test_data_without_training_items_are_refused(tmp_path):
    task = load_registry().task("planted-motif").task
    whole = task.load(task.default_data, task.Options(), cache=tmp_path)
    asked = {name: whole.splits[name] for name in ("validation", "test")}
    with pytest.raises(DataError, match="have no training items"):
        splits_of(replace(whole, splits=asked))


def test_at_most_one_in_twenty_clean_sets_is_warned_of(audited):
    """The script benchmarks/leakage.py does this for 200; here for a few small ones."""
    verdicts = []
    for seed in range(6):
        rng = random.Random(seed)
        length = rng.randint(20, 120)
        verdicts.append(audited(rows(rng, 200, length), rows(rng, 80, length)).verdict)
    assert verdicts.count("PASS") >= 5


@real
@pytest.mark.parametrize(
    ("folder", "leaks"),
    [
        ("enhancers_liu2016", {"copies", "near-copies", "order of rows"}),  # as the files lie
        pytest.param(
            "ncrna_13class",
            {"copies", "near-copies", "length", "order of rows"},
            marks=pytest.mark.nightly("seconds; the small set beside it has its like"),
        ),
    ],
)
def test_real_sets_leak_what_is_known_of_them(folder, leaks):
    audit = codonbench.audit_data(str(REAL / folder))
    assert {check for check, grade in grades(audit).items() if grade == "leak"} == leaks
    assert audit.verdict == "FAIL"


@real
@pytest.mark.parametrize("which", TWINS)
def test_promoters_without_a_training_part_have_twins_in_validation(which):
    items, targets, splits = [], [], {}
    for split, name in (("validation", "dev"), ("test", "test")):
        table = pd.read_csv(
            REAL / "gue_prom" / f"prom_{which.replace('-', '_')}" / f"{name}.csv.gz"
        )
        splits[split] = np.arange(len(items), len(items) + len(table))
        items += table["sequence"].tolist()
        targets += table["label"].tolist()
    twin = in_pieces(Sequences.of(items, "ACGT"), splits["test"], splits["validation"], 4)
    has = twin >= 0
    right = np.array(targets)
    others = right[splits["test"][has]] != right[twin[has]]
    assert (has.sum(), len(has), others.sum()) == TWINS[which]


@real
@pytest.mark.nightly("minutes; docs/leakage.md has what it gives")
def test_promoters_fail_for_pieces_in_place_and_transcription_factors_do_not():
    for name in ("prom_core_all", "prom_core_notata"):
        audit = codonbench.audit_data(str(REAL / "gue_prom" / name))
        assert grades(audit)["pieces in place"] == "leak"
    for number in range(5):
        assert codonbench.audit_data(str(REAL / "gue_tf" / str(number))).verdict != "FAIL"
