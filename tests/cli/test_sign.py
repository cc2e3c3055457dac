"""`bench keygen`, `bench sign` and `bench validate --keys`, as a maintainer uses them."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def record(run):
    """The file of one sound record."""
    assert run("--model", "untrained").code == 0
    (path,) = Path("results").glob("*.json")
    return path


@pytest.fixture
def key(bench):
    """Alice's private key, her public one in the folder `keys`."""
    Path("keys").mkdir()
    answer = bench("keygen", "keys/alice")
    assert answer.code == 0
    assert answer.out.startswith("wrote keys/alice (secret) and keys/alice.pub, fingerprint ")
    return Path("keys/alice").rename("alice.key")


def test_a_signed_record_is_valid_and_says_whose_it_is(bench, record, key):
    signed = bench("sign", record, "--key", key)
    assert (signed.code, signed.out) == (0, f"wrote {record}.sig\n")
    answer = bench("validate", "results", "--keys", "keys")
    assert answer.out.splitlines()[-2] == "signed by alice: 1"
    facts = json.loads(bench("validate", record, "--keys", "keys", "--json").out)
    assert facts["signers"] == {str(record): "alice"}


@pytest.mark.parametrize("word", ["results", "untrained-s0", "untrained"])
def test_what_is_signed_may_be_a_folder_or_a_name(bench, record, key, word):
    signed = bench("sign", word, "--key", key, "--results", "results")
    assert (signed.code, signed.out) == (0, f"wrote {record}.sig\n")


def test_an_unsigned_record_is_a_warning_and_in_strict_a_problem(bench, record, key):
    lax, strict = (
        bench("validate", *words, record, "--keys", "keys") for words in ((), ("--strict",))
    )
    assert (lax.code, strict.code) == (0, 1)
    assert f"{record}: warning: is not signed" in lax.out
    assert f"{record}: is not signed" in strict.out


def test_a_strangers_signature_is_a_problem(bench, record, key):
    assert bench("keygen", "mallory").code == 0
    assert bench("sign", record, "--key", "mallory").code == 0
    answer = bench("validate", record, "--keys", "keys")
    assert answer.code == 1
    assert f"{record}: signature is by an unknown key, " in answer.out
    assert "signed by" not in answer.out


def test_an_edited_record_is_not_shown_as_signed(bench, record, key):
    assert bench("sign", record, "--key", key).code == 0
    content = json.loads(record.read_text())
    content["metrics"]["test_accuracy"] = 1.0
    record.write_text(json.dumps(content))
    answer = bench("validate", record, "--keys", "keys")
    assert answer.code == 1
    assert "checksum does not match the content" in answer.out
    assert "signed by" not in answer.out


def test_without_keys_signatures_are_left_alone(bench, record):
    Path(f"{record}.sig").write_text("no signature")
    assert bench("validate", record).code == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("sign", "{record}", "--key", "nowhere"), "key nowhere cannot be read: No such file"),
        (("sign", "nothing.json", "--key", "{key}"), "nothing.json: cannot be read: No such file"),
        (("validate", "{record}", "--keys", "nowhere"), "folder nowhere holds no public key"),
        (("keygen", "alice.key"), "key alice.key is there already; choose another name"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2_and_a_sentence(bench, record, key, words, why):
    answer = bench(*(word.format(record=record, key=key) for word in words))
    assert answer.code == 2
    assert answer.err.startswith(f"bench: {why}")


def test_the_help_says_what_a_signature_is_worth(bench):
    for command in ("sign", "validate"):
        words = " ".join(bench(command, "--help").out.replace("│", " ").split())
        assert "signature says who ran it" in words
