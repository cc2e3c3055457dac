"""The rungs of the ladder above the reference loop: each another way to execute one step.

A step is a function of tensors, recorded once as a list of operations and replayed without Python.
`make_fx` runs it once and records what reaches PyTorch's dispatcher, gradients included. Products
with an identity matrix, which is what all one-hot inputs at once amount to, are left out: they are
most of what a linear network computes, and give what they are given. What is left is handed to
TorchScript's interpreter, which replays it without Python, or to Inductor, which compiles it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from codonbench.contracts.run_spec import EngineChoice
from codonbench.errors import CannotCapture

_PRODUCTS = (torch.ops.aten.bmm.default, torch.ops.aten.mm.default)
_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)


def recorded(function: Callable[..., Any], example: tuple[Any, ...]) -> fx.GraphModule:
    """Return `function` as a graph of PyTorch's operations, recorded on copies of `example`.

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
            graph = make_fx(lambda *values: function(*values))(*copies(example))
    except CannotCapture:
        raise
    except Exception as error:  # whatever tracing stumbles over is a reason not to trace
        raise CannotCapture(
            f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        ) from error
    _leave_out_identities(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def captured(function: Callable[..., Any], example: tuple[Any, ...]) -> Callable[..., Any]:
    """Return `function` recorded on copies of `example`, for arguments of the same shapes.

    Raises:
        CannotCapture: As `recorded`.
    """
    return _without_python(recorded(function, example), example)


def compiled(function: Callable[..., Any], example: tuple[Any, ...]) -> Callable[..., Any]:
    """Return `function` compiled to machine code, for arguments of the same shapes.

    Raises:
        CannotCapture: As `recorded`, or there is no working compiler here.
    """
    import torch._inductor  # here, because it takes a second to load

    graph = recorded(function, example)
    torch._dynamo.reset()  # its limits count across models
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # its own, about parts of PyTorch
            # Not torch.compile: the graph is recorded already, and its guards cost more than
            # a small network's step.
            return torch._inductor.compile(graph, list(copies(example)))  # type: ignore[no-any-return]
    except Exception as error:  # no C++ compiler, or an operation it does not know
        first = (str(error).splitlines() or [""])[0]
        raise CannotCapture(f"cannot be compiled: {type(error).__name__}: {first}") from error


def _leave_out_identities(graph: fx.GraphModule) -> None:
    """Replace each product with a constant identity matrix by its other factor."""
    constants: dict[fx.Node, Any] = {}
    found = False
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            constants[node] = getattr(graph, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes:
            if all(source in constants for source in node.all_input_nodes):
                arguments = fx.node.map_arg(node.args, constants.__getitem__)
                named = fx.node.map_arg(node.kwargs, constants.__getitem__)
                constants[node] = node.target(*arguments, **named)
            elif node.target in _PRODUCTS:
                for factor, other in (node.args, node.args[::-1]):
                    if _is_identity(constants.get(factor)):
                        node.replace_all_uses_with(other)
                        found = True
                        break
    if found:  # what is left in may lie in memory in another order
        for node in graph.graph.nodes:
            if node.target in _VIEWS:
                node.target = torch.ops.aten.reshape.default


def _is_identity(value: object) -> bool:
    """Return whether a matrix, or each of a batch of them, is the identity."""
    if not isinstance(value, Tensor) or value.shape[-1] != value.shape[-2]:
        return False
    identity = torch.eye(value.shape[-1], dtype=value.dtype, device=value.device)
    return torch.equal(value, identity.expand_as(value))


def _without_python(graph: fx.GraphModule, example: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the graph in TorchScript's interpreter, or as it is where that is not to be had."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # TorchScript is no longer developed, and says so
            return torch.jit.trace(graph, copies(example), check_trace=False)  # type: ignore[no-any-return,no-untyped-call]
    except Exception:  # any Python or torch without a working TorchScript
        return graph


def copies(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments that may be changed without harm to `values`."""
    return tuple(
        value.clone() if isinstance(value, Tensor) else [part.clone() for part in value]
        for value in values
    )


@dataclass(frozen=True)
class Rung:
    """A way to execute the step of some seeds.

    Attributes:
        name, version: For the record; the version changes whenever a result's bits could.
        capture: Returns a function, recorded with an example, in the form it is executed in.
        shrinks: Whether seeds that have ended are left out on the way, which takes a new capture.
        device: Where it runs.
        in_blocks: Whether many steps are done at a time; see `blocks`.
    """

    name: str
    version: str
    capture: Callable[[Callable[..., Any], tuple[Any, ...]], Callable[..., Any]]
    shrinks: bool
    device: Literal["cpu", "cuda"] = "cpu"
    in_blocks: bool = False


TRACED = Rung("traced", "2", captured, shrinks=True)
COMPILED = Rung("compiled", "2", compiled, shrinks=False)

GRAPH = Rung("graph", "2", recorded, shrinks=False, device="cuda", in_blocks=True)

LADDER: dict[EngineChoice, tuple[Rung, ...]] = {
    "auto": (TRACED,),
    "eager": (),
    "traced": (TRACED,),
    "compiled": (COMPILED, TRACED),
    "graph": (GRAPH,),
}
"""What is tried in turn for each choice; below all of them lies the reference loop."""
