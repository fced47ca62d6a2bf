"""The errors of this side.

VictimError
├── StartError      an operator's command cannot go on; its message is the one line they read
├── Refusal         a request is not answered; ``code`` names a row of ``shared.errors.PROBLEMS``
└── ClientGone      the client left before its answer; nobody is there to be told
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.errors import PROBLEMS, Problem

if TYPE_CHECKING:
    from victim_service.ledger.base import Standing


class VictimError(Exception):
    """Base of every error that the victim service raises on purpose."""


class StartError(VictimError):
    """A command cannot go on; the message says why and what to do next."""


class ClientGone(VictimError):  # noqa: N818 - an outcome, not a fault
    """The client closed its connection before it was answered."""


class Refusal(VictimError):  # noqa: N818 - an outcome, not a fault
    """A request is not answered, and nothing was charged for it."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after_s: float | None = None,
        remaining: int | None = None,
        headers: dict[str, str] | None = None,
        standing: "Standing | None" = None,
        members: Mapping[str, str | int] | None = None,
    ) -> None:
        self.problem: Problem = PROBLEMS[code]
        self.detail = detail or self.problem.title
        self.retry_after_s = retry_after_s
        self.remaining = remaining
        self.headers = headers or {}
        self.standing = standing
        self.members = dict(members or {})
        super().__init__(f"{code}: {self.detail}")

    @property
    def code(self) -> str:
        """Code of the problem."""
        return self.problem.code
