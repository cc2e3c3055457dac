"""Capture a step: record it once as a list of operations, and replay them without Python.

A step is run once, and what reaches PyTorch's dispatcher is recorded, gradients included. (As
`make_fx` of `torch.fx` does, which imports the compiler.)
Products with an identity matrix, which is what all one-hot inputs at once amount to, are left out:
they are most of what a linear network computes, and give what they are given. What is left is
handed to TorchScript's interpreter, which replays it without Python, or to Inductor, which compiles
it: the rungs of the ladder above the plain loop.

``torch.nn.RNN``, ``GRU`` and ``LSTM`` run in kernels that vmap cannot batch. Inputs here have
three letters, so the same arithmetic written out is short, and faster where it is captured. Where
all inputs are presented at once in lexicographic order, what they share is computed once: of 64
words of three letters there are 4 first letters and 16 first pairs: 84 rows and not 192. Whether a
module hands its layer the letters in their order is for the float64 check to say.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from operator import getitem
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from codonbench.contracts.run_spec import EngineChoice
from codonbench.errors import CannotCapture

Recurrent = (nn.RNN, nn.GRU, nn.LSTM)
HiddenState = tuple[Tensor, ...]


def unrolled(module: nn.Module, fan: int | None) -> nn.Module:
    """Return a copy of `module` with each recurrent layer unrolled, parameter names unchanged.

    Args:
        module: Any module.
        fan: How many letters there are, where a batch is every input in lexicographic order and
            prefixes may be shared; None to treat each row by itself.

    Raises:
        CannotCapture: A recurrent layer is of a kind that is not unrolled.
    """
    return _replaced(copy.deepcopy(module), fan)


def _replaced(module: nn.Module, fan: int | None) -> nn.Module:
    if isinstance(module, Recurrent):
        return Unrolled(module, fan)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, fan))
    return module


class Unrolled(nn.Module):
    """A recurrent layer as a loop over time, with the parameters of the one it is made from.

    Takes and returns what the layer does: input (B, L, A) or (L, B, A), optional initial state
    (layers, B, H), or a pair of them for an LSTM.
    """

    def __init__(self, layer: nn.RNNBase, fan: int | None = None) -> None:
        super().__init__()
        projected = getattr(layer, "proj_size", 0)
        if layer.bidirectional or layer.dropout or projected:
            raise CannotCapture("a recurrent layer is bidirectional, projected or has dropout")
        self.kind = layer.mode
        self.fan = fan
        self.n_layers = layer.num_layers
        self.hidden_size = layer.hidden_size
        self.bias = layer.bias
        self.batch_first = layer.batch_first
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)

    def forward(
        self, inputs: Tensor, state: Tensor | HiddenState | None = None
    ) -> tuple[Tensor, Tensor | HiddenState]:
        """Return the last layer's output over time, and the final state."""
        if inputs.dim() != 3:
            raise CannotCapture("a recurrent layer is given an unbatched sequence")
        sequence = list(inputs.unbind(1 if self.batch_first else 0))
        rows, steps = len(sequence[0]), len(sequence)
        shared = self.fan is not None and state is None and rows == self.fan**steps
        fan = self.fan if shared and self.fan is not None else 1
        # Row i of step t stands for the inputs that share its first t + 1 letters.
        spans = [fan ** (steps - 1 - t) for t in range(steps)]
        sequence = [letter[::span] for letter, span in zip(sequence, spans, strict=True)]
        given = (state,) if isinstance(state, Tensor) else state
        finals: list[HiddenState] = []
        for layer in range(self.n_layers):
            start = None if given is None else tuple(part[layer] for part in given)
            sequence, final = self._layer(sequence, start, layer, fan)
            finals.append(final)
        whole = [_repeat(out, span) for out, span in zip(sequence, spans, strict=True)]
        output = torch.stack(whole, dim=1 if self.batch_first else 0)
        states = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
        return output, states if self.kind == "LSTM" else states[0]

    def _layer(
        self, sequence: list[Tensor], start: HiddenState | None, layer: int, fan: int
    ) -> tuple[list[Tensor], HiddenState]:
        w_ih = getattr(self, f"weight_ih_l{layer}")
        w_hh = getattr(self, f"weight_hh_l{layer}")
        b_ih = getattr(self, f"bias_ih_l{layer}") if self.bias else None
        b_hh = getattr(self, f"bias_hh_l{layer}") if self.bias else None
        state = start or self._zeros(sequence[0])
        outputs = []
        for t, letter in enumerate(sequence):
            if t > 0:
                state = tuple(_repeat(part, fan) for part in state)
            from_input = nn.functional.linear(letter, w_ih, b_ih)
            from_state = nn.functional.linear(state[0], w_hh, b_hh)
            state = self._cell(from_input, from_state, state)
            outputs.append(state[0])
        return outputs, state

    def _cell(self, x: Tensor, h: Tensor, state: HiddenState) -> HiddenState:
        """Return the next state, by the equations in PyTorch's documentation."""
        if self.kind == "GRU":
            x_r, x_z, x_n = x.chunk(3, dim=1)
            h_r, h_z, h_n = h.chunk(3, dim=1)
            reset, update = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            new = torch.tanh(x_n + reset * h_n)
            return ((1 - update) * new + update * state[0],)
        gates = x + h
        if self.kind == "LSTM":
            in_, forget, cell, out = gates.chunk(4, dim=1)
            c = torch.sigmoid(forget) * state[1] + torch.sigmoid(in_) * torch.tanh(cell)
            return torch.sigmoid(out) * torch.tanh(c), c
        return (torch.tanh(gates) if self.kind == "RNN_TANH" else torch.relu(gates),)

    def _zeros(self, letter: Tensor) -> HiddenState:
        zeros = letter.new_zeros(letter.shape[0], self.hidden_size)
        return (zeros, zeros) if self.kind == "LSTM" else (zeros,)


def _repeat(rows: Tensor, times: int) -> Tensor:
    """Return each row of (n, H) so many times in succession, (n * times, H)."""
    if times == 1:
        return rows
    return rows.unsqueeze(1).expand(-1, times, -1).reshape(-1, rows.shape[1])


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
    recorder = Recorder()
    try:
        with torch.no_grad():
            given = copies(example)
            for i, value in enumerate(given):
                recorder.follow(value, recorder.graph.placeholder(f"argument_{i}"))
            with recorder:
                result = function(*given)
            recorder.graph.output(recorder.nodes_of(result))
    except CannotCapture:
        raise
    except Exception as error:  # whatever tracing stumbles over is a reason not to trace
        first = next(iter(str(error).splitlines()), "")
        raise CannotCapture(f"{type(error).__name__}: {first}") from error
    graph = fx.GraphModule(recorder.constants, recorder.graph)
    _leave_out_identities(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down each operation on tensors, in order.

    Attributes:
        graph: What has been written.
        constants: Holds the tensors that come from outside.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants = fx.Graph(), nn.Module()
        self._known: dict[int, tuple[Tensor, fx.Node]] = {}  # held, so that no id is used twice

    def follow(self, values: object, node: fx.Node) -> None:
        """Note that a node gives a tensor, or each of a sequence of them."""
        if isinstance(values, Tensor):
            self._known[id(values)] = values, node
        elif isinstance(values, tuple | list):
            for i, value in enumerate(values):
                self.follow(value, self.graph.call_function(getitem, (node, i)))

    def nodes_of(self, values: object) -> Any:
        """Return values with the node that gives it in place of each tensor."""
        return tree_map_only(Tensor, self._node, values)

    def _node(self, value: Tensor) -> fx.Node:
        if id(value) not in self._known:
            name = f"_tensor_{len(self._known)}"
            setattr(self.constants, name, value)
            self.follow(value, self.graph.get_attr(name))
        return self._known[id(value)][1]

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:
            if (result := func.decompose(*args, **kwargs)) is not NotImplemented:
                return result
        if torch.Tag.data_dependent_output in func.tags:
            raise CannotCapture(f"the step goes by values of tensors ({func})")
        node = self.graph.call_function(func, *self.nodes_of((args, kwargs)))
        result = func(*args, **kwargs)
        self.follow(result, node)
        return result


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
        first = next(iter(str(error).splitlines()), "")
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
"""What is tried in turn for each choice; below all of them lies the plain loop."""
