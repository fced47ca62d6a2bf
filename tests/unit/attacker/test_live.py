"""What is watched: on a narrow terminal the bar, the count and the time left are there."""

import io

import pytest
from rich.console import Console

from attacker.campaign import Progress
from attacker.journal import Counts
from attacker.live import CampaignView, View


def shown(width: int) -> str:
    """Return what a terminal of ``width`` columns shows of a campaign and a surrogate."""
    text = io.StringIO()
    view = View(Console(file=text, width=width, force_terminal=True, color_system=None))
    with view.shown():
        campaign = CampaignView(view, "proxy-only", 20)
        campaign.progress(Progress(Counts(1216, 1216, 1200, 1180, 19, 5), 3000, 5, 60.0))
        view.step("wavegan surrogate at 1,200", 3, 10, "held-out agreement 75.0%")
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_bar_count_and_time_left_fit_every_terminal(width: int) -> None:
    text = shown(width)
    for wanted in ("proxy-only", "1200/3000", "ETA 30 s", "60 clips/s"):
        assert wanted in text, wanted
    for wanted in ("wavegan surrogate at 1,200", "3/10", "held-out"):
        assert wanted in text, wanted
    assert text.count("\u2501") >= 6  # what is done of two bars
    lines = [line for line in text.replace("\r", "\n").splitlines() if "/3000" in line]
    assert max(len(line.strip("\x1b[0123456789KAh?l")) for line in lines) <= width


def test_plain_output_names_what_is_done() -> None:
    text = io.StringIO()
    view = View(Console(file=text, width=80))
    with view.shown():
        view.step("proxy-only", 200, 200, "ETA 0 s")
    assert text.getvalue() == "proxy-only: 200 of 200  ETA 0 s\n"


def test_a_long_wait_is_told_once_for_all_that_wait() -> None:
    text = io.StringIO()
    events = []
    campaign = CampaignView(View(Console(file=text, width=80)), "attack", 20)
    on_event = campaign.counting(lambda kind, facts: events.append(kind))
    for wait_s in (1.0, 70.0, 60.0, 61.0):
        on_event("retry", {"because": "rate-limited", "wait_s": wait_s})
    on_event("retry", {"because": "draining"})
    assert (campaign.retries, len(events)) == (5, 5)
    (line,) = text.getvalue().splitlines()
    assert line.startswith("attack: the plan's rate is used up; waits 1 min 10 s, until 2")


def test_a_victim_that_begins_to_tell_labels_alone_is_told_once() -> None:
    text = io.StringIO()
    campaign = CampaignView(View(Console(file=text, width=80)), "attack", 20)
    on_event = campaign.counting(lambda kind, facts: None)
    for _ in range(3):
        on_event("labels-only", {"clips": 64})
    assert text.getvalue().count("labels alone") == 1
