"""The embedding that a module holds, laid out in the plane."""

import numpy as np
import pytest
import torch
from torch import nn

from codonbench_datasets.human_codon.plots.embedding import find_embedding, project

ALL = np.arange(64)


def test_points_on_a_line_in_space_come_out_along_x_about_their_mean():
    # Four points along (1, 2, 2) / 3, at 0, 3, 6 and 9: mean 4.5.
    rows = np.array([[1.0, 2.0, 2.0]]) * np.arange(4)[:, None] + np.array([5.0, 6.0, 7.0])
    found = project(rows)
    assert found.dimensions == 3
    assert np.allclose(found.xy, [(-4.5, 0), (-1.5, 0), (1.5, 0), (4.5, 0)])
    assert np.allclose(found.explained, (1, 0))


def test_principal_components_are_those_of_the_covariance():
    rows = np.random.default_rng(1).normal(size=(64, 10)) @ np.diag(np.linspace(3, 0.5, 10))
    found = project(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    order = np.argsort(values)[::-1][:2]
    witness = (rows - rows.mean(axis=0)) @ vectors[:, order]
    xy = np.array(found.xy)
    for axis in (0, 1):
        assert np.allclose(np.abs(xy[:, axis]), np.abs(witness[:, axis]))
    assert np.allclose(found.explained, values[order] / values.sum())


def test_a_mirrored_table_has_its_own_side_and_each_axis_its_heaviest_dimension_positive():
    rows = np.random.default_rng(2).normal(size=(64, 5))
    xy, mirrored = np.array(project(rows).xy), np.array(project(-rows).xy)
    assert np.allclose(mirrored, -xy)  # the axes are the same, the points are not
    axes = np.linalg.lstsq(xy, rows - rows.mean(axis=0), rcond=None)[0]
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in axes)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_what_is_flat_already_stays_as_it_is(dimensions):
    rows = np.random.default_rng(3).normal(size=(64, dimensions)) + 1
    xy = np.array(project(rows).xy)
    assert np.array_equal(xy[:, :dimensions], rows)
    assert not xy[:, dimensions:].any()
    assert np.isclose(sum(project(rows).explained), 1)


def test_points_that_fall_together_explain_nothing():
    assert project(np.ones((64, 10))).explained == (0, 0)


def test_rows_come_in_the_order_of_the_probe_set():
    module = nn.Sequential(nn.Embedding(64, 2), nn.Linear(2, 21))
    backwards = find_embedding(module, ALL[::-1])
    assert backwards.xy == find_embedding(module, ALL).xy[::-1]


class Own(nn.Module):
    def __init__(self, n_rows):
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_rows, 3))


def test_a_table_of_ones_own_is_found_and_layers_of_torch_are_not():
    assert find_embedding(Own(64), ALL).dimensions == 3
    assert find_embedding(Own(63), ALL) is None
    assert find_embedding(nn.Linear(64, 64), ALL) is None
    assert find_embedding(nn.Embedding(4, 2), ALL) is None


def test_an_embedding_that_went_out_of_bounds_is_none():
    module = nn.Embedding(64, 2)
    with torch.no_grad():
        module.weight[3, 1] = torch.nan
    assert find_embedding(module, ALL) is None
