"""The floors of the house: each file imports only from floors below its own.

Imports that only a type checker follows do not count.
"""

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

FLOORS = """
cli
reproduction
verification suites validation publications illustrating
pictures
explaining
jobs repetition
workers runner testing
learning planning markdown site
studying guide computing
lab shipped
engines discovery
training setting registry leaderboard frames consistency rescoring signing
rows
keeping checkpoints controls
course store scoring
lesson shares
occupancy interrupts
records entries
config machine origin places
stopping seeding embedding failures hook_check locks untrusted migrations printable trace_files
probes streams relabelling encodings statistics tiers hookspecs
contracts survival pairing
errors selection
"""
"""From the roof down. `codonbench` itself, which exports names lazily, lies under all."""

PLUGINS = ("codonbench_models", "codonbench_datasets", "codonbench_metrics")


def source_root(package):
    return Path(find_spec(package).origin).parent


def modules(package):
    """Every module of a package by dotted name, and its file."""
    root = source_root(package)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join((package, *parts)).removesuffix(".__init__"), path


def imports(tree, name, is_package):
    """The dotted names a piece of code imports when it runs."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in our_modules() else base


@cache
def our_modules():
    return {name for package in ("codonbench", *PLUGINS) for name, _ in modules(package)}


class WithoutTypeChecking(ast.NodeTransformer):
    """Drops what stands under ``if TYPE_CHECKING:``."""

    def visit_If(self, node):
        is_guard = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse or None if is_guard else self.generic_visit(node)


def parsed(path):
    return WithoutTypeChecking().visit(ast.parse(path.read_text(encoding="utf-8")))


def imported(package):
    """For each module of a package, what it imports."""
    return {
        name: set(imports(parsed(path), name, path.name == "__init__.py"))
        for name, path in modules(package)
    }


def storey(name):
    """The part of the house a module of codonbench belongs to: ``codonbench.cli.run`` -> cli."""
    return name.split(".")[1] if "." in name else name


def height():
    floors = FLOORS.strip().splitlines()
    return {part: -floor for floor, parts in enumerate(floors) for part in parts.split()}


def test_every_file_of_the_house_has_a_floor():
    parts = {storey(name) for name in imported("codonbench")} - {"codonbench"}
    assert parts <= set(height())


def test_each_file_imports_from_floors_below_only():
    floor = height()
    for name, targets in imported("codonbench").items():
        for target in targets:
            if not target.startswith("codonbench.") or storey(name) == storey(target):
                continue
            assert floor[storey(target)] < floor[storey(name)], f"{name} imports {target}"


@pytest.mark.parametrize("package", ["codonbench", *PLUGINS])
def test_no_two_files_import_each_other_even_by_a_detour(package):
    graph = imported(package)
    within = {
        name: {target for target in targets if target in graph and target != name}
        for name, targets in graph.items()
    }
    tuple(TopologicalSorter(within).static_order())


def test_the_core_knows_no_plugin_by_name():
    for name, targets in imported("codonbench").items():
        assert not {target.partition(".")[0] for target in targets} & set(PLUGINS), name


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_imports_codonbench_itself_and_third_parties_only(package):
    for name, targets in imported(package).items():
        siblings = {target.partition(".")[0] for target in targets} & set(PLUGINS)
        assert siblings <= {package}, name


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_uses_what_a_stranger_may_use(package):
    """The contracts, the hooks' marker and the errors: nothing of the harness's works."""
    allowed = {"codonbench", "codonbench.errors", "codonbench.contracts"}
    for name, targets in imported(package).items():
        used = {target for target in targets if target.partition(".")[0] == "codonbench"}
        inner = {target for target in used if not target.startswith("codonbench.contracts")}
        assert inner <= allowed, name


LATE = {
    ("codonbench.contracts.model", "torch"),
    ("codonbench.engines.capture", "torch._inductor"),
}
"""Late on purpose: `bench ls` should not wait for torch, nor an ordinary run for its compiler."""


def test_nothing_is_imported_late_but_where_it_is_said_why():
    late = set()
    for name, path in modules("codonbench"):
        if storey(name) == "cli":
            continue  # so that `bench --help` starts at once
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                late |= {(name, target) for target in imports(node, name, False)}
    assert late == LATE


EXTRAS = {"pictures": "pictures", "explaining": "pictures"}
"""Parts of the house that need an optional extra, and its name."""

CARRIED = {"pydantic_core", "click", "PIL"}
"""These come with pydantic, typer and matplotlib, which promise them."""


def declared(extra):
    """The distributions that codonbench requires, and those of one extra."""
    return {
        requirement.partition(">")[0].partition(";")[0].strip().lower()
        for requirement in distribution("codonbench").requires
        if "extra ==" not in requirement or f"extra == '{extra}'" in requirement.replace('"', "'")
    }


@pytest.mark.parametrize("package", ["codonbench", *PLUGINS])
def test_every_third_party_is_a_declared_dependency(package):
    belongs_to = packages_distributions()
    for name, targets in imported(package).items():
        allowed = declared(EXTRAS.get(storey(name)))
        for top in {target.partition(".")[0] for target in targets}:
            if top in sys.stdlib_module_names or top.startswith("codonbench") or top in CARRIED:
                continue
            owners = {owner.lower() for owner in belongs_to.get(top, [])}
            assert owners & allowed, f"{name} imports {top}"


def test_what_needs_an_extra_is_imported_by_the_command_line_alone():
    for name, targets in imported("codonbench").items():
        if storey(name) in (*EXTRAS, "cli"):
            continue
        assert not {target for target in targets if storey(target) in EXTRAS}, name
