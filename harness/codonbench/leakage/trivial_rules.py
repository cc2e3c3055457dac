"""Trivial rules that predict targets from length, order, one position or a few words (k-mers).

Each rule is fitted on training items, its size is chosen on validation items, and it is scored once
on test items; each set is sampled if it is large.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Sequences
from codonbench.leakage.letters import IntArray, blocks, kmers
from codonbench.leakage.verdict import Finding, rule

FloatArray = npt.NDArray[np.float64]

MOST_ITEMS = 50_000
"""Most items of a split that rules are fitted, chosen or scored on."""

_LEAVES = (2, 4, 8, 16, 32)
_MOST_PLACES = 2_000
_WORDS = 500  # most different words of one length
_INDICATORS = 64  # candidates for a rule of words in place
_USED = (1, 2, 4, 8)
_PENALTIES = (1e1, 1e3, 1e5)
_FEWEST_TWINS = 10  # fewest, to judge whether twins share a class
_ONE, _FEWEST_OF_CLASS = 0.9, 10
_DRAWS = 1_000  # bootstrap samples of test items


@dataclass(frozen=True, eq=False)
class Answers:
    """The targets of all items, and the scores of rules against them.

    Attributes:
        right: Class ids (N,), or labels or quantities (N, K).
        names: Names of the classes; empty for other targets.
        labels: Whether targets are labels, 0 or 1.
        predictions: Predictions of rules, by check.
    """

    right: npt.NDArray[Any]
    names: tuple[str, ...]
    labels: bool = False
    predictions: dict[str, Predictions] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes; 0 for other targets."""
        return len(self.names)

    @property
    def score_name(self) -> str:
        """Name of the score."""
        if self.classes:
            return "MCC"
        return "mean Pearson's r of the labels" if self.labels else "Pearson's r"

    def columns(self, rows: IntArray) -> FloatArray:
        """Return targets as numbers (n, K): one-hot classes or values, missing ones as mean."""
        right = self.right[rows]
        if self.classes:
            found: FloatArray = np.eye(self.classes)[right]
            return found
        known = np.isfinite(right)
        mean = np.where(known, right, 0).sum(0) / np.maximum(known.sum(0), 1)
        return np.asarray(np.where(known, right, mean), dtype=np.float64)

    def predicted(self, columns: FloatArray) -> npt.NDArray[Any]:
        """Return predictions from `columns`: the most likely class, or the values themselves."""
        return columns.argmax(1) if self.classes else columns

    def score(self, rows: IntArray, answers: npt.NDArray[Any]) -> float:
        """Return Matthews' correlation coefficient, or the mean Pearson's r of the columns.

        Args:
            rows: Items, shape (n,).
            answers: Predictions, (n,) or (n, K).
        """
        return self._weighed(rows, answers, np.ones(len(rows)))

    def interval(
        self, rows: IntArray, answers: npt.NDArray[Any], groups: IntArray | None
    ) -> tuple[float, float]:
        """Return the 95 % percentile bootstrap interval of a score.

        Args:
            rows: Items, shape (n,).
            answers: Predictions, (n,) or (n, K).
            groups: Group of each item, (n,), to draw whole groups; None to draw items.
        """
        own = np.arange(len(rows)) if groups is None else groups
        names, unit = np.unique(own, return_inverse=True)
        rng = np.random.Generator(np.random.PCG64(0))
        drawn = (rng.integers(0, len(names), len(names)) for _ in range(_DRAWS))
        times = (np.bincount(each, minlength=len(names))[unit] for each in drawn)
        found = [self._weighed(rows, answers, each.astype(np.float64)) for each in times]
        low, high = np.percentile(found, (2.5, 97.5)).tolist()
        return low, high

    def finding(
        self,
        check: str,
        rows: Rows,
        predictions: Predictions,
        words: str,
        *,
        row_zero: bool = False,
        chosen: bool = True,
    ) -> Finding:
        """Return the finding for a rule's predictions, and keep these in `predictions`.

        Args:
            check: Name of the check.
            rows: The items.
            predictions: The rule's predictions.
            words: The rule in words, without its score.
            row_zero: As for `verdict.rule`.
            chosen: As for `verdict.rule`.
        """
        self.predictions[check] = predictions
        value = self.score(rows.test, predictions.test)
        return rule(
            check,
            value,
            self.score(rows.validation, predictions.validation),
            len(rows.test),
            f"{words}: {self.score_name} {value:.3f} on test",
            row_zero=row_zero,
            chosen=chosen,
        )

    def _weighed(self, rows: IntArray, answers: npt.NDArray[Any], times: FloatArray) -> float:
        """Return the score with item weights `times`."""
        right = self.right[rows]
        if self.classes:
            return _mcc(right, answers, self.classes, times)
        pairs = zip(right.T, answers.T, strict=True)
        return float(np.mean([_pearson(one, other, times) for one, other in pairs]))


def _mcc(right: IntArray, answers: IntArray, classes: int, times: FloatArray) -> float:
    """Return the multiclass Matthews correlation coefficient (Gorodkin 2004)."""
    table = np.bincount(right * classes + answers, times, classes**2)
    table = table.reshape(classes, classes)
    n, true, predicted = table.sum(), table.sum(1), table.sum(0)
    spread = np.sqrt((n**2 - true @ true) * (n**2 - predicted @ predicted))
    return float((n * np.trace(table) - true @ predicted) / spread) if spread else 0.0


def _pearson(right: FloatArray, answers: FloatArray, times: FloatArray) -> float:
    known = np.isfinite(right) & np.isfinite(answers)
    if not known.any():
        return 0.0
    x, y, w = right[known], answers[known], times[known]
    x, y = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
    spread = np.sqrt((w @ x**2) * (w @ y**2))
    return float((w * x) @ y / spread) if spread > 1e-12 else 0.0


@dataclass(frozen=True, eq=False)
class Rows:
    """Items that rules are fitted, chosen and scored on."""

    train: IntArray
    validation: IntArray
    test: IntArray

    def parts(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return the three arrays."""
        return self.train, self.validation, self.test


@dataclass(frozen=True, eq=False)
class Predictions:
    """A rule's predictions for the validation and test items of `Rows`."""

    validation: npt.NDArray[Any]
    test: npt.NDArray[Any]


def sampled(train: IntArray, validation: IntArray, test: IntArray) -> Rows:
    """Return at most `MOST_ITEMS` of each split, a reproducible sample in order."""
    rng = np.random.Generator(np.random.PCG64(0))

    def some(rows: IntArray) -> IntArray:
        if len(rows) <= MOST_ITEMS:
            return rows
        return rows[np.sort(rng.choice(len(rows), MOST_ITEMS, replace=False))]

    return Rows(some(train), some(validation), some(test))


Described = Callable[[Any], str]
"""Describes a fitted tree in words."""


def _by_tree(
    check: str,
    answers: Answers,
    rows: Rows,
    features: Callable[[IntArray], FloatArray],
    words: Described,
    *,
    leaves: Sequence[int] = _LEAVES,
    row_zero: bool = False,
) -> Finding:
    """Return the finding for a small decision tree on some features.

    Args:
        check: Name of the check.
        answers: The targets.
        rows: The items.
        features: Returns the features of some items, shape (n, F).
        words: Describes the fitted tree.
        leaves: Numbers of leaves to choose from, smallest first.
        row_zero: As for `verdict.rule`.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if answers.classes else DecisionTreeRegressor
    shown = [features(part) for part in rows.parts()]
    right = answers.right[rows.train] if answers.classes else answers.columns(rows.train)
    fewest = max(2, len(rows.train) // 1_000)
    best: tuple[float, Any] | None = None
    for size in leaves:
        tree = kind(max_leaf_nodes=size, min_samples_leaf=fewest, random_state=0)
        with warnings.catch_warnings():  # the targets are classes, however many
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            tree.fit(shown[0], right)
        value = answers.score(rows.validation, _shaped(tree.predict(shown[1]), answers))
        if best is None or value > best[0] + 1e-9:
            best = value, tree
    assert best is not None
    predictions = Predictions(*(_shaped(best[1].predict(part), answers) for part in shown[1:]))
    return answers.finding(check, rows, predictions, words(best[1]), row_zero=row_zero)


def _shaped(predicted: npt.NDArray[Any], answers: Answers) -> npt.NDArray[Any]:
    return predicted if answers.classes else predicted.reshape(len(predicted), -1)


def _cut(tree: Any, what: str, unit: str = "") -> str:
    """Describe a tree of one feature: ``length alone (2 ranges, cut at 88 letters)``."""
    if tree.tree_.node_count == 1:
        return f"{what} tells nothing"
    at = f"{tree.tree_.threshold[0]:,.4g}"
    return f"{what} alone ({tree.get_n_leaves()} ranges, cut first at {at}{unit})"


def length(items: Sequences, answers: Answers, rows: Rows) -> Finding:
    """Return the finding for a rule on sequence length."""
    lengths = items.lengths[:, None].astype(np.float64)
    return _by_tree(
        "length", answers, rows, lambda i: lengths[i], partial(_cut, what="length", unit=" letters")
    )


def missing(items: Sequences, answers: Answers, rows: Rows, size: int) -> Finding:
    """Return the finding for a rule on unknown letters: number, share, leading, trailing."""
    unknown = np.append(items.letters >= size, False)
    total = np.concatenate([[0], np.cumsum(unknown)])
    ends = items.offsets
    n = total[ends[1:]] - total[ends[:-1]]
    known = np.flatnonzero(~unknown)
    first = np.minimum(known[np.searchsorted(known, ends[:-1])], ends[1:]) - ends[:-1]
    back = np.searchsorted(known, ends[1:], "left") - 1
    before = np.maximum(np.where(back < 0, -1, known[back]), ends[:-1] - 1)
    last = ends[1:] - 1 - before
    numbers = np.stack([n, n / np.maximum(items.lengths, 1), first, last], axis=1)

    def words(tree: Any) -> str:
        return _cut(tree, "unknown letters") if n.any() else "no letter is unknown"

    return _by_tree("missing letters", answers, rows, lambda i: numbers[i], words)


def order(splits: Rows, answers: Answers, rows: Rows) -> Finding:
    """Return the finding for a rule on an item's position in its split, and its parity.

    Args:
        splits: All items of each split, in order.
        answers: The targets.
        rows: The items to use.
    """
    numbers = np.zeros((len(answers.right), 2))
    for part in splits.parts():
        numbers[part, 0] = np.arange(len(part)) / max(len(part), 1)
        numbers[part, 1] = np.arange(len(part)) % 2

    def words(tree: Any) -> str:
        if tree.tree_.node_count > 1 and tree.tree_.feature[0] == 1:
            return "the order of rows, whether an item's is odd or even"
        return _cut(tree, "the order of rows, an item's place in its split from 0 to 1")

    return _by_tree("order of rows", answers, rows, lambda i: numbers[i], words)


def composition(items: Sequences, answers: Answers, rows: Rows, size: int) -> Finding:
    """Return the finding for a rule on the shares of letters."""
    return _by_tree(
        "composition",
        answers,
        rows,
        lambda i: _counts(items, i, 1, size),
        lambda tree: f"shares of single letters (a tree of {tree.get_n_leaves()} leaves)",
        row_zero=True,
    )


def _counts(items: Sequences, rows: IntArray, k: int, size: int) -> FloatArray:
    """Return the share of each k-mer in each item, (n, size ** k)."""
    width = size**k
    found = np.zeros((len(rows), width))
    start = 0
    for part in blocks(items, rows):
        number, item, _, _ = kmers(items, part, k, size)
        n = np.bincount(item * width + number, minlength=len(part) * width)
        found[start : start + len(part)] = n.reshape(len(part), width)
        start += len(part)
    found /= np.maximum(found.sum(1, keepdims=True), 1)
    return found


def words_counted(items: Sequences, answers: Answers, rows: Rows, size: int) -> Finding:
    """Return the finding for ridge regression on the shares of k-mers."""
    from sklearn.linear_model import Ridge

    longest = next(k for k in range(6, 0, -1) if size**k <= _WORDS or k == 1)

    def features(part: IntArray) -> FloatArray:
        return np.concatenate([_counts(items, part, k, size) for k in range(1, longest + 1)], 1)

    train, validation, test = map(features, rows.parts())
    mean, spread = train.mean(0), train.std(0)
    spread[spread == 0] = 1
    train, validation, test = ((part - mean) / spread for part in (train, validation, test))
    right = answers.columns(rows.train)
    best: tuple[float, Predictions] | None = None
    for penalty in _PENALTIES:
        model = Ridge(alpha=penalty, solver="cholesky").fit(train, right)
        of_each = (model.predict(part).reshape(len(part), -1) for part in (validation, test))
        predictions = Predictions(*map(answers.predicted, of_each))
        value = answers.score(rows.validation, predictions.validation)
        if best is None or value > best[0] + 1e-9:
            best = value, predictions
    assert best is not None
    words = f"ridge regression on counts of 1- to {longest}-mers"
    return answers.finding("k-mers", rows, best[1], words, row_zero=True)


# Groups


def one_origin(right: IntArray, origins: IntArray, classes: int) -> IntArray:
    """Return the classes that nearly coincide with one origin, in order.

    A class of 10 items or more is returned if, for some origin, Matthews' coefficient between
    belonging to the class and having that origin is 0.9 or more.

    Args:
        right: Class of each item, (n,).
        origins: Origin of each item, (n,).
        classes: Number of classes.
    """
    pairs, both = np.unique(np.stack([right, origins]), axis=1, return_counts=True)
    _, of_origin = np.unique(origins, return_inverse=True)
    n = float(len(right))
    a = np.bincount(right, minlength=classes)[pairs[0]].astype(np.float64)
    b = np.bincount(of_origin)[np.searchsorted(np.unique(origins), pairs[1])].astype(np.float64)
    spread = np.sqrt(a * (n - a) * b * (n - b))
    phi = np.where(spread > 0, (n * both - a * b) / np.where(spread > 0, spread, 1), 0)
    found: IntArray = np.unique(pairs[0][(phi >= _ONE) & (a >= _FEWEST_OF_CLASS)])
    return found


# In place


def in_place(
    items: Sequences, answers: Answers, rows: Rows, size: int, alphabet: str
) -> tuple[Finding, Finding]:
    """Return the findings for a rule on one position, and for one on a few words in place.

    Positions count from the start of the item, up to the 5 % quantile of training lengths.
    """
    base, ends = size + 1, np.quantile(items.lengths[rows.train], 0.05)
    places = min(int(ends), _MOST_PLACES)
    right = answers.columns(rows.train)
    centred = right - right.mean(0)
    longest = next(k for k in range(3, 0, -1) if base**k <= _WORDS or k == 1)
    one: list[tuple[float, int]] = []
    several: list[tuple[float, int, int, int]] = []
    for place, k, words in _words(items, rows.train, places, longest, base):
        n, sums = _sums(words, centred, base**k)
        gains = np.where(n > 0, (sums**2).sum(1) / np.maximum(n, 1), 0)
        if k == 1:
            one.append((float(gains.sum()), place))
        rest = len(words) - n
        gains += np.where(rest > 0, (sums**2).sum(1) / np.maximum(rest, 1), 0)
        top = np.argsort(-gains, kind="stable")[:8]
        several += [(float(gains[word]), place, k, int(word)) for word in top]
        if len(several) > 64 * _INDICATORS:
            several = sorted(several, key=lambda each: (-each[0], each[1:]))[:_INDICATORS]
    one = sorted(one, key=lambda each: (-each[0], each[1]))[:16]
    several = sorted(several, key=lambda each: (-each[0], each[1:]))[:_INDICATORS]
    return (
        _one_position(items, answers, rows, [place for _, place in one], base, alphabet),
        _indicators(items, answers, rows, [each[1:] for each in several], base, alphabet),
    )


def _words(
    items: Sequences, rows: IntArray, places: int, longest: int, base: int
) -> Iterator[tuple[int, int, IntArray]]:
    """Yield position, length and words of all items, for each position and each length."""
    last = [_letter(items, rows, at, base) for at in range(min(longest, places))]
    for place in range(places):
        word = np.zeros(len(rows), dtype=np.int64)
        for k in range(1, min(longest, places - place) + 1):
            word = word * base + last[k - 1]
            yield place, k, word
        last = [*last[1:], _letter(items, rows, place + longest, base)]


def _letter(items: Sequences, rows: IntArray, at: int, base: int) -> IntArray:
    """Return the letters at a position; ``base - 1`` for unknown ones and past the end."""
    inside = at < items.lengths[rows]
    where = np.where(inside, items.offsets[rows] + at, 0)
    return np.where(inside, np.minimum(items.letters[where], base - 1), base - 1).astype(np.int64)


def _word(items: Sequences, rows: IntArray, place: int, k: int, base: int) -> IntArray:
    word = np.zeros(len(rows), dtype=np.int64)
    for at in range(place, place + k):
        word = word * base + _letter(items, rows, at, base)
    return word


def _sums(words: IntArray, right: FloatArray, most: int) -> tuple[FloatArray, FloatArray]:
    """Return the number of items with each word, and the sums of their targets."""
    n = np.bincount(words, minlength=most).astype(np.float64)
    sums = [np.bincount(words, weights=column, minlength=most) for column in right.T]
    return n, np.stack(sums, axis=1)


def _one_position(
    items: Sequences,
    answers: Answers,
    rows: Rows,
    places: Sequence[int],
    base: int,
    alphabet: str,
) -> Finding:
    """Return the finding for the letter at the best of some positions."""
    right = answers.columns(rows.train)
    best: tuple[float, int, FloatArray] | None = None
    for place in places:
        n, sums = _sums(_letter(items, rows.train, place, base), right, base)
        mean = np.where(n[:, None] > 0, sums / np.maximum(n, 1)[:, None], right.mean(0))
        predictions = answers.predicted(mean[_letter(items, rows.validation, place, base)])
        value = answers.score(rows.validation, predictions)
        if best is None or value > best[0] + 1e-9:
            best = value, place, mean
    if best is None:
        return rule("one position", 0.0, 0.0, len(rows.test), "items share no position")
    _, place, mean = best
    both = Predictions(
        *(
            answers.predicted(mean[_letter(items, part, place, base)])
            for part in (rows.validation, rows.test)
        )
    )
    table = ""
    if answers.classes:
        classes = answers.predicted(mean)[: base - 1].tolist()
        each = [f"{a} {answers.names[c]}" for a, c in zip(alphabet, classes, strict=False)]
        table = f" ({', '.join(each)})" if len(each) <= 5 else ""
    words = f"letter {place + 1} of an item alone{table}"
    return answers.finding("one position", rows, both, words)


def _indicators(
    items: Sequences,
    answers: Answers,
    rows: Rows,
    chosen: Sequence[tuple[int, int, int]],
    base: int,
    alphabet: str,
) -> Finding:
    """Return the finding for a tree on a few of the chosen words in place."""
    if not chosen:
        return rule("words in place", 0.0, 0.0, len(rows.test), "items share no position")

    def features(part: IntArray) -> FloatArray:
        columns = [_word(items, part, place, k, base) == word for place, k, word in chosen]
        return np.stack(columns, axis=1).astype(np.float64)

    def words(tree: Any) -> str:
        used = [i for i in tree.tree_.feature.tolist() if i >= 0]
        if not used:
            return "no word at its place tells anything"
        return "whether an item has " + ", ".join(
            _in_words(chosen[i], base, alphabet) for i in dict.fromkeys(used)
        )

    leaves = [n + 1 for n in _USED]
    return _by_tree("words in place", answers, rows, features, words, leaves=leaves)


def _in_words(chosen: tuple[int, int, int], base: int, alphabet: str) -> str:
    """Return ``TATA at 12``: positions count from 1, an unknown letter is a point."""
    place, k, word = chosen
    digits = [(word // base**i) % base for i in reversed(range(k))]
    letters = "".join(alphabet[d] if d < len(alphabet) else "." for d in digits)
    return f"{letters} at {place + 1}"


# Of a training item


def of_partner(
    check: str,
    answers: Answers,
    rows: Rows,
    partner: dict[int, int],
    words: str,
    otherwise: Predictions,
) -> list[Finding]:
    """Return findings for a rule that uses the class of an item's partner in training.

    If partners share a class more often than by chance on validation items, they are relatives:
    the rule is then row zero. Otherwise it predicts the other class.

    Args:
        check: Name of the check.
        answers: The targets.
        rows: The items.
        partner: Training partner of validation and test items that have one.
        words: What partners share, for the message.
        otherwise: Predictions for items without a partner in a second finding, which is made if the
            first is a leak or a doubt.
    """
    right, classes = answers.right, answers.classes
    often = np.bincount(right[rows.train], minlength=classes)
    with_partner = [i for i in rows.validation.tolist() if i in partner]
    agree = sum(right[i] == right[partner[i]] for i in with_partner)
    by_chance = float(((often / often.sum()) ** 2).sum())
    known = len(with_partner) >= _FEWEST_TWINS
    same = known and agree > by_chance * len(with_partner)
    others = [int(np.where(np.arange(classes) == c, -1, often).argmax()) for c in range(classes)]

    def predict(part: IntArray, else_: npt.NDArray[Any]) -> npt.NDArray[Any]:
        predictions = else_.copy()
        for at, i in enumerate(part.tolist()):
            if i in partner:
                other = right[partner[i]]
                predictions[at] = other if same else others[other]
        return predictions

    largest = int(often.argmax())
    covered, n = sum(i in partner for i in rows.test.tolist()), len(rows.test)
    if not covered:
        nothing = f"no test item has {words} as a training item"
        return [rule(check, 0.0, 0.0, n, nothing, row_zero=same, chosen=known)]
    parts = rows.validation, rows.test
    answer = "its class" if same else "the other class"
    predictions = Predictions(*(predict(part, np.full(len(part), largest)) for part in parts))
    what = f"{covered:,} of {n:,} test items have {words} as a training item; to answer {answer}"
    found = answers.finding(check, rows, predictions, what, row_zero=same, chosen=known)
    if found.grade not in ("leak", "doubt"):
        return [found]
    predictions = Predictions(
        predict(rows.validation, otherwise.validation), predict(rows.test, otherwise.test)
    )
    what = f"{words} as a training item: answer {answer}; else as counts of words say"
    return [found, answers.finding(f"{check}, else k-mers", rows, predictions, what, row_zero=True)]


def of_nearest(answers: Answers, rows: Rows, candidate: dict[int, int]) -> Finding:
    """Return the finding for predicting the target of the item that shares most k-mers."""
    mean = answers.columns(rows.train).mean(0)

    def predict(part: IntArray) -> npt.NDArray[Any]:
        predictions = np.tile(mean, (len(part), 1))
        found = [(at, candidate[i]) for at, i in enumerate(part.tolist()) if i in candidate]
        if found:
            at, other = map(np.array, zip(*found, strict=True))
            predictions[at] = answers.columns(other)
        return answers.predicted(predictions)

    n = sum(i in candidate for i in rows.test.tolist())
    words = f"the answer of the training item that shares most k-mers, where one does ({n:,} of "
    words += f"{len(rows.test):,})"
    predictions = Predictions(predict(rows.validation), predict(rows.test))
    return answers.finding("most similar item", rows, predictions, words, row_zero=True)
