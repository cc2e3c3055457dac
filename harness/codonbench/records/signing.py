"""Who ran it: Ed25519 signatures of records.

A signature covers a record's name and checksum, and so its metrics and its trajectory's hash. It
lies beside the record, in ``<name>.json.sig``, since a record is sealed. It says who ran it;
whether it is true, an audit says.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from platformdirs import user_config_path
from pydantic import Field, ValidationError

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import canonical_json
from codonbench.errors import KeyFileError, SignatureError, StoreError
from codonbench.records.files import read_json, write_atomically
from codonbench.records.store import BadRecord, read_record

Keys = Mapping[str, tuple[str, Ed25519PublicKey]]
"""By fingerprint: whose key it is, and the key."""


class Signature(Frozen):
    """What ``<name>.json.sig`` holds.

    Attributes:
        schema_version: Of this file's format.
        algorithm: Algorithm of the signature.
        record: The signed record's name.
        checksum: The signed record's.
        key: Fingerprint of the public key, see `fingerprint`.
        signature: 64 bytes in hexadecimal digits.
    """

    schema_version: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    record: str
    checksum: str
    key: str
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")


def private_key_path(name: str) -> Path:
    """Return the path of a user's private key: in the user's settings, outside any repository."""
    return user_config_path("codonbench", appauthor=False) / "keys" / name


def make_key(private: Path, public: Path) -> str:
    """Write a new pair of keys to two files; return the public one's fingerprint.

    The private key is not encrypted; only its owner may read the file.

    Raises:
        KeyFileError: One of the files is there already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shared = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if public.exists():
        raise KeyFileError(f"key {public} is there already; choose another name")
    _write_new(private, secret, 0o600)
    _write_new(public, shared, 0o644)
    return fingerprint(key.public_key())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise KeyFileError(f"key {path} is there already; choose another name") from error
    except OSError as error:
        raise KeyFileError(f"key {path} cannot be written: {error.strerror}") from error


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file.

    Raises:
        KeyFileError: It cannot be read, is encrypted, or is no Ed25519 key.
    """
    key = _read_key(path, lambda pem: load_pem_private_key(pem, password=None), "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"key {path} is no Ed25519 key; 'bench keygen NAME' makes one")
    return key


def read_public_keys(folder: Path) -> Keys:
    """Return the keys of a folder; ``alice.pub`` is alice's.

    Raises:
        KeyFileError: There is no such folder, no key in it, or one that is no Ed25519 key.
    """
    with suppress(FileNotFoundError):
        folder.stat()  # raises what is wrong with it, about which globbing is silent
    paths = sorted(folder.glob("*.pub"))
    if not paths:
        raise KeyFileError(f"folder {folder} holds no public key, no file ending in .pub")
    keys = {}
    for path in paths:
        key = _read_key(path, load_pem_public_key, "public")
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"key {path} is no Ed25519 key")
        keys[fingerprint(key)] = (path.stem, key)
    return keys


def _read_key(path: Path, load: Callable[[bytes], object], kind: str) -> object:
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"key {path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError, UnsupportedAlgorithm, InternalError) as error:
        # TypeError: it asks for a password. InternalError: OpenSSL's own confusion.
        raise KeyFileError(
            f"{path} is no {kind} key as 'bench keygen' writes it: {error}"
        ) from error


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 (hex) of a public key's 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def sign(path: Path, key: Ed25519PrivateKey) -> Path:
    """Sign a sound record file; return the path of the signature.

    A signature of the record as it was before, by the same key, is replaced.

    Raises:
        StoreError: The file is no sound record, or the signature cannot be written.
        SignatureError: Somebody else has signed it.
    """
    record = read_record(path)
    if isinstance(record, BadRecord):
        raise StoreError(f"{path} {record.reason}")
    if path.name != f"{record.name}.json":
        raise StoreError(f"{path} should be called {record.name}.json")
    own, place = fingerprint(key.public_key()), signature_path(path)
    if place.exists() and (before := _read(place)).key != own:
        raise SignatureError(f"{place} is by another key, {before.key[:16]}; move it away first")
    signature = Signature(
        record=record.name,
        checksum=record.checksum,
        key=own,
        signature=key.sign(_message(record)).hex(),
    )
    text = json.dumps(signature.model_dump(mode="json"), indent=1, sort_keys=True)
    write_atomically(place, f"{text}\n".encode())
    return place


def signature_path(record: Path) -> Path:
    """Return the path of the signature of a record file."""
    return record.with_name(f"{record.name}.sig")


def signer_of(path: Path, record: RunRecord, keys: Keys) -> str | None:
    """Return the signer of a record; None if it is not signed.

    Args:
        path: The record's file.
        record: The record, whose checksum has been checked.
        keys: Those that are known.

    Raises:
        SignatureError: Says what is wrong with the signature, without naming it.
    """
    place = signature_path(path)
    if not place.exists() and not place.is_symlink():
        return None
    signature = _read(place)
    if signature.key not in keys:
        raise SignatureError(f"is by an unknown key, {signature.key[:16]}")
    name, key = keys[signature.key]
    if signature.record != record.name:
        raise SignatureError(f"by {name} is of another record, {signature.record}")
    if signature.checksum != record.checksum:
        raise SignatureError(f"by {name} is of this record before it was changed")
    try:
        key.verify(bytes.fromhex(signature.signature), _message(record))
    except InvalidSignature as error:
        raise SignatureError(f"is broken: it is not what {name}'s key gives") from error
    return name


def _read(place: Path) -> Signature:
    try:
        return Signature.model_validate_json(json.dumps(read_json(place)))
    except StoreError as error:
        raise SignatureError(f"{place.name} {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SignatureError(f"{place.name} is no signature: {field}: {first['msg']}") from error


def _message(record: RunRecord) -> bytes:
    """Return the signed message; its first line states the purpose, so that it fits no other."""
    return f"codonbench record 1\n{canonical_json([record.name, record.checksum])}".encode()
