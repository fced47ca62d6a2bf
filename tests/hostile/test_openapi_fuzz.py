"""Every operation that the service describes, with requests made from its own description."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import note
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks as conformance

from shared.audio import from_npy
from shared.contract import CLASSIFY_PATH, Scope
from shared.errors import PROBLEM_MEDIA_TYPE
from tests.hostile import make
from tests.hostile.corpus import FLAC, NPY, WAV, whole_corpus
from tests.support.apps import NAMES, Shop, open_shop
from tests.support.on_loop import OnLoop
from tests.support.torture import TORTURE, fuzz
from victim_service.model import VictimCard
from victim_service.plans import Plan

EXAMPLES = 2_000 if TORTURE else 40
"""Of each operation, over all its callers together."""
LARGEST_SEED_BYTES = 20_000
CARD = VictimCard("c" * 64, NAMES, make.RATE_HZ, make.SAMPLES)
PLANS = {
    plan.name: plan
    for plan in (
        Plan(name="rich", label_mode="soft", budget=10**9, rate_per_s=10**6, burst=10**6),
        Plan(name="poor", label_mode="top_k", top_k=2, budget=3, headers="coarse"),
        Plan(name="spare", label_mode="soft"),
        Plan(name="slow", label_mode="hard", budget=10**6, rate_per_s=0.5, burst=1),
    )
}
CALLERS: dict[str, tuple[Scope, str]] = {
    "rich": ("query", "rich"),
    "poor": ("query", "poor"),
    "slow": ("query", "slow"),
    "audit": ("audit", "audit"),
    "admin": ("admin", "admin"),
}
ACCEPTS = ["*/*", "application/json", "application/x-npy", "text/html", "a/b;q=0.5,*/*;q=0", ";,q="]
REAL_BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/admin/keys": {"account": "spare", "plan": "spare"},
    "PUT /v1/admin/plans/{name}": {"label_mode": "hard", "budget": 7},
}
STRAY_HEADERS = ["X-Request-Id", "X-Earshot-Campaign", "X-Api-Key", "Cookie", "Range", "If-Match"]
STRAY_HEADERS += ["Content-Encoding", "Expect", "X-Forwarded-For", "Host", "Authorization"]
STRANGERS = {
    "nobody": "",
    "forger": "Bearer lab_0123456789ab_" + "0" * 64 + "_00000000",
    "babbler": "Basic bGFiOnJhdA==",
}
CHECKS = [
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.negative_data_rejection,
]


def bodies(media_type: str, good: bytes) -> st.SearchStrategy[bytes]:
    """Good clips, files of the corpus, and noise."""
    corpus = [
        body
        for one in whole_corpus().values()
        if one.media_type == media_type and len(body := one.make()) < LARGEST_SEED_BYTES
    ]
    return st.just(good) | st.sampled_from(corpus) | st.binary(max_size=200)


schemathesis.openapi.media_type(WAV, bodies(WAV, make.GOOD_WAV))
schemathesis.openapi.media_type(FLAC, bodies(FLAC, make.GOOD_FLAC))
schemathesis.openapi.media_type(NPY, bodies(NPY, make.GOOD_NPY))


def described_operations() -> list[str]:
    async def ask() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            async with open_shop(Path(folder)) as shop:
                return cast(dict[str, Any], (await shop.get("/openapi.json")).json())

    paths = asyncio.run(ask())["paths"]
    return sorted(f"{method.upper()} {path}" for path, found in paths.items() for method in found)


HEADER_TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=100).map(
    str.strip
)


@dataclass(frozen=True)
class Asker:
    """How a case is sent: by whom, and with what that no document describes."""

    caller: str
    accept: str
    stray: dict[str, str]
    query: str


class Market:
    """A shop and its callers, asked by the cases that schemathesis makes."""

    def __init__(self, loop: OnLoop[Shop]) -> None:
        self.loop, self.shop = loop, loop.world
        document = loop.run(self.shop.get("/openapi.json")).json()
        self.schema = schemathesis.openapi.from_dict(document)
        self.schema.config.generation.with_security_parameters = False  # callers have their own
        self.headers = dict(STRANGERS)
        self.sold = dict.fromkeys(CALLERS, 0)
        for name in CALLERS:
            self.renew(name)
        self.spare_id = loop.run(self.shop.key("spare", account="spare")).split("_")[1]

    def renew(self, name: str) -> None:
        """Give a caller a new key of the same account: cases revoke keys."""
        scope, plan = CALLERS[name]
        key = self.loop.run(self.shop.key(plan, scope, account=name))
        self.headers[name] = f"Bearer {key}"

    def cases(self, label: str) -> st.SearchStrategy[schemathesis.Case]:
        """What fits the description of an operation, what does not, and what is really there."""
        operation = self.schema.find_operation_by_label(label)
        assert operation is not None
        made = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]
        real = {"name": "spare", "account": "spare", "key_id": self.spare_id}
        named = {name: value for name, value in real.items() if f"{{{name}}}" in label}
        if label in REAL_BODIES:
            made.append(operation.as_strategy(path_parameters=named, body=REAL_BODIES[label]))
        return st.one_of([*made, operation.as_strategy(path_parameters=named)] if named else made)

    def send(self, case: schemathesis.Case, asker: Asker) -> httpx.Response:
        """Send a case as ``asker`` does."""
        raw = case.as_transport_kwargs(base_url="http://victim", headers={"Accept": asker.accept})
        raw["headers"].update(asker.stray)
        raw["params"] = {**(raw.get("params") or {}), "stray": asker.query}
        if self.headers[asker.caller]:
            raw["headers"]["Authorization"] = self.headers[asker.caller]
        made = requests.Request(**raw).prepare()
        body = made.body.encode() if isinstance(made.body, str) else made.body or b""
        sent = self.shop.client.build_request(
            made.method or "",
            made.url or "",
            headers=[(name.encode(), _bytes(value)) for name, value in made.headers.items()],
            content=body,
        )
        return self.loop.run(self.shop.client.send(sent))

    def check(self, case: schemathesis.Case, asker: Asker) -> str:
        """Send a case, require an answer as the document describes it, and return what it was."""
        answer, caller = self.send(case, asker), asker.caller
        note(f"{asker} sent {case!r} and got {answer.status_code}: {answer.text[:300]}")
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        case.validate_response(answer, checks=CHECKS)
        is_sale = case.operation.path == CLASSIFY_PATH and answer.status_code == 200
        if is_sale and "idempotency-replayed" not in answer.headers:
            is_json = answer.headers["content-type"] == "application/json"
            self.sold[caller] += len(answer.json()["answers"]) if is_json else _rows(answer.content)
        if answer.status_code == 401 and caller in CALLERS:
            self.renew(caller)
        kind = answer.headers["content-type"]
        code = answer.json()["code"] if kind == PROBLEM_MEDIA_TYPE else kind.partition(";")[0]
        return f"{answer.status_code} {code}"


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _rows(body: bytes) -> int:
    return len(from_npy(body, max_bytes=len(body)))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    with OnLoop(open_shop(folder, plans=PLANS, card=CARD)) as loop:
        yield Market(loop)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("label", described_operations())
def test_an_operation_answers_as_it_is_described(market: Market, label: str) -> None:
    usual = st.just("admin" if "/admin/" in label else "rich")
    askers = st.builds(
        Asker,
        usual | st.sampled_from([*CALLERS, *STRANGERS]),
        st.just("*/*") | st.sampled_from(ACCEPTS),
        st.dictionaries(st.sampled_from(STRAY_HEADERS), HEADER_TEXT, max_size=3),
        st.text(max_size=30),
    )
    outcomes: Counter[str] = Counter()
    fuzz(
        st.tuples(market.cases(label), askers),
        lambda made: outcomes.update([market.check(*made)]),
        examples=EXAMPLES,
        long_s=0,
    )
    print(label, dict(outcomes.most_common()))
    # Little is learnt of an operation that refuses everybody.
    assert any(outcome.startswith("2") for outcome in outcomes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": False},
        {"budget": "7"},
        {"budget": 7.5},
        {"budget": 10**400},
        {"price_per_clip": True},
        {"rate_per_s": "9", "burst": 9},
        {"rate_per_s": 10**400, "burst": 9},
        {"label_mode": "top_k", "top_k": True},
        {"defences": [{"kind": "rounding", "decimals": True}]},
        {"defences": {"kind": "rounding", "decimals": 2}},
    ],
    ids=str,
)
def test_a_plan_is_never_guessed_from_a_value_of_another_kind(
    market: Market, wrong: dict[str, Any]
) -> None:
    answer = market.loop.run(
        market.shop.client.put(
            "/v1/admin/plans/spare",
            json={"label_mode": "hard"} | wrong,
            headers={"authorization": market.headers["admin"]},
        )
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


def test_the_ledger_adds_up_after_all_of_it(market: Market) -> None:
    run, ledger = market.loop.run, market.shop.ledger
    assert run(ledger.verify()) == []
    spends = run(ledger.spend())
    for name in ("rich", "poor", "slow"):
        assert sum(one.spent for one in spends if one.account == name) == market.sold[name]
    assert market.sold["rich"] > 0
    assert market.sold["poor"] <= 3 * len([one for one in spends if one.account == "poor"])
