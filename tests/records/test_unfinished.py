import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from codonbench.records.unfinished import Checkpoints, Ledger, OwnFolder


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def names(holders):
    return [holder.things for holder in holders]


_HOLDER = """
import sys
from pathlib import Path
from codonbench.records.unfinished import Ledger

with Ledger.opened(Path(sys.argv[1])) as page:
    page.take_free(["apple", "pear"])
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(ledger):
    """A process that has taken an apple and a pear."""
    command = [sys.executable, "-c", _HOLDER, str(ledger)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "taken\n"
        yield child
        child.kill()


def test_what_one_has_taken_another_does_not_get(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two:
        assert one.take_free(["apple", "pear"]) == ({"apple", "pear"}, [])
        free, others = two.take_free(["pear", "plum"])
        assert free == {"plum"}
        assert names(others) == [("apple", "pear")]


@pytest.mark.parametrize("missing", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_said_so_and_not_waited_for(ledger, monkeypatch, missing):
    ledger.mkdir()
    (ledger / "ledger.lock").touch()  # as somebody left it who could lock it

    def refuse(*args):
        raise OSError(missing, os.strerror(missing))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="locks no files") as caught, Ledger.opened(ledger):
        pass
    assert caught.value.errno == missing


def test_who_holds_the_ledger_too_long_is_not_waited_for(ledger, monkeypatch):
    monkeypatch.setattr("codonbench.records.unfinished._LONGEST_WAIT", 0.1)
    ledger.mkdir()
    with (
        FileLock(ledger / "ledger.lock"),
        pytest.raises(OSError, match=r"ledger\.lock"),
        Ledger.opened(ledger),
    ):
        pass


def test_what_is_given_back_is_free_and_the_rest_is_not(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two:
        one.take_free(["apple", "pear"])
        one.give_back("pear")
        assert two.take_free(["apple", "pear"])[0] == {"pear"}


def test_what_is_taken_later_adds_to_what_is_taken(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two:
        one.take_free(["apple"])
        one.take_free(["pear"])
        assert two.take_free(["apple", "pear"])[0] == set()


def test_several_share_a_thing_until_one_wants_it_alone(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two, Ledger.opened(ledger) as three:
        assert one.take_all(["core 0"], alone=False) == (True, [])
        taken, others = two.take_all(["core 0", "core 1"], alone=False)
        assert (taken, names(others)) == (True, [("core 0",)])
        taken, others = three.take_all(["core 1"], alone=True)
        assert (taken, names(others)) == (False, [("core 0", "core 1")])


def test_what_one_has_alone_nobody_shares(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two:
        one.take_all(["core 0"], alone=True)
        assert two.take_all(["core 0"], alone=False)[0] is False
        assert two.take_all(["core 1"], alone=True) == (True, [])


def test_all_or_nothing_is_taken(ledger):
    with Ledger.opened(ledger) as one, Ledger.opened(ledger) as two, Ledger.opened(ledger) as three:
        one.take_all(["core 0"], alone=True)
        two.take_all(["core 0", "core 1"], alone=True)
        assert three.take_all(["core 1"], alone=True) == (True, [])


def test_another_process_is_named_with_its_number_and_time(ledger, other):
    with Ledger.opened(ledger) as page:
        free, (holder,) = page.take_free(["apple"])
    assert free == set()
    assert holder.pid == other.pid
    assert str(holder) == f"process {other.pid} (since {holder.since:%H:%M:%S})"


def test_what_a_killed_process_had_is_free_and_its_files_are_cleared(ledger, other):
    with Ledger.opened(ledger) as page:
        assert page.take_free(["apple"])[0] == set()
        other.kill()
        other.wait()
        assert page.take_free(["apple"]) == ({"apple"}, [])
    assert [path.name for path in ledger.iterdir()] == ["ledger.lock"]


def test_a_page_without_words_counts_for_nothing(ledger):
    with Ledger.opened(ledger), Ledger.opened(ledger) as two:
        (ledger / "1-odd.json").write_text("no JSON")
        assert two.take_free(["apple"]) == ({"apple"}, [])


def test_nothing_is_left_taken_after_an_exception(ledger):
    def fail():
        with Ledger.opened(ledger) as page:
            page.take_free(["apple"])
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    with Ledger.opened(ledger) as page:
        assert page.take_free(["apple"])[0] == {"apple"}


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    Path(tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), Ledger.opened(tmp_path / "file" / "ledger"):
        pass


def test_a_folder_of_a_process_that_was_killed_is_swept_and_no_other(tmp_path):
    folder = tmp_path / "checkpoints"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from codonbench.records.unfinished import OwnFolder\n"
        "(OwnFolder(Path(sys.argv[1])).path / '0.state').touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=False)
    (folder / ".worker-half-removed").mkdir()  # by a process killed between lock and folder
    own = OwnFolder(folder)
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 3
    Checkpoints(tmp_path, "", None, print).sweep()
    assert [path for path in folder.iterdir() if path.is_dir()] == [own.path]
    own.remove()
    assert not folder.exists()
