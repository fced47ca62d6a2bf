"""The operator's routes of a victim of one's own: plans, keys, usage and readings of detectors."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from attacker.errors import NotFound, UnknownAnswer, VictimUnreachable, refusal_of
from attacker.http_oracle import is_loopback
from shared.contract import (
    ADMIN_ACCOUNTS_PATH,
    ADMIN_KEYS_PATH,
    ADMIN_PLANS_PATH,
    AccountUsage,
    DetectorReading,
    IssuedKey,
    PlanHistory,
    PlanVersion,
    ProblemDocument,
    ReadingList,
    WireModel,
)

_ANSWER_S, _RETRIES = 30.0, 2
_PAGE, _MOST_PAGES = 1000, 1000
DocumentT = TypeVar("DocumentT", bound=WireModel)


class AdminClient:
    """A victim service at ``url``, asked under a key of scope admin, which is in no message.

    Raises, in every method:
        VictimUnreachable: nobody answers.
        Refusal: the victim refuses; ``WrongScope`` where the key is not an operator's.
        UnknownAnswer: something answers that is not an Earshot victim.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_ANSWER_S,
            trust_env=not is_loopback(self.url),
            verify=self.url.startswith("https:"),
            transport=transport or httpx.HTTPTransport(retries=_RETRIES),
        )

    def __repr__(self) -> str:
        return f"AdminClient({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    def plan(self, name: str) -> dict[str, Any]:
        """Return the latest version of plan ``name``, whole."""
        path = f"{ADMIN_PLANS_PATH}/{quote(name, safe='')}"
        return self._ask("GET", path, PlanHistory).latest.plan

    def put_plan(self, plan: Mapping[str, Any]) -> PlanVersion:
        """Sell ``plan``, whose ``name`` names it, from now on; one that is sold already stays."""
        path = f"{ADMIN_PLANS_PATH}/{quote(str(plan['name']), safe='')}"
        return self._ask("PUT", path, PlanVersion, dict(plan))

    def issue_key(self, account: str, plan: str, *, budget: int | None = None) -> str:
        """Return a new query key of ``account`` under ``plan``."""
        order = {"account": account, "plan": plan, "scope": "query", "budget": budget}
        return self._ask("POST", ADMIN_KEYS_PATH, IssuedKey, order).key

    def usage(self, account: str) -> AccountUsage:
        """Return what ``account`` bought, may still buy, and was refused."""
        return self._ask("GET", f"{ADMIN_ACCOUNTS_PATH}/{quote(account, safe='')}", AccountUsage)

    def readings(self, account: str, after: str = "") -> list[DetectorReading]:
        """Return what all detectors said of ``account`` since reading ``after``, oldest first.

        Empty where nothing watches the account, and where the victim has no detectors at all.
        """
        try:
            return list(self._pages(account, after))
        except NotFound:
            return []

    def _pages(self, account: str, after: str) -> Iterator[DetectorReading]:
        path = f"{ADMIN_ACCOUNTS_PATH}/{quote(account, safe='')}/readings"
        for _ in range(_MOST_PAGES):
            asked = {"limit": str(_PAGE)} | ({"after": after} if after else {})
            page = self._ask("GET", path, ReadingList, params=asked).readings
            yield from page
            if len(page) < _PAGE or page[-1].id == after:
                return
            after = page[-1].id

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[DocumentT],
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> DocumentT:
        try:
            response = self._client.request(method, path, json=body, params=params)
        except httpx.TransportError as error:
            raise VictimUnreachable(
                f"no victim answers at {self.url} ({type(error).__name__}). Start one with "
                "`earshot-victim serve`, or give its address with --url."
            ) from error
        try:
            if response.is_success:
                return kind.model_validate_json(response.content)
            problem = ProblemDocument.model_validate_json(response.content)
        except ValidationError as error:
            raise UnknownAnswer(
                f"{self.url}{path} answered {response.status_code} in a way that no Earshot victim "
                "does. Give the victim's own address with --url."
            ) from error
        raise refusal_of(problem)
