"""The tasks of variants: from real files where they are, and from a copy made here."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts import TaskOptions
from codonbench.errors import DataError, DownloadError
from codonbench_datasets.variants import EXPERIMENTS, Brca1Sge, SatmutMpra

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data")) / "tasks"


@pytest.mark.skipif(not (DATA / "satmut_mpra").is_dir(), reason=f"no real data in {DATA}")
@pytest.mark.parametrize(
    ("task", "folder", "items"),
    [(SatmutMpra, "satmut_mpra", 38_556), (Brca1Sge, "brca1_sge", 3_893)],
)
def test_the_real_variants_are_those_that_were_counted(tmp_path, task, folder, items):
    found = task().load(str(DATA / folder), TaskOptions(), cache=tmp_path)
    assert (found.source, found.checksum) == (task.name, task.content)
    assert [len(rows) for rows in found.splits.values()] == [items]
    assert (found.spec.train_size, found.spec.protocol) == (0, "zero_shot")
    reference, alternative = found.items.parts
    apart = reference.letters != alternative.letters
    assert apart.sum() == items  # each differs in one letter
    if task is SatmutMpra:
        assert ((~np.isnan(found.targets)).sum(axis=1) == 1).all()
        assert found.spec.target.names == EXPERIMENTS
    else:
        assert found.targets.sum() == 2_821 + 249


def copy(folder, variants, exons="exon,sequence\nX15," + "ACGTT" * 20 + "\n"):
    (folder / "exons.csv.gz").write_bytes(gzip.compress(exons.encode()))
    (folder / "variants.csv").write_text("exon,offset,ref,alt,class\n" + variants)
    return Brca1Sge().load(str(folder), TaskOptions(), cache=folder)


def test_a_copy_is_read_and_what_does_not_fit_is_named(tmp_path):
    found = copy(tmp_path, "X15,1,C,G,LOF\nX15,4,T,A,INT\n")
    assert found.items.parts[1].text("ACGT")[0].startswith("AGGTT")
    assert found.targets.tolist() == [[0.0], [1.0]]
    with pytest.raises(DataError, match=r"variants.csv, line 3: the reference letter is 'A', but"):
        copy(tmp_path, "X15,1,C,G,LOF\nX15,4,A,T,INT\n")
    with pytest.raises(DataError, match=r"variants\.csv: KeyError.*X16"):
        copy(tmp_path, "X16,1,C,G,LOF\n")
    with pytest.raises(DownloadError, match="'bench data fetch brca1-sge' downloads it"):
        Brca1Sge().load("brca1-sge", TaskOptions(), cache=tmp_path, offline=True)
    with pytest.raises(DataError, match="expected a folder"):
        Brca1Sge().load(str(tmp_path / "variants.csv"), TaskOptions(), cache=tmp_path)
