"""Records as a table: what a record says of itself stays text in a spreadsheet."""

import csv

import pytest

from codonbench.records.table import export


@pytest.mark.parametrize("said", ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "\t=1", "\r=1"])
def test_no_text_of_a_record_is_a_formula_of_a_spreadsheet(finished, tmp_path, said):
    record, _ = finished
    machine = record.machine.model_copy(update={"device_name": said})
    record = record.model_copy(update={"machine": machine, "metrics": {"gain": -0.5}})
    export([record], tmp_path / "runs.csv", "csv")
    with (tmp_path / "runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["device"] == f"'{said}".replace("\r", " ")
    assert row["gain"] == "-0.5"  # a number stays one
    assert row["model"] == record.model
