"""Pretrained models of Hugging Face's format, from a folder or by their name: ``--model hf``.

The trunk is frozen and probed (``--protocol linear_probe``), trained (``supervised``, with
``tune`` head, lora or all), or asked (``zero_shot``). Its random twin has the same architecture and
tokenizer and weights as they are initialised (``init=random``): what pretraining gains is the
difference. It needs the extra ``codonbench[pretrained]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench.errors import ConfigError
from codonbench_models._checkpoints import hash_folder

if TYPE_CHECKING:
    import torch
    from torch import nn


class HfConfig(GradientConfig):
    """Hyperparameters of `Hf`."""

    checkpoint: str = Field(
        default="", description="a folder, one below $CODONBENCH_MODELS, or a name on the hub"
    )
    revision: str | None = Field(default=None, description="commit on the hub; null for the newest")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="of the weights; found in a folder, and held to",
    )
    init: Literal["pretrained", "random"] = Field(
        default="pretrained", description="the weights, or random ones: its twin"
    )
    tune: Literal["head", "lora", "all"] = Field(
        default="head",
        description="what is trained: a linear head, low-rank adapters too, or all of it",
    )
    lora_rank: int = Field(default=8, ge=1, le=1024, description="rank of the adapters")
    pooling: Literal["mean", "cls", "max", "last"] = Field(
        default="mean",
        description="over tokens: mean or max of all but special ones, the first, or the last",
    )
    layer: int = Field(
        default=-1, description="whose output is pooled; 0 the embedding, -1 the last"
    )
    max_tokens: int | None = Field(
        default=None, ge=8, description="tokens at a time; null for what the checkpoint says"
    )
    long: Literal["refuse", "truncate", "tile"] = Field(
        default="refuse",
        description="what becomes of longer sequences; tile: the mean over pieces of them",
    )
    score: Literal["masked", "likelihood", "distance"] = Field(
        default="masked",
        description="of a variant: log p of its letter less that of the reference's, both masked "
        "(likelihood for causal models); log p of the sequences, unmasked; or minus the distance "
        "of their embeddings",
    )
    download: bool = Field(default=False, description="whether the hub may be asked")
    trust_remote_code: bool = Field(
        default=False, description="whether code that comes with the checkpoint may run"
    )
    allow_pickle: bool = Field(
        default=False, description="whether weights may be pickled, not safetensors"
    )
    pretrained_on: str = Field(default="", max_length=200, description="what the weights have seen")
    batch_size: int = Field(default=32, ge=1, le=1 << 20, description="pairs in a training batch")
    learning_rate: float = Field(default=1e-3, gt=0, le=100, description="step size")

    @model_validator(mode="before")
    @classmethod
    def _whose_weights(cls, given: Any) -> Any:
        """Note the SHA-256 of the weights where they are in a folder, so that it names the run."""
        if not isinstance(given, Mapping) or given.get("sha256") or not given.get("checkpoint"):
            return given
        found = hash_folder(str(given["checkpoint"]))
        return given if found is None else {**given, "sha256": found}


GENOMES = "genomes of many species"
HUMAN = "the human reference genome"

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "dnabert-2": {
        "checkpoint": "zhihan1996/DNABERT-2-117M",
        "max_tokens": 512,
        "pretrained_on": GENOMES,
    },
    "nucleotide-transformer-v2": {
        "checkpoint": "InstaDeepAI/nucleotide-transformer-v2-100m-multi-species",
        "max_tokens": 2048,
        "pretrained_on": GENOMES,
    },
    "hyenadna": {
        "checkpoint": "LongSafari/hyenadna-small-32k-seqlen-hf",
        "max_tokens": 32_768,
        "pretrained_on": HUMAN,
    },
    "caduceus": {
        "checkpoint": "kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16",
        "max_tokens": 131_072,
        "pretrained_on": HUMAN,
    },
    "gena-lm": {
        "checkpoint": "AIRI-Institute/gena-lm-bert-base-t2t",
        "pooling": "cls",
        "max_tokens": 512,
        "pretrained_on": HUMAN,
    },
    "grover": {"checkpoint": "PoetschLab/GROVER", "max_tokens": 512, "pretrained_on": HUMAN},
    "evo": {
        "checkpoint": "togethercomputer/evo-1-8k-base",
        "pooling": "last",
        "max_tokens": 8192,
        "score": "likelihood",
        "pretrained_on": "genomes of prokaryotes and phages",
    },
}
"""Checkpoints on the hub with their pooling and length, as published; none was run: untested.

Code that comes with one (all but ``grover``) runs where ``trust_remote_code`` is set beside it.
"""


class Hf(Model):
    """A pretrained trunk of the transformers library, pooled, below a linear head."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="hf",
        version="1",
        summary="A pretrained trunk in Hugging Face's format, or its random twin",
        authors=("codonbench",),
        licence="Apache-2.0; each checkpoint has its own",
        pretrained_on="what its checkpoint has seen",
    )
    Config: ClassVar[type[ModelConfig]] = HfConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    config: HfConfig

    encoding = "symbol_index"
    """The letters in order, each an index (B, length); the module makes tokens of them."""

    def build(self, task: TaskView) -> nn.Module:
        """Return trunk and head for `task`.

        Raises:
            ConfigError: Of the checkpoint, the extra or the task.
        """
        if not self.config.checkpoint:
            raise ConfigError("model 'hf' needs a checkpoint: --set checkpoint=FOLDER_OR_NAME")
        if len(task.sequences) != 1:
            n = len(task.sequences)
            raise ConfigError(
                f"model 'hf' reads one sequence an item, but those of task {task.task!r} are "
                f"{f'of {n} sequences' if n else task.kind}"
            )
        try:
            from codonbench_models._hf import build
        except ImportError as error:
            raise ConfigError(
                f"model 'hf' needs {error.name!r}: pip install 'codonbench[pretrained]'"
            ) from error
        return build(self.config, task)

    def configure_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of what is tuned."""
        tuned = [p for p in module.parameters() if p.requires_grad]
        from torch.optim import SGD, Adam, AdamW

        config = self.config
        if config.optimizer == "sgd":
            return SGD(
                tuned, config.learning_rate, config.momentum, weight_decay=config.weight_decay
            )
        rule = Adam if config.optimizer == "adam" else AdamW
        return rule(tuned, lr=config.learning_rate, weight_decay=config.weight_decay)
