"""Tokens of a sequence, and a transformer encoder over them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codonbench.contracts.task import Input
from codonbench_models._sequence_nets import (
    Convolution,
    Layer,
    feed_forward_layers,
    pool,
    split,
)


class Letters(nn.Module):
    """Each letter is a token."""

    def __init__(self, letters: int, width: int) -> None:
        super().__init__()
        self.table = nn.Linear(letters, width)

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, width), and which of them are an item's (B, T)."""
        tokens: Tensor = self.table(letters[..., :-1])
        return tokens, letters[..., -1] > 0


class Kmers(nn.Module):
    """Each word of k letters is a token, one after another or one at each letter.

    A letter that is unknown, or behind the end, counts as one more letter, so that no word is lost.
    """

    letter: Tensor
    place: Tensor

    def __init__(self, letters: int, k: int, width: int, *, overlapping: bool) -> None:
        super().__init__()
        self.k, self.step, self.overlapping = k, 1 if overlapping else k, overlapping and k > 1
        self.table = nn.Embedding((letters + 1) ** k, width)
        self.register_buffer("letter", torch.arange(1.0, letters + 1))
        self.register_buffer("place", (letters + 1) ** torch.arange(k).flip(0))

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, width), and which of them are an item's (B, T)."""
        index = (letters[..., :-1] @ self.letter).long()
        length = index.shape[1]
        many = 1 + -(-max(0, length - self.k) // self.step)
        index = F.pad(index, (0, (many - 1) * self.step + self.k - length))
        words = (index.unfold(1, self.k, self.step) * self.place).sum(2)
        first = torch.arange(many, device=letters.device) * self.step
        # Of overlapping words, those that hold no letter from behind the end, but for the first
        ends = letters[..., -1].sum(1, keepdim=True) - (self.k - 1 if self.step == 1 else 0)
        tokens: Tensor = self.table(words)
        return tokens, (first < ends) | (first == 0)


class BytePairs(nn.Module):
    """Words found by byte pair encoding are tokens (Sennrich et al. 2016, arXiv 1508.07909).

    Each letter is a word at first. In the first batch that is trained on, the most frequent pair of
    neighbours becomes a word, then the most frequent pair of what there is then, and so on. What
    was found is kept with the state. An unknown letter is a word that is in no pair.
    """

    letter: Tensor
    pairs: Tensor

    def __init__(self, letters: int, words: int, width: int) -> None:
        super().__init__()
        self.known = letters + 1
        self.table = nn.Embedding(self.known + words, width)
        self.register_buffer("letter", torch.arange(1.0, letters + 1))
        self.register_buffer("pairs", torch.zeros(words, 2, dtype=torch.long))

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, width), and which of them are an item's (B, T)."""
        words = (letters[..., :-1] @ self.letter).long().masked_fill(letters[..., -1] == 0, -1)
        if self.training and not self.pairs.any():
            self._find(words)
        for number, pair in enumerate(self.pairs.tolist(), self.known):
            words = join(words, pair, number) if any(pair) else words
        words = words[:, : max(1, int((words >= 0).sum(1).max()))]
        tokens: Tensor = self.table(words.clamp(min=0))
        return tokens, words >= 0

    def _find(self, words: Tensor) -> None:
        size = self.table.num_embeddings
        for number in range(self.known, size):
            first, second = words[:, :-1], words[:, 1:]
            known = (first > 0) & (second > 0)
            counts = (first * size + second)[known].bincount(minlength=size * size)
            most = int(counts.max())
            if most < 2:
                break
            pair = divmod(int((counts == most).nonzero()[0]), size)
            self.pairs[number - self.known] = torch.tensor(pair)
            words = join(words, pair, number)


def join(words: Tensor, pair: Sequence[int], word: int) -> Tensor:
    """Return words (B, T) with `word` for each `pair` of neighbours, from left to right.

    What follows closes up; behind the end stands -1.
    """
    hit = (words[:, :-1] == pair[0]) & (words[:, 1:] == pair[1])
    places = torch.arange(words.shape[1], device=words.device)
    if pair[0] == pair[1]:  # of a run of equal words, every other one
        begins = hit & ~F.pad(hit, (1, 0))[:, :-1]
        begun = torch.where(begins, places[:-1], -1).cummax(1).values
        hit &= (places[:-1] - begun) % 2 == 0
    joined = torch.where(F.pad(hit, (0, 1)), word, words)
    gone = F.pad(hit, (1, 0)).long()
    closed = joined.gather(1, gone.argsort(dim=1, stable=True))
    return closed.masked_fill(places >= len(places) - gone.sum(1, keepdim=True), -1)


class Found(nn.Module):
    """The maxima, over every few places, of a convolution over the letters are tokens."""

    def __init__(self, letters: int, k: int, width: int) -> None:
        super().__init__()
        self.convolution = Convolution(letters, Layer(width, 15, k), norm=False)

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, width), and which of them are an item's (B, T)."""
        places, inside = self.convolution(*split(letters))
        return places.transpose(1, 2), inside[:, 0] > 0


def make_tokens(
    sequence: Input, kind: str, k: int, width: int, *, overlapping: bool, words: int
) -> nn.Module:
    """Return the module that makes tokens of letters, as `TransformerConfig.tokens` says."""
    if kind == "letters":
        return Letters(sequence.channels, width)
    if kind == "bytepairs":
        return BytePairs(sequence.channels, words, width)
    if kind == "kmers":
        return Kmers(sequence.channels, k, width, overlapping=overlapping)
    return Found(sequence.channels, k, width)


def rotate(vectors: Tensor) -> Tensor:
    """Return vectors (..., T, D), each turned by its place (Su et al. 2021, equation 34).

    Numbers i and i + D/2 of a vector are a pair, turned by the angle place / 10000^(2 i / D), so
    that the product of two vectors depends on how far apart they are.
    """
    length, width = vectors.shape[-2:]
    half = width // 2
    steps = torch.arange(length, device=vectors.device, dtype=vectors.dtype)
    pairs = torch.arange(half, device=vectors.device, dtype=vectors.dtype)
    angles = steps[:, None] * 10_000 ** (-pairs / half)
    cos, sin = angles.cos(), angles.sin()
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def slopes(heads: int) -> Tensor:
    """Return how much each head's scores fall by distance, (heads,): 2^(-8 h / heads), h from 1.

    Press et al. 2021, section 3.
    """
    return 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)


class Attention(nn.Module):
    """Attention of each token to each, in several heads."""

    def __init__(self, width: int, heads: int, dropout: float, *, rotary: bool) -> None:
        super().__init__()
        self.heads, self.dropout, self.rotary = heads, dropout, rotary
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)

    def forward(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Return what each token gathers, (B, T, D).

        Args:
            tokens: Shape (B, T, D).
            bias: Added to scores, (B or 1, heads or 1, T or 1, T); None for nothing.
        """
        query, key, value = self._heads(tokens)
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, bias, dropout)
        left: Tensor = self.leave(gathered.transpose(1, 2).flatten(2))
        return left

    def weights(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Return how much each token gathers from each, (B, heads, T, T), rows adding up to 1."""
        query, key, _ = self._heads(tokens)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return (scores if bias is None else scores + bias).softmax(-1)

    def _heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, T, D / heads)."""
        each = self.enter(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = each.unbind(0)
        if self.rotary:
            query, key = rotate(query), rotate(key)
        return query, key, value


class EncoderLayer(nn.Module):
    """Attention, then two linear layers with GELU, each after a layer norm and added."""

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float, *, rotary: bool
    ) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.before_feed_forward = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout, rotary=rotary)
        self.feed_forward = feed_forward_layers(width, feed_forward, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Return tokens of the same shape (B, T, D)."""
        tokens = tokens + self.dropout(self.attention(self.before_attention(tokens), bias))
        added: Tensor = tokens + self.dropout(self.feed_forward(self.before_feed_forward(tokens)))
        return added


class Encoder(nn.Module):
    """Tokens of letters, encoder layers, and a last layer norm; all tokens pooled.

    Args:
        tokens: Makes them of letters.
        width: Of a token.
        layers: How many.
        heads: Of attention.
        feed_forward: Units between the two linear layers.
        rotary: Whether queries and keys are turned by their places; else scores fall by distance.
        ragged: Whether items differ in length.
        dropout: In training.
    """

    slopes: Tensor

    def __init__(
        self,
        tokens: nn.Module,
        *,
        width: int,
        layers: int,
        heads: int,
        feed_forward: int,
        rotary: bool,
        ragged: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.tokens, self.rotary, self.ragged = tokens, rotary, ragged
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, feed_forward, dropout, rotary=rotary) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.register_buffer("slopes", slopes(heads), persistent=False)

    def forward(self, letters: Tensor) -> Tensor:
        """Return maximum and mean over an item's tokens, (B, 2 width)."""
        tokens, inside = self.tokens(letters)
        bias = self.bias(tokens, inside)
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return pool(self.norm(tokens).transpose(1, 2), inside[:, None].to(tokens.dtype))

    @torch.no_grad()
    def attention(self, letters: Tensor) -> Tensor | None:
        """Return each layer's attention, (B, layers, heads, T, T).

        None where tokens are no equal parts of the letters, one after another.
        """
        if isinstance(self.tokens, BytePairs) or getattr(self.tokens, "overlapping", False):
            return None
        tokens, inside = self.tokens(letters)
        bias, maps = self.bias(tokens, inside), []
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            maps.append(layer.attention.weights(layer.before_attention(tokens), bias))
            tokens = layer(tokens, bias)
        return torch.stack(maps, dim=1)

    def bias(self, tokens: Tensor, inside: Tensor) -> Tensor | None:
        """Return what is added to scores, (B or 1, heads or 1, T or 1, T); None for nothing."""
        bias = None
        if self.ragged:
            bias = torch.zeros_like(tokens[..., 0]).masked_fill(~inside, float("-inf"))
            bias = bias[:, None, None]
        if not self.rotary:
            place = torch.arange(tokens.shape[1], device=tokens.device)
            distance = (place[:, None] - place).abs().to(tokens.dtype)
            by_distance = -self.slopes[:, None, None] * distance
            bias = by_distance[None] if bias is None else bias + by_distance
        return bias
