"""Whoever takes a training step, one file each; `engine.py` sets them against each other.

A contender is a function of a `Ground` that returns CPU seconds a step and seed. Files named for
a peer import it, and only they do: what is not asked for need not be installed.
"""
