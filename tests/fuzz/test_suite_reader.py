"""Suites: TOML that is damaged, of other types than asked, nested, or huge in few letters."""

import pytest
from hypothesis import strategies as st

from codonbench.errors import ConfigError, StoreError
from codonbench.execution.suites import FIELDS, read_suite

WHOLE = """[suite]
name = "mine"
title = "What I am after"

[defaults]
seeds = "0-9"
data = "usage"

[[run]]
model = ["rnn-64", "lstm-64"]
epochs = 3

[[run]]
model = "rnn-64"
seeds = [0, 3, 5]
overrides = { optimizer = "sgd", hidden = [8, 8] }
"""

NUMBERS = st.one_of(
    st.integers().map(str),
    st.sampled_from(("nan", "-inf", "1e999", "0x" + "f" * 5000, "9" * 5000, "0b1", "-0.0")),
)
QUOTED = st.text(
    st.characters(exclude_characters="'\n\r", exclude_categories=["C"]), max_size=9
).map("'{}'".format)
VALUES = st.one_of(
    NUMBERS,
    QUOTED,
    st.sampled_from(
        ("true", "1979-05-27T07:32:00Z", "07:32:00", "'0-99999999'", "'../../etc/passwd'")
    ),
    st.lists(NUMBERS | QUOTED, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    st.lists(st.tuples(QUOTED, NUMBERS | QUOTED), max_size=3).map(
        lambda items: f"{{ {', '.join(f'{k} = {v}' for k, v in items)} }}"
    ),
    st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth),
    st.integers(1, 3000).map(lambda depth: "{a=" * depth + "1" + "}" * depth),
)
FIELD = st.sampled_from((*FIELDS, "offline", "'\\u001b'", "'a.b'", "name", "title"))
TABLES = st.lists(st.tuples(FIELD, VALUES), max_size=3).map(
    lambda items: "".join(f"{field} = {value}\n" for field, value in items)
)


@pytest.fixture
def texts(damaged):
    written = st.builds(
        "{}\n{}\n[defaults]\n{}\n[[run]]\nmodel = 'mlp-64'\n{}\n[[run]]\n{}".format,
        st.sampled_from(("", "run = 1", "x = 1")),
        st.one_of(st.just('[suite]\nname = "mine"\ntitle = "t"'), TABLES.map("[suite]\n{}".format)),
        TABLES,
        TABLES,
        TABLES,
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(written, damaged(WHOLE.encode()), st.binary(max_size=100))


def test_any_file_is_a_suite_or_is_refused(fuzz, texts, tmp_path):
    path = tmp_path / "drawn.toml"

    def read(content):
        path.write_bytes(content)
        suite = read_suite(path)
        assert suite.requests
        repr(suite)

    fuzz("suites", texts, read, (ConfigError, StoreError), examples=200)


def test_any_suite_file_ends_bench_run_in_words(fuzz, damaged, bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "drawn.toml"
    whole = WHOLE.replace("-64", "-no-such-model").encode()  # nothing is to be trained

    def run(content):
        path.write_bytes(content)
        code, said = bench("run", "--suite", path)
        assert code in (1, 2)
        assert "Traceback" not in said

    fuzz("bench run --suite", damaged(whole), run, (), examples=8)
