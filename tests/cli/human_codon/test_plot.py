"""`bench plot`: which files it writes, and what it says where it cannot."""

import random
import shutil

import pytest
from PIL import Image

from codonbench.cli import options as cli_options
from codonbench.explain.style import BLUE, GREY

KINDS = ("curves", "heat-map", "codon-table", "stops")


@pytest.fixture
def plot(bench, board, tmp_path):
    return lambda *words: bench("plot", *words, "--results", board, "--out", tmp_path / "out")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_pictures_of_a_run_are_drawn_and_what_does_not_apply_is_said(plot, board, tmp_path):
    answer = plot("mlp-64-s1")
    assert answer.code == 0
    (name,) = (path.stem for path in board.glob("mlp-64-s1-*.json"))
    wanted = sorted([*(f"{name}-{kind}.png" for kind in KINDS), f"{name}-animation.gif"])
    assert files(tmp_path / "out") == wanted
    assert sorted(answer.out.split()) == [str(tmp_path / "out" / file) for file in wanted]
    for path in (tmp_path / "out").glob("*.png"):
        with Image.open(path) as image:
            assert image.size[0] >= 1_200  # 6 inches or more, at 200 dots
    assert f"left out {name}-embedding.png: model 'mlp-64' has no embedding" in answer.err


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_the_format_is_chosen(plot, tmp_path, form):
    assert plot("mlp-64-s1", "--kind", "stops", "--format", form).code == 0
    (path,) = (tmp_path / "out").iterdir()
    assert path.suffix == f".{form}"
    assert path.read_bytes().startswith({"svg": b"<?xml", "pdf": b"%PDF"}[form])


def test_several_runs_are_compared_by_their_models(plot, tmp_path):
    answer = plot("mlp-64-s0", "untrained-s1", "mlp-64-s1", "--kind", "comparison")
    assert (answer.code, files(tmp_path / "out")) == (0, ["comparison.png"])


def test_runs_may_be_given_as_a_folder(bench, board, tmp_path):
    answer = bench("plot", board, "--kind", "comparison", "--out", tmp_path / "out")
    assert (answer.code, files(tmp_path / "out")) == (0, ["comparison.png"])


def test_of_a_table_of_ones_own_the_learning_curves_are_drawn(bench, tmp_path):
    rng = random.Random(0)
    rows = [f"{''.join(rng.choices('ACGT', k=20))},{i % 2}" for i in range(80)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
    for model, more in (("cnn", ("--seeds", "0-1", "--epochs", "2")), ("kmer-linear", ())):
        ran = bench("run", "--model", model, "--data", "mine.csv", "--folds", "2", *more)
        assert ran.code == 0, ran.err
    answer = bench("plot", "cnn-s0", "--format", "svg")
    assert (answer.code, answer.err) == (0, "")
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name.endswith("-curves.svg")
    lines = [
        path.read_text().count(f"fill: none; stroke: {colour.lower()}") for colour in (BLUE, GREY)
    ]
    assert lines == [2, 2]  # folds, of the seed that is named and of the other
    fitted = bench("plot", "cnn-s0", "kmer-linear-s0")
    assert fitted.code == 0
    (line,) = fitted.err.splitlines()
    assert "kmer-linear-s0" in line
    assert "no scores on validation items at several times" in line
    table = bench("plot", "cnn-s0", "--kind", "codon-table")
    assert table.code == 2
    assert "'bench plot RUN --kind curves' draws learning curves" in table.err


def test_one_run_is_no_comparison(plot):
    answer = plot("mlp-64-s0", "--kind", "comparison")
    assert answer.code == 2
    assert "a comparison needs two runs or more" in answer.err


def test_runs_that_were_not_asked_the_same_are_not_compared(bench, tmp_path):
    for model, pairs in (("mlp-64", 640), ("untrained", 1_280)):
        assert bench("run", "-m", model, "--pairs", pairs, "--results", "r").code == 0
    answer = bench("plot", "mlp-64-s0", "untrained-s0", "--kind", "comparison", "--results", "r")
    assert answer.code == 2
    assert "cannot be compared: task, data, rules, budget or stop rule differ" in answer.err


def test_the_embedding_is_drawn_from_the_run_made_again(bench, tmp_path):
    words = ("run", "-m", "embedding2-tanh", "--pairs", "640", "--results", "r")
    assert bench(*words).code == 0
    answer = bench("plot", "embedding2-tanh-s0", "--kind", "embedding", "--results", "r")
    assert answer.code == 0
    assert "running it again for its embedding (it took " in answer.err
    assert "not the recorded ones" not in answer.err
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.name.endswith("-embedding.png")


def test_without_a_trace_what_makes_one_is_said(bench, board, tmp_path):
    folder = shutil.copytree(board, tmp_path / "results")
    shutil.rmtree(folder / "trajectories")
    answer = bench("plot", "mlp-64-s0", "--kind", "curves", "--results", folder)
    assert answer.code == 2
    (path,) = folder.glob("mlp-64-s0-*.json")
    assert f"'bench verify {path} --keep-trajectory' makes it again" in answer.err
    assert bench("verify", path, "--keep-trajectory").code == 0
    assert bench("plot", path, "--kind", "curves").code == 0
    (folder / "trajectories" / f"{path.stem}.npz").write_bytes(b"")
    answer = bench("plot", path, "--kind", "curves")
    assert answer.code == 2
    assert f"cannot be read: File is not a zip file; 'bench verify {path} --keep-" in answer.err


def test_a_bound_has_no_pictures_and_that_is_no_success(bench):
    assert bench("run", "-m", "bound", "--pairs", "2000", "--results", "r").code == 0
    answer = bench("plot", "bound-s0", "--results", "r")
    assert answer.code == 2
    assert "it was computed, not trained" in answer.err
    assert answer.err.endswith("bench: nothing was drawn\n")


def test_without_the_extra_how_to_install_it_is_said(plot, bench, board, monkeypatch):
    monkeypatch.setattr("codonbench.cli.options.find_spec", lambda module: None)
    for answer in (plot("mlp-64-s0"), bench("explain", "mlp-64-s0", "--results", board)):
        assert answer.code == 2
        assert "which is not installed: pip install 'codonbench[pictures]'" in answer.err
        assert answer.err.count("\n") == 1


def test_without_umap_how_to_install_it_is_said(bench, board, monkeypatch):
    there = cli_options.find_spec
    monkeypatch.setattr(
        cli_options, "find_spec", lambda name: None if name == "umap" else there(name)
    )
    answer = bench("explain", "mlp-64-s0", "--projection", "umap", "--results", board)
    assert answer.code == 2
    assert answer.err == (
        "bench: this needs umap, which is not installed: pip install 'codonbench[umap]'\n"
    )


def test_a_task_without_embedded_test_items_refuses_to_lay_them_out(bench, board, monkeypatch):
    monkeypatch.setattr(cli_options, "find_spec", lambda name: name)
    answer = bench("explain", "mlp-64-s0", "--projection", "umap", "--results", board)
    assert answer.code == 2
    assert "human-codon has a way of its own to be explained" in answer.err
