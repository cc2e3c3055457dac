"""The dynamic heat map: how many frames, which probes, the same bytes."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from codonbench_datasets.human_codon.plots.matrices import MOST_FRAMES, animate, thinned
from codonbench_datasets.human_codon.plots.style import Run, house_style


@pytest.fixture(scope="module")
def run(toys):
    return Run(*toys.run("mlp-64", task="human-codon", pairs=1_280))


def frames_of(content):
    with Image.open(io.BytesIO(content)) as image:
        return image.n_frames, image.size


@pytest.fixture(scope="module")
def short(run):
    with house_style():
        return animate(run, most=3)


def test_every_probe_is_a_frame_where_there_are_few(run):
    with house_style():
        assert frames_of(animate(run))[0] == len(run.trajectory.pairs) == 21


def test_where_there_are_many_the_frames_are_bounded_and_again_the_same_bytes(run, short):
    assert frames_of(short)[0] == 3
    with house_style():
        assert animate(run, most=3) == short


def test_the_instrument_has_a_panel_of_its_own_where_it_looked(run, short):
    frames = {"frame_pairs": run.trajectory.pairs[[4]], "frame_inputs": np.arange(64)[None] % 10}
    looked = replace(run.trajectory, arrays={**run.trajectory.arrays, **frames})
    with house_style():
        _, (_, high) = frames_of(animate(Run(run.record, looked), most=3))
    _, (_, low) = frames_of(short)
    assert high > 1.5 * low


@pytest.mark.parametrize("n_probes", [2, 120, 121, 315, 5_000])
def test_thinned_probes_keep_both_ends_and_stay_below_the_bound(n_probes):
    pairs = np.unique(np.geomspace(64, 23_040_000, 8 * n_probes).astype(int))[-n_probes:]
    pairs[0] = 0
    probes = thinned(pairs)
    assert probes == sorted(set(probes))
    assert (probes[0], probes[-1]) == (0, len(pairs) - 1)
    assert len(probes) == min(n_probes, MOST_FRAMES)
