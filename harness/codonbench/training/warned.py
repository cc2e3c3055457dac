"""Warnings of a plugin's code, each shown once, with a count of the others at the end."""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_LONGEST = 120  # characters of a warning that are said again with its count


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Show a warning once, and at the end how many there were that differ from it by numbers alone.

    Of one line of one file and of one category. A learner that is fitted a hundred times may warn
    each time that it has not converged after so many steps.
    """
    before = warnings.showwarning
    seen: Counter[tuple[str, ...]] = Counter()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        words = re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "#", str(message))
        key = f"{filename}:{lineno}", category.__name__, words
        seen[key] += 1
        if seen[key] == 1:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
        for (place, category, words), n in seen.items():
            if n > 1:
                first = words.strip().partition("\n")[0][:_LONGEST]
                print(f"{place}: {category}: {n - 1:,} more like it: {first}", file=sys.stderr)
