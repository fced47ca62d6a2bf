"""Settings of the running process that decide how fast the networks run on a CPU."""

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_INT_MAX = 2**31 - 1


class DeviceError(ValueError):
    """The device asked for is not there; the message says what to use."""


def tune_process(threads: int | None = None) -> None:
    """Set torch's threads and stop glibc from returning large blocks to the kernel.

    By default glibc maps and unmaps every large activation, and a network spends much of its time
    in page faults. Keeping the memory is worth a factor of 1.4 and more; where the C library is
    another one, nothing changes. ``threads`` defaults to ``OMP_NUM_THREADS`` or all processors.
    """
    import torch  # takes seconds to import, and most commands never compute

    if threads is None:
        wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        threads = int(wished) if wished.isdecimal() and int(wished) else available_processors()
    torch.set_num_threads(max(1, threads))
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _INT_MAX)


def available_processors() -> int:
    """Return how many processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def choose_device(name: str = "auto") -> "torch.device":
    """Resolve ``auto``, ``cpu``, ``cuda`` or ``cuda:n`` once.

    Raises:
        DeviceError: unknown, or a CUDA device was asked for and none is there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {name!r}. Use auto, cpu, cuda or cuda:0.") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is not supported. Use auto, cpu, cuda or cuda:0.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"device {name!r} was asked for, but there is no CUDA here. Use auto.")
    return device
