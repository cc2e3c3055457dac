"""Records of older formats, brought up to today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from codonbench.errors import StoreError

Content = dict[str, Any]

CURRENT = 2
"""The format that is written today; `contracts.run_record.RunRecord` describes it."""


def _name_spec_and_trajectory(content: Content) -> Content:
    """Version 1 called the run's spec its plan, and its trajectory its trace."""
    content["run_spec"] = content.pop("plan", None)
    content["trajectory_sha256"] = content.pop("trace_sha256", None)
    content["trajectory_format"] = 1
    return content


STEPS: Mapping[int, Callable[[Content], Content]] = MappingProxyType({1: _name_spec_and_trajectory})
"""From a version to the next: each takes a record's content and returns that of one version more.

A field with a default needs no step and no new version. A step is for what is renamed, moved or
differently meant; it may invent nothing that the older format did not say.
"""


def upgrade(
    content: Any, steps: Mapping[int, Callable[[Content], Content]] = STEPS, current: int = CURRENT
) -> Content:
    """Return the content of a record file as `current` has it; the argument is left as it is.

    Raises:
        StoreError: Says what is wrong with the file, without naming it: no record, of a newer
            codonbench, or of a version that never was.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int:
        raise StoreError("is not a record: it has no schema_version, a whole number")
    if version > current:
        raise StoreError(
            f"was made by a newer codonbench: it has schema version {version}, this one reads "
            f"up to {current}; upgrade codonbench"
        )
    while version < current:
        if version not in steps:
            raise StoreError(f"has schema version {version}, which this codonbench cannot read")
        content = {**steps[version](dict(content)), "schema_version": version + 1}
        version += 1
    return dict(content)
