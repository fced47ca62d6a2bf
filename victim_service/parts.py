"""What a running service is made of; tests make their own."""

from dataclasses import dataclass, field

from victim_service.batching import Batcher, Predict
from victim_service.held_bytes import HeldBytes
from victim_service.keys import KeyRing
from victim_service.ledger import Ledger
from victim_service.metrics import Metrics
from victim_service.model import VictimCard
from victim_service.observing import Fitter, Observing
from victim_service.plan_book import PlanBook
from victim_service.settings import Settings
from victim_service.watch import Watch

_WIDEST_SAMPLE_BYTES = 4


@dataclass
class Parts:
    """The parts, wired; ``draining`` turns true when the service was told to stop."""

    settings: Settings
    card: VictimCard
    ledger: Ledger
    plan_book: PlanBook
    predict: Predict
    secret: bytes = field(repr=False)
    """Decides the draws of the defences; all replicas share it."""
    reference: Fitter | None = None
    """What detectors learnt of honest traffic; without it no plan with detectors can be served."""
    workers: int = 1
    batch_clips: int = 32
    """Most clips in one call of the model, where the settings leave it open."""
    metrics: Metrics = field(default_factory=Metrics)
    notice: str = ""
    """What the operator is told of the plans when the service is ready."""
    draining: bool = False

    @property
    def largest_batch_bytes(self) -> int:
        """Bytes of the samples of the largest batch, at their widest."""
        return self.settings.max_batch_clips * self.card.clip_samples * _WIDEST_SAMPLE_BYTES

    def __post_init__(self) -> None:
        settings, metrics = self.settings, self.metrics
        self.keys = KeyRing(self.ledger)
        self.watch = Watch()
        self.observing = Observing(self.ledger, self.reference, metrics)
        self.bodies = HeldBytes(settings.max_body_bytes_in_flight)
        self.batcher = Batcher(
            self.predict,
            workers=self.workers,
            batch_clips=settings.micro_batch_clips or self.batch_clips,
            wait_s=settings.micro_batch_wait_s,
            queue_clips=settings.queue_clips,
            queue_wait_s=settings.queue_wait_s,
            deadline_s=settings.answer_deadline_s,
            stall_s=settings.model_stall_s,
            observer=metrics,
        )
        metrics.queue_clips.set_function(lambda: self.batcher.waiting_clips)
        metrics.body_bytes.set_function(lambda: self.bodies.held)
