"""A row beside its control, and the cheats that it is for: each of them is a toy model here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from Bio.Data import CodonTable
from scipy.stats import wilcoxon
from torch import nn

from codonbench import Model
from codonbench.contracts import GradientConfig, ModelInfo
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.protocols.referee import unwatched
from codonbench.ranking import board
from codonbench.ranking.rows import controlled_key
from codonbench.report.markdown import render_board
from codonbench_datasets.decipher import RANKING, SHUFFLED
from codonbench_datasets.human_codon.task import HumanCodon

FASTER = SHUFFLED.flag
SEEDS = (1, 4, 6, 8, 9, 10)  # each codon is shown three times within the budget
PAIRS = 12_800

LETTERS = "ACDEFGHIKLMNPQRSTVWY*"
TABLE = CodonTable.unambiguous_rna_by_id[1].forward_table
CODE = [LETTERS.index(TABLE.get(a + b + c, "*")) for a in "UCAG" for b in "UCAG" for c in "UCAG"]
"""The class of each codon, as a cheat would have it in its source."""


def cheat(name, make):
    """A model class that builds what `make` returns."""

    class Cheat(Model):
        info = ModelInfo(name=name, version="1", summary="A cheat.")
        Config = GradientConfig

        @property
        def encoding(self):
            return "input_index"

        def build(self, task):
            return make(task)

    return Cheat


class HardCodedTable(nn.Module):
    """Knows the true class id of each codon, and may learn how much to trust it."""

    def __init__(self, task):
        super().__init__()
        self.register_buffer("known", torch.eye(task.n_classes)[CODE])
        self.trust = nn.Parameter(torch.ones(task.n_classes))

    def forward(self, inputs):
        return self.known[inputs] * self.trust


class Counting(nn.Module):
    """Counts labels for each codon, or for each block of codons; learns without gradients."""

    def __init__(self, task):
        super().__init__()
        self.register_buffer("of_codon", torch.zeros(task.n_inputs, task.n_classes))
        self.register_buffer("of_block", torch.zeros(task.n_classes, task.n_classes))
        self.register_buffer("block", torch.tensor(CODE))

    def update(self, inputs, labels):
        one = torch.ones(len(labels))
        self.of_codon.index_put_((inputs, labels), one, accumulate=True)
        self.of_block.index_put_((self.block[inputs], labels), one, accumulate=True)

    def forward(self, inputs):
        return self.answer()[inputs]


class Blocks(Counting):
    """Knows which codons share a class, without naming it: one codon tells for all of them."""

    def answer(self):
        return self.of_block[self.block]


class Paced(Blocks):
    """Knows the blocks, but is silent until it has seen all codons, not to be below the bound."""

    def answer(self):
        all_seen = bool((self.of_codon.sum(dim=1) > 0).all())
        return super().answer() if all_seen else torch.zeros(64, 21)


class PacedWithFallback(Paced):
    """Where the blocks prove wrong, it learns slowly: a codon takes three sightings."""

    def answer(self):
        if bool(((self.of_block > 0).sum(dim=1) <= 1).all()):
            return super().answer()
        return (self.of_codon - 2).clamp(min=0)


class PacedWithTable(Paced):
    """Where the blocks prove wrong, it remembers each codon: the best that anything honest can."""

    def answer(self):
        blocks_hold = bool(((self.of_block > 0).sum(dim=1) <= 1).all())
        return super().answer() if blocks_hold else self.of_codon


class Honest(Counting):
    """Remembers each codon."""

    def answer(self):
        return self.of_codon


MAKERS = {
    "table": HardCodedTable,
    "blocks": Blocks,
    "paced": Paced,
    "paced-with-fallback": PacedWithFallback,
    "paced-with-table": PacedWithTable,
    "honest": Honest,
}


def build_board(records):
    return board.build_board(records, {"human-codon": HumanCodon()})


def train(registry, model, **asked):
    request = RunRequest(model=model, **asked)
    job = prepare(request, registry, Path("no-cache"))
    return [record for record, _ in run(job, registry, unwatched)]


@pytest.fixture(scope="module")
def records(toys):
    """Every toy, on the real code and under the control."""
    registry = toys.registry(*(cheat(name, make) for name, make in MAKERS.items()))
    asked = {"seeds": SEEDS, "pairs": PAIRS, "full": True}
    return [
        record
        for name in MAKERS
        for control in ({}, {"control": "shuffled"})
        for record in train(registry, name, task_overrides=control, **asked)
    ]


@pytest.fixture(scope="module")
def table(records):
    """The board's table of the real code."""
    real, control = build_board(records).tables
    assert (real.control, control.control) == ("", "shuffled")
    assert {record.status for record in records} == {"done"}
    return real


def row(table, model):
    return next(row for row in table.rows if row.model == model)


def contrast(table, model):
    return next(found for found in table.contrasts if found.model == model)


def excesses(records, model, control=None):
    return [
        record.metrics["excess_pairs"]
        for record in records
        if record.model == model and record.run_spec.task_options.get("control") == control
    ]


def test_a_hard_coded_table_never_deciphers(records, table):
    assert excesses(records, "table") == [None] * len(SEEDS)
    assert row(table, "table").successes == 0
    assert contrast(table, "table").ratio is None
    assert not contrast(table, "table").faster


def test_hard_coded_blocks_are_far_below_the_bound_and_flagged_twice(records, table):
    assert max(excesses(records, "blocks")) < -1_000
    notes = row(table, "blocks").notes
    assert any(note.startswith("below the bound in 6 of 6 (too often for luck: ") for note in notes)
    assert FASTER in notes
    assert excesses(records, "blocks", "shuffled") == [None] * len(SEEDS)


def test_paced_blocks_stay_at_the_bound_and_the_control_shows_them(records, table):
    assert excesses(records, "paced") == [0] * len(SEEDS)
    assert not any("below the bound" in note for note in row(table, "paced").notes)
    found = contrast(table, "paced")
    assert (found.ratio.value, found.faster) == (0.0, True)
    assert FASTER in row(table, "paced").notes


def test_paced_blocks_that_learn_honestly_where_they_fail_are_slower_then(records, table):
    assert excesses(records, "paced-with-fallback") == [0] * len(SEEDS)
    assert min(excesses(records, "paced-with-fallback", "shuffled")) > 0
    found = contrast(table, "paced-with-fallback")
    assert 0 < found.ratio.value < 0.6
    assert found.faster


def test_what_the_control_cannot_show_has_the_figures_of_an_honest_table(records, table):
    """Paced blocks that fall back on remembering: rank and all, which only a reader can deny."""
    for control in (None, "shuffled"):
        honest = excesses(records, "honest", control)
        assert excesses(records, "paced-with-table", control) == honest == [0] * len(SEEDS)
    assert not contrast(table, "paced-with-table").faster


def test_an_honest_learner_has_ratio_one_and_no_flag(table):
    found = contrast(table, "honest")
    assert (found.ratio.low, found.ratio.value, found.ratio.high) == (1, 1, 1)
    assert not found.faster
    assert FASTER not in row(table, "honest").notes


def test_the_control_is_a_table_of_its_own_that_names_what_it_controls(records):
    real, control = (
        next(r for r in records if r.run_spec.task_options.get("control") == c)
        for c in (None, "shuffled")
    )
    assert controlled_key(real, RANKING) is None
    assert controlled_key(control, RANKING) == real.comparability_key != control.comparability_key


def test_too_few_seeds_flag_nothing(records):
    few = [r for r in records if r.seed != SEEDS[-1] and r.model == "paced"]
    table = build_board(few).tables[0]
    assert (contrast(table, "paced").ratio.value, contrast(table, "paced").faster) == (0, False)


def test_only_seeds_with_and_without_the_control_are_compared(records):
    some = [
        r
        for r in records
        if r.model == "honest" and (r.seed != 1 or "control" not in r.run_spec.task_options)
    ]
    assert contrast(build_board(some).tables[0], "honest").seeds == SEEDS[1:]


def test_the_page_shows_the_ratio_and_says_what_is_faster(records):
    page = render_board(build_board(records))
    said = " ".join(page.split())
    line = next(x for x in page.splitlines() if x.startswith("| paced ") and "0.00" in x)
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[3:6] == ["> 12,800", "0.00 [0.00 to 0.00]", "yes"]
    assert "control shuffled, whole budget, cpu" in page
    assert "stop means the codons that the shuffled code makes stop" in said
    assert said.count(FASTER) == 3  # blocks, paced, paced with fallback


@pytest.mark.nightly("an honest table is held to the control on each push")
@pytest.mark.parametrize("model", ["mlp-64", "mlp-64-12bit"])
def test_honest_networks_cannot_tell_one_relabelling_from_another(toys, model):
    """Twelve seeds on the same streams under two salts: a paired test finds no difference."""
    asked = {"seeds": tuple(range(12)), "pairs": 16_000, "full": True}
    confident = {}
    for salt in ("A", "B"):
        records = train(toys.registry(), model, salt=salt, **asked)
        by_seed = {r.seed: r.metrics["confident_pairs"] or asked["pairs"] for r in records}
        confident[salt] = np.array([by_seed[seed] for seed in asked["seeds"]])
    assert (confident["A"] != confident["B"]).any()  # or nothing were compared
    assert wilcoxon(confident["A"], confident["B"]).pvalue > 0.05
