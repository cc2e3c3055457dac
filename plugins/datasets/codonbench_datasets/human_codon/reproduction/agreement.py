"""Does a published figure agree with our runs? The rules, stated so that they can be wrong.

A published figure rests on one run of unknown seed. If ours repeat its protocol, it is one more
draw beside our n: all n + 1 places in the order are equally likely, so it falls outside our range
with probability 2 / (n + 1) at most (ties and "never" make that less). With three seeds that is
one half, and outside no more than a hint; a figure is said to differ from nine seeds on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from codonbench_datasets.human_codon.reproduction.publications import Cell, Instrument

Standing = Literal["inside", "earlier", "later"]
"""Where a published figure lies beside ours: inside their range, before all, or after all."""

Standings = Mapping[str, Mapping[str, Standing]]
"""By protocol and, within it, by criterion."""

Kind = Literal["agrees", "differs", "unknown", "too few", "partly run", "not run"]

MOST_LUCK = 0.2
"""How often luck alone may put a figure outside our range, where that is to say that it differs."""


TOO_EARLY = 0.05
"""A figure is too early where an oracle is done by its look less often than this."""


class Verdict(NamedTuple):
    """What becomes of one published figure, and why."""

    kind: Kind
    reason: str


class Look(NamedTuple):
    """The look at a run that a published figure was read off at.

    Attributes:
        frame: Which look of the run, from 1.
        printed, presented: Pairs as the publication counts them then, and as were presented.
        inputs: Inputs that all looks so far have seen.
        honest: Whether the published pairs fit what was presented, too.
    """

    frame: int
    printed: int
    presented: int
    inputs: int
    honest: bool = False


def standing(published: float | None, ours: Sequence[float | None]) -> Standing:
    """Return where a figure lies beside one value a seed; None is "never", later than any number.

    >>> standing(22, [11, 33, None]), standing(2, [6, 11, 33]), standing(None, [6, 11, 33])
    ('inside', 'earlier', 'later')
    >>> standing(None, [6, 11, None])
    'inside'
    """
    figure, *times = (math.inf if value is None else value for value in (published, *ours))
    if figure < min(times):
        return "earlier"
    return "later" if figure > max(times) else "inside"


def chance_outside(n: int) -> float:
    """Return how likely one more draw lies outside the range of n others, at most: 2 / (n + 1)."""
    return min(1.0, 2 / (n + 1))


def look_at(number: int, instrument: Instrument) -> Look:
    """Return a look of a run, by its number from 1."""
    epoch, frame = divmod(number - 1, len(instrument.frames))
    presented = epoch * instrument.epoch_pairs + instrument.frames[frame]
    printed = presented - (instrument.printed_short if epoch else 0)
    return Look(number, printed, presented, number * instrument.frame_inputs)


def read_off(cell: Cell, instrument: Instrument) -> Look | None:
    """Return the look in the published epoch whose printed pairs round to the published ones.

    In epochs of 576,000 with three looks, the second look of epoch 22 has seen 12,480,000 pairs
    presented and prints 576,000 fewer: 11,904,000, which is the published 11.90 million.

    Returns:
        The look; None where nothing was published that could be one, or no look fits.
    """
    if cell.epoch is None or cell.pairs is None:
        return None
    published, last = cell.pairs, cell.epoch * len(instrument.frames)
    numbers = range(last - len(instrument.frames) + 1, last + 1)
    looks = [look_at(number, instrument) for number in numbers]

    def fits(pairs: int) -> bool:
        return abs(pairs - published) <= cell.rounded_to / 2

    honest = any(fits(look.presented) for look in looks)
    return next((look._replace(honest=honest) for look in looks if fits(look.printed)), None)


def too_early(look: Look | None, cell: Cell, done: float | None) -> str:
    """Return why a figure is too early for its own instrument; empty where it is not.

    Args:
        look: What it was read off at.
        cell: The figure.
        done: How likely it is that a model that knows everything is done by that look, None where
            unknown.
    """
    if look is None or cell.censored or done is None or done >= TOO_EARLY:
        return ""
    return (
        f"read off after {look.inputs:,} inputs were looked at, by when a model that knows "
        f"everything is done with probability {done:.1g}: no complete map can be meant"
    )


def judge(standings: Standings, early: str, readings: int, seeds: int) -> Verdict:
    """Return what becomes of a figure.

    It agrees where it lies inside our range in every reading, that is under each protocol and
    criterion; it differs where it lies on one and the same side outside in every one. Where that
    depends on what the publication leaves open, and where the figure is too early for its own
    instrument, it cannot be known. None of this is said before all protocols were run, nor that a
    figure is outside anywhere before there are seeds enough (`MOST_LUCK`).

    Args:
        standings: Of the protocols that were run.
        early: Why the figure is too early; empty where it is not.
        readings: How many protocols there are to run.
        seeds: How many seeds the protocol with the fewest has. Whichever protocol is the true one,
            luck alone puts a figure outside its range no more often than outside that one's.
    """
    if not standings:
        return Verdict("not run", "no run with the whole budget is recorded")
    if early:
        return Verdict("unknown", early)
    kind: Kind
    places = {place for row in standings.values() for place in row.values()}
    if len(places) > 1:
        kind, reason = "unknown", _what_decides(standings)
    elif places == {"inside"}:
        kind, reason = "agrees", f"inside our range in {_all(len(standings))}"
    else:
        kind, reason = "differs", f"{min(places)} than all our runs in {_all(len(standings))}"
    if len(standings) < readings:
        return Verdict("partly run", f"{len(standings)} of {readings} protocols run: {reason}")
    chance = chance_outside(seeds)
    if kind != "agrees":
        reason += f"; outside a range luck alone lies up to {100 * chance:.0f} times in 100"
        kind = kind if chance <= MOST_LUCK else "too few"
    return Verdict(kind, reason)


def _all(readings: int) -> str:
    return "the one protocol run" if readings == 1 else f"each of the {readings} protocols run"


def _what_decides(standings: Standings) -> str:
    """Return ``depends on the protocol: inside with SGD``."""
    differ = {
        "protocol": len({tuple(sorted(row.items())) for row in standings.values()}) > 1,
        "criterion": any(len(set(row.values())) > 1 for row in standings.values()),
    }
    inside = [
        protocol if set(row.values()) == {"inside"} else f"{protocol} ({', '.join(within)})"
        for protocol, row in standings.items()
        if (within := [criterion for criterion, place in row.items() if place == "inside"])
    ]
    where = f"inside with {'; '.join(inside)}" if inside else "inside with none, on either side"
    return f"depends on the {' and '.join(w for w, matters in differ.items() if matters)}: {where}"
