"""Runs as figures: one picture a file, drawn from trajectories and nothing else; `style` holds them.

Needs matplotlib, which ``pip install 'codonbench[pictures]'`` brings.
"""
