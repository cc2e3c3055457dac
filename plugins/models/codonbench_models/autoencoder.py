"""Autoencoders of sequences or of features, plain or denoising, whose latent numbers answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn

    from codonbench_models._autoencoder import Codec

REFERENCE = "Vincent et al. 2008, ICML, 1096-1103; Tan et al. 2016 (ADAGE), mSystems 1, e00025-15"


class CodecConfig(GradientConfig):
    """Hyperparameters of encoder and decoder."""

    latent: int = Field(default=32, ge=1, le=4096, description="numbers that an item is told by")
    hidden: int = Field(
        default=32,
        ge=0,
        le=8192,
        description="filters over a sequence's letters, at least 1; or units between features and "
        "latent numbers, 0 for none",
    )
    reconstruction: float = Field(
        default=0.5,
        ge=0,
        le=1000,
        description="factor of the reconstruction's error beside the task's loss",
    )


class AutoencoderConfig(CodecConfig):
    """Hyperparameters of `Autoencoder` and `AutoencoderFeatures`."""

    noise: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of letters or features hidden from the encoder in training",
    )


class Autoencoder(Model):
    """Encoder, few latent numbers, decoder; the output is linear in them, rectified."""

    info: ClassVar[ModelInfo] = ours(
        "autoencoder",
        "Autoencoder of sequences, plain or denoising, whose latent numbers answer the task",
        reference=REFERENCE,
    )
    Config: ClassVar[type[ModelConfig]] = AutoencoderConfig
    presets: ClassVar[Presets] = {"denoising-autoencoder": {"noise": 0.1}}
    config: AutoencoderConfig

    encoding = "symbol_onehot_mask"
    """The letters in order, each a one-hot, and 1 up to the item's end."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the network for `task`."""
        from codonbench_models._autoencoder import Autoencoder

        config = self.config
        return Autoencoder(
            make_codecs(task, config.hidden, config.latent, config.latent),
            config.latent,
            task.n_outputs,
            weight=config.reconstruction,
            noise=config.noise,
        )


class AutoencoderFeatures(Autoencoder):
    """The same for features, such as the expression of genes."""

    info: ClassVar[ModelInfo] = ours(
        "autoencoder-features",
        "Autoencoder of features, plain or denoising, whose latent numbers answer the task",
        reference=REFERENCE,
    )
    presets: ClassVar[Presets] = {
        "denoising-autoencoder-features": {"noise": 0.1},
        # ADAGE: one layer of 50 units, a tenth of the features hidden
        "autoencoder-published": {"hidden": 0, "latent": 50, "noise": 0.1},
    }

    encoding = "features"
    """Numbers (B, F)."""


def make_codecs(task: TaskView, hidden: int, n_encoded: int, n_latent: int) -> list[Codec]:
    """Return encoder and decoder of each of an item's sequences, or of its features.

    Args:
        task: The task.
        hidden: Filters of the one, units of the other.
        n_encoded: Numbers that an encoder gives.
        n_latent: Numbers that a decoder is given.
    """
    from codonbench_models._autoencoder import FeatureCodec, SequenceCodec

    if not task.sequences:
        return [FeatureCodec(task.max_length, hidden, n_encoded, n_latent)]
    return [SequenceCodec(each, max(1, hidden), n_encoded, n_latent) for each in task.sequences]
