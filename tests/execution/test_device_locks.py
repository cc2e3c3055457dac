import threading

import pytest

from codonbench.errors import BusyError, StoreError
from codonbench.execution import machine as occupancy
from codonbench.execution.machine import Terms, locks_folder, occupied

ORDINARY, EXCLUSIVE, IMPATIENT = Terms(), Terms(alone=True), Terms(alone=True, wait=False)


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("CODONBENCH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(occupancy, "LOOK_AGAIN", 0.05)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend a GPU of some UUID; return what sets another."""
    monkeypatch.setattr(occupancy, "clock_mhz", lambda device: 1_980)

    def be(uuid):
        monkeypatch.setattr(occupancy, "gpu_uuid", lambda: uuid)

    be("1b2c")
    return be


def quiet(sentence):
    pytest.fail(f"nothing was to be said, but: {sentence}")


def test_two_ordinary_runs_share_the_processors_and_the_second_says_and_records_it():
    said = []
    with occupied("cpu", ORDINARY, quiet) as first, occupied("cpu", ORDINARY, said.append) as then:
        assert (first.alone, first.neighbours) == (False, 0)
        assert (then.alone, then.neighbours) == (False, 1)
    (sentence,) = said
    assert sentence.startswith("the processors are used by process ")
    assert sentence.endswith(" too, which times suffer from")


@pytest.mark.parametrize(
    ("there", "comes"), [(ORDINARY, IMPATIENT), (EXCLUSIVE, Terms(wait=False))]
)
def test_an_exclusive_run_and_another_keep_out_of_each_others_way(there, comes):
    with occupied("cpu", there, quiet):
        with pytest.raises(BusyError) as caught, occupied("cpu", comes, quiet):
            pytest.fail("both have the processors")
        assert "the processors are used by process " in str(caught.value)
        assert str(caught.value).endswith("; without --no-wait this is waited for")
    with occupied("cpu", comes, quiet) as circumstances:
        assert circumstances.neighbours == 0
        assert circumstances.alone is comes.alone


def test_who_waits_says_for_whom_once_and_goes_on_when_the_device_is_free(gpu):
    said, order = [], []
    waits = threading.Event()

    def say(sentence):
        said.append(sentence)
        waits.set()

    def second():
        with occupied("cuda", ORDINARY, say) as circumstances:
            order.append("second")
            assert circumstances.alone is True

    with occupied("cuda", ORDINARY, quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    (sentence,) = said
    assert sentence.startswith("the GPU is used by process ")
    assert sentence.endswith("; waiting")


def test_two_gpus_are_used_at_once(gpu):
    with occupied("cuda", ORDINARY, quiet):
        gpu("3d4e")
        with occupied("cuda", Terms(wait=False), quiet) as circumstances:
            assert circumstances.neighbours == 0


def test_a_gpu_is_shared_by_those_who_ask_for_a_share_and_nobody_else(gpu):
    share = Terms(share_gpu=True, wait=False)
    said = []
    with occupied("cuda", share, quiet), occupied("cuda", share, said.append) as circumstances:
        assert (circumstances.alone, circumstances.neighbours) == (False, 1)
        assert len(said) == 1
        with (
            pytest.raises(BusyError),
            occupied("cuda", Terms(wait=False), quiet),
        ):
            pass


def test_a_gpu_and_the_processors_are_used_at_once(gpu):
    with occupied("cuda", ORDINARY, quiet), occupied("cpu", IMPATIENT, quiet) as circumstances:
        assert circumstances.alone is True


def test_disjoint_sets_of_cores_are_taken_alone_at_once(monkeypatch):
    with occupied("cpu", EXCLUSIVE, quiet):
        monkeypatch.setattr(occupancy, "_things", lambda device: ["core 9998", "core 9999"])
        with occupied("cpu", IMPATIENT, quiet) as circumstances:
            assert circumstances.alone is True


def test_clocks_and_load_are_noted(gpu):
    with occupied("cuda", ORDINARY, quiet) as circumstances:
        assert circumstances.clocks_mhz == (1_980,)
        assert circumstances.load_average is None or circumstances.load_average >= 0


def test_where_locks_cannot_be_kept_an_ordinary_run_goes_on_and_says_so(tmp_path):
    (tmp_path / "locks").write_text("")
    said = []
    with occupied("cpu", ORDINARY, said.append) as circumstances:
        assert (circumstances.alone, circumstances.neighbours) == (None, None)
    (sentence,) = said
    assert sentence.startswith(f"other runs go unseen: {tmp_path / 'locks'} cannot be written: ")
    with pytest.raises(StoreError, match="CODONBENCH_LOCKS"), occupied("cpu", EXCLUSIVE, quiet):
        pass


def test_locks_are_kept_in_the_users_cache_for_each_machine(monkeypatch):
    monkeypatch.delenv("CODONBENCH_LOCKS")
    assert locks_folder().parent.name == "locks"
    assert "codonbench" in locks_folder().parts
