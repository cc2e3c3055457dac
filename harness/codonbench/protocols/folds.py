"""Cross-validation: each item is tested once, by a model trained without its fold.

A seed divides all items into folds, stratified by class, with groups kept together. A validation
split is cut from the other folds in the same way, so a test item and its group have no part in
training or selection. The test outputs of all folds make one trajectory and one record per seed;
the record of each fold is kept, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from codonbench.contracts import Dataset, Frozen, Split
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.splits import completed, divided, left_out
from codonbench.data.stream import IntArray
from codonbench.errors import ConfigError
from codonbench.protocols.supervised import Supervised

MOST_FOLDS = 1_000


class FoldOptions(Frozen):
    """Number of folds, or ``group`` to leave out each group in turn."""

    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | Literal["group"] = 5


class Folds(Supervised):
    """For each fold: train and select on the other folds, test on this one."""

    name: ClassVar[str] = "folds"
    summary: ClassVar[str] = "cross-validated: each item tested once, without its fold or group"
    Options: ClassVar[type[Frozen]] = FoldOptions
    joins: ClassVar[bool] = True

    def resolved(self, options: Any, dataset: Dataset) -> Any:
        """Return the options.

        Groups of fewer than two items on average are refused: a table without groups has groups of
        equal items, and leaving out each would be leave-one-out, which needs a number of folds.

        Raises:
            UsageError: The data cannot be divided like this.
        """
        if options.folds == "group":
            n, name = len(pool(dataset)), dataset.spec.name
            groups = 0 if dataset.groups is None else len(np.unique(dataset.groups[pool(dataset)]))
            if not groups:
                raise ConfigError(
                    f"task {name!r} has no groups to leave out; give --folds a number"
                )
            if 2 * groups > n:
                most = min(groups, MOST_FOLDS)
                raise ConfigError(
                    f"the {n:,} items of task {name!r} are {groups:,} groups, each of which "
                    f"--folds group would leave out; give --folds a number, {most} at most, such "
                    "as 5: a fold holds whole groups"
                )
        self._folds(dataset, options.folds, 0)
        return options

    def parts(self, run_spec: RunSpec, dataset: Dataset) -> Sequence[RunSpec]:
        """Return a run for each fold."""
        _, fold = self._folds(dataset, run_spec.protocol_options["folds"], run_spec.seed)
        return [run_spec.model_copy(update={"fold": i}) for i in range(int(fold.max()) + 1)]

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return a split with one fold as test, and validation cut from the other folds."""
        items, fold = self._folds(dataset, run_spec.protocol_options["folds"], run_spec.seed)
        rest, tested = items[fold != run_spec.fold], items[fold == run_spec.fold]
        return completed(Split(rest, rest[:0], tested), dataset, run_spec.seed)

    def epoch_pairs(self, options: Any, dataset: Dataset) -> int:
        """Return the mean number of items outside a fold, including validation items."""
        n = len(pool(dataset))
        return n if options.folds == "group" else n - n // int(options.folds)

    def _folds(self, dataset: Dataset, folds: int | str, seed: int) -> tuple[IntArray, IntArray]:
        """Return all items, shape (n,), and the fold of each."""
        items, classes = pool(dataset), class_ids(dataset)
        if folds == "group":
            assert dataset.groups is not None
            return items, left_out(items, dataset.groups)
        return items, divided(items, int(folds), seed, dataset.groups, classes)


def pool(dataset: Dataset) -> IntArray:
    """Return the distinct items of all splits, in the order of the data."""
    return np.unique(np.concatenate([*dataset.splits.values()]).astype(np.int64))


def class_ids(dataset: Dataset) -> IntArray | None:
    """Return the class of each item; None for other targets."""
    if dataset.spec.target.kind != "classes":
        return None
    return dataset.targets.astype(np.int64, copy=False)
