"""What plugins register: checked, and entered under its names with its origin."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import (
    BaseConfig,
    Encoding,
    Estimator,
    Metric,
    MetricName,
    Model,
    ModelBase,
    ModelConfig,
    ModelInfo,
    Name,
    Ranking,
    Reference,
    Task,
    TaskOptions,
    Version,
)
from codonbench.contracts.base import Origin
from codonbench.contracts.run_spec import configure
from codonbench.contracts.tunable import Tunable
from codonbench.errors import ConfigError, PluginError
from codonbench.plugins import hookspecs
from codonbench.plugins.beside import is_below, modules_beside
from codonbench.plugins.selection import FILE, Candidate
from codonbench.records.files import check_storable

if TYPE_CHECKING:
    from codonbench.protocols.referee import Protocol

ModelClass = type[Model] | type[Estimator] | type[Reference]

_NOT_THE_PLUGINS = frozenset({"abc", "builtins", "codonbench", "typing"})


@dataclass(frozen=True)
class Entry:
    """Something registered under a name."""

    name: str
    origin: Origin
    file: str
    version: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model, or one of its presets, with the values `preset`.

    For a model that this process does not import, `cls` is a substitute, `untrusted` the plugin,
    `configured` the requested configuration and its differences from the named one, and `fields`
    how its fields may be tuned.
    """

    cls: ModelClass
    preset: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    untrusted: Candidate | None = None
    configured: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    fields: Mapping[str, Tunable] | None = None

    @property
    def owner(self) -> str:
        """Whose it is; see `Candidate.owner`."""
        if self.untrusted is not None:
            return self.untrusted.owner
        return self.origin.distribution


@dataclass(frozen=True)
class TaskEntry(Entry):
    """A task."""

    task: Task


@dataclass(frozen=True)
class MetricEntry(Entry):
    """A metric."""

    metric: Metric


@dataclass(frozen=True)
class ProtocolEntry(Entry):
    """A protocol."""

    protocol: Protocol


@dataclass(frozen=True)
class EncodingEntry(Entry):
    """An encoding."""

    encoding: Encoding


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Attributes:
        name: ``model``, ``task``, ``metric``, ``protocol`` or ``encoding``.
        contract: Whether a class extends the contract of this kind.
        mark: The attribute without which a class is a base of others.
        check: Raises PluginError where something registered could not be used.
        entry: Class of its entries.
    """

    name: str
    contract: Callable[[type], bool]
    mark: str
    check: Callable[[Any], None]
    entry: Callable[..., Entry]

    @property
    def hook(self) -> str:
        """The hook that registers it, instead of `classes_of`."""
        return f"register_{self.name}s"

    def classes_of(self, module: ModuleType) -> Iterator[type]:
        """Return the classes of this kind that a module defines and that are meant to be used.

        Bases are not: names that begin with ``_``, abstract classes, and those without `mark`.
        """
        return (c for c in self._defined_in(module) if not _lacking(c, self.mark))

    def bases_in(self, module: ModuleType) -> Iterator[str]:
        """Yield what keeps each other class from being used: ``class Mine lacks build``."""
        for cls in self._defined_in(module):
            if lacking := _lacking(cls, self.mark):
                yield f"class {cls.__name__} lacks {' and '.join(lacking)}"

    def _defined_in(self, module: ModuleType) -> Iterator[type]:
        for name, value in list(vars(module).items()):
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and not name.startswith("_") and self.contract(value):
                yield value

    def plugin(self, cls: type) -> object:
        """Return what is registered of a class: a model itself, of all else an instance."""
        return cls if self.name == "model" else cls()

    def entries(self, plugin: Any, module: ModuleType, owner: Candidate) -> Iterator[Entry]:
        """Yield the entry of a plugin, then one for each preset of a model.

        Raises:
            PluginError: It could not be used.
        """
        self.check(plugin)
        cls = plugin if isinstance(plugin, type) else type(plugin)
        origin, file = _describe_origin(cls, module, owner)
        info = plugin.info if self.name == "model" else plugin
        version = getattr(info, "version", "")  # a protocol or an encoding has none
        yield self.entry(info.name, origin, file, plugin, version=version)
        for preset, values in plugin.presets.items() if self.name == "model" else ():
            settings = MappingProxyType(dict(values))
            yield self.entry(preset, origin, file, plugin, settings, version=version)


def networks_in(module: ModuleType) -> list[str]:
    """Return the names of the `torch.nn.Module` classes that a module defines."""
    torch: Any = sys.modules.get("torch")
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return [cls.__name__ for cls in own if torch and issubclass(cls, torch.nn.Module)]


# Where a plugin comes from


def _describe_origin(cls: type, module: ModuleType, owner: Candidate) -> tuple[Origin, str]:
    """Return where `cls`, registered by `module`, comes from, and the file that defines it.

    Raises:
        PluginError: A file that it declares is not there.
    """
    sources = sources_of(cls)
    origin = Origin(
        distribution=owner.distribution,
        version=owner.version,
        module=module.__name__,
        source_sha256=hash_of(sources),
    )
    return origin, next(iter(sources), "")


def sources_of(cls: type) -> tuple[str, ...]:
    """Return the files that a plugin's class is made of, in the order of `Origin.source_sha256`.

    In place of a file that there is none of stands the hash of the code.

    Raises:
        PluginError: A file that it declares is not there.
    """
    files: dict[str, None] = {}
    seen: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in _NOT_THE_PLUGINS:
            file = _source_of(base)
            if file not in seen:
                seen.add(file)
                files |= dict.fromkeys((file, *_private_files(file)))
            if base.__module__.startswith(FILE):
                files |= dict.fromkeys(map(str, modules_beside(Path(file)).values()))
            files |= dict.fromkeys(_declared(base, file))
    return tuple(files)


def hash_of(files: Iterable[str]) -> str:
    """Return the SHA-256 of what some files hold, one after another."""
    digest = hashlib.sha256()
    for file in files:
        if not Path(file).is_file():
            digest.update(file.encode())
            continue
        with Path(file).open("rb") as opened:
            while part := opened.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


def _source_of(cls: type) -> str:
    """Return the file that defines a class, or the hash of its code where it was typed."""
    if cls.__module__ == "__main__":  # whose file need not be where this class was typed
        functions = (getattr(value, "__func__", value) for value in vars(cls).values())
        files = {f.__code__.co_filename for f in functions if isinstance(f, FunctionType)}
        return next((file for file in files if Path(file).is_file()), None) or _hash_of_code(cls)
    try:
        return inspect.getsourcefile(cls) or cls.__module__
    except (OSError, TypeError):
        return _hash_of_code(cls)


def _declared(cls: type, file: str) -> Iterator[str]:
    """Yield the files that a class, which a file defines, itself declares.

    Raises:
        PluginError: One of them is not there.
    """
    names = vars(cls).get("files", ()) if issubclass(cls, ModelBase) else ()
    owner = f"{cls.__qualname__}.files"
    if not isinstance(names, tuple | list) or not all(map(is_below, names)):
        raise PluginError(
            f"{owner} is {_shown(names)}; expected names of files in the plugin's folder or below, "
            'as in files = ("weights.pt",)'
        )
    for name in names:
        folder = Path(file).parent
        if not (folder / name).is_file():
            raise PluginError(
                f"{owner} names {name!r}, and there is no such file in {folder}; in a sandbox "
                "there is none whose name is not written out"
            )
        yield str(folder / name)


def _private_files(file: str) -> Iterator[str]:
    """Yield the files beside a file that it names and whose names begin with ``_``."""
    if not Path(file).is_file():
        return
    folder, named = Path(file).parent, _private_names(Path(file).read_bytes())
    for private in sorted(named.intersection(path.name for path in folder.iterdir())):
        yield str(folder / private)


@lru_cache(maxsize=64)
def _private_names(source: bytes) -> frozenset[str]:
    """Return what files would be called that a source names and that begin with ``_``."""
    return frozenset(f"{word.decode()}.py" for word in re.findall(rb"\b_[^\W_]\w*", source))


_WHERE_IT_STANDS = {"__firstlineno__", "__static_attributes__"}
"""What Python notes of a class from 3.13 on: its place in a file, and a tuple in any order."""


def _hash_of_code(cls: type) -> str:
    """Return the SHA-256 of a class's code, and of what it names that was typed as well."""
    parts: dict[str, str] = {}

    def visit(name: str, thing: Any) -> None:
        thing = getattr(thing, "__func__", getattr(thing, "fget", thing))
        if isinstance(thing, int | float | str | tuple):
            parts[name] = repr(thing)
        if name in parts or getattr(thing, "__module__", None) != cls.__module__:
            return
        parts[name] = ""
        if isinstance(thing, type):
            for base in thing.__bases__:
                visit(base.__qualname__, base)
            for own, value in vars(thing).items():
                if own in _WHERE_IT_STANDS:
                    continue
                visit(f"{name}.{own}", value)
                if not own.startswith("__") and " at 0x" not in repr(value):
                    parts[f"{name}.{own}="] = repr(value)
        elif isinstance(thing, FunctionType):
            parts[name] = _text_of(thing.__code__) + repr(thing.__defaults__)
            for named in re.findall(r"\w+", parts[name]):
                visit(named, thing.__globals__.get(named))

    visit(cls.__qualname__, cls)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def _text_of(code: CodeType) -> str:
    """Return what code does, without its position."""

    def text(constant: object) -> str:
        if isinstance(constant, CodeType):
            return _text_of(constant)
        return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)

    return repr((code.co_code.hex(), code.co_names, [text(each) for each in code.co_consts]))


# Checks


@cache
def hooks() -> dict[str, tuple[str, ...]]:
    """Return the hooks there are, and the arguments that each can be given."""
    return {
        name: tuple(inspect.signature(value).parameters)
        for name, value in vars(hookspecs).items()
        if hasattr(value, "codonbench_spec")
    }


def check_hooks(module: ModuleType) -> None:
    """Check every function of `module` that is, or should be, the implementation of a hook.

    pluggy asks the same, later and in its own words; a hook without a mark it does not see.

    Raises:
        PluginError: One lacks its mark, has a name of no hook, or asks for what it will not get.
    """
    known = hooks()
    for name, function in vars(module).items():
        marked = hasattr(function, "codonbench_impl")
        if not isinstance(function, FunctionType) or not (marked or name in known):
            continue
        signature = inspect.signature(function)
        where = f"line {function.__code__.co_firstlineno}: {name}{signature}"
        if not marked:
            if function.__module__ == module.__name__:
                raise PluginError(
                    f"{where} lacks its mark, so it would never be called; write @hookimpl above "
                    "it (from codonbench import hookimpl)"
                )
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise PluginError(
                f"{where}: unknown hook {name!r}; {guess}the hooks are {', '.join(known)}"
            )
        for wanted, parameter in signature.parameters.items():
            variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            required = parameter.default is parameter.empty and not variable
            if required and wanted not in known[name]:
                raise PluginError(
                    f"{where}: no argument {wanted!r}; "
                    f"expected def {name}({', '.join(known[name])})"
                )


def _lacking(cls: type, mark: str) -> list[str]:
    """Return the abstract methods that a class does not define, and `mark` where it has none."""
    return sorted(getattr(cls, "__abstractmethods__", ())) + [mark] * (not hasattr(cls, mark))


def _check_protocol(protocol: Any) -> None:
    _check_words(protocol, {"name": Name, "summary": str, "split": str, "tells_targets": bool})
    if not callable(getattr(protocol, "schedule", None)):
        raise _unfit(protocol, "an instance of a subclass of Protocol")


def _check_encoding(encoding: Any) -> None:
    if not isinstance(encoding, Encoding):
        raise _unfit(encoding, "an instance of a subclass of Encoding")
    _check_word(encoding.name, MetricName, f"class {type(encoding).__qualname__}: name")


def check_task(task: object) -> None:
    """Raise PluginError where something is no task that could be run."""
    if not isinstance(task, Task):
        raise _unfit(task, "an instance of a subclass of Task")
    _check_words(task, {"name": Name, "version": Version, "title": str, "default_data": str})
    if not (isinstance(task.Options, type) and issubclass(task.Options, TaskOptions)):
        raise PluginError(
            f"task {task.name!r}: Options is {_shown(task.Options)}; "
            "expected a subclass of TaskOptions"
        )
    ranking = getattr(task, "ranking", None)
    if not isinstance(ranking, Ranking):
        raise PluginError(
            f"task {task.name!r}: ranking is {_shown(ranking)}; expected "
            "ranking = Ranking(metric=..., direction=..., columns=(Column(...),))"
        )


def check_metric(metric: object) -> None:
    """Raise PluginError where something is no metric that could be computed."""
    if not isinstance(metric, Metric):
        raise _unfit(metric, "an instance of a subclass of Metric")
    _check_words(metric, {"name": MetricName, "version": Version, "summary": str})
    for method in ("serves", "outputs", "compute"):
        if not callable(getattr(metric, method)):
            raise PluginError(
                f"metric {metric.name!r}: {method} is {_shown(getattr(metric, method))}; expected "
                "a method"
            )


def _check_model(cls: object) -> None:
    """Check that `cls` is a model class that could be run."""
    if not (isinstance(cls, type) and issubclass(cls, Model | Estimator | Reference)):
        raise _unfit(cls, "a subclass of Model, Estimator or Reference")
    owner = f"model class {cls.__qualname__}"
    info = getattr(cls, "info", None)
    if not isinstance(info, ModelInfo):
        raise PluginError(
            f"{owner}: info is {_shown(info)}; "
            "expected info = ModelInfo(name=..., version=..., summary=...)"
        )
    if missing := _lacking(cls, "info"):
        kind = next(c.__name__ for c in (Model, Estimator, Reference) if issubclass(cls, c))
        raise PluginError(f"{owner} lacks {' and '.join(missing)}, which every {kind} must define")
    _check_call(cls, "__init__", "config")
    if issubclass(cls, Model):
        _check_call(cls, "build", "task")
        _check_call(cls, "configure_optimizer", "module")
    if issubclass(cls, Estimator):
        _check_call(cls, "fit", "training")
        _check_call(cls, "predict", "items")
    base = BaseConfig if issubclass(cls, Estimator) else ModelConfig
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, base)):
        raise PluginError(
            f"{owner}: Config is {_shown(cls.Config)}; expected a subclass of {base.__name__}"
        )
    check_storable(f"model {info.name!r}", info.model_dump())
    _check_config(cls.Config, {}, f"model {info.name!r}")
    for preset, values in cls.presets.items():
        _check_word(preset, Name, f"model {info.name!r}, preset")
        _check_config(cls.Config, values, f"preset {preset!r} of model {info.name!r}")


def _check_call(cls: type, method: str, argument: str) -> None:
    """Check that the harness can call a method as it will: with one argument, by position."""
    function = inspect.getattr_static(cls, method)
    if not isinstance(function, FunctionType):
        return  # the arguments of a decorated or built-in one are not known
    signature = inspect.signature(function)
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise PluginError(
            f"model class {cls.__qualname__}: {method}{signature} cannot be called with "
            f"({argument}): {error}; expected def {method}(self, {argument})"
        ) from error


def _check_config(cls: type[BaseConfig], values: Mapping[str, Any], owner: str) -> None:
    """Check that a named configuration is valid and survives the JSON of a record."""
    try:
        config = configure(cls, dict(values), {}, owner)
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError) and {d["type"] for d in cause.errors()} == {
            "missing"
        }:
            return  # a field without a default: --set gives it
        raise PluginError(str(error)) from error
    check_survives_json(config, owner)


def check_survives_json(config: BaseConfig, owner: str) -> None:
    """Raise ConfigError where a field is not what it was once written to a record and read."""
    cls = type(config)
    same = False
    with suppress(Exception):  # which of them it is, if any
        same = cls.model_validate_json(config.model_dump_json()) == config
    for name in () if same else cls.model_fields:
        value = getattr(config, name)
        try:
            written = json.dumps(config.model_dump(mode="json", include={name}), allow_nan=False)
            again = getattr(cls.model_validate(config.model_dump() | json.loads(written)), name)
        except Exception as error:
            if isinstance(error, ValidationError) and _is_of_others(error, name):
                continue
            raise ConfigError(
                f"{owner}: Config field {name!r} holds {_shown(value)}, which a record cannot "
                "hold: JSON has numbers, text, true, false, null, lists and maps; give it a name "
                "(Literal['relu', 'tanh']) that build() looks up"
            ) from error
        if again != value:
            raise ConfigError(
                f"{owner}: Config field {name!r} holds {_shown(value)}, and {_shown(again)} once "
                "written to JSON and read again; use a type that comes back as it was"
            )
    check_storable(owner, config.model_dump(mode="json"))


def _is_of_others(error: ValidationError, name: str) -> bool:
    """Return whether other fields are at fault, each of which is named in its turn."""
    return all(each["loc"] and each["loc"][0] != name for each in error.errors())


def _check_words(plugin: Task | Metric, words: Mapping[str, Any]) -> None:
    """Check that a task's or metric's `words`, the names of its attributes, are valid."""
    for word, valid in words.items():
        owner = f"class {type(plugin).__qualname__}: {word}"
        _check_word(getattr(plugin, word, None), valid, owner)


def _check_word(value: object, valid: Any, owner: str) -> None:
    try:
        _adapter(valid).validate_python(value, strict=True)
    except ValidationError as error:
        raise PluginError(f"{owner} is {value!r}: {error.errors()[0]['msg']}") from error


_adapter = cache(TypeAdapter)  # one for all plugins: to make it takes longer than to ask it


def _shown(value: object) -> str:
    """Return a value and its type, cut to a length that fits a message."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return "None" if value is None else f"{text} ({type(value).__name__})"


def _unfit(plugin: object, expected: str) -> PluginError:
    """Return what to raise where something registered is no plugin of its kind."""
    remedy = ""
    if isinstance(plugin, ModelBase):
        remedy = f"; register the class itself: register({type(plugin).__qualname__})"
    elif isinstance(plugin, type) and issubclass(plugin, Task | Metric | Encoding):
        remedy = f"; register an instance of it: register({plugin.__qualname__}())"
    elif isinstance(plugin, FunctionType):
        remedy = "; a function that builds a module needs @codonbench.model(encoding=...) above it"
    elif hasattr(plugin, "forward"):  # a module of PyTorch, which is not imported for this
        remedy = "; write a function that builds it, with @codonbench.model(encoding=...) above it"
    return PluginError(f"given {_shown(plugin)}; expected {expected}{remedy}")


def _is_protocol(cls: type) -> bool:
    """Return whether a class looks like a protocol, whose contract lies above this folder."""
    return hasattr(cls, "schedule") and hasattr(cls, "tells_targets")


KINDS = (
    Kind("model", lambda c: issubclass(c, ModelBase), "info", _check_model, ModelEntry),
    Kind("task", lambda c: issubclass(c, Task), "name", check_task, TaskEntry),
    Kind("metric", lambda c: issubclass(c, Metric), "name", check_metric, MetricEntry),
    Kind("protocol", _is_protocol, "name", _check_protocol, ProtocolEntry),
    Kind("encoding", lambda c: issubclass(c, Encoding), "name", _check_encoding, EncodingEntry),
)
"""In the order in which they are registered."""
