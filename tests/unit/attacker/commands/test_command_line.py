"""The command line: one line for each error, the right exit code, and nothing imported in vain."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from attacker import __main__ as command_line
from attacker.errors import EarshotError, ExperimentError, VictimUnreachable
from attacker.journal import Journal
from attacker.run_folder import RunFolder, redact
from attacker.waiting import show_duration
from shared.config import ConfigError
from shared.messages import is_ours

ROOT = Path(__file__).parents[4]
DEMO = str(ROOT / "attacker/experiments/demo.yaml")
Call = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_command_loads_and_says_what_it_does(name: str) -> None:
    command = command_line.load(name)
    assert command is not None
    assert command.__doc__


def test_help_names_every_command(call: Call) -> None:
    code, output = call("--help")
    assert code == 0
    assert all(name in output for name in command_line.COMMANDS)


def test_status_imports_neither_torch_nor_librosa(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("campaigns: [{name: one}]")
    code = (
        "import sys; from attacker import __main__ as m\n"
        "try: m.main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'librosa', 'httpx', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, "status", str(tmp_path)], cwd=ROOT, check=True)
    (tmp_path / "experiment.yaml").rename(tmp_path / "table.json")
    table = {"table": {"name": "t", "rows": []}, "profile": "p", "victim": {"checkpoint": "c"}}
    (tmp_path / "table.json").write_text(json.dumps({**table, "cells": {}}))
    subprocess.run([sys.executable, "-c", code, "status", str(tmp_path)], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "no-such.yaml"), 2, ["no-such.yaml", "Name an existing"]),
        (("run", DEMO), 2, ["no API key", "earshot-victim keys issue"]),
        (("run", DEMO, "--key-file", "no-such"), 2, ["--key-file no-such"]),
        (("run", DEMO, "--key", "with space"), 2, ["Copy it again"]),
        (("run", DEMO, "--key", "k", "--proxy-root", "x"), 2, ["--proxy-root"]),
        (("plan", DEMO, "--key", "k", "--url", "nowhere"), 2, ["http://127.0.0.1:8765"]),
        (
            ("plan", DEMO, "--key", "k", "--url", "http://127.0.0.1:9", "--patience-s", "0.2"),
            1,
            ["http://127.0.0.1:9", "earshot-victim serve"],
        ),
        (("status", "no-such-run"), 2, ["holds no run"]),
        (("resume", "no-such-run", "--key", "k"), 2, ["holds no run"]),
        (("validate", "no-such.yaml"), 2, ["no-such.yaml"]),
    ],
)
def test_an_error_is_one_line(
    call: Call, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    found, output = call(*arguments)
    assert found == code
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert "Traceback" not in output
    assert "retry_scheduled" not in output
    for word in words:
        assert word in line


def test_an_unknown_kind_is_named_with_the_valid_ones(call: Call, tmp_path: Path) -> None:
    data = yaml.safe_load(Path(DEMO).read_text())
    data["campaigns"][0]["source"]["kind"] = "vocoder"
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(data))
    code, output = call("validate", str(path))
    assert code == 2
    assert "campaigns.0.source" in output
    assert "'pitch_shift'" in output


def test_what_ships_validates(call: Call) -> None:
    code, output = call("validate", *map(str, (ROOT / "attacker/experiments").glob("*.yaml")))
    assert code == 0
    assert output.count("valid;") >= 2


def test_what_is_counted_once_is_in_the_singular(call: Call) -> None:
    code, output = call("validate", str(ROOT / "attacker/experiments/paper/curve-100k.yaml"))
    assert code == 0
    assert "1 row, 1 seed, 100,000 clips in all" in output


def test_list_shows_every_kind_with_its_fields(call: Call) -> None:
    code, output = call("list")
    assert code == 0
    for word in (
        "gaussian_noise",
        "sigma_semitones",
        "dynamic_threshold",
        "alpha",
        "voices",
        "top1",
    ):
        assert word in output


def test_status_tells_what_a_journal_holds(call: Call, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("campaigns: [{name: one}, {name: two}]")
    identity = {"n_classes": 3, "label_mode": "hard", "budget": 9000}
    journal = Journal.open(tmp_path / "one", identity)
    batch = journal.plan(iteration=1, first_index=0, clips=40, payload_sha256="x")
    journal.answer(batch, np.zeros(40))
    journal.observe(batch, np.zeros(40, int), np.arange(40) < 7)
    journal.plan(iteration=1, first_index=40, clips=16, payload_sha256="x")
    RunFolder(tmp_path).on_event("one")("refusal", {"code": "rate-limited"})
    code, output = call("status", str(tmp_path))  # while the journal is being written
    assert code == 0
    (one,) = [line.split() for line in output.splitlines() if line.strip().startswith("one ")]
    assert one == ["one", "unfinished", "40/9,000", "16", "7", "1/3"]
    assert "one: 1 refused, 0 retried, no surrogate yet" in output
    assert "not begun" in output
    journal.close()


@pytest.mark.parametrize("error", [VictimUnreachable("x"), ExperimentError("x"), ConfigError("x")])
def test_errors_of_the_house_are_known(error: Exception) -> None:
    assert is_ours(error)
    assert command_line.exit_code(error) == (1 if isinstance(error, VictimUnreachable) else 2)
    assert not is_ours(ValueError("a defect"))
    assert issubclass(VictimUnreachable, EarshotError)


def test_keys_are_left_out_of_recorded_commands() -> None:
    argv = ["run", "--key", "SECRET", "--key=SECRET", "--key-file", "path", "--audit-key", "SECRET"]
    shown = redact(argv)
    assert "SECRET" not in " ".join(shown)
    assert shown[5:7] == ["path", "--audit-key"]
    assert redact(["--url", "http://x"]) == ["--url", "http://x"]


def test_events_survive_a_last_line_that_was_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.on_event("one")("retry", {"because": "ReadError"})
    with (tmp_path / "one" / "events.jsonl").open("a") as file:
        file.write('{"at": 1, "eve')
    assert [event["event"] for event in folder.events("one")] == ["retry"]
    assert folder.events("never") == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert show_duration(seconds) == words
