"""Where entry points of earlier installations look for the commands of `cli`."""
