"""Write docs/reference.md from its template and the code: docstrings, types, defaults, options.

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
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from jinja2 import Environment, StrictUndefined
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

import codonbench
from codonbench import api, cli, contracts, errors, protocols, testing
from codonbench.cli.main import commands as bench_commands
from codonbench.cli.main import options
from codonbench.contracts import base, run_record, run_spec
from codonbench.data import encodings
from codonbench.plugins import hookspecs
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.selection import Selection
from codonbench.records import table as records_table
from codonbench.testing.models import MODEL_CHECKS
from codonbench_datasets.human_codon.orfs import genetic_code
from codonbench_datasets.human_codon.task import human_codon_spec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
TEMPLATE = Path(__file__).with_name("reference.md.j2")

HOMES = (contracts, protocols, run_record, run_spec)
"""Where a class that the template names may be."""

SAME_FIELDS = {"Reference": contracts.Model, "DatasetFacts": contracts.Dataset}
"""Where the meaning of a field is told that the class itself does not tell again."""

ALIASES = {
    "Name": contracts.Name,
    "MetricName": contracts.MetricName,
    "Version": contracts.Version,
    "ClassWeights": contracts.ClassWeights,
    "EngineChoice": run_spec.EngineChoice,
    "DeviceKind": base.DeviceKind,
    "Status": run_record.Status,
}


# Docstrings


@dataclass(frozen=True)
class Doc:
    """A docstring: what stands before the first section, as Markdown, and each section's items.

    A section without names has one item, whose name is empty.
    """

    text: str
    sections: dict[str, dict[str, str]]

    def details(self) -> Iterator[str]:
        """Yield a line for each argument, for what is returned, and for each error."""
        for name, text in self.sections.get("Args", {}).items():
            yield f"`{name}`: {text}"
        for text in self.sections.get("Returns", {}).values():
            yield f"returns: {text}"
        for name, text in self.sections.get("Raises", {}).items():
            yield f"raises `{name}`: {text}" if name else f"raises: {text}"


_SECTION = re.compile(r"^(Class attributes|Attributes|Args|Returns|Yields|Raises):$", re.M)
_ITEM = re.compile(r"^(\w[\w., ]*): (.*(?:\n +.*)*)", re.M)


def doc_of(thing: Any) -> Doc:
    """Return the docstring of a class or function, in parts."""
    text, *rest = _SECTION.split(inspect.getdoc(thing) or "")
    bodies = zip(rest[::2], map(textwrap.dedent, rest[1::2]), strict=True)
    return Doc(markdown(text), {name: _items(body) for name, body in bodies})


def _items(body: str) -> dict[str, str]:
    found = {
        name: markdown(text)
        for names, text in _ITEM.findall(body.strip("\n"))
        for name in names.split(", ")
    }
    return found or {"": markdown(body)}


def markdown(text: str) -> str:
    """Return reStructuredText paragraphs as Markdown, each on one line, without examples."""
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", text.strip()) if ">>>" not in p)
    return "\n\n".join(escape(p.replace("``", "`")) for p in paragraphs if p)


def escape(text: str) -> str:
    """Return text of which nothing outside backticks is taken for Markdown."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*<\[])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table without the columns that are empty."""
    columns = zip(head, *(list(row) for row in rows), strict=True)
    kept = [(name, "---", *cells) for name, *cells in columns if any(cells)]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |"
        for line in zip(*kept, strict=True)
    )


def code(text: str) -> str:
    """Return text in backticks, or nothing for none."""
    return f"`{text}`" if text else ""


def lines(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {item}" for item in items)


# Classes and functions


def classes(names: str, *, methods: bool = True) -> str:
    """Return the description of each class: what it is, its attributes, its methods."""
    found = []
    for name in names.split():
        cls = next(vars(home)[name] for home in HOMES if name in vars(home))
        summary, _, rest = doc_of(cls).text.partition("\n\n")
        bases = [b.__name__ for b in cls.__bases__ if b.__name__ in names.split()]
        extends = f"Extends `{bases[0]}`." if bases else ""
        columns = ("name", "type", "default", "meaning")
        rows = list(_attributes(cls))
        found += [f"### `{name}`", f"{summary} {extends}".strip(), rest]
        found += [table(columns, rows) if rows else "", lines(_methods(cls)) if methods else ""]
    return "\n\n".join(filter(None, found))


def _tree(thing: Any) -> Any:
    """Return the syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def _attributes(cls: type) -> Iterator[tuple[str, ...]]:
    """Yield name, type, default and meaning of what a class itself declares, in order."""
    meanings: dict[str, str] = {}
    for told in (SAME_FIELDS.get(cls.__name__, cls), cls):
        sections = doc_of(told).sections
        meanings |= sections.get("Class attributes", {}) | sections.get("Attributes", {})
    for node in _tree(cls).body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        name = node.target.id
        kind = re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation))
        kind = re.sub(r"^Annotated\[(.*?), Tune\(.*\)\]$", r"\1", kind)  # of no use to who sets it
        default = ast.unparse(node.value) if node.value else ""
        meaning = meanings.get(name, "")
        if issubclass(cls, BaseModel) and name in cls.model_fields:
            field = cls.model_fields[name]
            default, meaning = _default(field), meaning or escape(field.description or "")
            kind = ", ".join([kind, *_bounds(field)])
        elif default.startswith("field("):
            default = "{}"
        yield code(name), code(kind), code(default), meaning


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


def _methods(cls: type) -> Iterator[str]:
    for node in _tree(cls).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            marks = {ast.unparse(decorator) for decorator in node.decorator_list}
            plain = bool(marks & {"property", "cached_property"})
            call = node.name if plain else _call(node)
            required = " (required)" if "abstractmethod" in marks else ""
            doc = doc_of(inspect.getattr_static(cls, node.name))
            head = f"`{call}{_returns(node)}`{required}: {doc.text.replace(chr(10) * 2, ' ')}"
            yield "\n  - ".join([head, *doc.details()])


def _call(node: ast.FunctionDef) -> str:
    """Return a function's name and parameters as source, without self."""
    return f"{node.name}({re.sub(r'^self(, )?', '', ast.unparse(node.args))})"


def _returns(node: ast.FunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns else ""


def functions(found: dict[str, Callable[..., Any]]) -> str:
    """Return the description of functions, each under the title that is its key."""
    parts = []
    for title, function in found.items():
        node, doc = _tree(function), doc_of(function)
        source = f"```python\ndef {_call(node)}{_returns(node)}\n```"
        parts += [f"### `{title}`", source, doc.text, lines(doc.details())]
    return "\n\n".join(filter(None, parts))


def decorator(function: Callable[..., Any]) -> str:
    """Return the description of a decorator, `codonbench.model` or `codonbench.estimator`."""
    doc = doc_of(function)
    rows = [
        (
            code(parameter.name),
            code(str(parameter.annotation)),
            "" if parameter.default is parameter.empty else code(repr(parameter.default)),
            doc.sections["Args"].pop(parameter.name, ""),
        )
        for parameter in inspect.signature(function).parameters.values()
    ]
    columns = ("argument", "type", "default", "meaning")
    return f"{doc.text}\n\n{table(columns, rows)}\n\n{lines(doc.details())}"


# Tables


def encoding_table() -> str:
    """Return every encoding with the shape and dtype it really has for codons."""
    view = human_codon_spec(genetic_code(1)).view()
    words = contracts.Sequences.of_rows(list(itertools.product(range(4), repeat=3)))
    rows = []
    for name in encodings.available(view):
        encode = encodings.make_encoder(name, view, words, torch.device("cpu"))
        encoded = encode(torch.zeros(7, dtype=torch.int64))
        shape = ", ".join(["B", *map(str, encoded.shape[1:])]) + ("," if encoded.ndim == 1 else "")
        generic = name.replace("codon", "input").replace("nucleotide", "symbol")
        dtype = str(encoded.dtype).removeprefix("torch.")
        rows.append((code(name), code(generic), f"({shape})", dtype))
    return table(("for codons", "for any task", "shape", "dtype"), rows)


def model_checks() -> str:
    """Return what is held of a model."""
    rows = (
        (code(check.id), escape(check.title), "informs, never fails" if check.advisory else "")
        for check in MODEL_CHECKS
    )
    return table(("check", "holds that", ""), rows)


def values() -> str:
    """Return every value that the built-in metrics give."""
    registry = load_registry(selection=Selection(only=()))
    task = registry.task("human-codon").task
    spec = task.load(task.default_data, task.Options(), cache=Path("no-cache"), offline=True).spec
    rows = [
        (
            code(output),
            facts.unit,
            "" if facts.direction == "none" else facts.direction,
            escape(facts.summary),
            code(name),
        )
        for name, entry in sorted(registry.metrics.items())
        for output, facts in entry.metric.outputs(spec).items()
    ]
    return table(("name", "unit", "better", "meaning", "metric"), rows)


def task_options() -> str:
    """Return every option of the built-in tasks, those that are alike in one row."""
    tasks = load_registry(selection=Selection(only=())).tasks
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in tasks.items():
        for option, field in entry.task.Options.model_fields.items():
            said = (f"--{option.replace('_', '-')}", _default(field), field.description or "")
            alike.setdefault(said, []).append(name)
    rows = [
        (
            code(option),
            "every task" if len(names) == len(tasks) else ", ".join(map(code, names)),
            code(default),
            escape(description),
        )
        for (option, default, description), names in alike.items()
    ]
    return table(("option", "task", "default", "meaning"), rows)


def types() -> str:
    """Return what the short names among the types stand for."""
    return table(("name", "is"), ((code(name), _spelt_out(t)) for name, t in ALIASES.items()))


def _spelt_out(alias: Any) -> str:
    if hasattr(alias, "__metadata__"):
        return f"text that matches {code(alias.__metadata__[0].pattern)}"
    return f"one of {', '.join(code(repr(word)) for word in get_args(alias))}"


def exit_code_table() -> str:
    """Return every exit code with its meaning."""
    return table(("code", "meaning"), ((str(c), escape(m)) for c, m in cli.MEANINGS.items()))


def error_tree() -> str:
    """Return the tree of errors, as it stands in the docstring of `errors`."""
    opening, tree, closing = (errors.__doc__ or "").strip().split("\n\n")
    opening = f"{markdown(opening)} All are in `codonbench.errors`."
    return f"{opening}\n\n```text\n{tree}\n```\n\n{markdown(closing)}"


# Commands


def commands() -> str:
    """Return every command with its arguments and options."""
    parts = [_options(options)]
    for name, function in _functions():
        usage = " ".join([name, *_arguments(function), "[OPTIONS]"])
        parts += [f"### `{name}`", f"```text\n{usage}\n```", doc_of(function).text]
        parts += [_options(function)]
    return "\n\n".join(filter(None, parts))


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command's full name and function: those of codonbench and its own plugins."""
    for name, point in bench_commands().items():
        if point.dist is not None and point.dist.name != "codonbench":
            continue
        loaded = point.load()
        inner = loaded.registered_commands if isinstance(loaded, Typer) else ()
        for command in inner:
            yield f"bench {name} {command.name or command.callback.__name__}", command.callback
        if not inner:
            yield f"bench {name}", loaded


def _parameters(function: Any) -> Iterator[tuple[inspect.Parameter, Any, Any]]:
    """Yield each parameter, its type and what typer was told of it."""
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        for info in getattr(hints[parameter.name], "__metadata__", ()):
            if isinstance(info, OptionInfo | ArgumentInfo):
                yield parameter, hints[parameter.name].__origin__, info


def _arguments(function: Any) -> Iterator[str]:
    for parameter, kind, info in _parameters(function):
        if isinstance(info, ArgumentInfo):
            many = list in (get_origin(kind), *map(get_origin, getattr(kind, "__args__", ())))
            name = _argument(parameter, info) + ("..." if many else "")
            yield name if parameter.default is parameter.empty else f"[{name}]"


def _argument(parameter: inspect.Parameter, info: Any) -> str:
    return re.sub(r"\W", "", info.metavar or parameter.name).upper()


def _options(function: Any) -> str:
    """Return the table of a command's arguments and options; nothing for none."""
    rows = []
    for parameter, kind, info in _parameters(function):
        is_argument = isinstance(info, ArgumentInfo)
        names = [_argument(parameter, info)] if is_argument else _spellings(parameter, info)
        default = parameter.default
        told = "" if default in (None, False, Path(), parameter.empty) else code(str(default))
        if default is parameter.empty and not is_argument:
            told = "required"
        meaning = escape(info.help or "")
        meaning += "" if not meaning or meaning.endswith((".", ":")) else "."
        takes = "" if is_argument else _takes(kind, info)
        rows.append((", ".join(map(code, names)), takes, told, meaning))
    return table(("option", "takes", "default", "meaning"), rows) if rows else ""


def _spellings(parameter: inspect.Parameter, info: Any) -> list[str]:
    """Return how an option may be written; of several spellings typer keeps the first apart."""
    first = [info.default] if isinstance(info.default, str) else []
    return [*first, *(info.param_decls or ())] or [f"--{parameter.name.replace('_', '-')}"]


def _takes(kind: Any, info: Any) -> str:
    """Return what an option is followed by: nothing for a switch."""
    if info.metavar:
        return code(str(info.metavar))
    words = {"bool": "", "Path": "path", "int": "number", "float": "number"}
    return next((name for word, name in words.items() if word in str(kind)), "text")


# The page


def page() -> str:
    """Return the page."""
    hooks = {n: f for n, f in vars(hookspecs).items() if hasattr(f, "codonbench_spec")}
    template = TEMPLATE.read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        titles=re.findall(r"^## (.+)$", template, re.M),
        python={
            "codonbench.run": api.run,
            "codonbench.load_records": records_table.load_records,
            "Records.to_frame": records_table.Records.to_frame,
            "codonbench.board": api.board,
        },
        hooks=hooks,
        checks={name: getattr(testing, name) for name in testing.__all__},
        classes=classes,
        functions=functions,
        decorator=lambda name: decorator(getattr(codonbench, name)),
        encodings=encoding_table,
        model_checks=model_checks,
        values=values,
        task_options=task_options,
        types=types,
        commands=commands,
        exit_codes=exit_code_table,
        errors=error_tree,
    )


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it; return the exit code."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return cli.DONE
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return cli.DONE
    print(f"docs/{PAGE.name} is out of date; write it with: python scripts/{Path(__file__).name}")
    return cli.STALE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
