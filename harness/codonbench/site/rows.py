"""A row's pictures and the records they belong to: which are kept, and which are made anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from codonbench.config import content_hash
from codonbench.controls import row_key
from codonbench.errors import StoreError
from codonbench.records import RunRecord
from codonbench.site.packing import unpack
from codonbench.site.pictures import Axes, EmbeddingPicture, HeatMap, RowPicture, SeedPicture
from codonbench.site.reduction import reduce_axes, reduce_heat_map, reduce_seed
from codonbench.store import Store

RANKED_BY = "excess_pairs"
DECIPHERED_AT = "pairs_consumed"

Records = Mapping[str, RunRecord]
"""A row's records by run_id."""


def row_id(record: RunRecord) -> str:
    """Return the id of the row that a record counts in: a name for its file, and for a link."""
    place = (record.comparability_key, record.machine.device)
    return content_hash([*place, *row_key(record)])[:16]


def picture_row(records: Records, store: Store, old: RowPicture | None) -> RowPicture | None:
    """Return the pictures of a row: what was made already, and what traces at hand add to it.

    Args:
        records: The row's.
        store: Where their traces lie, if anywhere.
        old: What was made before; parts of it that belong to other records are dropped.

    Returns:
        Pictures of the seeds that there are any of; None where there are none.

    Raises:
        StoreError: A trace is unreadable, or is not its record's.
    """
    known = {seed.run_id: seed for seed in old.seeds if _is_of(seed, records)} if old else {}
    seeds, axes = [], old.axes if old and known else None
    for run_id, record in records.items():
        seed = known.get(run_id)
        if seed is None and (trace := store.load_trace(record)) is not None:
            seed, axes = reduce_seed(record, trace), axes or reduce_axes(trace)
        if seed is not None:
            seeds.append(seed)
    if axes is None:
        return None
    return RowPicture(
        row=row_id(next(iter(records.values()))),
        axes=axes,
        seeds=tuple(seeds),
        heat_map=_heat_map(old.heat_map if old else None, seeds, records, store),
        embedding=_embedding(old.embedding if old else None, records),
    )


def fits(picture: RowPicture, records: Records) -> bool:
    """Return whether every part of a row's pictures belongs to its records, and agrees with them.

    What a picture says of a run can be held against its record in one point: when the run
    deciphered. The rest is as trustworthy as who committed it.
    """
    parts = (*picture.seeds, *([picture.heat_map] if picture.heat_map else []))
    embedding = picture.embedding
    try:
        return (
            all(_is_of(part, records) for part in parts)
            and all(_agrees(seed, picture.axes, records[seed.run_id]) for seed in picture.seeds)
            and (embedding is None or _embedding(embedding, records) is not None)
            and (picture.heat_map is None or _is_whole(picture.heat_map, picture.axes))
        )
    except (StoreError, ValueError):  # a packed array that is none, or of another shape
        return False


def _is_of(part: SeedPicture | HeatMap, records: Records) -> bool:
    record = records.get(part.run_id)
    return record is not None and (record.seed, record.trace_sha256) == (
        part.seed,
        part.trace_sha256,
    )


def _agrees(seed: SeedPicture, axes: Axes, record: RunRecord) -> bool:
    """Return whether a picture deciphers where its record does."""
    pairs, right = unpack(seed.pairs), unpack(seed.right)
    curves = np.stack([pairs, right, unpack(seed.stops_right), unpack(seed.lowest)])
    for per_input in (seed.first_right, seed.right_since):
        unpack(per_input).reshape(len(axes.inputs))
    unpack(seed.p_stop).reshape(len(seed.stops), curves.shape[1])
    there = np.flatnonzero(right >= axes.needed)
    found = int(pairs[there[0]]) if len(there) else None
    unanswered = DECIPHERED_AT in record.not_measured
    return unanswered or found == record.metrics.get(DECIPHERED_AT, found)


def _is_whole(heat_map: HeatMap, axes: Axes) -> bool:
    """Return whether the arrays of a heat map have the shapes that the page relies on."""
    n, inputs, classes = heat_map.pairs.shape[0], len(axes.inputs), len(axes.classes)
    for packed in (heat_map.p, heat_map.right, heat_map.pairs, heat_map.redrawn):
        unpack(packed)
    return (
        heat_map.p.shape == (inputs, classes, n)
        and heat_map.right.shape == (inputs, n)
        and heat_map.redrawn.shape == (inputs, len(heat_map.looks))
        and all(0 <= look < n for look in heat_map.looks)
        and len(heat_map.labels) == inputs
        and all(0 <= label < classes for label in heat_map.labels)
    )


def _heat_map(
    old: HeatMap | None, seeds: Sequence[SeedPicture], records: Records, store: Store
) -> HeatMap | None:
    """Return the heat map of the median run; an older one where that run's trace is not there."""
    kept = old if old and _is_of(old, records) else None
    wanted = _median_run([records[seed.run_id] for seed in seeds])
    if kept and kept.run_id == wanted.run_id:
        return kept
    trace = store.load_trace(wanted)
    return kept if trace is None else reduce_heat_map(wanted, trace)


def _median_run(records: Sequence[RunRecord]) -> RunRecord:
    """Return the run at the (lower) median of what rows are ranked by; never is last."""

    def position(record: RunRecord) -> tuple[float, int]:
        value = record.metrics.get(RANKED_BY)
        return math.inf if value is None else float(value), record.seed

    return sorted(records, key=position)[(len(records) - 1) // 2]


def _embedding(old: EmbeddingPicture | None, records: Records) -> EmbeddingPicture | None:
    record = records.get(old.run_id) if old else None
    return old if record and old and record.seed == old.seed else None
