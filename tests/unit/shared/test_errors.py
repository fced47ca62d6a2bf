from shared.errors import PROBLEMS


def test_the_table_of_the_wire() -> None:
    by_status: dict[int, set[str]] = {}
    for problem in PROBLEMS.values():
        by_status.setdefault(problem.status, set()).add(problem.code)
    assert by_status[402] == {"budget-exhausted"}
    assert by_status[409] == {"still-running"}
    assert by_status[429] == {"rate-limited"}
    assert {"queue-full", "draining", "ledger-unreachable"} <= by_status[503]
    assert {"key-reused", "not-finite", "wrong-length", "wrong-sample-rate"} <= by_status[422]


def test_no_problem_is_ever_charged() -> None:
    assert not any(problem.charged for problem in PROBLEMS.values())


def test_an_exhausted_budget_is_never_retried_and_overload_always_is() -> None:
    assert not PROBLEMS["budget-exhausted"].retryable
    for problem in PROBLEMS.values():
        assert problem.retryable == (problem.status in {409, 429, 500, 503}), problem.code


def test_titles_say_what_to_do_next() -> None:
    for problem in PROBLEMS.values():
        assert problem.title.endswith(".")
        assert ". " in problem.title or problem.title.startswith(
            ("Use", "Send", "Accept", "Samples")
        )
        assert problem.type_uri == "urn:earshot:problem:" + problem.code
