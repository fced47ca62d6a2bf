"""Every problem that the wire can report, in one table (design: the wire; RFC 9457).

A problem's ``code`` is the last part of its ``type`` URI, and both sides key on it: the victim
service raises it, the client maps it to one exception.
"""

from dataclasses import dataclass

TYPE_PREFIX = "urn:earshot:problem:"
PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """One way in which a request is not answered."""

    code: str
    """Distinct name, the last part of the problem's type URI."""
    status: int
    """HTTP status."""
    title: str
    """One sentence for people, ending with what to do next."""
    retryable: bool = False
    """Whether the very same request may succeed later; such answers carry Retry-After."""
    charged: bool = False
    """Whether the ledger charges it. No refusal ever is: the field exists to be tested."""

    @property
    def type_uri(self) -> str:
        """The ``type`` member of the problem document."""
        return TYPE_PREFIX + self.code


_ALL = (
    Problem("malformed-request", 400, "The request is malformed. Mend what the detail names."),
    Problem("idempotency-key-missing", 400, "A batch needs an Idempotency-Key. Send one a batch."),
    Problem("idempotency-key-malformed", 400, "Use 8 to 255 printable ASCII characters."),
    Problem("invalid-key", 401, "The API key is missing, unknown or revoked. Ask for another."),
    Problem("wrong-scope", 403, "This API key may not do that. Use a key with the scope named."),
    Problem("account-suspended", 403, "The account is suspended. Ask the operator why."),
    Problem("budget-exhausted", 402, "The budget does not cover this. Ask for a larger plan."),
    Problem("not-found", 404, "There is nothing at this address. See /docs for what there is."),
    Problem("method-not-allowed", 405, "This address does not take that method. See Allow."),
    Problem("not-acceptable", 406, "Accept application/json or application/x-npy."),
    Problem("slow-body", 408, "The body did not arrive in time. Send it again, faster."),
    Problem("still-running", 409, "The same query is still running. Retry later.", retryable=True),
    Problem("too-large", 413, "The body or batch is too large. Send fewer clips a request."),
    Problem("batch-exceeds-burst", 413, "The batch is larger than is granted at once. Send less."),
    Problem("unsupported-media-type", 415, "This media type is not taken. See the detail."),
    Problem("undecodable-audio", 422, "The audio cannot be decoded. Send WAV, FLAC or npy."),
    Problem("wrong-length", 422, "The clip has the wrong length. See clip_samples in /v1/model."),
    Problem("wrong-sample-rate", 422, "Wrong sample rate. See sample_rate_hz in /v1/model."),
    Problem("not-finite", 422, "The clip holds NaN or infinite samples. Clean it first."),
    Problem("out-of-range", 422, "Samples must lie in [-1, 1]. Scale the clip first."),
    Problem("key-reused", 422, "This Idempotency-Key was used with other bytes. Take a new one."),
    Problem("proof-required", 428, "Work is asked for. Solve the challenge, then send it again."),
    Problem("rate-limited", 429, "Too many clips for now. Wait for Retry-After.", retryable=True),
    Problem("internal", 500, "The service failed. Retry with the same key.", retryable=True),
    Problem("queue-full", 503, "The service is busy. Retry after the time named.", retryable=True),
    Problem("draining", 503, "The service is shutting down. Retry later.", retryable=True),
    Problem("deadline-passed", 503, "Not answered in time. Retry with the key.", retryable=True),
    Problem("model-failed", 503, "The model did not answer. Retry with the key.", retryable=True),
    Problem("ledger-unreachable", 503, "The ledger is unreachable. Retry later.", retryable=True),
)

PROBLEMS: dict[str, Problem] = {problem.code: problem for problem in _ALL}
