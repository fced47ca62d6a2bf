"""What the service counts: its queue, its refusals, and quantiles of its request times."""

from collections import deque

from prometheus_client.parser import text_string_to_metric_families

_QUEUE = "victim_queue_clips"
_REFUSALS = "victim_refusals_total"
_TIMES = "victim_request_seconds"
_SAMPLES = 11
"""Samples that a quantile spans: about 10 s at one a second."""

Buckets = dict[float, float]
"""Upper bound in seconds -> requests that took no longer, since the start."""


def read_metrics(text: str) -> tuple[int | None, int | None, Buckets]:
    """Return (clips waiting, requests refused, buckets of request times) of a ``/metrics`` page.

    Raises:
        ValueError: it is none.
    """
    queue: int | None = None
    refused: int | None = None
    buckets: Buckets = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _QUEUE:
                queue = int(sample.value)
            elif sample.name == _REFUSALS:
                refused = (refused or 0) + int(sample.value)
            elif sample.name == f"{_TIMES}_bucket":
                buckets[float(sample.labels["le"])] = sample.value
    return queue, refused, buckets


class Latency:
    """Differences of a growing histogram over its latest samples."""

    def __init__(self) -> None:
        self._past: deque[Buckets] = deque(maxlen=_SAMPLES)

    def add(self, buckets: Buckets) -> None:
        """Take a new sample; one that fell (the service was started again) begins anew."""
        last = self._past[-1] if self._past else {}
        if any(count < last.get(bound, 0.0) for bound, count in buckets.items()):
            self._past.clear()
        self._past.append(buckets)

    def quantile(self, q: float) -> float | None:
        """Return the time in s that the share ``q`` of requests took at most; None without any.

        After one sample it is that of all requests since the service was started. Within a bucket
        requests are taken as spread evenly; the last bucket has no end.
        """
        if not self._past:
            return None
        before = self._past[0] if len(self._past) > 1 else {}
        after = self._past[-1]
        bounds = sorted(after)
        counts = [after[bound] - before.get(bound, 0.0) for bound in bounds]
        if not counts or counts[-1] <= 0:
            return None
        wanted = q * counts[-1]
        low, below = 0.0, 0.0
        for bound, count in zip(bounds, counts, strict=True):
            if count >= wanted:
                if bound == float("inf"):
                    return low
                return low + (bound - low) * (wanted - below) / max(count - below, 1e-9)
            low, below = bound, count
        return low
