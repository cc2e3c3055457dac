"""Warnings of plugins: each once, with a count."""

import warnings

import pytest

from codonbench.training.determinism import each_warning_once


def fit(step):
    warnings.warn(f"no convergence after {step} steps, loss {step / 7:.2e}", stacklevel=1)
    if step == 2:
        warnings.warn("one label is rare", stacklevel=1)


@pytest.mark.filterwarnings("always")
def test_a_warning_that_differs_by_numbers_alone_is_shown_once_and_counted(capsys):
    before = warnings.showwarning
    shown = []
    warnings.showwarning = lambda message, *_: shown.append(str(message))
    try:
        with each_warning_once():
            for step in range(390):
                fit(step)
        fit(1)  # outside nothing is held back
    finally:
        warnings.showwarning = before
    assert shown == [
        "no convergence after 0 steps, loss 0.00e+00",
        "one label is rare",
        "no convergence after 1 steps, loss 1.43e-01",
    ]
    (line,) = capsys.readouterr().err.splitlines()
    assert __file__ in line
    assert line.endswith("UserWarning: 389 more like it: no convergence after # steps, loss #")
