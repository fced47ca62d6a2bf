"""The laboratory in containers, on a real engine: from nothing to a report, and what goes wrong.

    make compose-test

The images are built, and every test speaks to one stack of its own name, whose volumes are made
and removed here. ``EARSHOT_RUNS`` points into a temporary folder.
"""

import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.compose import README_COMMANDS, ROOT, Stack, missing_engine

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("compose"),
]
BUDGET, QUERIES = 2400, 400
"""Of the attacker's key, and of one run of the experiment."""
REDIS_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    reason = missing_engine()
    if reason:
        pytest.skip(reason)
    made = Stack(tmp_path_factory.mktemp("compose"))
    made.compose("build", timeout_s=1100)
    try:
        yield made
    finally:
        made.compose("--profile", "scale", "--profile", "study", "down", "-v", "--remove-orphans")


@pytest.fixture(scope="module")
def done(stack: Stack) -> Stack:
    """The stack after its first run: both that end have ended."""
    stack.compose(*README_COMMANDS["docker compose up --build"])
    assert stack.wait("attacker") == 0, stack.logs("attacker")
    assert stack.wait("lab") == 0, stack.logs("lab")
    return stack


def test_from_nothing_to_a_report(done: Stack) -> None:
    run = done.runs / "campaign"
    report = (run / "report.html").read_text()
    assert "wavegan" in report
    assert "they agree" in report  # ledger and journal
    record = json.loads((run / "run.json").read_text())
    assert record["url"] == "http://victim:8765"
    assert done.spent("attacker") == QUERIES
    assert done.ledger_is_sound()


def test_the_port_is_published_on_loopback_only(done: Stack) -> None:
    assert httpx.get(f"http://127.0.0.1:{done.port}/readyz", timeout=5).status_code == 200
    for address in done.gateways():
        with pytest.raises(OSError), socket.create_connection((address, done.port), 3):
            pass


def test_the_attacker_reaches_the_api_and_nothing_else(done: Stack) -> None:
    """Asked from inside of its container, by name and by address."""
    redis, victim = done.addresses("redis"), done.addresses("victim")
    gone = {f"{address}:6379" for address in redis} | {"redis:6379", "203.0.113.1:80"}
    gone |= {f"{address}:6379" for address in victim}
    with socket.create_server(("0.0.0.0", 0)) as listening:  # noqa: S104 - what must stay hidden
        port = listening.getsockname()[1]
        gone |= {f"{address}:{port}" for address in done.gateways()}
        seen = done.look_around("attacker", ["victim:8765", *sorted(gone)])
    assert seen["reached"] == ["victim:8765"]
    assert seen["folders"] == {
        "/data": False,
        "/lab": False,
        "/corpus": False,
        "/app/victim_service": False,
    }
    assert seen["importable"] == {"victim_service": False, "attacker": True}
    assert seen["user"] != 0
    assert seen["writable_root"] is False
    assert seen["capabilities"] == "0000000000000000"
    assert seen["proxy"] == ["README"]  # no corpus was named


def test_the_attacker_is_given_its_own_folders_and_its_key(done: Stack) -> None:
    """All of its mounts: nothing of victim or lab can come in under another name."""
    volume = f"{done.name}_"
    assert done.mounts(done.container("attacker")) == {
        "/runs": (str(done.runs), True),
        "/cache": (f"{volume}attacker-cache", True),
        "/hand-over": (f"{volume}attacker-hand-over", False),
        "/proxy": (str(ROOT / "docker" / "no-corpus"), False),
    }


@pytest.mark.parametrize("service", ["prepare", "redis", "victim", "attacker", "lab"])
def test_every_container_is_held_to_its_place(done: Stack, service: str) -> None:
    held = done.hardening(done.container(service))
    root = {"prepare": ["CHOWN", "DAC_OVERRIDE", "FOWNER"], "redis": REDIS_CAPABILITIES}
    assert held["read_only"]
    assert held["memory"] > 0
    assert held["dropped"] == ["ALL"]
    assert held["added"] == root.get(service, [])
    assert held["security"] == ["no-new-privileges:true"]
    assert set(held["published"]) <= {"127.0.0.1"}


def test_neither_image_has_the_other_side_or_what_builds(done: Stack) -> None:
    for image, other in (("earshot-victim", "attacker"), ("earshot-attacker", "victim_service")):
        words = ["docker", "run", "--rm", "--entrypoint", "sh", image, "-c"]
        found = done.call([*words, "ls /app; command -v gcc cc make uv || true; id -u"]).split()
        assert other not in found
        assert found[-1] == "1000"
        assert not [word for word in found if word.startswith("/")], found


def test_a_second_start_serves_within_30_seconds(done: Stack) -> None:
    done.compose("stop")
    begun = time.monotonic()
    done.compose("up", "-d", "victim")
    done.until_ready(30)
    assert time.monotonic() - begun < 30
    assert done.spent("attacker") == QUERIES  # Redis kept it


def test_a_finished_run_buys_nothing_again(done: Stack) -> None:
    done.compose("up", "-d")
    assert (done.wait("attacker"), done.wait("lab")) == (0, 0)
    assert done.spent("attacker") == QUERIES


def test_a_victim_and_a_redis_that_are_killed_in_mid_campaign(done: Stack) -> None:
    """The campaign ends as if nothing had been, and everything was paid once."""
    done.put_plan("name: patient\nlabel_mode: soft\nbudget: 1000\nrate_per_s: 15\nburst: 20\n")
    key = done.issue_key("hunted", "patient", QUERIES)
    name = done.attack("hunted", key)
    for victim in ("victim", "redis"):
        before = done.spent("hunted")
        deadline = time.monotonic() + 60
        while not before < done.spent("hunted") < QUERIES - 100:
            assert time.monotonic() < deadline, done.call(["docker", "logs", name])
            time.sleep(0.3)
        done.call(["docker", "kill", "--signal", "KILL", done.container(victim)])
        time.sleep(2)
        done.compose("up", "-d", victim)
        done.until_ready(60)
    assert done.call(["docker", "wait", name], timeout_s=300).strip() == "0"
    assert done.spent("hunted") == QUERIES
    assert done.ledger_is_sound()


def test_three_victims_keep_one_budget(done: Stack) -> None:
    key = done.issue_key("crowd", "demo", 100)
    command = next(line for line in README_COMMANDS if "--profile scale" in line)
    done.compose(*README_COMMANDS[command], EARSHOT_URL="http://door:8765")
    for container in done.containers("replica"):
        done.until_healthy(container)
    answered = done.crowd("http://door:8765", key, clients=16, clips_each=20)
    assert answered == {"200": 100, "402": 220}
    assert done.spent("crowd") == 100
    assert done.ledger_is_sound()
    shares = [
        done.answered_by(name) for name in (*done.containers("replica"), done.container("victim"))
    ]
    assert sum(share > 0 for share in shares) == 3, shares


def test_a_study_runs_its_cells_under_keys_of_their_own(done: Stack) -> None:
    done.compose(*README_COMMANDS["docker compose --profile study up study"])
    assert done.wait("study") == 0, done.logs("study")
    (table,) = done.runs.glob("studies/*/smoke-desk/cells.parquet")
    cells = list((table.parent.parent / "cells").iterdir())
    assert len(cells) == 10
    assert {stat.S_IMODE((cell / "key").stat().st_mode) for cell in cells} == {0o600}
    assert done.spent(json.loads((cells[0] / "account.json").read_text())["account"]) in (40, 80)
    assert done.ledger_is_sound()


def test_another_user_may_be_named(done: Stack, tmp_path: Path) -> None:
    """Its files belong to whoever began it, on volumes that were another one's before."""
    runs = tmp_path / "runs"
    runs.mkdir()
    os.chown(runs, 1234, 1234)
    other = {"EARSHOT_UID": "1234", "EARSHOT_GID": "1234", "EARSHOT_RUNS": str(runs)}
    done.compose("up", "-d", **other)
    try:
        assert (done.wait("attacker"), done.wait("lab")) == (0, 0), done.logs("attacker")
        assert (runs / "campaign" / "report.html").stat().st_uid == 1234
    finally:
        done.compose("up", "-d")
        assert (done.wait("attacker"), done.wait("lab")) == (0, 0)


def test_a_wrong_key_is_one_clear_line(done: Stack) -> None:
    code, said = done.run_once(
        "attacker",
        "run",
        "attacker/experiments/smoke.yaml",
        "--out=/runs/wrong",
        EARSHOT_KEY="lab_000000000000_" + "0" * 64 + "_00000000",
    )
    assert code == 1
    assert "invalid-key" in said
    assert "Traceback" not in said


def test_runs_that_cannot_be_written_are_named_with_the_user(done: Stack, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    code, said = done.run_once("attacker", *done.attack_words, runs=shut)
    assert code == 1
    assert "/runs" in said
    assert "for user 1000" in said
    assert "Traceback" not in said


def test_a_missing_corpus_folder_is_named(done: Stack) -> None:
    code, said = done.run_once(
        "victim",
        "start",
        VICTIM_RECIPE="victim_service/victims/asc.yaml",
        VICTIM_DATA="/tmp/data",  # noqa: S108 - its own
    )
    assert code == 1
    assert "/corpus" in said
    assert "EARSHOT_CORPUS" in said
    assert "Traceback" not in said


def test_a_corpus_folder_that_is_not_there_is_refused_and_not_made(
    stack: Stack, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    said = stack.fails("up", "-d", "victim", EARSHOT_CORPUS=str(missing))
    assert str(missing) in said
    assert not missing.exists()


def test_a_redis_that_is_not_there_is_named(done: Stack) -> None:
    code, said = done.run_once("victim", "start", VICTIM_LEDGER="redis://nowhere:6379/0")
    assert code == 1
    assert "redis://nowhere:6379/0" in said
    assert "Start Redis" in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_told_by_the_engine(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = stack.fails("up", "-d", "victim", EARSHOT_PORT=str(taken.getsockname()[1]))
    # The second one is what it says where another container holds the port.
    assert "address already in use" in said or "port is already allocated" in said


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_told_by_the_engine(stack: Stack) -> None:
    said = stack.fails("--profile", "gpu", "up", "-d", "victim-gpu", EARSHOT_PORT="0")
    assert "could not select device driver" in said


def test_every_profile_of_the_page_parses(stack: Stack) -> None:
    for words in README_COMMANDS.values():
        if "config" in words:
            stack.compose(*words)
    services = stack.compose("--profile", "observe", "--profile", "gpu", "config", "--services")
    assert {"prometheus", "grafana", "victim-gpu", "attacker-gpu", "lab-gpu"} <= set(
        services.split()
    )


def test_nothing_is_left_behind(stack: Stack) -> None:
    """The last test: it takes the stack down."""
    stack.compose(
        "--profile",
        "scale",
        "--profile",
        "gpu",
        "--profile",
        "study",
        "down",
        "-v",
        "--remove-orphans",
    )
    for kind in ("container", "volume", "network"):
        words = [
            "docker",
            kind,
            "ls",
            "-q",
            "--filter",
            f"label=com.docker.compose.project={stack.name}",
        ]
        assert stack.call([*words, *(["--all"] if kind == "container" else [])]) == ""
