"""What a run shows, when the model is asked, and when it ends. Imports contracts and data."""

from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule

__all__ = ["Evaluation", "Protocol", "RunSetup", "Schedule"]
