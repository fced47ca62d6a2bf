"""A log that never keeps the event loop waiting: a thread writes what others say.

Whoever reads the service's standard error may be slow, or stop. Then lines wait here, and beyond a
bound they are counted instead of kept.
"""

import atexit
import os
import threading
from collections import deque

_EVERY_S = 0.05
"""A line is on its way after this time at the latest; no more than this is lost by SIGKILL."""
_MOST_LINES = 20_000
_END_S = 2.0


class LogFile:
    """Stands where structlog would have a file; ``write`` returns at once, from any thread.

    No error of writing ever reaches whoever logs: a full disk must not stop the service.
    """

    def __init__(self, descriptor: int, most_lines: int = _MOST_LINES) -> None:
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, text: str) -> None:
        """Take a line."""
        # A thread that is woken for each line would cost more than the line.
        if len(self._lines) < self._most_lines:
            self._lines.append(text)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing: lines leave by themselves."""

    def close(self) -> None:
        """Write what is left, unless the reader has stopped reading."""
        self._ending.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(_EVERY_S)
            self._write_all()

    def _write_all(self) -> None:
        waiting = [self._lines.popleft() for _ in range(len(self._lines))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            waiting.append(
                f'{{"event": "log lines dropped", "level": "warning", "n": {dropped}}}\n'
            )
        data = memoryview("".join(waiting).encode(errors="backslashreplace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # nobody reads any more, or there is no room: what was to be said is lost
            return
