"""An audit that was cut short goes on where it was, to the same bytes."""

import os
import random
import signal
import subprocess
import sys

import pytest

import codonbench
from codonbench.errors import StoreError
from codonbench.leakage import audit, near_copies, trivial_rules, verdict
from codonbench.leakage.own_table import table_subject
from codonbench.leakage.safe_split import safe_split
from codonbench.leakage.steps import Steps
from codonbench.plugins.discovery import load_registry
from codonbench.records.files import write_atomically
from leaks import rows, write

KILLED = """
import os, signal, sys
import codonbench
from codonbench.leakage import trivial_rules

trivial_rules.words_counted = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
codonbench.audit_data(*sys.argv[1:])
"""


@pytest.fixture
def files(tmp_path):
    """Training and test rows, of which some are near-copies with a gap."""
    rng = random.Random(0)
    train = rows(rng, 300)
    near = [(text[:20] + text[21:], label) for text, label in train[:9]]
    tables = ("a", train), ("b", [*rows(rng, 100), *near])
    return [write(tmp_path / name, found, "sequence,label") for name, found in tables]


def taken_again(*_):
    raise AssertionError


def test_an_audit_that_was_killed_goes_on_to_the_same_bytes(files, tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    environment = os.environ | {"CODONBENCH_CACHE": str(killed)}
    command = [sys.executable, "-c", KILLED, *map(str, files)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "whole"))
    whole = codonbench.audit_data(*files).as_json()
    for module, name in (
        (audit, "same_items"),
        (near_copies, "_Index"),
        (near_copies, "_near_with_gaps"),
        (trivial_rules, "in_place"),
    ):
        monkeypatch.setattr(module, name, taken_again)
    monkeypatch.setenv("CODONBENCH_CACHE", str(killed))
    assert codonbench.audit_data(*files).as_json() == whole
    (kept,) = (killed / verdict.KEPT).iterdir()  # its steps are dropped
    assert kept.read_text() == whole


def test_a_safe_split_goes_on_with_the_pairs_that_it_has_found(files, tmp_path, monkeypatch):
    subject = table_subject(f"train={files[0]},test={files[1]}", {}, load_registry().metrics_of)
    steps = Steps(tmp_path / "steps")
    whole = safe_split(subject, steps=steps)
    monkeypatch.setattr(near_copies, "_Index", taken_again)
    splits, groups = safe_split(subject, steps=steps)
    assert groups.tolist() == whole[1].tolist()
    assert {name: each.tolist() for name, each in splits.items()} == {
        name: each.tolist() for name, each in whole[0].items()
    }


def test_begun_anew_nothing_that_was_kept_counts(files, tmp_path, monkeypatch):
    subject = table_subject(f"train={files[0]},test={files[1]}", {}, load_registry().metrics_of)
    audit.audit(subject, steps=audit.unfinished(subject, tmp_path))
    monkeypatch.setattr(audit, "same_items", taken_again)
    audit.audited(subject, tmp_path)
    with pytest.raises(AssertionError):
        audit.audited(subject, tmp_path, anew=True)


def test_an_audit_that_its_own_steps_leave_no_room_for_takes_theirs(files, tmp_path, monkeypatch):
    def write(path, content):
        if path.suffix == ".json" and steps.folder.is_dir():
            raise StoreError("no space left")
        write_atomically(path, content)

    subject = table_subject(f"train={files[0]},test={files[1]}", {}, load_registry().metrics_of)
    steps = audit.unfinished(subject, tmp_path)
    monkeypatch.setattr(audit, "write_atomically", write)
    found = audit.audited(subject, tmp_path)
    assert audit.kept_audit(subject, tmp_path) == found
    assert not steps.folder.exists()
