"""What every peer's server is told on its command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arguments:
    """Where to listen, what to serve, and with how many processes of how many threads."""

    port: int
    checkpoint: Path
    workers: int
    threads: int
    options: tuple[str, ...]
    """``tuned``, and words that only one peer knows."""
    scratch: Path
    """A folder for whatever the server writes."""

    @property
    def tuned(self) -> bool:
        """Whether the network is served in its tuned form."""
        return "tuned" in self.options


def read() -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--option", action="append", default=[], dest="options")
    parser.add_argument("--scratch", type=Path, required=True)
    words = parser.parse_args()
    return Arguments(**(vars(words) | {"options": tuple(words.options)}))
