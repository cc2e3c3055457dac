"""The core knows no task, metric or model by name, and speaks of no particular task."""

import ast
import re
from collections import Counter
from pathlib import Path

import codonbench
from codonbench.plugins.discovery import load_registry
from codonbench.protocols.controls import WORDS

CORE = Path(codonbench.__file__).parent

OTHER_USES = {
    "bound": "a limit, as in the proven bound that a task may have",
    "majority": "most of something",
    "untrained": "of a model before its first step",
}
"""Names that are plain words too: free within a sentence, but never as a whole literal."""

ONE_TASK = re.compile(r"\b(codon|amino|decipher|joiret|paper_|excess_pairs)", re.IGNORECASE)
ALSO = re.compile(r"\b(genetic codes?|the paper)\b", re.IGNORECASE)
"""Of "a paper" too, but that may be the reader's own."""


def texts():
    """Every text file of the core but what others wrote, by path."""
    for path in sorted(CORE.rglob("*")):
        if path.is_file() and not {"__pycache__", "vendor"} & set(path.parts):
            yield path, path.read_text(encoding="utf-8")


def literals(tree):
    """The line and value of each string literal of Python code that is no docstring."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str):
                yield node.lineno, value


def pieces(path, text):
    """What may name a plugin: literals of Python, each line of a template or of a page's files."""
    if path.suffix == ".py":
        yield from literals(ast.parse(text))
    else:
        yield from enumerate(text.splitlines(), 1)


def naming(names):
    """A pattern of the names that stand in a text as words; plain words where they are quoted."""
    words = "|".join(map(re.escape, sorted(names - {*OTHER_USES}, key=len, reverse=True)))
    plain = "|".join(map(re.escape, sorted(names & {*OTHER_USES})))
    return re.compile(rf"""(?<![\w-])({words})(?![\w-])|(["'`])({plain})\2|\A\s*({plain})\s*\Z""")


def told(found):
    """Every violation, after how many there are by file."""
    by_file = Counter(str(path.relative_to(CORE)) for path, _, _ in found)
    lines = [f"{path.relative_to(CORE)}:{line}: {what}" for path, line, what in found]
    counts = [f"{count:4} {file}" for file, count in by_file.most_common()]
    return "\n".join([f"{len(found)} in {len(by_file)} files", *counts, "", *lines])


def test_the_core_names_no_registered_task_metric_or_model():
    registry = load_registry()
    names = {*registry.tasks, *registry.metrics, *registry.models}
    assert {"human-codon", "excess_pairs", "lstm-64"} <= names
    assert set(OTHER_USES) <= names, "a word needs no leave that is no name"
    names -= {*WORDS}  # a control may be called as a model is that shows the same
    pattern = naming(names)
    found = [
        (path, line, match[0])
        for path, text in texts()
        for line, piece in pieces(path, text)
        for match in pattern.finditer(piece)
    ]
    assert not found, told(found)


def test_the_core_speaks_of_no_particular_task():
    found = [
        (path, number, line.strip())
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if ALSO.search(line) or (ONE_TASK.search(line) and "codonbench" not in line.lower())
    ]
    assert not found, told(found)
