"""The attacker's command line, called in this process with a key in the environment."""

import sys
from collections.abc import Callable

import pytest

from attacker import __main__ as command_line

Call = Callable[..., tuple[int, str]]


def caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, cache: str
) -> Call:
    """Return what calls a command against the victim at ``url``: (exit code, all output)."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EARSHOT_CACHE", cache)
    monkeypatch.setenv("EARSHOT_URL", url)

    def run(*arguments: str, key: str) -> tuple[int, str]:
        monkeypatch.setenv("EARSHOT_KEY", key)
        monkeypatch.setattr(sys, "argv", ["earshot-attacker", *arguments])
        code = 0
        try:
            command_line.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        output = capsys.readouterr()
        return code, output.out + output.err

    return run
