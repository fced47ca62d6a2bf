"""The victim over HTTP: the only file that knows httpx."""

import asyncio
import ipaddress
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np
import stamina
from pydantic import ValidationError

from attacker import proof
from attacker.errors import (
    BadAnswer,
    ExperimentError,
    OracleError,
    ProofRequired,
    RateLimited,
    Refusal,
    UnknownAnswer,
    VictimUnreachable,
    refusal_of,
)
from attacker.oracle import OnEvent, are_labels, check_answers
from shared.audio import AudioError, from_npy, to_npy
from shared.contract import (
    ACCOUNT_PATH,
    CLASSIFY_PATH,
    IDEMPOTENCY_HEADER,
    MODEL_PATH,
    NPY_MEDIA_TYPE,
    PROOF_HEADER,
    RETRY_AFTER_HEADER,
    AccountStatus,
    ModelCard,
    ProblemDocument,
    WireModel,
)
from shared.errors import PROBLEM_MEDIA_TYPE

stamina.instrumentation.set_on_retry_hooks([])  # ``on_event`` tells of retries, not the log

PATIENCE_S = 120.0
"""How long one request is tried again before the victim counts as unreachable, and the longest
wait for the rate limit."""
FIRST_CONTACT_S = 5.0
"""The same for the first question to a victim: one that is not up should be said at once."""
_CONNECT_S, _ANSWER_S = 5.0, 60.0
_HEADROOM_BYTES = 4096
_PROOFS_A_REQUEST = 5
"""Challenges that are taken up for one request: one, and more where one expired."""
_GATEWAY_FAILURES = (502, 503, 504)
START_COMMAND = "earshot-victim serve CHECKPOINT --ledger sqlite:///runs/ledger.sqlite"

DocumentT = TypeVar("DocumentT", bound=WireModel)


class HttpOracle:
    """A victim service at a URL, asked under one API key.

    Requests are tried again, under the same idempotency key, where the problem allows it or the
    connection broke, for up to ``patience_s``. Waiting for the rate limit is not counted, since
    that is the plan at work; but one wait that is longer than ``patience_s`` is not begun, and the
    refusal is raised. Where the victim wants work to be proved, it is done, on a thread, up to
    ``most_bits`` bits, and counted in ``work``. The key appears in no message, event or repr.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_s: float = PATIENCE_S,
        connections: int = 8,
        most_bits: int = proof.MOST_BITS,
        on_event: OnEvent | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ExperimentError(f"{url!r} is no address. Write it as http://127.0.0.1:8765.")
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self.on_event: OnEvent = on_event or (lambda name, facts: None)
        self.most_bits = most_bits
        self.work = proof.Work()
        self._card: ModelCard | None = None
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=not is_loopback(self.url),  # a proxy cannot reach this machine's loopback
            verify=self.url.startswith("https:"),  # loading certificates for http takes 0.1 s
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"HttpOracle({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def card(self) -> ModelCard:
        """Return what the victim says of itself; asked once.

        Raises:
            VictimUnreachable: nobody answers; the message says where it looked.
            OracleError: the key was refused, or this is no Earshot victim.
        """
        if self._card is None:
            patience_s = min(self.patience_s, FIRST_CONTACT_S)
            self._card = await self._document(MODEL_PATH, ModelCard, patience_s)
        return self._card

    async def account(self) -> AccountStatus:
        """Return what the key's account may still spend."""
        return await self._document(ACCOUNT_PATH, AccountStatus, self.patience_s)

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        """Buy answers to ``clips`` (B, T) int16 under idempotency key ``key``; see Oracle."""
        card = await self.card()
        request = self._client.build_request(
            "POST",
            CLASSIFY_PATH,
            content=to_npy(clips),
            headers={
                "Content-Type": NPY_MEDIA_TYPE,
                "Accept": NPY_MEDIA_TYPE,
                IDEMPOTENCY_HEADER: key,
            },
        )
        response = await self._send(request, self.patience_s)
        largest = len(clips) * len(card.labels) * 8 + _HEADROOM_BYTES
        try:
            answers = from_npy(response.content, max_bytes=largest)
        except AudioError as error:
            raise BadAnswer(
                f"the victim's answer is not the npy array that was asked for ({error}). Check "
                "that the URL is that of an Earshot victim, then resume."
            ) from error
        checked = check_answers(answers, clips=len(clips), card=card)
        if card.label_mode != "hard" and are_labels(answers):
            self.on_event("labels-only", {"clips": len(clips), "key": key})
        return checked

    async def _document(self, path: str, kind: type[DocumentT], patience_s: float) -> DocumentT:
        response = await self._send(self._client.build_request("GET", path), patience_s)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise unknown_answer(response) from error

    async def _send(self, request: httpx.Request, patience_s: float) -> httpx.Response:
        failures: list[Exception] = []
        try:
            return await self._send_until_sold(request, patience_s, failures)
        except OracleError as error:
            error.perhaps_paid = bool(failures)
            raise

    async def _send_until_sold(
        self, request: httpx.Request, patience_s: float, failures: list[Exception]
    ) -> httpx.Response:
        left = _PROOFS_A_REQUEST
        while True:
            try:
                return await self._retry(request, patience_s, failures)
            except ProofRequired as refusal:
                left -= 1
                if left < 0 or not refusal.challenge:
                    raise
                request.headers[PROOF_HEADER] = await self._prove(refusal)
            except RateLimited as refusal:
                wait_s = max(refusal.retry_after_s or 1.0, 0.05)
                if wait_s > self.patience_s:
                    raise
                self.on_event("retry", {"because": refusal.code, "wait_s": wait_s})
                await asyncio.sleep(wait_s)

    async def _prove(self, refusal: ProofRequired) -> str:
        """Do the work that was asked for; return the value of the header."""
        stop = threading.Event()
        try:
            solved = await asyncio.to_thread(
                proof.solve, refusal.challenge, refusal.bits, most_bits=self.most_bits, stop=stop
            )
        finally:
            stop.set()  # whoever waits may have been cancelled; a thread cannot be
        self.work.add(solved.work)
        facts = {"hashes": solved.work.hashes, "seconds": solved.work.seconds}
        self.on_event("proof", {"bits": refusal.bits, **facts})
        return solved.proof

    async def _retry(
        self, request: httpx.Request, patience_s: float, failures: list[Exception]
    ) -> httpx.Response:
        """Send ``request`` until it is answered; ``failures`` gets what it was sent again for."""
        ends = time.monotonic() + patience_s

        def wait_s(error: Exception) -> float | bool:
            wait = self._wait_s(error, ends - time.monotonic())
            if wait is not False:
                failures.append(error)
            return wait

        attempts = stamina.retry_context(
            on=wait_s,
            attempts=None,
            timeout=patience_s,
            wait_initial=0.1,
            wait_max=5.0,
            wait_jitter=0.25,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    return await self._once(request)
        except httpx.TransportError as error:
            raise unreachable(self.url, error, patience_s) from error
        raise OracleError("unreachable: retries ended without a result. Report this bug.")

    def _wait_s(self, error: Exception, left_s: float) -> float | bool:
        """Say whether to try again after ``error``, and after how many seconds if that is known."""
        if isinstance(error, httpx.TransportError):
            self.on_event("retry", {"because": type(error).__name__})
            return left_s > 0
        if not isinstance(error, Refusal) or isinstance(error, RateLimited):
            return False
        again = error.problem.retryable and left_s > 0
        if again:
            self.on_event("retry", {"because": error.code})
        if again and error.retry_after_s is not None:
            return min(max(error.retry_after_s, 0.05), left_s)
        return again

    async def _once(self, request: httpx.Request) -> httpx.Response:
        response = await self._client.send(request)
        if response.status_code == httpx.codes.OK:
            return response
        if response.status_code in _GATEWAY_FAILURES and not is_problem(response):
            raise httpx.ProxyError(f"a gateway answered {response.status_code}")
        error = error_of(response)
        if isinstance(error, Refusal) and not isinstance(error, ProofRequired):
            facts = {"code": error.code, "detail": error.detail}
            self.on_event("refusal", {**facts, "retry_after_s": error.retry_after_s})
        raise error


def error_of(response: httpx.Response) -> OracleError:
    """Return what an answer that is no success says: a refusal, or that this is no victim."""
    if not is_problem(response):
        return unknown_answer(response)
    try:
        document = ProblemDocument.model_validate_json(response.content)
    except ValidationError:
        return unknown_answer(response)
    return refusal_of(document, _seconds(response.headers.get(RETRY_AFTER_HEADER)))


def unknown_answer(response: httpx.Response) -> UnknownAnswer:
    """Return the error of an answer that no victim gives."""
    return UnknownAnswer(
        f"{response.request.url} answered {response.status_code} in a way that no Earshot "
        "victim does. Give the victim's own address with --url."
    )


def unreachable(url: str, error: httpx.TransportError, patience_s: float) -> VictimUnreachable:
    """Return the error of an address where nobody answered for ``patience_s``."""
    return VictimUnreachable(
        f"no victim answers at {url} ({type(error).__name__}, tried for {patience_s:.0f} s). "
        f"Start one with `{START_COMMAND}`, or give its address with --url."
    )


def is_problem(response: httpx.Response) -> bool:
    """Whether ``response`` holds a problem document."""
    media_type: str = response.headers.get("Content-Type", "")
    return media_type.partition(";")[0] == PROBLEM_MEDIA_TYPE


def _seconds(header: str | None) -> float | None:
    """Read Retry-After, which is a number of seconds or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this very machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
