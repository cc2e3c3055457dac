"""The embedding of a recorded run, drawn from the run made again."""

from pathlib import Path

import numpy as np
import pytest

from codonbench.audit.repeat import repeat
from codonbench.errors import UsageError
from codonbench_datasets.human_codon.plots.embedding import draw_embedding, has_embedding

CACHE = Path("no-cache")


@pytest.mark.parametrize(
    ("model", "has_one"),
    [("embedding2-tanh", True), ("embedding10-relu", True), ("mlp-64", False), ("oracle", False)],
)
def test_which_rows_have_an_embedding_is_seen_without_training(toys, finished, model, has_one):
    record = toys.run(model, pairs=200, full=True)[0]
    assert has_embedding(record, toys.registry(), finished[1].task.view()) is has_one


@pytest.fixture(scope="module")
def embedded(toys):
    """The record of a model that has an embedding in the plane."""
    return toys.run("embedding2-tanh", pairs=1_000, full=True)[0]


def test_the_drawing_is_of_the_weights_that_the_record_names(toys, embedded):
    record = embedded
    drawn = draw_embedding(record, toys.registry(), CACHE)
    weights = repeat(record, toys.registry(), CACHE).module.state_dict()
    (table,) = [w for name, w in weights.items() if w.shape == (25, 2)]
    np.testing.assert_allclose(drawn.xy, table.numpy(), rtol=1e-3)
    assert (drawn.seed, drawn.run_id, drawn.dimensions) == (record.seed, record.run_id, 2)
    assert drawn.trace_sha256 == record.trajectory_sha256
    assert drawn.labels == toys.spec.evaluation.targets


def test_other_weights_than_the_recorded_ones_are_not_drawn(toys, embedded):
    other = embedded.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(UsageError, match="comes to other weights here"):
        draw_embedding(other, toys.registry(), CACHE)


def test_a_model_without_one_has_no_drawing(toys, finished):
    assert draw_embedding(finished[0], toys.registry(), CACHE) is None
