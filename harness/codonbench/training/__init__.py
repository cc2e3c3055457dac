"""The training loop, its losses, its state and its checkpoints. Imports contracts and data."""
