"""Each wire problem is one exception on the client, and each such exception one wire problem."""

import ast
from pathlib import Path

import pytest

from attacker import errors
from attacker.errors import REFUSALS, Refusal, UnknownAnswer, refusal_of
from shared.contract import ProblemDocument
from shared.errors import PROBLEMS


def document(code: str, **more: object) -> ProblemDocument:
    row = PROBLEMS[code]
    facts = {"type": row.type_uri, "title": row.title, "status": row.status, "detail": "d"}
    return ProblemDocument.model_validate({**facts, "code": code, **more})


def test_codes_and_exceptions_are_a_bijection() -> None:
    assert set(REFUSALS) == set(PROBLEMS)
    assert len(set(REFUSALS.values())) == len(PROBLEMS)
    assert set(REFUSALS.values()) == set(Refusal.__subclasses__())


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_problem_becomes_its_exception_and_back(code: str) -> None:
    error = refusal_of(document(code, remaining=3, retry_after_s=2))
    assert type(error) is REFUSALS[code]
    assert isinstance(error, Refusal)
    assert error.problem == PROBLEMS[code]
    assert (error.remaining, error.retry_after_s, error.detail) == (3, 2.0, "d")
    assert code in str(error)


def test_the_header_outweighs_the_document() -> None:
    error = refusal_of(document("rate-limited", retry_after_s=2), 7.5)
    assert isinstance(error, Refusal)
    assert error.retry_after_s == 7.5


def test_a_code_of_a_later_version_is_told_apart() -> None:
    later = document("internal").model_copy(update={"code": "tea-break"})
    assert isinstance(refusal_of(later), UnknownAnswer)


def test_the_drawn_tree_names_every_class() -> None:
    source = Path(errors.__file__).read_text()
    drawn = ast.get_docstring(ast.parse(source)) or ""
    classes = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    assert len(classes) > len(PROBLEMS)
    assert [name for name in classes if name not in drawn] == []
