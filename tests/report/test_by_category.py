"""The picture of how models stand category by category, read as XML, against numbers made up."""

import xml.etree.ElementTree as ET

import pytest

from codonbench.ranking.overview import Overview, Share, Standing, Summary
from codonbench.report.by_category import describe, render_by_category

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script><!-- ]]> &amp; \u202e\x1b[31m'


def standing(model, value, *, reference=False):
    rate = Share(value=value, low=value / 2, high=(1 + value) / 2)
    return Standing(
        model=model,
        reference=reference,
        n_tasks=2,
        mean_rank=rate,
        win_rate=rate,
        tier=1,
        swaps=None,
    )


def summary(category, *standings):
    return Summary(
        category=category,
        device="cpu",
        tasks=("a", "b"),
        failed=(),
        unplaced=(),
        critical_difference=1.0,
        standings=standings,
        wins=(),
    )


def overview(*summaries):
    return Overview(lines=(), summaries=summaries)


def drawn(found):
    """The root, and texts by where they stand."""
    root = ET.fromstring(render_by_category(found))
    texts = {(float(t.get("x")), float(t.get("y"))): t.text for t in root.iter(f"{SVG}text")}
    return root, texts


TWO = overview(
    summary("one", standing("x", 1.0), standing("y", 0.5, reference=True)),
    summary("two", standing("y", 0.75, reference=True), standing("z", 0.25)),
    summary("", standing("x", 1.0)),
)


def test_a_model_has_its_line_its_place_and_its_interval_in_each_category():
    root, texts = drawn(TWO)
    names = [text for (x, _), text in sorted(texts.items()) if x == 198]
    assert names == ["x", "y", "z"]  # mean win rates 1, 0.625, 0.25
    height = {text: y for (x, y), text in texts.items() if x == 198}
    dots = {
        (float(dot.get("cx")), float(dot.get("cy")) + 4): dot.get("class")
        for dot in root.iter(f"{SVG}circle")
    }
    first, second = (x for (x, _), text in sorted(texts.items()) if text in ("one", "two"))
    assert dots == {
        (first + 110, height["x"]): "dot",
        (first + 55, height["y"]): "reference",
        (second + 82.5, height["y"]): "reference",
        (second + 27.5, height["z"]): "dot",
    }
    places = {y: text for (x, y), text in texts.items() if x == second + 118}
    assert places == {height["y"]: "1", height["z"]: "2"}
    assert texts[second + 55, height["x"]] == "not run"
    intervals = [line for line in root.iter(f"{SVG}line") if line.get("class") == "interval"]
    ends = sorted((float(i.get("x1")) - first, float(i.get("x2")) - first) for i in intervals)
    assert ends[:2] == [(27.5, 82.5), (55.0, 110.0)]


def test_it_says_in_words_what_it_shows_and_is_the_same_each_time():
    root, _ = drawn(TWO)
    assert root.get("role") == "img"
    title, words = (root.find(f"{SVG}{name}") for name in ("title", "desc"))
    assert root.get("aria-labelledby") == f"{title.get('id')} {words.get('id')}"
    assert words.text == describe(TWO)
    assert "one on cpu: x 1.00, y 0.50; two on cpu: y 0.75, z 0.25" in words.text
    assert render_by_category(TWO) == render_by_category(TWO)


def test_names_of_strangers_stay_text():
    root, texts = drawn(
        overview(*(summary(f"{i}{HOSTILE}", standing(f"m{HOSTILE}", 0.5)) for i in (1, 2)))
    )
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "text", "line", "circle"}
    assert not any("\u202e" in text or "\x1b" in text for text in texts.values())


@pytest.mark.parametrize("found", [overview(), overview(summary("one", standing("x", 1.0)))])
def test_nothing_is_drawn_where_no_two_categories_can_be_compared(found):
    assert render_by_category(found) is None
