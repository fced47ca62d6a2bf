"""The log that never keeps the event loop waiting."""

import os
import time
from collections.abc import Iterator

import pytest

from victim_service.log_file import LogFile


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def test_lines_leave_soon_and_in_order(pipe):
    reading, writing = pipe
    log = LogFile(writing)
    for number in range(100):
        log.write(f"{number}\n")
    said = b""
    while not said.endswith(b"99\n"):
        said += os.read(reading, 65_536)
    assert said.split() == [str(number).encode() for number in range(100)]
    log.close()


def test_what_was_said_last_is_written_at_the_end(pipe):
    reading, writing = pipe
    log = LogFile(writing)
    log.write("the last word \ud800\n")
    log.close()
    assert os.read(reading, 100) == b"the last word \\ud800\n"


def test_a_reader_that_stops_keeps_nobody_waiting_and_learns_what_it_missed(pipe):
    reading, writing = pipe
    log = LogFile(writing, most_lines=100)
    line = "x" * 999 + "\n"
    log.write(line * 200)  # more than a pipe holds: the thread is stuck in it
    time.sleep(0.2)
    begun = time.monotonic()
    for _ in range(150):
        log.write(line)
    assert time.monotonic() - begun < 1
    with os.fdopen(os.dup(reading)) as reader:
        assert [reader.readline() for _ in range(300)] == [line] * 300
        assert reader.readline() == (
            '{"event": "log lines dropped", "level": "warning", "n": 50}\n'
        )
    log.close()


def test_a_full_disk_and_a_reader_that_left_are_no_trouble(pipe):
    reading, writing = pipe
    os.close(reading)
    for descriptor in (writing, os.open("/dev/full", os.O_WRONLY)):
        log = LogFile(descriptor)
        log.write("to nobody\n")
        time.sleep(0.2)
        log.write("still to nobody\n")
        assert log._thread.is_alive()
        log.close()
        assert not log._thread.is_alive()
