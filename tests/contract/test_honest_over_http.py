"""Honest users against a real service: what they lose, and that each has an account of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacker.lab.admin import AdminClient
from attacker.lab.study.rows import HONEST, HONEST_NAME, read_rows
from tests.support import study_tables as made
from tests.support.command_line import Call, caller
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_victim, running_victim

LIMITED = {"name": "limited", "label_mode": "hard", "budget": 12}
NOISY = {
    "name": "noisy",
    "label_mode": "soft",
    "defences": [{"kind": "temperature", "temperature": 4.0}],
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    place = tmp_path_factory.mktemp("victim")
    with running_victim(make_victim(place / "model"), place / "service") as running:
        yield running


@pytest.fixture(scope="module")
def admin(victim: RunningVictim) -> Iterator[AdminClient]:
    key = add_key(victim.ledger_url, "operator", scope="admin")
    (victim.checkpoint / "admin.key").write_text(key)
    (victim.checkpoint / "audit.key").write_text(victim.keys["audit"])
    with AdminClient(victim.url, key) as client:
        client.put_plan(LIMITED)
        client.put_plan(NOISY)
        yield client


@pytest.fixture
def call(
    victim: RunningVictim,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    return caller(monkeypatch, capsys, victim.url, str(tmp_path))


def words(victim: RunningVictim, out: Path, *plans: str) -> list[str]:
    """Return the command that sends 20 clips of two users under ``plans``."""
    folder = victim.checkpoint
    keys = ["--admin-key-file", folder / "admin.key", "--audit-key-file", folder / "audit.key"]
    sizes = ["--users", "single-speaker,monitoring_bot", "--clips", 20, "--rate", 500]
    place = ["--bundle", folder / "bundle", "--out", out]
    command = ["honest", *plans, *keys, *sizes, "--batch-clips", 4, *place]
    return [str(word) for word in command]


def test_rows_say_what_each_plan_costs(
    victim: RunningVictim, admin: AdminClient, call: Call, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    code, output = call(*words(victim, out, "soft", "noisy", "limited"), key="")
    assert code == 0, output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["plan"], row["user"]) for row in rows] == [
        (plan, user)
        for plan in ("soft", "noisy", "limited")
        for user in ("single_speaker", "monitoring_bot")
    ]
    assert len({row["account"] for row in rows}) == 6
    for row in rows[:2]:
        assert row["answered"] == 20
        assert row["l1"] == 0
        assert row["accuracy"] == row["victim_accuracy"]
        assert row["ece"] == row["victim_ece"]
    for row in rows[2:4]:  # the label stays, the confidence does not
        assert row["accuracy"] == row["victim_accuracy"]
        assert row["l1"] > 0.05
        assert row["ece"] != row["victim_ece"]
    for row in rows[4:]:
        assert (row["answered"], row["refused"]) == (12, 8)
        assert row["given_up"] == {"budget-exhausted": 8}
        assert admin.usage(row["account"]).spent == 12
    for row in rows:
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert 0 < row["base_p50_ms"] <= row["base_p99_ms"]
        assert (row["windows"], row["alarms"]) == (0, 0)
    assert "12/20" in output
    for name in ("admin", "audit"):
        assert (victim.checkpoint / f"{name}.key").read_text() not in output + out.read_text()


def make_study(folder: Path, victim: RunningVictim, admin: AdminClient) -> Path:
    """A study of the victim that has sold and attacked `none` and `noisy`."""
    documents = {
        (plan["name"], "soft"): {name: said for name, said in plan.items() if name != "name"}
        for plan in ({"name": "none", "label_mode": "soft"}, NOISY)
    }
    card = json.loads((victim.checkpoint / "bundle" / "bundle.json").read_text())
    facts = made.manifest(documents, victim={"checkpoint": card["checkpoint"]})
    for name, document in facts["plans"].items():
        admin.put_plan({"name": name, **document})
    rows = made.cells("none", {40: 0.5}) + made.both("noisy", {40: 0.1}, {40: 0.1})
    return made.write_all(folder, rows, facts=facts)


def test_a_study_has_its_own_plans_measured_and_shows_them(
    victim: RunningVictim, admin: AdminClient, call: Call, tmp_path: Path
) -> None:
    study, out = make_study(tmp_path / "study", victim, admin), tmp_path / "rows.jsonl"
    code, output = call(*words(victim, out), "--study", str(study), key="")
    assert code == 0, output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    sold = [f"study-{plan}-soft-12345678" for plan in ("none", "noisy")]
    assert [(row["study"], row["plan"]) for row in rows] == [
        ("tiny", plan) for plan in sold for _ in range(2)
    ]
    kept = read_rows(study / HONEST_NAME)
    assert kept == [{name: row[name] for name in HONEST} for row in rows]
    assert call("report", "study", str(study), key="")[0] == 0
    page = (study / "study.md").read_text()
    assert "| Plan | stolen | accuracy lost, points |" in page
    assert "Not measured" not in page

    code, output = call(*words(victim, out, "noisy"), "--study", str(study), key="")
    assert code == 0, output
    assert {row["plan"] for row in read_rows(study / HONEST_NAME)} == {sold[1]}


def test_a_study_has_no_plan_measured_that_is_not_its_own(
    victim: RunningVictim, admin: AdminClient, call: Call, tmp_path: Path
) -> None:
    study, out = make_study(tmp_path / "study", victim, admin), tmp_path / "rows.jsonl"
    cases: list[tuple[list[str], str]] = [
        (["soft", "--study", str(study)], "Name some of none/soft, noisy/soft"),
        (["--study", str(tmp_path)], "Name the folder of a study"),
        ([], "no plan. Name plans"),
    ]
    for more, reason in cases:
        code, output = call(*words(victim, out), *more, key="")
        assert code == 2, output
        assert reason in output
    facts = json.loads((study / "study.json").read_text())
    facts["victim"]["checkpoint"] = "d" * 64
    (study / "study.json").write_text(json.dumps(facts))
    code, output = call(*words(victim, out), "--study", str(study), key="")
    assert code == 2
    assert "is of the victim dddddddddddd, but that of the bundle is" in output
    assert not out.exists()


def test_what_cannot_be_measured_is_refused_before_anything_is_sent(
    victim: RunningVictim, admin: AdminClient, call: Call, tmp_path: Path
) -> None:
    said = words(victim, tmp_path / "rows.jsonl", "soft")
    said[said.index("single-speaker,monitoring_bot")] = "burglar"
    code, output = call(*said, key="")
    assert code == 2
    assert "Name one or more of single_speaker" in output
    code, output = call(*words(victim, tmp_path / "rows.jsonl", "nowhere"), key="")
    assert code == 1
    assert "a query key needs one of" in output
    said = words(victim, tmp_path / "rows.jsonl", "soft")
    said[said.index(str(victim.checkpoint / "admin.key"))] = str(victim.checkpoint / "audit.key")
    code, output = call(*said, key="")
    assert code == 1
    assert "scope admin" in output
    assert not (tmp_path / "rows.jsonl").exists()
