"""Named places in the life of a query where a test makes the process fail.

Off unless the setting ``VICTIM_FAILPOINTS`` names some: ``after-reserve=kill@3`` ends the process
by SIGKILL at the third visit, ``before-commit=sleep:5`` sleeps 5 s at every visit and
``before-model=fail@1`` raises at the first. Several are separated by commas.
"""

import asyncio
import os
import re
import signal
from dataclasses import dataclass

import structlog

from victim_service.errors import StartError

_log = structlog.get_logger("victim")

POINTS = (
    "before-reserve",
    "after-reserve",
    "before-model",
    "after-model",
    "before-commit",
    "after-commit",
    "before-answer",
)
_WORDS = re.compile(r"([a-z-]+)=(kill|fail|sleep:(\d+(?:\.\d+)?))(?:@([1-9]\d*))?", re.ASCII)


@dataclass
class _Failpoint:
    action: str
    seconds: float
    at: int | None
    """The visit at which it acts; None is every one."""
    visits: int = 0


_armed: dict[str, _Failpoint] = {}


def arm(text: str) -> None:
    """Set the failpoints that ``text`` names, in place of all that were set.

    Raises:
        StartError: it cannot be read.
    """
    points = dict(_read(item.strip()) for item in text.split(",") if item.strip())
    _armed.clear()
    _armed.update(points)
    if points:
        _log.warning("failpoints are set: this service fails on purpose", failpoints=text)


async def reach(name: str) -> None:
    """Fail here, if this is what was asked for.

    Raises:
        RuntimeError: the failpoint's action is ``fail``.
    """
    point = _armed.get(name)
    if point is None:
        return
    point.visits += 1
    if point.at is not None and point.visits != point.at:
        return
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif point.action == "fail":
        raise RuntimeError(f"failpoint {name}")
    await asyncio.sleep(point.seconds)


def _read(item: str) -> tuple[str, _Failpoint]:
    match = _WORDS.fullmatch(item)
    if match is None or match[1] not in POINTS:
        raise StartError(
            f"VICTIM_FAILPOINTS: {item!r} is no failpoint. Write POINT=kill, POINT=fail or "
            f"POINT=sleep:SECONDS, with @N for the N-th visit only; points are {', '.join(POINTS)}."
        )
    return match[1], _Failpoint(match[2].partition(":")[0], float(match[3] or 0), _number(match[4]))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
