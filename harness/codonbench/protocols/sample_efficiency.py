"""How much data a model needs: trained on nested subsets of a seed's training items.

Every subset of a seed is part of the next larger one, has the classes in the shares they have in
all (or as many of each, where few shots are asked), and is the same for every model. The test split
is always whole. The validation split is cut down with it to as many items as are trained on, for
whoever has ten labels to train on has no thousand to choose by. The budget in pairs is the same for
each size: data vary, computing does not.

Perez, Kiela and Cho, NeurIPS 2021 (arXiv 2105.11447), on what a large validation split is worth to
few examples.
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
_FEW, _SMALL = 100, 1_000  # the first size, of sets that are not small; of small ones it is 10


class SizeOptions(Frozen):
    """Training examples of each subset; all are added. ``per_class`` makes them shots a class."""

    sizes: tuple[int, ...] = Field(default=(), max_length=100)
    per_class: bool = False


class SampleEfficiency(Supervised):
    """Supervised, on 100, 300, 1,000, ... and all training examples, or on a few of each class."""

    name: ClassVar[str] = "sample_efficiency"
    summary: ClassVar[str] = "supervised, on nested subsets of the training examples"
    Options: ClassVar[type[Frozen]] = SizeOptions

    def resolved(self, options: Any, dataset: Dataset) -> Any:
        """Return the sizes there are, in order, each once.

        Raises:
            ConfigError: There are none, or shots of no classes are asked for.
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
        """Return the seed's split with training and validation cut down to a run's subset."""
        if run_spec.subset is None:
            return whole
        each, seed = bool(run_spec.protocol_options["per_class"]), run_spec.seed
        size, classes = run_spec.subset, class_ids(dataset)

        def first(items: IntArray, purpose: int) -> IntArray:
            return nested(items, size, (seed, purpose), classes, each=each)

        return Split(first(whole.train, 0), first(whole.validation, 1), whole.test)
