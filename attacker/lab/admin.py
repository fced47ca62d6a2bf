"""The operator's routes of a victim of one's own: plans, keys, usage and readings of detectors."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import stamina
from pydantic import ValidationError

from attacker.errors import ExperimentError, NotFound, OracleError, Refusal
from attacker.http_oracle import (
    PATIENCE_S,
    error_of,
    is_loopback,
    unknown_answer,
    unreachable,
)
from shared.contract import (
    ADMIN_ACCOUNTS_PATH,
    ADMIN_KEYS_PATH,
    ADMIN_PLANS_PATH,
    AccountList,
    AccountUsage,
    DetectorReading,
    IssuedKey,
    KeyInfo,
    KeyList,
    KeyOrder,
    PlanHistory,
    PlanVersion,
    ReadingList,
    WireModel,
)

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_PAGE, _MOST_PAGES = 1000, 1000
DocumentT = TypeVar("DocumentT", bound=WireModel)


class AdminClient:
    """A victim service at a URL, asked under a key of scope admin; the key is in no message.

    A request is tried again for up to ``patience_s`` where the connection broke or the problem
    allows it. An order of a key that is sent twice may leave a key that nobody knows: it has spent
    nothing.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ExperimentError(f"{url!r} is no address. Write it as http://127.0.0.1:8765.")
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            trust_env=not is_loopback(self.url),  # a proxy cannot reach this machine's loopback
            verify=self.url.startswith("https:"),  # loading certificates for http takes 0.1 s
            transport=transport,
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
        return self.ask("GET", _below(ADMIN_PLANS_PATH, name), PlanHistory).latest.plan

    def put_plan(self, plan: Mapping[str, Any]) -> PlanVersion:
        """Sell ``plan`` under its own name; one that is sold already makes no new version.

        Raises:
            Refusal: it is no plan that the victim sells; the message says why.
            OracleError: the victim cannot be reached, or does not take the key.
        """
        return self.ask("PUT", _below(ADMIN_PLANS_PATH, plan["name"]), PlanVersion, dict(plan))

    def issue_key(self, account: str, plan: str, budget: int | None = None) -> IssuedKey:
        """Issue a key of ``account`` under ``plan`` that buys ``budget`` clips and no more.

        Without a budget, it is the plan's own.

        Raises:
            OracleError: the victim cannot be reached, or refuses.
        """
        order = KeyOrder(account=account, plan=plan, budget=budget)
        return self.ask("POST", ADMIN_KEYS_PATH, IssuedKey, order.model_dump(exclude_none=True))

    def keys(self) -> dict[str, KeyInfo]:
        """Return all keys that the victim knows, by their ids."""
        return {one.key_id: one for one in self.ask("GET", ADMIN_KEYS_PATH, KeyList).keys}

    def usage(self, account: str) -> AccountUsage:
        """Return what ``account`` bought, may still buy, and was refused.

        Raises:
            Refusal: there is none of that name.
        """
        return self.ask("GET", _below(ADMIN_ACCOUNTS_PATH, account), AccountUsage)

    def accounts(self) -> dict[str, AccountUsage]:
        """Return what every account bought and paid, by name."""
        found = self.ask("GET", ADMIN_ACCOUNTS_PATH, AccountList).accounts
        return {one.account: one for one in found}

    def readings(self, account: str, after: str = "") -> list[DetectorReading]:
        """Return what all detectors said of ``account`` since reading ``after``, oldest first.

        Empty where nothing watches the account, and where the victim has no detectors at all.
        """
        try:
            return list(self._pages(account, after))
        except NotFound:
            return []

    def _pages(self, account: str, after: str) -> Iterator[DetectorReading]:
        path = f"{_below(ADMIN_ACCOUNTS_PATH, account)}/readings"
        for _ in range(_MOST_PAGES):
            asked = {"limit": str(_PAGE)} | ({"after": after} if after else {})
            page = self.ask("GET", path, ReadingList, params=asked).readings
            yield from page
            if len(page) < _PAGE or page[-1].id == after:
                return
            after = page[-1].id

    def ask(
        self,
        method: str,
        path: str,
        kind: type[DocumentT],
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> DocumentT:
        """Send one request below the service's address; return the document that is answered.

        Raises:
            VictimUnreachable: nobody answers.
            OracleError: it was refused, or this is no Earshot victim.
        """
        try:
            response = self._send(method, path, body, params)
        except httpx.TransportError as error:
            raise unreachable(self.url, error, self.patience_s) from error
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise unknown_answer(response) from error

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str] | None,
    ) -> httpx.Response:
        attempts = stamina.retry_context(
            on=_passing, attempts=None, timeout=self.patience_s, wait_initial=0.1, wait_max=5.0
        )
        for attempt in attempts:
            with attempt:
                response = self._client.request(method, path, json=body, params=params)
                if not response.is_success:
                    raise error_of(response)
                return response
        raise OracleError("unreachable: retries ended without a result. Report this bug.")


def _below(path: str, name: object) -> str:
    return f"{path}/{quote(str(name), safe='')}"


def _passing(error: Exception) -> bool:
    if isinstance(error, Refusal):
        return error.problem.retryable
    return isinstance(error, httpx.TransportError)
