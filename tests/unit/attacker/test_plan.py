"""What `plan` foretells: how long the rate takes, and what an account will not buy."""

from pathlib import Path

import pytest

from attacker.journal import Journal
from attacker.plan import CampaignForecast, Forecast, _left_to_buy, least_seconds
from shared.contract import AccountStatus, ModelCard

CARD = ModelCard(
    labels=["a", "b"],
    sample_rate_hz=4000,
    clip_samples=256,
    label_mode="soft",
    checkpoint="x",
    max_batch_clips=64,
)


def account(remaining: int | None = None, **limits: float | int | None) -> AccountStatus:
    facts = {"rate_per_s": None, "burst": None, **limits}
    return AccountStatus(
        account="alice", plan="soft", budget=remaining, spent=0, remaining=remaining, **facts
    )


@pytest.mark.parametrize(
    ("rate_per_s", "burst", "seconds"),
    [(None, None, 0.0), (10.0, None, 100.0), (10.0, 200, 80.0), (10.0, 5000, 0.0)],
)
def test_a_burst_goes_at_once_and_the_rest_at_the_rate(
    rate_per_s: float | None, burst: int | None, seconds: float
) -> None:
    assert least_seconds(1000, account(rate_per_s=rate_per_s, burst=burst)) == seconds


def test_what_was_sent_may_be_paid_and_is_not_missed(tmp_path: Path) -> None:
    assert _left_to_buy(300, tmp_path) == (300, 300)
    journal = Journal.open(tmp_path, {"n_classes": 2, "label_mode": "hard"})
    for first in (0, 100):
        batch = journal.plan(iteration=1, first_index=first, clips=100, payload_sha256="x")
    assert _left_to_buy(300, tmp_path) == (300, 100)
    journal.answer(batch, __import__("numpy").zeros(100))
    assert _left_to_buy(300, tmp_path) == (200, 100)
    journal.close()


@pytest.mark.parametrize(("remaining", "missing"), [(None, 0), (100, 0), (99, 1), (0, 100)])
def test_an_account_is_short_of_what_is_not_paid_yet(remaining: int | None, missing: int) -> None:
    row = CampaignForecast("wavegan", 200, 100, 0.2, 0.0, 0.0, 0.0, 0)
    assert Forecast(CARD, account(remaining), (row,), 64).missing == missing
