"""What `hf` builds: tokens of letters, the trunk, its pooled outputs, and scores of variants."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from codonbench.contracts import TaskView
from codonbench.errors import ConfigError
from codonbench_models._checkpoints import (
    PICKLED,
    find_weights,
    hash_beside,
    hash_folder,
    weight_files,
)

if TYPE_CHECKING:
    from codonbench_models.hf import HfConfig

_WHOLE = ("ForSequenceClassification", AutoModelForSequenceClassification)
_KINDS: tuple[tuple[str, Any], ...] = (
    _WHOLE,
    ("ForMaskedLM", AutoModelForMaskedLM),
    ("ForCausalLM", AutoModelForCausalLM),
    ("LMHeadModel", AutoModelForCausalLM),
)
_OWN_CODE = "it comes with code of its own; --set trust_remote_code=true runs it"
_UNREAD = re.compile(r"pooler|contact_head")
"""Parts of a trunk that neither its states nor the tokens it predicts come from."""
_PROBE = "ACGTTGCAAGCTCCGGATATCGCGTTAACCAGTGACTGCA"
"""Letters by which a tokenizer shows that it knows them."""


def build(config: HfConfig, task: TaskView) -> Pretrained:
    """Return the module of a checkpoint, for a task.

    Raises:
        ConfigError: In one sentence, what is wrong with the checkpoint or does not fit the task.
    """
    quiet: Any = transformers.utils.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    folder = _folder(config)
    told: dict[str, Any] = {"trust_remote_code": config.trust_remote_code, "local_files_only": True}
    what = f"checkpoint {config.checkpoint!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = AutoConfig.from_pretrained(folder, **told)
            if getattr(settings, "auto_map", None) and not config.trust_remote_code:
                # transformers would read it with its own class of that name, if it has one.
                raise ConfigError(f"{what} cannot be loaded: {_OWN_CODE}")
            tokenizer = _tokenizer(folder, what, told)
            kind = next(
                (auto for end, auto in _KINDS if _architecture(settings).endswith(end)), None
            )
            loader = kind or AutoModel
            if config.init == "random":
                told.pop("local_files_only")
                whole = loader.from_config(settings, trust_remote_code=config.trust_remote_code)
            else:
                safe = {"use_safetensors": not config.allow_pickle or None}
                whole, read = loader.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # told below, by their names
                    **safe,
                    **told,
                )
                _check_fit(what, read)
    except ConfigError:
        raise
    except Exception as error:  # each architecture has complaints of its own
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "trust_remote_code" in str(error):
            first = _OWN_CODE
        raise ConfigError(f"{what} cannot be loaded: {first[:300]}") from error
    module = Pretrained(config, task, whole, tokenizer, whose=what, kind=kind)
    module.source = {
        "weights_sha256": str(hash_folder(str(folder))),
        "files_sha256": hash_beside(folder),
        **({"commit": folder.name} if folder.parent.name == "snapshots" else {}),
    }
    if kind is _WHOLE[1]:
        found = whole.config.num_labels
        if found != task.n_outputs:
            raise ConfigError(
                f"{what} has a head of {found} outputs, but task {task.task!r} has "
                f"{task.n_outputs} {task.target}"
            )
        module.classifies = True
    return module


def _tokenizer(folder: Path, what: str, told: dict[str, Any]) -> Any:
    """Return the tokenizer of a folder, which pads.

    Raises:
        ConfigError: There is none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **told)
    except Exception as error:  # each kind has complaints of its own
        if "trust_remote_code" in str(error):
            raise
        raise ConfigError(
            f"{what} has no tokenizer that can be read: tokenizer.json, or what stands for it, is "
            "missing or damaged"
        ) from error
    if tokenizer.pad_token is None:  # of a causal model; the mask leaves it out
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _check_fit(what: str, read: Mapping[str, Any]) -> None:
    """Raise ConfigError where weights are of other shapes than the architecture's, or missing.

    Args:
        what: The checkpoint.
        read: What transformers says of reading it.
    """
    for name, found, expected in sorted(read["mismatched_keys"], key=str):
        raise ConfigError(
            f"{what}: its weights do not fit its config.json: {name} has shape {tuple(found)}, "
            f"expected {tuple(expected)}"
        )
    missing = sorted(name for name in read["missing_keys"] if not _UNREAD.search(name))
    if missing:
        raise ConfigError(
            f"{what}: its weights do not fit its config.json: {len(missing)} tensors are missing, "
            f"{missing[0]} first"
        )


def _architecture(settings: Any) -> str:
    return str((getattr(settings, "architectures", None) or [""])[0])


def _folder(config: HfConfig) -> Path:
    """Return the folder of a checkpoint that may be loaded.

    Raises:
        ConfigError: It is not there, incomplete, pickled, or not the one that is named.
    """
    what = f"checkpoint {config.checkpoint!r}"
    folder = find_weights(config.checkpoint)
    if folder is None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            folder = Path(
                snapshot_download(
                    config.checkpoint,
                    revision=config.revision,
                    local_files_only=not config.download,
                )
            )
        except (OSError, HfHubHTTPError, HFValidationError, ValueError) as error:
            asked = (
                "the hub does not give it"
                if config.download
                else "to ask the hub for it, add --set download=true"
            )
            raise ConfigError(
                f"{what}: no such folder, none below $CODONBENCH_MODELS, and not downloaded "
                f"before; {asked}"
            ) from error
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{what}: {folder} holds no config.json, so no model can be built of it")
    files = weight_files(folder)
    if not files:
        raise ConfigError(f"{what}: {folder} holds no weights (*.safetensors)")
    if files[0].suffix in PICKLED and not config.allow_pickle:
        raise ConfigError(
            f"{what}: {files[0].name} is pickled and could run code as it is read; give a "
            "checkpoint in safetensors, or --set allow_pickle=true"
        )
    found = hash_folder(str(folder))
    if config.sha256 is not None and found != config.sha256:
        raise ConfigError(
            f"{what}: its weights have SHA-256 {str(found)[:12]}..., expected "
            f"{config.sha256[:12]}..."
        )
    return folder


_EACH = {"padding": True, "return_attention_mask": True}
"""Of what a tokenizer returns; some give no mask unless asked."""


def _takes(module: Any, name: str) -> bool:
    """Return whether a module, or what adapters were put into, has an argument of that name."""
    own = getattr(module, "get_base_model", lambda: module)()
    return name in inspect.signature(own.forward).parameters


class Pretrained(nn.Module):
    """A trunk below a linear head.

    Args:
        config: Of the model.
        task: What it is built for.
        whole: The trunk, with the head it was trained with.
        tokenizer: Of the checkpoint.
        whose: What it is called in messages.
        kind: The class of transformers that loaded it, which says what its own head is for; None
            for one without.

    Attributes:
        trunk: What is embedded with.
        source: Which files it comes from, for the record.
        classifies: Whether the checkpoint's own head answers.
    """

    classifies = False

    def __init__(
        self,
        config: HfConfig,
        task: TaskView,
        whole: Any,
        tokenizer: Any,
        *,
        whose: str,
        kind: Any,
    ) -> None:
        super().__init__()
        self.config, self.tokenizer, self.whose = config, tokenizer, whose
        self.causal = kind is AutoModelForCausalLM
        self.predicts = self.causal or kind is AutoModelForMaskedLM
        self.source: dict[str, str] = {}
        self._whole = [whole]  # not a module of this one: its head is not trained
        self.trunk = whole.base_model
        letters = list(task.alphabet if "T" in task.alphabet else task.alphabet.replace("U", "T"))
        self._letters = [*letters, "N", ""]
        self._asked = {"letters": 0, "lost": 0, "sequences": 0, "long": 0, "misaligned": 0}
        self.limit = self._limit(whole.config)
        self._check_vocabulary()
        self.head = nn.Linear(self._width(whole.config), task.n_outputs)
        if config.tune == "head":
            self.trunk.requires_grad_(False)
        elif config.tune == "lora":
            from peft import LoraConfig, get_peft_model

            self.trunk.requires_grad_(False)
            adapters = LoraConfig(r=config.lora_rank, target_modules="all-linear", lora_dropout=0.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tied embeddings, which are no adapter's
                self.trunk = get_peft_model(self.trunk, adapters)

    def _limit(self, settings: Any) -> int | None:
        """Return how many tokens the trunk reads at a time; None where nothing says so."""
        said = self.config.max_tokens or getattr(settings, "max_position_embeddings", None)
        known = self.tokenizer.model_max_length
        limits = [int(each) for each in (said, known) if each and each < 1 << 30]
        return min(limits, default=None)

    def _check_vocabulary(self) -> None:
        """Raise ConfigError where the tokenizer loses letters that it should know."""
        lost = self._lost([_PROBE], self._tokens([_PROBE])["input_ids"])
        if lost:
            raise ConfigError(
                f"{self.whose}: its tokenizer drops {lost / len(_PROBE):.0%} of the letters A, C, "
                "G and T: it is of another vocabulary"
            )

    @torch.no_grad()
    def _width(self, settings: Any) -> int:
        """Return the width of what is pooled: of both strands, it may be twice the trunk's own."""
        training = self.trunk.training
        self.trunk.eval()
        try:
            return self._states(self._tokens([_PROBE[:6]])).shape[-1]
        except Exception:  # it runs on a GPU alone, or has no states, which matters once embedded
            return int(getattr(settings, "hidden_size", 0) or getattr(settings, "d_model", 1))
        finally:
            self.trunk.train(training)

    def train(self, mode: bool = True) -> Pretrained:
        """Set the mode; a trunk that is not tuned stays in evaluation mode."""
        super().train(mode)
        if self.config.tune == "head":
            self.trunk.eval()
        return self

    def about(self) -> dict[str, str | int | float | bool]:
        """Return what a record should tell: lengths that were too long, letters that were lost."""
        asked = self._asked
        share = asked["lost"] / max(asked["letters"], 1)
        return {
            **self.source,
            "token_limit": self.limit or 0,
            "long_share": round(asked["long"] / max(asked["sequences"], 1), 6),
            "letters_lost": round(share, 6),
            "misaligned_variants": asked["misaligned"],
        }

    # Tokens

    def _texts(self, letters: Tensor) -> list[str]:
        """Return letter indices (B, L) as text."""
        table = self._letters
        return ["".join(table[i] for i in row) for row in letters.tolist()]

    def _tokens(self, texts: list[str]) -> Any:
        return self.tokenizer(texts, return_tensors="pt", **_EACH)

    def _lost(self, texts: list[str], ids: Tensor) -> int:
        """Return how many letters of texts no token but the unknown one stands for."""
        unknown, special = self.tokenizer.unk_token_id, set(self.tokenizer.all_special_ids)
        lost = 0
        for text, row in zip(texts, ids.tolist(), strict=True):
            kept = [i for i in row if i == unknown or i not in special]
            whole = "".join(
                "?" if i == unknown else self.tokenizer.convert_ids_to_tokens(i) for i in kept
            )
            lost += max(0, len(text) - sum(whole.count(letter) for letter in "ACGTNacgtn"))
        return lost

    def _read(self, letters: Tensor) -> tuple[Any, Tensor]:
        """Return the tokens of sequences, and which sequence each row of them is a piece of.

        Raises:
            ConfigError: One is longer than the trunk reads, and is to be refused.
        """
        texts = self._texts(letters)
        tokens = self._tokens(texts)
        asked = self._asked
        asked["letters"] += sum(map(len, texts))
        asked["lost"] += self._lost(texts, tokens["input_ids"])
        asked["sequences"] += len(texts)
        owner = list(range(len(texts)))
        n_tokens = tokens["attention_mask"].sum(dim=1)
        if self.limit is not None and int(n_tokens.max()) > self.limit:
            tokens, owner = self._shortened(texts, n_tokens)
        rows = torch.as_tensor(owner, device=letters.device)
        return tokens.to(letters.device), rows

    def _shortened(self, texts: list[str], n_tokens: Tensor) -> tuple[Any, list[int]]:
        assert self.limit is not None
        longer = n_tokens > self.limit
        self._asked["long"] += int(longer.sum())
        if self.config.long == "refuse":
            raise ConfigError(
                f"{self.whose} reads {self.limit:,} tokens at a time, and a sequence has "
                f"{int(n_tokens.max()):,}; say --set long=truncate or long=tile"
            )
        if self.config.long == "truncate":
            cut = self.tokenizer(
                texts, truncation=True, max_length=self.limit, return_tensors="pt", **_EACH
            )
            return cut, list(range(len(texts)))
        pieces, owner = [], []
        for i, text in enumerate(texts):
            letters = len(text) * self.limit // max(int(n_tokens[i]), self.limit)
            size = max(1, letters - self.tokenizer.num_special_tokens_to_add())
            parts = [text[at : at + size] for at in range(0, len(text), size)]
            pieces += parts
            owner += [i] * len(parts)
        return self._tokens(pieces), owner

    # What it returns

    def embed(self, letters: Tensor) -> Tensor:
        """Return the pooled output of a layer, (B, D), for letter indices (B, L)."""
        tokens, owner = self._read(letters)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.tune != "head"):
            states = self._states(tokens)
        pooled = self._pooled(states, tokens["input_ids"], tokens["attention_mask"])
        if len(owner) == len(letters):
            return pooled
        total = torch.zeros(len(letters), pooled.shape[1], device=pooled.device)
        count = torch.bincount(owner, minlength=len(letters))[:, None]
        return total.index_add(0, owner, pooled) / count

    def _states(self, tokens: Any) -> Tensor:
        """Return the outputs of a layer, (B, T, D).

        Raises:
            ConfigError: There is no such layer, or the trunk tells of none.
        """
        if self.config.layer == -1:
            found = self._asked_of(self.trunk, tokens)
            if isinstance(states := getattr(found, "last_hidden_state", None), Tensor):
                return states
            if isinstance(found, tuple) and self.trunk is not self._whole[0]:
                first: Tensor = found[0]
                return first
        states = None
        if _takes(self.trunk, "output_hidden_states") or _takes(self.trunk, "kwargs"):
            found = self._asked_of(self.trunk, tokens, output_hidden_states=True)
            states = getattr(found, "hidden_states", None)
        if states is None:
            raise ConfigError(
                f"{self.whose} returns no states of its layers, so nothing can be put on top of "
                "it; --protocol zero_shot asks what it predicts"
            )
        if not -len(states) <= self.config.layer < len(states):
            raise ConfigError(
                f"layer={self.config.layer}, but {self.whose} has layers 0 to {len(states) - 1}"
            )
        chosen: Tensor = states[self.config.layer]
        return chosen

    def _asked_of(self, module: Any, tokens: Any, **more: Any) -> Any:
        """Return what a module of transformers makes of tokens."""
        if _takes(module, "attention_mask"):
            more["attention_mask"] = tokens["attention_mask"]
        return module(tokens["input_ids"], **more)

    def _pooled(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        if self.config.pooling == "cls":
            return states[:, 0]
        special = torch.as_tensor(sorted(set(self.tokenizer.all_special_ids)), device=ids.device)
        unknown = self.tokenizer.unk_token_id
        inside = mask.bool() & (
            ~torch.isin(ids, special) | (ids == (-1 if unknown is None else unknown))
        )
        if self.config.pooling == "last":
            places = torch.arange(ids.shape[1], device=ids.device)
            last = torch.where(inside, places, 0).amax(dim=1)
            return states[torch.arange(len(ids), device=ids.device), last]
        if self.config.pooling == "max":
            return states.masked_fill(~inside[:, :, None], -torch.inf).amax(dim=1)
        counted = inside[:, :, None].to(states.dtype)
        return (states * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)

    def forward(self, letters: Tensor) -> Tensor:
        """Return outputs (B, K) for letter indices (B, L)."""
        if self.classifies:
            tokens, owner = self._read(letters)
            if len(owner) > len(letters):
                raise ConfigError(f"{self.whose} has a head of its own; long=tile needs a new one")
            answered: Tensor = self._asked_of(self._lm(letters.device), tokens).logits
            return answered
        outputs: Tensor = self.head(self.embed(letters))
        return outputs

    # Variants

    def _lm(self, device: torch.device) -> Any:
        return self._whole[0].to(device).eval()

    def score_variants(self, reference: Tensor, alternative: Tensor) -> Tensor:
        """Return the score of each variant, (B,), see ``score`` in `HfConfig`.

        Raises:
            ConfigError: The checkpoint has no head that predicts tokens.
        """
        if self.config.score == "distance":
            distinct, which = torch.unique(reference, dim=0, return_inverse=True)
            moved = self.embed(alternative) - self.embed(distinct)[which]
            distance: Tensor = torch.linalg.vector_norm(moved, dim=1)
            return -distance
        if not self.predicts:
            raise ConfigError(
                f"{self.whose} has no head that predicts tokens; use --set score=distance"
            )
        if self.causal or self.config.score == "likelihood":
            distinct, which = torch.unique(reference, dim=0, return_inverse=True)
            return self._likelihood(alternative) - self._likelihood(distinct)[which]
        return self._masked(reference, alternative)

    def _likelihood(self, letters: Tensor) -> Tensor:
        """Return the summed log-probability of each sequence's tokens, (B,)."""
        tokens, owner = self._read(letters)
        ids, mask = tokens["input_ids"], tokens["attention_mask"]
        logs = self._asked_of(self._lm(letters.device), tokens).logits.log_softmax(dim=-1)
        if self.causal:
            logs, ids, mask = logs[:, :-1], ids[:, 1:], mask[:, 1:]
        each = logs.gather(2, ids[:, :, None])[:, :, 0] * mask
        total = torch.zeros(len(letters), device=each.device)
        return total.index_add(0, owner, each.sum(dim=1))

    def _masked(self, reference: Tensor, alternative: Tensor) -> Tensor:
        """Return log p(alternative tokens) - log p(reference tokens), masked where they differ.

        Where a variant changes how the sequence is cut into tokens, the likelihoods' difference.
        """
        if self.config.long == "tile":
            raise ConfigError("score=masked needs whole sequences; say long=truncate")
        olds, news = self._read(reference)[0], self._read(alternative)[0]
        scores = torch.zeros(len(reference), device=reference.device)
        n_old, n_new = olds["attention_mask"].sum(dim=1), news["attention_mask"].sum(dim=1)
        width = min(olds["input_ids"].shape[1], news["input_ids"].shape[1])
        old, new = olds["input_ids"][:, :width], news["input_ids"][:, :width]
        differ = old != new
        aligned = (n_old == n_new) & (
            differ.sum(dim=1) <= self._most_tokens(alternative, reference)
        )
        if not aligned.all():
            self._asked["misaligned"] += int((~aligned).sum())
            apart = ~aligned
            scores[apart] = self._likelihood(alternative[apart]) - self._likelihood(
                reference[apart]
            )
        if aligned.any():
            hidden = torch.where(differ, self.tokenizer.mask_token_id, old)[aligned]
            distinct, which = torch.unique(hidden, dim=0, return_inverse=True)
            mask = olds["attention_mask"][:, :width][aligned]
            first = torch.zeros(len(distinct), dtype=torch.long, device=which.device)
            first[which] = torch.arange(len(which), device=which.device)
            asked = {"input_ids": distinct, "attention_mask": mask[first]}
            lm = self._lm(reference.device)
            logs = self._asked_of(lm, asked).logits.log_softmax(dim=-1)[which]
            gained = logs.gather(2, new[aligned][:, :, None]) - logs.gather(
                2, old[aligned][:, :, None]
            )
            scores[aligned] = (gained[:, :, 0] * differ[aligned]).sum(dim=1)
        return scores

    def _most_tokens(self, alternative: Tensor, reference: Tensor) -> Tensor:
        """Return in how many tokens two sequences may differ and still be cut alike, (B,)."""
        if alternative.shape != reference.shape:
            return torch.zeros(len(reference), dtype=torch.long, device=reference.device)
        return (alternative != reference).sum(dim=1)
