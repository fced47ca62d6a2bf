"""The service's instruments, each named once. None carries a key, an account or audio."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One registry an application, so that two of them in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.clips = Counter(
            "victim_clips", "Clips answered.", ["plan", "charged"], registry=self.registry
        )
        self.refusals = Counter(
            "victim_refusals", "Requests refused.", ["code"], registry=self.registry
        )
        self.budget_spent = Counter(
            "victim_budget_spent_clips",
            "Clips charged to budgets, once their answer was committed.",
            ["plan"],
            registry=self.registry,
        )
        self.request_s = Histogram(
            "victim_request_seconds",
            "Time from the request's headers to its answer.",
            buckets=(*_FAST_S, 5.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.ledger_s = Histogram(
            "victim_ledger_seconds",
            "Time of one reservation or commit.",
            ["step"],
            buckets=_FAST_S,
            registry=self.registry,
        )
        self.model_s = Histogram(
            "victim_model_seconds",
            "Time of one micro-batch.",
            buckets=_FAST_S,
            registry=self.registry,
        )
        self.batch_clips = Histogram(
            "victim_batch_clips",
            "Clips in one micro-batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self.registry,
        )
        self.queue_clips = Gauge(
            "victim_queue_clips", "Clips waiting for the model.", registry=self.registry
        )
        self.queue_wait_s = Histogram(
            "victim_queue_wait_seconds",
            "Time from a request's admission to the model until its first clip was taken.",
            buckets=(*_FAST_S, 5.0, 10.0),
            registry=self.registry,
        )
        self.body_bytes = Gauge(
            "victim_body_bytes", "Bytes of bodies held in memory.", registry=self.registry
        )
        self._add_detectors()

    def _add_detectors(self) -> None:
        self.windows = Counter(
            "victim_detector_windows",
            "Windows of queries that detectors scored.",
            ["detector"],
            registry=self.registry,
        )
        self.alarms = Counter(
            "victim_detector_alarms",
            "Windows above their threshold.",
            ["detector"],
            registry=self.registry,
        )
        self.ladder_steps = Counter(
            "victim_ladder_steps",
            "Steps that accounts took on their ladder, by the rung that they led to.",
            ["rung"],
            registry=self.registry,
        )

    def batch(self, clips: int, seconds: float) -> None:
        """Note one call of the model (:class:`~victim_service.batching.Observer`)."""
        self.batch_clips.observe(clips)
        self.model_s.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Note how long a request waited for the model."""
        self.queue_wait_s.observe(seconds)
