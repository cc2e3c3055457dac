import pytest

from codonbench.errors import NameClashError, PluginError, UnknownNameError
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Candidate


def test_an_unknown_model_lists_close_matches(toys):
    with pytest.raises(UnknownNameError) as caught:
        toys.installed.model("lsmt")
    message = str(caught.value)
    assert message.startswith("unknown model 'lsmt'; did you mean 'lstm'")
    assert message.endswith(f"'bench ls models' lists all {len(toys.installed.models)}")


def test_a_name_in_capital_letters_is_close_to_itself(toys):
    with pytest.raises(UnknownNameError, match="did you mean 'lstm'"):
        toys.installed.model("LSTM")


def test_a_name_like_no_other_gets_no_guess(toys):
    with pytest.raises(UnknownNameError) as caught:
        toys.installed.task("zzz")
    count = len(toys.installed.tasks)
    assert str(caught.value) == f"unknown task 'zzz'; 'bench ls tasks' lists all {count}"


def test_a_metric_is_found_by_its_name(toys):
    assert toys.installed.metrics["pairs_consumed"].version == "1"


@pytest.mark.parametrize(
    ("asked", "overrides", "name", "changes"),
    [
        ("bilstm", {}, "bilstm", []),
        ("bilstm", {"hidden": "93"}, "bilstm-published", []),
        ("bilstm-published", {"hidden": "17"}, "bilstm", ["hidden"]),
        ("bilstm", {"hidden": "17", "cell": "GRU"}, "bigru", ["hidden"]),
        ("lstm", {}, "lstm-64", []),
        ("rnn-64-weighted", {"class_weights": "sum"}, "rnn-64-weighted", ["class_weights"]),
    ],
)
def test_equal_runs_go_by_one_name_and_by_none_that_they_keep_nothing_of(
    toys, asked, overrides, name, changes
):
    entry, config, departs = toys.installed.configured(asked, overrides)
    assert (entry.name, list(departs)) == (name, changes)
    _, same, _ = toys.installed.configured(name, {f: str(departs[f]) for f in departs})
    assert same == config


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownNameError, match="lists all 0"):
        Registry().model("mlp")


def test_a_name_that_a_failed_plugin_may_offer_is_a_plugin_error_with_its_cause():
    registry = Registry()
    with registry.contain(Candidate("mylstm", "my-shop", "mylstm_code", "1.0")):
        raise ValueError("no luck")
    with pytest.raises(PluginError) as caught:
        registry.model("mylstm")
    assert str(caught.value) == (
        "no model 'mylstm': the plugin that seems to offer it did not load, mylstm_code of "
        "my-shop 1.0: ValueError: no luck; mend it, or switch it off with -p no:mylstm"
    )
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(UnknownNameError):
        registry.model("mygru")


def test_ctrl_c_is_not_contained():
    registry = Registry()
    with pytest.raises(KeyboardInterrupt), registry.contain(Candidate("a", "b", "c")):
        raise KeyboardInterrupt
    assert registry.failures == []


def test_a_clash_is_noted_and_all_else_of_the_module_is_registered(toys):
    class First(toys.installed.model("untrained").cls):
        info = toys.installed.model("untrained").cls.info.model_copy(update={"name": "first"})

    class Second(First):
        info = First.info.model_copy(update={"name": "second"})

    registry = Registry()
    registry.add(toys.module("toys_a", models=[First]), "shop-a", "1")
    registry.add(toys.module("toys_b", models=[First, Second]), "shop-b", "2")
    assert list(registry.models) == ["first", "second"]
    assert registry.model("first").origin.distribution == "shop-a"
    with pytest.raises(NameClashError, match=r"by shop-a 1 \(toys_a\) and by shop-b 2 \(toys_b\)"):
        registry.check_files([])
