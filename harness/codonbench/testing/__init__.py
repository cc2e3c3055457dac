"""The checks that every plugin must pass: ours are held to them, and so may yours be.

    from codonbench.testing import check_model

    def test_my_model_keeps_the_contract():
        check_model("mylstm")

Names load on first use, because reading a report should not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codonbench.testing.metrics import check_metric
    from codonbench.testing.models import check_model
    from codonbench.testing.tasks import check_task

__all__ = ["check_metric", "check_model", "check_task"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'codonbench.testing' has no attribute {name!r}")
    return getattr(import_module(f"codonbench.testing.{name.removeprefix('check_')}s"), name)
