"""Time and memory of reading and curating a FASTA: our reader against a Biopython loop.

Usage: python benchmarks/fasta.py [MEGABYTES]      (default 100; prints a Markdown table)

The input is made on the spot: ORFs of human codon usage and length, one in twenty spoilt in one
of the ways that curation looks for, wrapped at 60 letters. Each reader runs in a process of its
own, so that peaks of memory do not mix; both must keep and drop the same records.
"""

from __future__ import annotations

import gzip
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import Bio
import numpy as np
from Bio import SeqIO
from Bio.Seq import Seq

from codonbench.data.fasta import read_fasta
from codonbench_datasets.human_codon.orfs import (
    CODONS,
    REASONS,
    START,
    curate,
    genetic_code,
    human_usage,
    orf_lengths,
    sense_and_stop_frequencies,
)


def write_fasta(path: Path, megabytes: float) -> None:
    """Write a FASTA of about the given size."""
    rng = np.random.default_rng(2)
    usage = human_usage()
    sense, stop = sense_and_stop_frequencies(usage)
    lengths = orf_lengths(usage)
    letters = np.array([codon.replace("U", "T") for codon in CODONS])
    written = 0
    with path.open("w", encoding="ascii") as file:
        while written < megabytes * 1e6:
            codons = rng.choice(64, size=int(rng.choice(lengths)), p=sense)
            codons[0], codons[-1] = START, rng.choice(64, p=stop)
            text = "".join(letters[codons])
            spoil = rng.integers(100)
            if spoil < 5:
                text = (
                    text[:6] + "N" + text[7:],
                    text[:-1],
                    "CTG" + text[3:],
                    text[:-3] + "CTG",
                    text[:3] + "TAA" + text[6:],
                )[spoil]
            lines = [text[i : i + 60] for i in range(0, len(text), 60)]
            written += file.write(f">orf{written} gene=unknown\n" + "\n".join(lines) + "\n")


def read_with_codonbench(path: str) -> dict[str, int]:
    """Return kept and dropped counts from our reader."""
    orfs = curate(read_fasta(path), genetic_code(1), path)
    return {**orfs.dropped, "kept": len(orfs), "codons": len(orfs.codons)}


def read_with_biopython(path: str) -> dict[str, int]:
    """Return the same from a loop over SeqIO records and their translation."""
    counts = dict.fromkeys([*REASONS, "kept", "codons"], 0)
    seen: set[str] = set()
    kept = []
    opened = gzip.open(path, "rt") if path.endswith(".gz") else Path(path).open()  # noqa: SIM115
    with opened as file:
        for record in SeqIO.parse(file, "fasta"):  # type: ignore[no-untyped-call]
            text = str(record.seq).upper().replace("U", "T")
            reason = _reason(text, seen)
            counts[reason] += 1
            if reason == "kept":
                seen.add(text)
                kept.append(text)
                counts["codons"] += len(text) // 3
    return counts


def _reason(text: str, seen: set[str]) -> str:
    if not text:
        return REASONS[0]
    if set(text) - set("ACGT"):
        return REASONS[1]
    if len(text) % 3:
        return REASONS[2]
    if not text.startswith("ATG"):
        return REASONS[3]
    protein = str(Seq(text).translate(table=1))  # type: ignore[no-untyped-call]
    if not protein.endswith("*"):
        return REASONS[4]
    if "*" in protein[:-1]:
        return REASONS[5]
    return REASONS[6] if text in seen else "kept"


READERS = {"codonbench": read_with_codonbench, "biopython": read_with_biopython}


def _memory_mb(field: str) -> float:
    """Return ``VmRSS`` (now) or ``VmHWM`` (peak) of this process; Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def _measure(reader: str, path: str) -> None:
    """Print, as JSON, what one reader costs in this process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = _memory_mb("VmRSS")
    begin = time.perf_counter()
    counts = READERS[reader](path)
    seconds = time.perf_counter() - begin
    print(
        json.dumps({"seconds": seconds, "extra_mb": _memory_mb("VmHWM") - before, "counts": counts})
    )


def main(megabytes: float) -> None:
    """Measure both readers, plain and gzip, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "orfs.fa"
        write_fasta(plain, megabytes)
        packed = Path(folder) / "orfs.fa.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
        size = plain.stat().st_size / 1e6
        print(f"Python {platform.python_version()}, numpy {np.__version__}, ", end="")
        print(f"Biopython {Bio.__version__}")
        print(f"Input: {size:.1f} MB, gzip {packed.stat().st_size / 1e6:.1f} MB\n")
        print("| file | reader | seconds | MB/s | extra memory, MB | times the file's size |")
        print("|---|---|---|---|---|---|")
        for path in (plain, packed):
            results = {reader: _run(reader, path) for reader in READERS}
            if results["codonbench"]["counts"] != results["biopython"]["counts"]:
                raise SystemExit(f"the readers disagree: {results}")
            for reader, result in results.items():
                seconds, extra = result["seconds"], result["extra_mb"]
                print(
                    f"| {path.suffix} | {reader} | {seconds:.2f} | {size / seconds:.0f} "
                    f"| {extra:.0f} | {extra / size:.2f} |"
                )
            ratio = results["biopython"]["seconds"] / results["codonbench"]["seconds"]
            print(f"| {path.suffix} | ratio | {ratio:.1f} | | | |")
        print(f"\nBoth kept and dropped: {results['codonbench']['counts']}")


def _run(reader: str, path: Path) -> Any:
    """Return the best of three runs, each in a fresh process."""
    command = [sys.executable, __file__, "--measure", reader, str(path)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return min(runs, key=lambda run: run["seconds"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(sys.argv[2], sys.argv[3])
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 100)
