"""Whose turn it is where more threads want a processor than there are.

The event loop and the ledger's writer work for a fraction of a millisecond at a time, the model
for several. Where the model is busy on all processors, one that wakes would wait for the next tick
of the scheduler (4 ms at 250 Hz), a few times in every query. Since Linux 6.12 a thread may ask for
a short slice: it then goes before those with longer ones as soon as it wakes, and has no larger
share of the time (sched_setattr(2), ``sched_runtime`` of SCHED_OTHER). Elsewhere nothing changes.
"""

import contextlib
import ctypes
import os
import platform
import struct
import threading

_NICE = 5
_SHORTEST_NS = 100_000
_ORDINARY_NS = 0
_NUMBERS = {"x86_64": 314, "aarch64": 274}
"""The system call ``sched_setattr``, which the C library may not know, by machine."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period"""


def go_first() -> None:
    """Let this thread run as soon as it has something to do."""
    _ask_for_slice(_SHORTEST_NS)


def give_way() -> None:
    """Let others go first where both want a processor; their threads inherit what theirs have."""
    with contextlib.suppress(AttributeError, OSError):  # only Linux has nice threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    _ask_for_slice(_ORDINARY_NS)


def _ask_for_slice(slice_ns: int) -> None:
    number = _NUMBERS.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        return
    with contextlib.suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return  # somebody has decided otherwise
        nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        wish = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0)
        # A kernel that refuses is as good as one that does not know.
        ctypes.CDLL(None).syscall(number, 0, wish, 0)
