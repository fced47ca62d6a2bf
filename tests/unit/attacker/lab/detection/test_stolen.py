"""What was stolen by an alarm is told by the marks around it, and never between them."""

import pytest

from attacker.lab.detection.stolen import Stolen, around, stolen_at, stolen_fields

MARKS = {100: 0.2, 200: 0.5, 400: 0.8}


@pytest.mark.parametrize(
    ("queries", "words", "where"),
    [
        (50, "< 20.0 %", "before 100 clips"),
        (100, "20.0 %", "at 100 clips"),
        (101, "between 20.0 % and 50.0 %", "100 to 200 clips"),
        (399, "between 50.0 % and 80.0 %", "200 to 400 clips"),
        (400, "80.0 %", "at 400 clips"),
        (9000, "≥ 80.0 %", "after 400 clips"),
    ],
)
def test_the_marks_around_a_moment_are_all_that_is_said(
    queries: int, words: str, where: str
) -> None:
    stolen = stolen_at(queries, MARKS)
    assert stolen is not None
    assert stolen.words.replace("\xa0", " ") == words
    assert stolen.where == where


def test_nothing_is_said_without_marks() -> None:
    assert stolen_at(50, {}) is None
    assert stolen_fields(50, {}).stolen is None
    assert stolen_fields(50, {}).final is None
    assert around([]) is None


def test_a_worse_copy_at_the_next_mark_is_the_lower_end() -> None:
    stolen = stolen_at(150, {100: 0.5, 200: 0.4})
    assert stolen is not None
    assert stolen.words.replace("\xa0", " ") == "between 40.0 % and 50.0 %"


@pytest.mark.parametrize("alarm", [50, 100, 150, 400, 500])
def test_a_row_holds_all_of_it(alarm: int) -> None:
    fields = stolen_fields(alarm, MARKS)
    assert fields.stolen == stolen_at(alarm, MARKS)
    assert fields.final == (400, 0.8)
    assert stolen_fields(None, MARKS).stolen is None


@pytest.mark.parametrize(
    ("moments", "words"),
    [
        ((150, 160), "between 20.0 % and 50.0 %"),
        ((100, 300), "between 20.0 % and 80.0 %"),
        ((50, 300), "< 80.0 %"),
        ((150, 500), "≥ 20.0 %"),
        ((200, 200), "50.0 %"),
    ],
)
def test_several_moments_lie_within_the_farthest_marks(
    moments: tuple[int, int], words: str
) -> None:
    stolen = around([one for at in moments if (one := stolen_at(at, MARKS)) is not None])
    assert stolen is not None
    assert stolen.words.replace("\xa0", " ") == words


def test_moments_before_and_after_all_marks_say_nothing() -> None:
    everywhere = around([one for at in (50, 500) if (one := stolen_at(at, MARKS)) is not None])
    assert everywhere == Stolen(None, None)
    assert (everywhere.words, everywhere.where) == ("not known", "")
