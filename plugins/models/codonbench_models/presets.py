"""The publication behind the published baselines, and the twins of its configurations."""

from collections.abc import Mapping
from typing import Any

PAPER = "Joiret et al. 2023, Frontiers in Artificial Intelligence 6, doi 10.3389/frai.2023.1128153"

Presets = Mapping[str, Mapping[str, Any]]


def with_weighted_twins(presets: Presets) -> Presets:
    """Return `presets` with, after each, its twin that weights the loss as the authors did.

    ``{"lstm-64": {"hidden": 64}}`` gains
    ``{"lstm-64-weighted": {"hidden": 64, "class_weights": "n"}}``.
    """
    twins: dict[str, Mapping[str, Any]] = {}
    for name, fields in presets.items():
        twins[name] = fields
        twins[f"{name}-weighted"] = {**fields, "class_weights": "n"}
    return twins
