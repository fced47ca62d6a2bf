"""The bond between a job and the process that started it: neither outlives the other's purpose.

It imports next to nothing, for it must hold before a command's own imports have taken seconds.
"""

import ctypes
import os
import signal

PARENT_VARIABLE = "EARSHOT_PARENT"
"""Names the process whose end is to be this one's end, too."""
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """End this process when the one that started it as a job ends, even by SIGKILL.

    A process that nobody started as a job is left alone, and so is any where the system cannot do
    it (it is Linux's).
    """
    named = os.environ.pop(PARENT_VARIABLE, "")
    if not named.isdecimal():
        return
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if os.getppid() != int(named):  # it ended before the call above
        os.kill(os.getpid(), signal.SIGTERM)
