"""Audits of records: whether they are consistent, and whether their runs repeat."""
