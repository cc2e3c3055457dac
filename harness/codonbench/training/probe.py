"""Linear probes: a frozen module's embedding of all items, and heads that are fitted on it.

The embedding is kept in the cache folder, named by a hash of what it follows from: the trunk's
weights, the module's source and what it says of itself, its configuration, the items and their
encoding. So a second head on the same trunk costs the head alone.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codonbench.contracts import (
    Embedder,
    Estimator,
    Features,
    Items,
    Model,
    Outputs,
    Targets,
    TaskView,
)
from codonbench.contracts.run_spec import canonical_json
from codonbench.data.encodings import make_encoder
from codonbench.errors import ConfigError, PluginError
from codonbench.protocols.linear_probe import PENALTIES
from codonbench.protocols.referee import RunOutputs
from codonbench.records.files import cache_folder
from codonbench.training.determinism import hash_weights
from codonbench.training.loop import Referees, check_real
from codonbench.training.request import TrainRequest, TrainResult
from codonbench.training.state import about

Embedding = npt.NDArray[np.float32]

_LETTERS_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 20}
_LEAST_LOGIT = -20.0
"""Of a class that no training item is of."""


def fit_probe(
    plugin: Model | Estimator, request: TrainRequest, referees: Referees, result: TrainResult
) -> None:
    """Fit one head a penalty, and show what is owed, until the run is over.

    Raises:
        ConfigError: The model has no embedding.
    """
    if isinstance(plugin, Estimator):
        raise ConfigError(
            f"model {plugin.info.name!r} is fitted whole and has no embedding to probe; leave out "
            "--protocol linear_probe"
        )
    view = request.view
    module = plugin.build(view).to(request.device).eval()
    if not isinstance(module, Embedder):
        raise ConfigError(
            f"model {plugin.info.name!r} has no embedding to probe: its module defines no "
            "embed(inputs); choose another"
        )
    trunk = hash_weights(getattr(module, "trunk", module).state_dict())
    embedding, about = embed(module, plugin, request, trunk)
    mean, deviation = _standard(embedding, request.trained)
    columns = np.asarray((embedding - mean) / deviation, dtype=np.float32)
    known = columns[request.trained], request.targets[request.trained]
    [answer] = referees.answer([RunOutputs(request.run, 0, None)])
    head = best = None
    while (due := answer.evaluation) is not None:
        if due.of_selected:
            head = best
        else:
            penalty = PENALTIES[due.position // request.clock.epoch_pairs - 1]
            head = fit_head(*known, view, penalty)
        assert head is not None
        started = time.perf_counter()
        outputs = head.outputs(columns[request.evaluated[due.split]])
        result.evaluate_seconds += time.perf_counter() - started
        [answer] = referees.answer([RunOutputs(request.run, due.position, outputs)])
        result.position = due.position
        best = head if answer.keep else best
    if best is not None:
        arrays = {"weights": best.weights, "bias": best.bias}
        result.parameters = sum(array.size for array in arrays.values())
        result.weights_sha256 = hash_weights(dict(arrays))
        result.about = {"penalty": best.penalty}
        result.module = Probed(module, best, mean, deviation)
    result.about |= {"trunk_sha256": trunk, "embedding": embedding.shape[1], **about}
    result.over = True


@torch.no_grad()
def embed(
    module: Any, plugin: Model, request: TrainRequest, trunk: str
) -> tuple[Embedding, dict[str, str | int | float | bool]]:
    """Return the module's embedding of all items, (N, D), and its `about` after it.

    From the cache where it is there.

    Raises:
        PluginError: `embed` gives something else than (B, D).
    """
    view, items, n = request.view, request.items, len(request.items)
    kept = _place(module, plugin, view, items, trunk)
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return file["embedding"], json.loads(str(file["about"]))
    device = torch.device(request.device)
    encode = make_encoder(plugin.encoding, view, items, device)
    at_once = max(1, _LETTERS_AT_ONCE[device.type] // view.length)
    parts = []
    for index in torch.split(torch.arange(n, device=device), at_once):
        part = module.embed(encode(index))
        if part.ndim != 2 or len(part) != len(index):
            raise PluginError(f"embed() gives {tuple(part.shape)}, expected ({len(index)}, D)")
        check_real(part, "embed()")
        parts.append(part.to("cpu", torch.float32).numpy())
    whole: Embedding = np.concatenate(parts)
    reported = about(module)
    _keep(kept, whole, reported)
    return whole, reported


def _place(module: Any, plugin: Model, view: TaskView, items: Items, trunk: str) -> Path:
    """Return the file for an embedding, named by what it follows from."""
    source = inspect.getsourcefile(type(module))
    digest = hashlib.sha256(Path(source).read_bytes() if source else b"")
    config = plugin.config.model_dump(mode="json")
    # What a module says before it is asked: the files beside its weights, such as a tokenizer.
    facts = [trunk, plugin.encoding, config, view.model_dump(mode="json"), about(module)]
    digest.update(canonical_json(facts).encode())
    if isinstance(items, Features):
        arrays: tuple[npt.NDArray[Any], ...] = (items.values,)
    else:
        arrays = tuple(array for part in items.parts for array in (part.letters, part.offsets))
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return cache_folder() / "embeddings" / f"{digest.hexdigest()}.npz"


def _keep(file: Path, embedding: Embedding, about: dict[str, str | int | float | bool]) -> None:
    """Write an embedding whole or not at all; a folder that cannot be written to keeps nothing."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as opened:
            np.savez(opened, embedding=embedding, about=np.array(json.dumps(about)))
        part.replace(file)
    except OSError:  # a sandbox has no such folder
        return


def _standard(
    embedding: Embedding, trained: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and deviation of each column over the training items, 1 of constant ones."""
    known = embedding[trained].astype(np.float64)
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    deviation[deviation == 0] = 1
    return mean, deviation


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head.

    Attributes:
        weights, bias: (K, D) and (K,).
        penalty: That it was fitted with.
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    penalty: float

    def outputs(self, columns: Embedding) -> Outputs:
        """Return logits or quantities, (N, K)."""
        return np.asarray(columns @ self.weights.T + self.bias, dtype=np.float32)


class Probed(torch.nn.Module):
    """A frozen module, with the head that was fitted on its embedding.

    Args:
        module: An `Embedder`.
        head: Fitted on standardised columns.
        mean, deviation: By which those were standardised, (D,).
    """

    def __init__(
        self,
        module: Any,
        head: Head,
        mean: npt.NDArray[np.float64],
        deviation: npt.NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.module = module
        self.output = torch.nn.Linear(*head.weights.T.shape)
        weights = head.weights / deviation  # of the columns before they were standardised
        self.output.weight.data = torch.as_tensor(weights, dtype=torch.float32)
        self.output.bias.data = torch.as_tensor(head.bias - weights @ mean, dtype=torch.float32)

    def embed(self, inputs: Any) -> torch.Tensor:
        """Return the embedding of a batch, (B, D)."""
        embedding: torch.Tensor = self.module.embed(inputs)
        return embedding

    def forward(self, inputs: Any) -> torch.Tensor:
        """Return logits or quantities, (B, K)."""
        outputs: torch.Tensor = self.output(self.embed(inputs))
        return outputs


def fit_head(columns: Embedding, targets: Targets, view: TaskView, penalty: float) -> Head:
    """Return the head that is best on training items.

    Args:
        columns: Of training items, (n, D).
        targets: What is right for them.
        view: The task.
        penalty: See `PENALTIES`.
    """
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    k, width = view.n_outputs, columns.shape[1]
    weights, bias = np.zeros((k, width)), np.zeros(k)

    def logistic(rows: npt.NDArray[np.bool_], classes: Targets) -> Any:
        fit = LogisticRegression(C=1 / penalty, max_iter=300)
        return fit.fit(columns[rows], classes[rows].astype(np.int64))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)  # as far as it came is validated
        if view.target == "classes":
            bias[:] = _LEAST_LOGIT
            there = np.unique(targets.astype(np.int64))
            if len(there) == 1:
                bias[there] = 0.0
                return Head(weights, bias, penalty)
            model = logistic(np.ones(len(targets), dtype=bool), targets)
            if len(there) == 2:
                weights[there] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
                bias[there] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
            else:
                weights[there], bias[there] = model.coef_, model.intercept_
            return Head(weights, bias, penalty)
        for column in range(k):
            own = targets[:, column]
            rows = ~np.isnan(own)
            if view.target == "quantities":
                ridge = Ridge(alpha=penalty).fit(columns[rows], own[rows])
                weights[column], bias[column] = ridge.coef_, ridge.intercept_
            elif len(np.unique(own[rows])) == 2:
                model = logistic(rows, own)
                weights[column], bias[column] = model.coef_[0], model.intercept_[0]
            else:
                bias[column] = -_LEAST_LOGIT if own[rows].any() else _LEAST_LOGIT
    return Head(weights, bias, penalty)
