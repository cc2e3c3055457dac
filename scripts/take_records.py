"""Take the records that a pull request adds, as data: nothing of it is checked out or run.

    python scripts/take_records.py BASE HEAD FOLDER

Run in a clone that has both commits. Every file that HEAD adds below leaderboard/results since it
left BASE is written to FOLDER, if it is a plain file with the name of a record, a signature or test
outputs, and a record's size. Figures of a table take the place of older ones, which may go.
Whatever else happens there (a record changed or removed, a link, a folder, a strange name) is
named, and the exit code is 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

RESULTS = "leaderboard/results"
FIGURES = r"outputs/figures-[0-9a-f]{16}\.json"
NAME = re.compile(
    rf"[a-z0-9][a-z0-9._-]{{0,127}}\.json(\.sig)?|outputs/[a-z0-9][a-z0-9._-]{{0,127}}\.npz|{FIGURES}"
)
PLAIN_FILE = "100644"
MAX_BYTES = 256 * 1024
MAX_FILES = 2_000


def git(*words: str) -> bytes:
    """Return what a git command writes."""
    return subprocess.run(["git", *words], capture_output=True, check=True).stdout


def changes(base: str, head: str) -> list[tuple[str, str, str, str]]:
    """Return mode, blob, kind of change and path of what HEAD changes among the records."""
    raw = git(
        "diff", "--raw", "-z", "--no-renames", "--abbrev=40", f"{base}...{head}", "--", RESULTS
    )
    parts = raw.decode(errors="replace").split("\0")[:-1]
    found = []
    for facts, path in zip(parts[::2], parts[1::2], strict=True):
        _, mode, _, blob, kind = facts.split(" ")
        if kind == "D" and re.fullmatch(f"{RESULTS}/{FIGURES}", path):
            continue
        found.append((mode, blob, kind, path))
    return found


def refusal(mode: str, blob: str, kind: str, path: str) -> str:
    """Return why a change is not taken; nothing where it is."""
    if kind != "A":
        return "is changed or removed; records are only ever added"
    if not NAME.fullmatch(path.removeprefix(f"{RESULTS}/")):
        return "has no record's name"
    if mode != PLAIN_FILE:
        return f"has mode {mode}; a record is a plain file"
    size = int(git("cat-file", "-s", blob))
    return f"holds {size:,} bytes, more than {MAX_BYTES:,}" if size > MAX_BYTES else ""


def main(base: str, head: str, folder: Path) -> int:
    """Take what can be taken, say what cannot, and return the exit code."""
    found = changes(base, head)
    if len(found) > MAX_FILES:
        print(f"{len(found):,} files are touched; at most {MAX_FILES:,} at a time")
        return 1
    refused = 0
    for change in found:
        reason = refusal(*change)
        if reason:
            print(f"{change[3]!a} {reason}")
            refused += 1
        else:
            place = folder / change[3].removeprefix(f"{RESULTS}/")
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(git("cat-file", "blob", change[1]))
    print(f"records taken: {len(found) - refused}, refused: {refused}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
