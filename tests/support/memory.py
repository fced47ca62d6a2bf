"""What a process takes of memory, as the kernel counts it."""

from pathlib import Path


def resident_bytes(pid: int) -> int:
    """Memory that the process ``pid`` holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most it held, since it began or since ``forget_peak``."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> bool:
    """Let the peak begin anew from what is held now; False where the kernel forbids that."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ValueError(f"process {pid} has no {field}. Is it still running?")
