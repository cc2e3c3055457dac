"""What a run shows, when the model is asked, and when it ends. Imports contracts and data."""

from codonbench.protocols.base import Evaluation, Protocol, RunSetup, Schedule

__all__ = ["Evaluation", "Protocol", "RunSetup", "Schedule"]
