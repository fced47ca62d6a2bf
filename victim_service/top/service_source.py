"""Accounts and health as a running service tells them, over its admin API."""

import http.client
import json
import time
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from pydantic import ValidationError

from shared.contract import (
    ADMIN_ACCOUNTS_PATH,
    METRICS_PATH,
    READYZ_PATH,
    AccountList,
    AccountUsage,
)
from victim_service.errors import StartError
from victim_service.top.frame import Service
from victim_service.top.metrics_page import Latency, read_metrics

_TIMEOUT_S = 3.0
_ISSUE = "Issue one: earshot-victim keys issue --account NAME --scope admin."


@dataclass(frozen=True)
class Reply:
    """What one replica told."""

    at: float
    """By its clock, in seconds since 1970."""
    service: Service
    accounts: list[AccountUsage]


class ServiceSource:
    """Asks one replica; blocks, so call it in a thread."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StartError(f"--url {url!r}: write it as http://127.0.0.1:8765.")
        self.url = url.rstrip("/")
        self._key = key
        self._latency = Latency()
        # No proxy and no redirection: the key goes where the operator said, and nowhere else.
        self._opener = build_opener(ProxyHandler({}), _Stay())

    def read(self) -> Reply:
        """Return what the replica tells.

        Raises:
            StartError: it does not answer, or not to this key; the message says what to do.
        """
        body, at = self._accounts()
        try:
            accounts = AccountList.model_validate_json(body).accounts
        except ValidationError as error:
            raise self._stranger() from error
        return Reply(at, self._service(), accounts)

    def _accounts(self) -> tuple[bytes, float]:
        status, body, date = self._get(ADMIN_ACCOUNTS_PATH, self._key)
        if status == 401:
            raise StartError(f"{self.url} does not know this key, or no longer. {_ISSUE}")
        if status == 403:
            raise StartError(f"{self.url}: the key has no scope admin. {_ISSUE}")
        if status == 503:
            raise StartError(
                f"{self.url} cannot tell its accounts: {_code(body) or 'it is busy'}. "
                "Look at its log, or read the ledger: leave out --url."
            )
        if status != 200:
            raise self._stranger()
        return body, date

    def _service(self) -> Service:
        status, body, _ = self._get(READYZ_PATH)
        state = "ready" if status == 200 else _code(body) or f"status {status}"
        status, body, _ = self._get(METRICS_PATH)
        if status != 200:
            return Service(self.url, state)
        try:
            queue, refused, buckets = read_metrics(body.decode(errors="replace"))
        except ValueError:
            return Service(self.url, state)
        self._latency.add(buckets)
        p50_s, p99_s = self._latency.quantile(0.5), self._latency.quantile(0.99)
        return Service(self.url, state, queue, p50_s, p99_s, refused)

    def _get(self, path: str, key: str | None = None) -> tuple[int, bytes, float]:
        """Return (status, body, time by the service's clock)."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        request = Request(self.url + path, headers=headers)  # noqa: S310 - http or https, checked
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                return response.status, response.read(), _date(response.headers)
        except HTTPError as error:
            with error:
                return error.code, error.read(), _date(error.headers)
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise StartError(
                f"no victim answers at {self.url} ({reason}). Start one with `earshot-victim "
                "serve`, or mend --url; without --url the ledger alone is shown."
            ) from error

    def _stranger(self) -> StartError:
        return StartError(f"{self.url} is no victim with an admin API. Mend --url, or update it.")


class _Stay(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow nothing."""


def _code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, TypeError, KeyError):
        return None
    return str(code)


def _date(headers: Message) -> float:
    try:
        return parsedate_to_datetime(str(headers["Date"])).timestamp()
    except (TypeError, ValueError):
        return time.time()
