"""A publication put to the test: its published table beside our own runs."""
