"""The run that a few words on the command line name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codonbench.records import RunRecord
    from codonbench.store import Store


def find_run(store: Store, wanted: str) -> RunRecord:
    """Return the one record that `wanted` names, in whole or by the beginning of its id.

    Raises:
        UnknownNameError: No record or more than one.
        StoreError: The file of that name is no sound record.
    """
    from codonbench.errors import StoreError, UnknownNameError
    from codonbench.records import RunRecord

    if not store.folder.is_dir():
        raise StoreError(f"no results folder {store.folder}; 'bench run' makes one")
    wanted = wanted.removesuffix(".json")
    found = []
    for item in store.scan():
        if isinstance(item, RunRecord):
            names = (item.name, f"{item.model}-s{item.seed}")
            if wanted in names or item.run_id.startswith(wanted):
                found.append(item)
        elif item.path.stem == wanted:
            raise StoreError(f"{item.path} {item.reason}")
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownNameError(
            f"no run {wanted!r} in {store.folder}; give a record's name or the beginning of its id"
        )
    first = ", ".join(r.name for r in found[:5])
    more = ", ..." if len(found) > 5 else ""
    raise UnknownNameError(f"{wanted!r} fits {len(found)} runs, give more of it: {first}{more}")
