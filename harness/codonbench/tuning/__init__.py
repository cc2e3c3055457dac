"""Hyperparameter tuning on training and validation items: search space and study."""
