import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codonbench.contracts.run_record import Circumstances
from codonbench.errors import ConfigError
from codonbench.execution import machine as this_machine
from codonbench.execution.machine import choose_device, clock_mhz, describe_machine, gpu_uuid
from codonbench.training.determinism import pin_arithmetic, subnormals_as_zero, torch_facts


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError) as caught:
        choose_device("cuda")
    assert str(caught.value) == (
        "device 'cuda': PyTorch sees no CUDA device here; use --device cpu"
    )


def test_with_a_gpu_auto_is_the_gpu(monkeypatch):
    facts = torch_facts(gpu=False).model_copy(update={"gpu_name": "a GPU", "gpu_uuid": "1-2"})
    monkeypatch.setattr(this_machine, "nvidia_is_visible", lambda: True)
    monkeypatch.setattr(this_machine, "facts_here", lambda gpu: facts)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"
    machine = describe_machine("cuda", facts=facts)
    assert (machine.device_name, len(machine.gpu_id)) == ("a GPU", 16)
    assert "1-2" not in machine.model_dump_json()


def test_where_no_nvidia_driver_is_seen_auto_asks_nobody(monkeypatch):
    monkeypatch.setattr(this_machine, "nvidia_is_visible", lambda: False)
    monkeypatch.setattr(this_machine, "facts_here", None)
    assert choose_device("auto") == "cpu"


def test_without_torch_here_what_a_worker_has_told_of_the_gpu_is_believed(monkeypatch):
    told = torch_facts(gpu=False).model_copy(update={"gpu_name": "a GPU"})
    monkeypatch.setattr(this_machine, "_torch_facts", [])
    monkeypatch.delitem(this_machine.sys.modules, "torch")
    this_machine.note_facts(told)
    assert this_machine.facts_here(gpu=True) == told


def test_arithmetic_is_pinned_and_the_description_says_so():
    pin_arithmetic(1)
    machine = describe_machine("cpu")
    assert (machine.threads, machine.deterministic, machine.tf32) == (1, True, False)
    assert (machine.driver, machine.cuda) == (None, None)
    assert machine.torch == torch.__version__
    assert machine == describe_machine("cpu")


FAULTS = """
from resource import RUSAGE_SELF, getrusage
import numpy as np
from codonbench.training.determinism import keep_freed_memory

def faults():
    for _ in range(50):
        before = getrusage(RUSAGE_SELF).ru_minflt
        held = [np.full(1 << 20, 7, dtype=np.uint8) for _ in range(8)]
        del held
    return getrusage(RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what another C library does is its")
def test_memory_that_a_step_frees_is_there_for_the_next_one():
    told = subprocess.check_output([sys.executable, "-c", FAULTS])
    given_back, kept = map(int, told.split())
    assert given_back > 100 > 10 > kept


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


def test_what_may_touch_times_is_no_part_of_the_kind_of_machine():
    machine = describe_machine("cpu")
    busy = describe_machine("cpu", Circumstances(alone=False, neighbours=3, load_average=9.5))
    assert busy.kind == machine.kind
    assert busy.circumstances.neighbours == 3
    assert (machine.gpu_id, machine.circumstances) == (None, None)


def test_the_clock_of_the_processors_is_their_mean(monkeypatch):
    told = "processor : 0\ncpu MHz\t\t: 2000.50\nprocessor : 1\ncpu MHz\t\t: 3000.50\n"
    monkeypatch.setattr(Path, "read_text", lambda path: told)
    assert clock_mhz("cpu") == 2_500  # rounded to even from 2500.5


@pytest.mark.parametrize("told", ["", None])
def test_a_clock_that_nobody_tells_is_none(monkeypatch, told):
    def read(path):
        if told is None:
            raise OSError("not Linux")
        return told

    monkeypatch.setattr(Path, "read_text", read)
    assert clock_mhz("cpu") is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_has_an_identity_that_gives_no_uuid_away_and_a_clock():
    machine = describe_machine("cuda")
    assert len(machine.gpu_id) == 16
    assert machine.gpu_id not in gpu_uuid()
    assert clock_mhz("cuda") > 0


def test_numbers_too_small_to_be_normal_are_zero_while_something_learns_and_not_after():
    tiny = torch.full((1024,), 1e-20)

    def product():
        return float((tiny * tiny * 1e20).sum())  # 1e-40 on the way

    assert product() > 0
    with subnormals_as_zero():
        assert product() == 0
        assert float((tiny * 1e-17).sum()) > 0
        with subnormals_as_zero():
            pass
        assert product() == 0
    assert product() > 0


def test_a_run_leaves_small_numbers_as_it_found_them(toys):
    toys.run("mlp-64", pairs=640)
    assert float(torch.tensor(1e-40) * 1) > 0
