"""A request as a user makes it, and the spec of each run it leads to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from codonbench.contracts.base import DeviceKind, Frozen, Name, Version
from codonbench.errors import ConfigError

PUBLIC_RULES, SALTED_RULES = RULES = "1", "2"
"""Change whenever the protocol does: stream, evaluation schedule, stop rule, loss, relabelling.

Under the first, where a module begins follows from the seed; under the second, from seed and salt.
Runs of the public salt have the first, and those of any other salt the second: rows under both are
compared, for the pairs and their order are the same, and the chance of a beginning is no other."""

PUBLIC_SALT = "codonbench-public-1"
"""Of the permutation of class ids, where none is given; written into every record."""


def rules_of(salt: str) -> str:
    """Return the rules of a run that is made with a salt."""
    return PUBLIC_RULES if salt == PUBLIC_SALT else SALTED_RULES


EngineChoice = Literal["auto", "eager", "traced", "compiled", "graph"]

MOST_PAIRS = 10**12
"""The largest budget, and that of a run which the clock alone ends."""

MAX_SEED = 2**31 - 1
MAX_SEEDS = 100_000
_MOST_FIELDS = 1_000  # that are set; a suite may set them for each of its runs

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class RunRequest(Frozen):
    """A request to run, before names are looked up; has the options of `bench run`."""

    model: str = Field(description="A model or preset, or a Python file of one.")
    task: str | None = Field(default=None, description="A task; if left out, the default one.")
    data: str | None = Field(default=None, description="A data source's name, a file or a folder.")
    seeds: tuple[int, ...] = Field(default=(0,), description="Seeds, such as 0-9 or 0,3,5.")
    preset_file: Path | None = Field(
        default=None,
        description="A preset file of 'bench tune'; it names the model and, unless --task "
        "does, the task.",
    )
    overrides: dict[str, str] = Field(
        default_factory=dict,
        max_length=_MOST_FIELDS,
        description="Override a field of the model.",
    )
    task_overrides: dict[str, str] = Field(
        default_factory=dict,
        max_length=_MOST_FIELDS,
        description="Set an option of the task; the same as --NAME VALUE.",
    )
    control: str | None = Field(
        default=None,
        description="Run a control, which removes what a score should depend on: labels, "
        "composition, untrained, strand, or a control of the task's own.",
    )
    protocol: Name | None = Field(
        default=None,
        description="Another protocol than the task's default: linear_probe, supervised, "
        "zero_shot, sample_efficiency or folds.",
    )
    protocol_overrides: dict[str, str] = Field(
        default_factory=dict,
        max_length=_MOST_FIELDS,
        description="Set an option of that protocol.",
    )
    folds: str | None = Field(
        default=None,
        description="Cross-validate over this number of folds; group: leave out each group in "
        "turn; 0: the task's own split.",
    )
    epochs: int | None = Field(default=None, ge=1, le=100_000, description="Budget in epochs.")
    pairs: int | None = Field(
        default=None, ge=1, le=MOST_PAIRS, description="Budget in training pairs."
    )
    examples: int | None = Field(
        default=None, ge=1, le=MOST_PAIRS, description="Another name for --pairs."
    )
    seconds: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="End after so many seconds of training, or earlier if another given "
        "budget is spent; such a run is not exactly repeatable.",
    )
    full: bool = Field(default=False, description="Spend the whole budget, without stopping early.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda.")
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads of each worker.")
    engine: EngineChoice = Field(
        default="auto",
        description="auto, eager (the plain loop), traced, compiled, or graph (GPU).",
    )
    salt: str = Field(
        default=PUBLIC_SALT,
        description="Salt of the permutation of class ids, written into the record; fresh: a "
        "new random one.",
    )
    offline: bool = Field(default=False, description="Forbid network access.")
    force: bool = Field(default=False, description="Repeat runs that are already recorded.")

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, given: Any) -> Any:
        """Take ``3`` and ``"0-9"``, too."""
        several = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        try:
            return parse_seeds(",".join(map(str, several)))
        except ConfigError as error:
            raise ConfigError(f"field 'seeds': {error}") from error

    @field_validator("folds", mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        """Take a number, too."""
        if given is not None and not re.fullmatch(r"0|[1-9]\d{0,3}|group", str(given)):
            raise ConfigError(
                f"field 'folds': got {given!r}; expected a number of folds, or group, which leaves "
                "out each group in turn; --task-set group=COLUMN names those of a table"
            )
        return given if given is None else str(given)

    @field_validator("overrides", "task_overrides", "protocol_overrides", mode="before")
    @classmethod
    def _texts(cls, given: Any) -> Any:
        """Take any values, and keep them as they would be typed."""
        if not isinstance(given, Mapping):
            return given
        return {
            k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in given.items()
        }

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [n for n in ("epochs", "pairs", "examples") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"give the budget in {' or in '.join(given)}, not both")
        if self.folds is not None and self.protocol is not None:
            raise ValueError("--folds names a protocol; leave out --protocol")
        if self.protocol_overrides and self.protocol is None:
            raise ValueError("--protocol-set sets options of a protocol; name it by --protocol")
        return self

    @property
    def options_of_task(self) -> dict[str, str]:
        """The options of the task, as text; the control is one of them."""
        control = {} if self.control is None else {"control": self.control}
        return {**self.task_overrides, **control}

    @property
    def by_the_clock(self) -> bool:
        """Whether the budget is in seconds alone."""
        counted = self.epochs or self.pairs or self.examples
        return self.seconds is not None and counted is None

    def budget_pairs(self, epoch_pairs: int, default_epochs: int) -> int:
        """Return the budget in training pairs, of which an epoch has so many."""
        if self.by_the_clock:
            return MOST_PAIRS
        return self.pairs or self.examples or (self.epochs or default_epochs) * epoch_pairs


class RunOptions(Frozen):
    """How and where a request is run; nothing here decides a result."""

    workers: int | None = Field(
        default=None,
        ge=0,
        description="Training processes, by default one per core; 0: train in the main process.",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="Time limit in seconds for a run, and for loading a plugin of others.",
    )
    checkpoint_every: float = Field(
        default=10.0,
        ge=0,
        description="Least time between checkpoints, from which an interrupted run resumes; "
        "0: no checkpoints.",
    )
    sandbox: bool = Field(
        default=False,
        description="Run the model's code without network, with only its own files and "
        "limited memory; needs bubblewrap.",
    )
    env: Literal["auto", "own", "ours"] = Field(
        default="auto",
        description="Environment of a plugin that declares requirements: its own (own), "
        "codonbench's (ours), or its own only if codonbench's does not meet them "
        "(auto).",
    )
    exclusive: bool = Field(
        default=False,
        description="Share the processors with no other run; a GPU is never shared.",
    )
    no_wait: bool = Field(
        default=False, description="Exit 2 instead of waiting for what another run uses."
    )
    no_twin: bool = Field(
        default=False,
        description="Leave out the random twin of a pretrained model (--set init=random), "
        "which shows what pretraining gains.",
    )
    plugin: tuple[Path, ...] = Field(
        default=(), description="A Python file that registers plugins; may be repeated."
    )
    plugins_dir: tuple[Path, ...] = Field(
        default=(),
        description="A folder of such files (*.py, except names that begin with _); may be "
        "repeated.",
    )
    trust: tuple[str, ...] = ()
    """Distributions and files of others that this process may import; an option of `bench`."""
    results: Path = Field(default=Path("runs"), description="Folder of records.")
    on: str = Field(
        default="local",
        pattern=r"^(local|ray|(ray://)?[\w.-]+:\d{1,5})$",
        description="Where to run: local; ray, the cluster that RAY_ADDRESS names or a new "
        "one on this machine; or a running cluster, ray://HOST:PORT or HOST:PORT.",
    )
    resources: dict[str, str] = Field(
        default_factory=dict,
        description="Resources of a run on a cluster, instead of those its model declares: "
        "cpus, memory (GiB), gpus, accelerator.",
    )
    shared: str | None = Field(
        default=None,
        description="Where runs on a cluster keep checkpoints: a folder that every node has, "
        "or an address for fsspec, such as s3://BUCKET/FOLDER.",
    )

    @model_validator(mode="after")
    def _need_workers(self) -> Self:
        if self.sandbox and self.workers == 0:
            raise ValueError("--sandbox holds worker processes: leave out --workers 0")
        if self.on != "local" and self.workers == 0:
            raise ValueError("--workers 0 trains in this process: leave out --on")
        if self.on == "local" and (self.resources or self.shared):
            raise ValueError("--resources and --shared are for a cluster: give --on, too")
        return self


class RunSpec(Frozen):
    """One run, resolved: everything that decides its result, and nothing else.

    The data are named by their content's checksum and by a short name, never by a path.
    `run_id` is the hash of all of it.

    Attributes:
        rules: The protocol's version, which codonbench sets.
        task, task_version, task_options: Task, its version and its options.
        protocol_options: Options of that protocol.
        fold: The fold that this run is tested on, from 0; None if it is not one of several.
        subset: Number of training examples, or of examples of each class if the protocol's options
            say so; None for all.
        data, data_checksum: Data of the task; see `Dataset`.
        model, model_version: The model; `model` is the preset's name if one was given.
        config: All of its hyperparameters, including defaults.
        seed: Seed of the stream, the relabelling and the module's weights.
        budget_pairs: Training pairs at most; 0 where nothing is trained.
        budget_seconds: Seconds from the first pair on, evaluations included, after which the run
            ends even so; None, and left out of what is hashed, where only pairs count.
        stop: The rule that may end the run before its budget.
        salt: Salt of the relabelling and, under the second rules, of the module's initial state.
        device, threads: Device, and number of CPU threads.
        engine: The requested engine; the record's own `engine` names what trained.
        protocol: The protocol, if it is not the task's own; else None.
        track: ``pretrained`` if the model's weights were pretrained, which gives tables of its own;
            else None. Both are left out of what is hashed where None.
    """

    rules: Version
    task: Name
    task_version: Version
    task_options: dict[str, Any]
    data: str
    data_checksum: str
    model: Name
    model_version: Version
    config: dict[str, Any]
    seed: int = Field(ge=0, le=MAX_SEED)
    budget_pairs: int = Field(ge=0)
    budget_seconds: float | None = Field(default=None, gt=0, exclude_if=lambda given: given is None)
    stop: Name
    salt: str
    device: DeviceKind
    threads: int = Field(ge=1)
    engine: EngineChoice
    protocol: Name | None = Field(default=None, exclude_if=lambda given: given is None)
    track: Literal["pretrained"] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )
    protocol_options: dict[str, Any] = Field(
        default_factory=dict, exclude_if=lambda given: not given
    )
    fold: int | None = Field(default=None, ge=0, exclude_if=lambda given: given is None)
    subset: int | None = Field(default=None, ge=1, exclude_if=lambda given: given is None)

    @property
    def task_key(self) -> list[Any]:
        """Task, options and part of the items; runs with equal ones may be compared."""
        task = [self.task, self.task_version, self.task_options]
        if not self.protocol_options:
            return task
        return [*task, self.protocol, self.protocol_options, self.fold, self.subset]

    @property
    def part(self) -> str:
        """Which part of a protocol's runs it is, in words: ``fold 2``; empty where there is one."""
        if self.fold is not None:
            return f"fold {self.fold + 1}"
        each = " a class" if self.protocol_options.get("per_class") else ""
        many = "s"[: self.subset != 1]
        return "" if self.subset is None else f"{self.subset:,} example{many}{each}"

    @property
    def whole(self) -> Self:
        """The spec that this one is a part of; itself where it is no part."""
        return self.model_copy(update={"fold": None, "subset": None})

    @property
    def is_own_table(self) -> bool:
        """Whether the task is made of a table of one's own, as its options say."""
        return self.task_options.get("made_of") == "table"

    @property
    def control(self) -> str:
        """The control that it is made under; empty for none."""
        return str(self.task_options.get("control") or "")

    @property
    def is_salted(self) -> bool:
        """Whether the salt decides where a module begins, too."""
        return self.rules == SALTED_RULES

    @property
    def run_id(self) -> str:
        """16 hexadecimal digits that name this run."""
        return content_hash(self.model_dump(mode="json"))[:16]

    @property
    def name(self) -> str:
        """The name of its record's file without its ending."""
        return f"{self.model}-s{self.seed}-{self.run_id}"


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spare space: one text for one content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value's content."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that ``0-9``, ``3`` or ``0-4,7`` names, in order, each once.

    Raises:
        ConfigError: Not such a list, a range that runs backwards, or a seed out of range.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10}))?\s*", part)
        if not match:
            raise ConfigError(f"seeds {text!r}: expected numbers and ranges such as 0-9 or 0,3,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"seeds {text!r}: the range {first}-{last} runs backwards")
        if last > MAX_SEED or last - first >= MAX_SEEDS:
            raise ConfigError(f"seeds {text!r}: at most {MAX_SEEDS:,} seeds, none above {MAX_SEED}")
        seeds.update(dict.fromkeys(range(first, last + 1)))
        if len(seeds) > MAX_SEEDS:
            raise ConfigError(
                f"seeds {text!r}: {len(seeds):,} seeds, at most {MAX_SEEDS:,} at a time"
            )
    return tuple(seeds)


def parse_settings(settings: list[str], option: str) -> dict[str, str]:
    """Return ``["hidden=128"]`` as ``{"hidden": "128"}``.

    Raises:
        ConfigError: An entry is not ``field=value``, or a field is given twice.
    """
    parsed: dict[str, str] = {}
    for setting in settings:
        field, separator, value = setting.partition("=")
        if not separator or not field.strip():
            raise ConfigError(f"{option} {setting!r}: expected field=value")
        if field.strip() in parsed:
            raise ConfigError(f"{option}: field {field.strip()!r} is given twice")
        parsed[field.strip()] = value.strip()
    return parsed


def configure(
    cls: type[ConfigT], preset: dict[str, Any], overrides: dict[str, str], owner: str
) -> ConfigT:
    """Return a validated configuration from a preset and a person's overrides.

    Args:
        cls: The configuration's class.
        preset: Values to begin with.
        overrides: Text by field name; read as JSON where that works, else as a string.
        owner: Owner of the configuration, for messages: ``model 'lstm'``.

    Raises:
        ConfigError: Names each wrong field, what was given and what is allowed.
    """
    values = dict(preset) | {name: read_value(text) for name, text in overrides.items()}
    try:
        return cls.model_validate(values)
    except ConfigError as error:
        raise ConfigError(f"{owner}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(_explain(cls, detail) for detail in error.errors())
        raise ConfigError(f"{owner}: {problems}") from error


def read_value(text: str) -> Any:
    """Return a value as a person types it: JSON where that works, else a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(cls: type[BaseModel], detail: Any) -> str:
    """Return one validation problem as a sentence with the field, the value and the remedy."""
    message = str(detail["msg"]).removeprefix("Value error, ")
    # Only the first letter: the rest may spell allowed values, which are case-sensitive.
    message = message[:1].lower() + message[1:]
    if detail["type"] == "tuple_type":
        message = "give a list, as in [10,30]"
    if not detail["loc"]:  # a rule about several fields at once
        return message
    field = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(field, cls.model_fields, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"no field {field!r}; {hint}it has {', '.join(sorted(cls.model_fields)) or 'none'}"
    known = cls.model_fields.get(field)
    about = f" ({known.description})" if known is not None and known.description else ""
    return f"field {field!r}: got {detail['input']!r}; {message}{about}"
