"""Recurrent layers unrolled over a short sequence, so that a step can be captured and stacked.

``torch.nn.RNN``, ``GRU`` and ``LSTM`` run in kernels that vmap cannot batch. Inputs here have
three letters, so the same arithmetic written out is short, and faster where it is captured.

Where all inputs are presented at once in lexicographic order, what they share is computed once:
of 64 words of three letters there are 4 first letters and 16 first pairs: 84 rows and not 192.
Whether a module hands its layer the letters in their order is for the float64 check to say.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from codonbench.errors import CannotCapture

Recurrent = (nn.RNN, nn.GRU, nn.LSTM)
State = tuple[Tensor, ...]


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
        self, inputs: Tensor, state: Tensor | State | None = None
    ) -> tuple[Tensor, Tensor | State]:
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
        finals: list[State] = []
        for layer in range(self.n_layers):
            start = None if given is None else tuple(part[layer] for part in given)
            sequence, final = self._layer(sequence, start, layer, fan)
            finals.append(final)
        whole = [_repeat(out, span) for out, span in zip(sequence, spans, strict=True)]
        output = torch.stack(whole, dim=1 if self.batch_first else 0)
        states = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
        return output, states if self.kind == "LSTM" else states[0]

    def _layer(
        self, sequence: list[Tensor], start: State | None, layer: int, fan: int
    ) -> tuple[list[Tensor], State]:
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

    def _cell(self, x: Tensor, h: Tensor, state: State) -> State:
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

    def _zeros(self, letter: Tensor) -> State:
        zeros = letter.new_zeros(letter.shape[0], self.hidden_size)
        return (zeros, zeros) if self.kind == "LSTM" else (zeros,)


def _repeat(rows: Tensor, times: int) -> Tensor:
    """Return each row of (n, H) so many times in succession, (n * times, H)."""
    if times == 1:
        return rows
    return rows.unsqueeze(1).expand(-1, times, -1).reshape(-1, rows.shape[1])
