from pathlib import Path

import pytest
import torch

from codonbench.errors import ConfigError
from codonbench.machine import choose_device, describe_machine, pin_arithmetic


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError) as caught:
        choose_device("cuda")
    assert str(caught.value) == (
        "device 'cuda': PyTorch sees no CUDA device here; use --device cpu"
    )


def test_with_a_gpu_auto_is_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"


def test_arithmetic_is_pinned_and_the_description_says_so():
    pin_arithmetic(1)
    machine = describe_machine("cpu")
    assert (machine.threads, machine.deterministic, machine.tf32) == (1, True, False)
    assert (machine.driver, machine.cuda) == (None, None)
    assert machine.torch == torch.__version__
    assert machine == describe_machine("cpu")


def test_the_description_names_no_host_user_or_path():
    text = describe_machine("cpu").model_dump_json()
    assert str(Path.home()) not in text
    assert "/" not in text.replace("w/", "")  # as in "CPU w/ Graphics"


def test_the_kind_of_machine_is_what_decides_the_bits():
    machine = describe_machine("cpu")
    for field, value in [
        ("device_name", "another"),
        ("cpu_capability", "another"),
        ("system", "another"),
        ("torch", "1.0"),
        ("threads", 99),
    ]:
        assert machine.model_copy(update={field: value}).kind != machine.kind
    assert machine.model_copy(update={"python": "3.99"}).kind == machine.kind
