"""The record of a run: everything needed to trust it and to repeat it, its plugin and machine."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from codonbench import __version__
from codonbench.contracts import Frozen, ModelInfo, Trajectory
from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS, DeviceKind, Name, Origin
from codonbench.contracts.run_spec import RunSpec, canonical_json, content_hash

_Words = Annotated[str, Field(max_length=200, pattern=r"^[\x20-\x7e]*$")]

_Figure = Annotated[float, Field(allow_inf_nan=False)]

_Whole = Annotated[int, Field(gt=-MAX_NUMBER, lt=MAX_NUMBER)]

About = Annotated[dict[_Words, bool | _Whole | _Figure | _Words], Field(max_length=32)]
"""What a module says of itself, by name."""


class TorchFacts(Frozen):
    """Facts on a machine that only the interpreter that trains has.

    Attributes:
        python, torch, numpy: Versions.
        cpu_capability: The vector instructions PyTorch uses.
        threads: CPU threads.
        deterministic: PyTorch was told to refuse non-deterministic algorithms.
        tf32: Whether matrix products may be rounded to TF32.
        gpu_name, gpu_uuid, cuda: Of the GPU in use, its UUID without ``GPU-``; None where there
            is none, and where it was not requested.
    """

    python: _Words
    torch: _Words
    numpy: _Words
    cpu_capability: _Words
    threads: int
    deterministic: bool
    tf32: bool
    gpu_name: _Words | None = None
    gpu_uuid: _Words | None = None
    cuda: _Words | None = None


class Circumstances(Frozen):
    """What may have touched a run's times, and nothing else of it.

    Attributes:
        alone: Whether the run had its GPU or its cores to itself, as far as other runs of
            codonbench go; None where that could not be made sure of.
        neighbours: Number of other runs of codonbench that used them when it began.
        load_average: Processes that wanted a processor in the minute before it began.
        clocks_mhz: Of the GPU, or the mean of the processors, as it began and as it ended.
    """

    alone: bool | None = None
    neighbours: int | None = None
    load_average: float | None = None
    clocks_mhz: tuple[int, ...] = ()


class Machine(Frozen):
    """Hardware and software identity; no host name, no user, no path.

    Attributes:
        device: ``cpu`` or ``cuda``.
        device_name: The processor's or the GPU's own name.
        cpu_name, cpu_capability: The processor, and the vector instructions PyTorch uses on it.
        cpu_count: Processors this process may use.
        driver, cuda: Of the GPU; None on a CPU.
        system: Operating system and architecture.
        python, torch, numpy: Versions.
        threads: CPU threads of the run.
        deterministic: PyTorch was told to refuse non-deterministic algorithms.
        tf32: Whether matrix products may be rounded to TF32.
        gpu_id: 16 hexadecimal digits of the SHA-256 of the GPU's UUID, which tells one GPU from
            another of its kind and gives no serial number away; None on a CPU.
        circumstances: Circumstances of this run; None in records made before they were noted.
    """

    device: DeviceKind
    device_name: str
    cpu_name: str
    cpu_capability: str
    cpu_count: int
    driver: str | None
    cuda: str | None
    system: str
    python: str
    torch: str
    numpy: str
    threads: int
    deterministic: bool
    tf32: bool
    gpu_id: str | None = None
    circumstances: Circumstances | None = None

    @property
    def device_kind(self) -> str:
        """What rows of one table share: ``cpu``, or the GPU's own name."""
        return self.device if self.device == "cpu" else self.device_name

    @property
    def kind(self) -> tuple[str, ...]:
        """What must agree for two runs of one spec to give identical weights."""
        return (
            self.device_name,
            self.cpu_name,
            self.cpu_capability,
            self.system,
            self.torch,
            str(self.threads),
        )


Status = Literal["done", "timeout", "diverged", "error", "interrupted"]

Confinement = Literal["none", "process", "sandbox"]
"""How far a run was kept from what it runs in: not at all, by a process of its own, which may do
what its user may, or by a sandbox, which may do next to nothing."""

FINISHED: tuple[Status, ...] = ("done", "diverged")
"""States that are results: not to be run again, and counted on the leaderboard."""


class DatasetFacts(Frozen):
    """What the run was made on. See `codonbench.contracts.Dataset` for the fields."""

    source: str
    checksum: str
    simulated: bool
    provenance: dict[str, str | int | float] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Harness(Frozen):
    """Which codonbench made the run; the commit is None outside a checkout."""

    version: str
    commit: str | None
    modified: bool | None


class Engine(Frozen):
    """What executed the training steps.

    Attributes:
        name, version: Name and version of the engine.
        seeds_together: Number of seeds that shared a step.
        rows: How many rows a step computed for each seed: 0 where it was all inputs, or the
            batch itself in the plain loop.
        reason: Why not a faster engine, where one was allowed.
    """

    name: str = Field(max_length=64)
    version: str = Field(max_length=64)
    seeds_together: int = Field(default=1, ge=0, lt=MAX_NUMBER)
    rows: int = Field(default=0, ge=0, lt=MAX_NUMBER)
    reason: str = Field(default="", max_length=MOST_WORDS)


FITTED = Engine(name="fit", version="1")
"""Of an estimator: one batch of all items that the seed's split leaves to train on."""


class Timings(Frozen):
    """Seconds; the one part of a record that differs between repetitions."""

    build: float = 0.0
    train: float = 0.0
    probe: float = 0.0
    score: float = 0.0
    total: float = 0.0


class Tuning(Frozen):
    """What tuning a configuration took, on training and validation items alone.

    Attributes:
        name: Name of the resulting preset.
        task, data_checksum: Task and data of the tuning.
        trials, pruned: Number of configurations tried, and of those stopped early.
        unfinished: How many more were not finished, for example because a process was killed; their
            seconds count until their last sign of life.
        seeds: Seeds of its runs; none of an official row.
        device: Device of the trials.
        seconds: Seconds of training and evaluation, of a CPU's cores or of a GPU.
        metric: Metric compared, on validation.
        best, median: Over the trials that were finished.
        incumbents: Each trial that was the best so far: its number, the seconds until its end, and
            its score.
        study: Hash of the study's settings.
        space: The search space, each field as `bench tune --space` takes it; empty in presets and
            records from before it was kept.
        tests_unseen: Whether the data have a test split of their own, of which no item was trained
            on or chosen by; False where seeds draw it. What folds test is not of it, see
            `codonbench.ranking.rows.tuned_on_tested`; some older records are False though the
            data have one.
        changed: Fields that were changed by hand afterwards.
    """

    name: Name
    task: Name
    data_checksum: str
    trials: int = Field(ge=1)
    pruned: int = Field(ge=0)
    unfinished: int = Field(default=0, ge=0, exclude_if=lambda n: not n)
    seeds: tuple[int, ...]
    device: DeviceKind
    seconds: float = Field(ge=0)
    metric: _Words
    best: float
    median: float
    incumbents: tuple[tuple[int, float, float], ...] = ()
    study: _Words
    space: tuple[_Words, ...] = Field(default=(), exclude_if=lambda space: not space)
    tests_unseen: bool
    changed: tuple[_Words, ...] = Field(default=(), exclude_if=lambda fields: not fields)

    @property
    def cost(self) -> str:
        """What it cost in words: ``20 trials and 1 unfinished, 0.42 CPU-hours``."""
        kind = "GPU" if self.device == "cuda" else "CPU"
        more = f" and {self.unfinished} unfinished" if self.unfinished else ""
        trials = f"{self.trials} trial{'s'[: self.trials != 1]}"
        return f"{trials}{more}, {self.seconds / 3600:.2g} {kind}-hours"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its row must know: where, at what cost and in which space it sought."""
        sought = (f"sought {' '.join(self.space)}",) if self.space else ()
        changed = (f"set by hand since: {', '.join(self.changed)}",) if self.changed else ()
        return (f"preset {self.name}, tuned on {self.task}: {self.cost}", *sought, *changed)


_Pin = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[\x21-\x7e]+$")]


class Environment(Frozen):
    """The packages of a plugin's own environment, from which it can be built again.

    Attributes:
        sha256: Hash of the packages and the platform.
        platform: Platform of the packages: ``cpython-311-linux-x86_64``.
        packages: Exact versions, ``numpy==1.26.4``, in order; codonbench's own lie behind them.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    platform: _Words
    packages: tuple[_Pin, ...]

    @classmethod
    def of(cls, packages: Sequence[str], platform: str) -> Self:
        """Return a lock of some packages."""
        sha256 = content_hash([platform, *packages])
        return cls(sha256=sha256, platform=platform, packages=tuple(packages))

    @model_validator(mode="after")
    def _hash_fits(self) -> Self:
        if self.sha256 != content_hash([self.platform, *self.packages]):
            raise ValueError("sha256 is not that of the packages and the platform")
        return self


class RunRecord(Frozen):
    """One run.

    Attributes:
        schema_version: Of this file's format.
        run_id: Hash of `run_spec`.
        comparability_key: Runs that share it may be ranked in one table.
        model, task, seed: As in `run_spec`, where an outside checker expects them.
        status: How the run ended; ``done`` includes never succeeding within the budget.
        run_spec: Everything that decides the result.
        overrides: Where the spec's config differs from that of the requested name.
        dataset, plugin, info, harness, machine, engine: Facts on each.
        parameters: Trainable parameters of the module.
        about: Statements of the module, such as a pretrained trunk's SHA-256, the penalty of its
            probe, or the share of sequences that it cut; left out if there are none.
        pairs: Pairs presented when the run ended.
        selected_pairs: Position of the state that was selected and tested; None where none was.
        metrics: Values by name; of the test split, where there is one.
        validation_metrics: The same of the validation split, for the selected state.
        not_measured: Names in `metrics` that are null because the run ended before they could be
            measured.
        metric_versions: By metric name.
        knowledge: What the model was given besides the pairs.
        flags: What a reader must be warned of.
        weights_sha256: Of the final weights, by `hash_weights`. Null for computed rows.
        trajectory_sha256: Of the trajectory's content; see `hash_trajectory`.
        trajectory_format: What that is a hash of; only hashes of one format can be compared.
        error: The last words of a failed run.
        confinement: How the run was confined; None in records from before this was noted.
        resumed: Positions, in pairs, at which the run was resumed after an interruption; 0 if it
            began anew because its state could not be kept.
        tuning: How its configuration was found, if it is a preset of `bench tune`; None if unknown.
        environment: The packages of its plugin's own environment; None if it had codonbench's.
        timings: Seconds.
        day: On which it ended, in UTC, as 2026-11-29; empty in records from before this was noted.
        checksum: SHA-256 of this record's canonical JSON without this field.
    """

    schema_version: Literal[2] = 2
    run_id: str
    comparability_key: str
    model: str
    task: str
    seed: int
    status: Status
    run_spec: RunSpec
    overrides: dict[str, Any] = Field(default_factory=dict)
    dataset: DatasetFacts
    plugin: Origin
    info: ModelInfo
    harness: Harness
    machine: Machine
    engine: Engine
    parameters: int = Field(ge=0)
    about: About = Field(default_factory=dict, exclude_if=lambda value: not value)
    pairs: int = Field(ge=0)
    selected_pairs: int | None = None
    metrics: dict[str, bool | int | float | None]
    validation_metrics: dict[str, bool | int | float | None] = Field(default_factory=dict)
    not_measured: tuple[str, ...] = ()
    metric_versions: dict[str, str] = Field(default_factory=dict)
    knowledge: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    weights_sha256: str | None = None
    trajectory_sha256: str | None = None
    trajectory_format: int = 2
    error: str | None = None
    confinement: Confinement | None = None
    resumed: tuple[int, ...] = ()
    tuning: Tuning | None = Field(default=None, exclude_if=lambda given: given is None)
    environment: Environment | None = Field(default=None, exclude_if=lambda given: given is None)
    timings: Timings
    day: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$", exclude_if=lambda day: not day)
    checksum: str = ""

    @model_validator(mode="after")
    def _copies_agree(self) -> Self:
        for field in ("model", "task", "seed"):
            if getattr(self, field) != getattr(self.run_spec, field):
                raise ValueError(f"{field} differs from the spec's")
        return self

    @property
    def name(self) -> str:
        """The record's file name without its ending."""
        return f"{self.model}-s{self.seed}-{self.run_id}"

    def expected_checksum(self) -> str:
        """Return the checksum this record's content calls for."""
        return content_hash(self.model_dump(mode="json", exclude={"checksum"}))

    def sealed(self) -> Self:
        """Return this record with its checksum set."""
        return self.model_copy(update={"checksum": self.expected_checksum()})

    def to_line(self) -> str:
        """Return the record as one line of JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def pretrained_on(self) -> str:
        """Data that its weights were pretrained on; empty for none."""
        config, value = self.run_spec.config, self.info.pretrained_on
        if not value or config.get("init") == "random":
            return ""
        return str(config.get("pretrained_on", value)) or "data that are not stated"

    def result(self) -> dict[str, Any]:
        """Return what a repetition on the same machine must reproduce.

        All but the times, the day and what may touch them, the harness's own version, how the run
        was kept apart and where it was taken up again, how its configuration was found, the
        packages it had to itself, and how many seeds shared a step, which follows from how many
        cores are free and changes no bit of a seed's result.
        """
        aside: dict[str, Any] = {
            "timings": True,
            "day": True,
            "checksum": True,
            "harness": True,
            "confinement": True,
            "resumed": True,
            "tuning": True,
            "environment": True,
            "engine": {"seeds_together"},
            "machine": {"gpu_id", "circumstances"},
        }
        return self.model_dump(mode="json", exclude=aside)


def seals(content: dict[str, Any]) -> tuple[str, str]:
    """Return the run_id and the checksum that a record file's content calls for.

    Both are hashes of what the file says, not of what today's format adds by default, so that
    a record stays sound when the format gains a field.

    Raises:
        ValueError: A number in it is not finite; canonical JSON has no NaN and no infinity.
    """
    run_id = content_hash(content["run_spec" if "run_spec" in content else "plan"])[:16]
    return run_id, content_hash({k: v for k, v in content.items() if k != "checksum"})


def hash_trajectory(trajectory: Trajectory) -> str:
    """Return the SHA-256 (hex) of a trajectory's content, independent of how a file packs it.

    Targets enter where they stand in no evaluation set, which is part of the task.
    """
    digest = hashlib.sha256(
        canonical_json(
            [trajectory.task.model_dump(mode="json"), trajectory.facts.model_dump()]
        ).encode()
    )
    named = {
        "pairs": trajectory.pairs,
        "outputs": trajectory.outputs,
        "test_outputs": trajectory.test_outputs,
    }
    if trajectory.task.evaluation is None:
        named |= {"targets": trajectory.targets, "test_targets": trajectory.test_targets}
    for name, values in [*named.items(), *sorted(trajectory.arrays.items())]:
        array = np.ascontiguousarray(values)
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{name}\0{little.dtype.str}\0{little.shape}\0".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


@lru_cache
def describe_harness() -> Harness:
    """Return which codonbench this is; the git state only if this file is tracked by git."""
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(here.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    if git("ls-files", "--error-unmatch", here.name) is None:
        return Harness(version=__version__, commit=None, modified=None)
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ":/harness", ":/plugins")
    return Harness(version=__version__, commit=git("rev-parse", "HEAD"), modified=bool(changes))
