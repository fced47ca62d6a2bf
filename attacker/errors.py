# ruff: noqa: N818 - these names say what happened; a suffix on each would say nothing more
"""Every error of the attacker.

EarshotError                  what `earshot-attacker` prints as `error: ...`
├── ExperimentError           the experiment, or the command line, cannot be used (exit code 2)
│   ├── KnowledgeMissing      it needs what its `knowledge` block does not grant
│   └── SourceMismatch        a source's audio does not fit the victim
├── CampaignError
│   ├── CellUnfinished        a cell ended without all that its experiment asks for
│   ├── JournalError
│   │   ├── JournalMismatch   the journal belongs to another experiment, victim or material
│   │   ├── JournalLocked     another attacker is writing it
│   │   └── MaterialChanged   a planned batch is no longer made of the same bytes
│   └── SourceError           a source broke its promise (shape, range, finite samples)
└── OracleError
    ├── VictimUnreachable     nobody answers at the URL
    ├── UnknownAnswer         something answers that is not an Earshot victim
    ├── BadAnswer             an answer of a wrong shape, or not finite
    ├── ProofTooHard          the victim asks for more work than is done here
    └── Refusal               the victim refused; one class below for each wire problem:
        MalformedRequest IdempotencyKeyMissing IdempotencyKeyMalformed InvalidKey WrongScope
        AccountSuspended BudgetExhausted NotFound MethodNotAllowed NotAcceptable SlowBody
        StillRunning TooLarge BatchExceedsBurst UnsupportedMediaType UndecodableAudio WrongLength
        WrongSampleRate NotFinite OutOfRange KeyReused ProofRequired RateLimited VictimFailed
        QueueFull Draining DeadlinePassed ModelFailed LedgerUnreachable
"""

from typing import ClassVar

from shared.contract import ProblemDocument
from shared.errors import PROBLEMS, Problem


class EarshotError(Exception):
    """Base of the tree; the message ends with what to do next."""

    exit_code: ClassVar[int] = 1


class ExperimentError(EarshotError):
    """The experiment, or the command line, cannot be used."""

    exit_code: ClassVar[int] = 2


class KnowledgeMissing(ExperimentError):
    """A part of the experiment needs what its ``knowledge`` block does not grant."""


class SourceMismatch(ExperimentError):
    """A source's sample rate or length does not fit the victim."""


class CampaignError(EarshotError):
    """A campaign cannot go on."""


class CellUnfinished(CampaignError):
    """A cell of a table ended without everything that its experiment asks for."""


class JournalError(CampaignError):
    """A journal cannot be used."""


class JournalMismatch(JournalError):
    """The journal belongs to another experiment, victim or material."""


class JournalLocked(JournalError):
    """Another attacker is writing the journal."""


class MaterialChanged(JournalError):
    """A batch that was planned earlier is no longer made of the same bytes."""


class SourceError(CampaignError):
    """A source made clips of a wrong shape or range."""


class OracleError(EarshotError):
    """The victim could not be asked, or its answer not be used.

    Attributes:
        perhaps_paid: whether the same request was sent before and got no answer, so that it may
            have been charged, whatever is said of it now.
    """

    perhaps_paid: bool = False


class VictimUnreachable(OracleError):
    """Nobody answers at the URL."""


class UnknownAnswer(OracleError):
    """Something answers at the URL that is not an Earshot victim."""


class BadAnswer(OracleError):
    """The victim's answer has a wrong shape or holds NaN."""


class ProofTooHard(OracleError):
    """The victim asks for more work than is done here."""


class Refusal(OracleError):
    """The victim refused a request; each wire problem has a class of its own.

    Attributes:
        detail: what the victim said of this request.
        retry_after_s: seconds to wait before the same request may succeed, if it said so.
        remaining: clips left in the budget, or of a day, where it said so.
        challenge: what a proof must begin with, where it asks for one.
        bits: zero bits that the proof's hash must begin with, where it asks for one.
    """

    code: ClassVar[str]

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_s: float | None = None,
        remaining: int | None = None,
        challenge: str = "",
        bits: int = 0,
    ) -> None:
        title = self.problem.title
        super().__init__(f"the victim refused ({self.code}): {detail or title}")
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.remaining = remaining
        self.challenge = challenge
        self.bits = bits

    @property
    def problem(self) -> Problem:
        """The row of the wire's table."""
        return PROBLEMS[self.code]


class MalformedRequest(Refusal):
    """The request is malformed."""

    code = "malformed-request"


class IdempotencyKeyMissing(Refusal):
    """A batch was sent without an idempotency key."""

    code = "idempotency-key-missing"


class IdempotencyKeyMalformed(Refusal):
    """The idempotency key is not one."""

    code = "idempotency-key-malformed"


class InvalidKey(Refusal):
    """The API key is missing, unknown or revoked."""

    code = "invalid-key"


class WrongScope(Refusal):
    """The API key may not do that."""

    code = "wrong-scope"


class AccountSuspended(Refusal):
    """The operator's detectors, or the operator, have stopped the account."""

    code = "account-suspended"


class BudgetExhausted(Refusal):
    """The account's budget does not cover the batch."""

    code = "budget-exhausted"


class NotFound(Refusal):
    """There is nothing at this address."""

    code = "not-found"


class MethodNotAllowed(Refusal):
    """The address does not take that method."""

    code = "method-not-allowed"


class NotAcceptable(Refusal):
    """The victim cannot answer in the media type asked for."""

    code = "not-acceptable"


class SlowBody(Refusal):
    """The body did not arrive in time."""

    code = "slow-body"


class StillRunning(Refusal):
    """The same batch is being answered at this moment."""

    code = "still-running"


class TooLarge(Refusal):
    """The body or the batch is too large."""

    code = "too-large"


class BatchExceedsBurst(Refusal):
    """The batch is larger than the plan grants at once."""

    code = "batch-exceeds-burst"


class UnsupportedMediaType(Refusal):
    """The victim does not take this media type."""

    code = "unsupported-media-type"


class UndecodableAudio(Refusal):
    """The victim cannot decode the audio."""

    code = "undecodable-audio"


class WrongLength(Refusal):
    """The clips have a wrong length."""

    code = "wrong-length"


class WrongSampleRate(Refusal):
    """The clips have a wrong sample rate."""

    code = "wrong-sample-rate"


class NotFinite(Refusal):
    """The clips hold NaN or infinite samples."""

    code = "not-finite"


class OutOfRange(Refusal):
    """Samples lie outside [-1, 1]."""

    code = "out-of-range"


class KeyReused(Refusal):
    """The idempotency key was used with other bytes."""

    code = "key-reused"


class ProofRequired(Refusal):
    """The victim wants work to be proved first."""

    code = "proof-required"


class RateLimited(Refusal):
    """Too many clips for now: a rate or a daily budget has no room yet."""

    code = "rate-limited"


class VictimFailed(Refusal):
    """The service failed."""

    code = "internal"


class QueueFull(Refusal):
    """The service is busy."""

    code = "queue-full"


class Draining(Refusal):
    """The service is shutting down."""

    code = "draining"


class DeadlinePassed(Refusal):
    """The service did not answer in its own time."""

    code = "deadline-passed"


class ModelFailed(Refusal):
    """The victim's model did not answer."""

    code = "model-failed"


class LedgerUnreachable(Refusal):
    """The victim's ledger is unreachable."""

    code = "ledger-unreachable"


REFUSALS: dict[str, type[Refusal]] = {refusal.code: refusal for refusal in Refusal.__subclasses__()}
"""By code of the wire problem, the exception that it becomes here."""


def refusal_of(document: ProblemDocument, retry_after_s: float | None = None) -> OracleError:
    """Return the exception of a problem document; ``retry_after_s`` is the header's, if any."""
    refusal = REFUSALS.get(document.code)
    if refusal is None:
        return UnknownAnswer(
            f"the victim refused with a code that this attacker does not know: {document.code!r} "
            f"({document.status}, {document.detail}). Use the attacker of the victim's version."
        )
    if retry_after_s is None and document.retry_after_s is not None:
        retry_after_s = float(document.retry_after_s)
    return refusal(
        document.detail,
        retry_after_s=retry_after_s,
        remaining=document.remaining,
        challenge=document.challenge or "",
        bits=document.bits or 0,
    )
