"""Data as script files: safe to load, and believed only where they are ours to the byte."""

import json

import pytest

from codonbench.contracts import Frozen
from codonbench.errors import StoreError
from codonbench.report.site.scripts import as_script, from_script, shown, shown_facts


class Word(Frozen):
    text: str


HOSTILE = "</script><script>alert(1)</script>\u2028\u202e\x00\"'`${x}\\ü"


def test_a_script_is_a_call_and_its_data_cannot_end_it() -> None:
    script = as_script("row", Word(text=HOSTILE))
    assert script.startswith(b"codonbench.row({")
    assert script.endswith(b"});\n")
    assert script.isascii()
    assert b"<" not in script
    assert json.loads(script[len("codonbench.row(") : -3])["text"] == HOSTILE
    assert from_script("row", script, Word) == Word(text=HOSTILE)


def test_one_content_has_one_script() -> None:
    assert as_script("row", Word(text="a")) == b'codonbench.row({"text":"a"});\n'


@pytest.mark.parametrize(
    "script",
    [
        b"alert(1)",
        b'codonbench.board({"text":"a"});\n',
        b'codonbench.row({"text":"a"});\nalert(1);\n',
        b'codonbench.row({"text":alert(1)});\n',
        b'codonbench.row({"text":"a"},alert(1));\n',
        b'codonbench.row({"text": "a"});\n',
        b'codonbench.row({"text":"a","more":1});\n',
        b'codonbench.row({"text":"<"});\n',
        b"codonbench.row({});\n",
        b"\xff",
    ],
)
def test_a_file_that_does_more_or_is_written_otherwise_is_none_of_ours(script) -> None:
    with pytest.raises(StoreError):
        from_script("row", script, Word)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("mlp-64", "mlp-64"),
        ("a\u202eb\u200fc", "a b c"),
        ("a\nb\tc\x00d", "a b c d"),
        ("<script>", "<script>"),  # put into a text node, where it is text
        ("x" * 10_000, "x" * 159 + "…"),
        ("\u202e" * 10_000 + "x", "…"),
        ("", ""),
    ],
)
def test_text_is_shown_without_control_characters_and_cut(text, seen) -> None:
    assert shown(text) == seen


def test_facts_are_shown_by_name() -> None:
    assert shown_facts({"hidden": [64, 2], "drop": None}) == "drop none, hidden [64, 2]"
