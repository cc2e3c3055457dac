"""Who ran it: signatures that hold, and each way in which one does not."""

import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from codonbench.errors import KeyFileError, SignatureError, StoreError
from codonbench.records.signing import (
    make_key,
    read_private_key,
    read_public_keys,
    sign,
    signature_path,
    signer_of,
)
from codonbench.records.store import Store, amend_record, read_record


@pytest.fixture
def path(tmp_path, finished):
    """The file of a sound record."""
    return Store(tmp_path / "results").save(finished[0], None)


@pytest.fixture
def record(path):
    return read_record(path)


@pytest.fixture
def alice(tmp_path):
    """Her private key; her public key lies in the folder `keys`."""
    return key_of("alice", tmp_path)


def key_of(name, tmp_path):
    private = tmp_path / "secret" / name
    make_key(private, tmp_path / "keys" / f"{name}.pub")
    return read_private_key(private)


@pytest.fixture
def keys(tmp_path, alice):
    return read_public_keys(tmp_path / "keys")


def edit(place, **changes):
    place.write_text(json.dumps(json.loads(place.read_text()) | changes))


# Keys


def test_a_private_key_is_its_owners_alone(tmp_path):
    found = make_key(tmp_path / "key", tmp_path / "key.pub")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert list(read_public_keys(tmp_path)) == [found]
    assert "PRIVATE" not in (tmp_path / "key.pub").read_text()


@pytest.mark.parametrize("there", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(KeyFileError, match="is there already; choose another name"):
        make_key(tmp_path / "key", tmp_path / "key.pub")
    assert (tmp_path / there).read_text() == "precious"


def test_what_is_no_key_is_named(tmp_path, alice):
    with pytest.raises(KeyFileError, match="nowhere cannot be read: No such file"):
        read_private_key(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="is no private key as 'bench keygen' writes it"):
        read_private_key(tmp_path / "keys" / "alice.pub")
    with pytest.raises(KeyFileError, match="holds no public key"):
        read_public_keys(tmp_path / "secret")
    (tmp_path / "keys" / "odd.pub").write_text("odd")
    with pytest.raises(KeyFileError, match=r"odd\.pub is no public key"):
        read_public_keys(tmp_path / "keys")


def test_a_key_behind_a_password_or_of_another_kind_is_named(tmp_path, alice):
    locked = alice.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")
    )
    (tmp_path / "locked").write_bytes(locked)
    with pytest.raises(KeyFileError, match=r"locked is no private key .*[Pp]assword"):
        read_private_key(tmp_path / "locked")
    other = generate_private_key(SECP256R1())
    (tmp_path / "p256").write_bytes(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(KeyFileError, match="p256 is no Ed25519 key"):
        read_private_key(tmp_path / "p256")
    (tmp_path / "keys" / "p256.pub").write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(KeyFileError, match=r"p256\.pub is no Ed25519 key"):
        read_public_keys(tmp_path / "keys")


# Signatures


def test_a_signature_says_who_ran_it(path, record, alice, keys):
    assert signer_of(path, record, keys) is None
    assert sign(path, alice) == path.with_name(f"{path.name}.sig")
    assert signer_of(path, record, keys) == "alice"


def test_a_signature_can_be_checked_by_ten_lines_without_codonbench(path, record, alice, tmp_path):
    """As documented: over `codonbench record 1`, a line's end, and name and checksum as JSON."""
    place = sign(path, alice)
    content = json.loads(place.read_text())
    public = load_pem_public_key((tmp_path / "keys" / "alice.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    stated = json.loads(path.read_text())["checksum"]
    message = f'codonbench record 1\n["{path.stem}","{stated}"]'
    public.verify(bytes.fromhex(content["signature"]), message.encode())


def test_signing_leaves_the_record_alone_and_is_no_record_itself(path, record, alice):
    before = path.read_bytes()
    sign(path, alice)
    assert path.read_bytes() == before
    assert list(Store(path.parent).scan()) == [record]


def test_a_strangers_signature_is_named(path, record, keys, tmp_path):
    sign(path, key_of("mallory", tmp_path))
    with pytest.raises(SignatureError, match=r"is by an unknown key, [0-9a-f]{16}$"):
        signer_of(path, record, keys)


def test_a_stranger_who_claims_alices_key_is_found_out(path, record, keys, tmp_path):
    place = sign(path, key_of("mallory", tmp_path))
    edit(place, key=next(iter(keys)))
    with pytest.raises(SignatureError, match="is broken: it is not what alice's key gives"):
        signer_of(path, record, keys)


def test_every_flipped_bit_of_a_signature_breaks_it(path, record, alice, keys):
    place = sign(path, alice)
    sound = json.loads(place.read_text())["signature"]
    for at in range(0, 512, 7):
        flipped = bytearray(bytes.fromhex(sound))
        flipped[at // 8] ^= 1 << at % 8
        edit(place, signature=flipped.hex())
        with pytest.raises(SignatureError, match="is broken"):
            signer_of(path, record, keys)


def test_another_records_signature_is_named(path, record, alice, keys):
    place = sign(path, alice)
    run_spec = record.run_spec.model_copy(update={"seed": 5})
    other = record.model_copy(
        update={"run_spec": run_spec, "seed": 5, "run_id": run_spec.run_id}
    ).sealed()
    other_path = Store(path.parent).save(other, None)
    signature_path(other_path).write_bytes(place.read_bytes())
    with pytest.raises(SignatureError, match=f"by alice is of another record, {record.name}$"):
        signer_of(other_path, other, keys)
    edit(signature_path(other_path), record=other.name, checksum=other.checksum)
    with pytest.raises(SignatureError, match="is broken"):
        signer_of(other_path, other, keys)


def test_a_record_scored_anew_has_to_be_signed_anew(path, record, alice, keys):
    sign(path, alice)
    amend_record(path, record, {"flags": ["a warning"]})
    changed = read_record(path)
    with pytest.raises(SignatureError, match="by alice is of this record before it was changed"):
        signer_of(path, changed, keys)
    edit(signature_path(path), checksum=changed.checksum)
    with pytest.raises(SignatureError, match="is broken"):
        signer_of(path, changed, keys)
    sign(path, alice)
    assert signer_of(path, changed, keys) == "alice"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("[]", "is no signature"),
        ("{}", "is no signature: record: Field required"),
        ('{"a": 1, "a": 2}', "gives 'a' twice"),
        ('{"signature": "zz"}', "is no signature"),
    ],
)
def test_what_is_no_signature_is_named(path, record, keys, text, why):
    signature_path(path).write_text(text)
    with pytest.raises(SignatureError) as caught:
        signer_of(path, record, keys)
    assert f"{path.name}.sig {why}" in str(caught.value)


def test_a_link_in_a_signatures_place_is_not_followed(path, record, alice, keys, tmp_path):
    place = sign(path, alice)
    elsewhere = place.rename(tmp_path / "elsewhere")
    place.symlink_to(elsewhere)
    with pytest.raises(SignatureError, match="is a symbolic link"):
        signer_of(path, record, keys)


def test_what_is_no_sound_record_is_not_signed(path, alice):
    path.write_text(path.read_text().replace('"pairs": 3000', '"pairs": 3001'))
    with pytest.raises(StoreError, match="its content does not match its checksum"):
        sign(path, alice)
    assert not signature_path(path).exists()


def test_a_record_under_another_name_is_not_signed(path, alice):
    with pytest.raises(StoreError, match="should be called mlp-64-s0-"):
        sign(path.rename(path.with_name("mine.json")), alice)


def test_somebody_elses_signature_is_not_replaced(path, record, alice, keys, tmp_path):
    sign(path, alice)
    with pytest.raises(SignatureError, match=r"is by another key, [0-9a-f]{16}; move it away"):
        sign(path, key_of("bob", tmp_path))
    assert signer_of(path, record, keys) == "alice"


def test_a_private_key_of_an_unknown_kind_is_refused_in_words(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(
        b"-----BEGIN PRIVATE KEY-----\n"
        b"MC4CAQAwBQYDJ2VwBCIEIIOS5+oXqNk9qmxi0O+/s31og76u/6gAlDgJcZeEk7ys\n"
        b"-----END PRIVATE KEY-----\n"
    )
    with pytest.raises(KeyFileError, match="no private key as 'bench keygen' writes it"):
        read_private_key(path)
