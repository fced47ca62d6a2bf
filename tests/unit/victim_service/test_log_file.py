"""The log that never keeps the event loop waiting."""

import io
import os
import time

from victim_service.log_file import LogFile


def test_lines_leave_soon_and_in_order():
    file = io.StringIO()
    log = LogFile(file)
    for number in range(100):
        log.write(f"{number}\n")
    deadline = time.monotonic() + 10
    while not file.getvalue().endswith("99\n") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file.getvalue().split() == [str(number) for number in range(100)]
    log.close()


def test_what_was_said_last_is_written_at_the_end():
    file = io.StringIO()
    log = LogFile(file)
    log.write("the last word\n")
    log.close()
    assert file.getvalue() == "the last word\n"


def test_a_reader_that_stops_keeps_nobody_waiting_and_learns_what_it_missed():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        log = LogFile(pipe, most_lines=100)
        line = "x" * 999 + "\n"
        log.write(line * 200)  # more than a pipe holds: the thread is stuck in it
        time.sleep(0.2)
        begun = time.monotonic()
        for _ in range(150):
            log.write(line)
        assert time.monotonic() - begun < 1
        with os.fdopen(reading) as reader:
            assert [reader.readline() for _ in range(300)] == [line] * 300
            assert reader.readline() == (
                '{"event": "log lines dropped", "level": "warning", "n": 50}\n'
            )
        log.close()


def test_a_reader_that_left_is_no_trouble():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        log = LogFile(pipe)
        log.write("to nobody\n")
        time.sleep(0.2)
        log.write("still to nobody\n")
        log.close()
        assert not log._thread.is_alive()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # what the pipe buffered may go
