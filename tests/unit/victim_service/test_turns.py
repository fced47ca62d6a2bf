"""Whose turn it is: slices as the kernel keeps them, and systems that know none."""

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable

import pytest

from victim_service import turns

MACHINE = platform.machine()
SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}.get(MACHINE, -1)


def slice_ns() -> int:
    """Return the slice of this thread as the kernel tells it; 0 where it tells none."""
    told = ctypes.create_string_buffer(48)
    if ctypes.CDLL(None).syscall(SCHED_GETATTR, 0, told, 48, 0) != 0:
        return 0
    return int(struct.unpack("=IIQiIQQQ", told.raw)[5])


def on_a_thread(*steps: Callable[[], object]) -> list[object]:
    """Return what each step returned, all on one new thread: what it asks for ends with it."""
    told: list[object] = []
    thread = threading.Thread(target=lambda: told.extend(step() for step in steps))
    thread.start()
    thread.join()
    assert len(told) == len(steps)
    return told


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_one_goes_first_and_another_gives_way():
    usual, _, short, _, again = on_a_thread(
        slice_ns, turns.go_first, slice_ns, turns.give_way, slice_ns
    )
    if not usual:
        pytest.skip("this kernel has no slices to ask for: Linux has them since 6.12")
    assert (short, again) == (100_000, usual)


def test_going_first_takes_no_larger_share():
    before, _, after = on_a_thread(nice, turns.go_first, nice)
    assert before == after


def test_giving_way_is_nice():
    if platform.system() != "Linux":
        pytest.skip("only Linux has nice threads")
    before, _, after = on_a_thread(nice, turns.give_way, nice)
    assert after == 5 or before > 5


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(platform, "machine", lambda: "riscv64"),
        lambda patch: patch.setattr(platform, "system", lambda: "Darwin"),
        lambda patch: patch.delattr(os, "sched_getscheduler"),
        lambda patch: patch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_BATCH),
        lambda patch: patch.setitem(turns._NUMBERS, MACHINE, -1),
    ],
    ids=["machine", "system", "library", "policy", "refused"],
)
def test_where_there_is_nothing_to_ask_for_nothing_changes(monkeypatch, change):
    usual = slice_ns()
    change(monkeypatch)
    _, after, _ = on_a_thread(turns.go_first, slice_ns, turns.give_way)
    assert after == usual
