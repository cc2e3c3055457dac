"""Frames from a process that nobody vouches for: nothing it sends makes the reader wait."""

import os
import struct
import time
from contextlib import suppress

import numpy as np
import pytest

from codonbench.execution import process
from codonbench.execution.worker import Ask, Reply, pack, unpack, unpack_to_worker
from codonbench.protocols.referee import Instructions, RunOutputs

MOST = 1_000


@pytest.fixture
def pipe():
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)
    with suppress(OSError):  # a test has done so
        os.close(theirs)


@pytest.fixture
def inbox(pipe):
    return process.Inbox(pipe[0], MOST, MOST)


def come(inbox):
    return [(header, bytes(body)) for header, body in inbox.frames()]


def test_frames_come_as_they_are_sent(pipe, inbox):
    sent = [(b"", b""), (b"one", b"two"), (b"x" * (MOST - 1), b"y")]
    for header, body in sent:
        process.send(pipe[1], process.framed(header, body))
    assert come(inbox) == sent
    assert come(inbox) == []


def test_a_part_of_a_frame_waits_here_for_the_rest(pipe, inbox):
    data = process.framed(b"abcd", b"ef")
    for i in range(len(data)):
        assert come(inbox) == []
        os.write(pipe[1], data[i : i + 1])
    assert come(inbox) == [(b"abcd", b"ef")]


def test_what_came_whole_is_heard_before_the_end(pipe, inbox):
    os.write(pipe[1], process.framed(b"last words") + b"\0\0")
    os.close(pipe[1])
    assert come(inbox) == [(b"last words", b"")]
    with pytest.raises(EOFError):
        come(inbox)


@pytest.mark.parametrize("lengths", [(MOST + 1, 0), (2**32 - 1, 0), (0, MOST + 1), (1, 2**64 - 1)])
def test_an_impossible_length_is_refused_before_anything_of_it_came(pipe, inbox, lengths):
    os.write(pipe[1], struct.pack("<IQ", *lengths))
    with pytest.raises(ValueError, match=f"{lengths[0]:,} bytes, and {lengths[1]:,} of"):
        come(inbox)


def test_waiting_ends_in_time_whoever_keeps_writing(pipe, inbox):
    data = process.framed(b"abcd") + process.framed(b"")
    os.write(pipe[1], data[:15])
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        inbox.wait(0.2)
    assert time.monotonic() - started >= 0.2
    os.write(pipe[1], data[15:])
    assert [inbox.wait(60)[0], inbox.wait(60)[0]] == [b"abcd", b""]  # which came in one piece


def test_who_does_not_take_in_what_it_is_sent_holds_nobody_up(pipe):
    os.set_blocking(pipe[1], False)
    started = time.monotonic()
    with pytest.raises(OSError, match="not read in time"):
        process.send(pipe[1], bytes(1 << 20), 0.2)
    assert time.monotonic() - started < 30


def test_a_header_that_would_take_up_all_memory_is_not_read(pipe):
    os.write(pipe[1], struct.pack("<IQ", process.MOST_HEADER + 1, 0))
    with pytest.raises(ValueError, match="262,145 bytes, and 0 of arrays"):
        come(process.Inbox(pipe[0]))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", "=f8", ">i8"])
def test_arrays_read_back_equal(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    message = unpack(_frame(pack(Ask(shown=(RunOutputs(0, 1, array.T), RunOutputs(1, 1, None))))))
    first, second = message.shown
    assert (first.run, first.position, second) == (0, 1, RunOutputs(1, 1, None))
    assert np.array_equal(first.outputs, array.T)
    assert first.outputs.dtype == array.dtype.newbyteorder("=")
    assert first.outputs.dtype.isnative


def _frame(data):
    header, body = struct.unpack_from("<IQ", data)
    assert len(data) == 12 + header + body
    return data[12 : 12 + header], memoryview(data)[12 + header :]


@pytest.mark.parametrize("body", [b"", bytes(23), bytes(25)])
def test_a_body_that_its_header_does_not_describe_is_refused(body):
    array = np.zeros((2, 3), dtype=np.float32)
    header, _ = _frame(pack(Ask(shown=(RunOutputs(0, 1, array),))))
    with pytest.raises(ValueError, match=r"cut short|follow"):
        unpack((header, memoryview(body)))


@pytest.mark.parametrize("number", ["1", "-1", "true", '"0"', "[0]", "null"])
def test_an_array_that_is_not_there_is_refused(number):
    header, body = _frame(pack(Ask(shown=(RunOutputs(0, 1, np.zeros(1, dtype=np.float32)),))))
    with pytest.raises(ValueError, match=r"no array|valid"):
        unpack((header.replace(b'{"array":0}', b'{"array":%b}' % number.encode()), body))


def test_integers_travel_in_as_few_bytes_as_hold_them_and_an_array_travels_once():
    index = np.arange(200)
    told = Reply(instructions=(Instructions(None, False, index, index),) * 2)
    header, body = _frame(pack(told))
    assert len(body) == 200
    for instructions in unpack_to_worker((header, body)).instructions:
        assert instructions.index.dtype == np.int64
        assert np.array_equal(instructions.index, index)
        assert np.array_equal(instructions.targets, index)
