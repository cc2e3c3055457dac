"""OpenSpliceAI: where a human transcript is spliced, by dilated residual convolutions.

A plain PyTorch checkpoint as a model of one file, asked without training. The weights are GPL-3 and
not part of this project: their files lie in the folder ``openspliceai`` of ``$CODONBENCH_MODELS``.

Chao et al., "OpenSpliceAI", eLife 2025, github Kuanhao-Chao/OpenSpliceAI@394109a; Jaganathan et
al., Cell 176 (2019) 535-548.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import Model, ModelConfig, ModelInfo, TaskView
from codonbench.errors import ConfigError
from codonbench_models._checkpoints import known_weights

if TYPE_CHECKING:
    from torch import nn

SHA256 = {
    80: "894594d18be6d3e339d76b9698accf4071bd2f0f32f40c52a2c1b848d1cef9f4",
    400: "a4838147b4af2e9b19d336f21eeea6bf5af5140ecd33fa3ebdb64b544ea6b547",
    2000: "dc5bf14fa830f0105dfd34e034ead9d8067d65facc34ee88c7948c8585c921d3",
}
"""Of ``model_<context>nt_rs10.pt``, by the letters of context, half of them at each side."""


class OpenSpliceAIConfig(ModelConfig):
    """Hyperparameters of `OpenSpliceAI`."""

    context: Literal[80, 400, 2000] = Field(
        default=400, description="letters of context that the network sees, 80, 400 or 2000"
    )
    init: Literal["pretrained", "random"] = Field(
        default="pretrained", description="the weights, or random ones: its twin"
    )
    within: int = Field(
        default=10, ge=0, le=5000, description="letters from the middle in which a site counts"
    )
    threshold: float = Field(
        default=0.2, gt=0, lt=1, description="probability below which there is no site"
    )


class OpenSpliceAI(Model):
    """Probabilities of an acceptor and a donor at each letter."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="openspliceai",
        version="1",
        summary="Dilated residual network for splice sites, trained on human MANE transcripts",
        authors=("K.-H. Chao and others",),
        licence="GPL-3.0 (weights)",
        reference="Chao et al., eLife 2025; github Kuanhao-Chao/OpenSpliceAI@394109a",
        pretrained_on="splice sites of human MANE transcripts, no human test set held out",
    )
    Config: ClassVar[type[ModelConfig]] = OpenSpliceAIConfig
    config: OpenSpliceAIConfig

    encoding = "symbol_onehot"
    """The letters in order, each a one-hot: (B, length, 4)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the network with its weights.

        Raises:
            ConfigError: The task is not one it can answer, or the weights are not there.
        """
        import torch

        from codonbench_models._openspliceai import SpliceSites

        config = self.config
        if task.alphabet != "ACGT" or task.n_outputs not in (1, 3):
            raise ConfigError(
                f"model {self.info.name!r} tells acceptor, donor and neither apart, or scores "
                f"variants, in letters ACGT; task {task.task!r} has {task.n_outputs} "
                f"{task.target} and the letters {task.alphabet!r}"
            )
        module = SpliceSites(config.context, config.within, config.threshold)
        if config.init == "pretrained":
            name = f"openspliceai/model_{config.context}nt_rs10.pt"
            file = known_weights(name, SHA256[config.context])
            module.network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return module
