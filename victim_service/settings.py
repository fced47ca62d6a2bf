"""Settings of a victim process; the only reader of the environment on this side."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE = Path(__file__).parent


class Settings(BaseSettings):
    """Read from ``VICTIM_*`` variables; command-line options override them."""

    model_config = SettingsConfigDict(env_prefix="VICTIM_", frozen=True, extra="ignore")

    ledger: str = Field(default="sqlite:///runs/ledger.sqlite", repr=False)
    """Where the server's truth lives; the address may hold a password."""
    secret_file: Path | None = None
    """File of the secret that all replicas share; None puts it beside a ledger that is a file, and
    takes ``runs/victim.secret`` for one that is not."""
    plans: Path = PACKAGE / "plans"
    """Folder of plan files."""
    global_budget: int | None = Field(default=None, ge=0, le=2**53)
    """Clips that all accounts together will ever be granted; None is without limit."""

    admin_key: SecretStr | None = None
    """Admin key with which ``earshot-victim top`` asks a service."""

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    device: str = "auto"
    workers: int | None = Field(default=None, ge=1)
    """Model threads; None takes one for each processor, or two when the model is on a GPU."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """On a GPU: fp32, tf32 (rounds products to 10 bits) or bf16 (to 7 bits, and the clips too)."""
    compile_model: bool = False
    """On a GPU: compile the network, which takes minutes at the start."""

    max_connections: int = Field(default=1024, ge=1)
    """Connections that are served at once."""
    head_deadline_s: float = Field(default=10.0, gt=0)
    """Time in which the head of a request must have arrived."""
    max_head_bytes: int = Field(default=32_768, ge=1024)
    """Most bytes of a request's head."""

    max_batch_clips: int = Field(default=256, ge=1)
    """Most clips in one request."""
    max_audio_bytes: int = Field(default=2**20, ge=1)
    """Most bytes of one WAV or FLAC body."""
    body_deadline_s: float = Field(default=10.0, gt=0)
    """Time in which a whole body must have arrived."""
    write_deadline_s: float = Field(default=20.0, gt=0)
    """How long a client may leave its answers unread before its connection is cut."""
    max_body_bytes_in_flight: int = Field(default=512 * 2**20, ge=1)
    """Bytes of bodies that are held at once, of all requests together."""

    micro_batch_clips: int | None = Field(default=None, ge=1)
    """Most clips that one call of the model takes; None takes 32 on a CPU, 512 on a GPU."""
    micro_batch_wait_s: float = Field(default=0.002, ge=0)
    """How long a small batch waits for company while another one is running."""
    queue_clips: int = Field(default=4096, ge=1)
    """Clips that may wait for the model."""
    queue_wait_s: float = Field(default=10.0, gt=0)
    """How long a clip may have to wait for the model, by its measured pace; less is admitted when
    it is slow, so that what was admitted is answered before its deadline."""
    answer_deadline_s: float = Field(default=20.0, gt=0)
    """Time in which the model must have answered."""
    model_stall_s: float = Field(default=30.0, gt=0)
    """How long one call of the model may take before the service counts as dead."""
    drain_s: float = Field(default=25.0, ge=0)
    """Time that queries in flight get when the service is told to stop."""

    lease_s: float = Field(default=30.0, gt=0)
    """How long a query counts as running: after a crash it can be bought again when it is over."""
    reservation_ttl_s: float = Field(default=900.0, gt=0)
    """How long a reservation that nobody was answered for stays charged beyond its lease, unless
    its key is used again."""
    reap_every_s: float = Field(default=30.0, gt=0)
    ledger_timeout_s: float = Field(default=0.9, gt=0)
    """Time in which the ledger must have answered; after it the service refuses."""

    failpoints: str = ""
    """For tests: where to fail, such as ``after-reserve=kill@3,before-commit=sleep:5``."""
