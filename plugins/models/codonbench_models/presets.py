"""What our models' descriptions share, the published ones' presets among it."""

from collections.abc import Mapping
from typing import Any

from codonbench.contracts import ModelInfo

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


def ours(name: str, summary: str, **fields: Any) -> ModelInfo:
    """Return who a model of ours is, in its first version."""
    by: dict[str, Any] = {"authors": ("codonbench",), "licence": "Apache-2.0"}
    return ModelInfo(name=name, version="1", summary=summary, **by, **fields)
