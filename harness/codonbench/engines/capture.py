"""A function of tensors, recorded once as a list of operations and replayed without Python.

`make_fx` runs it once and records what reaches PyTorch's dispatcher, gradients included. What is
recorded is then handed to TorchScript's interpreter, which replays it without Python; where that
is not to be had, the recorded graph runs as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from codonbench.engines.errors import CannotCapture


def captured(function: Callable[..., Any], example: tuple[Any, ...]) -> Callable[..., Any]:
    """Return `function` recorded on copies of `example`, for arguments of the same shapes.

    Args:
        function: Takes tensors and lists of tensors; may change them in place.
        example: Arguments to record it with.

    Raises:
        CannotCapture: The function cannot be recorded: it draws random numbers, branches on
            values, or calls what has no rule for being stacked.
    """
    try:
        with torch.no_grad():
            # A lambda, because make_fx counts a bound method's self among the arguments.
            graph = make_fx(lambda *values: function(*values))(*_copies(example))
    except CannotCapture:
        raise
    except Exception as error:  # whatever tracing stumbles over is a reason not to trace
        raise CannotCapture(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return _without_python(graph, example)


def _without_python(graph: torch.fx.GraphModule, example: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the graph in TorchScript's interpreter, or as it is where that is not to be had."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # TorchScript is no longer developed, and says so
            return torch.jit.trace(graph, _copies(example), check_trace=False)  # type: ignore[no-any-return,no-untyped-call]
    except Exception:  # any Python or torch without a working TorchScript
        return graph


def _copies(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        value.clone() if isinstance(value, Tensor) else [part.clone() for part in value]
        for value in values
    )
