"""Hyperparameters sought on training and validation items: the space, the study, its protocol."""
