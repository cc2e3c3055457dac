"""Write docs/reference.md from the code: its docstrings, types, defaults and options.

    python scripts/write_reference.py
    python scripts/write_reference.py --check

With ``--check`` nothing is written, and the exit code is 3 where the page is out of date.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

import codonbench
from codonbench import contracts, errors, protocols, testing
from codonbench.cli import endings
from codonbench.cli.main import app, plugin_commands
from codonbench.cli.run import run
from codonbench.contracts import origin
from codonbench.contracts import run_record as records
from codonbench.contracts.machine import DeviceKind, Machine
from codonbench.contracts.run_spec import EngineChoice, RunSpec
from codonbench.data import encodings
from codonbench.plugins import hookspecs
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.selection import Selection
from codonbench.testing.models import MODEL_CHECKS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"

STALE = endings.STALE

MODEL_SIDE = (
    contracts.Model,
    contracts.ModelInfo,
    contracts.ModelConfig,
    contracts.GradientConfig,
    contracts.BatchLearner,
    contracts.Reference,
    contracts.TaskView,
)
TASK_SIDE = (
    contracts.Task,
    contracts.TaskOptions,
    contracts.TaskSpec,
    contracts.Input,
    contracts.Target,
    contracts.EvaluationSet,
    contracts.Ranking,
    contracts.Column,
    contracts.Control,
    contracts.Dataset,
    contracts.Sequences,
    contracts.Features,
    contracts.Split,
    contracts.DataSource,
)
METRIC_SIDE = (
    contracts.Metric,
    contracts.SplitMetric,
    contracts.Output,
    contracts.Trajectory,
    contracts.TrajectoryFacts,
)
PROTOCOL_SIDE = (protocols.Protocol, protocols.Schedule, protocols.Evaluation)
RECORD_PARTS = (
    RunSpec,
    records.DatasetFacts,
    origin.Origin,
    records.Harness,
    Machine,
    records.Engine,
    records.Timings,
)

SAME_FIELDS: dict[type, type] = {
    contracts.Reference: contracts.Model,
    records.DatasetFacts: contracts.Dataset,
}
"""Where the meaning of a field is told that the class itself does not tell again."""

ALIASES = {
    "Name": contracts.Name,
    "MetricName": contracts.MetricName,
    "Version": contracts.Version,
    "ClassWeights": contracts.ClassWeights,
    "EngineChoice": EngineChoice,
    "DeviceKind": DeviceKind,
    "Status": records.Status,
}

VARIABLES = {
    "CODONBENCH_PLUGINS": "Which installed plugins to load beside the built-in ones: unset, all; "
    "empty, none; `a,b`, those of the distributions, entry points or modules `a` and `b`. Files "
    "given with `--plugin` and `--plugins-dir` are loaded whatever it says",
    "CODONBENCH_WORKERS": "As `bench run --workers`: how many processes train; 0 trains in the "
    "one that was called",
    "CODONBENCH_CACHE": "Folder of downloads and of sequences made ready; the platform's own "
    "cache folder by default",
    "CODONBENCH_LOCKS": "Folder of the locks that keep runs from sharing a device; in the user's "
    "cache by default",
    "CODONBENCH_OFFLINE": "Anything but empty and `0` forbids network access, as `--offline` does",
}

HEAD = """\
# Reference

Hooks, contracts, records and commands, as the code has them: this page is written by
`scripts/write_reference.py`, and a test holds it to the code. For a first model read
[first-model.md](first-model.md); what the scores mean is in [scores.md](scores.md), what a
submission may know in [rules.md](rules.md), how a list of runs is written in
[suites.md](suites.md).

Configurations, descriptions and records are immutable, and a field that is missing, misspelt,
mistyped or out of its bounds is an error that names it. Names at the top of a plugin come from
`codonbench` itself: `from codonbench import Model, ModelInfo, hookimpl`.
"""


# Docstrings


@dataclass(frozen=True)
class Doc:
    """A docstring in its parts.

    Attributes:
        text: What stands before the first section, as Markdown.
        sections: Each section's items by name; a section without names has one, the empty one.
    """

    text: str
    sections: dict[str, dict[str, str]]

    @cached_property
    def attributes(self) -> dict[str, str]:
        """What each attribute means, by name."""
        return {**self.sections.get("Class attributes", {}), **self.sections.get("Attributes", {})}


_SECTION = re.compile(r"^(Class attributes|Attributes|Args|Returns|Raises):$", re.MULTILINE)
_ITEM = re.compile(r"^(\w[\w., ]*): (.*(?:\n +.*)*)", re.MULTILINE)


def doc_of(thing: Any) -> Doc:
    """Return the docstring of a class or function, in parts."""
    text, *rest = _SECTION.split(inspect.getdoc(thing) or "")
    bodies = zip(rest[::2], rest[1::2], strict=True)
    return Doc(markdown(text), {name: _items(textwrap.dedent(body)) for name, body in bodies})


def _items(body: str) -> dict[str, str]:
    found = {}
    for names, text in _ITEM.findall(body.strip("\n")):
        for name in names.split(", "):
            found[name] = markdown(text)
    return found or {"": markdown(body)}


def markdown(text: str) -> str:
    """Return reStructuredText paragraphs as Markdown, each on one line."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(escape(part.replace("``", "`")) for part in paragraphs if part)


def escape(text: str) -> str:
    """Return text of which nothing outside backticks is taken for Markdown."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*<\[])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


# Markdown


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table without the columns that are empty."""
    columns = [
        (name, cells)
        for name, *cells in zip(head, *(list(row) for row in rows), strict=True)
        if any(cells)
    ]
    lines = [[name for name, _ in columns], ["---"] * len(columns)]
    lines += [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def code(text: str) -> str:
    """Return text in backticks, or nothing for none."""
    return f"`{text}`" if text else ""


def sentence(text: str) -> str:
    """Return text with a full stop at its end."""
    return text if not text or text.endswith((".", ":")) else f"{text}."


# Classes


@dataclass(frozen=True)
class Attribute:
    """One attribute of a class, as its source has it."""

    name: str
    kind: str
    default: str
    meaning: str


def tree_of(thing: Any) -> Any:
    """Return the syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def attributes(cls: type) -> Iterator[Attribute]:
    """Yield the attributes that a class itself declares, in order."""
    meanings = doc_of(SAME_FIELDS.get(cls, cls)).attributes | doc_of(cls).attributes
    for node in tree_of(cls).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            kind = re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation))
            default = ast.unparse(node.value) if node.value else ""
            meaning = meanings.get(name, "")
            if issubclass(cls, BaseModel) and name in cls.model_fields:
                field = cls.model_fields[name]
                default, meaning = _default(field), meaning or escape(field.description or "")
                kind = ", ".join([kind, *_bounds(field)])
            elif default.startswith("field("):
                default = "{}"
            yield Attribute(name, kind, default, meaning)


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return repr(field.default_factory())
    return "" if field.default is PydanticUndefined else repr(field.default)


_SIGNS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "at least {}",
    "max_length": "at most {} characters",
}


def _bounds(field: Any) -> Iterator[str]:
    for constraint, (word, sign) in itertools.product(field.metadata, _SIGNS.items()):
        limit = getattr(constraint, word, None)
        if limit is not None:
            yield sign.format(f"{limit:,}")


def describe_class(cls: type, *, methods: bool = True) -> Iterator[str]:
    """Yield the blocks that describe a class: what it is, its attributes, its methods."""
    yield f"### `{cls.__name__}`"
    yield " ".join(filter(None, (doc_of(cls).text.partition("\n\n")[0], _extends(cls))))
    rest = doc_of(cls).text.partition("\n\n")[2]
    if rest:
        yield rest
    found = list(attributes(cls))
    if found:
        cells = ((code(a.name), code(a.kind), code(a.default), a.meaning) for a in found)
        yield table(("name", "type", "default", "meaning"), cells)
    if methods:
        yield from _methods(cls)


def _extends(cls: type) -> str:
    """Return which class of this page it extends, in a sentence; nothing for none."""
    bases = {base.__name__ for base in cls.__bases__}
    ours = bases & {shown.__name__ for shown in (*MODEL_SIDE, *TASK_SIDE, *METRIC_SIDE)}
    return f"Extends `{ours.pop()}`." if ours else ""


def _methods(cls: type) -> Iterator[str]:
    lines = []
    for node in tree_of(cls).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            marks = {ast.unparse(decorator) for decorator in node.decorator_list}
            is_property = bool(marks & {"property", "cached_property"})
            call = node.name if is_property else f"{node.name}({_parameters(node)})"
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            required = " (required)" if "abstractmethod" in marks else ""
            doc = doc_of(inspect.getattr_static(cls, node.name))
            lines.append(f"- `{call}{returns}`{required}: {doc.text.replace(chr(10) * 2, ' ')}")
            lines += [f"  - {line}" for line in _details(doc)]
    if lines:
        yield "\n".join(lines)


def _parameters(node: ast.FunctionDef) -> str:
    """Return a function's parameters as source, without self."""
    return re.sub(r"^self(, )?", "", ast.unparse(node.args))


def _details(doc: Doc) -> Iterator[str]:
    """Yield a line for each argument, for what is returned, and for each error."""
    for name, text in doc.sections.get("Args", {}).items():
        yield f"`{name}`: {text}"
    for text in doc.sections.get("Returns", {}).values():
        yield f"returns: {text}"
    for name, text in doc.sections.get("Raises", {}).items():
        yield f"raises `{name}`: {text}" if name else f"raises: {text}"


def describe_function(function: Callable[..., Any], title: str) -> Iterator[str]:
    """Yield the blocks that describe a function."""
    node = tree_of(function)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    yield f"### `{title}`"
    yield f"```python\ndef {node.name}({_parameters(node)}){returns}\n```"
    doc = doc_of(function)
    yield doc.text
    details = "\n".join(f"- {line}" for line in _details(doc))
    if details:
        yield details


# The page's parts


def hooks() -> Iterator[str]:
    """Yield each hook."""
    yield "## Hooks"
    yield (
        "A plugin is a module that marks functions of these names with `@codonbench.hookimpl`; "
        "each is optional, and may leave out parameters it has no use for. A module is loaded "
        "because the entry-point group `codonbench` of an installed distribution names it or its "
        "package, because `--plugin` names its file, or because its file is in a `--plugins-dir`. "
        "What is marked with `@codonbench.model` needs no hook."
    )
    for name, function in vars(hookspecs).items():
        if hasattr(function, "codonbench_spec"):
            yield from describe_function(function, name)


def decorator() -> Iterator[str]:
    """Yield the short way to a model."""
    yield "## A model from a function"
    function = codonbench.model
    doc = doc_of(function)
    yield "### `codonbench.model`"
    yield doc.text
    rows = [
        (
            code(parameter.name),
            code(str(parameter.annotation)),
            "" if parameter.default is parameter.empty else code(repr(parameter.default)),
            doc.sections["Args"].get(parameter.name, ""),
        )
        for parameter in inspect.signature(function).parameters.values()
    ]
    yield table(("argument", "type", "default", "meaning"), rows)
    raises = (f"- raises `{name}`: {text}" for name, text in doc.sections["Raises"].items())
    yield "\n".join(raises)


def contract(title: str, words: str, classes: Iterable[type]) -> Iterator[str]:
    """Yield the contracts of one kind of plugin."""
    yield f"## {title}"
    yield words
    for cls in classes:
        yield from describe_class(cls)


def encoding_table() -> Iterator[str]:
    """Yield every encoding with the shape and dtype it really has for codons."""
    view = contracts.TaskView(
        task="human-codon",
        unit="codon",
        symbol="nucleotide",
        alphabet="UCAG",
        min_length=3,
        max_length=3,
        n_inputs=64,
        n_outputs=21,
    )
    words = contracts.Sequences.of_rows(list(itertools.product(range(4), repeat=3)))
    cpu = torch.device("cpu")
    rows = []
    for name in encodings.available(view):
        encoded = encodings.make_encoder(name, view, words, cpu)(torch.zeros(7, dtype=torch.int64))
        shape = ", ".join(["B", *map(str, encoded.shape[1:])]) + ("," if encoded.ndim == 1 else "")
        generic = name.replace("codon", "input").replace("nucleotide", "symbol")
        dtype = str(encoded.dtype).removeprefix("torch.")
        rows.append((code(name), code(generic), f"({shape})", dtype))
    yield "## Encodings"
    yield (
        "What the module is handed, as a model's `encoding` names it; shapes are those of codons, "
        "B is the number of inputs. Letters are in the order of `TaskView.alphabet` and inputs in "
        "lexicographic order of it: UUU is 0, UUC is 1, GGG is 63. Each task offers them under "
        "its own words, and all tasks under the general ones, but a task whose inputs cannot be "
        "enumerated has no `input_index` and no `input_onehot`."
    )
    yield table(("for codons", "for any task", "shape", "dtype"), rows)


def checks() -> Iterator[str]:
    """Yield the checks for plugins."""
    yield "## Checks"
    yield (
        "`codonbench.testing` holds a plugin of yours to the checks that the built-in ones pass; "
        "`bench check` is `check_model` in a process of its own, told in words."
    )
    for name in testing.__all__:
        yield from describe_function(getattr(testing, name), name)
    yield "What `bench check` holds of a model, in order:"
    rows = (
        (code(check.id), escape(check.title), "informs, never fails" if check.advisory else "")
        for check in MODEL_CHECKS
    )
    yield table(("check", "holds that", ""), rows)


def record() -> Iterator[str]:
    """Yield the record and its parts."""
    yield "## The record"
    yield (
        "Each run leaves one JSON file in `--results`, `MODEL-sSEED-RUNID.json`, and beside it "
        "its trajectory in `trajectories/`. Within one `schema_version` fields are only ever added."
    )
    yield from describe_class(records.RunRecord, methods=False)
    for part in RECORD_PARTS:
        yield from describe_class(part, methods=False)
    yield "### Values"
    yield (
        "What the built-in metrics put into `metrics`. A null means never within the budget, "
        "unless `not_measured` names the metric: then the run ended before it could answer."
    )
    yield table(("name", "unit", "better", "meaning", "metric"), _metrics())


def _metrics() -> Iterator[tuple[str, ...]]:
    registry = load_registry(selection=Selection(only=()))
    task = registry.task("human-codon").task
    spec = task.load(task.default_data, task.Options(), cache=Path("no-cache"), offline=True).spec
    for name, entry in sorted(registry.metrics.items()):
        for output, facts in entry.metric.outputs(spec).items():
            better = "" if facts.direction == "none" else facts.direction
            yield code(output), facts.unit, better, escape(facts.summary), code(name)


def commands() -> Iterator[str]:
    """Yield every command with its arguments and options."""
    yield "## Commands"
    yield (
        "`bench` is also installed as `codonbench`. Standard output is for results, standard "
        "error for everything else. Options of every command:"
    )
    assert app.registered_callback is not None
    yield _options(app.registered_callback.callback)
    for name, function in (*command_functions(app, "bench"), *_of_plugins()):
        signature = " ".join([name, *_arguments(function)])
        yield f"### `{name}`"
        yield f"```text\n{signature} [OPTIONS]\n```"
        yield doc_of(function).text
        options = _options(function)
        if options:
            yield options


def command_functions(group: Typer, name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command's full name and function, those of groups within groups among them."""
    for command in group.registered_commands:
        assert command.callback is not None
        function = run if command.name == "run" else command.callback
        yield f"{name} {command.name or function.__name__}", function
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from command_functions(inner.typer_instance, f"{name} {inner.name}")


def _of_plugins() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield name and function of each command that codonbench's own plugins add."""
    for name, point in sorted(plugin_commands(None).items()):
        if point.dist is not None and point.dist.name == "codonbench":
            yield f"bench {name}", point.load()


def _parameters_of(function: Any) -> Iterator[tuple[inspect.Parameter, Any, Any]]:
    """Yield each parameter, its type and what typer was told of it."""
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, OptionInfo | ArgumentInfo):
                yield parameter, hint.__origin__, info


def _arguments(function: Any) -> Iterator[str]:
    for parameter, kind, info in _parameters_of(function):
        if isinstance(info, ArgumentInfo):
            name, many = _argument(parameter, info), "..." if _is_list(kind) else ""
            needed = parameter.default is parameter.empty
            yield f"{name}{many}" if needed else f"[{name}{many}]"


def _argument(parameter: inspect.Parameter, info: Any) -> str:
    return re.sub(r"\W", "", info.metavar or parameter.name).upper()


def _is_list(kind: Any) -> bool:
    return list in (get_origin(kind), *map(get_origin, getattr(kind, "__args__", ())))


def _options(function: Any) -> str:
    """Return the table of a command's arguments and options."""
    rows = []
    for parameter, kind, info in _parameters_of(function):
        if isinstance(info, ArgumentInfo):
            names = code(_argument(parameter, info))
        else:
            names = ", ".join(map(code, _spellings(parameter, info)))
        default = parameter.default
        quiet = default in (None, False, parameter.empty) or default == Path()
        required = default is parameter.empty and isinstance(info, OptionInfo)
        told = "required" if required else "" if quiet else code(str(default))
        rows.append((names, _takes(kind, info), told, escape(sentence(info.help or ""))))
    return table(("option", "takes", "default", "meaning"), rows) if rows else ""


def _spellings(parameter: inspect.Parameter, info: Any) -> tuple[str, ...]:
    """Return how an option may be written; of several spellings typer keeps the first apart."""
    first = (info.default,) if isinstance(info.default, str) else ()
    return (*first, *(info.param_decls or ())) or (f"--{parameter.name.replace('_', '-')}",)


def _takes(kind: Any, info: Any) -> str:
    """Return what an option is followed by: nothing for a switch."""
    if isinstance(info, ArgumentInfo):
        return ""
    if info.metavar:
        return code(str(info.metavar))
    text = str(kind)
    if "bool" in text:
        return ""
    for word, name in (("Path", "path"), ("int", "number"), ("float", "number")):
        if word in text:
            return name
    return "text"


def types() -> Iterator[str]:
    """Yield what the short names among the types stand for."""
    yield "## Types"
    yield "What these names among the types above stand for. `IntArray` is `npt.NDArray[np.int64]`."
    yield table(("name", "is"), ((code(name), _spelt_out(t)) for name, t in ALIASES.items()))


def _spelt_out(alias: Any) -> str:
    if hasattr(alias, "__metadata__"):
        return f"text that matches {code(alias.__metadata__[0].pattern)}"
    return f"one of {', '.join(code(repr(word)) for word in get_args(alias))}"


def endings() -> Iterator[str]:
    """Yield exit codes, environment variables and the tree of errors."""
    yield "## Exit codes"
    meanings = endings.MEANINGS.items()
    yield table(("code", "meaning"), ((str(c), escape(meaning)) for c, meaning in meanings))
    yield "## Environment variables"
    yield table(("name", "meaning"), ((code(n), text) for n, text in VARIABLES.items()))
    yield "## Errors"
    opening, tree, closing = (errors.__doc__ or "").strip().split("\n\n")
    yield f"{markdown(opening)} All are in `codonbench.errors`."
    yield f"```text\n{tree}\n```"
    yield markdown(closing)


def blocks() -> Iterator[str]:
    """Yield the whole page below its head."""
    yield from hooks()
    yield from decorator()
    yield from contract(
        "Models",
        "What a model is made of, for `register_models`, and what it may know of its task.",
        MODEL_SIDE,
    )
    yield from encoding_table()
    yield from contract("Tasks", "What a task is made of, for `register_tasks`.", TASK_SIDE)
    yield from contract(
        "Metrics",
        "What a metric is made of, for `register_metrics`, and what it sees. A value is a number "
        "or a bool; None for never within the budget, or not applicable; or "
        "`codonbench.NOT_MEASURED` where the run ended before the question could be answered.",
        METRIC_SIDE,
    )
    yield from contract(
        "Protocols",
        "What a protocol is made of, for `register_protocols`: what a run is evaluated on and "
        "when, which state is selected, and when it ends.",
        PROTOCOL_SIDE,
    )
    yield from checks()
    yield from record()
    yield from types()
    yield from commands()
    yield from endings()


def page() -> str:
    """Return the page."""
    body = list(blocks())
    titles = [block.removeprefix("## ") for block in body if block.startswith("## ")]
    contents = "\n".join(f"- [{t}](#{re.sub(r'[^a-z0-9-]', '', anchor(t))})" for t in titles)
    return "\n\n".join([HEAD.strip(), contents, *(block.strip() for block in body)]) + "\n"


def anchor(title: str) -> str:
    """Return what GitHub calls a heading in links, but for signs that it leaves out."""
    return title.lower().replace(" ", "-")


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it; return the exit code."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return endings.DONE
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return endings.DONE
    print(f"docs/{PAGE.name} is out of date; write it with: python scripts/{Path(__file__).name}")
    return STALE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
