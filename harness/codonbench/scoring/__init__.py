"""Scoring of trajectories by metrics, at the end of a run or later."""
