"""Messages from a process that nobody vouches for: nothing it sends makes the reader wait."""

import os
import struct
import time
from multiprocessing import Pipe

import pytest

from codonbench.execution.inbox import Inbox
from codonbench.execution.messages import unpack

MOST = 1_000


@pytest.fixture
def pipe():
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def inbox(pipe):
    return Inbox(pipe[0], MOST)


def write(connection, data):
    os.write(connection.fileno(), data)


def test_messages_come_as_multiprocessing_sends_them(pipe, inbox):
    sent = [b"", b"one", b"x" * MOST]
    for message in sent:
        pipe[1].send_bytes(message)
    assert list(inbox.messages()) == sent
    assert list(inbox.messages()) == []


def test_a_part_of_a_message_waits_here_for_the_rest(pipe, inbox):
    data = struct.pack("!i", 4) + b"abcd"
    for i in range(len(data)):
        assert list(inbox.messages()) == []
        write(pipe[1], data[i : i + 1])
    assert list(inbox.messages()) == [b"abcd"]


def test_what_came_whole_is_heard_before_the_end(pipe, inbox):
    pipe[1].send_bytes(b"last words")
    write(pipe[1], b"\0\0")
    pipe[1].close()
    assert list(inbox.messages()) == [b"last words"]
    with pytest.raises(EOFError):
        list(inbox.messages())


@pytest.mark.parametrize("length", [-2, -1, MOST + 1, 2**31 - 1])
def test_an_impossible_length_is_refused_before_anything_of_it_came(pipe, inbox, length):
    write(pipe[1], struct.pack("!i", length))
    with pytest.raises(ValueError, match=f"a message of {length} bytes"):
        list(inbox.messages())


def test_waiting_ends_in_time_whoever_keeps_writing(pipe, inbox):
    write(pipe[1], struct.pack("!i", 4) + b"abc")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        inbox.wait(0.2)
    assert time.monotonic() - started >= 0.2
    write(pipe[1], b"d" + struct.pack("!i", 0))
    assert [inbox.wait(60), inbox.wait(60)] == [b"abcd", b""]  # which came in one piece


def test_facts_that_would_take_up_all_memory_are_not_read():
    runs = b"0," * 200_000 + b"0"
    facts = b'{"kind":"ask","runs":[' + runs + b'],"positions":[0],"shown":false}'
    with pytest.raises(ValueError, match="bytes of facts"):
        unpack(struct.pack("<I", len(facts)) + facts)
