"""The command line, in this process; what needs a server is in tests/faults."""

import re
import socket

import pytest

from tests.support.victims import make_victim
from victim_service import __main__ as cli
from victim_service import serve
from victim_service.commands.common import console
from victim_service.errors import StartError
from victim_service.keys import KeyRing
from victim_service.ledger import open_ledger
from victim_service.settings import Settings

KEY = re.compile(r"^lab_[0-9a-f]{12}_[0-9a-f]{64}_[0-9a-f]{8}$", re.MULTILINE)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command; return (exit status, stdout, stderr)."""
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"

    def call(*words):
        monkeypatch.setenv("VICTIM_LEDGER", ledger)
        monkeypatch.setattr("sys.argv", ["earshot-victim", *map(str, words)])
        monkeypatch.setattr(console, "width", 160)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return call


def test_a_key_is_printed_once_and_alone_on_stdout(run):
    status, out, err = run("keys", "issue", "--account", "alice", "--plan", "soft")
    assert status == 0
    assert KEY.fullmatch(out.strip())
    assert "not shown again" in err
    secret = out.strip().split("_")[2]
    _, listed, _ = run("keys", "list")
    assert "alice" in listed
    assert secret not in listed
    _, out, err = run("keys", "issue", "--account", "alice", "--quiet")
    assert KEY.fullmatch(out.strip())
    assert err == ""


def test_a_revoked_key_is_shown_as_such(run):
    _, out, _ = run("keys", "issue", "--account", "alice")
    key_id = out.split("_")[1]
    assert run("keys", "revoke", key_id)[0] == 0
    assert "revoked" in run("keys", "list")[1]
    status, _, err = run("keys", "revoke", "unknown")
    assert status == 1
    assert "keys list" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--account", "a", "--plan", "gold"), "Use one of"),
        (("--account", "a", "--scope", "root"), "query, audit or admin"),
        (("--account", "a b"), "letters, digits"),
        (("--account", "a", "--ledger", "mysql://x"), "sqlite:///"),
    ],
)
def test_wrong_words_end_in_one_line(run, words, message):
    status, out, err = run("keys", "issue", *words)
    assert (status, out) == (1, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        (("serve", "x"), {"VICTIM_PORT": "abc"}, "VICTIM_PORT or --port"),
        (("serve", "x", "--port", 99999), {}, "VICTIM_PORT or --port"),
        (("serve", "x", "--host", "nosuch.invalid"), {}, "--host"),
        (("ledger", "verify", "--ledger", "sqlite:///none/l.sqlite"), {}, "no such file"),
        (("keys", "issue", "--account", "a", "--ledger", "sqlite:////proc/l"), {}, "/proc"),
    ],
)
def test_wrong_settings_end_in_one_line(run, monkeypatch, words, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, _, err = run(*words)
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_an_empty_ledger_adds_up_and_shows_nothing(run):
    run("keys", "issue", "--account", "a")
    status, out, _ = run("ledger", "verify")
    assert status == 0
    assert "adds up" in out
    assert run("ledger", "show")[0] == 0


def test_serving_what_is_no_checkpoint_ends_in_one_line(run, tmp_path):
    status, _, err = run("serve", tmp_path / "nothing", "--port", 0)
    assert status == 1
    assert "checkpoint folder" in err
    assert "Traceback" not in err


def test_serving_a_tampered_checkpoint_ends_in_one_line(run, tmp_path):
    folder = make_victim(tmp_path / "victim")
    card = folder / "card.json"
    card.write_text(card.read_text().replace("speaker-00", "speaker-99"))
    status, _, err = run("serve", folder, "--port", 0)
    assert status == 1
    assert "differs from what was saved" in err
    assert len(err.strip().splitlines()) == 1


def test_a_port_in_use_ends_in_one_line(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("serve", tmp_path, "--port", port)
    assert status == 1
    assert f"127.0.0.1:{port}" in err
    assert "--port" in err


def test_training_from_a_missing_recipe_ends_in_one_line(run, tmp_path):
    status, _, err = run("train", tmp_path / "no.yaml", "--out", tmp_path / "out")
    assert status == 1
    assert "Name an existing YAML file" in err


def test_settings_are_loopback_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("VICTIM_HOST", raising=False)
    assert Settings().host == "127.0.0.1"
    monkeypatch.setenv("VICTIM_PORT", "1234")
    assert Settings().port == 1234


def test_a_free_port_is_found():
    with serve.bind("127.0.0.1", 0) as sock:
        assert sock.getsockname()[1] > 0
    with pytest.raises(StartError, match="cannot listen"):
        serve.bind("203.0.113.1", 0)


def test_an_issued_key_opens_the_ring(run, tmp_path):
    import asyncio

    _, out, _ = run("keys", "issue", "--account", "alice", "--scope", "audit")

    async def work():
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", 10)
        try:
            return await KeyRing(ledger).check(out.strip())
        finally:
            ledger.close()

    record = asyncio.run(work())
    assert (record.account, record.scope, record.plan) == ("alice", "audit", "audit")
