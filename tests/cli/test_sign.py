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


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """Where the user's settings are."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings"


@pytest.fixture
def key(bench, settings):
    """The name of Alice's keys, her public one in the folder `keys`."""
    Path("keys").mkdir()
    answer = bench("keygen", "alice")
    assert answer.code == 0
    secret = settings / "codonbench" / "keys" / "alice"
    assert answer.out.startswith(f"wrote {secret} (secret) and alice.pub, fingerprint ")
    assert secret.is_file()
    Path("alice.pub").rename("keys/alice.pub")
    return "alice"


def test_a_signed_record_is_valid_and_says_whose_it_is(bench, record, key):
    signed = bench("sign", record, "--key", key)
    assert (signed.code, signed.out) == (0, f"wrote {record}.sig\n")
    answer = bench("validate", "results", "--keys", "keys")
    assert answer.out.splitlines()[-2] == "signed by alice: 1"
    facts = json.loads(bench("validate", record, "--keys", "keys", "--json").out)
    assert facts["signers"] == {str(record): "alice"}


@pytest.mark.parametrize("word", ["untrained-s0", "untrained"])
def test_what_is_signed_may_be_a_name_and_the_key_a_file(bench, record, key, settings, word):
    file = settings / "codonbench" / "keys" / key
    signed = bench("sign", word, "--key", file, "--results", "results")
    assert (signed.code, signed.out) == (0, f"wrote {record}.sig\n")


def test_no_folder_is_signed_since_others_may_have_run_what_is_in_it(bench, record, key):
    refused = bench("sign", "results", "--key", key)
    assert refused.code == 2
    assert "results is a folder" in refused.err
    assert not list(record.parent.glob("*.sig"))


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


def test_a_row_has_one_signer(bench, run, record, key):
    assert run("--model", "untrained", "--seeds", "1").code == 0
    (other,) = Path("results").glob("untrained-s1-*.json")
    assert bench("keygen", "bob").code == 0
    Path("bob.pub").rename("keys/bob.pub")
    for path, who in ((record, key), (other, "bob")):
        assert bench("sign", path, "--key", who).code == 0
    answer = bench("validate", "results", "--keys", "keys")
    first = (
        f"{other}: warning: signature is by bob, but that of {record}, of the same row, is by alice"
    )
    assert first in answer.out


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
        (("sign", "{record}", "--key", "nowhere"), "keys/nowhere cannot be read: No such file"),
        (("sign", "nothing.json", "--key", "{key}"), "nothing.json: cannot be read: No such file"),
        (("validate", "{record}", "--keys", "nowhere"), "folder nowhere holds no public key"),
        (("keygen", "alice"), "keys/alice is there already; choose another name"),
        (("keygen", "keys/bob"), "expected a name, such as alice, and no path"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2_and_a_sentence(bench, record, key, words, why):
    answer = bench(*(word.format(record=record, key=key) for word in words))
    assert answer.code == 2
    assert answer.err.startswith("bench: ")
    assert why in answer.err


def test_the_help_says_what_a_signature_is_worth(bench):
    for command in ("sign", "validate"):
        words = " ".join(bench(command, "--help").out.replace("│", " ").split())
        assert "signature says who ran it" in words
