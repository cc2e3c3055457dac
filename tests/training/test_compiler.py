"""PyTorch's compiler is imported where something is compiled and not before."""

import subprocess
import sys

import pytest

TRAINED = """
import sys, torch
from torch.func import vjp
from codonbench.training.determinism import pin_arithmetic
pin_arithmetic(1)
from codonbench.engines.capture import captured

module = torch.nn.Linear(4, 3)
optimizer = torch.optim.AdamW(module.parameters())
module(torch.ones(2, 4)).sum().backward()
optimizer.step()
optimizer.zero_grad()

def slope(x):
    out, back, *_ = vjp(lambda x: torch.tanh(x @ x), x)
    return back(torch.softmax(out, dim=1))[0]

x = torch.arange(9.0).reshape(3, 3) / 9
assert torch.equal(captured(slope, (x,))(x), slope(x))
assert not {"sympy", "torch._dynamo.utils", "torch._inductor"} & set(sys.modules)
"""

USED = """
import inspect
inspect.getmodule(slope)  # which looks at all modules there are
assert "sympy" not in sys.modules
import torch._dynamo.utils
from torch._dynamo import utils
from torch.fx.experimental.symbolic_shapes import ShapeEnv, sym_eq
assert torch._dynamo.utils is utils is sys.modules["torch._dynamo.utils"]
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
assert utils.__spec__.name == "torch._dynamo.utils" and callable(utils.detect_fake_mode)
assert sym_eq((2, 3), (2, 3)) is True and sym_eq((2, 3), (3, 2)) is False
assert "__dynamo_disable" not in vars(torch.optim.Optimizer.add_param_group.__wrapped__)
optimizer.step()
assert torch.equal(torch.compile(slope, backend="eager")(x), slope(x))
"""


@pytest.mark.parametrize(
    "more", ["", pytest.param(USED, marks=pytest.mark.nightly("compiles"))], ids=["trains", "used"]
)
def test_what_trains_imports_no_compiler_and_what_compiles_does(more):
    command = [sys.executable, "-c", TRAINED + more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
