"""The protocol ``supervised``, registered through the door that strangers use."""

from collections.abc import Callable

from codonbench import hookimpl
from codonbench.protocols import Protocol
from codonbench.protocols.supervised import Supervised


@hookimpl
def register_protocols(register: Callable[[Protocol], None]) -> None:
    """Register the protocol."""
    register(Supervised())
