"""What a model of sequences rests on: values held against closed forms, motifs against planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from codonbench.audit.repeat import repeat
from codonbench.contracts import Sequences
from codonbench.errors import UsageError
from codonbench.explain.attribution import (
    AskedOutput,
    chosen,
    deep_lift,
    integrated_gradients,
    lost,
    mutagenesis,
    saliency,
)
from codonbench.explain.motifs import (
    Motif,
    beside_known,
    consensus,
    first_filters,
    information,
    motifs_of,
    similarity,
)
from codonbench.explain.sequences import (
    _distinct,
    draw_sequences,
    explain_sequences,
    neighbourhoods,
    principal_components,
)
from codonbench.explain.style import as_file, house_style

DNA = "ACGT"


class Sums(nn.Module):
    """Linear in the letters: an output is the sum of a weight a letter and place."""

    def __init__(self, length, outputs=2, channels=4):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(outputs, length, channels, generator=generator)

    def forward(self, letters):
        return (letters[:, None, :, :4] * self.weights).sum((2, 3))


def one_hot(letters):
    return torch.eye(4)[torch.as_tensor(letters, dtype=torch.long)][None]


@pytest.mark.parametrize("mask", [None, torch.ones(1, 9, 1)])
def test_of_a_linear_model_all_methods_say_its_weights(mask):
    module, letters = Sums(9), np.arange(9, dtype=np.uint8) % 4
    weights = (module.weights[1] - module.weights[0]).double().numpy()
    own = weights[np.arange(9), letters]
    asked = AskedOutput(module, 1, advantage=True, mask=mask).eval()
    assert saliency(asked, one_hot(letters)) == pytest.approx(own, abs=1e-5)
    for method in (integrated_gradients, deep_lift):
        values, missed = method(asked, one_hot(letters))
        assert values == pytest.approx(own - weights.mean(1), abs=1e-5)
        assert missed < 1e-4

    def score(rows):
        rows = torch.cat([one_hot(row) for row in rows])
        return chosen(module(rows), 1, advantage=True).double().numpy()

    for at_once in (1, 100, 10**6):
        changes = mutagenesis(score, letters, 4, at_once)
        assert changes == pytest.approx(weights - own[:, None], abs=1e-5)
    assert lost(changes, letters) == pytest.approx((own - weights.mean(1)) * 4 / 3, abs=1e-5)


def test_deep_lift_adds_up_behind_activation_and_pooling():
    torch.manual_seed(0)
    layers = nn.Conv1d(4, 6, 3), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(12, 2)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, letters):
            return self.layers(letters.transpose(1, 2))

    letters = one_hot(np.arange(10) % 4)
    _, missed = deep_lift(AskedOutput(Network(), 0, advantage=True).eval(), letters)
    assert missed < 1e-3


@pytest.mark.parametrize("name", ["basset", "autoencoder", "vae", "dilated-published"])
def test_deep_lift_adds_up_in_networks_that_read_places_in_order(toys, name):
    job = toys.job(name, task="planted-motif")
    module = job.entry.cls(job.config).build(job.dataset.spec.view())
    letters = job.dataset.items.letters[: job.dataset.spec.input.max_length]
    mask = torch.ones(1, len(letters), 1)
    _, missed = deep_lift(
        AskedOutput(module, 0, advantage=True, mask=mask).eval(), one_hot(letters)
    )
    assert missed < 1e-3


def test_an_advantage_is_a_logit_less_the_mean_of_its_rivals():
    outputs = torch.tensor([[1.0, 2.0, 6.0]])
    assert chosen(outputs, 2, advantage=True).item() == pytest.approx(6 - 1.5)
    assert chosen(outputs, 2, advantage=False).item() == 6


def matrix_of(text, sharpness=0.85):
    even = (1 - sharpness) / 3
    return np.where(np.eye(4)[[DNA.index(letter) for letter in text]] > 0, sharpness, even)


def test_a_filter_that_matches_a_word_has_its_matrix():
    rng = np.random.default_rng(0)
    rows = rng.integers(4, size=(200, 40))
    word = [DNA.index(letter) for letter in "GATAAG"]
    for row in rows[:100]:
        row[7:13] = word
    filters = nn.Conv1d(4, 2, 6)
    with torch.no_grad():
        filters.weight.fill_(-1.0)
        filters.weight[0, word, torch.arange(6)] = 1.0  # at 6 where all letters match, else at 4
    (found,) = motifs_of(filters, torch.cat([one_hot(row) for row in rows]))
    assert found.filter == 0
    assert consensus(np.asarray(found.probabilities), DNA) == "GATAAG"
    known = {"GATAAG": matrix_of("GATAAG"), "CCGGAAGT": matrix_of("CCGGAAGT")}
    (beside,) = beside_known([found], known, both_strands=True)
    assert beside.known == "GATAAG"
    assert beside.similarity > 0.85


def test_similarity_of_matrices_by_hand():
    whole = matrix_of("GATAAGCA")
    assert similarity(whole, whole) == pytest.approx(1)
    assert similarity(matrix_of("CCGATAAGCATT"), whole) == pytest.approx(1)
    # of 8 places 5 are there, and count as much as they are of the known one
    assert similarity(matrix_of("GATAA"), whole) == pytest.approx(np.sqrt(5 / 8))
    assert similarity(matrix_of("CCCCCCCC"), whole) < 0.3
    reverse = Motif(filter=0, sites=9, probabilities=tuple(map(tuple, whole[::-1, ::-1])))
    for both_strands in (True, False):
        (found,) = beside_known([reverse], {"a": whole}, both_strands=both_strands)
        assert (found.similarity > 0.99) == both_strands


def test_information_is_two_bits_of_a_sure_letter_and_none_of_even_ones():
    assert information(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])) == pytest.approx(
        [2, 0, 1]
    )


def test_the_first_filters_are_those_over_letters_that_see_several():
    module = nn.Sequential(nn.Conv1d(4, 3, 1), nn.Conv1d(3, 5, 7), nn.Conv1d(4, 2, 6))
    assert first_filters(module, 4) is module[2]
    assert first_filters(nn.Linear(4, 4), 4) is None


def test_of_items_that_are_the_same_the_first_is_explained():
    items = Sequences.of(["ACGT", "ACG", "ACGT", "ACGTA", "ACG"], "ACGT")
    assert _distinct(items).tolist() == [0, 1, 3]


def test_principal_components_are_the_widest_directions_with_their_shares():
    points = np.array([[3.0, 0, 1], [-3, 0, 1], [0, 1, 1], [0, -1, 1]])
    found, shares = principal_components(points)
    assert np.abs(found) == pytest.approx(np.abs(points[:, :2]))
    assert shares == pytest.approx((0.9, 0.1))


def test_umap_of_too_few_items_is_refused():
    with pytest.raises(UsageError, match="more than 15 test items; 15 are there"):
        neighbourhoods(np.zeros((15, 3)))


@pytest.mark.nightly("numba compiles for a minute")
def test_umap_keeps_groups_apart_and_repeats():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 8)) + np.repeat([[0.0], [20.0]], 30, axis=0)
    first = neighbourhoods(points)
    assert first.shape == (60, 2)
    assert (first == neighbourhoods(points)).all()
    near = np.argsort(((first[:, None] - first) ** 2).sum(2), axis=1)[:, 1]
    assert (near // 30 == np.arange(60) // 30).all()


@pytest.fixture(scope="module")
def run(toys):
    def run(model, task="planted-motif", **request):
        record, _ = toys.run(model, task=task, **request)
        repetition = repeat(record, toys.registry(), Path("no-cache"))
        known = toys.installed.task("planted-motif").task.motifs(record)
        return explain_sequences(repetition, known, 2)

    return run


def test_a_trained_network_rests_on_the_planted_motifs(run):
    easy = {"task_overrides": {"difficulty": "easy"}}
    found = run("deepbind", pairs=6_400, overrides={"filters": "24", "width": "8"}, **easy)
    assert found.same_weights
    assert found.known == {"GATAAGCA": "GATAAGCA", "CCGGAAGT": "CCGGAAGT"}
    assert {motif.known for motif in found.motifs} == set(found.known)
    assert [item.asked for item in found.items] in (["grammar", "decoy"], ["decoy", "grammar"])
    for item in found.items:
        assert len(item.text) == 60
        assert {"mutagenesis", "saliency", "integrated gradients"} <= set(item.values)
        assert {len(values) for values in item.values.values()} == {60}
        assert np.shape(item.changes) == (60, 4)
    assert np.shape(found.embedding) == (1000, 2)
    assert set(found.embedded) == {"grammar", "decoy"}
    with house_style():
        pictures = draw_sequences(found, "deepbind")
        assert sorted(pictures) == ["", "-embedding", "-motifs"]
        assert all(as_file(figure, "svg").startswith(b"<?xml") for figure in pictures.values())


def test_a_network_that_pools_has_every_method_of_letters(run):
    found = run("deepsea", pairs=640, overrides={"filters": "4"})
    for item in found.items:
        assert {"saliency", "integrated gradients", "DeepLIFT"} <= set(item.values)
    assert found.remarks == ()


def test_what_values_miss_is_said_with_how_many_items(run):
    found = run("cnn", pairs=640)
    assert not any("DeepLIFT" in item.values for item in found.items)
    assert "No DeepLIFT of 2 of 2 items" in " ".join(found.remarks)


def test_what_a_transformer_attends_to_adds_up_to_one(run):
    found = run(
        "transformer-kmers", pairs=640, overrides={"width": "8", "layers": "1", "heads": "2"}
    )
    for item in found.items:
        assert sum(item.values["attention"]) == pytest.approx(1, abs=0.05)
    assert "none reaches the letters" in " ".join(found.remarks)
    assert found.motifs == ()
    assert found.recovered is None


@pytest.mark.parametrize(
    ("model", "request_", "methods"),
    [
        ("kmer-linear", {"overrides": {"k": "3"}}, {"mutagenesis"}),
        (
            "deepsea",
            {"protocol": "linear_probe", "overrides": {"filters": "4"}},
            {"mutagenesis", "saliency", "integrated gradients", "DeepLIFT"},
        ),
    ],
)
def test_what_was_fitted_is_asked_as_its_run_asked_it(toys, model, request_, methods):
    record, trajectory = toys.run(model, task="planted-motif", **request_)
    repetition = repeat(record, toys.registry(), Path("no-cache"))
    found = explain_sequences(repetition, {}, 2)
    test = repetition.setup.evaluated()["test"].tolist()
    names = trajectory.task.target.names
    for item in found.items:
        assert set(item.values) == methods
        assert np.ptp(item.values["mutagenesis"]) > 0
        own = trajectory.test_outputs[[test.index(int(item.item))]]
        said = chosen(torch.as_tensor(own), names.index(item.asked), advantage=True)
        assert item.score == pytest.approx(said.item(), abs=1e-4)
    assert bool(found.embedding) == (model == "deepsea")


def test_what_was_not_trained_by_gradient_is_refused(run):
    with pytest.raises(UsageError, match="neither a module trained by gradient"):
        run("majority", pairs=640)
