"""A transformer encoder over letters, words of k letters, or what a convolution finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn

Tokens = Literal["letters", "kmers", "bytepairs", "convolution"]
Positions = Literal["rotary", "alibi"]


class TransformerConfig(SequenceConfig):
    """Hyperparameters of `Transformer`."""

    tokens: Tokens = Field(
        default="letters",
        description="what attends to what: each letter; words of k letters; words found by byte "
        "pair encoding; or the maxima over k places of a convolution over the letters",
    )
    k: int = Field(default=3, ge=1, le=16, description="letters of a word, or places of a maximum")
    overlapping: bool = Field(
        default=False, description="whether a word begins at each letter, not where one ends"
    )
    words: int = Field(
        default=64, ge=1, le=4096, description="of two letters or more, by byte pair encoding"
    )
    positions: Positions = Field(
        default="rotary",
        description="how a token's place tells: rotary turns queries and keys by it (RoPE); alibi "
        "lowers the score of a pair by its distance",
    )
    layers: int = Field(default=2, ge=1, le=96, description="of attention and feed-forward")
    width: int = Field(default=32, ge=4, le=8192, description="features of a token")
    heads: int = Field(default=4, ge=1, le=128, description="of attention, which divide the width")
    feed_forward: int = Field(
        default=2, ge=1, le=16, description="units between, as a multiple of the width"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="in training")
    warmup: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the steps in which the step size first rises from 0 to its value",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} should be a multiple of twice the heads, {2 * self.heads}"
            )
        if self.tokens == "kmers" and self.k > MOST_LETTERS:
            raise ValueError(f"words of k={self.k} letters; at most {MOST_LETTERS} are told apart")
        return self


MOST_LETTERS = 6
"""Letters of a word: of DNA there are 5 to the power of these, an unknown letter counted."""


class Transformer(SequenceModel):
    """Tokens, layers of attention and feed-forward, layer norm before each; all tokens pooled."""

    info: ClassVar[ModelInfo] = ours(
        "transformer",
        "Transformer encoder over letters, words of k letters, or a convolution",
        reference="Vaswani et al. 2017, arXiv 1706.03762; Su et al. 2021, arXiv 2104.09864; "
        "Press et al. 2021, arXiv 2108.12409",
    )
    Config: ClassVar[type[ModelConfig]] = TransformerConfig
    presets: ClassVar[Presets] = {
        "transformer-kmers": {"tokens": "kmers"},
        "transformer-bytepairs": {"tokens": "bytepairs"},
        "conv-transformer": {"tokens": "convolution", "k": 4},
        # The shape of BERT's base model, and of DNABERT: Ji et al. 2021, Bioinformatics 37, 2112
        "transformer-published": {
            "tokens": "kmers",
            "k": 6,
            "overlapping": True,
            "layers": 12,
            "width": 768,
            "heads": 12,
            "feed_forward": 4,
            "learning_rate": 1e-4,
        },
    }
    config: TransformerConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return tokens and encoder, all tokens pooled."""
        from codonbench_models._transformer import Encoder, make_tokens

        config = self.config
        encoder = Encoder(
            make_tokens(
                sequence,
                config.tokens,
                config.k,
                config.width,
                overlapping=config.overlapping,
                words=config.words,
            ),
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            feed_forward=config.feed_forward * config.width,
            rotary=config.positions == "rotary",
            ragged=config.tokens == "bytepairs" or sequence.min_length < sequence.max_length,
            dropout=config.dropout,
        )
        return encoder, 2 * config.width
