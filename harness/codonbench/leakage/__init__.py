"""Audits of data sets: copies across splits, and trivial rules that predict the targets."""
