"""How tables of ``human-codon`` rank their rows."""

from __future__ import annotations

from codonbench.contracts import Column, Ranking

RANKING = Ranking(
    metric="excess_pairs",
    direction="lower",
    columns=(
        Column(metric="excess_pairs", title="excess pairs"),
        Column(metric="pairs_consumed", title="pairs consumed"),
        Column(metric="sustained_pairs", title="sustained"),
        Column(metric="confident_pairs", title="confident 0.9"),
        Column(metric="rare_stop_ambiguity", title="unsure stops", counts=True),
    ),
    tie_breakers=("pairs_consumed",),
    success="sustained_pairs",
    restricted_mean="pairs_consumed",
)
