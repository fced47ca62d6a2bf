"""The command line of the attacker: `earshot-attacker`, or `python -m attacker`."""

import importlib
import importlib.util
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from attacker.cells.parent import end_with_parent
from shared import messages

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("attacker.commands.plan", "plan"),
    "run": ("attacker.commands.run", "run"),
    "resume": ("attacker.commands.run", "resume"),
    "status": ("attacker.commands.status", "status"),
    "study": ("attacker.commands.study", "study"),
    "report": ("attacker.commands.report", "report"),
    "honest": ("attacker.commands.honest", "honest"),
    "detections": ("attacker.commands.detections", "detections"),
    "filters": ("attacker.commands.filters", "filters"),
    "train-gan": ("attacker.commands.train_gan", "train_gan"),
    "train-model": ("attacker.commands.train_model", "train_model"),
    "vision": ("attacker.commands.vision", "vision"),
    "list": ("attacker.commands.list_kinds", "list_kinds"),
    "validate": ("attacker.commands.validate", "validate"),
}
"""By name, the module and function of each command."""
_INTERRUPTED = 130


def build_app(argv: list[str]) -> typer.Typer:
    """Return the command line with what ``argv`` needs.

    Only the command that is called is imported: torch and librosa take seconds, and `status` needs
    neither.
    """
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def earshot_attacker() -> None:
        """Steal a speaker-identification model of your own through its API, under a budget."""

    called = next((word for word in argv if not word.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        command = load(name)
        if command is not None:
            app.command(name)(command)
    return app


def load(name: str) -> Callable[..., Any] | None:
    """Return the function of command ``name``, or None where this installation has no such one."""
    module, function = COMMANDS[name]
    if importlib.util.find_spec(module) is None:
        return None
    command: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return command


def main() -> None:
    """Run the command line; an error of ours is one line, without a traceback."""
    end_with_parent()
    try:
        build_app(sys.argv[1:])(prog_name="earshot-attacker")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        text = explain(error)
        if text is None:
            raise
        console = Console(stderr=True)
        console.print("[red]error:[/]", end=" ")
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        sys.exit(exit_code(error))


def explain(error: Exception) -> str | None:
    """Return the one line that people are shown of ``error``; None for a defect of ours."""
    if isinstance(error, sqlite3.OperationalError):
        return f"the journal could not be written ({error}). Free some disk, then resume."
    return messages.explain(error)


def exit_code(error: Exception) -> int:
    """Return 2 where the command line or a file of its is wrong, and 1 otherwise."""
    if type(error).__name__ == "ConfigError":
        return 2
    return int(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()
