"""``earshot-victim ledger``, in this process."""

import contextlib
import sqlite3

import pytest

from tests.unit.victim_service.ledger.asking import query
from victim_service import __main__ as cli
from victim_service.commands.common import console


@pytest.fixture
def call(tmp_path, address, monkeypatch, capsys):
    """Run a command on the ledger; return (exit status, stdout, stderr)."""
    monkeypatch.setenv("VICTIM_LEDGER", address)
    monkeypatch.setenv("VICTIM_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setattr(console, "width", 160)

    def one(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["earshot-victim", "ledger", *map(str, words)])
        capsys.readouterr()  # what came before is not the command's
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return one


def test_a_ledger_is_exported_and_verified_with_its_export(call, buy, tmp_path):
    buy(query("one", 7))
    file = tmp_path / "export.jsonl"
    assert call("export", file) == (
        0,
        f"{file}: 0 lines were there and are true, 2 were added.\n",
        "",
    )
    buy(query("two", 7))
    status, out, _ = call("export", file)
    assert (status, "2 lines were there and are true, 2 were added" in out) == (0, True)
    status, out, _ = call("verify", "--export", file)
    assert status == 0
    assert "The ledger adds up" in out
    assert "its 4 lines are signed, and as in the ledger" in out
    assert "export" not in call("verify")[1]


def test_a_false_export_ends_in_one_line_and_status_1(call, buy, tmp_path):
    buy(query("one", 7))
    file = tmp_path / "export.jsonl"
    call("export", file)
    file.write_bytes(file.read_bytes().replace(b'"clips":7', b'"clips":1'))
    for words in (("verify", "--export", file), ("export", file)):
        status, out, err = call(*words)
        assert (status, out) == (1, "")
        assert "line 1 was altered" in err
        assert len(err.strip().splitlines()) == 1


def test_a_check_of_an_export_needs_the_secret_and_makes_none(call, buy, tmp_path):
    buy(query("one", 7))
    file = tmp_path / "export.jsonl"
    call("export", file)
    (tmp_path / "secret").unlink()
    status, _, err = call("verify", "--export", file)
    assert (status, "VICTIM_SECRET_FILE" in err) == (1, True)
    assert not (tmp_path / "secret").exists()
    assert call("verify")[0] == 0
    status, _, err = call("export", file, "--secret-file", tmp_path / "other")
    assert (status, "another secret" in err) == (1, True)


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_false_counter_is_named_and_ends_in_status_1(call, buy, address, tmp_path):
    buy(query("one", 7))
    with (
        contextlib.closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as database,
        database,
    ):
        database.execute("UPDATE counters SET spent = 6 WHERE subject = 'key:k'")
    status, out, err = call("verify", "--export", tmp_path / "none")
    assert (status, out) == (1, "")
    assert "key:k: counter 6, entries 7" in err
    assert "stop selling" in err


def test_what_was_bought_is_shown(call, buy, ledger, run):
    buy(query("one", 7))
    run(ledger.note_audit(query("two", 3, plan="audit")))
    status, out, _ = call("show")
    assert status == 0
    assert {"a", "k", "soft", "7", "audit", "3"} <= set(out.split())
