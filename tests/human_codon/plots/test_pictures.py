"""Every still picture: the same bytes each time, well-formed, harmless whatever a record says."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from codonbench.errors import UsageError
from codonbench_datasets.human_codon.plots.embedding import project
from codonbench_datasets.human_codon.plots.matrices import colours, draw_codon_table, draw_heat_map
from codonbench_datasets.human_codon.plots.over_pairs import (
    draw_comparison,
    draw_curves,
    draw_stops,
)
from codonbench_datasets.human_codon.plots.space import draw_space
from codonbench_datasets.human_codon.plots.style import (
    RIGHT_MAP,
    WRONG_MAP,
    Run,
    as_file,
    house_style,
    new_figure,
    safe,
    short,
)

POINTS = project(np.random.default_rng(0).normal(size=(64, 10)))

PICTURES = {
    "curves": lambda runs: draw_curves(runs, 1),
    "heat map": lambda runs: draw_heat_map(runs[0]),
    "codon table": lambda runs: draw_codon_table(runs[0]),
    "stops": lambda runs: draw_stops(runs[0]),
    "embedding": lambda runs: draw_space(runs[0], POINTS),
    "comparison": lambda runs: draw_comparison([runs, runs[:1]]),
}

NAME_CLASSES = ("heat map", "codon table", "embedding")


@pytest.fixture(scope="module")
def runs(toys):
    request = {"task": "human-codon", "pairs": 6_400}
    return [Run(*toys.run("mlp-64", seeds=(seed,), **request)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def svg(runs):
    """A picture by name; of the usual runs each is drawn once."""

    def drawn(name, these):
        with house_style():
            return as_file(PICTURES[name](these), "svg").decode()

    usual = cache(lambda name: drawn(name, runs))
    return lambda name, these=None: usual(name) if these is None else drawn(name, these)


def shown(page):
    """What an SVG shows as text; matplotlib draws letters as outlines and says which."""
    return re.findall(r"<!-- (.*?) -->", page)


@pytest.mark.parametrize(
    "name",
    [
        *("curves", "heat map", "stops"),
        *(
            pytest.param(name, marks=pytest.mark.nightly("the other pictures stand for it"))
            for name in ("codon table", "comparison", "embedding")
        ),
    ],
)
def test_a_picture_has_the_same_bytes_each_time(svg, runs, name):
    with mpl.rc_context({"font.size": 3.0, "svg.hashsalt": "3"}):
        again = svg(name, runs)
    assert again == svg(name)
    assert len(again) > 5_000


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_file_of_any_format_has_the_same_bytes_each_time(form):
    with house_style():
        contents = [as_file(new_figure(2, 1, "title"), form) for _ in range(2)]
    assert contents[0] == contents[1]


def test_the_callers_settings_are_put_back():
    with mpl.rc_context({"font.size": 3.0}):
        with house_style():
            assert mpl.rcParams["font.size"] == 8.0
        assert mpl.rcParams["font.size"] == 3.0


@pytest.mark.parametrize("name", NAME_CLASSES)
def test_all_codons_are_named_once_with_their_class(svg, runs, name):
    texts = Counter(word for text in shown(svg(name)) for word in text.split())
    assert all(texts[codon] == 1 for codon in runs[0].inputs)


HOSTILE = (
    "<script>alert(1)</script>",
    "\u202egnp.exe\u2066",
    "$\\frac{a}{$ ${\\bad}$",
    "name\u0000with\nbreaks" + "x" * 10_000,
    "]]>--><!-- &amp; \"'",
    "蛋白質 🧬",
    "Z" + "\u0301" * 10_000,
)


@pytest.mark.parametrize("name", PICTURES)
def test_hostile_names_are_harmless(svg, runs, name):
    """Each text is the name of a class; which of them stand elsewhere differs by picture."""
    record, first = runs[0].record, list(PICTURES).index(name)
    model, field, distribution, source = (HOSTILE[(first + k) % len(HOSTILE)] for k in range(4))
    hostile = record.model_copy(
        update={
            "model": model,
            "overrides": {"field": field},
            "plugin": record.plugin.model_copy(update={"distribution": distribution}),
            "dataset": record.dataset.model_copy(update={"source": source}),
        }
    )
    trajectory = runs[0].trajectory
    target = trajectory.task.target
    names = (*HOSTILE, *target.names[len(HOSTILE) :])
    target = target.model_copy(update={"names": names})
    spec = trajectory.task.model_copy(update={"target": target})
    page = svg(name, [Run(hostile, replace(trajectory, task=spec))] * 2)
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(page).iter()}
    assert not tags & {"script", "a", "foreignObject"}
    assert not set("\u202e\u2066\u0000") & set(page)
    assert max(map(len, shown(page))) < 300
    formula = "$" in model + field + distribution + source or name in NAME_CLASSES
    assert any("$" in words for words in shown(page)) == formula  # as itself, no formula


def test_text_for_a_picture_is_on_one_line_short_and_within_the_font():
    assert safe("a\u202eb\nc") == "a b c"
    assert safe("蛋x") == "□x"
    assert safe("$5$ <b>") == "$5$ <b>"
    assert len(safe("x" * 10_000)) == 60


def test_numbers_on_an_axis_are_short():
    assert [short(n) for n in (64, 999, 1_000, 10_304, 23_040_000)] == [
        "64", "999", "1k", "10.3k", "23M",
    ]  # fmt: skip


def test_the_true_class_is_blue_and_a_rival_vermillion():
    p = np.array([[1.0, 0.0], [0.25, 0.75]])
    cells = colours(p, np.array([0, 0]))
    assert cells[0, 0].tolist() == list(RIGHT_MAP(1.0))
    assert cells[0, 1].tolist() == list(WRONG_MAP(0.0))
    assert cells[1].tolist() == [list(RIGHT_MAP(0.25)), list(WRONG_MAP(0.75))]


@pytest.mark.parametrize("scale", [RIGHT_MAP, WRONG_MAP])
def test_the_scales_of_colour_darken_all_the_way(scale):
    luminance = scale(np.linspace(0, 1, 256))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) < 0).all()


def test_a_task_without_stops_or_codons_is_refused_by_name(finished):
    record, trajectory = finished
    with pytest.raises(UsageError, match="task 'dipeptide' has no codon table"):
        draw_codon_table(Run(record, trajectory))
    asked = trajectory.task.evaluation.model_copy(update={"groups": {}})
    no_stops = replace(trajectory, task=trajectory.task.model_copy(update={"evaluation": asked}))
    with pytest.raises(UsageError, match="has 0 stop codons"):
        draw_stops(Run(record, no_stops))


def test_another_task_has_curves_heat_map_and_comparison(finished):
    with house_style():
        for draw in (draw_curves, draw_comparison):
            run = Run(*finished)
            assert as_file(draw([run] if draw is draw_curves else [[run]]), "svg")
        assert as_file(draw_heat_map(Run(*finished)), "svg")
