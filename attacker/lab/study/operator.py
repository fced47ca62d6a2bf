"""The operator who runs a study: patient, and with a view of all keys and accounts."""

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
import stamina

from attacker.errors import OracleError, Refusal, VictimUnreachable
from attacker.http_oracle import PATIENCE_S
from attacker.lab.admin import AdminClient
from shared.contract import (
    ADMIN_ACCOUNTS_PATH,
    ADMIN_KEYS_PATH,
    AccountList,
    AccountUsage,
    KeyInfo,
    KeyList,
    WireModel,
)

_FIRST_S, _LONGEST_S = 0.1, 5.0
DocumentT = TypeVar("DocumentT", bound=WireModel)


class Operator(AdminClient):
    """An :class:`AdminClient` that tries again for ``patience_s``: a study runs for hours.

    Every request may be sent twice. A plan that is sold already makes no new version, and a key
    that nobody was told of has spent nothing.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, key, transport=transport)
        self.patience_s = patience_s

    def keys(self) -> dict[str, KeyInfo]:
        """Return all keys that the victim knows, by their ids."""
        return {one.key_id: one for one in self._ask("GET", ADMIN_KEYS_PATH, KeyList).keys}

    def accounts(self) -> dict[str, AccountUsage]:
        """Return what every account bought and paid, by name."""
        found = self._ask("GET", ADMIN_ACCOUNTS_PATH, AccountList).accounts
        return {one.account: one for one in found}

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[DocumentT],
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> DocumentT:
        attempts = stamina.retry_context(
            on=_passing,
            attempts=None,
            timeout=self.patience_s,
            wait_initial=_FIRST_S,
            wait_max=_LONGEST_S,
        )
        for attempt in attempts:
            with attempt:
                return super()._ask(method, path, kind, body, params)
        raise OracleError("unreachable: retries ended without a result. Report this bug.")


def _passing(error: Exception) -> bool:
    if isinstance(error, Refusal):
        return error.problem.retryable
    return isinstance(error, VictimUnreachable)
