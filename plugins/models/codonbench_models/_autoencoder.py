"""Autoencoders of sequences and of features, plain, denoising and variational, with a classifier.

What is read is told by few numbers, the latent ones. From these a decoder tells it again and a
linear layer answers the task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codonbench.contracts.task import Input
from codonbench_models._sequence_nets import FlatConvolutions, Layer, Standardise


class Codec(nn.Module, ABC):
    """An encoder, and the decoder that tells what it has read."""

    @abstractmethod
    def encode(self, inputs: Tensor, hidden: float) -> Tensor:
        """Return what is told of a batch, (B, n_encoded).

        Args:
            inputs: Letters (B, L, C + 1) or features (B, F).
            hidden: Share of these, drawn at random, that the encoder does not see.
        """

    @abstractmethod
    def error(self, latent: Tensor, inputs: Tensor) -> Tensor:
        """Return how far each item is from what is told of it by latent numbers (B, D): (B,)."""


class SequenceCodec(Codec):
    """Encoder and decoder of one sequence; its error is the cross-entropy of a letter, in nats.

    Args:
        sequence: Its alphabet and lengths.
        filters: Of a convolution over the letters, and of one over what is decoded.
        n_encoded: Numbers that the encoder gives.
        n_latent: Numbers that the decoder is given.
    """

    POOL = 4

    def __init__(self, sequence: Input, filters: int, n_encoded: int, n_latent: int) -> None:
        super().__init__()
        layer = Layer(filters, 11, self.POOL)
        self.convolutions = FlatConvolutions(sequence.channels, sequence.max_length, [layer])
        self.encoder = nn.Linear(self.convolutions.width, n_encoded)
        self.decoder = nn.Linear(n_latent, self.convolutions.width)
        self.letters = nn.ConvTranspose1d(filters, sequence.channels, self.POOL, self.POOL)

    def encode(self, inputs: Tensor, hidden: float) -> Tensor:
        """Return what is told of letters; those hidden are unknown ones."""
        if hidden:
            seen = torch.rand_like(inputs[..., :1]) >= hidden
            inputs = torch.cat([inputs[..., :-1] * seen, inputs[..., -1:]], dim=2)
        encoded: Tensor = self.encoder(self.convolutions(inputs))
        return encoded

    def error(self, latent: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean over each item's known letters."""
        decoded = torch.relu(self.decoder(latent))
        places = decoded.reshape(len(latent), -1, self.convolutions.places)
        logits = self.letters(places)[..., : inputs.shape[1]]
        letters = inputs[..., :-1].transpose(1, 2)
        each = -(F.log_softmax(logits, dim=1) * letters).sum((1, 2))
        mean: Tensor = each / letters.sum((1, 2)).clamp(min=1)
        return mean


class FeatureCodec(Codec):
    """Encoder and decoder of features, standardised; its error is the squared one of a feature.

    Args:
        n_features: How many.
        hidden: Units between them and the latent numbers, either way; 0 for none.
        n_encoded, n_latent: As in `SequenceCodec`.
    """

    def __init__(self, n_features: int, hidden: int, n_encoded: int, n_latent: int) -> None:
        super().__init__()
        self.standardise = Standardise(n_features)
        self.encoder = _one_or_two_layers(n_features, hidden, n_encoded)
        self.decoder = _one_or_two_layers(n_latent, hidden, n_features)

    def encode(self, inputs: Tensor, hidden: float) -> Tensor:
        """Return what is told of features; those hidden are at their mean."""
        features = self.standardise(inputs)
        if hidden:
            features = features * (torch.rand_like(features) >= hidden)
        encoded: Tensor = self.encoder(features)
        return encoded

    def error(self, latent: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean over each item's features, in units of their deviations."""
        wanted = self.standardise.apply_to(inputs)
        mean: Tensor = ((self.decoder(latent) - wanted) ** 2).mean(1)
        return mean


def _one_or_two_layers(n_in: int, hidden: int, n_out: int) -> nn.Module:
    if not hidden:
        return nn.Linear(n_in, n_out)
    return nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, n_out))


class Autoencoder(nn.Module):
    """Codecs of an item's sequences, or of its features, and the output on their latent numbers.

    Args:
        codecs: One for each of an item's sequences.
        n_latent: Latent numbers of each codec.
        n_outputs: Of the task.
        weight: Of the reconstruction's error in the loss.
        noise: Share of what is read that is hidden from the encoder in training.
    """

    def __init__(
        self,
        codecs: Iterable[Codec],
        n_latent: int,
        n_outputs: int,
        *,
        weight: float,
        noise: float,
    ) -> None:
        super().__init__()
        self.codecs = nn.ModuleList(codecs)
        self.output = nn.Linear(n_latent * len(self.codecs), n_outputs)
        self.active = nn.ReLU()  # a module of its own, as DeepLIFT needs it
        self.weight, self.noise = weight, noise

    def embed(self, inputs: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Return the latent numbers of all codecs, (B, D)."""
        return torch.cat([self.latent(told)[0] for _, _, told in self._told(inputs)], dim=1)

    def forward(self, inputs: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Map letters or features to outputs (B, K)."""
        outputs: Tensor = self.output(self.active(self.embed(inputs)))
        return outputs

    def outputs_and_loss(self, inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, K), and the error of what the decoders tell."""
        latents, losses = [], []
        for codec, part, told in self._told(inputs):
            latent, cost = self.latent(told)
            latents.append(latent)
            losses.append((self.weight * codec.error(latent, part) + cost).mean())
        outputs: Tensor = self.output(self.active(torch.cat(latents, dim=1)))
        return outputs, torch.stack(losses).mean()

    def latent(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent numbers (B, D) of what an encoder tells, and what they cost (B,)."""
        return told, told.new_zeros(len(told))

    def _told(self, inputs: Tensor | tuple[Tensor, ...]) -> Iterable[tuple[Codec, Tensor, Tensor]]:
        """Yield each codec, what it reads, and what its encoder tells."""
        parts = (inputs,) if isinstance(inputs, Tensor) else inputs
        for codec, part in zip(self.codecs, parts, strict=True):
            assert isinstance(codec, Codec)
            yield codec, part, codec.encode(part, self.noise if self.training else 0.0)


class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose latent numbers are drawn, in training, from a normal distribution.

    The encoder tells its mean and the logarithm of its variance; how far it is from the standard
    normal distribution is what it costs. In evaluation the mean stands for it.

    Args:
        codecs, n_latent, n_outputs, weight: As in `Autoencoder`.
        divergence: Factor of the divergence in the loss.
    """

    def __init__(
        self,
        codecs: Iterable[Codec],
        n_latent: int,
        n_outputs: int,
        *,
        weight: float,
        divergence: float,
    ) -> None:
        super().__init__(codecs, n_latent, n_outputs, weight=weight, noise=0.0)
        self.divergence = divergence

    def latent(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """Return a draw, or the mean in evaluation (B, D), and what it costs (B,)."""
        mean, log_variance = told.chunk(2, dim=1)
        cost = self.divergence * divergence(mean, log_variance)
        if not self.training:
            return mean, cost
        return mean + torch.randn_like(mean) * torch.exp(log_variance / 2), cost


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from the standard normal distribution, (B,), in nats.

    Kingma and Welling 2014, arXiv 1312.6114, appendix B.
    """
    return ((mean**2 + log_variance.exp() - log_variance - 1) / 2).sum(1)
