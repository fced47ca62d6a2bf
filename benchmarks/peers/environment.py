"""The peers' own virtual environment, made on the first run: never part of the project's lock."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.support.processes import ROOT

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
FOLDER = ROOT / "runs" / "peers" / ".venv"
_STAMP = ".requirements"
_TAIL = 1000


class NoPeersError(RuntimeError):
    """The environment could not be made; the message says why."""


def prepare() -> str:
    """Return the peers' Python, after installing what ``requirements.txt`` pins.

    Raises:
        NoPeersError: uv is not there, or a package could not be had.
    """
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / _STAMP
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NoPeersError("uv is not there. Run `make install`.")
    print("installing the peers into runs/peers/.venv ...", flush=True)
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER))
    _run(uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(REQUIREMENTS))
    stamp.write_text(wanted)
    return str(python)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise NoPeersError(f"the peers could not be installed: {done.stderr[-_TAIL:].strip()}")
