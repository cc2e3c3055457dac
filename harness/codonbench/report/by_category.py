"""Ranks of models in each category, as a picture beside the Markdown board.

A panel a category and a line a model, the same in each panel: the win rate of
`codonbench.ranking.overview.Standing` with its interval, and the model's place in that category at
the right, so that a reader sees where rankings differ. Its numbers stand in the board's tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

import jinja2

from codonbench.ranking.overview import Overview, Standing, Summary
from codonbench.ranking.rows import short_name
from codonbench.records.files import visible

FILE = "by_category.svg"

MOST_MODELS = 20
"""Drawn of each kind of device."""

_PANELS = 5  # beside one another
_LEFT, _PANEL, _GAP, _LINE, _HEAD, _FOOT = 210, 110, 46, 22, 56, 34
_NAME, _CATEGORY = 28, 20  # characters


def render_by_category(overview: Overview) -> str | None:
    """Return the picture as SVG; None where no two categories can be compared.

    Args:
        overview: The overview.
    """
    by_device: dict[str, list[Summary]] = defaultdict(list)
    for summary in overview.summaries:
        if summary.category:
            by_device[summary.device].append(summary)
    several = {device: own for device, own in by_device.items() if len(own) > 1}
    if not several:
        return None
    blocks: list[dict[str, object]] = []
    top = _HEAD
    for device, own in sorted(several.items()):
        models = ordered_models(own)[:MOST_MODELS]
        for start in range(0, len(own), _PANELS):
            blocks.append(_block(own[start : start + _PANELS], models, device, top))
            top += _LINE * len(models) + _FOOT + _HEAD
    panels = max(min(_PANELS, len(own)) for own in several.values())
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codonbench", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(f"{FILE}.j2").render(
        width=_LEFT + panels * (_PANEL + _GAP),
        height=top - _HEAD + 4,
        left=_LEFT,
        panel_width=_PANEL,
        title=TITLE,
        description=describe(overview),
        blocks=blocks,
    )


TITLE = "Win rate of each model by category"


def describe(overview: Overview) -> str:
    """Return in words what the picture shows: the best three models of each category.

    Args:
        overview: The overview.
    """
    firsts = [
        f"{visible(own.category, _CATEGORY)} on {visible(own.device, _NAME)}: "
        + ", ".join(
            f"{short_name(one.model, _NAME)} {one.win_rate.value:.2f}" for one in places(own)[:3]
        )
        for own in overview.summaries
        if own.category
    ]
    return (
        "Win rate: over all pairs of a task and another model, the share in which the model is "
        "ahead, with its 95 % interval. Hollow dots are reference rows; the numbers at the right "
        "are places in the category. "
        f"First in each: {'; '.join(firsts)}."
    )


def places(summary: Summary) -> list[Standing]:
    """Return a category's models by win rate, those alike by name."""
    return sorted(summary.standings, key=lambda own: (-own.win_rate.value, own.model))


def ordered_models(summaries: Sequence[Summary]) -> list[str]:
    """Return the models of some categories by their mean win rate in those that have them."""
    rates: dict[str, list[float]] = defaultdict(list)
    for summary in summaries:
        for own in summary.standings:
            rates[own.model].append(own.win_rate.value)
    return sorted(rates, key=lambda name: (-round(mean(rates[name]), 9), name))


def _block(
    summaries: Sequence[Summary], models: Sequence[str], device: str, top: int
) -> dict[str, object]:
    lines = {name: top + _LINE * i + _LINE // 2 for i, name in enumerate(models)}
    panels = []
    for i, summary in enumerate(summaries):
        x = _LEFT + i * (_PANEL + _GAP)
        known = {own.model: own for own in summary.standings}
        order = [own.model for own in places(summary)]
        panels.append(
            {
                "x": x,
                "name": visible(summary.category, _CATEGORY),
                "about": f"{len(summary.tasks)} tasks, {visible(device, 12)}",
                "ticks": [
                    {"x": f"{x + share * _PANEL:g}", "name": f"{100 * share:g} %"}
                    for share in (0, 0.5, 1)
                ],
                "marks": [
                    {
                        "y": y,
                        "low": f"{x + known[name].win_rate.low * _PANEL:.1f}",
                        "high": f"{x + known[name].win_rate.high * _PANEL:.1f}",
                        "value": f"{x + known[name].win_rate.value * _PANEL:.1f}",
                        "reference": known[name].reference,
                        "place": order.index(name) + 1,
                    }
                    for name, y in lines.items()
                    if name in known
                ],
                "missing": [y for name, y in lines.items() if name not in known],
            }
        )
    return {
        "top": top,
        "bottom": top + _LINE * len(models),
        "models": [{"name": short_name(name, _NAME), "y": y} for name, y in lines.items()],
        "panels": panels,
    }
