"""Named configurations in files, as `bench tune` writes them: ``bench run --preset-file``.

[preset]
name = "cnn-mrfp"
model = "cnn"

[config]
learning_rate = 0.002

[tuning]
trials = 20
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from codonbench.contracts import Frozen, Name
from codonbench.contracts.run_record import Tuning
from codonbench.contracts.run_spec import RunRequest, configure, read_value
from codonbench.errors import ConfigError
from codonbench.plugins.shipped_files import read_tables
from codonbench.scoring.score import OFFICIAL_SEEDS


class Preset(Frozen):
    """A configuration by name.

    Attributes:
        name: Its own.
        model: Whose.
        config: Values by field; others are the model's own.
        tuning: How they were found; None where nobody says.
    """

    name: Name
    model: str
    config: dict[str, Any] = Field(default_factory=dict)
    tuning: Tuning | None = None


def read_preset(path: Path) -> Preset:
    """Return the preset in a file.

    Raises:
        UsageError: It is missing, no TOML or no preset, which says which table and field is wrong;
            or it was tuned on the seeds of official rows.
    """
    tables = read_tables(path, "preset")
    head = tables.pop("preset", None)
    if not isinstance(head, dict):
        raise ConfigError(
            f"preset {path}: it has no table [preset]; 'bench tune' writes such files"
        )
    preset = configure(Preset, {**head, **tables}, {}, f"preset {path}")
    if preset.tuning is not None and min(preset.tuning.seeds, default=0) < OFFICIAL_SEEDS:
        raise ConfigError(
            f"preset {path} was tuned on seeds {list(preset.tuning.seeds)}, but those of official "
            f"rows, 0 to {OFFICIAL_SEEDS - 1}, choose nothing; tune anew with 'bench tune', which "
            "takes others"
        )
    return preset


def with_preset(request: RunRequest) -> tuple[RunRequest, Tuning | None]:
    """Return a request with what its preset file says, under what it asks for itself.

    What a study cost is owed whatever is set by hand afterwards. Where neither a task nor data are
    named, the task is the one that the preset was tuned on.

    Raises:
        ConfigError: The file is another model's, or no preset.
    """
    if request.preset_file is None:
        return request, None
    preset = read_preset(request.preset_file)
    if request.model != preset.model:
        raise ConfigError(
            f"preset {request.preset_file} is of model {preset.model!r}, not of "
            f"{request.model!r}; leave out --model"
        )
    config = {name: json.dumps(value) for name, value in preset.config.items()}
    tuned = preset.tuning
    changed = {
        name
        for name, text in request.overrides.items()
        if name not in config or read_value(text) != preset.config[name]
    }
    if tuned is not None and changed:
        tuned = tuned.model_copy(update={"changed": tuple(sorted(changed))})
    update: dict[str, Any] = {"overrides": {**config, **request.overrides}}
    if tuned is not None and request.data is None and request.task is None:
        update["task"] = tuned.task
    return request.model_copy(update=update), tuned


def preset_text(name: str, model: str, config: Mapping[str, Any], tuning: Tuning) -> str:
    """Return a preset as the text of its file; what is null is left out."""
    parts: dict[str, Mapping[str, Any]] = {
        "preset": {"name": name, "model": model},
        "config": config,
        "tuning": tuning.model_dump(mode="json"),
    }
    lines = []
    for table, values in parts.items():
        lines.append(f"[{table}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
        lines.append("")
    return "\n".join(lines)
