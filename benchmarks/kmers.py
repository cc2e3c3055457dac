"""Linear models of k-mer counts by scikit-learn alone, beside what `kmer-linear` has.

Usage: python benchmarks/kmers.py TASKS [--only gue-tf-2]

TASKS is the folder with `gue_tf/0/train.csv.gz` and the like, `yeast_promoter_mpra/all.csv.gz` and
`mrna_regression/mrfp_expression.csv.gz`. Nothing of codonbench is used: `CountVectorizer` counts,
`Ridge` and `LogisticRegression` fit the training items, with their own default penalty (1) and with
the best on validation items of 1 to 10,000, on counts as they are and standardised. Prints a
Markdown table of scores on the test items: Pearson's r, MCC, Spearman's rank correlation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import pearsonr, spearmanr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import matthews_corrcoef
from sklearn.preprocessing import OneHotEncoder, StandardScaler

PENALTIES = (1.0, 1e1, 1e2, 1e3, 1e4)
Score = Callable[[Any, Any], float]
Splits = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def split(table: pd.DataFrame) -> Splits:
    """Return training, validation and test rows of a table with a column `split`."""
    named = table["split"].replace("val", "dev")
    train, dev, test = (table[named == name] for name in ("train", "dev", "test"))
    return train, dev, test


def counts(k: int, splits: Splits) -> list[Any]:
    """Return how often each word of 1 to k letters stands in each item, a matrix a split."""
    counter = CountVectorizer(analyzer="char", ngram_range=(1, k), lowercase=False)
    first, *others = (part.sequence for part in splits)
    return [counter.fit_transform(first), *map(counter.transform, others)]


def letters(splits: Splits) -> list[Any]:
    """Return which letter stands at each place of an item, one-hot, a matrix a split."""
    rows = [list(map(list, part.sequence)) for part in splits]
    encoder = OneHotEncoder(handle_unknown="ignore").fit(rows[0])
    return [encoder.transform(each) for each in rows]


def report(
    task: str, what: str, columns: list[Any], splits: Splits, target: str, model: Any, score: Score
) -> None:
    """Print what a model has with its default penalty, and with the best on validation items."""
    train, dev, test = (part[target] for part in splits)
    for scaled in (False, True):
        own, words = columns, "counts"
        if scaled:
            scaler = StandardScaler().fit(columns[0].toarray())
            own, words = [scaler.transform(each.toarray()) for each in columns], "standardised"
        fits = {penalty: model(penalty).fit(own[0], train) for penalty in PENALTIES}
        best = max(PENALTIES, key=lambda p: score(dev, fits[p].predict(own[1])))
        first, chosen = (score(test, fits[p].predict(own[2])) for p in (PENALTIES[0], best))
        print(f"| {task} | {what}, {words} | {first:.3f} | {chosen:.3f} | {best:g} |", flush=True)


def ridge(penalty: float) -> Ridge:
    """Return ridge regression of a penalty."""
    return Ridge(alpha=penalty)


def logistic(penalty: float) -> LogisticRegression:
    """Return logistic regression of a penalty."""
    return LogisticRegression(C=1 / penalty, max_iter=1000)


def pearson(right: Any, said: Any) -> float:
    """Return Pearson's r."""
    return float(pearsonr(right, said).statistic)


def spearman(right: Any, said: Any) -> float:
    """Return Spearman's rank correlation."""
    return float(spearmanr(right, said).statistic)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--only", default="", help="what a task's name begins with")
    arguments = parser.parse_args()
    tasks, only = arguments.tasks, arguments.only
    print("| task | columns | penalty 1 | of validation | which |\n|---|---|--:|--:|--:|")
    if "yeast-promoter".startswith(only):
        yeast = split(pd.read_csv(tasks / "yeast_promoter_mpra/all.csv.gz"))
        for k in (4, 5):
            words = f"1- to {k}-mers"
            report("yeast-promoter", words, counts(k, yeast), yeast, "expression", ridge, pearson)
    if "mrfp-expression".startswith(only):
        mrfp = split(pd.read_csv(tasks / "mrna_regression/mrfp_expression.csv.gz"))
        words = "one-hot letters"
        report("mrfp-expression", words, letters(mrfp), mrfp, "value", ridge, spearman)
    for name in (f"gue-tf-{number}" for number in range(5)):
        if name.startswith(only):
            folder = tasks / "gue_tf" / name[-1]
            train, dev, test = (
                pd.read_csv(folder / f"{part}.csv.gz") for part in ("train", "dev", "test")
            )
            gue, mcc = (train, dev, test), matthews_corrcoef
            report(name, "1- to 5-mers", counts(5, gue), gue, "label", logistic, mcc)


if __name__ == "__main__":
    main()
