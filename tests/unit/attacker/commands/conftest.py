"""The command line, called in this process."""

import sys
from collections.abc import Callable

import pytest

from attacker import __main__ as command_line

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a caller of the command line in this process: (exit code, all output)."""
    for name in ("EARSHOT_KEY", "EARSHOT_KEYS", "EARSHOT_AUDIT_KEY", "EARSHOT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["earshot-attacker", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        output = capsys.readouterr()
        return int(caught.value.code or 0), output.out + output.err

    return run
