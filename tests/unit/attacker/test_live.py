"""What is watched: on a narrow terminal the bar, the count and the time left are there."""

import io

import pytest
from rich.console import Console

from attacker.campaign import Progress
from attacker.journal import Counts
from attacker.live import CampaignView, View, show_duration


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


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert show_duration(seconds) == said
