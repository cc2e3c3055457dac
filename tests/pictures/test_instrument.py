"""What the paper's heat map would have shown, frame by frame."""

from dataclasses import replace

import numpy as np

from codonbench.pictures.instrument import instrument_maps
from codonbench.pictures.runs import probabilities
from codonbench_metrics.paper_instrument import first_settled_frame


def test_a_frame_redraws_the_inputs_of_its_batch_and_leaves_the_others(finished):
    trace = finished[1]
    at = [3, 5, 8]
    shown = replace(
        trace,
        frame_pairs=trace.pairs[at],
        frame_inputs=np.array([[0, 0, -1], [0, 2, 2], [1, 2, -1]]),
    )
    p = probabilities(trace)
    before, first, second, third = instrument_maps(shown, [2, 4, 5, 8])
    assert np.isnan(before).all()
    assert np.array_equal(first[0], p[3, 0])
    assert np.isnan(first[1:]).all()
    assert np.array_equal(second[0], p[5, 0])
    assert np.array_equal(second[2], p[5, 2])
    assert np.isnan(second[1]).all()
    assert np.array_equal(third[:3], np.stack([p[5, 0], p[8, 1], p[8, 2]]))


def test_the_map_is_complete_at_the_frame_that_the_metric_says(finished):
    trace = finished[1]
    assert len(trace.frame_pairs)
    probes = np.searchsorted(trace.pairs, trace.frame_pairs)
    maps = instrument_maps(trace, probes.tolist())
    complete = [k for k, shown in enumerate(maps) if not np.isnan(shown).any()]
    everything = np.ones((len(probes), len(trace.labels)), dtype=bool)
    assert first_settled_frame(everything, trace.frame_inputs) == (complete or [None])[0]


def test_a_run_that_ended_before_the_first_frame_has_no_map(finished):
    trace = finished[1]
    none = replace(trace, frame_pairs=trace.frame_pairs[:0], frame_inputs=trace.frame_inputs[:0])
    assert instrument_maps(none, [0]) is None
    lacking = replace(trace, frame_pairs=trace.frame_pairs + 1)
    assert instrument_maps(lacking, [0]) is None
