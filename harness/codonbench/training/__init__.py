"""The training loop, its losses, state and checkpoints. Imports contracts, data, protocols."""
