"""A process that measures on request: a line in (seconds), a line of JSON out.

So measurements of several processes can take turns on the same processors; who is not asked sleeps.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks.support.processes import ROOT, clean_environment

Ask = Callable[[float], dict[str, float]]
"""Have the process measure for about so many seconds."""


@contextlib.contextmanager
def worker(module: str, *words: str, python: str = sys.executable) -> Iterator[Ask]:
    """Run ``module`` for the length of a block; yield what asks it.

    Raises:
        RuntimeError: from a question, when the process ended instead of answering.
    """
    command: Sequence[str] = [python, "-m", module, *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip

        def ask(seconds: float) -> dict[str, float]:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError(f"{module} has no pipes")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(f"{seconds}\n")
                process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{module} ended with {process.wait()}; see its error above")
            answer: dict[str, float] = json.loads(line)
            return answer

        try:
            yield ask
        finally:
            process.terminate()


def answer(measure: Callable[[float], dict[str, float]]) -> None:
    """Answer every line of standard input with one measurement, until it closes."""
    for line in sys.stdin:
        print(json.dumps(measure(float(line))), flush=True)
