import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from codonbench.contracts import (
    NOT_MEASURED,
    BatchLearner,
    Dataset,
    Features,
    GradientConfig,
    Input,
    MetricName,
    Model,
    ModelConfig,
    ModelInfo,
    Name,
    Reference,
    Sequences,
    Task,
    TaskSpec,
    Trajectory,
    TrajectoryFacts,
    Version,
    required_right,
)
from codonbench.errors import ConfigError, PluginError, UnknownNameError
from samples import WORDS_TASK

SPEC = WORDS_TASK
WORDS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def spec(**changes):
    """The spec with some fields changed; those of its parts are given as dictionaries."""
    content = SPEC.model_dump()
    for name, value in changes.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return TaskSpec.model_validate(content)


def dataset(**changes):
    facts = {
        "spec": SPEC,
        "source": "toy",
        "checksum": "0",
        "simulated": True,
        "items": Sequences.of_rows(WORDS),
        "targets": np.array([0, 1, 2, 2]),
        "evaluation": np.arange(4),
    }
    return Dataset(**{**facts, **changes})


# Names


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Name, ["mlp-64", "joiret2023", "a.b_c", "0"], ["", "MLP", "-a", "a b", "a/b", "x" * 65]),
        (MetricName, ["pairs_consumed", "stop_UAG_p", "9"], ["", "_a", "a-b", "a b"]),
        (Version, ["1", "1.2", "1.2.3", "1.0rc1", "2.13.0+cpu"], ["", "v1", "1_2", "1 "]),
    ],
)
def test_names_are_safe_in_files_tables_and_shells(kind, good, bad):
    adapter = TypeAdapter(kind)
    for text in good:
        assert adapter.validate_python(text) == text
    for text in [*bad, *(f"{text}\n" for text in good)]:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


# Tasks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": {"targets": (0, 1, 2)}}, "3 targets for 4 inputs"),
        ({"evaluation": {"targets": (0, 1, 2, 3)}}, r"must lie in 0\.\.2"),
        ({"evaluation": {"targets": (0, 1, 2, -1)}}, r"must lie in 0\.\.2"),
        ({"target": {"class_weights": (1.0, 2.0)}}, "2 class weights for 3 classes"),
        ({"target": {"kind": "quantities", "units": ("kb",)}}, "1 units for 3 quantities"),
        ({"evaluation": {"groups": {"stop": (4,)}}}, r"'stop' names an input outside 0\.\.3"),
        ({"evaluation": None}, "enumerable, but there is no evaluation set"),
        ({"input": {"symbol": "word"}}, "unit and symbol are both 'word'"),
        ({"input": {"min_length": 3}}, "lengths run from 3 to 2"),
        ({"target": {"names": ("X",)}}, "one class, 'X'; expected two or more"),
        ({"evaluation": {"target_accuracy": 0}}, "greater than 0"),
        ({"evaluation": {"target_accuracy": 1.01}}, "less than or equal to 1"),
        ({"train_size": -1}, "greater than or equal to 0"),
        ({"tittle": "Toy"}, "Extra inputs"),
        ({"target": {"class_weights": (1.0, 2.0, float("inf"))}}, "finite number"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        spec(**changes)


def test_a_model_is_shown_shapes_and_never_labels():
    view = SPEC.view()
    assert view.model_dump() == {
        "task": "toy",
        "kind": "sequence",
        "unit": "word",
        "symbol": "letter",
        "alphabet": "ab",
        "min_length": 2,
        "max_length": 2,
        "ambiguous": "zeros",
        "parts": (),
        "n_inputs": 4,
        "target": "classes",
        "n_outputs": 3,
    }
    assert spec(input={"enumerable": False}).view().n_inputs is None


def test_a_model_of_classes_is_stopped_at_a_task_that_has_none():
    view = spec(target={"kind": "quantities"}, evaluation=None, input={"enumerable": False}).view()
    assert view.n_outputs == 3
    with pytest.raises(ConfigError, match=r"task 'toy' asks for quantities; .* n_outputs"):
        view.n_classes  # noqa: B018 - the property is the test


def test_a_contract_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.name = "other"


@pytest.mark.parametrize(
    ("target", "inputs", "needed"),
    [(1.0, 64, 64), (0.9, 10, 9), (0.9, 11, 10), (0.5, 3, 2), (0.07, 100, 7), (1e-6, 5, 1)],
)
def test_as_many_must_be_right_as_the_target_says_and_no_fewer(target, inputs, needed):
    task = spec(
        evaluation={
            "inputs": ("aa",) * inputs,
            "targets": (0,) * inputs,
            "target_accuracy": target,
            "groups": {},
        }
    )
    assert required_right(task) == needed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": Sequences.of_rows(WORDS[:, :1])}, "items have 1 to 1 letters, expected 2 to 2"),
        ({"items": Features(np.zeros((4, 2)))}, "items are features, but .* is 'sequence'"),
        ({"targets": np.zeros(3, int)}, r"targets \(3,\) should be \(4,\)"),
        ({"targets": np.array([0, 1, 2, 3])}, r"class ids 0\.\.2"),
        ({"targets": np.array([0.0, 1, 2, 2])}, "targets are float64, expected class ids, int64"),
        ({"items": Sequences.of_rows(WORDS + 1)}, r"letter indices 0\.\.1 or 255"),
        ({"evaluation": np.arange(3)}, r"evaluation \(3,\) should be \(4,\)"),
        ({"targets": np.array([0, 1, 2, 1])}, r"differs from the spec's evaluation\.targets"),
        (
            {
                "items": Sequences.of_rows(np.vstack([WORDS, WORDS])),
                "targets": np.array([0, 1, 2, 2] * 2),
            },
            "must hold each of 8 items once",
        ),
        ({"splits": {"dev": np.arange(2)}}, "a split is called 'dev'"),
        ({"splits": {"test": np.array([4])}}, r"split 'test' names items outside 0\.\.3"),
    ],
)
def test_data_that_do_not_fit_their_spec_are_refused(changes, message):
    with pytest.raises(PluginError, match=rf"task 'toy', data 'toy': .*{message}"):
        dataset(**changes)


def test_an_evaluation_set_may_be_a_sample_of_items_that_cannot_be_enumerated():
    sample = dataset(
        spec=spec(input={"enumerable": False}),
        items=Sequences.of_rows(np.vstack([WORDS, WORDS])),
        targets=np.array([0, 1, 2, 2] * 2),
    )
    assert len(sample.items) == 8


def test_a_dataset_that_draws_nothing_gives_its_fixed_split():
    split = dataset(splits={"train": np.array([2, 0]), "test": np.array([3])}).split(
        np.random.default_rng(0)
    )
    assert [part.tolist() for part in (split.train, split.validation, split.test)] == [
        [2, 0],
        [],
        [3],
    ]


# Items


def test_sequences_are_packed_end_to_end_and_come_back_as_text():
    sequences = Sequences.of(["ACG", "", "tn", "GGAT"], "ACGT")
    assert sequences.letters.tolist() == [0, 1, 2, 3, 255, 2, 2, 0, 3]
    assert sequences.offsets.tolist() == [0, 3, 3, 5, 9]
    assert sequences.lengths.tolist() == [3, 0, 2, 4]
    assert sequences.text("ACGT") == ["ACG", "", "TN", "GGAT"]


def test_sequences_are_taken_in_any_order_and_more_than_once():
    sequences = Sequences.of(["ACG", "", "T", "GGAT"], "ACGT")
    taken = sequences.take(np.array([3, 0, 1, 3]))
    assert taken.text("ACGT") == ["GGAT", "ACG", "", "GGAT"]
    assert len(sequences.take(np.array([], dtype=int))) == 0


def test_rows_of_one_length_come_back_as_they_were():
    assert Sequences.of_rows(WORDS).rows().tolist() == WORDS.tolist()
    assert Sequences.of_rows(WORDS).text("ab") == ["aa", "ab", "ba", "bb"]


class Plain(Task):
    name = "plain"
    version = "1"
    title = "Plain"
    protocol = "decipher"
    default_data = "none"

    def load(self, data, options, *, cache, offline=False):
        return dataset()


def test_a_task_without_downloads_says_so():
    with pytest.raises(UnknownNameError) as caught:
        Plain().source("moon")
    assert str(caught.value) == "no download is called 'moon'; plain has none"


# Models


class Linear(Model):
    info = ModelInfo(name="linear", version="1", summary="Linear", row_independent=True)
    Config = GradientConfig
    encoding = "input_onehot"

    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes)


def test_a_model_must_say_its_encoding_and_how_it_is_built():
    with pytest.raises(TypeError, match="abstract"):
        Model(ModelConfig())


@pytest.mark.parametrize(("name", "rule"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_usual_optimiser_follows_the_configuration(name, rule):
    model = Linear(GradientConfig(optimizer=name, learning_rate=0.25))
    optimizer = model.configure_optimizer(model.build(SPEC.view()))
    assert type(optimizer) is rule
    assert optimizer.defaults["lr"] == 0.25
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == 15
    assert model.row_independent


def test_a_model_without_optimiser_or_update_is_told_its_three_choices():
    model = Linear(ModelConfig())
    with pytest.raises(TypeError) as caught:
        model.configure_optimizer(model.build(SPEC.view()))
    for choice in ("GradientConfig", "configure_optimizer()", "update(inputs, labels)"):
        assert choice in str(caught.value)


def test_a_module_with_an_update_learns_without_gradients():
    class Learner(nn.Module):
        def update(self, inputs, labels):
            pass

    assert isinstance(Learner(), BatchLearner)
    assert not isinstance(nn.Linear(1, 1), BatchLearner)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"optimizer": "lion"},
        {"class_weights": "yes"},
        {"momentum": 0.9},
    ],
)
def test_a_hyperparameter_out_of_range_is_refused(fields):
    with pytest.raises(ValidationError):
        GradientConfig(**fields)


def test_a_reference_row_knows_nothing_unless_it_says_so():
    row = Reference(ModelConfig())
    assert row.logits(SPEC) is None
    assert row.values(SPEC, None) == {}


def test_the_contracts_can_be_imported_without_torch():
    modules = "codonbench.contracts, codonbench.plugins.hookspecs"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


# Trajectories


def trajectory(logits, **changes):
    logits = np.asarray(logits, dtype=np.float32)
    facts = TrajectoryFacts(batch_size=4, epoch_pairs=10, budget_pairs=20, pairs=20, complete=True)
    fields = {
        "task": SPEC,
        "facts": facts,
        "pairs": np.arange(len(logits)),
        "outputs": logits,
        "targets": np.array(SPEC.evaluation.targets),
    }
    return Trajectory(**{**fields, **changes})


RIGHT = [[2, 0, 0], [0, 2, 1], [0, 0, 3], [-2, -3, -1]]
TIED = [[2, 0, 0], [0, 2, 2], [0, 0, 3], [-2, -3, -1]]


def test_right_is_strictly_above_every_rival():
    t = trajectory([RIGHT, TIED])
    assert t.true_logit.tolist() == [[2, 2, 3, -1], [2, 2, 3, -1]]
    assert t.best_rival_logit.tolist() == [[0, 1, 0, -2], [0, 2, 0, -2]]
    assert t.right.tolist() == [[True] * 4, [True, False, True, True]]
    assert t.solved.tolist() == [True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_is_right_from_the_first_non_finite_snapshot_on(bad):
    logits = np.array([RIGHT, RIGHT, RIGHT], dtype=np.float32)
    logits[1, 2, 0] = bad
    t = trajectory(logits)
    assert t.finite.tolist() == [True, False, False]
    assert t.solved.tolist() == [True, False, False]


def test_logits_are_compared_where_probabilities_saturate():
    """Softmax of 200 and 199.9 next to 0 differs; of 1e4 and 1e4 - 200, one is 1 and one 0."""
    t = trajectory([[[1e4, 9.8e3, 0], [0, 1e-30, 0], [0, 0, 1], [0, 0, 1]]])
    assert t.right.all()
    assert t.probabilities(0)[0].tolist() == [1.0, np.exp(-200.0), 0.0]


def test_probabilities_are_the_softmax_in_double_precision():
    t = trajectory([RIGHT, TIED])
    expected = torch.softmax(torch.tensor(t.outputs, dtype=torch.float64), dim=-1).numpy()
    np.testing.assert_allclose(t.probabilities(), expected, rtol=1e-14)
    np.testing.assert_allclose(t.probabilities(1), expected[1], rtol=1e-14)


def test_a_target_below_one_forgives_that_many():
    assert trajectory([TIED], task=spec(evaluation={"target_accuracy": 0.75})).solved.tolist() == [
        True
    ]


def test_not_measured_is_one_value_that_equals_nothing_else():
    assert NOT_MEASURED is not None
    assert NOT_MEASURED != 0
    assert NOT_MEASURED != "not_measured"


def test_an_input_is_written_as_it_was_before_it_had_parts() -> None:
    # The checksums of stored trajectories are of what is written here.
    assert sorted(Input.of_length(3).model_dump()) == [
        "alphabet",
        "enumerable",
        "kind",
        "max_length",
        "min_length",
        "symbol",
        "unit",
    ]
    two = Input.of_parts(Input.of_length(20, unit="mirna"), Input.of_length(50, unit="target"))
    assert Input.model_validate(two.model_dump(mode="json")) == two
