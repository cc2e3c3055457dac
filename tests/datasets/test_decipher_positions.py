from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codonbench.data.stream import BatchClock
from codonbench_datasets import decipher
from codonbench_datasets.decipher import Positions, frame_positions


def batch_ends(batch_size, epoch_pairs, budget):
    """Where batches end, by walking through the stream."""
    ends, position = [], 0
    while position < budget:
        position += min(batch_size, epoch_pairs - position % epoch_pairs, budget - position)
        ends.append(position)
    return ends


def positions_by_rule(clock, frames, all_seen, is_right, window):
    """The protocol once more, asked at each batch in turn: is there an evaluation here?

    Independent of the implementation: whole numbers only, one batch at a time.
    """
    ends = batch_ends(clock.batch_size, clock.epoch_pairs, clock.budget_pairs)
    completed = next((i for i, end in enumerate(ends) if all_seen and end >= all_seen), None)
    taken, opened, sustained = [0], None, False
    if is_right(0):
        opened = 0
    for i, end in enumerate(ends):
        due = i < 256 or end == clock.budget_pairs or end % clock.epoch_pairs == 0
        due |= completed is not None and completed <= i <= completed + 64
        due |= clock.batch_size == 64 and (end - 1) % clock.epoch_pairs + 1 in [
            64 * f for f in frames
        ]
        if not due:
            due |= 100 * ends[i + 1] > 103 * taken[-1]
            if opened is not None:
                due |= ends[i + 1] > taken[-1] + 1024 or end >= opened + window
        if not due:
            continue
        taken.append(end)
        if not is_right(end):
            opened = None
        elif opened is None and not sustained:
            opened = end
        if opened is not None and end >= opened + window:
            opened, sustained = None, True
    return taken


def positions_by_schedule(clock, task, all_seen, is_right, window):
    """What the schedule says, with the window opened and closed as the watcher does."""
    positions = Positions(clock, task, all_seen)
    taken, opened, sustained = [0], None, False
    while True:
        position = taken[-1]
        if not is_right(position):
            opened = None
        elif opened is None and not sustained:
            opened = position
        if opened is not None and position >= opened + window:
            opened, sustained = None, True
        if position >= clock.budget_pairs:
            return taken
        taken.append(positions.after(position, opened))


def spec(toys, frames):
    return toys.spec.model_copy(update={"facts": {"instrument_batches": sorted(frames)}})


def schedule(toys, clock, all_seen=None, is_right=lambda pairs: False, frames=()):
    return positions_by_schedule(clock, spec(toys, frames), all_seen, is_right, 64_000)


# The clock


@given(st.integers(1, 70), st.integers(1, 200), st.integers(1, 500), st.data())
def test_the_clock_agrees_with_walking_through_the_stream(batch_size, epoch_pairs, budget, data):
    clock = BatchClock(batch_size, epoch_pairs, budget)
    ends = [0, *batch_ends(batch_size, epoch_pairs, budget)]
    position = data.draw(st.integers(0, budget))
    assert clock.end_of(position) == min(end for end in ends if end >= position)
    assert clock.last_end_by(position) == max(end for end in ends if end <= position)
    assert clock.last_end_by(budget + position) == budget
    for this, following in pairwise(ends):
        assert clock.step(this) == following
    assert clock.step(0, len(ends) + 3) == budget


def test_the_clock_of_batches_of_four_in_epochs_of_ten():
    clock = BatchClock(4, 10, 17)
    assert [clock.end_of(position) for position in range(18)] == (
        [0] + 4 * [4] + 4 * [8] + 2 * [10] + 4 * [14] + 3 * [17]
    )
    assert clock.last_end_by(9) == 8
    assert clock.last_end_by(16) == 14


# The schedule


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([1, 3, 10, 64, 100, 700, 5_000]),
    st.integers(1, 3_000),
    st.integers(1, 30_000),
    st.none() | st.integers(1, 35_000),
    st.sets(st.integers(1, 50), max_size=4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2, 50]),
)
def test_the_schedule_is_the_protocols(
    toys, batch_size, epoch_pairs, budget, all_seen, frames, chance, luck
):
    budget = min(budget, 4_000 * batch_size)
    clock = BatchClock(batch_size, epoch_pairs, budget)

    def is_right(pairs):
        return luck and (pairs * 2654435761 + chance) % 101 >= 101 // (luck + 1)

    with patch.object(decipher, "WINDOW_PAIRS", 5_000):
        planned = positions_by_schedule(clock, spec(toys, frames), all_seen, is_right, 5_000)
    frames = [frame for frame in frames if 64 * frame <= epoch_pairs]
    assert planned == positions_by_rule(clock, frames, all_seen, is_right, 5_000)


@pytest.mark.parametrize("all_seen", [None, 100, 20_000, 66_000, 99_990, 200_000])
@pytest.mark.parametrize(
    "is_right",
    [lambda pairs: False, lambda pairs: True, lambda pairs: pairs > 30_000 and pairs % 3_000 > 10],
)
def test_the_schedule_is_the_protocols_with_its_own_window(toys, all_seen, is_right):
    clock, frames = BatchClock(64, 37_001, 100_003), (100, 300, 578)
    planned = schedule(toys, clock, all_seen, is_right, frames)
    assert planned == positions_by_rule(clock, frames, all_seen, is_right, 64_000)


def test_a_run_of_the_published_size_is_evaluated_at_the_start_densely_then_by_growth(toys):
    clock = BatchClock(64, 576_000, 40 * 576_000)
    taken = schedule(toys, clock, all_seen=100_000, frames=(3000, 6000, 9000))
    assert taken[:257] == [64 * batch for batch in range(257)]
    assert taken[257] == 64 * 263  # 1.03 * 256 = 263.7
    assert {576_000 * epoch for epoch in range(1, 41)} <= set(taken)
    assert {576_000 * epoch + 64 * 3000 for epoch in range(40)} <= set(taken)
    complete = 64 * 1563  # 100,000 / 64 = 1562.5
    assert {complete + 64 * later for later in range(65)} <= set(taken)
    for before, after in pairwise(taken):
        assert after <= max(1.03 * before, before + 64)
        assert after % 64 == 0
    assert taken[-1] == clock.budget_pairs
    assert len(taken) < 700  # sparse: 360,000 batches


def test_an_open_window_is_evaluated_every_1024_pairs_and_at_its_end(toys):
    clock = BatchClock(64, 576_000, 1_000_000)
    taken = schedule(toys, clock, is_right=lambda pairs: pairs >= 300_000)
    opened = next(pairs for pairs in taken if pairs >= 300_000)
    inside = [pairs for pairs in taken if opened <= pairs <= opened + 64_000]
    assert all(after - before <= 1_024 for before, after in pairwise(inside))
    assert inside[-1] == opened + 64_000  # a multiple of 64
    after = taken[taken.index(inside[-1]) + 1]
    assert after - inside[-1] > 1_024  # closed: back to growth


def test_a_window_that_ends_inside_a_batch_is_evaluated_at_the_batchs_end(toys):
    clock = BatchClock(1_000, 576_000, 576_000)
    taken = schedule(toys, clock, is_right=lambda pairs: pairs >= 300_000)
    opened = next(pairs for pairs in taken if pairs >= 300_000)
    assert opened + 64_000 in taken
    clock = BatchClock(999, 576_000, 576_000)
    taken = schedule(toys, clock, is_right=lambda pairs: pairs >= 300_000)
    opened = next(pairs for pairs in taken if pairs >= 300_000)
    assert clock.end_of(opened + 64_000) == opened + 65 * 999
    assert opened + 65 * 999 in taken


@pytest.mark.parametrize(
    ("batch_size", "epoch_pairs", "budget", "taken"),
    [
        (64, 100, 250, [0, 64, 100, 164, 200, 250]),  # epochs not divisible by the batch
        (1_000, 100, 250, [0, 100, 200, 250]),  # a batch larger than the epoch
        (64, 100, 10, [0, 10]),  # a budget below one batch
        (1, 1, 3, [0, 1, 2, 3]),
        (100, 100, 100, [0, 100]),
    ],
)
def test_odd_sizes_are_evaluated_at_every_batchs_end(toys, batch_size, epoch_pairs, budget, taken):
    assert schedule(toys, BatchClock(batch_size, epoch_pairs, budget), all_seen=5) == taken


def test_growth_never_waits_less_than_a_batch(toys):
    """Batches of 10,000: 3 % is less than one until 333,334 pairs."""
    clock = BatchClock(10_000, 10**7, 10**7)
    taken = schedule(toys, clock)
    assert taken[256:260] == [2_560_000, 2_630_000, 2_700_000, 2_780_000]
    assert taken[1:257] == [10_000 * batch for batch in range(1, 257)]


def test_an_all_seen_beyond_the_budget_adds_no_evaluation(toys):
    clock = BatchClock(64, 10**6, 100_000)
    assert schedule(toys, clock, all_seen=100_001) == schedule(toys, clock, all_seen=None)


# Frames


def test_frames_are_where_the_instrument_looks(toys):
    clock = BatchClock(64, 576_000, 1_200_000)
    assert frame_positions(clock, spec(toys, (3000, 6000, 9000))) == [
        *(192_000, 384_000, 576_000),
        *(768_000, 960_000, 1_152_000),
    ]


def test_frames_beyond_the_epoch_or_the_budget_are_none(toys):
    assert frame_positions(BatchClock(64, 640, 1_000), spec(toys, (5, 10, 11))) == [320, 640, 960]


def test_frames_are_defined_for_the_instruments_batches_only(toys):
    assert frame_positions(BatchClock(32, 576_000, 10**6), spec(toys, (3000,))) == []
