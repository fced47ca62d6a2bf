"""A trial of detectors against a real service: who is sent, from which account, and what is read.

The readings are made up here from what the ledger charged, so that each one is known.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from attacker.errors import ExperimentError
from attacker.lab.admin import AdminClient
from attacker.lab.bundle import read_bundle
from attacker.lab.detection.marks import marks_of
from attacker.lab.detection.rows import DetectionRow
from attacker.lab.detection.schema import DetectionTrialSpec
from attacker.lab.detection.trial import DetectionTrial
from attacker.lab.proportion import proportion
from attacker.lab.study.file import load_study
from attacker.lab.study.folder import open_study
from attacker.lab.study.page.build import write_page
from attacker.lab.study.rows import DETECTIONS, read_rows
from shared.audio import to_wav
from shared.config import ConfigError, load_yaml, validate
from shared.contract import DetectorReading
from shared.honest import USERS
from tests.support import study_tables as made
from tests.support.command_line import caller
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_clips, make_victim, running_victim

WINDOW = 10
SHIPPED = Path(__file__).parents[2] / "attacker/experiments/detections/watched.yaml"


class Watcher(AdminClient):
    """Says that every account's third window is an alarm."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.spent: dict[str, int] = {}

    def readings(self, account: str, after: str = "") -> list[DetectorReading]:
        self.spent[account] = self.usage(account).spent
        return [
            DetectorReading(
                id=str(n),
                at=0,
                detector="seat",
                query=n * WINDOW,
                score=n,
                threshold=2,
                alarm=n == 3,
            )
            for n in range(1, self.spent[account] // WINDOW + 1)
        ]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    place = tmp_path_factory.mktemp("victim")
    with running_victim(make_victim(place / "model"), place / "service") as running:
        key = add_key(running.ledger_url, "operator", scope="admin")
        (running.checkpoint / "admin.key").write_text(key)
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("proxy")
    for number, wave in enumerate(make_clips(12, 4000, seed=5)):
        path = root / f"s{number % 3}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_wav(wave, 4000))
    return root


def facts(proxy: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "trial",
        "plan": {"name": "watched", "label_mode": "soft"},
        "proxy": {"kind": "speaker_tree", "root": str(proxy)},
        "queries": 100,
        "batch_clips": 10,
        "attackers": [
            {"name": "proxy", "source": {"kind": "proxy"}},
            {"name": "sybil", "source": {"kind": "jitter"}, "accounts": 2},
        ],
        "users": [{"kind": "single_speaker"}],
        **changes,
    }


def test_streams_come_from_their_own_accounts(
    victim: RunningVictim, proxy: Path, tmp_path: Path
) -> None:
    spec = validate(facts(proxy, seeds=[0, 1]), DetectionTrialSpec, origin="trial")
    bundle = read_bundle(victim.checkpoint / "bundle")
    with Watcher(victim.url, (victim.checkpoint / "admin.key").read_text()) as admin:
        trial = DetectionTrial(spec, victim.url, admin, bundle, tmp_path)
        rows = list(trial.rows())
    assert sorted(admin.spent.values()) == [50] * 4 + [100] * 4
    assert [(row.attacker, row.seed) for row in rows] == [
        *((name, seed) for seed in (0, 1) for name in ("proxy", "sybil")),
        *(("honest:single_speaker", seed) for seed in (0, 1)),
    ]
    by_name: dict[str, DetectionRow] = {row.attacker: row for row in rows}
    assert all(row.queries == 100 and row.windows == 10 for row in rows)
    assert (by_name["proxy"].first_alarm_query, by_name["proxy"].alarms) == (30, 1)
    # The third batch of the first account is the fifth of all.
    assert (by_name["sybil"].first_alarm_query, by_name["sybil"].alarms) == (50, 2)


def test_a_refused_stream_is_judged_by_what_was_sent(
    victim: RunningVictim, proxy: Path, tmp_path: Path
) -> None:
    plan = {"name": "short", "label_mode": "soft", "budget": 40}
    one = [{"name": "proxy", "source": {"kind": "proxy"}}]
    changed = facts(proxy, plan=plan, attackers=one, users=[])
    spec = validate(changed, DetectionTrialSpec, origin="trial")
    with Watcher(victim.url, (victim.checkpoint / "admin.key").read_text()) as admin:
        (row,) = DetectionTrial(spec, victim.url, admin, None, tmp_path).rows()
    assert (row.queries, row.windows, row.first_alarm_query) == (40, 4, 30)


def test_a_plan_without_detectors_is_told_as_that(
    victim: RunningVictim,
    proxy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = caller(monkeypatch, capsys, victim.url, str(tmp_path))
    path = tmp_path / "trial.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(facts(proxy, plan="soft", users=[])))))
    words = ["detections", str(path), "--admin-key-file", str(victim.checkpoint / "admin.key")]
    code, output = call(*words, key="")
    assert code == 1
    assert "name a plan that has detectors" in output


def test_users_are_as_many_and_as_long_as_the_trial_says(
    victim: RunningVictim, proxy: Path, tmp_path: Path
) -> None:
    changed = facts(proxy, attackers=[], seeds=[7], users_each=3, user_queries=20)
    spec = validate(changed, DetectionTrialSpec, origin="trial")
    bundle = read_bundle(victim.checkpoint / "bundle")
    with Watcher(victim.url, (victim.checkpoint / "admin.key").read_text()) as admin:
        rows = list(DetectionTrial(spec, victim.url, admin, bundle, tmp_path).rows())
    assert [(row.seed, row.queries, row.windows) for row in rows] == [(n, 20, 2) for n in range(3)]


def study_of(checkpoint: str, folder: Path, **attacker: Any) -> Path:
    """A study whose naive attacker sends the proxy corpus and is measured at 25 and 60 clips."""
    told = made.manifest({}, victim={"name": "v", "checkpoint": checkpoint})
    naive = {"id": "naive", "label": "n", "sampler": {"kind": "keep_all"}}
    told["study"]["attackers"] = [{**naive, "source": {"kind": "proxy"}, **attacker}]
    return made.write_all(folder, made.cells("none", {25: 0.34, 60: 0.58}), facts=told)


def checkpoint_of(victim: RunningVictim) -> str:
    return read_bundle(victim.checkpoint / "bundle").checkpoint


def test_rows_are_written_into_a_study_and_its_page_shows_them(
    victim: RunningVictim,
    proxy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("attacker.lab.admin.AdminClient", Watcher)
    call = caller(monkeypatch, capsys, victim.url, str(tmp_path / "cache"))
    study = study_of(checkpoint_of(victim), tmp_path / "study")
    path, lines = tmp_path / "trial.yaml", tmp_path / "rows.jsonl"
    cells = {"attacker": "naive", "plan": "none"}
    naive = [{"name": "proxy", "source": {"kind": "proxy"}, "cells": cells}]
    path.write_text(yaml.safe_dump(facts(proxy, attackers=naive)))
    keys = ["--admin-key-file", str(victim.checkpoint / "admin.key")]
    words = ["detections", str(path), *keys, "--bundle", str(victim.checkpoint / "bundle")]
    for _ in range(2):  # the second time replaces what the first has written
        code, output = call(*words, "--study", str(study), "--out", str(lines), key="")
        assert code == 0, output
        assert "between 34.0 % and 58.0 %" in output.replace("\xa0", " ")
    rows = read_rows(study / "detections.parquet")
    assert [row["attacker"] for row in rows] == ["proxy", "honest:single_speaker"]
    assert list(rows[0]) == list(DETECTIONS)
    said = {name: rows[0][name] for name in ("stolen_mark", "next_mark", "last_mark")}
    assert said == {"stolen_mark": 25, "next_mark": 60, "last_mark": 60}
    assert len(lines.read_text().splitlines()) == 4
    page = write_page(study, "make")[2].read_text()
    assert "| seat | proxy | 10.00 %" in page
    assert "between 34.0 % and 58.0 % (25 to 60 clips)" in page

    code, output = call(*words, key="")
    assert "Name its folder with --study" in output
    assert "34.0 %" not in output.replace("\xa0", " ")


def test_a_study_of_another_victim_is_refused_before_anything_is_sent(
    victim: RunningVictim,
    proxy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = caller(monkeypatch, capsys, victim.url, str(tmp_path / "cache"))
    study = study_of("d" * 64, tmp_path / "study")
    path = tmp_path / "trial.yaml"
    path.write_text(yaml.safe_dump(facts(proxy, users=[])))
    key = victim.checkpoint / "admin.key"
    words = ["detections", str(path), "--admin-key-file", str(key), "--study", str(study)]
    with AdminClient(victim.url, key.read_text()) as admin:
        spent = sum(one.spent for one in admin.accounts().values())
        code, output = call(*words, key="")
        assert spent == sum(one.spent for one in admin.accounts().values())
    assert code == 2
    assert "this study is of the victim dddddddddddd" in output
    assert "Traceback" not in output
    assert not (study / "detections.parquet").exists()


def test_cells_of_another_source_are_no_record(tmp_path: Path, proxy: Path) -> None:
    study = open_study(study_of("d" * 64, tmp_path, source={"kind": "jitter"}))
    one = {"name": "a", "cells": {"attacker": "naive", "plan": "none"}}
    same, other = [
        validate(facts(proxy, attackers=[{**one, "source": {"kind": kind}}]), DetectionTrialSpec,
                 origin="trial").attackers[0]
        for kind in ("jitter", "proxy")
    ]  # fmt: skip
    assert marks_of(same, study) == {25: pytest.approx(0.34), 60: pytest.approx(0.58)}
    assert marks_of(same) is None
    with pytest.raises(ExperimentError, match=r"attacker a: .*Write the source as the study does"):
        marks_of(other, study)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attackers": [], "users": []}, "nobody to watch"),
        ({"attackers": [{"name": "a", "source": {"kind": "proxy"}}] * 2}, "names that differ"),
        ({"plan": {"label_mode": "soft"}}, "needs a name"),
        ({"users": [{"kind": "burglar"}]}, "burglar"),
        ({"users_each": 0}, "users_each"),
        (
            {
                "attackers": [
                    {
                        "name": "a",
                        "source": {"kind": "proxy"},
                        "run": "runs/a",
                        "cells": {"attacker": "a", "plan": "p"},
                    }
                ]
            },
            "Leave one of them out",
        ),
    ],
)
def test_what_cannot_be_a_trial_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(facts(tmp_path, **change), DetectionTrialSpec, origin="trial")


def test_the_shipped_trial_can_show_one_false_alarm_in_a_thousand() -> None:
    spec = load_yaml(SHIPPED, DetectionTrialSpec)
    users = [user.kind for user in spec.users]
    assert sorted(users) == sorted(USERS)
    windows = len(users) * len(spec.user_seeds) * (spec.user_queries or spec.queries) // 50
    quiet = proportion(0, windows)
    assert quiet is not None
    assert quiet.high <= spec.false_alarm_target == 0.001


def test_the_shipped_trial_names_cells_of_the_shipped_study(tmp_path: Path) -> None:
    study = load_study(SHIPPED.parents[1] / "studies/at-the-alarm.yaml", "desk")
    told = made.manifest({}) | {"study": study.model_dump(mode="json")}
    thieves = ("naive", "proxy", "jitter", "wavegan")
    rows = [row for who in thieves for row in made.cells("none", made.HIGH, attacker=who)]
    made.write_all(tmp_path, rows, facts=told)
    folder = open_study(tmp_path)
    suspects = [one for one in load_yaml(SHIPPED, DetectionTrialSpec).attackers if one.cells]
    assert {one.cells.attacker for one in suspects if one.cells} == set(thieves)
    assert {one.name for one in suspects if one.accounts > 1} == {"naive-sybil-4", "proxy-sybil-4"}
    assert all(marks_of(one, folder) == pytest.approx(made.HIGH) for one in suspects)


def test_a_run_that_was_not_measured_is_no_record(tmp_path: Path, proxy: Path) -> None:
    run = {"name": "a", "source": {"kind": "proxy"}, "run": str(tmp_path)}
    spec = validate(facts(proxy, attackers=[run]), DetectionTrialSpec, origin="trial")
    with pytest.raises(ExperimentError, match="has not been measured"):
        marks_of(spec.attackers[0])
