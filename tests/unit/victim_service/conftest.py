"""What tests of the service share."""

from pathlib import Path

import pytest

from tests.support.detectors import LoudSpec
from victim_service import detectors


@pytest.fixture(params=["sqlite", "redis"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty ledger of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
def loud_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans have the detector of tests."""
    monkeypatch.setitem(detectors.DETECTORS, "loud", LoudSpec)
