"""Write docs/tasks/, a page a task, from its fields, the audit of its data and what was published.

    python scripts/write_tasks.py
    python scripts/write_tasks.py --check

With ``--check`` nothing is written, and the exit code is 3 where a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from codonbench.contracts import Task
from codonbench.leakage.verdict import DataAudit
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.published import shipped_published
from codonbench.report.site.about_task import input_words, target_words

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "tasks"
TEMPLATE = Path(__file__).with_name("task.md.j2")


def page(task: Task, audits: dict[str, DataAudit]) -> str:
    """Return a task's page.

    Args:
        task: The task.
        audits: Of its data, by the options that they are of; empty for those of its own.
    """
    module = inspect.getmodule(type(task))
    family = inspect.getdoc(module) or "" if module else ""
    text = TEMPLATE.read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    own = type(task)
    what = next(doc for cls in own.__mro__ if (doc := cls.__doc__))
    asked, target = getattr(task, "input", None), getattr(task, "target", None)
    published = shipped_published().get(task.name, ())
    words = environment.from_string(text).render(
        task=task,
        what=inspect.cleandoc(what),
        family=family.partition("\n\n")[2].replace("``", "`"),
        input=input_words(asked) if asked is not None else "",
        strand="a sequence and its reverse complement have the same answer"
        if task.strand == "either"
        else "the one that is given",
        target=target_words(target) if target is not None else "",
        columns=", ".join(f"{column.title} (`{column.metric}`)" for column in task.ranking.columns),
        options=task.Options.model_fields,
        notes=[
            note
            for note in getattr(task, "notes", ())
            if not any(own.says(note) for own in published)
        ],
        audit=next(iter(audits.values()), None),
        audits=audits,
        published=published,
    )
    return re.sub(r"\n{3,}", "\n\n", words).strip() + "\n"


def pages() -> dict[Path, str]:
    """Return every page, by its file."""
    kept: dict[str, dict[str, DataAudit]] = {}
    for path in sorted((ROOT / "leaderboard" / "audits").glob("*.json")):
        audit = DataAudit.model_validate_json(path.read_bytes())
        which = path.stem.removeprefix(audit.task).lstrip("-")
        kept.setdefault(audit.task, {})[which] = audit
    found = {}
    lines = ["# The tasks", "", "| task | category | what |", "|---|---|---|"]
    registry = load_registry()
    tasks = sorted(registry.tasks.items())
    if registry.failures:  # whose pages would be deleted
        sys.exit("\n".join(f"{f.whose} did not load: {f.why}" for f in registry.failures))
    for name, entry in tasks:
        task = entry.task
        found[FOLDER / f"{name}.md"] = page(task, kept.get(name, {}))
        lines.append(f"| [{name}]({name}.md) | {task.category} | {task.title} |")
    missing = (
        "",
        "Published figures of genomic_benchmarks are left out: their source is not available.",
    )
    found[FOLDER / "README.md"] = "\n".join([*lines, *missing]) + "\n"
    return found


def main() -> int:
    """Write the pages, or check them."""
    wanted = pages()
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(p.name for p in {*wanted, *there} if wanted.get(p) != there.get(p))
        if stale:
            print(f"{', '.join(stale)} out of date; write with: python scripts/write_tasks.py")
        return 3 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in {*there} - {*wanted}:
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
