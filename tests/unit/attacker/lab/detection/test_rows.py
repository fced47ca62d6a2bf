"""From readings to rows: shares, first alarms over several accounts, and what was gone by then."""

import numpy as np

from attacker.lab.detection.rows import DetectionRow, detection_rows
from shared.contract import DetectorReading

MARKS = {100: 0.2, 200: 0.5, 400: 0.8}


def reading(detector: str, query: int, alarm: bool = False) -> DetectorReading:
    facts = {"id": f"{detector}-{query}", "at": 0.0, "score": 1.0, "threshold": 0.75}
    return DetectorReading(**facts, detector=detector, query=query, alarm=alarm)


def rows(
    readings: dict[str, list[DetectorReading]], sent: dict[str, np.ndarray], **more: object
) -> list[DetectionRow]:
    facts = {"attacker": "proxy", "seed": 3, "false_alarm_target": 0.001, **more}
    return detection_rows(readings, sent, **facts)  # type: ignore[arg-type]


def test_each_detector_has_a_row_and_its_own_alarms() -> None:
    readings = [reading("seat", 50, True), reading("prada", 50), reading("prada", 100, True)]
    found = rows({"a": readings}, {"a": np.arange(1, 121)}, marks=MARKS)
    assert [(row.detector, row.windows, row.alarms) for row in found] == [
        ("prada", 2, 1),
        ("seat", 1, 1),
    ]
    prada, seat = found
    assert (prada.first_alarm_query, seat.first_alarm_query) == (100, 50)
    assert (prada.stolen_mark, prada.stolen_at_alarm) == (100, 0.2)
    assert (seat.stolen_mark, seat.stolen_at_alarm) == (None, None)
    assert (seat.next_mark, seat.stolen_at_next) == (100, 0.2)
    assert (prada.last_mark, prada.accuracy) == (400, 0.8)
    assert prada.queries == 120
    assert prada.threshold == 0.75


def test_a_sybils_first_alarm_counts_the_clips_of_all_accounts() -> None:
    # Batches of 10 in turn: clip 20 of b is clip 40 of all, clip 15 of a is clip 25 of all.
    places = np.arange(1, 81).reshape(4, 2, 10)
    sent = {"a": places[:, 0].ravel(), "b": places[:, 1].ravel()}
    only_b = {"a": [reading("seat", 15)], "b": [reading("seat", 20, True)]}
    both = {"a": [reading("seat", 15, True)], "b": [reading("seat", 20, True)]}
    assert rows(only_b, sent)[0].first_alarm_query == 40
    (row,) = rows(both, sent)
    assert row.first_alarm_query == 25
    assert (row.accounts, row.queries, row.windows, row.alarms) == (2, 80, 2, 2)


def test_no_alarm_is_none_and_no_reading_is_no_row() -> None:
    (row,) = rows({"a": [reading("seat", 50)]}, {"a": np.arange(1, 51)}, marks=MARKS)
    assert row.first_alarm_query is None
    assert row.stolen is None
    assert row.final == (400, 0.8)
    assert (row.windows, row.alarms) == (1, 0)
    assert rows({"a": []}, {"a": np.arange(1, 51)}) == []
