"""Readers fed with what nobody would write: each gives a value or says what is wrong, in time."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codonbench.cli.main import main
from codonbench.contracts.run_spec import content_hash
from codonbench.errors import BenchError

ROOT = Path(__file__).resolve().parents[2]

LONG = 12
"""How many times as many inputs a long run takes."""

LIMIT = timedelta(seconds=10)
"""For one input, on a busy machine; an honest one takes milliseconds."""


@dataclass(frozen=True)
class Fuzz:
    """Tries a reader on drawn inputs, and leaves behind how many there were."""

    record_property: object
    times: float

    def __call__(self, reader, inputs, read, refusals=(BenchError,), examples=60):
        """Hold that each input is read or refused.

        Args:
            reader: What is fuzzed, for the figures.
            inputs: The strategy they are drawn from.
            read: Reads one; any exception but `refusals` is a failure.
            refusals: The exceptions that the reader documents.
            examples: How many inputs; a short run takes half of them.
        """
        ended = {"read": 0, "refused": 0}
        words = set()

        @settings(
            max_examples=round(examples * self.times),
            deadline=LIMIT,
            database=None,
            derandomize=not os.environ.get("CODONBENCH_FUZZ_ANEW"),
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def each(drawn):
            try:
                read(drawn)
            except refusals as refusal:
                words.add(bool(str(refusal).strip()))
                ended["refused"] += 1
            else:
                ended["read"] += 1

        each()
        assert words <= {True}
        self.record_property("fuzzed", reader)
        self.record_property("inputs", sum(ended.values()))
        self.record_property("inputs refused", ended["refused"])


LONGER = pytest.param(LONG, marks=pytest.mark.nightly("the short run, with more inputs"))


@pytest.fixture(params=[0.5, LONGER], ids=["short", "long"])
def fuzz(request, record_property):
    return Fuzz(record_property, request.param)


@pytest.fixture(scope="session")
def bench():
    """The command line in this process: its exit code, and what it said."""

    def call(*words):
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        argv = patch.object(sys, "argv", ["bench", *map(str, words)])
        with argv, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, err.getvalue()

    return call


# What is drawn


@st.composite
def _damaged(draw, whole):
    """Bytes with some of them flipped, overwritten, cut out, put in, repeated, or cut off."""
    content = bytearray(draw(whole) if isinstance(whole, st.SearchStrategy) else whole)
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(content)))
        until = min(len(content), where + draw(st.sampled_from((1, 1, 1, 2, 4, 8, 64, 4096))))
        how = draw(st.sampled_from(("flip", "overwrite", "cut", "insert", "repeat", "truncate")))
        if how == "flip":
            content[where : where + 1] = bytes(
                byte ^ 1 << draw(st.integers(0, 7)) for byte in content[where : where + 1]
            )
        elif how == "overwrite":
            extreme = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))
            content[where:until] = bytes([extreme]) * (until - where)
        elif how == "cut":
            del content[where:until]
        elif how == "insert":
            content[where:where] = draw(st.binary(max_size=16))
        elif how == "repeat":
            content[where:where] = content[where:until]
        else:
            del content[where:]
    return bytes(content)


TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ("", "nan", "inf", "1e999", "../../x", "\x1b[2J", "\x00", "\ud800", "a|b`<b>", "9" * 400)
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from((-1, 0, 2**31, 2**53, 2**63 - 1, 2**63, 10**400, 1e308, 5e-324, -0.0)),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _places(value):
    """Every container of a JSON value with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


@st.composite
def _edited(draw, whole):
    """A JSON value with some of its parts dropped, retyped, moved, extended or nested."""
    content = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(content))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(("replace", "replace", "drop", "extend", "swap", "nest")))
        if how == "replace":
            container[key] = draw(VALUES)
        elif how == "drop":
            del container[key]
        elif how == "extend" and isinstance(container, dict):
            container[draw(TEXTS)] = draw(VALUES)
        elif how == "swap":
            other, its_key = draw(st.sampled_from(places))
            if its_key in other if isinstance(other, dict) else its_key < len(other):
                container[key] = copy.deepcopy(other[its_key])
        else:
            for _ in range(draw(st.sampled_from((1, 3, 15, 40)))):
                container[key] = [container[key]]
    return content


def sealed(content):
    """Give a forged record the hashes it calls for, as a careful forger would."""
    try:
        content["run_id"] = content_hash(content["run_spec"])[:16]
        content["checksum"] = content_hash({k: v for k, v in content.items() if k != "checksum"})
    except (KeyError, TypeError, ValueError):
        pass  # too broken to be sealed
    return content


@pytest.fixture(scope="session")
def damaged():
    return _damaged


@pytest.fixture(scope="session")
def edited():
    return _edited


@pytest.fixture(scope="session")
def golden():
    """The content of a real record."""
    return json.loads((ROOT / "tests/golden/mlp-64-seed0.json").read_text())


@pytest.fixture(scope="session")
def record_texts(golden):
    """Bytes of record files: edited and sealed anew, edited, damaged, or anything at all."""
    whole = json.dumps(golden).encode()
    return st.one_of(
        _edited(golden).map(lambda content: json.dumps(sealed(content)).encode()),
        _edited(golden).map(lambda content: json.dumps(content).encode()),
        _damaged(whole),
        st.binary(max_size=200),
        st.integers(1, 200_000).map(lambda depth: b"[" * depth),
        st.integers(1, 40).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
        st.sampled_from((b'{"schema_version":1,', b"{")).map(lambda head: head + whole[1:]),
    )


@pytest.fixture
def chance():
    return random.Random(7)
