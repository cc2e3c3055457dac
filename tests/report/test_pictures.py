"""Pictures of studies: whole, or not there."""

import errno
import os

import pytest

from codonbench.errors import StoreError
from codonbench.report.pictures import draw_study

SCORES = [(0.5, 10.0), (None, 2.0), (0.7, 12.0)]


def test_a_picture_is_of_the_kind_that_its_name_says(tmp_path):
    draw_study(SCORES, "MCC", tmp_path / "a.svg", lower=False)
    draw_study(SCORES, "MCC", tmp_path / "a.png", lower=False)
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(StoreError, match=r"a\.odd cannot be drawn"):
        draw_study(SCORES, "MCC", tmp_path / "a.odd", lower=False)


def test_a_full_disk_leaves_no_half_picture(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("codonbench.records.files.flush_to_disk", full)
    with pytest.raises(StoreError, match="no space left; free some or choose another folder"):
        draw_study(SCORES, "MCC", tmp_path / "a.svg", lower=False)
    assert list(tmp_path.iterdir()) == []
