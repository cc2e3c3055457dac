"""The workflows: linted, and held to what each may do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from codonbench.records.files import MAX_BYTES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PYTHONS = ["3.11", "3.12", "3.13"]


def workflow(name):
    """A workflow; YAML reads the key ``on`` as true."""
    content = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return {("on" if key is True else key): value for key, value in content.items()}


def jobs(name):
    return list(workflow(name)["jobs"].values())


def scripts(name):
    return [step["run"] for job in jobs(name) for step in job["steps"] if "run" in step]


def test_the_six_workflows_are_there():
    names = ["leaderboard", "nightly", "official", "release", "test", "validate-results"]
    assert [path.stem for path in FILES] == names


def test_the_linter_finds_nothing():
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [zizmor, "--offline", "--no-progress", "--strict-collection", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout


def test_the_linter_would_find_something(tmp_path):
    text = (FOLDER / "test.yml").read_text()
    bad = tmp_path / ".github" / "workflows" / "test.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(text.replace("pull_request:", "pull_request_target:"))
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [zizmor, "--offline", "--no-progress", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "dangerous-triggers" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_full_hash_beside_its_version(path):
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"(actions|pypa)/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_one_action_has_one_hash():
    pins = {pin for path in FILES for pin in re.findall(r"uses: (.*)", path.read_text())}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_workflow_has_rights_of_its_own_and_every_job_says_its(path):
    found = workflow(path.stem)
    assert found["permissions"] == {}
    assert found["concurrency"]["group"]
    for name, job in found["jobs"].items():
        expected = {"contents": "write" if path.stem == "leaderboard" else "read"}
        publishes = (path.stem, name) == ("release", "publish")  # and sees no code of anybody's
        assert job["permissions"] == ({"id-token": "write"} if publishes else expected)
        assert job["timeout-minutes"] > 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_workflow_runs_with_rights_on_a_strangers_behalf(path):
    text = path.read_text()
    assert "pull_request_target" not in text
    assert "workflow_run" not in text
    assert "secrets." not in text
    for job in jobs(path.stem):
        checkouts = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
        assert checkouts or job["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scripts_are_sound_shell_and_take_what_others_typed_as_data(path):
    for script in scripts(path.stem):
        subprocess.run(["bash", "-n", "-c", script], check=True)
        assert "${{" not in script


def test_tests_run_on_each_python_on_push_and_on_pull_requests():
    found = workflow("test")
    assert set(found["on"]) == {"push", "pull_request"}
    job, _ = jobs("test")
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    sandbox, test, *again, change = scripts("test")
    assert "bubblewrap" in sandbox
    assert test == "make test PYTHON=python"
    assert (again, change) == ([sandbox], ".ci/run")


def test_all_tests_run_each_night_on_each_python_and_on_the_oldest_and_newest_requirements():
    found = workflow("nightly")
    assert found["on"]["schedule"]
    every, requirements = found["jobs"].values()
    assert every["strategy"]["matrix"]["python"] == PYTHONS
    assert every["steps"][-1]["run"] == "make lint test-nightly PYTHON=python"
    resolutions = [each["resolution"] for each in requirements["strategy"]["matrix"]["include"]]
    assert resolutions == ["lowest-direct", "highest"]


def test_all_tests_run_where_what_the_nightly_ones_hold_is_changed():
    paths = workflow("nightly")["on"]["pull_request"]["paths"]
    assert {path for path in paths if not any(ROOT.glob(path))} == set()
    held = {"docs/first-model.md", "tests/kills/**"}
    held |= {f"harness/codonbench/{folder}/**" for folder in ("execution", "records", "templates")}
    assert held <= set(paths)


def test_validation_runs_the_base_branchs_code_without_a_token():
    found = workflow("validate-results")
    assert found["on"] == {"pull_request": {"paths": ["leaderboard/results/**"]}}
    (job,) = jobs("validate-results")
    checkouts = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout")]
    assert [s["with"]["ref"] for s in checkouts] == ["${{ github.event.pull_request.base.sha }}"]
    text = (FOLDER / "validate-results.yml").read_text()
    assert "token" not in text.lower()
    for script in scripts("validate-results"):
        assert not re.search(r"git (checkout|switch|merge|pull|reset|worktree|archive)", script)
    assert "bench validate --strict leaderboard/results added" in scripts("validate-results")


def test_only_main_renders_and_one_at_a_time():
    found = workflow("leaderboard")
    assert found["on"]["push"]["branches"] == ["main"]
    assert found["concurrency"] == {"group": "leaderboard", "cancel-in-progress": False}
    assert jobs("leaderboard")[0]["if"] == "github.ref == 'refs/heads/main'"


def test_the_official_run_is_approved_and_alone():
    found = workflow("official")
    assert list(found["on"]) == ["workflow_dispatch"]
    assert found["concurrency"] == {"group": "official", "cancel-in-progress": False}
    (job,) = jobs("official")
    assert job["environment"] == "official"
    assert "self-hosted" in job["runs-on"]
    assert job["if"] == "github.ref == 'refs/heads/main'"


def test_the_commands_that_workflows_call_are_there(bench_commands):
    called = {
        command
        for path in FILES
        for script in scripts(path.stem)
        for command in re.findall(r"\bbench (\w+)", script)
    }
    assert called == {"validate", "leaderboard", "reproduce", "run"}
    assert called <= bench_commands


@pytest.fixture
def bench_commands():
    from codonbench.cli.main import commands

    return set(commands())


# scripts/take_records.py


@pytest.fixture
def pull_request(tmp_path, monkeypatch):
    """A clone in which ``main`` holds a record; returns what takes the records of HEAD."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    results = tmp_path / "clone" / "leaderboard" / "results"
    results.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone")
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        subprocess.run(["git", *identity, *words], check=True, capture_output=True)

    def commit():
        git("add", "--all")
        git("commit", "--quiet", "--message", "records")

    git("init", "--quiet", "--initial-branch", "main")
    (results / "outputs").mkdir()
    (results / "old-s0-00.json").write_text("old")
    (results / "outputs" / f"figures-{16 * '0'}.json").write_text("of the rows there were")
    commit()
    git("switch", "--quiet", "--create", "theirs")
    taken = tmp_path / "taken"
    taken.mkdir()

    def take():
        commit()
        git("switch", "--quiet", "main")
        command = [sys.executable, ROOT / "scripts" / "take_records.py", "main", "theirs", taken]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        files = [path for path in taken.rglob("*") if path.is_file()]
        found = {path.relative_to(taken).as_posix(): path.read_bytes() for path in files}
        return done.returncode, done.stdout, found

    return results, take


def test_added_records_are_taken_as_they_are(pull_request):
    results, take = pull_request
    (results / "new-s0-01.json").write_bytes(b"\xff any bytes")
    (results.parent.parent / "code.py").write_text("not looked at")
    code, out, found = take()
    assert (code, out) == (0, "records taken: 1, refused: 0\n")
    assert found == {"new-s0-01.json": b"\xff any bytes"}


def test_what_a_run_leaves_beside_its_record_is_taken_too(pull_request):
    results, take = pull_request
    new = [
        "n-s0-01.json",
        "n-s0-01.json.sig",
        "outputs/n-s0-01.npz",
        f"outputs/figures-{16 * '1'}.json",
    ]
    for name in new:
        (results / name).write_text(name)
    (results / "outputs" / f"figures-{16 * '0'}.json").unlink()
    code, _, found = take()
    assert (code, found) == (0, {name: name.encode() for name in new})


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        (lambda r: (r / "outputs" / "x.json").touch(), "has no record's name"),
        (lambda r: (r / "old-s0-00.json").write_text("better"), "is changed or removed"),
        (lambda r: (r / "old-s0-00.json").unlink(), "is changed or removed"),
        (lambda r: (r / "old-s0-00.json").rename(r / "new.json"), "is changed or removed"),
        (lambda r: (r / "x.json").symlink_to("/etc/passwd"), "has mode 120000"),
        (lambda r: (r / "x.json").touch(0o755), "has mode 100755"),
        (lambda r: (r / "x.py").touch(), "has no record's name"),
        (lambda r: (r / ".x.json").touch(), "has no record's name"),
        (lambda r: (r / "-x.json").touch(), "has no record's name"),
        (lambda r: (r / "x\n::error::y.json").touch(), r"'leaderboard/results/x\n::error::y.json'"),
        (lambda r: (r / "x.json").write_bytes(b"0" * (MAX_BYTES + 1)), "bytes, more than 262,144"),
    ],
)
def test_what_is_no_added_record_is_named_and_not_taken(pull_request, trick, reason):
    results, take = pull_request
    trick(results)
    code, out, found = take()
    assert code == 1
    assert reason in out
    assert len(out.splitlines()) == 2
    assert set(found) <= {"new.json"}


def test_a_folder_below_the_records_is_not_taken(pull_request):
    results, take = pull_request
    (results / "trajectories").mkdir()
    (results / "trajectories" / "x.json").touch()
    code, out, found = take()
    assert (code, found) == (1, {})
    assert "'leaderboard/results/trajectories/x.json' has no record's name" in out
