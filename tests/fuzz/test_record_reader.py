"""Record files: forged and sealed, edited, damaged, cut short, or no record at all."""

import json
import os
from itertools import count

import pytest
from hypothesis import strategies as st

from codonbench.audit.validate import validate
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import KeyFileError, SignatureError, StoreError
from codonbench.ranking.board import build_board
from codonbench.records.files import check_numbers_and_depth, read_json
from codonbench.records.signing import (
    make_key,
    read_private_key,
    read_public_keys,
    sign,
    signature_path,
    signer_of,
)
from codonbench.records.store import BadRecord, Store, read_record, upgrade
from codonbench.report.markdown import render_board
from codonbench_datasets.human_codon.task import HumanCodon

TASKS = dict.fromkeys(("human-codon", "dipeptide"), HumanCodon())  # ranked alike

NAMES = st.sampled_from(
    (b"drawn.json", b"dr\xffwn.json", b"a\nb.json", b"\x1b[2J.json", b"-.json", b"a`|.json")
)
"""File names, as bytes: a name need not be text."""


def written(folder, drawn):
    content, name = drawn
    path = folder / os.fsdecode(name)
    path.write_bytes(content)
    return path


@pytest.fixture
def fresh(tmp_path):
    """A new folder whenever called."""
    number = count()

    def folder():
        path = tmp_path / str(next(number))
        path.mkdir()
        return path

    return folder


def test_any_file_is_json_without_two_readings_or_is_refused(fuzz, record_texts, tmp_path):
    def read(content):
        value = read_json(written(tmp_path, (content, b"drawn.json")))
        assert json.loads(json.dumps(value, allow_nan=False)) == value

    fuzz("JSON of untrusted files", record_texts, read, (StoreError,), examples=100)


def test_any_file_is_a_record_or_a_bad_one(fuzz, record_texts, tmp_path):
    def read(content):
        path = written(tmp_path, (content, b"drawn.json"))
        found = read_record(path)
        if isinstance(found, BadRecord):
            raise StoreError(found.reason)
        assert found.run_id == found.run_spec.run_id or "schema_version" in found.model_fields_set
        assert Store(tmp_path).find(found.run_id, found.name) is None  # it is not called so

    fuzz("records", record_texts, read, (StoreError,), examples=100)


def test_validation_says_what_is_wrong_with_any_file(fuzz, record_texts, fresh):
    """One remark is one printable line: none can steer a terminal."""

    def read(drawn):
        report = validate([written(fresh(), drawn)], TASKS, {}, {}, strict=True)
        assert report.records == 1
        assert all(str(problem).isprintable() for problem in report.problems)
        if report.problems:
            raise StoreError(str(report.problems[0]))

    fuzz("validation of records", st.tuples(record_texts, NAMES), read, (StoreError,), 100)


def test_any_folder_makes_a_leaderboard(fuzz, record_texts, fresh):
    def read(files):
        folder = fresh()
        for drawn in files:
            written(folder, drawn)
        board = build_board(Store(folder).scan(), TASKS)
        page = render_board(board)
        assert len(board.excluded) <= len(list(folder.iterdir()))
        assert "\x1b" not in page
        json.dumps(board.model_dump(mode="json"), allow_nan=False).encode()
        page.encode()

    files = st.lists(st.tuples(record_texts, NAMES), max_size=3)
    fuzz("folders of records", files, read, examples=60)


def test_the_commands_that_read_records_end_in_words(fuzz, record_texts, bench, fresh):
    def run(drawn):
        folder = fresh() / "results"
        folder.mkdir()
        path = written(folder, drawn)
        for words in (
            ("validate", path),
            ("validate", "--json", folder),
            ("leaderboard", "--results", folder),
            ("show", "mlp-64-s0", "--results", folder),
        ):
            code, said = bench(*words)
            assert code in (0, 1, 2, 3)
            assert "Traceback" not in said
            assert all(line.isprintable() for line in said.splitlines())

    fuzz("bench validate, leaderboard, show", st.tuples(record_texts, NAMES), run, (), 15)


def test_what_is_written_reads_back_equal(fuzz, golden, edited, tmp_path):
    def holds(content):
        check_numbers_and_depth(content)  # what no record's file may hold
        try:
            record = RunRecord.model_validate_json(json.dumps(content), strict=True)
        except ValueError as error:
            raise StoreError(str(error)) from error
        record = record.model_copy(update={"run_id": record.run_spec.run_id}).sealed()
        folder = tmp_path / record.run_id
        path = Store(folder).save(record, None)
        assert read_record(path) == record
        assert Store(folder).find(record.run_id, record.name) == record

    fuzz("records, there and back", edited(golden), holds, (StoreError,), examples=60)


def test_any_content_is_brought_up_to_date_or_refused(fuzz, golden, edited):
    fuzz("formats of records", edited(golden), upgrade, (StoreError,), examples=40)


# Signatures and keys


@pytest.fixture(scope="module")
def signed(tmp_path_factory, golden):
    """A signed record, and the folder of its key."""
    folder = tmp_path_factory.mktemp("signed")
    record = RunRecord.model_validate_json(json.dumps(golden))
    path = folder / f"{record.name}.json"
    path.write_text(json.dumps(golden))
    make_key(folder / "alice", folder / "alice.pub")
    sign(path, read_private_key(folder / "alice"))
    return path, record, folder


def test_no_signature_but_the_one_that_was_made_is_taken(fuzz, damaged, edited, signed):
    path, record, folder = signed
    keys = read_public_keys(folder)
    whole = signature_path(path).read_bytes()
    assert signer_of(path, record, keys) == "alice"
    facts = json.loads(whole)
    drawn = st.one_of(
        damaged(whole),
        edited(facts).map(lambda facts: json.dumps(facts).encode()),
        st.binary(max_size=100),
    )

    def read(content):
        signature_path(path).write_bytes(content)
        assert signer_of(path, record, keys) == "alice"
        said = json.loads(content)
        assert all(said[field] == facts[field] for field in ("record", "checksum", "signature"))

    fuzz("signatures", drawn, read, (SignatureError,), examples=60)
    signature_path(path).write_bytes(whole)


def test_any_file_is_a_key_or_is_refused(fuzz, damaged, signed, tmp_path):
    _, _, folder = signed
    private, public = folder / "alice", folder / "alice.pub"
    foreign = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",  # cut short
        "MBwwDQYJKoZIhvcNAQEBBQADCwAwCAIBAAIDAQAB",
        "MCowBQYDK2VuAyEA" + "A" * 43 + "=",  # X25519
        "MBEwDAYIKoZIzj0CAQUAAwEA",
        "MBYwEAYGKyQDAwIIAQEHAwIAAAMCAAA=",  # Brainpool
    )
    drawn = st.one_of(
        damaged(private.read_bytes()),
        damaged(public.read_bytes()),
        st.sampled_from(foreign).map(
            lambda text: f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n".encode()
        ),
        st.binary(max_size=100),
    )
    path = tmp_path / "drawn.pub"

    def read(content):
        path.write_bytes(content)
        try:
            read_private_key(path)
        except KeyFileError:
            read_public_keys(tmp_path)

    fuzz("keys", drawn, read, (KeyFileError,), examples=100)
