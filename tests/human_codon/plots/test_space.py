"""Names beside the points of an embedding."""

import re

import numpy as np
import pytest

from codonbench_datasets.human_codon.plots.embedding import project
from codonbench_datasets.human_codon.plots.space import _box, _clusters, _in_the_way, draw_space
from codonbench_datasets.human_codon.plots.style import Run, as_file, house_style


@pytest.fixture(scope="module")
def run(toys):
    return Run(*toys.run("mlp-64", task="human-codon", pairs=640))


def test_points_of_one_class_in_reach_of_one_another_are_a_cluster():
    xy = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.1], [9.0, 0.0]])
    assert _clusters(xy, np.array([7, 7, 7, 5, 7]), reach=1.0) == [[0, 1, 2], [3], [4]]


def test_a_label_right_of_a_point_and_what_is_in_its_way_by_hand():
    box = _box(np.array([100.0, 100.0]), (1, 0), np.array([5.0, 5.0]), np.array([10.0, 6.0]))
    assert box.tolist() == [105, 97, 115, 103]
    assert _in_the_way(box, [np.array([90.0, 90.0, 104.0, 110.0])]) == 0
    assert _in_the_way(box, [np.array([110.0, 100.0, 130.0, 120.0])]) == 15  # 5 by 3
    beyond = box - [110, 0, 110, 0]  # 5 points beyond the left edge
    assert _in_the_way(beyond, [np.array([200.0, 200.0, 201.0, 201.0])]) == 500


def test_inputs_that_fall_together_share_a_label_and_none_is_lost(run):
    middle = np.random.default_rng(4).normal(size=(21, 2))[run.trajectory.targets]
    with house_style():
        page = as_file(draw_space(run, project(middle)), "svg").decode()
    labels = re.findall(r"<!-- ([UCAG]{3}(?: [UCAG]{3})?) -->", page)
    assert sorted(" ".join(labels).split()) == sorted(run.inputs)
    assert any(" " in label for label in labels)
