"""What a matrix product costs once its numbers are too small to be normal.

python benchmarks/subnormals.py
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median

import torch

from codonbench.execution.machine import describe_machine
from codonbench.training.determinism import pin_arithmetic, subnormals_as_zero

ROWS, WIDTH = 84, 256  # a step of rnn-256
REPEATS, ROUNDS = 50, 5


def microseconds(rows: torch.Tensor, weights: torch.Tensor) -> float:
    """Return the processor time of one product, the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(REPEATS):
            rows @ weights
        rounds.append((time.process_time() - started) / REPEATS * 1e6)
    return median(rounds)


def main() -> None:
    """Print a Markdown table."""
    pin_arithmetic(1)
    torch.manual_seed(0)
    rows, weights = torch.randn(ROWS, WIDTH), torch.randn(WIDTH, WIDTH)
    print(f"{describe_machine('cpu').device_name}, torch {torch.__version__}, one thread\n")
    print("| numbers | as they are, us | taken for zero, us |\n|---|---|---|")
    for name, scale in (("normal", 1.0), ("subnormal, about 1e-39", 1e-39)):
        times = []
        for context in (nullcontext(), subnormals_as_zero()):
            with context:
                times.append(microseconds(rows * scale, weights))
        print(f"| {name} | {times[0]:,.0f} | {times[1]:,.0f} |")


if __name__ == "__main__":
    main()
