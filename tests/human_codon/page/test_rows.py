"""Which pictures are kept, which are made anew, and which belong to other records."""

import json

import pytest

from codonbench.report.site.figures import row_id
from codonbench.report.site.scripts import from_script, pack
from codonbench_datasets.human_codon.page import CodonFigures
from codonbench_datasets.human_codon.page.pictures import RowPicture


@pytest.fixture
def three(shelf, finished, rename):
    """A row of three seeds whose trajectories are at hand, and its page."""
    record, trajectory = finished
    excess = {0: 640, 1: None, 2: 64}
    for seed, value in excess.items():
        metrics = record.metrics | {"excess_pairs": value}
        shelf.add(rename(record, seed=seed, metrics=metrics), trajectory)
    shelf.make()
    return shelf


def picture_of(shelf) -> RowPicture:
    (path,) = shelf.row_files
    return from_script("row", path.read_bytes(), RowPicture)


def forget_traces(shelf) -> None:
    for path in (shelf.folder / "results" / "trajectories").glob("*.npz"):
        path.unlink()


def test_a_row_names_each_run_and_the_trace_it_was_made_from(three) -> None:
    picture = picture_of(three)
    _, runs = three.read()
    assert [seed.seed for seed in picture.seeds] == [0, 1, 2]
    for seed in picture.seeds:
        assert runs[seed.run_id].trajectory_sha256 == seed.trace_sha256
    assert picture.row == row_id(runs[picture.seeds[0].run_id]) == three.row_files[0].stem


def test_the_heat_map_is_of_the_median_run_and_never_is_last(three) -> None:
    assert picture_of(three).heat_map.seed == 0  # 64, 640, never


def test_pictures_outlive_their_traces(three) -> None:
    before = three.make()
    forget_traces(three)
    assert three.make() == before


def test_a_seed_that_was_run_anew_loses_its_picture_where_there_is_no_trace(three, rename) -> None:
    forget_traces(three)
    _, runs = three.read()
    (changed,) = (r for r in runs.values() if r.seed == 1)
    three.add(rename(changed, seed=1, trajectory_sha256="0" * 64))
    three.make()
    assert [seed.seed for seed in picture_of(three).seeds] == [0, 2]


def test_a_new_seed_joins_those_whose_traces_are_gone(three, finished, rename) -> None:
    forget_traces(three)
    record, trajectory = finished
    three.add(rename(record, seed=7, metrics=record.metrics | {"excess_pairs": 700}), trajectory)
    three.make()
    picture = picture_of(three)
    assert [seed.seed for seed in picture.seeds] == [0, 1, 2, 7]
    assert picture.heat_map.seed == 0  # 64, 640, 700, never: the lower of the two in the middle


def test_the_median_run_moves_only_where_its_trace_is_there(three, finished, rename) -> None:
    forget_traces(three)
    record, trajectory = finished
    for seed in (7, 8, 9):
        metrics = record.metrics | {"excess_pairs": 0}
        three.add(rename(record, seed=seed, metrics=metrics), trajectory if seed == 9 else None)
    three.make()
    picture = picture_of(three)
    assert [seed.seed for seed in picture.seeds] == [0, 1, 2, 9]
    assert picture.heat_map.seed == 0  # seed 2 is the median now, but its trajectory has gone


def test_without_a_trace_there_are_no_pictures(shelf, finished) -> None:
    shelf.add(finished[0])
    shelf.make()
    assert shelf.row_files == []


def test_a_picture_that_contradicts_its_record_is_not_kept(three) -> None:
    picture, (_, runs) = picture_of(three), three.read()
    assert CodonFigures().kept(picture, runs) == picture
    first = picture.seeds[0]
    lie = first.model_copy(update={"right": pack([25] * first.pairs.shape[0], "u4")})
    lied = picture.model_copy(update={"seeds": (lie, *picture.seeds[1:])})
    assert [seed.seed for seed in CodonFigures().kept(lied, runs).seeds] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": (99,) * 25},
        {"labels": ()},
        {"looks": (10**6,)},
        {"p": pack([1, 2], "u1")},
        {"pairs": pack([], "u4")},
        {"trace_sha256": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_heat_map_that_the_page_could_not_draw_is_not_kept(three, change) -> None:
    picture, (_, runs) = picture_of(three), three.read()
    heat_map = picture.heat_map.model_copy(update=change)
    kept = CodonFigures().kept(picture.model_copy(update={"heat_map": heat_map}), runs)
    assert kept.heat_map is None
    assert kept.seeds == picture.seeds


def test_a_file_under_another_rows_name_is_not_taken(three) -> None:
    (path,) = three.row_files
    path.rename(path.with_name("0" * 16 + ".js"))
    assert three.drawn() == {}


def test_a_row_takes_far_less_room_than_its_traces(three) -> None:
    (path,) = three.row_files
    trajectories = (three.folder / "results" / "trajectories").glob("*.npz")
    assert path.stat().st_size < 0.5 * sum(trajectory.stat().st_size for trajectory in trajectories)
    json.loads(path.read_bytes()[len("codonbench.row(") : -3])
