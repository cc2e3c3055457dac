"""A selective state space in plain PyTorch: its scan goes over pieces of a sequence at once."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codonbench_models._sequence_nets import pool, split

AT_ONCE = 1 << 15
"""Numbers that a step of the scan works on, at least, where the sequence is long enough."""


class Scan(torch.autograd.Function):
    """h[t] = a[t] h[t - 1] + b[t] for t from 0, h[-1] being 0; all of shape (L, ...).

    Both passes take time proportional to L. The gradient is the same recurrence from the end:
    g[t] = dh[t] + a[t + 1] g[t + 1], of which db = g and da[t] = g[t] h[t - 1].
    """

    @staticmethod
    def forward(ctx: Any, decay: Tensor, added: Tensor) -> Tensor:
        """Return h."""
        states = scan(decay, added)
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of a and b."""
        decay, states = ctx.saved_tensors
        later = torch.cat([decay[1:], torch.zeros_like(decay[:1])])
        of_added = scan(later.flip(0), gradients[0].flip(0)).flip(0)
        of_decay = torch.zeros_like(decay)
        torch.mul(of_added[1:], states[:-1], out=of_decay[1:])
        return of_decay, of_added


def scan(decay: Tensor, added: Tensor) -> Tensor:
    """Return h[t] = a[t] h[t - 1] + b[t], shape (L, ...), pieces of it worked on side by side.

    Each piece begins at 0; then what was left out of it is put in, which is how much of the state
    before the piece is left at each of its places.
    """
    length, numbers = added.shape[0], added[0].numel()
    pieces = max(1, min(math.isqrt(length), AT_ONCE // max(1, numbers)))
    size = -(-length // pieces)
    short = pieces * size - length
    if short:
        none = added.new_zeros(short, *added.shape[1:])
        decay, added = torch.cat([decay, none]), torch.cat([added, none])
    apart = (pieces, size, *added.shape[1:])
    decays, states = decay.reshape(apart), added.reshape(apart).clone()
    for place in range(1, size):
        states[:, place].addcmul_(decays[:, place], states[:, place - 1])
    if pieces > 1:
        left = decays.cumprod(1)
        for piece in range(1, pieces):
            states[piece].addcmul_(left[piece], states[piece - 1, -1])
    whole: Tensor = states.flatten(0, 1)[:length]
    return whole


class SelectiveStateSpace(nn.Module):
    """A state space for each channel, whose step, input and output depend on what is read.

    Gu and Dao 2023, algorithm 2: h' = exp(step A) h + step B x, y = C h + D x, A being diagonal
    and real.
    """

    def __init__(self, channels: int, states: int, rank: int) -> None:
        super().__init__()
        self.states, self.rank = states, rank
        self.selected = nn.Linear(channels, rank + 2 * states, bias=False)
        self.step = nn.Linear(rank, channels)
        self.log_decay = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        # Steps between 0.001 and 0.1 at first, evenly on a logarithmic scale
        steps = torch.exp(torch.rand(channels) * math.log(100) + math.log(0.001))
        with torch.no_grad():
            self.step.bias.copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, places: Tensor) -> Tensor:
        """Map (L, B, E) to (L, B, E), each place seeing those before it."""
        rank, read, write = self.selected(places).split([self.rank, self.states, self.states], -1)
        step = F.softplus(self.step(rank))
        decay = torch.exp(step[..., None] * -self.log_decay.exp())
        added = (step * places)[..., None] * read[..., None, :]
        states: Tensor = Scan.apply(decay, added)  # type: ignore[no-untyped-call]
        found: Tensor = (states @ write[..., None])[..., 0] + self.skip * places
        return found


class MambaLayer(nn.Module):
    """A short convolution and a state space, gated; with another of each from the other end.

    Projections into and out of it are shared by both ends, as in Caduceus.
    """

    def __init__(self, width: int, channels: int, states: int, *, both_ends: bool) -> None:
        super().__init__()
        ends = 2 if both_ends else 1
        self.enter = nn.Linear(width, 2 * channels, bias=False)
        self.short = nn.ModuleList(
            nn.Conv1d(channels, channels, 4, groups=channels) for _ in range(ends)
        )
        self.spaces = nn.ModuleList(
            SelectiveStateSpace(channels, states, -(-width // 16)) for _ in range(ends)
        )
        self.leave = nn.Linear(channels, width, bias=False)

    def forward(self, letters: Tensor, inside: Tensor) -> Tensor:
        """Map features (B, L, D) to features (B, L, D).

        Args:
            letters: Shape (B, L, D).
            inside: 1 up to each item's end, (B, L, 1): a state stays 0 where nothing was read yet.
        """
        places, gate = (self.enter(letters) * inside).chunk(2, dim=-1)
        left = torch.zeros_like(gate)
        for end, (short, space) in enumerate(zip(self.short, self.spaces, strict=True)):
            turned = places.flip(1) if end else places
            within = inside.flip(1) if end else inside
            seen = F.silu(short(F.pad(turned.transpose(1, 2), (3, 0)))).transpose(1, 2) * within
            found = space(seen.transpose(0, 1)).transpose(0, 1)
            left = left + (found.flip(1) if end else found)
        out: Tensor = self.leave(left * F.silu(gate))
        return out


class MambaLayers(nn.Module):
    """Letters' features, layers each after a norm and added, a last norm; all letters pooled."""

    def __init__(
        self,
        letters: int,
        *,
        width: int,
        layers: int,
        channels: int,
        states: int,
        both_ends: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.table = nn.Linear(letters, width)
        self.layers = nn.ModuleList(
            MambaLayer(width, channels, states, both_ends=both_ends) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(layers + 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, letters: Tensor) -> Tensor:
        """Return maximum and mean over an item's letters, (B, 2 width)."""
        places, inside = split(letters)
        features, within = self.table(places.transpose(1, 2)), inside.transpose(1, 2)
        for norm, layer in zip(self.norms, self.layers, strict=False):
            features = features + self.dropout(layer(norm(features), within))
        return pool(self.norms[-1](features).transpose(1, 2), inside)
