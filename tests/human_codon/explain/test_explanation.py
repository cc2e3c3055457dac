"""Which letters trained models lean on; the wobble shows in those that have learned the code."""

from pathlib import Path

import numpy as np
import pytest

from codonbench.audit.repeat import repeat
from codonbench.errors import UsageError
from codonbench_datasets.human_codon.explanation import (
    Attribution,
    draw_leaning,
    explain_run,
    silent_positions,
)
from codonbench_datasets.human_codon.plots.style import as_file, house_style


@pytest.fixture(scope="module")
def explained(toys):
    """Explain a short run; cached, because each is trained twice."""
    known = {}

    def explained(model, **request):
        key = (model, *sorted(request.items()))
        if key not in known:
            record, _ = toys.run(model, task="human-codon", **request)
            known[key] = explain_run(repeat(record, toys.registry(), Path("no-cache")))
        return known[key]

    return explained


def test_in_the_standard_code_the_third_position_of_32_codons_is_silent(explained):
    silent = np.array(explained("untrained", pairs=640).silent)
    assert silent.sum(axis=0).tolist() == [0, 0, 32]


def test_silent_positions_by_hand():
    letters = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    found = silent_positions(letters, np.array([5, 5, 6, 7]))
    assert found.tolist() == [[False, True], [False, True], [False, False], [False, False]]


def test_a_linear_network_leans_least_on_the_silent_third_position_by_both_methods(explained):
    explanation = explained("mlp-64-12bit", pairs=25_600)
    assert all(explanation.right)
    _, substitution, gradients = explanation.attributions
    assert [a.method for a in explanation.attributions][1:] == [
        "substitution",
        "integrated gradients",
    ]
    assert np.allclose(substitution.values, gradients.values, atol=1e-3)  # it is linear
    for attribution in explanation.attributions:
        assert attribution.residual < 1e-5 * max(attribution.span, 1)
    silent = [s for s in explanation.summaries if s.over == "position 3 silent"]
    assert [s.least for s in silent] == [32, 32, 32]
    assert all(s.shares[2] < 0.15 for s in silent)
    assert explanation.remarks == ()


@pytest.mark.parametrize("model", ["mlp-64", "embedding10-relu"])
def test_a_model_handed_whole_codons_has_substitution_only_and_is_told_why(explained, model):
    explanation = explained(model, pairs=25_600)
    assert [a.method for a in explanation.attributions] == ["the code itself", "substitution"]
    (remark,) = explanation.remarks
    assert "is handed the codon as a whole" in remark
    silent = [s for s in explanation.summaries if s.over == "position 3 silent"]
    assert all(s.n == 32 for s in silent)
    # A network that is chaotic leans on another letter at a few codons, on some processors.
    assert all(s.least >= 28 for s in silent)


def test_a_learner_without_gradients_is_told_so(explained):
    (remark,) = explained("untrained", pairs=640).remarks
    assert "does not learn by gradient" in remark


def test_its_picture_has_the_same_bytes_each_time(explained):
    explanation = explained("untrained", pairs=640)
    with house_style():
        one, other = (as_file(draw_leaning(explanation, "title"), "svg") for _ in range(2))
    assert one == other


def test_shares_are_parts_of_the_absolute_values_and_even_where_all_are_nothing():
    attribution = Attribution(
        method="substitution", values=((3.0, -1.0, 0.0), (0.0, 0.0, 0.0)), residual=0, span=2
    )
    assert np.allclose(attribution.shares, [[0.75, 0.25, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_what_was_computed_cannot_be_explained(explained):
    with pytest.raises(UsageError, match="no trained module"):
        explained("oracle", pairs=640)
