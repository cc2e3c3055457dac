"""Text that nobody vouches for: shown in one line, kept within bounds."""

from codonbench.contracts.base import MOST_WORDS
from codonbench.records.files import LONGEST, printable, printable_lines, storable, visible


def test_what_steers_a_terminal_or_a_log_is_replaced():
    assert (
        printable("a\x1b[2Jb\n::error::c\u202ed\ud800")
        == "a\ufffd[2Jb\ufffd: :error::c\ufffdd\ufffd"
    )
    assert printable("plain, \u00e9 too") == "plain, \u00e9 too"
    assert printable("seed 1: ##[error]x") == "seed 1: ## [error]x"
    assert printable("seed 1: ##vso[task]x") == "seed 1: ## vso[task]x"
    assert printable("seed 1: ##teamcity[x]") == "seed 1: ## teamcity[x]"
    assert printable("  ::error::x") == "  : :error::x"
    assert printable("where ::error::x is wrapped") == "where : :error::x is wrapped"
    assert printable("test_files.py::test_what") == "test_files.py::test_what"
    assert printable_lines("a\n::b\x1bc\n") == "a\n: :b\ufffdc\n"


def test_a_cell_of_a_board_commands_no_log():
    assert visible("a ::error::x") == "a : :error::x"
    assert visible("##\u200b[group]\u00e9 ##[group]") == "## [group]\u00e9 ## [group]"


def test_what_is_overlong_is_cut():
    assert printable("x" * LONGEST) == "x" * LONGEST
    assert printable("x" * (LONGEST + 1)) == "x" * LONGEST + "..."
    assert storable("x" * MOST_WORDS) == "x" * MOST_WORDS
    assert storable("x" * (MOST_WORDS + 1)) == "x" * (MOST_WORDS - 3) + "..."


def test_what_is_kept_is_text_that_every_reader_takes():
    assert storable("two\nlines \ud800") == "two\nlines ?"
