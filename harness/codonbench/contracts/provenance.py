"""Where a run's figures come from, as its record tells: which plugin, and which machine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from codonbench.contracts.base import Frozen

DeviceKind = Literal["cpu", "cuda"]

_Words = Annotated[str, Field(max_length=200, pattern=r"^[\x20-\x7e]*$")]

_PLUGIN_FILE = re.compile(r"\w[\w.-]{0,99}\.py")


class Origin(Frozen):
    """Where a plugin comes from.

    Attributes:
        distribution: The installed distribution; empty where there is none.
        version: The distribution's version.
        module: The Python module that registered it.
        source_sha256: Of the source files that define its class and the bases it inherits
            from, in the order Python looks them up, each followed by the files beside it whose
            names begin with ``_`` and that it names, by the modules beside a one-file plugin that
            it imports, and by the files that the class declares.
    """

    distribution: str
    version: str
    module: str
    source_sha256: str

    @property
    def file(self) -> str:
        """The name of the single file it came from; empty where it was installed, or is odd."""
        is_file = not self.version and _PLUGIN_FILE.fullmatch(self.distribution)
        return self.distribution if is_file else ""


class TorchFacts(Frozen):
    """What only the interpreter that trains can tell of a machine.

    Attributes:
        python, torch, numpy: Versions.
        cpu_capability: The vector instructions PyTorch uses.
        threads: CPU threads.
        deterministic: PyTorch was told to refuse non-deterministic algorithms.
        tf32: Whether matrix products may be rounded to TF32.
        gpu_name, gpu_uuid, cuda: Of the GPU in use, its UUID without ``GPU-``; None where there
            is none, and where nobody asked for it.
    """

    python: _Words
    torch: _Words
    numpy: _Words
    cpu_capability: _Words
    threads: int
    deterministic: bool
    tf32: bool
    gpu_name: _Words | None = None
    gpu_uuid: _Words | None = None
    cuda: _Words | None = None


class Circumstances(Frozen):
    """What may have touched a run's times, and nothing else of it.

    Attributes:
        alone: Whether the run had its GPU or its cores to itself, as far as other runs of
            codonbench go; None where that could not be made sure of.
        neighbours: How many other runs of codonbench used them when it began.
        load_average: Processes that wanted a processor in the minute before it began.
        clocks_mhz: Of the GPU, or the mean of the processors, as it began and as it ended.
    """

    alone: bool | None = None
    neighbours: int | None = None
    load_average: float | None = None
    clocks_mhz: tuple[int, ...] = ()


class Machine(Frozen):
    """Hardware and software identity; no host name, no user, no path.

    Attributes:
        device: ``cpu`` or ``cuda``.
        device_name: The processor's or the GPU's own name.
        cpu_name, cpu_capability: The processor, and the vector instructions PyTorch uses on it.
        cpu_count: Processors this process may use.
        driver, cuda: Of the GPU; None on a CPU.
        system: Operating system and architecture.
        python, torch, numpy: Versions.
        threads: CPU threads of the run.
        deterministic: PyTorch was told to refuse non-deterministic algorithms.
        tf32: Whether matrix products may be rounded to TF32.
        gpu_id: 16 hexadecimal digits of the SHA-256 of the GPU's UUID, which tells one GPU from
            another of its kind and gives no serial number away; None on a CPU.
        circumstances: Of this run; None in records from before they were noted.
    """

    device: DeviceKind
    device_name: str
    cpu_name: str
    cpu_capability: str
    cpu_count: int
    driver: str | None
    cuda: str | None
    system: str
    python: str
    torch: str
    numpy: str
    threads: int
    deterministic: bool
    tf32: bool
    gpu_id: str | None = None
    circumstances: Circumstances | None = None

    @property
    def kind(self) -> tuple[str, ...]:
        """What must agree for two runs of one spec to give identical weights."""
        return (
            self.device_name,
            self.cpu_name,
            self.cpu_capability,
            self.system,
            self.torch,
            str(self.threads),
        )
