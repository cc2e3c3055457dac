"""What the paper's heat map would have shown, frame by frame."""

from dataclasses import replace

import numpy as np

from codonbench_datasets.human_codon.asked import probabilities
from codonbench_datasets.human_codon.plots.matrices import instrument_maps
from codonbench_metrics.deciphering import first_settled_frame


def with_frames(trajectory, pairs, batches):
    arrays = {**trajectory.arrays, "frame_pairs": pairs, "frame_inputs": batches}
    return replace(trajectory, arrays=arrays)


def test_a_frame_redraws_the_inputs_of_its_batch_and_leaves_the_others(finished):
    trajectory = finished[1]
    at = [3, 5, 8]
    batches = np.array([[0, 0, -1], [0, 2, 2], [1, 2, -1]])
    shown = with_frames(trajectory, trajectory.pairs[at], batches)
    p = probabilities(trajectory)
    before, first, second, third = instrument_maps(shown, [2, 4, 5, 8])
    assert np.isnan(before).all()
    assert np.array_equal(first[0], p[3, 0])
    assert np.isnan(first[1:]).all()
    assert np.array_equal(second[0], p[5, 0])
    assert np.array_equal(second[2], p[5, 2])
    assert np.isnan(second[1]).all()
    assert np.array_equal(third[:3], np.stack([p[5, 0], p[8, 1], p[8, 2]]))


def test_the_map_is_complete_at_the_frame_that_the_metric_says(finished):
    trajectory = finished[1]
    frames = trajectory.arrays["frame_pairs"]
    assert len(frames)
    probes = np.searchsorted(trajectory.pairs, frames)
    maps = instrument_maps(trajectory, probes.tolist())
    complete = [k for k, shown in enumerate(maps) if not np.isnan(shown).any()]
    everything = np.ones((len(probes), len(trajectory.targets)), dtype=bool)
    assert (
        first_settled_frame(everything, trajectory.arrays["frame_inputs"])
        == (complete or [None])[0]
    )


def test_a_run_that_ended_before_the_first_frame_has_no_map(finished):
    trajectory = finished[1]
    frames, batches = trajectory.arrays["frame_pairs"], trajectory.arrays["frame_inputs"]
    assert instrument_maps(with_frames(trajectory, frames[:0], batches[:0]), [0]) is None
    lacking = with_frames(trajectory, frames + 1, batches)
    assert instrument_maps(lacking, [0]) is None
