"""The checks of plugin contracts, for the harness's own plugins and for yours.

    from codonbench.testing import check_model

    def test_my_model_keeps_the_contract():
        check_model("mylstm")

Names are imported on first use, so that reading a report does not import torch.
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
