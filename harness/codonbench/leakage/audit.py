"""The audit of a data set: copies across its splits, trivial rules, and a verdict.

The same data give the same audit, byte for byte. Audits are stored in the cache, keyed by content,
as are the steps of an unfinished audit, which then resumes.
"""

from __future__ import annotations

import hashlib
import string
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from codonbench.contracts import Dataset, Sequences, Split
from codonbench.data.splits import completed
from codonbench.data.table_report import by_appearance, copies, same_items
from codonbench.errors import DataError, StoreError
from codonbench.leakage import trivial_rules, twins
from codonbench.leakage.letters import BoolArray, IntArray, letters_of
from codonbench.leakage.near_copies import nearest
from codonbench.leakage.steps import UNKEPT, Arrays, Steps
from codonbench.leakage.verdict import (
    FEWEST_ITEMS,
    KEPT,
    RULES,
    DataAudit,
    Finding,
    Grade,
    share,
    verdict_of,
)
from codonbench.records.files import write_atomically
from codonbench.records.recorded_outputs import hash_items

Progress = Callable[[str, float], None]
"""Called with the name of the current step and the share of it that is done."""

_DIGITS = string.digits + string.ascii_lowercase

_TELLING, _FEWEST_TELLING = 0.3, 10
"""Near-copies are a leak if their targets predict with at least this score; and the fewest test
items from which that is judged."""


def unwatched(what: str, done: float) -> None:
    """Ignore progress."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The data to audit.

    Attributes:
        dataset: Items, targets and splits.
        columns: Further columns that group items, such as genes, each as integers (N,).
        groups: Name of the column whose groups must not cross splits; empty for none.
        cells: Reads the columns of a table as written, except the split; None for a task.
    """

    dataset: Dataset
    columns: Mapping[str, IntArray]
    groups: str = ""
    cells: Callable[[], dict[str, list[str]]] | None = None

    @property
    def key(self) -> str:
        """SHA-256 (hex) of everything an audit depends on."""
        digest = hashlib.sha256(f"{RULES} {self.dataset.checksum} {self.groups}".encode())
        for columns in (self.columns, self.dataset.origins):
            for name in sorted(columns):
                digest.update(name.encode() + np.ascontiguousarray(columns[name]).tobytes())
        return digest.hexdigest()


def kept_audit(subject: Subject, cache: Path) -> DataAudit | None:
    """Return the stored audit of these data; None if there is none."""
    try:
        content = (cache / KEPT / f"{subject.key}.json").read_text(encoding="utf-8")
        found = DataAudit.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    return found.model_copy(update={"task": subject.dataset.spec.name})


def audited(
    subject: Subject,
    cache: Path,
    progress: Progress = unwatched,
    *,
    anew: bool = False,
    say: Callable[[str], None] = warnings.warn,
) -> DataAudit:
    """Return the stored audit of some data, or make and store one.

    Args:
        subject: The data.
        cache: The cache folder.
        progress: Called with progress.
        anew: Delete stored results, complete or not, and make a new audit.
        say: Called with a warning if the audit cannot be stored.

    Raises:
        DataError: The data cannot be audited.
    """
    file, steps = cache / KEPT / f"{subject.key}.json", unfinished(subject, cache)
    if anew:
        steps.clear()
        with suppress(OSError):
            file.unlink()
    found = kept_audit(subject, cache)
    if found is None:
        found = audit(subject, progress, steps)
        content = found.as_json().encode()
        try:
            with suppress(StoreError):  # the steps may have filled the disk: retried without them
                write_atomically(file, content)
            steps.clear()
            if not file.is_file():
                write_atomically(file, content)
        except StoreError as error:
            say(f"the audit of {found.task} is not kept: {error}")
    return found


def unfinished(subject: Subject, cache: Path, what: str = "audit") -> Steps:
    """Return the store of intermediate results for computing `what` from these data."""
    return Steps(cache / KEPT / f"{subject.key}-{what}")


def audit(subject: Subject, progress: Progress = unwatched, steps: Steps = UNKEPT) -> DataAudit:
    """Return the audit of some data.

    Args:
        subject: The data.
        progress: Called with progress.
        steps: Stores intermediate results.

    Raises:
        DataError: As for `splits_of`.
    """
    from threadpoolctl import threadpool_limits  # imported late: it comes with scikit-learn

    with threadpool_limits(1):  # the order of summation, and so the bits, depend on threads
        return _Audit(subject, progress, steps).result()


def splits_of(dataset: Dataset) -> Split:
    """Return the items of each split; missing splits are cut as in a run with seed 0.

    Raises:
        DataError: The task draws its examples for each seed, a split cannot be cut, or there are no
            training items.
    """
    name = dataset.spec.name
    if dataset.spec.input.enumerable or not dataset.splits:
        raise DataError(
            f"task {name!r} draws its examples anew for each seed, so it has no separate test "
            "items; audit a task with a test split, or a table"
        )
    none = np.zeros(0, dtype=np.int64)
    given = (dataset.splits.get(split, none) for split in ("train", "validation", "test"))
    split = completed(Split(*given), dataset, 0)
    if not len(split.train):
        raise DataError(f"the data of {name!r} have no training items, which an audit needs")
    return split


class _Audit:
    """One audit; arguments as for `audit`."""

    def __init__(self, subject: Subject, progress: Progress, steps: Steps) -> None:
        self._subject, self._progress, self._steps = subject, progress, steps
        dataset = subject.dataset
        self._split = split = splits_of(dataset)
        self._all = trivial_rules.Rows(split.train, split.validation, split.test)
        self._rows = trivial_rules.sampled(split.train, split.validation, split.test)
        # A validation split that the audit itself cut off is still training data.
        parts = [split.train] if "validation" in dataset.splits else [split.train, split.validation]
        self._train = np.sort(np.concatenate(parts))
        kind, names = dataset.spec.target.kind, dataset.spec.target.names
        classes = names if kind == "classes" else ()
        self._answers = trivial_rules.Answers(dataset.targets, classes, labels=kind == "labels")
        self._items, self._size, self._pairs = letters_of(dataset)

    def result(self) -> DataAudit:
        """Return the audit."""
        dataset, split = self._subject.dataset, self._split
        self._progress("copies", 0)
        findings = [self._copies()]
        if self._items is not None:
            findings += self._near_copies(self._items)
        findings += self._groups()
        findings += self._origins()
        self._progress("rules", 0)
        findings += self._tells(self._items)
        copied = np.flatnonzero(self._copied)
        sizes = {name: len(getattr(split, name)) for name in ("train", "validation", "test")}
        order = {"leak": 0, "doubt": 1, "clear": 2, "row zero": 3}
        findings.sort(key=lambda finding: order[finding.grade])
        found = DataAudit(
            verdict=verdict_of(findings),
            task=dataset.spec.name,
            checksum=dataset.checksum,
            score=self._answers.score_name,
            **sizes,
            remarks=self._remarks(),
            findings=tuple(findings),
            copied=tuple(copied.tolist()),
            items=self._test_items(),
        )
        return self._with_answers(found)

    def _test_items(self) -> str:
        """Return the SHA-256 of the test items where another seed has others; else nothing."""
        dataset, test = self._subject.dataset, self._split.test
        if "test" in dataset.splits:
            return ""
        groups = None if dataset.groups is None else dataset.groups[test]
        return hash_items(dataset.targets[test], groups)

    def _with_answers(self, found: DataAudit) -> DataAudit:
        """Return the audit with the interval and the answers of its best rule."""
        best, dataset, rows = found.best_rule, self._subject.dataset, self._rows.test
        if best is None or best.check not in self._answers.predictions:
            return found
        predictions = self._answers.predictions[best.check].test
        groups = None if dataset.groups is None else dataset.groups[rows]
        low, high = (round(v, 3) + 0.0 for v in self._answers.interval(rows, predictions, groups))
        judged = best.model_copy(update={"low": low, "high": high})
        findings = tuple(judged if finding is best else finding for finding in found.findings)
        whole = len(rows) == found.test and 0 < self._answers.classes <= len(_DIGITS)
        whole &= best.check != "order of rows"  # a model does not see an item's row
        answers = "".join(_DIGITS[c] for c in predictions.tolist()) if whole else ""
        return found.model_copy(update={"findings": findings, "answers": answers})

    def _remarks(self) -> tuple[str, ...]:
        given = self._subject.dataset.splits
        remarks = [
            f"the data have no {name} split; one was cut from training, as seed 0 of a run cuts it"
            for name in ("test", "validation")
            if name not in given
        ]
        if max(map(len, self._all.parts())) > trivial_rules.MOST_ITEMS:
            remarks.append(
                f"rules see at most {trivial_rules.MOST_ITEMS:,} items of a split; copies are "
                "looked for among all"
            )
        if (n := len(self._split.test)) < FEWEST_ITEMS:
            remarks.append(
                f"of {n} test items no rule can be told from chance, which takes {FEWEST_ITEMS}, "
                "so the verdict says little"
            )
        if self._items is None:
            remarks.append("items are features: of their values only equality is looked at")
        return tuple(remarks)

    def _copies(self) -> Finding:
        """Return how many test items are in training, and mark them."""
        dataset, test = self._subject.dataset, self._split.test
        inputs = dataset.spec.input.sequences
        alphabet = inputs[0].alphabet if isinstance(dataset.items, Sequences) else ""
        same = self._steps(
            "copies",
            lambda: dict(
                zip(("exact", "either"), same_items(dataset.items, alphabet), strict=True)
            ),
        )
        exact, either = same["exact"], by_appearance(same["either"])
        classes = dataset.targets.astype(np.int64) if self._answers.classes else None
        n, words = copies(exact, either, classes, self._train, test)
        self._copied: BoolArray = np.isin(either[test], either[self._train])
        counts = f"{n / len(test):.1%} of test items ({n:,} of {len(test):,}) stand in training"
        for name, first, second in (
            ("validation", self._train, self._split.validation),
            ("test items in validation", self._split.validation, test),
        ):
            if "validation" in dataset.splits:
                more, _ = copies(exact, either, classes, first, second)
                if more:
                    what = "validation items do, too" if name == "validation" else name
                    words += f"; {more:,} {what}"
        return share("copies", n, len(test), counts + words)

    def _near_copies(self, items: Sequences) -> list[Finding]:
        """Return how many test items have a near-copy in training; mark them, keep candidates."""
        held_out = np.concatenate([self._split.validation, self._split.test])
        found = nearest(
            items,
            held_out,
            self._train,
            self._size,
            self._pairs,
            lambda done: self._progress("near-copies", done),
            self._steps,
        )
        of_test = slice(len(self._split.validation), None)
        self._copied |= found.copied[of_test] >= 0
        self._candidate = _partners(held_out, found.candidate)
        n, of = int(self._copied.sum()), len(self._split.test)
        words = f"{n / of:.1%} of test items ({n:,} of {of:,}) have a near-copy in training"
        near, test, right = found.copied[of_test], self._split.test, self._answers.right
        has = near >= 0
        if self._answers.classes:
            other = int((right[test[has]] != right[near[has]]).sum())
            words += f", {other:,} of another class" if other else ""
        most: Grade = "leak"
        known = np.isfinite(right.reshape(len(right), -1)).any(1)
        if (known[test[has]] & known[near[has]]).sum() >= _FEWEST_TELLING:
            tells_ = self._answers.score(test[has], right[near[has]])
            if abs(tells_) < _TELLING:
                most = "doubt"
                words += f", whose answers tell little of theirs ({self._answers.score_name} "
                words += f"{tells_:.3f})"
        return [share("near-copies", n, of, words, most)]

    def _groups(self) -> list[Finding]:
        """Return, for each kind of group, how many test items share a group with training items."""
        subject, test = self._subject, self._split.test
        columns = dict(subject.columns)
        if subject.dataset.groups is not None and len(subject.dataset.splits) > 1:
            columns.setdefault("group", subject.dataset.groups)
        found = []
        for name, groups in columns.items():
            n = int(np.isin(groups[test], groups[self._train]).sum())
            words = f"{n / len(test):.1%} of test items ({n:,} of {len(test):,}) share their "
            words += f"{name} with training items"
            most: Grade = "leak" if name in (subject.groups, "group") else "doubt"
            found.append(share("groups", n, len(test), words, most))
        return found

    def _origins(self) -> list[Finding]:
        """Return how many test items are of classes that nearly coincide with one origin."""
        dataset, names, test = self._subject.dataset, self._answers.names, self._split.test
        rows = np.concatenate(self._all.parts())
        right, found = self._answers.right, []
        for name, origins in {**self._subject.columns, **dataset.origins}.items():
            if not names:
                continue
            of_one = trivial_rules.one_origin(right[rows], origins[rows], len(names))
            n = int(np.isin(right[test], of_one).sum())
            which = ", ".join(names[c] for c in of_one.tolist())
            words = f"each of the classes {which} is as good as one {name}: {n / len(test):.1%} of "
            words += (
                f"test items ({n:,} of {len(test):,}) are of them, and {name} and class cannot "
            )
            words += "be told apart"
            if not len(of_one):
                words = f"no class is as good as one {name}"
            found.append(share("classes of one origin", n, len(test), words, "doubt"))
        return found

    def _tells(self, items: Sequences | None) -> list[Finding]:
        """Return the finding of each trivial rule."""
        answers, rows, size = self._answers, self._rows, self._size
        found = self._ruled("order", lambda: [trivial_rules.order(self._all, answers, rows)])
        if items is None:
            return found
        found += self._ruled("length", lambda: [trivial_rules.length(items, answers, rows)])
        found += self._ruled("missing", lambda: [trivial_rules.missing(items, answers, rows, size)])
        self._progress("rules", 0.1)
        alphabet = self._subject.dataset.spec.input.sequences[0].alphabet
        (composition,) = self._ruled(
            "composition", lambda: [trivial_rules.composition(items, answers, rows, size)]
        )
        found.append(composition)
        for finding in self._ruled(
            "in place", lambda: trivial_rules.in_place(items, answers, rows, size, alphabet)
        ):
            further = composition.value >= finding.value  # so position adds nothing to it
            found.append(finding.model_copy(update={"grade": "clear"}) if further else finding)
        self._progress("rules", 0.4)
        found += self._ruled(
            "k-mers", lambda: [trivial_rules.words_counted(items, answers, rows, size)]
        )
        self._progress("rules", 0.5)
        if answers.classes:
            found += self._twins(items, answers.predictions["k-mers"])
        found.append(trivial_rules.of_nearest(answers, rows, self._candidate))
        return found

    def _ruled(self, name: str, rules: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """Return the findings of some rules; stores them and the rules' answers."""
        predictions = self._answers.predictions

        def computed() -> Arrays:
            found = list(rules())
            texts = np.array([finding.model_dump_json() for finding in found])
            answers = {
                f"{part} of {finding.check}": getattr(predictions[finding.check], part)
                for finding in found
                if finding.check in predictions
                for part in ("validation", "test")
            }
            return {"findings": texts, **answers}

        kept = self._steps(name, computed)
        found = [Finding.model_validate_json(text) for text in kept["findings"].tolist()]
        for check in (finding.check for finding in found):
            if f"test of {check}" in kept:
                predictions[check] = trivial_rules.Predictions(
                    kept[f"validation of {check}"], kept[f"test of {check}"]
                )
        return found

    def _twins(self, items: Sequences, otherwise: trivial_rules.Predictions) -> list[Finding]:
        """Return the findings of rules that use the training item a test item was made from."""
        held_out = np.concatenate([self._split.validation, self._split.test])

        def looked_for() -> Arrays:
            def step(done: float) -> None:
                self._progress("rules", 0.5 + 0.5 * done)

            sought = items, held_out, self._train, self._size
            return {"shuffled": twins.shuffled(*sought), "pieces": twins.in_pieces(*sought, step)}

        kept = self._steps("twins", looked_for)
        found = []
        for check, partner, words in (
            ("shuffled twins", kept["shuffled"], "the same dinucleotides in another order"),
            ("pieces in place", kept["pieces"], "the same pieces at the same places"),
        ):
            partners = _partners(held_out, partner)
            found += trivial_rules.of_partner(
                check, self._answers, self._rows, partners, words, otherwise
            )
        return found


def _partners(items: IntArray, partner: IntArray) -> dict[int, int]:
    """Return the partner of each item that has one, by item."""
    has = partner >= 0
    return dict(zip(items[has].tolist(), partner[has].tolist(), strict=True))
