"""A small publication and records that look like whole runs of it."""

from __future__ import annotations

import pytest

from codonbench.contracts import ModelInfo
from codonbench.contracts.base import Origin
from codonbench.contracts.run_record import (
    DatasetFacts,
    Engine,
    Harness,
    RunRecord,
    Timings,
)
from codonbench.contracts.run_spec import RunSpec
from codonbench_datasets.human_codon.reproduction.publications import (
    Cell,
    Instrument,
    Publication,
    Quantiles,
    Reading,
    ReferenceRow,
)
from samples import machine

INSTRUMENT = Instrument(
    epoch="paper_epoch",
    pairs="paper_pairs",
    criteria=("unique", "argmax"),
    epoch_pairs=300,
    frames=(100, 200, 300),
    frame_inputs=10,
    printed_short=300,
)

RNN = Cell(
    configuration="RNN",
    condition="no weights",
    printed="7 epochs, 1,700",
    epoch=7,
    pairs=1_700,
    readings=(
        Reading(protocol="Adam", model="rnn-64"),
        Reading(protocol="SGD", model="rnn-64", overrides={"optimizer": "sgd"}),
    ),
)

MLP = Cell(
    configuration="MLP",
    condition="no weights",
    printed="not within 10",
    censored=True,
    readings=(Reading(protocol="Adam", model="mlp-64"),),
)

QUANTILES = Quantiles(mean="bound_mean", low="bound_q05", median="bound_q50", high="bound_q95")

PUBLICATION = Publication(
    name="mine",
    title="Mine",
    reference="Somebody (2026)",
    doi="10.1/1",
    suite="mine",
    task="human-codon",
    task_options={"genetic_code": 1},
    budget_epochs=10,
    instrument=INSTRUMENT,
    cells=(RNN, MLP),
    references=(
        ReferenceRow(label="knows", role="oracle", model="oracle"),
        ReferenceRow(label="counts", role="bound", model="bound", quantiles=QUANTILES),
        ReferenceRow(
            label="shorter",
            role="bound",
            model="bound",
            quantiles=QUANTILES,
            task_options={"genetic_code": 1, "mean_length": 400},
        ),
    ),
)


def make_run(
    model="rnn-64",
    seed=0,
    epoch=5,
    *,
    argmax=None,
    data="orfs.fa",
    simulated=False,
    stop="budget",
    status="done",
    overrides=None,
    options=None,
    config=None,
    source="s",
    engine="eager",
    computed=False,
    budget=3_000,
    not_measured=(),
    metrics=None,
    **changes,
):
    """A record as a whole run of `PUBLICATION` would leave it."""
    overrides = overrides or {}
    run_spec = RunSpec(
        rules="1",
        task="human-codon",
        task_version="1",
        task_options={"genetic_code": 1, "mean_length": None, **(options or {})},
        data=data,
        data_checksum=data.encode().hex(),
        model=model,
        model_version="1",
        config={"hidden": 64, **overrides, **(config or {})},
        seed=seed,
        budget_pairs=budget,
        stop=stop,
        salt="public",
        device="cpu",
        threads=1,
        engine=engine,
    )
    pairs = None if epoch is None else 300 * max(0, epoch - 2) + 200
    found = {
        "all_seen": 90,
        "excess_pairs": None if epoch is None else 10,
        "pairs_consumed": None if epoch is None else 100,
        "sustained_pairs": None if epoch is None else 120,
        "relapses": 1,
        "rare_stop_ambiguity": 2,
        "test_accuracy": 0.5,
        "paper_epoch_unique": epoch,
        "paper_epoch_argmax": argmax if argmax is not None else epoch,
        "paper_pairs_unique": pairs,
        "paper_pairs_argmax": pairs,
        **(metrics or {}),
    }
    record = RunRecord(
        run_id=run_spec.run_id,
        comparability_key=f"{data}-{run_spec.task_options['mean_length']}",
        model=model,
        task="human-codon",
        seed=seed,
        status=status,
        run_spec=run_spec,
        overrides=overrides,
        dataset=DatasetFacts(
            source=data,
            checksum=run_spec.data_checksum,
            simulated=simulated,
            provenance={"orfs": 12, "mean_length": 3.25, "file_sha256": "f" * 64},
        ),
        plugin=Origin(distribution="codonbench", version="1", module="m", source_sha256=source),
        info=ModelInfo(name="any", version="1", summary=""),
        harness=Harness(version="0", commit=None, modified=None),
        machine=machine(),
        engine=Engine(name="eager", version="1"),
        parameters=1,
        pairs=budget,
        metrics=found,
        not_measured=not_measured,
        trajectory_sha256=None if computed else "t",
        timings=Timings(),
    )
    return record.model_copy(update=changes).sealed()


def make_bound(low=40.0, **fields):
    """A record of a closed form."""
    values = {"bound_q05": low, "bound_q50": 95.0, "bound_mean": 100.0, "bound_q95": 250.0}
    return make_run("bound", epoch=None, computed=True, metrics=values, **fields)


@pytest.fixture
def publication():
    return PUBLICATION


@pytest.fixture
def run():
    return make_run


@pytest.fixture
def bound():
    return make_bound
