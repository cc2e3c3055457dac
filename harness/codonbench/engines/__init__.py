"""Faster ways to run the reference loop of `codonbench.training`, each held to it.

``traced`` captures a training step once and replays it, for several seeds at a time, without
Python's or autograd's overhead. It serves modules that claim to be row-independent; `ladder`
checks that claim and the captured step against the reference in float64 before it is used, and
steps down to the reference where either does not hold.
"""
