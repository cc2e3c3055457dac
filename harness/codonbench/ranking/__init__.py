"""Over seeds and rows: survival, intervals, paired tests, tiers, tables."""
