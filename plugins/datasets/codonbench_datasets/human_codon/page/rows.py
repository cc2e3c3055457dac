"""A row's pictures and the records they belong to: which are kept, and which are made anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records.store import Store
from codonbench.report.site.figures import Records, row_id
from codonbench.report.site.scripts import Packed, unpack
from codonbench_datasets.human_codon.asked import serves
from codonbench_datasets.human_codon.page.pictures import (
    Axes,
    EmbeddingPicture,
    HeatMap,
    RowPicture,
    SeedPicture,
)
from codonbench_datasets.human_codon.page.reduction import reduce_axes, reduce_heat_map, reduce_seed

RANKED_BY = "excess_pairs"
DECIPHERED_AT = "pairs_consumed"


def kept_part(old: RowPicture, records: Records) -> RowPicture:
    """Return what of a row's pictures belongs to its records and agrees with them.

    What a picture says of a run can be held against its record in one point: when the run
    deciphered. The rest is as trustworthy as who committed it.
    """
    heat_map, embedding, axes = old.heat_map, old.embedding, old.axes
    has_map = heat_map and _is_of(heat_map, records) and _is_whole(heat_map, axes)
    has_plane = embedding and _is_of(embedding, records) and _is_placed(embedding, axes)
    return RowPicture(
        row=old.row,
        axes=axes,
        seeds=tuple(s for s in old.seeds if _is_of(s, records) and _agrees(s, axes, records)),
        heat_map=heat_map if has_map else None,
        embedding=embedding if has_plane else None,
    )


def picture_row(
    records: Records, store: Store, old: RowPicture | None, *, anew: bool = False
) -> RowPicture | None:
    """Return the pictures of a row: what was made already, and what trajectories at hand add to it.

    Args:
        records: The row's.
        store: Where their trajectories lie, if anywhere.
        old: What is kept of what was made before.
        anew: Make again what was made before, where the trajectory is at hand.

    Returns:
        Pictures of the seeds that there are any of; None where there are none.

    Raises:
        StoreError: A trajectory is unreadable, or is not its record's.
    """
    known = {seed.run_id: seed for seed in old.seeds} if old else {}
    seeds, axes = [], old.axes if old and known else None
    for run_id, record in records.items():
        seed = known.get(run_id)
        missing = seed is None or anew
        if missing and (trajectory := store.load_trajectory(record)) is not None:
            if not serves(trajectory):
                return None
            seed, axes = reduce_seed(record, trajectory), axes or reduce_axes(trajectory)
        if seed is not None:
            seeds.append(seed)
    if axes is None:
        return None
    return RowPicture(
        row=row_id(next(iter(records.values()))),
        axes=axes,
        seeds=tuple(seeds),
        heat_map=_heat_map(old.heat_map if old else None, seeds, records, store, anew),
        embedding=old.embedding if old else None,
    )


def _is_of(part: SeedPicture | HeatMap | EmbeddingPicture, records: Records) -> bool:
    """Return whether a picture was made from one of these runs, and from its trajectory."""
    record = records.get(part.run_id)
    return record is not None and (record.seed, record.trajectory_sha256) == (
        part.seed,
        part.trace_sha256,
    )


def _agrees(seed: SeedPicture, axes: Axes, records: Records) -> bool:
    """Return whether a seed's arrays have one length and decipher where their record does."""
    probes, inputs, record = seed.pairs.shape, len(axes.inputs), records[seed.run_id]
    curves = (seed.pairs, seed.right, seed.stops_right, seed.lowest)
    sound = (
        len(probes) == 1
        and all(_is_array(curve, *probes) for curve in curves)
        and _is_array(seed.p_stop, len(seed.stops), *probes)
        and _is_array(seed.first_right, inputs)
        and _is_array(seed.right_since, inputs)
        and all(0 <= stop < inputs for stop in seed.stops)
    )
    if not sound:
        return False
    there = np.flatnonzero(unpack(seed.right) >= axes.needed)
    found = int(unpack(seed.pairs)[there[0]]) if len(there) else None
    unanswered = DECIPHERED_AT in record.not_measured
    return unanswered or found == record.metrics.get(DECIPHERED_AT, found)


def _is_whole(heat_map: HeatMap, axes: Axes) -> bool:
    """Return whether the arrays of a heat map have the shapes that the page relies on."""
    probes, inputs, classes = heat_map.pairs.shape, len(axes.inputs), len(axes.classes)
    return (
        len(probes) == 1
        and _is_array(heat_map.pairs, *probes)
        and _is_array(heat_map.p, inputs, classes, *probes)
        and _is_array(heat_map.right, inputs, *probes)
        and _is_array(heat_map.redrawn, inputs, len(heat_map.looks))
        and all(0 <= look < probes[0] for look in heat_map.looks)
        and _are_labels(heat_map.labels, axes)
    )


def _is_array(packed: Packed, *shape: int) -> bool:
    """Return whether a packed array holds what it promises, and promises this shape."""
    try:
        return unpack(packed).shape == shape
    except StoreError:
        return False


def _is_placed(embedding: EmbeddingPicture, axes: Axes) -> bool:
    return len(embedding.xy) == len(axes.inputs) and _are_labels(embedding.labels, axes)


def _are_labels(labels: Sequence[int], axes: Axes) -> bool:
    return len(labels) == len(axes.inputs) and all(0 <= c < len(axes.classes) for c in labels)


def _heat_map(
    old: HeatMap | None,
    seeds: Sequence[SeedPicture],
    records: Records,
    store: Store,
    anew: bool,
) -> HeatMap | None:
    """Return the heat map of the median run; an older one where its trajectory is not there."""
    wanted = _median_run([records[seed.run_id] for seed in seeds])
    if old and old.run_id == wanted.run_id and not anew:
        return old
    trajectory = store.load_trajectory(wanted)
    return old if trajectory is None else reduce_heat_map(wanted, trajectory)


def _median_run(records: Sequence[RunRecord]) -> RunRecord:
    """Return the run at the (lower) median of what rows are ranked by; never is last."""

    def position(record: RunRecord) -> tuple[float, int]:
        value = record.metrics.get(RANKED_BY)
        return math.inf if value is None else float(value), record.seed

    return sorted(records, key=position)[(len(records) - 1) // 2]
