"""The line of a plugin that is named where its code has failed."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from codonbench.plugins.failures import place


def made():
    return torch.nn.Linear(2, 2)


MADE = f" (made in test_failures.py:{made.__code__.co_firstlineno + 1})"
FAILING = [
    lambda: LogisticRegression().fit(np.zeros((2, 2)), [0]),
    lambda: made()(torch.zeros(1, 3)),
]


@pytest.mark.parametrize("fails", FAILING)
def test_a_librarys_frames_are_passed_over_for_the_line_that_made_what_fails(fails):
    with pytest.raises((ValueError, RuntimeError)) as caught:
        fails()
    line = fails.__code__.co_firstlineno
    assert place(caught.tb, __file__, made) == f" (test_failures.py:{line})"
    inside = caught.tb.tb_next.tb_next  # behind the two frames of this file
    assert place(inside, __file__, made) == MADE
    assert place(inside, "elsewhere.py", made) == ""


def test_a_module_beside_the_plugin_is_the_plugins(tmp_path):
    folder = tmp_path / "site-packages" / "shop"
    code = compile(
        "def helps():\n    raise ValueError('no luck')", str(folder / "helper.py"), "exec"
    )
    exec(code, names := {})
    with pytest.raises(ValueError, match="no luck") as caught:
        names["helps"]()
    assert place(caught.tb.tb_next, str(folder / "models.py")) == " (helper.py:2)"
    assert place(caught.tb.tb_next, str(folder.parent / "other.py")) == ""
