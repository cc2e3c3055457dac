"""Bad input: one clear sentence with the culprit and the next step, exit code 2, no traceback."""

import errno
import gzip
import os
import resource
import subprocess

import pytest
import torch

ORF = "AUGGCUUAA"


def is_one_sentence(answer, *, code=2):
    """Whether the answer is one line on standard error and the given exit code."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert answer.err.startswith("bench: ")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err
    return True


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--model", "lsmt"], ["'lsmt'", "did you mean 'lstm'", "bench ls models"]),
        (["--task", "human-codo"], ["'human-codo'", "did you mean 'human-codon'", "ls tasks"]),
        (["--seeds", "9-0"], ["'9-0'", "backwards"]),
        (["--seeds", "x"], ["'x'", "0-9"]),
        (["--seeds", ""], ["''", "0-9"]),
        (["--epochs", "0", "--pairs", "0"], ["epochs", "pairs", "got 0", "greater"]),
        (["--pairs", "0"], ["pairs", "got 0", "greater than or equal to 1"]),
        (["--epochs", "1"], ["epochs", "pairs", "not both"]),
        (["--device", "banana"], ["device", "'banana'", "'auto', 'cpu' or 'cuda'"]),
        (["--threads", "0"], ["threads", "got 0", "greater than or equal to 1"]),
        (["--set", "hiden=3"], ["'hiden'", "it has accumulate, batch_size, class_weights"]),
        (["--set", "hidden=0"], ["'hidden'", "got 0", "greater than or equal to 1"]),
        (["--set", "optimizer=adm"], ["'optimizer'", "'adm'", "'adam'", "'sgd'"]),
        (["--set", "hidden"], ["--set", "'hidden'", "field=value"]),
        (["--set", "hidden=3", "--set", "hidden=4"], ["--set", "'hidden'", "twice"]),
        (["--task-set", "x=1"], ["human-codon", "'x'", "genetic_code"]),
        (["--genetic-cod", "2"], ["'genetic_cod'", "did you mean 'genetic_code'"]),
        (["--genetic-code"], ["'--genetic-code'", "value"]),
        (["--genetic-code", "2", "--genetic-code=3"], ["'--genetic-code'", "twice"]),
        (["--epoch", "3"], ["'--epoch'", "did you mean '--epochs'", "--task-set"]),
        (["--genetic-code", "99"], ["genetic code 99 does not exist", "33"]),
        (["--data", "absent.fa"], ["'absent.fa'", "FASTA", "usage"]),
        (["--data", "usag"], ["'usag'", "did you mean 'usage'"]),
        (["--data", "."], ["no file of the train split", "train.csv"]),
        (["--data", os.devnull], [os.devnull, "not a regular file"]),
        (["--data", "joiret2023", "--offline"], ["'joiret2023'", "bench data fetch joiret2023"]),
        (["--against", "nowhere"], ["--against nowhere", "no folder"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_an_unusable_request_says_what_is_wrong_and_what_is_allowed(run, words, named):
    answer = run(*(() if "--model" in words else ("--model", "mlp-64")), *words)
    assert is_one_sentence(answer)
    assert [part for part in named if part not in answer.err] == []


def test_a_request_that_cannot_be_met_leaves_nothing_behind(run, tmp_path):
    assert run("--model", "lsmt").code == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_device_is_an_error_and_not_a_slow_run_on_the_cpu(run):
    answer = run("--model", "mlp-64", "--device", "cuda")
    assert is_one_sentence(answer)
    assert "'cuda'" in answer.err
    assert "--device cpu" in answer.err


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b">p\nMEFILPQKLMEFILPQ\n", "looks like protein"),
        (b">p\nAUGGCUUA1\n", "line 2"),
        (b"a,b\n1,2\n", "'>' header"),
        (b">p\nGCUGCUUAA\n", "does not start with AUG"),
        (gzip.compress(f">o\n{ORF * 5000}".encode())[:60], "damaged or cut short"),
        (b"\x1f\x8b not gzip at all", "damaged"),
    ],
    ids=["empty", "protein", "digit", "table", "no orf", "gzip cut in half", "gzip in name only"],
)
def test_unusable_sequences_are_named_with_their_fault(run, tmp_path, content, named):
    (tmp_path / "given.fa").write_bytes(content)
    answer = run("--model", "mlp-64", "--data", "given.fa")
    assert is_one_sentence(answer)
    assert "'given.fa'" in answer.err
    assert named in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")
def test_a_file_and_a_folder_without_permission_are_named(run, fasta, tmp_path):
    fasta(ORF).chmod(0)
    assert is_one_sentence(answer := run("--model", "mlp-64", "--data", "orfs.fa"))
    assert "cannot read 'orfs.fa': Permission denied" in answer.err
    (tmp_path / "locked").mkdir(mode=0o555)
    assert is_one_sentence(answer := run("--model", "mlp-64", "--results", "locked"))
    assert "locked cannot be written: Permission denied" in answer.err


@pytest.mark.parametrize("results", ["file", "file/below", f"{os.devnull}/below"])
def test_a_results_folder_that_is_a_file_is_refused_before_anything_runs(run, tmp_path, results):
    (tmp_path / "file").write_text("mine")
    answer = run("--model", "mlp-64", "--results", results)
    assert is_one_sentence(answer)
    assert results in answer.err
    assert "choose another folder" in answer.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_model_that_declines_the_task_leaves_a_folder_as_it_was(bench, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "a,b,label\n" + "".join(f"{i},1,{i % 2}\n" for i in range(40))
    )
    (tmp_path / "there").mkdir()
    words = ("--model", "cnn", "--data", "mine.csv", "--workers", "0", "--results")
    for results in ("there", "new"):
        answer = bench("run", *words, results)
        assert (answer.code, "whose items are features" in answer.err) == (2, True)
    assert [*(tmp_path / "there").iterdir()] == []
    assert not (tmp_path / "new").exists()


def test_a_results_folder_that_may_not_be_written_is_refused(run, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.replace", refuse)  # what is written cannot get its name
    answer = run("--model", "mlp-64")
    assert is_one_sentence(answer)
    assert "results cannot be written: Permission denied; choose another folder" in answer.err


def test_a_full_disk_is_one_sentence_and_leaves_no_part_of_a_file(run, monkeypatch, tmp_path):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = run("--model", "untrained")
    assert is_one_sentence(answer)
    assert "no space left; free some or choose another folder" in answer.err
    assert not (tmp_path / "results").exists()


def test_a_results_folder_without_locks_is_one_sentence(run, monkeypatch, tmp_path):
    def refuse(*args):
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / "results" / ".locks").mkdir(parents=True)
    (tmp_path / "results" / ".locks" / "ledger.lock").touch()
    monkeypatch.setattr("fcntl.flock", refuse)
    answer = run("--model", "untrained")
    assert answer.code == 2
    assert "locks no files" in answer.err.splitlines()[-1]
    assert "choose another folder" in answer.err.splitlines()[-1]


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)], ids=str)
def test_what_is_closed_hinders_no_command(process, tmp_path, board, closed):
    def close():
        for number in closed:
            os.close(number)

    answer = process("leaderboard", "-r", board, "--out", tmp_path, preexec_fn=close)
    assert (answer.code, answer.out) == (0, "")
    assert (tmp_path / "README.md").exists()
    assert "Traceback" not in answer.err


@pytest.mark.slow
def test_a_disk_that_is_really_full_is_one_sentence(bench, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        answer = bench("run", "--model", "mlp-64", "--pairs", "2000", "--results", disk)
        left = [p for p in disk.rglob("*") if p.is_file()]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert answer.code == 2
    assert "no space left" in answer.err
    assert "Traceback" not in answer.err
    assert [path.name for path in left] in ([], ["ledger.lock"])


@pytest.mark.slow
def test_a_file_size_limit_is_one_sentence(bench, tmp_path):
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        answer = bench("run", "--model", "mlp-64", "--pairs", "2000", "--results", tmp_path / "r")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert answer.code == 2
    assert "File too large" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["ls", "--help"]])
def test_output_that_cannot_be_written_is_one_sentence(process, words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        answer = process(*words, stdout=full)
    assert is_one_sentence(answer)
    assert "standard output: No space left on device" in answer.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["ls", "nonsense"], "'nonsense'; choose models, tasks, metrics or rows"),
        (["show", "nonsense"], "no results folder runs"),
        (["leaderboard", "--results", "nowhere"], "no results folder nowhere"),
        (["data", "fetch", "nonsense"], "'nonsense'; there are"),
        (["data", "verify", "nonsense"], "'nonsense'; there are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_commands_say_as_clearly_what_they_cannot_do(bench, words, named):
    answer = bench(*words)
    assert is_one_sentence(answer)
    assert named in answer.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run"], "--model"),
        (["run", "--model", "mlp-64", "--epochs", "many"], "--epochs"),
        (["run", "--model", "mlp-64", "--seed", "3"], "--seeds"),
        (["run", "--model", "mlp-64", "stray"], "stray"),
        (["nonsense"], "nonsense"),
        (["show"], "RUN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_line_that_cannot_be_parsed_ends_with_code_2_and_no_traceback(bench, words, named):
    answer = bench(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert named.lower() in answer.err.lower()


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback_wherever_it_stands(bench, place):
    words = ["run", "--model", "lsmt"]
    answer = bench(*words[:place], "--debug", *words[place:])
    assert answer.code == 2
    assert "Traceback (most recent call last)" in answer.err
    assert "UnknownNameError" in answer.err
    assert answer.err.splitlines()[-1].startswith("bench: unknown model 'lsmt'")


def test_tracebacks_are_cleaned_as_sentences_are(bench, tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text('"\\u001b[2J##[error]\\u202e" = 1e999')
    answer = bench("--debug", "run", "--suite", suite)
    assert "Traceback (most recent call last)" in answer.err
    assert [bad for bad in ("\x1b", "\u202e", "##[") if bad in answer.err] == []


@pytest.mark.parametrize(
    "words",
    [
        ("validate", "{}"),
        ("validate", ".", "--keys", "{}"),
        ("leaderboard", "--results", "{}"),
        ("show", "x", "--results", "{}"),
        ("run", "--suite", "{}"),
        ("run", "--model", "bound", "--data", "{}"),
    ],
    ids=" ".join,
)
def test_a_name_too_long_for_the_disk_is_said_so(bench, words):
    answer = bench(*(word.format("a" * 300) for word in words))
    assert answer.code == 2
    assert "File name too long" in answer.err
    assert "Traceback" not in answer.err
