import pickle
import sys
import textwrap
from email.message import Message
from importlib import invalidate_caches
from importlib.metadata import Distribution, EntryPoint

import pytest

from codonbench.errors import NameClashError, PluginError, UnknownNameError
from codonbench.plugins.discovery import discover, load_registry
from codonbench.plugins.selection import Selection

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


def test_a_package_loads_its_modules_but_those_whose_names_begin_with_an_underscore(install):
    point = install(
        {
            "shop_private/__init__.py": "",
            "shop_private/toy.py": model("toy"),
            "shop_private/_network.py": "raise RuntimeError('loaded')",
        }
    )
    registry = load_registry([point])
    assert list(registry.models) == ["toy"]
    assert registry.failures == []


@pytest.mark.parametrize(
    "line",
    ["from shop_net._network import Net", "from ._network import Net", "from . import _network"],
)
def test_the_source_hash_covers_the_private_files_that_a_model_imports(install, line):
    hashes = set()
    toy = model("toy").replace("raise", f"{line}\n            raise")
    for network in ("Net = 1", "Net = 2"):
        files = {"__init__.py": "", "toy.py": toy, "_network.py": network}
        point = install({f"shop_net/{name}": text for name, text in files.items()})
        hashes.add(load_registry([point]).model("toy").origin.source_sha256)
    assert len(hashes) == 2


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


def waiting_shop(install, name, **modules):
    files = {"__init__.py": 'registers = ("models",)'} | {f"{n}.py": m for n, m in modules.items()}
    return install({f"{name}/{file}": text for file, text in files.items()})


def loaded_of(package):
    return sorted(name.removeprefix(f"{package}.") for name in sys.modules if f"{package}." in name)


def test_a_package_that_says_what_it_registers_loads_a_module_once_it_is_asked_for(install):
    computed = model("long").replace("presets = {}", "presets = {f'{info.name}-8': {}}")
    shop = waiting_shop(install, "shop_v", first=model("toy", ["toy-8"]), second=computed)
    registry = load_registry([shop])
    assert loaded_of("shop_v") == []
    assert registry.model("toy-8").cls is registry.models["toy"].cls
    assert loaded_of("shop_v") == ["first"]
    assert registry.model("long-8").name == "long-8"  # which its source does not spell out
    assert {each.kinds for each in registry.waiting} == {("protocols",)}  # the core's own


def test_to_list_models_loads_all_that_waits(install):
    shop = waiting_shop(install, "shop_w", first=model("one"), second=model("two"))
    assert sorted(load_registry([shop]).models) == ["one", "two"]


def test_a_module_that_waits_and_does_not_load_is_named_once_it_is_asked_for(install):
    broken = model("two").replace("class Toy", "raise RuntimeError('no luck')\n    class Toy")
    registry = load_registry([waiting_shop(install, "shop_x", first=model("one"), second=broken)])
    assert registry.model("one").name == "one"
    with pytest.raises(PluginError, match="no luck"):
        registry.model("two")
    assert [failure.module for failure in registry.failures] == ["shop_x.second"]


def test_a_name_that_a_waiting_module_has_is_taken(install):
    shop = waiting_shop(install, "shop_y", first=model("toy"), second=model("other"))
    with pytest.raises(NameClashError, match=r"by toy-shop 2.5 \(shop_y.first\) and by"):
        load_registry([shop, install({"shop_z.py": model("toy")}, "second-shop")])
    assert loaded_of("shop_y") == ["first"]


def test_what_is_built_in_is_found_by_name_without_all_of_it(toys):
    waiting = discover().waiting
    for kind in ("models", "tasks", "protocols"):
        own = [each.candidate for each in waiting if kind in each.kinds]
        for name, entry in getattr(toys.installed, kind).items():
            words, entered = name.split("-"), set()
            while words and entry.origin.module not in entered:
                entered |= {each.module for each in own if each.may_offer("-".join(words))}
                words.pop()
            assert entry.origin.module in entered, name
            assert len(entered) < len(own) / 2, name


def test_the_order_of_entry_points_does_not_matter(install):
    points = [install({f"shop_e{n}.py": model(f"toy-{n}")}) for n in (2, 1)]
    assert list(load_registry(points).models) == list(load_registry(points[::-1]).models)


def test_the_built_in_plugins_come_in_by_the_same_door(toys):
    assert toys.installed.failures == []
    assert toys.installed.model("lstm-64").origin.distribution == "codonbench"
    assert toys.installed.task("human-codon").origin.module.startswith("codonbench_datasets")
    assert "pairs_consumed" in toys.installed.metrics


# What needs no hook


BARE = """
    from abc import abstractmethod
    import codonbench
    from codonbench import Column, Metric, Model, ModelInfo, Ranking, Reference, Task, hookimpl
    from codonbench.protocols import Protocol

    class Base(Model):
        encoding = "input_index"
        def build(self, task):
            raise NotImplementedError

    class Bare(Base):
        info = ModelInfo(name="bare", version="1", summary="Toy")

    class _Draft(Base):
        info = ModelInfo(name="draft", version="1", summary="Toy")

    class Known(Reference):
        info = ModelInfo(name="known", version="1", summary="Toy", role="reference")

    @codonbench.model(encoding="input_index")
    def made(task):
        raise NotImplementedError

    class BareTask(Task):
        name, version, title, protocol, default_data = "bare-task", "1", "Toy", "toys", "dice"
        ranking = Ranking(metric="m", direction="lower", columns=(Column(metric="m", title="m"),))
        def load(self, data, options, *, cache, offline=False):
            raise NotImplementedError

    class Score(Metric):
        name, version, summary = "score", "1", "Toy"
        def outputs(self, task):
            return {}
        @abstractmethod
        def formula(self): ...

    class BareMetric(Score):
        name = "bare_metric"
        def formula(self): ...
        def compute(self, trajectory, task):
            return {}

    class Toys(Protocol):
        name, summary, split, tells_targets = "toys", "Toy", "validation", True
        def schedule(self, setup):
            raise NotImplementedError
"""


def offered(registry):
    return [
        list(registry.models),
        list(registry.tasks),
        list(registry.metrics),
        [name for name in registry.protocols if name not in discover([]).protocols],
    ]


def test_each_class_of_a_contract_is_registered_but_bases_and_private_ones(install):
    heir = "from shop_bare import Bare, BareMetric\nclass Heir(Bare):\n    info = Bare.info\n"
    registry = discover([install({"shop_bare.py": BARE})])
    assert registry.failures == []
    assert offered(registry) == [
        ["bare", "known", "made"],
        ["bare-task"],
        ["bare_metric"],
        ["toys"],
    ]
    imports = install({"shop_heir.py": heir.replace("Bare.info", "Bare.info.model_copy()")})
    registry = discover([imports])
    assert (offered(registry)[0], offered(registry)[2]) == (["bare"], [])
    assert registry.model("bare").origin.module == "shop_heir"


def test_of_a_kind_that_has_a_hook_only_the_hook_speaks(install):
    hook = """
    @hookimpl
    def register_models(register):
        register(Known)
"""
    registry = discover([install({"shop_hook.py": BARE + hook})])
    assert offered(registry) == [["known"], ["bare-task"], ["bare_metric"], ["toys"]]


def test_a_class_that_cannot_be_made_is_named_and_the_others_go_on(install):
    broken = """
    class Broken(BareTask):
        def __init__(self, path):
            self.path = path
"""
    registry = discover([install({"shop_made.py": BARE + broken})])
    assert offered(registry)[1] == ["bare-task"]
    (failure,) = registry.failures
    assert "Broken.__init__() missing 1 required positional argument" in failure.error


def test_a_class_that_lacks_something_is_told_where_nothing_else_is_offered(install):
    base = BARE[: BARE.index("    class Bare(")]
    base += "    class Half(Base):\n        build = Model.build\n"
    registry = discover([install({"shop_half.py": base})])
    (failure,) = registry.failures
    assert "class Base lacks info; class Half lacks build and info" in failure.error


def test_the_protocols_of_the_core_need_no_plugin():
    assert "supervised" in discover([]).protocols


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
        "model class Nameless: info is None; expected info = ModelInfo(",
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
    registry.manager.hook.run_started(run_spec=None)


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
        "second-shop 2.5 (shop_h); rename one of them, or switch one off: -p no:second-shop"
    )


def test_a_name_may_serve_a_model_and_a_metric(toys):
    assert "untrained" in toys.installed.models
    assert "untrained" not in toys.installed.metrics


def test_a_name_taken_by_a_plugin_without_a_distribution_is_told_by_its_module(install):
    install({"shop_i.py": model("toy"), "shop_j.py": model("toy")})
    points = [EntryPoint(name=n, value=n, group="codonbench") for n in ("shop_i", "shop_j")]
    with pytest.raises(NameClashError, match=r"by \(shop_i\) and by \(shop_j\);"):
        load_registry(points)


def test_discovery_notes_every_clash_and_goes_on(install):
    first = install({"shop_k.py": model("toy", ["toy-8"])}, "first-shop")
    second = install({"shop_l.py": model("toy", ["toy-8", "own"])}, "second-shop")
    registry = discover([first, second])
    assert sorted(registry.models) == ["own", "toy", "toy-8"]
    assert [str(clash).split()[1] for clash in registry.clashes] == ["'toy'", "'toy-8'"]
    with pytest.raises(NameClashError, match=r"'bench plugins' shows 1 more such name"):
        load_registry([first, second])


# What is wanted


def test_what_is_switched_off_is_not_imported(install):
    points = [install({f"shop_{n}.py": model(n)}, f"shop-{n}") for n in ("left", "right")]
    registry = load_registry(points, Selection(off=("shop-left",)))
    assert list(registry.models) == ["right"]
    assert registry.switched_off == ["shop_left of shop-left (-p no:shop-left)"]
    assert "shop_left" not in sys.modules
    with pytest.raises(UnknownNameError, match=r"switched off: shop_left of shop-left"):
        registry.model("left")


def test_a_single_module_of_a_package_can_be_switched_off(install):
    point = install(
        {"shop_m/__init__.py": "", "shop_m/one.py": model("one"), "shop_m/two.py": model("two")}
    )
    registry = load_registry([point], Selection(off=("shop_m.one",)))
    assert list(registry.models) == ["two"]
    assert "shop_m.one" not in sys.modules


def test_a_slip_in_what_is_switched_off_is_remarked_on(install):
    registry = discover([install({"shop_n.py": model("toy")})], Selection(off=("shop_x",)))
    assert registry.remarks == ["-p no:shop_x fits no plugin; 'bench plugins' shows what there is"]


def test_the_environment_is_heeded_without_being_asked(install, monkeypatch):
    monkeypatch.setenv("CODONBENCH_PLUGINS", "second-shop")
    first = install({"shop_o.py": model("first")}, "first-shop")
    second = install({"shop_p.py": model("second")}, "second-shop")
    assert list(load_registry([first, second]).models) == ["second"]


# Files


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(textwrap.dedent(model(name)))
    files = [tmp_path / "one" / "mine.py", tmp_path / "two" / "mine.py"]
    registry = discover([], files=files)
    assert sorted(registry.models) == ["one", "two"]
    for name in registry.models:
        cls = registry.model(name).cls
        assert pickle.loads(pickle.dumps(cls)) is cls
    for name in ("codonbench_file_mine", "codonbench_file_mine_"):
        del sys.modules[name]


def test_a_file_named_twice_is_registered_once(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(model("toy")))
    registry = discover([], files=[tmp_path / "mine.py"], folders=[tmp_path])
    assert list(registry.models) == ["toy"]
    assert registry.clashes == []
    del sys.modules["codonbench_file_mine"]
