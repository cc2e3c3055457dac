"""The Markdown report: what a plugin says in it cannot break out of its cell."""

import pytest

from codonbench.testing.checks import CheckResult, Facts, Report, raise_failures, summary

FACTS = Facts(
    model="mylstm",
    name="mylstm",
    version="1",
    distribution="my-lstm",
    distribution_version="0.1",
    source_sha256="a" * 64,
    config={"hidden": 64},
    encoding="codon_onehot",
    task="human-codon",
    data="usage",
    environment={"torch": "2.13"},
)


def finding(status, words="", id="shape"):
    return CheckResult(id=id, title="one row for each", status=status, words=words)


def test_a_report_in_full():
    found = (finding("passed", "all well", "build"), finding("failed", "got 20, expected 21"))
    assert Report(facts=FACTS, parameters=1365, findings=found).markdown("bench check") == (
        "# mylstm: 2 checks: 1 passed, 1 failed\n"
        "\n"
        "| | |\n"
        "|---|---|\n"
        "| model | `mylstm`, version 1 |\n"
        "| distribution | my-lstm 0.1 |\n"
        f"| source (SHA-256) | `{'a' * 64}` |\n"
        "| configuration | hidden 64 |\n"
        "| encoding | codon\\_onehot |\n"
        "| parameters | 1,365 |\n"
        "| task | human-codon, data usage |\n"
        "| environment | torch 2.13 |\n"
        "\n"
        "| | check | what it holds | what was found |\n"
        "|---|---|---|---|\n"
        "| ✓ | build | one row for each | all well |\n"
        "| ✗ | shape | one row for each | got 20, expected 21 |\n"
        "\n"
        "Made by `bench check`.\n"
    )


def test_what_a_plugin_says_stays_in_its_cell_and_is_not_cut():
    words = "a | b\n\n# <script>" + " long" * 60
    page = Report(facts=FACTS, findings=(finding("failed", words),)).markdown("bench check")
    (row,) = [line for line in page.splitlines() if "✗" in line]
    assert "a &#124; b # &lt;script&gt;" in row
    assert row.count(" long") == 60


def test_an_unbuilt_model_has_unknown_parameters():
    assert "| parameters | unknown |" in Report(facts=FACTS).markdown("bench check")


def test_warnings_do_not_fail_a_report():
    found = (finding("warning", "look"), finding("skipped", "why"), finding("passed"))
    assert Report(facts=FACTS, findings=found).ok
    assert not Report(facts=FACTS, findings=(finding("failed", "x"),)).ok
    assert summary(found) == "3 checks: 1 passed, 1 with a warning, 1 skipped"


def test_every_failure_is_told_and_nothing_else():
    found = [finding("failed", "first"), finding("warning", "look"), finding("failed", "second")]
    with pytest.raises(AssertionError) as error:
        raise_failures(found, "model 'x'")
    assert str(error.value).splitlines() == [
        "model 'x': 2 of its checks failed",
        "  shape (one row for each): first",
        "  shape (one row for each): second",
    ]
