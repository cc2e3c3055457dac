"""A model from a plain function is a model like any other."""

import pickle
import re
import textwrap
from types import ModuleType

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from torch import nn

import codonbench
from codonbench import Model
from codonbench.contracts import Input, Target, TaskSpec, TrainingSet, from_function
from codonbench.errors import PluginError
from codonbench.plugins.registry import Registry


@codonbench.model(
    encoding="input_onehot",
    learning_rate=0.05,
    row_independent=True,
    presets={"two-layers-8": {"hidden": 8}},
)
def two_layers(task, hidden: int = 16, bias=True):
    """Two layers.

    And more.
    """
    return nn.Sequential(
        nn.Linear(task.n_inputs, hidden, bias=bias), nn.Linear(hidden, task.n_classes)
    )


def test_it_is_a_class_of_the_contract_with_the_functions_name_and_first_line():
    assert issubclass(two_layers, Model)
    assert two_layers.info.name == "two-layers"
    assert two_layers.info.summary == "Two layers."
    assert two_layers.info.row_independent


def test_its_parameters_are_fields_beside_those_of_the_harness():
    config = two_layers.Config(hidden=3)
    assert (config.hidden, config.bias, config.learning_rate) == (3, True, 0.05)
    assert set(two_layers.Config.model_fields) == {
        *codonbench.GradientConfig.model_fields,
        "hidden",
        "bias",
    }
    with pytest.raises(ValidationError, match="hidden"):
        two_layers.Config(hidden="many")
    with pytest.raises(ValidationError, match="less than or equal to 100"):
        two_layers.Config(learning_rate=101)


def test_the_decorator_sets_how_it_is_trained():
    decorate = codonbench.model(encoding="input_onehot", optimizer="adamw", weight_decay=0.1)
    config = decorate(two_layers.function).Config()
    assert (config.optimizer, config.weight_decay, config.schedule) == ("adamw", 0.1, "constant")
    with pytest.raises(PluginError, match=r"no setting 'wieght_decay'.*weight_decay"):
        codonbench.model(encoding="input_onehot", wieght_decay=0.1)


def test_the_function_gets_the_configured_values(toys):
    module = two_layers(two_layers.Config(hidden=3, bias=False)).build(toys.spec.view())
    assert module[0].weight.shape == (3, 25)
    assert module[0].bias is None


def test_a_function_without_a_return_is_told_so(toys):
    forgetful = codonbench.model(encoding="codon_onehot", name="forgetful")(_forgets)
    with pytest.raises(PluginError, match=r"_forgets returned None; expected a torch.nn.Module"):
        forgetful(forgetful.Config()).build(toys.spec.view())


def _forgets(task):
    nn.Linear(task.n_inputs, task.n_classes)


def test_class_config_and_instance_can_be_pickled():
    plugin = two_layers(two_layers.Config(hidden=5))
    again = pickle.loads(pickle.dumps(plugin))
    assert type(again) is two_layers
    assert again.config == plugin.config


def test_it_is_trained_in_the_captured_step_as_its_claim_allows(toys):
    record, _ = toys.run(two_layers, pairs=3_000)
    assert (record.status, record.engine.name) == ("done", "traced")
    assert record.run_spec.config["hidden"] == 16


def test_the_same_as_a_class_gives_the_same_weights(toys):
    class AsClass(Model):
        info = codonbench.ModelInfo(
            name="two-layers", version="1", summary="", row_independent=True
        )
        Config = two_layers.Config
        encoding = "input_onehot"

        def build(self, task):
            hidden = self.config.hidden
            return nn.Sequential(
                nn.Linear(task.n_inputs, hidden), nn.Linear(hidden, task.n_classes)
            )

    weights = {toys.run(cls, pairs=2_000)[0].weights_sha256 for cls in (two_layers, AsClass)}
    assert len(weights) == 1


def test_it_is_registered_without_a_hook_and_once_with_one(toys):
    for module in (ModuleType(__name__), toys.module(__name__, models=(two_layers,))):
        module.two_layers = two_layers
        registry = registry_of(module)
        assert list(registry.models) == ["two-layers", "two-layers-8"]
        assert registry.models["two-layers"].file == __file__


def registry_of(module):
    registry = Registry()
    registry.add(module, "toy-shop", "1.0")
    assert registry.failures == []
    return registry


def test_one_that_is_only_imported_is_not_registered_again():
    module = ModuleType("another")
    module.two_layers = two_layers
    assert registry_of(module).models == {}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: None, "takes no task; expected def"),
        (lambda task, hidden: None, "parameter 'hidden' has no default; expected"),
        (lambda task, batch_size=3: None, "give its default to the decorator"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_in_words(function, message):
    with pytest.raises(PluginError, match=message):
        codonbench.model(encoding="codon_onehot", name="bad")(function)


@pytest.mark.parametrize("mark", [codonbench.model, lambda function: codonbench.model()(function)])
def test_a_mark_without_its_encoding_is_refused_in_words(mark):
    with pytest.raises(PluginError, match=r'expected one by its name.*encoding="symbol_onehot"'):
        mark(lambda task: None)


@pytest.mark.parametrize("words", [{"learning_rate": -1}, {"optimizer": "adm"}, {"name": "A b"}])
def test_a_default_or_name_out_of_bounds_is_refused(words):
    with pytest.raises(ValidationError, match=next(iter(words))):
        codonbench.model(encoding="codon_onehot", **words)(two_layers.function)


def test_the_model_in_the_docstring_is_complete_and_short():
    code = example()
    assert len(code.splitlines()) <= 15
    namespace = {"__name__": __name__}
    exec(code, namespace)
    assert namespace["two_layers"].Config().hidden == 64


def example():
    """The plugin that the module's docstring shows."""
    return textwrap.dedent(re.search(r"::\n\n(.*?)\n\n\S", from_function.__doc__, re.S)[1]).strip()


@codonbench.estimator(encoding="symbol_onehot_flat")
def scored(task, penalty: float = 1.0):
    """Scores without probabilities, and ridge."""
    return LinearSVC(C=penalty) if task.target != "quantities" else Ridge(alpha=penalty)


@codonbench.estimator(encoding="text")
def counted(task):
    """Of scikit-learn, on texts."""
    counts = CountVectorizer(analyzer="char", lowercase=False)
    return make_pipeline(counts, LogisticRegression())


def fit(cls, target, items, targets):
    spec = TaskSpec(
        name="toy",
        version="1",
        title="Toy",
        input=Input(min_length=1, max_length=9),
        target=Target(kind=target, names=("a", "b", "c")),
        protocol="supervised",
        train_size=1,
    )
    estimator = cls(cls.Config())
    estimator.fit(TrainingSet(spec.view(), items, targets, np.random.default_rng(0)))
    return estimator


def test_a_function_that_returns_a_learner_of_scikit_learn_is_an_estimator():
    assert issubclass(counted, codonbench.Estimator)
    assert (counted.info.name, counted.info.summary) == ("counted", "Of scikit-learn, on texts.")
    assert scored.Config().model_dump() == {"penalty": 1.0}
    texts = ["AAC", "ACA", "GGT", "TGG"] * 5
    outputs = fit(counted, "classes", texts, np.array([0, 0, 2, 2] * 5)).predict(["AA", "GG"])
    assert outputs.argmax(axis=1).tolist() == [0, 2]
    assert (outputs[:, 1] < -20).all()  # class b, which training lacks


def test_labels_and_quantities_are_fitted_one_by_one_where_they_are_known():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    targets = np.where(rows > 0, 1, 0).astype(np.float32)
    targets[:20, 0] = np.nan
    outputs = fit(scored, "labels", rows, targets).predict(rows)
    assert ((outputs > 0) == (rows > 0)).mean() > 0.95
    quantities = (rows * [1, 10, 100]).astype(np.float32)
    quantities[::2, 1] = np.nan
    outputs = fit(scored, "quantities", rows, quantities).predict(rows)
    known = ~np.isnan(quantities)
    np.testing.assert_allclose(outputs[known], quantities[known], rtol=0.2, atol=2)


class Unnamed:
    """Of scikit-learn's kind, but for ``classes_``."""

    def fit(self, items, class_ids):
        return self

    def predict_proba(self, items):
        return [[0.5, 0.5] for _ in items]


@codonbench.estimator(encoding="text")
def unnamed(task):
    return Unnamed()


@codonbench.estimator(encoding="text")
def nothing(task):
    """Builds an estimator and forgets to return it."""
    Unnamed()


@codonbench.model(encoding="symbol_onehot")
def mismarked(task):
    return LogisticRegression()


def test_what_a_function_lacks_for_its_decorator_is_named():
    items, class_ids = ["AC", "GT"], np.array([0, 1])
    with pytest.raises(PluginError, match=r"nothing returned None; expected an estimator.*return"):
        fit(nothing, "classes", items, class_ids)
    with pytest.raises(PluginError, match=r"Unnamed has no classes_.*self\.classes_ ="):
        fit(unnamed, "classes", items, class_ids).predict(items)
    with pytest.raises(PluginError, match=r"LogisticRegression.*@codonbench\.estimator"):
        mismarked(mismarked.Config()).build(None)


def test_an_estimator_without_an_encoding_says_what_it_lacks():
    with pytest.raises(PluginError, match=r'encoding.*estimator\(encoding="text"\)'):
        codonbench.estimator(two_layers)
