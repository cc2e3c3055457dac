"""A worker process: ``python -P -m codonbench.execution.worker HEARS SPEAKS LIFELINE [gpu]``."""

from __future__ import annotations

import sys

from codonbench.execution.lifeline import take_hold


def main() -> None:
    """Serve until the parent hangs up."""
    hears, speaks = take_hold()

    from codonbench.execution.serving import serve  # takes seconds: PyTorch

    serve(hears, speaks, gpu="gpu" in sys.argv[4:])


if __name__ == "__main__":
    main()
