"""How much the page loads, and how soon it is there, on a board of 100 tasks, 100 models, 10 seeds.

    python benchmarks/site.py > benchmarks/site.md

Records are made from one of the committed ones: other models, seeds and scores; a table of 100
models stands for each of the tasks, under names and categories of its own. Test outputs are made up
for one table, whose page is opened. Chromium opens the page from disk, three times; the median is
told.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from codonbench.contracts.run_record import RunRecord
from codonbench.execution.machine import describe_machine
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import Board, build_board
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.items import gather_tested
from codonbench.records.recorded_outputs import ItemOutputs
from codonbench.records.store import Store
from codonbench.report.item_facts import read_facts
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.files import wanted_files
from codonbench.report.site.page import model_id, table_id

ROOT = Path(__file__).resolve().parent.parent
TASKS, MODELS, SEEDS, ROWS, REPEATS = 100, 100, 10, 10_000, 3
CATEGORIES = ("regulatory", "expression", "variants", "structure", "quantities")


def made_up(base: RunRecord, models: int, seeds: int) -> list[RunRecord]:
    """Return records of so many models, whose scores rise with their number."""
    found = []
    for m in range(models):
        for s in range(seeds):
            run_spec = base.run_spec.model_copy(update={"model": f"model-{m:05d}", "seed": s})
            score = 0.2 + 0.6 * m / models + 0.02 * ((7 * s + 3 * m) % 10) / 10
            changes = {
                "run_spec": run_spec,
                "model": run_spec.model,
                "seed": s,
                "run_id": f"{m:08x}{s:08x}",
                "metrics": base.metrics | {"mcc": round(score, 6)},
                "overrides": {},
            }
            found.append(base.model_copy(update=changes))
    return found


def answered(record: RunRecord, real: ItemOutputs) -> ItemOutputs:
    """Return a real run's answers, blurred as the score of a made-up one calls for."""
    rng = np.random.default_rng([record.seed, int(record.model[-5:])])
    noise = rng.normal(0, 3 * (1 - float(record.metrics["mcc"] or 0)), real.outputs.shape)
    outputs = (real.outputs + noise).astype(np.float32)
    return ItemOutputs(real.task, "made up", real.items, outputs, real.targets, real.groups)


def opened(browser: Browser, address: str, ready: str) -> tuple[float, float, int, int]:
    """Return ms to the first paint and until `ready` is there, bytes loaded, and elements."""
    measured = []
    for _ in range(REPEATS):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector(ready)
        paint, there = page.evaluate(
            "[performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, "
            "performance.now()]"
        )
        sizes = [
            Path(url.partition("#")[0].removeprefix("file://")).stat().st_size
            for url in asked
            if url.startswith("file:")
        ]
        elements = page.evaluate("document.querySelectorAll('*').length")
        measured.append((paint, there, sum(sizes), elements))
        page.close()
    return tuple(statistics.median(column) for column in zip(*measured, strict=True))  # type: ignore[return-value]


def write(folder: Path, board: Board, runs: dict[str, RunRecord], known: PageSources) -> float:
    """Write a page; return the seconds that took."""
    begun = time.perf_counter()
    for path, content in wanted_files(board, runs, (), {}, known).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return time.perf_counter() - begun


def main() -> None:
    """Measure, and print a page."""
    registry = load_registry()
    store = Store(ROOT / "leaderboard" / "results")
    base, *_ = [
        r
        for r in store.scan()
        if isinstance(r, RunRecord) and r.model == "cnn" and r.task == "gue-tf-0"
    ]
    tested = gather_tested([(store, [base])], registry)
    real = tested.outputs[base.run_id]
    records = made_up(base, MODELS, SEEDS)
    runs = {record.run_id: record for record in records}
    (table,) = build_board(records, registry.known_tasks).tables
    gained = [
        row.model_copy(
            update={"gain": Gain(over="floor", value=v, low=v - 0.0312, high=v + 0.0287, n=10)}
        )
        for row in table.rows
        for v in [round((row.means["mcc"].value if row.means["mcc"] else 0) - 0.5, 6)]
    ]
    table = table.model_copy(update={"rows": tuple(gained)})
    tables = [
        table.model_copy(
            update={
                "key": f"{t:012x}",
                "task": f"task-{t:03d}" if t else table.task,
                "category": CATEGORIES[t % len(CATEGORIES)],
                "data_checksum": table.data_checksum if not t else f"{t:064x}",
            }
        )
        for t in range(TASKS)
    ]
    load = os.getloadavg()[0]
    with TemporaryDirectory() as place, sync_playwright() as driver:
        chromium = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        many, long = Path(place, "many"), Path(place, "long")
        known = PageSources(
            tasks=registry.known_tasks,
            metrics=registry.known_metrics,
            outputs={r.run_id: answered(r, real) for r in records if r.seed < 2},
            facts=read_facts(ROOT / "leaderboard" / "items"),
        )
        board = Board(tables=tuple(tables), excluded=())
        for t in tables[1:]:  # only the first has outputs: what a page costs is measured once
            assert t.data_checksum not in known.facts
        seconds = write(many, board, runs, known)
        print(f"written in {seconds:.0f} s", file=sys.stderr)
        first = f"file://{many}/index.html"
        one = f"{first}#table={table_id(tables[0])}"
        rows = [opened(browser, first, "#overview table"), opened(browser, one, "#table tbody tr")]
        model = f"{first}#model={model_id('model-00099')}"
        rows.append(opened(browser, model, "#model tbody tr"))
        entries = made_up(base, ROWS, 1)
        (table,) = build_board(entries, registry.known_tasks).tables
        write(
            long, Board(tables=(table,), excluded=()), {r.run_id: r for r in entries}, PageSources()
        )
        rows.append(opened(browser, f"file://{long}/index.html", "#table tbody tr"))
        version = browser.version
    names = (
        f"overview, {TASKS} tasks x {MODELS} models x {SEEDS} seeds",
        f"one of its tasks, {MODELS} rows with charts by item",
        f"one of its models, {TASKS} tasks",
        f"a single task with {ROWS:,} rows",
    )
    print("# The page\n")
    print(f"`python benchmarks/site.py`, Chromium {version.partition('.')[0]}, opened from disk;")
    print(f"median of three. {describe_machine('cpu').cpu_name},")
    print(f"{os.cpu_count()} cores shared with other work: load {load:.1f} as it began and")
    print(f"{os.getloadavg()[0]:.1f} as it ended.\n")
    print("| view | first paint, ms | drawn, ms | loaded, MB | elements |")
    print("|---|--:|--:|--:|--:|")
    for name, (paint, there, size, elements) in zip(names, rows, strict=True):
        print(f"| {name} | {paint:,.0f} | {there:,.0f} | {size / 1e6:.2f} | {elements:,.0f} |")
    print("\nGoals: first paint below 1,000 ms, at most 5 MB at first. 0.5 MB of each are Plot and")
    print("d3. The first file has one cell for each task and model; a task, a model or a row is")
    print("loaded when it is opened. Of 10,000 rows 1,000 are loaded, and 500 of them drawn,")
    print("until the reader asks for more, filters or sorts.")


if __name__ == "__main__":
    main()
