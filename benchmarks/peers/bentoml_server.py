"""BentoML with adaptive batching: ``python -m benchmarks.peers.bentoml_server --help``."""

import os
import sys

from benchmarks.peers.arguments import Arguments, read
from shared import checkpoint


def main(arguments: Arguments) -> None:
    """Become BentoML's own server, which imports the service."""
    _, card = checkpoint.load(arguments.checkpoint)
    os.environ |= {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(arguments.scratch),
        "PEER_CHECKPOINT": str(arguments.checkpoint),
        "PEER_WORKERS": str(arguments.workers),
        "PEER_THREADS": str(arguments.threads),
        "PEER_SAMPLES": str(card["clip_samples"]),
    }
    if arguments.tuned:
        os.environ["PEER_TUNED"] = "1"
    command = [sys.executable, "-m", "bentoml", "serve"]
    command += ["benchmarks.peers.bentoml_service:Classify", "--host", "127.0.0.1"]
    command += ["--port", str(arguments.port)]
    os.execv(sys.executable, command)  # noqa: S606 (an argument list, no shell)


if __name__ == "__main__":
    main(read())
