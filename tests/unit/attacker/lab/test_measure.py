"""What a measurement does without the ledger, and the commands that it names to make it again."""

import dataclasses
import time
from pathlib import Path

import pytest

from attacker.errors import OracleError
from attacker.http_oracle import FIRST_CONTACT_S
from attacker.lab import audit, measure
from attacker.lab.measure import Measurement
from attacker.lab.results import Account
from tests.support import lab_world

URL = "http://127.0.0.1:9"  # nothing listens on the discard port
KEY = "nonsense"


def measurement(folder: Path, key: str | None = KEY) -> Measurement:
    return Measurement(folder, folder / "bundle", URL, query_key=key)


def test_a_dead_victim_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FIRST_CONTACT_S <= 5
    monkeypatch.setattr(audit, "FIRST_CONTACT_S", 0.5)
    started = time.monotonic()
    account, problem = measurement(tmp_path)._account(lambda text: None)
    assert time.monotonic() - started < 4
    assert account is None
    assert problem is not None
    assert URL in problem


def test_a_refused_key_is_said_in_the_results_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, key: str) -> Account:
        raise OracleError(f"the victim refused (unauthorized): {key} is not known")

    record, ruler = lab_world.run(tmp_path), lab_world.bundle()
    models = lab_world.Models(ruler)
    monkeypatch.setattr(measure, "ask_account", refuse)
    monkeypatch.setattr(measure, "read_run", lambda folder, cache: record)
    monkeypatch.setattr(measure, "read_bundle", lambda folder: ruler)
    monkeypatch.setattr(measure, "predict_surrogate", models.predict)
    monkeypatch.setattr(Measurement, "_ask", lambda self, bundle, say: models.ask(bundle.clips))
    said: list[str] = []
    results, path = measurement(tmp_path).carry_out(said.append)
    assert results.account_problem == "the victim refused (unauthorized): $KEY is not known"
    assert "$KEY is not known" in path.read_text()
    assert "without the key that paid" not in path.read_text()
    assert KEY not in path.read_text() + " ".join(said)
    results, path = measurement(tmp_path, key=None).carry_out()
    assert results.account_problem is None
    assert "without the key that paid" in path.read_text()


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("earshot-attacker run a.yaml", "export EARSHOT_URL=http://victim:1"),
        ("earshot-attacker run a.yaml --out url", "export EARSHOT_URL=http://victim:1"),
        ("earshot-attacker run a.yaml --url http://victim:1", "export EARSHOT_KEY="),
        ("earshot-attacker run a.yaml --url=http://victim:1", "export EARSHOT_KEY="),
        (None, "export EARSHOT_URL=http://victim:1"),
    ],
)
def test_the_commands_name_the_victim(tmp_path: Path, command: str | None, first: str) -> None:
    record = lab_world.run(tmp_path)
    card = {"command": command, "url": "http://victim:1"}
    commands = measurement(tmp_path)._commands(dataclasses.replace(record, card=card))
    assert commands[0].startswith(first)
    assert sum("EARSHOT_URL" in line for line in commands) == ("URL" in first)
    assert (command or "earshot-attacker resume") in "\n".join(commands)


def test_a_program_that_did_more_says_how_to_repeat_it(tmp_path: Path) -> None:
    """`make demo` serves on another port each time: the parts of it cannot be run again alone."""
    whole = dataclasses.replace(measurement(tmp_path), again="make demo")
    assert whole._commands(lab_world.run(tmp_path)) == ("make demo",)
