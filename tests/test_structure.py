"""The folders of the core in their order: each file imports from its own or from folders below.

Imports that only a type checker follows do not count.
"""

import ast
import re
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDERS = (
    "cli",
    "api",
    "explain",
    "testing",
    "audit",
    "report",
    "tuning",
    "execution",
    "leakage",
    "ranking",
    "scoring",
    "engines",
    "training",
    "protocols",
    "data",
    "plugins",
    "records",
    "contracts",
    "errors",
)
"""From the roof down. `codonbench` itself, which exports names lazily, lies under all."""

PLUGINS = ("codonbench_models", "codonbench_datasets", "codonbench_metrics")

OPEN_TO_PLUGINS = {
    "codonbench",
    "codonbench.errors",
    "codonbench.contracts",
    # for what human-codon brings with it
    "codonbench.protocols",
    "codonbench.data",
    "codonbench.report",
    "codonbench.ranking",
    "codonbench.scoring",
    "codonbench.explain",
    # for the commands that it adds to `bench`, which run models again from their records
    "codonbench.audit",
    "codonbench.cli",
    "codonbench.plugins",
    "codonbench.records",
    "codonbench.training",
}

NEED_PICTURES = (
    "codonbench_datasets.human_codon.plots",
    "codonbench_datasets.human_codon.explanation",
    "codonbench.report.pictures",
    "codonbench.explain",
)
"""Parts that need the optional packages of `codonbench[pictures]`."""

NEEDS_TUNE = "codonbench.tuning.study"
NEEDS_PRETRAINED = "codonbench_models._hf"
"""The file that needs the optional package of `codonbench[tune]`; its command says so without."""

NEEDS_UMAP = "codonbench.explain.sequences"
NAMED_OTHERWISE = {"umap": "umap-learn"}
"""Distributions of packages of another name, where they are not installed."""

NEEDS_RDATA = "codonbench_datasets.expression"
"""The file that needs the optional package of `codonbench[rdata]`, and says so without it."""

NEED_CLUSTER = ("codonbench.execution.cluster", "codonbench.records.remote")
"""What needs the optional packages of `codonbench[cluster]`, and says so without them."""

NEEDS_PARQUET = "codonbench.data.table_formats"
"""The file that needs the optional package of `codonbench[parquet]`, and says so without it."""

CARRIED = {"pydantic_core", "click", "PIL", "threadpoolctl", "packaging"}
"""These come with pydantic, typer, matplotlib, scikit-learn and pooch, which promise them."""

ROOT = Path(__file__).resolve().parent.parent


def source_root(package):
    return Path(find_spec(package).origin).parent


@cache
def modules(package):
    """Every module of a package by dotted name, and its file."""
    root = source_root(package)
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


def is_ours(name):
    return any(name in modules(package) for package in ("codonbench", *PLUGINS))


class WithoutTypeChecking(ast.NodeTransformer):
    """Drops what stands under ``if TYPE_CHECKING:``."""

    def visit_If(self, node):
        is_guard = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse or None if is_guard else self.generic_visit(node)


def targets(name, path):
    """The dotted names a file imports, at once or late."""
    tree = WithoutTypeChecking().visit(ast.parse(path.read_text(encoding="utf-8")))
    package = (name if path.name == "__init__.py" else name.rpartition(".")[0]).split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if is_ours(inner) else base


@cache
def imported(package):
    """For each module of a package, what it imports."""
    return {name: set(targets(name, path)) for name, path in modules(package).items()}


def folder(name):
    """Where a module of codonbench lies: ``codonbench.cli.run`` -> cli; codonbench itself -> ''."""
    return name.split(".")[1] if "." in name else ""


def is_within(name, parts):
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def pairs(package):
    return [(name, target) for name, found in imported(package).items() for target in sorted(found)]


def test_every_folder_has_its_place_its_sentence_and_its_line_in_the_docs():
    page = ROOT / "docs" / "architecture.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    wrong = []
    for part in sorted({folder(name) for name in modules("codonbench")} - {""}):
        path = modules("codonbench")[f"codonbench.{part}"]
        if part not in FOLDERS:
            wrong.append(f"{part} has no place in FOLDERS")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
            wrong.append(f"{part} has no docstring that says what lives there")
        if not re.search(rf"\b{part}(/|\.py)", text):
            wrong.append(f"docs/architecture.md does not name {part}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_each_file_imports_from_folders_below_its_own_only():
    height = {part: -floor for floor, part in enumerate(FOLDERS)}
    wrong = [
        f"{folder(name)} -> {folder(target)}: {name} imports {target}"
        for name, target in pairs("codonbench")
        if {folder(name), folder(target)} <= set(height)
        and target.startswith("codonbench.")
        and height[folder(target)] > height[folder(name)]
    ]
    assert not wrong, f"{len(wrong)} imports go up:\n" + "\n".join(sorted(wrong))


@pytest.mark.parametrize("package", ["codonbench", *PLUGINS])
def test_no_two_files_import_each_other_even_by_a_detour(package):
    graph = imported(package)
    within = {name: (found & set(graph)) - {name} for name, found in graph.items()}
    tuple(TopologicalSorter(within).static_order())


def test_the_core_imports_no_plugin():
    wrong = [pair for pair in pairs("codonbench") if is_within(pair[1], PLUGINS)]
    assert not wrong


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_imports_what_a_stranger_may_use_and_no_sibling(package):
    def is_open(target):
        exact = target == "codonbench" or not is_within(target, ["codonbench"])
        return exact or is_within(target, OPEN_TO_PLUGINS - {"codonbench"})

    siblings = [other for other in PLUGINS if other != package]
    wrong = [
        f"{name} imports {target}"
        for name, target in pairs(package)
        if not is_open(target) or is_within(target, siblings)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def declared(*extras):
    """The distributions that pyproject.toml requires, with those of some `codonbench[extra]`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    more = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {re.match(r"[\w.-]+", line)[0].lower() for line in [*project["dependencies"], *more]}


@pytest.mark.parametrize("package", ["codonbench", *PLUGINS])
def test_every_third_party_is_a_declared_dependency(package):
    owners = packages_distributions()
    wrong = []
    for name, target in pairs(package):
        top = target.partition(".")[0]
        if top in sys.stdlib_module_names or top.startswith("codonbench") or top in CARRIED:
            continue
        extras = ["pictures"] * is_within(name, NEED_PICTURES)
        extras += ["parquet"] * (name == NEEDS_PARQUET)
        extras += ["rdata"] * (name == NEEDS_RDATA)
        extras += ["cluster"] * (name in NEED_CLUSTER)
        extras += ["tune"] * (name == NEEDS_TUNE)
        extras += ["pretrained"] * (name == NEEDS_PRETRAINED)
        extras += ["umap"] * (name == NEEDS_UMAP)
        allowed = declared(*extras)
        if not allowed & {
            owner.lower() for owner in owners.get(top, [NAMED_OTHERWISE.get(top, top)])
        }:
            wrong.append(f"{name} imports {target}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_what_needs_optional_packages_is_imported_by_the_command_line_alone():
    wrong = [
        f"{name} imports {target}"
        for name, target in pairs("codonbench")
        if is_within(target, NEED_PICTURES)
        and not is_within(name, (*NEED_PICTURES, "codonbench.cli"))
    ]
    assert not wrong, "\n" + "\n".join(wrong)
