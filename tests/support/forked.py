"""Real processes that start fast: forked from one that has imported everything already."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

_PRELOADED = ["attacker.commands.run", "attacker.theft", "torch.utils.tensorboard", __name__]
_PRELOADED += ["victim_service.__main__", "victim_service.serve"]


def start_victim_command(
    arguments: Sequence[str], log: Path, variables: Mapping[str, str], errors_to: str = ""
) -> BaseProcess:
    """Start `earshot-victim` with ``arguments`` and only these VICTIM_ ``variables``.

    Standard error goes to ``errors_to``, or to the log as well.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(
        target=_sell, args=(list(arguments), str(log), dict(variables), errors_to), daemon=True
    )
    process.start()
    return process


def start_attacker(arguments: Sequence[str], log: Path) -> BaseProcess:
    """Start `earshot-attacker` with ``arguments`` in a process of its own; it can be killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_attack, args=(list(arguments), str(log)), daemon=True)
    process.start()
    return process


def _sell(arguments: list[str], log: str, variables: dict[str, str], errors_to: str) -> None:
    _write_to(log)
    if errors_to:
        os.dup2(os.open(errors_to, os.O_WRONLY), 2)
    for name in [name for name in os.environ if name.startswith("VICTIM_")]:
        del os.environ[name]
    os.environ.update(variables)
    sys.argv = ["earshot-victim", *arguments]
    from victim_service.__main__ import main

    main()


def _write_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["OMP_NUM_THREADS"] = "1"


def _attack(arguments: list[str], log: str) -> None:
    _write_to(log)
    sys.argv = ["earshot-attacker", *arguments]
    from attacker.__main__ import main

    main()
