"""Variational autoencoders of sequences or of features, whose latent numbers answer the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.autoencoder import CodecConfig, make_codecs
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn

REFERENCE = (
    "Kingma and Welling 2014, arXiv 1312.6114; Way and Greene 2018 (Tybalt), Pacific Symposium on "
    "Biocomputing 23, 80-91"
)


class VaeConfig(CodecConfig):
    """Hyperparameters of `Vae` and `VaeFeatures`."""

    divergence: float = Field(
        default=0.001,
        ge=0,
        le=1000,
        description="factor of the divergence of the latent numbers' distribution from the "
        "standard normal one; for the bound on the likelihood, the factor of the reconstruction's "
        "error over the number of letters or features, of which that error is a mean",
    )


class Vae(Model):
    """Encoder, latent numbers drawn about what it says, decoder; an output on their means."""

    info: ClassVar[ModelInfo] = ours(
        "vae",
        "Variational autoencoder of sequences, whose latent numbers answer the task",
        reference=REFERENCE,
    )
    Config: ClassVar[type[ModelConfig]] = VaeConfig
    config: VaeConfig

    encoding = "symbol_onehot_mask"
    """The letters in order, each a one-hot, and 1 up to the item's end."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the network for `task`."""
        from codonbench_models._autoencoder import VariationalAutoencoder

        config = self.config
        return VariationalAutoencoder(
            make_codecs(task, config.hidden, 2 * config.latent, config.latent),
            config.latent,
            task.n_outputs,
            weight=config.reconstruction,
            divergence=config.divergence,
        )


class VaeFeatures(Vae):
    """The same for features, such as the expression of genes."""

    info: ClassVar[ModelInfo] = ours(
        "vae-features",
        "Variational autoencoder of features, whose latent numbers answer the task",
        reference=REFERENCE,
    )
    presets: ClassVar[Presets] = {
        # Tybalt: one layer, 100 latent numbers
        "vae-published": {"hidden": 0, "latent": 100, "learning_rate": 0.0005}
    }

    encoding = "features"
    """Numbers (B, F)."""
