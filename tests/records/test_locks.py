import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from codonbench.records.locks import Ledger, OwnFolder, sweep_folders


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


def names(holders):
    return [holder.things for holder in holders]


_HOLDER = """
import sys
from pathlib import Path
from codonbench.records.locks import Ledger

with Ledger(Path(sys.argv[1])).opened() as page:
    page.take_free(["apple", "pear"])
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(ledger):
    """A process that has taken an apple and a pear."""
    command = [sys.executable, "-c", _HOLDER, str(ledger.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "taken\n"
        yield child
        child.kill()


def test_what_one_has_taken_another_does_not_get(ledger):
    with ledger.opened() as one, ledger.opened() as two:
        assert one.take_free(["apple", "pear"]) == ({"apple", "pear"}, [])
        free, others = two.take_free(["pear", "plum"])
        assert free == {"plum"}
        assert names(others) == [("apple", "pear")]


@pytest.mark.parametrize("missing", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_said_so_and_not_waited_for(ledger, monkeypatch, missing):
    ledger.folder.mkdir()
    (ledger.folder / "ledger.lock").touch()  # as somebody left it who could lock it

    def refuse(*args):
        raise OSError(missing, os.strerror(missing))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="locks no files") as caught, ledger.opened():
        pass
    assert caught.value.errno == missing


def test_who_holds_the_ledger_too_long_is_not_waited_for(ledger, monkeypatch):
    monkeypatch.setattr("codonbench.records.locks._LONGEST_WAIT", 0.1)
    ledger.folder.mkdir()
    with (
        FileLock(ledger.folder / "ledger.lock"),
        pytest.raises(OSError, match=r"ledger\.lock"),
        ledger.opened(),
    ):
        pass


def test_what_is_given_back_is_free_and_the_rest_is_not(ledger):
    with ledger.opened() as one, ledger.opened() as two:
        one.take_free(["apple", "pear"])
        one.give_back("pear")
        assert two.take_free(["apple", "pear"])[0] == {"pear"}


def test_what_is_taken_later_adds_to_what_is_taken(ledger):
    with ledger.opened() as one, ledger.opened() as two:
        one.take_free(["apple"])
        one.take_free(["pear"])
        assert two.take_free(["apple", "pear"])[0] == set()


def test_several_share_a_thing_until_one_wants_it_alone(ledger):
    with ledger.opened() as one, ledger.opened() as two, ledger.opened() as three:
        assert one.take_all(["core 0"], alone=False) == (True, [])
        taken, others = two.take_all(["core 0", "core 1"], alone=False)
        assert (taken, names(others)) == (True, [("core 0",)])
        taken, others = three.take_all(["core 1"], alone=True)
        assert (taken, names(others)) == (False, [("core 0", "core 1")])


def test_what_one_has_alone_nobody_shares(ledger):
    with ledger.opened() as one, ledger.opened() as two:
        one.take_all(["core 0"], alone=True)
        assert two.take_all(["core 0"], alone=False)[0] is False
        assert two.take_all(["core 1"], alone=True) == (True, [])


def test_all_or_nothing_is_taken(ledger):
    with ledger.opened() as one, ledger.opened() as two, ledger.opened() as three:
        one.take_all(["core 0"], alone=True)
        two.take_all(["core 0", "core 1"], alone=True)
        assert three.take_all(["core 1"], alone=True) == (True, [])


def test_another_process_is_named_with_its_number_and_time(ledger, other):
    with ledger.opened() as page:
        free, (holder,) = page.take_free(["apple"])
    assert free == set()
    assert holder.pid == other.pid
    assert str(holder) == f"process {other.pid} (since {holder.since:%H:%M:%S})"


def test_what_a_killed_process_had_is_free_and_its_files_are_cleared(ledger, other):
    with ledger.opened() as page:
        assert page.take_free(["apple"])[0] == set()
        other.kill()
        other.wait()
        assert page.take_free(["apple"]) == ({"apple"}, [])
    assert [path.name for path in ledger.folder.iterdir()] == ["ledger.lock"]


def test_a_page_without_words_counts_for_nothing(ledger):
    with ledger.opened(), ledger.opened() as two:
        (ledger.folder / "1-odd.json").write_text("no JSON")
        assert two.take_free(["apple"]) == ({"apple"}, [])


def test_nothing_is_left_taken_after_an_exception(ledger):
    def fail():
        with ledger.opened() as page:
            page.take_free(["apple"])
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    with ledger.opened() as page:
        assert page.take_free(["apple"])[0] == {"apple"}


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    Path(tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), Ledger(tmp_path / "file" / "ledger").opened():
        pass


def test_a_folder_of_a_process_that_was_killed_is_swept_and_no_other(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from codonbench.records.locks import OwnFolder\n"
        "(OwnFolder(Path(sys.argv[1])).path / '0.state').touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    own = OwnFolder(tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    sweep_folders(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [own.path]
    own.remove()
    assert not tmp_path.exists()
