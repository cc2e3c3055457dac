"""codonbench: a benchmark harness for genomic sequence models.

What is exported here is public. Names load on first use, so that ``bench --help`` does not
pay for numpy and pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codonbench.api import audit_data, board, run
    from codonbench.contracts import (
        NOT_MEASURED,
        AuxiliaryLearner,
        BaseConfig,
        BatchLearner,
        Ceiling,
        Column,
        Control,
        Dataset,
        DataSource,
        Doubt,
        Estimator,
        EvaluationSet,
        Features,
        GradientConfig,
        Input,
        Metric,
        Model,
        ModelConfig,
        ModelInfo,
        Needs,
        Output,
        Ranking,
        Reference,
        Sequences,
        SequenceTuples,
        Split,
        SplitMetric,
        Target,
        Task,
        TaskOptions,
        TaskSpec,
        TaskView,
        TrainingSet,
        Trajectory,
        Tune,
    )
    from codonbench.contracts.from_function import estimator, model
    from codonbench.contracts.run_record import RunRecord
    from codonbench.plugins.hookspecs import hookimpl
    from codonbench.records.table import load_records

__version__ = "0.1.0"

__all__ = [
    "NOT_MEASURED",
    "AuxiliaryLearner",
    "BaseConfig",
    "BatchLearner",
    "Ceiling",
    "Column",
    "Control",
    "DataSource",
    "Dataset",
    "Doubt",
    "Encoding",
    "Estimator",
    "EvaluationSet",
    "Features",
    "GradientConfig",
    "Input",
    "Metric",
    "Model",
    "ModelConfig",
    "ModelInfo",
    "Needs",
    "Output",
    "Ranking",
    "Reference",
    "RunRecord",
    "SequenceTuples",
    "Sequences",
    "Split",
    "SplitMetric",
    "Target",
    "Task",
    "TaskOptions",
    "TaskSpec",
    "TaskView",
    "TrainingSet",
    "Trajectory",
    "Tune",
    "__version__",
    "audit_data",
    "board",
    "compare",
    "estimator",
    "hookimpl",
    "load_records",
    "model",
    "run",
]

_HOMES = {
    "RunRecord": "contracts.run_record",
    "audit_data": "api",
    "board": "api",
    "compare": "api",
    "estimator": "contracts.from_function",
    "hookimpl": "plugins.hookspecs",
    "load_records": "records.table",
    "model": "contracts.from_function",
    "run": "api",
}
"""Where a public name lives, if not in `codonbench.contracts`."""


def __dir__() -> list[str]:
    """Return the public names, before they are imported, too."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'codonbench' has no attribute {name!r}")
    home = _HOMES.get(name, "contracts")
    value = getattr(import_module(f"codonbench.{home}"), name)
    globals()[name] = value
    return value
