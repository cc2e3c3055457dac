"""Control groups: real ones where this process may make them, and folders like version 2's."""

import os
import signal
import subprocess
import sys
import time

import pytest

from codonbench.execution import cgroup

MIB = 2**20

needs_group = pytest.mark.skipif(not cgroup.can_be_made(), reason="no control group can be made")


@pytest.fixture
def group():
    """One of 64 MiB."""
    made = cgroup.group(64 * MIB)
    yield made
    made.remove()
    assert not made.folder.exists()


def run_in(group, code):
    return subprocess.run(group.command([sys.executable, "-S", "-c", code])).returncode


@needs_group
def test_memory_is_counted_while_it_is_there_of_all_processes_and_in_files(group):
    assert run_in(group, "bytearray(32 << 20)") == 0
    assert not group.ran_out()
    before = time.monotonic()
    in_files = "import os\nfor _ in range(8): os.write(os.memfd_create('x'), bytes(16 << 20))"
    assert run_in(group, in_files) == -signal.SIGKILL
    assert time.monotonic() - before < 30  # it sleeps at no moment at which one could look
    assert group.ran_out()


@needs_group
def test_a_group_of_a_process_that_was_killed_is_removed_by_the_next(group):
    left = group.folder.with_name("codonbench-4194305-0")  # no process has this number
    left.mkdir()
    cgroup._within.cache_clear()
    assert cgroup.can_be_made()
    assert not left.exists()
    assert group.folder.exists()


@pytest.fixture
def delegated(tmp_path):
    """A folder with the files of a group of version 2 that this process alone is in."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return tmp_path


def test_in_version_2_we_leave_a_group_that_is_ours_alone_for_one_below_it(delegated):
    assert cgroup._can_limit(delegated)
    assert (delegated / f"codonbench-{os.getpid()}" / "cgroup.procs").read_text() == "0\n"
    assert (delegated / "cgroup.subtree_control").read_text() == "+memory\n"
    made = cgroup.Group(delegated, 64 * MIB)
    limits = {file.name: file.read_text() for file in made.folder.iterdir()}
    oom = {"memory.oom.group": "1\n"}
    assert limits == {"memory.max": f"{64 * MIB}\n", "memory.swap.max": "0\n", **oom}
    (made.folder / "memory.events").write_text("oom 3\noom_kill 0\noom_group_kill 0\n")
    assert not made.ran_out()
    (made.folder / "memory.events").write_text("oom 3\noom_kill 2\noom_group_kill 1\n")
    assert made.ran_out()


def test_in_version_2_nobody_else_is_moved(delegated):
    (delegated / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert not cgroup._can_limit(delegated)
    assert not (delegated / "cgroup.subtree_control").exists()


def test_the_group_of_a_process_is_found_where_it_is_mounted(tmp_path):
    (tmp_path / "cgroup").write_text("5:cpu,memory:/box/in\n1:name=systemd:/\n0::/user/scope\n")
    (tmp_path / "mountinfo").write_text(
        "30 1 0:2 /box /mnt/memory rw - cgroup cgroup rw,memory\n"
        "31 1 0:3 / /mnt/two rw shared:4 - cgroup2 none rw\n"
        "32 1 0:4 /elsewhere /mnt/cpu rw - cgroup cgroup rw,cpu\n"
        "33 1 0:5 / /proc rw - proc proc rw\n"
    )
    found = {name: str(folder) for name, folder in cgroup._own(tmp_path).items()}
    assert found == {"memory": "/mnt/memory/in", "": "/mnt/two/user/scope"}
