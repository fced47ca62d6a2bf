"""The server process: a bound socket, the application on it, and an orderly end."""

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

import structlog
import uvicorn

from shared.checkpoint import CheckpointError
from victim_service import failpoints
from victim_service.app import create_app
from victim_service.detectors.fitted import FOLDER as DETECTORS_FOLDER
from victim_service.detectors.fitted import Fitted, load_fitted
from victim_service.door import ABORT_FACTOR, door
from victim_service.errors import StartError
from victim_service.framing import DoorLimits
from victim_service.ledger import open_ledger
from victim_service.log_file import LogFile
from victim_service.model import Predictor
from victim_service.parts import Parts
from victim_service.plan_book import PlanBook
from victim_service.plans import load_plans
from victim_service.prepare import prepare
from victim_service.settings import Settings
from victim_service.turns import go_first

_BACKLOG = 1024
_KEEP_ALIVE_S = 30
_SWITCH_S = 0.001
_SPARE_FILES = 256
"""Files that a service opens beside its connections."""


def build_parts(settings: Settings, checkpoint: Path) -> Parts:
    """Open everything that a service on ``checkpoint`` needs.

    Raises:
        StartError: with the one line that says what is wrong and what to do.
    """
    files = load_plans(settings.plans)
    failpoints.arm(settings.failpoints)
    try:
        predictor = Predictor(
            checkpoint,
            settings.device,
            settings.workers,
            batch_clips=settings.micro_batch_clips,
            precision=settings.precision,
            compiled=settings.compile_model,
        )
        predictor.warm_up()
    except (CheckpointError, ValueError) as error:
        raise StartError(str(error)) from error
    prepared = asyncio.run(prepare(settings, files))
    ledger = open_ledger(settings.ledger, settings.ledger_timeout_s)
    parts = Parts(
        settings=settings,
        card=predictor.card,
        ledger=ledger,
        plan_book=PlanBook(ledger),
        predict=predictor.predict,
        secret=prepared.secret,
        reference=_reference(checkpoint, predictor.card.checkpoint_id, prepared.secret),
        workers=predictor.workers,
        batch_clips=predictor.batch_clips,
        notice=prepared.notice(),
    )
    for sold in prepared.sold:
        parts.observing.prepare(sold.plan)
    return parts


def _reference(checkpoint: Path, checkpoint_id: str, secret: bytes) -> Fitted | None:
    """Return what detectors learnt of honest traffic, if that was ever fitted."""
    folder = checkpoint / DETECTORS_FOLDER
    return load_fitted(folder, checkpoint_id, secret) if folder.is_dir() else None


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one.

    Raises:
        StartError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        # Listening at once makes a second service on this port fail here, not later.
        sock.listen(_BACKLOG)
    except socket.gaierror as error:
        raise StartError(
            f"cannot listen on {host}: {error.strerror}. Name an address of this machine: --host."
        ) from error
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port, or 0 for a "
            "free one."
        ) from error
    return sock


def run(settings: Settings, parts: Parts, sock: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight; ``ready`` is called once."""
    _configure_logs()
    # The model's threads take the interpreter's lock between any two layers, and wait as long as
    # this for an event loop that is busy refusing.
    sys.setswitchinterval(_SWITCH_S)
    go_first()
    _allow_files(ABORT_FACTOR * settings.max_connections + _SPARE_FILES)
    limits = DoorLimits(
        connections=settings.max_connections,
        head_deadline_s=settings.head_deadline_s,
        head_bytes=settings.max_head_bytes,
        body_deadline_s=settings.body_deadline_s,
        write_deadline_s=settings.write_deadline_s,
        rest_bytes=parts.largest_batch_bytes,
    )
    config = uvicorn.Config(
        create_app(settings, parts),
        loop="uvloop",
        http=door(limits, lambda code: parts.metrics.refusals.labels(code).inc()),
        ws="none",
        access_log=False,
        log_level="error",  # its warnings are about what clients send: those are counted
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    _Server(config, parts, ready).run(sockets=[sock])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, parts: Parts, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._parts = parts
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().shutdown(sockets)
        finally:
            await self._parts.ledger.aclose()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._parts.draining = True
        super().handle_exit(sig, frame)
        if sig == signal.SIGTERM:
            # uvicorn would raise it again at the end; a drained service has ended well.
            self._captured_signals.clear()


def _allow_files(count: int) -> None:
    """Raise the process's limit on open files to ``count``, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wished:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))


def _configure_logs() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(
            file=cast(TextIO, LogFile(sys.stderr.fileno()))
        ),
        cache_logger_on_first_use=True,
    )
