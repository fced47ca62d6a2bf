"""Fetching a published corpus so that an interrupted download never looks like a complete one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from shared.corpora.base import CorpusError


def download_into(
    destination: Path, produced: str, fetch: Callable[[Path], object], *, advice: str
) -> None:
    """Runs `fetch(work)`, which unpacks to `work / produced`, and moves that to `destination`.

    The work folder lies beside the destination, for the move to be a rename. It is removed on
    success; after a failure it keeps the archives that arrived whole, not what was half unpacked.

    Raises:
        CorpusError: the download failed; the message ends with `advice`.
    """
    work = destination.parent / f".download-{destination.name}"
    unpacked = work / produced
    try:
        work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)
        fetch(work)
        if not unpacked.is_dir():
            raise OSError(f"the archive did not contain {produced}")
        unpacked.rename(destination)
    except (OSError, RuntimeError) as error:
        raise CorpusError(f"download to {destination} failed: {error}. {advice}") from error
    shutil.rmtree(work, ignore_errors=True)
