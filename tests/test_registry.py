import sys
import textwrap
from email.message import Message
from importlib import invalidate_caches
from importlib.metadata import Distribution, EntryPoint

import pytest

from codonbench.errors import NameClashError, UnknownNameError
from codonbench.registry import Registry, load_registry

MODEL = """
    from codonbench import Model, ModelInfo, hookimpl

    class Toy(Model):
        info = ModelInfo(name="{name}", version="1", summary="Toy")
        presets = {presets}
        encoding = "input_index"
        def build(self, task):
            raise NotImplementedError

    @hookimpl
    def register_models(register):
        register(Toy)
"""


def model(name, presets=()):
    return MODEL.format(name=name, presets={preset: {"batch_size": 8} for preset in presets})


class Shop(Distribution):
    """An installed distribution that exists only as a name and a version."""

    def __init__(self, name):
        self._name = name

    @property
    def metadata(self):
        message = Message()
        message["Name"], message["Version"] = self._name, "2.5"
        return message

    def read_text(self, filename):
        return None

    def locate_file(self, path):
        return path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Writes modules, puts them on the path and returns an entry point for the first."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(modules, distribution="toy-shop", value=None):
        for name, text in modules.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        invalidate_caches()
        first = next(iter(modules)).removesuffix(".py").removesuffix("/__init__")
        point = EntryPoint(name=first, value=value or first, group="codonbench")
        return point._for(Shop(distribution))

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


# What loads


def test_a_module_registers_its_models_and_their_presets(install):
    registry = load_registry([install({"shop_a.py": model("toy", ["toy-8"])})])
    assert list(registry.models) == ["toy", "toy-8"]
    assert dict(registry.model("toy").preset) == {}
    assert dict(registry.model("toy-8").preset) == {"batch_size": 8}
    assert registry.model("toy-8").cls is registry.model("toy").cls
    assert registry.failures == []


def test_an_entry_says_where_it_comes_from(install, tmp_path):
    point = install({"shop_b.py": model("toy")})
    entry = load_registry([point]).model("toy")
    assert entry.origin.distribution == "toy-shop"
    assert entry.origin.version == "2.5"
    assert entry.origin.module == "shop_b"
    assert entry.file == str(tmp_path / "shop_b.py")
    assert len(entry.origin.source_sha256) == 64


def test_the_source_hash_changes_with_the_file_and_with_its_bases(install):
    base = """
        from codonbench import Model, ModelInfo
        class Base(Model):
            encoding = "input_index"
            def build(self, task):
                raise NotImplementedError
    """
    heir = """
        from codonbench import ModelInfo, hookimpl
        from {base} import Base
        class Heir(Base):
            info = ModelInfo(name="{name}", version="1", summary="Toy")
        @hookimpl
        def register_models(register):
            register(Heir)
    """
    hashes = []
    for n, (note_a, note_b) in enumerate([("", ""), ("", "# changed"), ("# changed", "")]):
        own = textwrap.dedent(heir).format(base="shop_base", name="heir") + note_a
        other = textwrap.dedent(base) + note_b
        sys.modules.pop("shop_base", None)
        sys.modules.pop("shop_heir", None)
        # Another size, so that Python does not take a compiled copy of the same second.
        point = install({"shop_heir.py": own + "#" * n, "shop_base.py": other + "#" * n})
        hashes.append(load_registry([point]).model("heir").origin.source_sha256)
    assert len(set(hashes)) == 3


def test_a_package_loads_each_module_in_it(install):
    point = install(
        {
            "shop_c/__init__.py": model("at-the-top"),
            "shop_c/first.py": model("first"),
            "shop_c/second.py": model("second"),
            "shop_c/helper.py": "ANSWER = 42",
            "shop_c/inner/__init__.py": model("inner"),
        }
    )
    registry = load_registry([point])
    assert sorted(registry.models) == ["at-the-top", "first", "inner", "second"]
    assert registry.model("first").origin.module == "shop_c.first"


def test_a_module_that_two_entry_points_name_is_registered_once(install):
    package = install({"shop_d/__init__.py": "", "shop_d/first.py": model("first")})
    module = EntryPoint(name="again", value="shop_d.first", group="codonbench")
    registry = load_registry([package, module])
    assert list(registry.models) == ["first"]
    assert registry.failures == []


def test_the_order_of_entry_points_does_not_matter(install):
    points = [install({f"shop_e{n}.py": model(f"toy-{n}")}) for n in (2, 1)]
    assert list(load_registry(points).models) == list(load_registry(points[::-1]).models)


def test_the_built_in_plugins_come_in_by_the_same_door(toys):
    assert toys.installed.failures == []
    assert toys.installed.model("lstm-64").origin.distribution == "codonbench"
    assert toys.installed.task("human-codon").origin.module.startswith("codonbench_datasets")
    assert "pairs_consumed" in toys.installed.metrics


# What does not


BROKEN = {
    "import": ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "syntax": ("def broken(:", "SyntaxError"),
    "exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "raise": ("1 / 0", "ZeroDivisionError: division by zero"),
    "hook raises": (
        """
        from codonbench import hookimpl
        @hookimpl
        def register_models(register):
            raise ValueError("no luck")
        """,
        "ValueError: no luck",
    ),
    "hook exits": (
        """
        import sys
        from codonbench import hookimpl
        @hookimpl
        def register_metrics(register):
            sys.exit(4)
        """,
        "SystemExit: 4",
    ),
    "unknown hook": (
        """
        from codonbench import hookimpl
        @hookimpl
        def register_model(register):
            pass
        """,
        "unknown hook 'register_model'",
    ),
    "wrong argument": (
        """
        from codonbench import hookimpl
        @hookimpl
        def register_models(registre):
            pass
        """,
        "registre",
    ),
    "no info": (
        """
        from codonbench import Model, hookimpl
        class Nameless(Model):
            pass
        @hookimpl
        def register_models(register):
            register(Nameless)
        """,
        "AttributeError",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_and_the_others_go_on(install, kind):
    text, message = BROKEN[kind]
    broken = install({"shop_broken.py": text}, "broken-shop")
    sound = install({"shop_sound.py": model("sound")})
    registry = load_registry([broken, sound])
    assert list(registry.models) == ["sound"]
    (failure,) = registry.failures
    assert (failure.module, failure.distribution) == ("shop_broken", "broken-shop")
    assert message in failure.error
    assert "\n" not in failure.error
    assert "Traceback (most recent call last)" in failure.details
    registry.manager.hook.run_started(plan=None)


def test_a_broken_module_of_a_package_is_named_and_the_others_go_on(install):
    point = install(
        {
            "shop_f/__init__.py": "",
            "shop_f/broken.py": "import nothing_of_this_name",
            "shop_f/sound.py": model("sound"),
        }
    )
    registry = load_registry([point])
    assert list(registry.models) == ["sound"]
    assert [failure.module for failure in registry.failures] == ["shop_f.broken"]


def test_an_entry_point_of_a_missing_module_is_named(install):
    point = EntryPoint(name="gone", value="nothing_of_this_name", group="codonbench")
    registry = load_registry([point])
    assert [failure.module for failure in registry.failures] == ["nothing_of_this_name"]
    assert registry.failures[0].distribution == ""


def test_one_name_for_two_models_is_an_error_that_names_both(install):
    first = install({"shop_g.py": model("toy")}, "first-shop")
    second = install({"shop_h.py": model("other", ["toy"])}, "second-shop")
    with pytest.raises(NameClashError) as caught:
        load_registry([first, second])
    assert str(caught.value) == (
        "model 'toy' is registered twice: by first-shop 2.5 (shop_g) and by "
        "second-shop 2.5 (shop_h); rename or uninstall one of them"
    )


def test_a_name_may_serve_a_model_and_a_metric(toys):
    assert "untrained" in toys.installed.models
    assert "untrained" not in toys.installed.metrics


def test_a_name_taken_by_a_plugin_without_a_distribution_is_told_by_its_module(install):
    install({"shop_i.py": model("toy"), "shop_j.py": model("toy")})
    points = [EntryPoint(name=n, value=n, group="codonbench") for n in ("shop_i", "shop_j")]
    with pytest.raises(NameClashError, match=r"by \(shop_i\) and by \(shop_j\);"):
        load_registry(points)


# Looking up


def test_an_unknown_model_lists_close_matches(toys):
    with pytest.raises(UnknownNameError) as caught:
        toys.installed.model("lsmt")
    message = str(caught.value)
    assert message.startswith("unknown model 'lsmt'; did you mean 'lstm'")
    assert message.endswith(f"'bench ls models' lists all {len(toys.installed.models)}")


def test_a_name_like_no_other_gets_no_guess(toys):
    with pytest.raises(UnknownNameError) as caught:
        toys.installed.task("zzz")
    assert str(caught.value) == "unknown task 'zzz'; 'bench ls tasks' lists all 1"


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownNameError, match="lists all 0"):
        Registry().model("mlp")
