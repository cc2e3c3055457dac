"""Text that others wrote, shown as text: by examples, and by a Markdown renderer as witness."""

import html
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from codonbench.ranking.rows import name_text, short_name, short_names
from codonbench.records.files import visible
from codonbench.report.markdown import plain

MARKUP = st.text(alphabet=list("<>&|`*_[]()!#-+=~$\\@:/.w1 \n\t\"'ax\u202e\u0301"), max_size=40)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<!-- leaderboard:end -->", "&lt;!-- leaderboard:end --&gt;"),
        ("a|b\nc", "a&#124;b c"),
        ("right\u202eto\u200eleft", "right to left"),
        ("\u2067isolated\u2069\u200b\ufeff\x00\x1b[31m", "isolated \\[31m"),
        ("**bold** `code` [x](y)", "\\*\\*bold\\*\\* \\`code\\` \\[x\\](y)"),
        ("![x](http://a.b)", "!\\[x\\](http&#58;//a.b)"),
        ("www.a.b, WWW.a.b, c@d.e", "www&#46;a.b, WWW&#46;a.b, c&#64;d.e"),
        ("~~gone~~ $x$", "&#126;&#126;gone&#126;&#126; &#36;x&#36;"),
        ("# a", "&#35; a"),
        ("- a", "&#45; a"),
        ("1. a", "&#49;. a"),
        ("---", "&#45;--"),
        ("-64", "-64"),
        ("1.0", "1.0"),
        ("&lt;", "&amp;lt;"),
        ("", ""),
    ],
)
def test_hostile_text_is_shown_harmless(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


def test_overlong_text_is_cut() -> None:
    assert len(plain("x" * 10_000)) == 120
    assert len(visible("x " * 10_000, 400)) == 400
    assert visible(" \n" * 10_000 + "x", 120) == "…"


def test_names_of_one_checkpoint_are_cut_where_they_differ() -> None:
    """Cut at their end, the twins would have one name on the board."""
    twins = [
        name_text("hf", {"checkpoint": "c" * 40, **more}, "codonbench")
        for more in ({}, {"init": "random"})
    ]
    assert [short_name(twin, 26) for twin in twins] == [
        "hf (checkpoint=cccccccccc…",
        "hf (init=random; checkpoi…",
    ]
    assert short_name("mlp-64", 6) == "mlp-64"
    assert short_name("mlp-64 (optimizer=sgd)", 10) == "mlp-64 (o…"
    assert len(short_name("x" * 100, 25)) == 25


def test_rows_of_one_table_have_names_that_tell_them_apart() -> None:
    """Cut at their end, two rows of human-codon were both ``rnn-64-weighted (optimiz…``."""
    departures = ({"optimizer": "sgd"}, {"optimizer": "sgd", "class_weights": "sum"}, {})
    labels = [name_text("rnn-64-weighted", each, "codonbench") for each in departures]
    assert list(short_names(labels, 25).values()) == [
        "rnn-64-weighted …zer=sgd)",
        "rnn-64-weighted …hts=sum)",
        "rnn-64-weighted",
    ]
    alike = [f"{'x' * 30}{letter}{'x' * 30}" for letter in "ab"]  # at both ends
    assert [name[-2:] for name in short_names(alike, 25).values()] == ["a…", "b…"]
    assert len({len(name) for name in short_names(["\u202ea", "a"], 25).values()}) == 1
    assert short_names([], 25) == {}


def test_what_piles_up_on_a_letter_is_cut_to_two_marks() -> None:
    assert visible("a" + "\u0301" * 1000 + "b") == "a\u0301\u0301b"
    assert visible("नमस्ते") == "नमस्ते"


@settings(deadline=None)
@given(MARKUP)
def test_a_renderer_shows_the_text_and_nothing_but_the_text(text: str) -> None:
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(plain(text))
    inner = re.fullmatch(r"(?:<p>(.*)</p>\n)?", shown, re.S)
    assert inner is not None
    assert html.unescape(inner[1] or "") == visible(text)


@settings(deadline=None)
@given(MARKUP)
def test_a_cell_stays_one_cell(text: str) -> None:
    page = f"| a | b |\n|---|---|\n| {plain(text)} | end |"
    shown = MarkdownIt("commonmark").enable("table").render(page)
    cells = re.findall(r"<td>(.*?)</td>", shown, re.S)
    assert [html.unescape(cell) for cell in cells] == [visible(text), "end"]


@given(st.text(max_size=200))
def test_nothing_invisible_is_left(text: str) -> None:
    assert not [c for c in plain(text) if unicodedata.category(c)[0] == "C"]
