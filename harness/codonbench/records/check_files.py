"""A process that holds record files to their checksums, while the one that asked reads them.

``python -P -m codonbench.records.check_files FOLDER``: the files' names come as a JSON list, and a
line goes out for each, with what identifies the file as it was read, or nothing for one that is no
sound record.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from codonbench.contracts.run_record import seals
from codonbench.errors import StoreError
from codonbench.records.files import decoded, identity, read_content


def seen_sound(path: Path) -> str:
    """Return a file's identity where its content has the checksums that it gives, else nothing."""
    try:
        text, facts = read_content(path)
        content = decoded(text)
        sound = seals(content) == (content["run_id"], content["checksum"])
    except (StoreError, LookupError, TypeError, ValueError, AttributeError):
        return ""
    return identity(facts) if sound else ""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in json.load(sys.stdin):
        print(seen_sound(folder / name))
