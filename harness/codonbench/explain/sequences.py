"""Explain a sequence model from a repeated run: attributions, motifs and embeddings."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor, nn

from codonbench.audit.repeat import Repetition
from codonbench.contracts import (
    DNA,
    RNA,
    BatchLearner,
    Dataset,
    Estimator,
    Frozen,
    Model,
    Sequences,
)
from codonbench.data.encodings import canonical, encode_all, make_encoder
from codonbench.data.table_report import same_items
from codonbench.errors import UsageError
from codonbench.explain.attribution import (
    WORST,
    AskedOutput,
    chosen,
    deep_lift,
    integrated_gradients,
    lost,
    mutagenesis,
    saliency,
)
from codonbench.explain.motifs import (
    SIMILAR,
    Motif,
    beside_known,
    consensus,
    first_filters,
    motifs_of,
)
from codonbench.explain.pictures import draw_embedding, draw_letters, draw_motifs

FloatArray = npt.NDArray[np.float64]

Missing = Counter[tuple[str, str]]
"""Number of items without an attribution, by method and reason."""

Method = Literal["mutagenesis", "saliency", "integrated gradients", "DeepLIFT", "attention"]

Projection = Literal["pca", "umap"]

NEIGHBOURS = 15
"""Number of neighbours in UMAP."""

MOST_ITEMS = 1_000
"""Most test items, the first ones, for motifs and the embedding; see also `MOST_LETTERS`."""

MOST_LETTERS = 1 << 18
"""Most letters of these items in total."""


class Explained(Frozen):
    """The attributions of one item.

    Attributes:
        item: Id of the item, or its index in the data.
        text: Letters of the item.
        asked: Name of the explained class or other output.
        score: The explained output; for classes the advantage of one over the others.
        values: Attribution of each letter by method, (L,).
        changes: Change of the score for each letter at each position, (L, letters).
    """

    item: str
    text: str
    asked: str
    score: float
    values: dict[Method, tuple[float, ...]]
    changes: tuple[tuple[float, ...], ...]


class SequenceExplanation(Frozen):
    """The explanation of a trained sequence model.

    Attributes:
        run: Name of the record.
        same_weights: Whether the repetition has the recorded weights.
        encoding: Encoding of the model's input.
        alphabet: The letters, in order.
        items: Attributions of the test items with the most confident outputs.
        motifs: Motifs of first-layer filters, most similar to a known one or most sites first.
        known: Consensus of each motif known to be in the data, by name.
        recovered: Share of known motifs similar to that of a filter; None if there are no known
            motifs or no filters.
        projection: Method of projecting the embedding to two dimensions.
        embedding: Projected test items, (n, 2).
        variance: Share of variance of each of the two principal components.
        embedded: Targets of the projected items, in order.
        remarks: Reasons why methods are not applicable to this model.
    """

    run: str
    same_weights: bool
    encoding: str
    alphabet: str
    items: tuple[Explained, ...]
    motifs: tuple[Motif, ...] = ()
    known: dict[str, str] = Field(default_factory=dict)
    recovered: float | None = None
    projection: Projection = "pca"
    embedding: tuple[tuple[float, float], ...] = ()
    variance: tuple[float, float] = (0.0, 0.0)
    embedded: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainedModel:
    """A trained module or fitted estimator with its data and encoding, on the CPU.

    Attributes:
        model: The module or estimator.
        data: Data of the task.
        encoding: Encoding of its input.
    """

    model: nn.Module | Estimator
    data: Dataset
    encoding: str

    @property
    def letters(self) -> bool:
        """Whether it is a module with one-hot input, for which there are gradients."""
        ends = ("_onehot", "_onehot_mask")
        return isinstance(self.model, nn.Module) and self.encoding.endswith(ends)

    @property
    def masked(self) -> bool:
        """Whether the last channel of the input is a mask."""
        return self.encoding.endswith("_onehot_mask")

    def encode(self, items: Sequences) -> Tensor:
        """Return the module's input for items, (n, ...)."""
        view, cpu = self.data.spec.view(), torch.device("cpu")
        return make_encoder(self.encoding, view, items, cpu)(torch.arange(len(items)))

    @torch.no_grad()
    def outputs(self, items: Sequences) -> Tensor:
        """Return the outputs for items, (n, K)."""
        if isinstance(self.model, Estimator):
            index = np.arange(len(items))
            handed = encode_all(self.encoding, self.data.spec.view(), items, index)
            return torch.as_tensor(np.asarray(self.model.predict(handed), dtype=np.float32))
        outputs: Tensor = self.model(self.encode(items))
        return outputs


def explain_sequences(
    repetition: Repetition,
    known: Mapping[str, FloatArray],
    n_items: int,
    projection: Projection = "pca",
) -> SequenceExplanation:
    """Explain the model of a repeated run.

    Args:
        repetition: The repeated run.
        known: Motifs in the data; see `Task.motifs`.
        n_items: Number of test items to attribute.
        projection: Projection of the embedding; ``umap`` needs umap-learn.

    Raises:
        UsageError: The run has neither a trained module nor an estimator, its items are not single
            sequences, or there are too few test items for UMAP.
    """
    record, subject = repetition.recorded, _subject(repetition)
    data = subject.data
    alphabet, test = data.spec.input.alphabet, _test_items(data, repetition)
    ordered = test[_surest(subject, data, test)]
    shown = ordered[_distinct(data.items.take(ordered))[:n_items]]  # type: ignore[arg-type]
    missing: Missing = Counter()
    explained = tuple(_explained(subject, data, int(i), missing) for i in shown)
    remarks = [
        f"No {what} of {n} of {len(shown)} items: {why}." for (what, why), n in missing.items()
    ]
    motifs = _motifs(subject, data.items.take(test), known)
    recovered = None
    if known and motifs:
        like = {motif.known for motif in motifs if motif.similarity >= SIMILAR}
        recovered = len(like) / len(known)
    if not motifs:
        remarks.append("No motifs: the model has no first layer of filters over letters.")
    points, variance = _embedded(subject, data.items.take(test)), (0.0, 0.0)
    if points is not None and projection == "umap":
        points = neighbourhoods(points)
    elif points is not None:
        points, variance = principal_components(points)
    if points is None:
        remarks.append("No embedding: the model has no module with embed(inputs).")
    return SequenceExplanation(
        run=record.name,
        same_weights=repetition.same_weights,
        encoding=subject.encoding,
        alphabet=alphabet,
        items=explained,
        motifs=tuple(motifs),
        known={name: consensus(matrix, alphabet) for name, matrix in known.items()},
        recovered=recovered,
        projection=projection,
        embedding=() if points is None else tuple((x, y) for x, y in points.tolist()),
        variance=variance,
        embedded=() if points is None else tuple(_right(data, int(i)) for i in test),
        remarks=tuple(remarks),
    )


def _subject(repetition: Repetition) -> TrainedModel:
    record, module = repetition.recorded, repetition.module
    plugin = repetition.job.entry.cls
    estimator = repetition.estimator
    if estimator is None and (module is None or isinstance(module, BatchLearner)):
        raise UsageError(
            f"{record.name} has neither a module trained by gradient nor a fitted model to explain"
        )
    data = repetition.setup.dataset
    if not isinstance(data.items, Sequences):
        raise UsageError(
            f"{record.name}: items of task {record.task!r} are not single sequences, and only "
            "letters of these can be explained"
        )
    if estimator is not None:
        return TrainedModel(estimator, data, estimator.encoding)
    assert module is not None
    assert issubclass(plugin, Model)
    encoding = canonical(plugin(repetition.job.config).encoding, data.spec.view())
    return TrainedModel(module.cpu().float().eval(), data, encoding)


def _test_items(data: Dataset, repetition: Repetition) -> npt.NDArray[np.int64]:
    """Return the first test items within `MOST_ITEMS` and `MOST_LETTERS`."""
    test = repetition.setup.evaluated()["test"][:MOST_ITEMS]
    assert isinstance(data.items, Sequences)
    letters = np.cumsum(data.items.lengths[test])
    return np.asarray(test[: max(1, int(np.searchsorted(letters, MOST_LETTERS)))])


def _surest(
    subject: TrainedModel, data: Dataset, test: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return indices into `test`, most confident first.

    For classes these alternate between classes, ordered by the advantage of the true class; for
    other targets they are ordered by the first output.
    """
    outputs = subject.outputs(data.items.take(test))  # type: ignore[arg-type]
    if data.spec.target.kind != "classes":
        return np.asarray(outputs[:, 0].argsort(descending=True).numpy())
    right = torch.as_tensor(data.targets[test])
    ahead = torch.stack([chosen(outputs, c, advantage=True) for c in range(outputs.shape[1])], 1)
    ahead = ahead.gather(1, right[:, None])[:, 0]
    order = ahead.argsort(descending=True).numpy()
    turn = np.zeros(len(order), dtype=np.int64)
    for c in range(outputs.shape[1]):
        own = right.numpy()[order] == c
        turn[own] = np.arange(own.sum())
    return np.asarray(order[np.argsort(turn, kind="stable")])


def _distinct(items: Sequences) -> npt.NDArray[np.int64]:
    """Return the places of items that are the same as none before them."""
    exact, _ = same_items(items, "")
    return np.sort(np.unique(exact, return_index=True)[1])


def _right(data: Dataset, item: int) -> str:
    """Return the target of an item as text."""
    target, found = data.spec.target, data.targets[item]
    if target.kind == "classes":
        return target.names[int(found)]
    if target.kind == "labels":
        return "+".join(n for n, v in zip(target.names, found, strict=True) if v > 0) or "none"
    return f"{float(found[0]):.6g}"


def _explained(subject: TrainedModel, data: Dataset, item: int, missing: Missing) -> Explained:
    """Return the attributions of one item by all applicable methods."""
    target, alphabet = data.spec.target, data.spec.input.alphabet
    classes = target.kind == "classes"
    column = int(data.targets[item]) if classes else 0
    one = data.items.take(np.array([item]))
    assert isinstance(one, Sequences)

    def score(letters: npt.NDArray[np.uint8]) -> FloatArray:
        outputs = subject.outputs(Sequences.of_rows(letters))
        return np.asarray(chosen(outputs, column, advantage=classes).double().numpy())

    letters = one.letters
    changes = mutagenesis(score, letters, len(alphabet))
    values: dict[Method, FloatArray] = {"mutagenesis": lost(changes, letters)}
    if isinstance(subject.model, Estimator):
        missing["gradients", "the model was fitted, not trained by gradient"] += 1
    else:
        values |= _of_module(subject, subject.model, one, column, missing)
    return Explained(
        item=data.ids[item] if data.ids else str(item),
        text=one.text(alphabet)[0],
        asked=target.names[column],
        score=float(score(letters[None])[0]),
        values={method: tuple(each.tolist()) for method, each in values.items()},
        changes=tuple(map(tuple, changes.tolist())),
    )


def _of_module(
    subject: TrainedModel, module: nn.Module, one: Sequences, column: int, missing: Missing
) -> dict[Method, FloatArray]:
    """Return the attributions of one item by methods for modules."""
    encoded, values = subject.encode(one), {}
    if subject.letters:
        values = _by_gradient(subject, module, encoded, column, missing)
    else:
        missing["gradients", f"the model is handed {subject.encoding}, not one-hot letters"] += 1
    return values | _attention(module, encoded, len(one.letters), missing)


def _by_gradient(
    subject: TrainedModel, module: nn.Module, encoded: Tensor, column: int, missing: Missing
) -> dict[Method, FloatArray]:
    classes = subject.data.spec.target.kind == "classes"
    mask = encoded[..., -1:] if subject.masked else None
    letters = encoded[..., :-1] if subject.masked else encoded
    output = AskedOutput(module, column, advantage=classes, mask=mask).eval()
    try:
        values: dict[Method, FloatArray] = {"saliency": saliency(output, letters)}
    except RuntimeError:
        missing["gradients", "none reaches the letters, which the model looks up"] += 1
        return {}
    methods: dict[Method, Callable[[AskedOutput, Tensor], tuple[FloatArray, float]]] = {
        "integrated gradients": integrated_gradients,
        "DeepLIFT": deep_lift,
    }
    for method, attribute in methods.items():
        try:
            each, missed = attribute(output, letters)
        except (RuntimeError, AssertionError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            missing[method, first.removesuffix(".")] += 1
            continue
        if missed > WORST:
            missing[method, f"its values miss their sum by more than {WORST:.0%}"] += 1
        else:
            values[method] = each
    return values


def _attention(
    module: nn.Module, encoded: Tensor, length: int, missing: Missing
) -> dict[Method, FloatArray]:
    """Return the mean attention to each letter, (L,), over layers, heads and query tokens.

    A token's attention is divided among its letters. The result is empty unless a submodule has a
    method ``attention(inputs)``, which returns (B, layers, heads, T, T), or None if tokens are not
    consecutive parts of equal length.
    """
    for part in module.modules():
        if not callable(getattr(type(part), "attention", None)):
            continue
        maps: Tensor | None = part.attention(encoded)  # type: ignore[operator]
        if maps is None:
            missing["attention", "its tokens are no equal parts of the sequence"] += 1
            return {}
        tokens = maps[0].double().mean((0, 1, 2)).numpy()
        each = -(-length // len(tokens))
        return {"attention": np.asarray(np.repeat(tokens / each, each)[:length])}
    return {}


def _motifs(subject: TrainedModel, items: Any, known: Mapping[str, FloatArray]) -> list[Motif]:
    """Return the motifs of first-layer filters; empty if there are none."""
    spec = subject.data.spec.input
    if isinstance(subject.model, Estimator):
        return []
    filters = first_filters(subject.model, spec.channels)
    if filters is None:
        return []
    cpu = torch.device("cpu")
    encoder = make_encoder("symbol_onehot", subject.data.spec.view(), items, cpu)
    found = motifs_of(filters, encoder(torch.arange(len(items))))
    return beside_known(found, known, both_strands=spec.alphabet in (DNA, RNA))


@torch.no_grad()
def _embedded(subject: TrainedModel, items: Any) -> FloatArray | None:
    """Return the embeddings of items, (n, H); None if the model has no method `embed`."""
    embed = getattr(subject.model, "embed", None)
    if not callable(embed):
        return None
    return np.asarray(embed(subject.encode(items)).double().numpy())


def neighbourhoods(points: FloatArray) -> FloatArray:
    """Return points projected by UMAP, (n, 2), reproducibly.

    Raises:
        UsageError: There are too few points.
    """
    if len(points) <= NEIGHBOURS:
        raise UsageError(f"UMAP needs more than {NEIGHBOURS} test items; {len(points)} are there")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap's, on a part that needs TensorFlow
        from umap import UMAP

        laid = UMAP(n_neighbors=NEIGHBOURS, random_state=0, n_jobs=1).fit_transform(points)
    return np.asarray(laid, dtype=np.float64)


def principal_components(points: FloatArray) -> tuple[FloatArray, tuple[float, float]]:
    """Return two principal components of points (n, 2), and their shares of the variance."""
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    share = sizes**2 / max(float((sizes**2).sum()), 1e-300)
    first = np.zeros((len(points), 2))
    first[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    furthest = first[np.abs(first).argmax(axis=0), [0, 1]]  # fixes the arbitrary sign
    first *= np.where(furthest < 0, -1, 1)
    return first, (float(share[0]), float(share[1]) if len(share) > 1 else 0.0)


def draw_sequences(explanation: SequenceExplanation, title: str) -> dict[str, Figure]:
    """Return the figures of an explanation by suffix of their file names.

    Empty suffix: attributions of items. ``-motifs``: first-layer motifs. ``-embedding``: test items
    by two principal components or UMAP.
    """
    pictures = {"": draw_letters(explanation.items, title)}
    if explanation.motifs:
        pictures["-motifs"] = draw_motifs(explanation.motifs, explanation.alphabet, title)
    if explanation.embedding:
        points = np.asarray(explanation.embedding)
        if explanation.projection == "umap":
            axes = "first coordinate of UMAP", "second"
        else:
            first, second = explanation.variance
            axes = (
                f"first principal component ({first:.0%} of the variance)",
                f"second ({second:.0%})",
            )
        pictures["-embedding"] = draw_embedding(points, axes, explanation.embedded, title)
    return pictures
