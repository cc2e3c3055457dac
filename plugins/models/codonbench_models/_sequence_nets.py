"""Parts of networks for sequences, in which what lies behind an item's end counts for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PerSequence(nn.Module):
    """A trunk for each of an item's sequences, and a head on what they give, end to end."""

    def __init__(self, trunks: Iterable[nn.Module], hidden: nn.Module, output: nn.Linear) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(trunks)
        self.hidden = hidden
        self.output = output

    def embed(self, letters: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Return what the output layer reads, (B, H)."""
        parts = (letters,) if isinstance(letters, Tensor) else letters
        features = [trunk(part) for trunk, part in zip(self.trunks, parts, strict=True)]
        embedded: Tensor = self.hidden(torch.cat(features, dim=1))
        return embedded

    def forward(self, letters: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Map the letters of one sequence an item, or of each of several, to outputs (B, K)."""
        outputs: Tensor = self.output(self.embed(letters))
        return outputs


def split(letters: Tensor) -> tuple[Tensor, Tensor]:
    """Return one-hot letters (B, C, L), and 1 up to each item's end (B, 1, L).

    Args:
        letters: Both, as ``symbol_onehot_mask`` has them: (B, L, C + 1).
    """
    both = letters.transpose(1, 2)
    return both[:, :-1], both[:, -1:]


def pool(places: Tensor, inside: Tensor) -> Tensor:
    """Return maximum and mean over an item's places, (B, 2 D).

    Args:
        places: Features of each place, (B, D, L).
        inside: 1 up to each item's end, (B, 1, L).
    """
    highest = places.masked_fill(inside == 0, float("-inf")).amax(2)
    return torch.cat([highest, (places * inside).sum(2) / inside.sum(2)], dim=1)


def perceptron(
    width: int, layers: Sequence[int], dropout: float, *, norm: bool = False
) -> tuple[nn.Sequential, int]:
    """Return fully connected layers with ReLU and dropout, and the width of the last."""
    steps: list[nn.Module] = []
    for units in layers:
        steps += [nn.Linear(width, units), *([BatchNorm(units)] if norm else [])]
        steps += [nn.ReLU(), nn.Dropout(dropout)]
        width = units
    return nn.Sequential(*steps), width


def feed_forward_layers(width: int, between: int, dropout: float) -> nn.Sequential:
    """Return the two linear layers of a transformer's layer, with GELU and dropout between them."""
    return nn.Sequential(
        nn.Linear(width, between), nn.GELU(), nn.Dropout(dropout), nn.Linear(between, width)
    )


class BatchNorm(nn.BatchNorm1d):
    """As PyTorch's, but that one value a channel, in training, is normalised as in evaluation."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, D) or (B, D, L) normalised over all but D."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class Filters(nn.Conv1d):
    """Filters over places, as many of which come out as went in, whatever a filter's width."""

    def __init__(self, n_in: int, filters: int, width: int, dilation: int = 1) -> None:
        super().__init__(n_in, filters, width, dilation=dilation)
        around = dilation * (width - 1)
        self.around = (around // 2, around - around // 2)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, n_in, L) to (B, filters, L)."""
        return super().forward(F.pad(input, self.around))


class Layer(NamedTuple):
    """A convolution, and the pooling behind it.

    Attributes:
        filters: Of the convolution.
        width: Places that a filter sees.
        pool: Places of which the maximum is kept.
        dropout: Of what is kept.
    """

    filters: int
    width: int
    pool: int
    dropout: float = 0.0


class Convolution(nn.Module):
    """One `Layer`: convolution, batch norm or none, ReLU, maxima of `pool` places, dropout."""

    def __init__(self, n_in: int, layer: Layer, *, norm: bool) -> None:
        super().__init__()
        self.filters = Filters(n_in, layer.filters, layer.width)
        self.norm = BatchNorm(layer.filters) if norm else nn.Identity()
        self.active = nn.ReLU()  # a module of its own, as DeepLIFT needs it
        self.pool = nn.MaxPool1d(layer.pool, ceil_mode=True)
        self.dropout = nn.Dropout(layer.dropout)

    def forward(self, places: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, filters, ceil(L / pool)), and which of their places are an item's."""
        active = self.active(self.norm(self.filters(places))) * inside
        # Not by the module, whose rule in DeepLIFT goes by what it was last called with
        inside = F.max_pool1d(inside, self.pool.kernel_size, ceil_mode=True)
        return self.dropout(self.pool(active)), inside


class Convolutions(nn.Module):
    """Layers of convolution and pooling, one after another."""

    def __init__(self, n_in: int, layers: Sequence[Layer], *, norm: bool = False) -> None:
        super().__init__()
        widths = [n_in, *(layer.filters for layer in layers)]
        self.layers = nn.ModuleList(
            Convolution(n, layer, norm=norm) for n, layer in zip(widths, layers, strict=False)
        )

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, filters, L'), and which of their places are an item's (B, 1, L')."""
        places, inside = split(letters)
        for layer in self.layers:
            places, inside = layer(places, inside)
        return places, inside


class FlatConvolutions(nn.Module):
    """`Convolutions`, whose features of all places stand end to end.

    Shorter items, and batches of them, are filled up with zeros to the longest that the task has.
    """

    def __init__(
        self, n_in: int, length: int, layers: Sequence[Layer], *, norm: bool = False
    ) -> None:
        super().__init__()
        self.convolutions = Convolutions(n_in, layers, norm=norm)
        self.places = places_left(length, layers)
        self.width = self.places * layers[-1].filters

    def forward(self, letters: Tensor) -> Tensor:
        """Return features (B, width)."""
        places, _ = self.convolutions(letters)
        return F.pad(places, (0, self.places - places.shape[2])).flatten(1)


def places_left(length: int, layers: Sequence[Layer]) -> int:
    """Return how many places of `length` are left after the layers' pooling."""
    for layer in layers:
        length = -(-length // layer.pool)
    return length


class Recurrence(nn.Module):
    """A bidirectional LSTM or GRU that reads each item from its first place to its last.

    Args:
        n_in: Features of a place.
        hidden: Units in each direction.
        layers: Stacked.
        cell: ``LSTM`` or ``GRU``.
        ragged: Whether items differ in length.
        dropout: Between layers, in training.
    """

    def __init__(
        self,
        n_in: int,
        hidden: int,
        layers: int = 1,
        *,
        cell: str = "LSTM",
        ragged: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ragged = ragged
        kind = {"LSTM": nn.LSTM, "GRU": nn.GRU}[cell]
        self.states = kind(
            n_in,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )

    def forward(self, places: Tensor, inside: Tensor) -> Tensor:
        """Return both directions' states at each place, (B, 2 hidden, L), 0 behind an item's end.

        Args:
            places: Features (B, n_in, L).
            inside: 1 up to each item's end, (B, 1, L).
        """
        if not self.ragged:
            states: Tensor = self.states(places.transpose(1, 2))[0]
            return states.transpose(1, 2)
        packed = nn.utils.rnn.pack_padded_sequence(
            places.transpose(1, 2),
            inside.sum((1, 2)).long().cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        unpacked, _ = nn.utils.rnn.pad_packed_sequence(
            self.states(packed)[0], batch_first=True, total_length=places.shape[2]
        )
        return unpacked.transpose(1, 2)


class Standardise(nn.Module):
    """Features less their mean and over their deviation, both learned as training goes on."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("squares", torch.zeros(n_features))

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, F) standardised, these B items counted among those seen in training."""
        if self.training:
            self._see(features.detach())
        return self.apply_to(features)

    def apply_to(self, features: Tensor) -> Tensor:
        """Return (B, F) standardised by what was seen so far."""
        deviation = (self.squares / self.count.clamp(min=1)).sqrt()
        return (features - self.mean) / torch.where(deviation > 0, deviation, 1.0)

    @torch.no_grad()
    def _see(self, features: Tensor) -> None:
        """Take in a batch (Chan, Golub and LeVeque 1979, equation 2.1)."""
        n, mean = len(features), features.mean(0)
        whole = self.count + n
        apart = mean - self.mean
        self.squares += ((features - mean) ** 2).sum(0) + apart**2 * self.count * n / whole
        self.mean += apart * n / whole
        self.count += n
