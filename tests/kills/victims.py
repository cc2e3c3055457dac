"""Runs to be killed: a process that has imported everything forks one for each line it is sent.

Not a test. Reads JSON lines ``{"folder", "request", "workers"}``, answers each with the number of a
process group that runs it, and with its exit code once it has ended. So a kill costs no import.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import torch._inductor.config  # noqa: F401 - what tracing would import in each run

from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.pool import WorkerPool
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run_all, train_here
from codonbench.plugins.discovery import load_registry
from codonbench.protocols.referee import unwatched
from codonbench.records.store import Store

EVERY = 0.05  # seconds between two checkpoints


def run(registry, folder, request, workers):
    job = prepare(RunRequest(**request), registry, Path("no-cache"))
    pool = WorkerPool(workers, states=Path(folder) / "checkpoints")
    trainer = pool.train if workers else train_here
    for _ in run_all(job, registry, Store(Path(folder)), unwatched, trainer, every=EVERY):
        pass


def main():
    registry = load_registry()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            code = 1
            try:
                run(registry, **asked)
                code = 0
            finally:
                os._exit(code)
        with contextlib.suppress(OSError):  # it has done so itself
            os.setpgid(child, child)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
