"""What a run shows, when the model is asked, and when it ends. Imports contracts and data."""

from codonbench.protocols.base import Evaluation, Protocol, Schedule
from codonbench.protocols.setup import RunSetup

__all__ = ["Evaluation", "Protocol", "RunSetup", "Schedule"]
