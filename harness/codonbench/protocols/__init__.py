"""Protocols: what a run is trained and evaluated on, and when it ends."""

from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule

__all__ = ["Evaluation", "Protocol", "RunSetup", "Schedule"]
