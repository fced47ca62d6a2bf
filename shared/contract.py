"""The wire: what the two sides say to each other (design, section 3)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LabelMode = Literal["soft", "top_k", "hard", "rounded", "temperature"]
Scope = Literal["query", "audit", "admin"]
KeyState = Literal["valid", "revoked", "expired"]
AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")]
PlanName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]

CLASSIFY_PATH = "/v1/classify"
MODEL_PATH = "/v1/model"
ACCOUNT_PATH = "/v1/account"
LIVEZ_PATH = "/livez"
READYZ_PATH = "/readyz"
METRICS_PATH = "/metrics"
ADMIN_KEYS_PATH = "/v1/admin/keys"
ADMIN_PLANS_PATH = "/v1/admin/plans"
ADMIN_ACCOUNTS_PATH = "/v1/admin/accounts"
ADMIN_METRICS_PATH = "/v1/admin/metrics"

IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
RETRY_AFTER_HEADER = "Retry-After"
RATE_LIMIT_HEADER = "RateLimit"
RATE_LIMIT_POLICY_HEADER = "RateLimit-Policy"
REQUEST_ID_HEADER = "X-Request-Id"
PROOF_HEADER = "Earshot-Proof"
"""``<challenge>.<nonce>``: the work that a ``proof-required`` asked for (:mod:`shared.proof`)."""
CAMPAIGN_HEADER = "X-Earshot-Campaign"
"""Names the campaign that a request belongs to, for the server's log and for nothing else:
1 to 64 of ``A-Z a-z 0-9 . _ -``."""

WAV_MEDIA_TYPE = "audio/wav"
FLAC_MEDIA_TYPE = "audio/flac"
NPY_MEDIA_TYPE = "application/x-npy"
JSON_MEDIA_TYPE = "application/json"


class WireModel(BaseModel):
    """Base of the wire's documents. Readers accept unknown members, so that servers may grow."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelCard(WireModel):
    """Answer of ``GET /v1/model``: what a client must know to send clips."""

    labels: list[str]
    """K speaker names; a label is an index into them."""
    sample_rate_hz: int
    clip_samples: int
    """T: samples of one clip."""
    label_mode: LabelMode
    """What the caller's plan releases."""
    top_k: int | None = None
    """How many probabilities of a clip are released, in top_k mode."""
    decimals: int | None = None
    """Decimals of a probability, in rounded mode. The T of temperature mode is not told."""
    checkpoint: str
    """sha256 of the victim's tensors."""
    max_batch_clips: int
    """Most clips in one request, before the plan's burst."""


class LabelScore(WireModel):
    """One released label of a clip."""

    label: int
    name: str
    probability: float


class ClipAnswer(WireModel):
    """What the victim says of one clip; only what the plan releases is set."""

    label: int
    name: str
    probabilities: list[float] | None = None
    """K probabilities, in soft, rounded and temperature mode."""
    top: list[LabelScore] | None = None
    """The k most probable labels, in top_k mode, most probable first."""
    remainder: float | None = None
    """Probability that top_k mode withholds: 1 minus the sum of ``top``."""


class ClassifyAnswer(WireModel):
    """Answer of ``POST /v1/classify`` as JSON, one entry a clip, in the order sent."""

    label_mode: LabelMode
    answers: list[ClipAnswer]


class AccountStatus(WireModel):
    """Answer of ``GET /v1/account``: what the key's account may still spend, in units.

    A clip costs one unit, or more where its plan prices what an answer reveals.
    """

    account: str
    plan: str
    budget: int | None
    """Units that will ever be granted; None is without limit (audit keys)."""
    spent: int
    remaining: int | None
    rate_per_s: float | None
    burst: int | None = None
    daily_budget: int | None = None
    """Clips that a day allows; None is without such a limit."""
    daily_remaining: int | None = None
    """Clips that are left of it now."""
    price_per_clip: float = 0.0
    """Money for a unit of the budget; tiers of a plan may change it as ``spent`` grows."""
    spent_money: float = 0.0
    """``spent`` in money, at the prices of the plan as it is sold now."""
    most_units_per_clip: int = 1
    """Units of the budget that a clip may cost; what is left over is given back with its answer."""


class ProblemDocument(WireModel):
    """RFC 9457 problem document, with the members that Earshot adds."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remaining: int | None = None
    """What is left of the budget, on ``budget-exhausted``, or of the day, on ``rate-limited``."""
    retry_after_s: int | None = None
    challenge: str | None = None
    """What the proof must begin with, on ``proof-required``."""
    bits: int | None = None
    """Zero bits that the SHA-256 of the proof must begin with, on ``proof-required``."""


class KeyOrder(WireModel):
    """Request of ``POST /v1/admin/keys``. Unknown members are refused: one may be a budget."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    account: AccountName
    """Whom the key is for."""
    plan: PlanName | None = None
    """What a query key is sold; other scopes have none."""
    scope: Scope = "query"
    budget: int | None = Field(default=None, ge=0, le=2**53)
    """Clips that the key will ever be granted; None leaves it to the plan."""
    valid_for_s: float | None = Field(default=None, gt=0, le=1e10)
    """Seconds from now, by the ledger's clock; None is for ever."""


class KeyInfo(WireModel):
    """An API key as operators see it; what opens a door is not in it. Times in s since 1970."""

    key_id: str
    """Second part of the key."""
    account: str
    plan: str
    """The plan of a query key; ``audit`` or ``admin`` otherwise."""
    scope: Scope
    budget: int | None
    """Overrides the plan's budget; None leaves it."""
    issued_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    state: KeyState


class IssuedKey(WireModel):
    """Answer of ``POST /v1/admin/keys``: the only time that the key is shown."""

    key: str
    info: KeyInfo


class KeyList(WireModel):
    """Answer of ``GET /v1/admin/keys``, oldest first."""

    keys: list[KeyInfo]


class PlanVersion(WireModel):
    """One version of a plan, as it was and stays. Answer of ``PUT /v1/admin/plans/{name}``."""

    name: str
    version: int
    """Counts up from 1."""
    source: str
    """Who made it: ``file``, or ``admin:<key id>``."""
    at: float
    """Seconds since 1970, by the ledger's clock."""
    plan: dict[str, Any]
    """The whole plan."""


class PlanList(WireModel):
    """Answer of ``GET /v1/admin/plans``: the latest version of each, by name."""

    plans: list[PlanVersion]


class PlanHistory(WireModel):
    """Answer of ``GET /v1/admin/plans/{name}``."""

    latest: PlanVersion
    history: list[PlanVersion]
    """All versions, oldest first."""


class KeyUsage(WireModel):
    """What one key has bought, in clips, and what it may still buy."""

    info: KeyInfo
    spent: int
    """Clips charged, including those still running."""
    queries: int
    """Distinct queries answered."""
    audited: int
    """Unmetered clips, of an audit key."""
    cost: float
    """``spent`` in money, at the latest prices of its plan."""
    budget: int | None
    """Clips that it will ever be granted; None is without limit."""
    remaining: int | None
    """Clips left under all budgets that bind it; 0 once it opens nothing."""
    last_at: float | None
    """Time of its latest query, in s since 1970."""


class AccountUsage(WireModel):
    """Answer of ``GET /v1/admin/accounts/{account}``: all keys of an account together."""

    account: str
    spent: int
    queries: int
    audited: int
    cost: float
    budget: int | None
    """Of its valid query keys together; None is without limit."""
    remaining: int | None
    last_at: float | None
    rung: int = 0
    """Steps of its ladder that are in force."""
    alarms: int = 0
    """Alarms since the last step."""
    clips_per_s: float | None = None
    """Clips answered by this replica over the last 10 s."""
    refusals: dict[str, int] = {}
    """Refusals by problem code, by this replica since it started."""
    keys: list[KeyUsage]


class AccountList(WireModel):
    """Answer of ``GET /v1/admin/accounts``, by name."""

    accounts: list[AccountUsage]


class LadderStep(WireModel):
    """A change of an account's rung."""

    id: str
    at: float
    """In s since 1970."""
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    reason: str
    by: str
    """``detectors``, ``command``, or ``admin:<key id>``."""


class DetectorReading(WireModel):
    """The score of one window of an account's queries."""

    id: str
    at: float
    detector: str
    query: int
    """Clips of the account that were seen by then."""
    score: float | None
    """None where it is not finite."""
    threshold: float
    alarm: bool


class AccountLadder(WireModel):
    """Answer of ``GET`` and ``PUT /v1/admin/accounts/{account}/ladder``."""

    account: str
    rung: int
    alarms: int
    """Since the last step."""
    queries: int
    """Clips that were watched."""
    in_force: dict[str, list[str]]
    """By plan of the account's valid keys: the steps that are in force, from the mildest on."""
    steps: list[LadderStep]
    """The latest 100 steps, oldest first."""
    readings: list[DetectorReading]
    """The latest 20 windows, oldest first."""


class LadderOrder(BaseModel):
    """Body of ``PUT /v1/admin/accounts/{account}/ladder``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rung: int = Field(ge=0, le=32)
    reason: str = Field(min_length=1, max_length=500)
    """Why; it is kept for ever."""
    forget: bool = False
    """Whether the detectors begin anew: otherwise they go on from what they remember."""


class ReadingList(WireModel):
    """Answer of ``GET /v1/admin/accounts/{account}/readings``: a page, oldest first."""

    readings: list[DetectorReading]
