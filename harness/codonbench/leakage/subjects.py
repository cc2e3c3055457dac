"""Data to be audited, with the columns by which items belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from codonbench.data.own_table import MetricsOf, open_table, read_description
from codonbench.data.table_files import find_files
from codonbench.data.table_guess import GROUP_NAMES
from codonbench.leakage.audit import Subject

ALSO_GROUPS = ("gene", "gene_id", "transcript", "chromosome", "chrom", "chr", "contig", "organism")
"""Columns, in either case, whose items are looked at as groups though nobody calls them so."""


def table_subject(data: str, overrides: Mapping[str, str], metrics_of: MetricsOf) -> Subject:
    """Return a table of one's own, whose groups may cross splits here.

    Args:
        data: The file, folder or files, or the path of a description.
        overrides: Fields of `codonbench.data.own_table.TableDescription`, as text.
        metrics_of: As for `open_table`.

    Raises:
        DataError: The table is missing, unreadable or unusable; names file and line.
        ConfigError: A field is wrong.
    """
    described, folder = {}, Path()
    if data.lower().endswith(".toml"):
        described, folder = read_description(Path(data)), Path(data).parent
    files = find_files(str(described.get("data", data)), folder)
    first = next(iter(files.chunks(files.first, rows=1)), None)
    lower = {} if first is None else {column.lower(): column for column in first.cells}
    given = overrides.get("group", described.get("group"))
    if given is None:
        given = next((lower[name] for name in GROUP_NAMES if name in lower), "")
    used = {*overrides.values(), *map(str, described.values())} - {given}
    names = [given, *(lower[name] for name in ALSO_GROUPS if name in lower)]
    names = [name for name in dict.fromkeys(names) if name and name not in used]
    *_, dataset = open_table(data, "", {**overrides, "group": ""}, metrics_of, ())
    found = {}
    for name in names:
        cells = [
            cell
            for file in files.files.values()
            for chunk in files.chunks(file, [name])
            for cell in chunk.cells[name]
        ]
        found[name] = np.unique(np.array(cells), return_inverse=True)[1]
    if given in found and len(dataset.splits) == 1:
        dataset = replace(dataset, groups=found[given])
    return Subject(dataset, found, given)
