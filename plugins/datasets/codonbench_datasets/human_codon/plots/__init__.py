"""Runs as figures: one picture a file, drawn from trajectories alone, all in one `style`.

Needs matplotlib, which ``pip install 'codonbench[pictures]'`` brings.
"""
