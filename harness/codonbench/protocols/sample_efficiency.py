"""Sample efficiency: trained on nested subsets of the training items of a seed.

Each subset is part of the next larger one, is stratified by class (or has equally many of each
class, for few shots) and is the same for all models. The test split is always complete. The
validation split has at most as many items as the subset, because with few training labels a large
validation split is not realistic (Perez, Kiela and Cho, NeurIPS 2021, arXiv 2105.11447). The budget
in pairs is the same for each size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from codonbench.contracts import Dataset, Frozen, Split
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.splits import nested
from codonbench.data.stream import IntArray, Stream
from codonbench.errors import ConfigError
from codonbench.protocols.folds import class_ids
from codonbench.protocols.supervised import Supervised

_ROUND = [digit * 10**power for power in range(1, 10) for digit in (1, 3)]
_FEW, _SMALL = 100, 1_000  # default first size; below _SMALL training examples it is 10


class SizeOptions(Frozen):
    """Sizes of subsets, in training examples or examples per class; the full set is added."""

    sizes: tuple[int, ...] = Field(default=(), max_length=100)
    per_class: bool = False


class SampleEfficiency(Supervised):
    """Supervised on 100, 300, 1,000, ... and all training examples, or on a few of each class."""

    name: ClassVar[str] = "sample_efficiency"
    summary: ClassVar[str] = "supervised, on nested subsets of the training examples"
    Options: ClassVar[type[Frozen]] = SizeOptions

    def resolved(self, options: Any, dataset: Dataset) -> Any:
        """Return options with the distinct sizes in order.

        Raises:
            ConfigError: A size is below 1, or `per_class` is set for a task without classes.
        """
        whole, classes = Stream(dataset, 0).split, class_ids(dataset)
        if options.per_class and classes is None:
            raise ConfigError(
                f"task {dataset.spec.name!r} has no classes to take shots of; leave out per_class"
            )
        n = len(whole.train)
        default = [size for size in _ROUND if size >= (_FEW if n >= _SMALL else _ROUND[0])]
        sizes = options.sizes or ((1, 5, 10) if options.per_class else default)
        if min(sizes) < 1:
            raise ConfigError(f"sizes {min(sizes)}: a subset has at least one example")
        if not options.per_class:
            sizes = [*(size for size in sizes if size < n), n]
        return options.model_copy(update={"sizes": tuple(sorted({*sizes}))})

    def parts(self, run_spec: RunSpec, dataset: Dataset) -> Sequence[RunSpec]:
        """Return a run for each size."""
        sizes = run_spec.protocol_options["sizes"]
        return [run_spec.model_copy(update={"subset": size}) for size in sizes]

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return the seed's split with training and validation reduced to the run's subset."""
        if run_spec.subset is None:
            return whole
        each, seed = bool(run_spec.protocol_options["per_class"]), run_spec.seed
        size, classes = run_spec.subset, class_ids(dataset)

        def first(items: IntArray, purpose: int) -> IntArray:
            return nested(items, size, (seed, purpose), classes, each=each)

        return Split(first(whole.train, 0), first(whole.validation, 1), whole.test)
