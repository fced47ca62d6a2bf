import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from victim_service.errors import Refusal, StartError
from victim_service.ledger.sqlite import SqliteLedger
from victim_service.secret import fingerprint, load_secret, secret_path
from victim_service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ledger=f"sqlite:///{tmp_path / 'ledger.sqlite'}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    store = SqliteLedger(tmp_path / "ledger.sqlite", timeout_s=20)
    yield store
    store.close()


def load(settings: Settings, ledger: SqliteLedger, *, create: bool = True) -> bytes:
    return asyncio.run(load_secret(settings, ledger, create=create))


def test_the_secret_is_where_it_was_set_or_beside_the_ledger(tmp_path):
    named = Settings(ledger="redis://localhost", secret_file=tmp_path / "named")
    assert secret_path(named) == tmp_path / "named"
    assert secret_path(Settings(ledger="sqlite:////srv/l.db")) == Path("/srv/l.db.secret")
    assert secret_path(Settings(ledger="sqlite:///runs/l.db")) == Path("runs/l.db.secret")
    assert secret_path(Settings(ledger="redis://localhost")) == Path("runs/victim.secret")


def test_it_is_made_once_for_the_owner_alone_and_found_again(settings, ledger):
    secret = load(settings, ledger)
    assert len(secret) == 32
    path = secret_path(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes.fromhex(path.read_text()) == secret
    assert load(settings, ledger) == secret
    assert load(settings, ledger, create=False) == secret
    assert [item for item in path.parent.iterdir() if item.name.startswith(".")] == []


def test_the_folder_of_the_secret_is_made(tmp_path, ledger):
    settings = Settings(secret_file=tmp_path / "new" / "secret")
    assert len(load(settings, ledger)) == 32


def test_the_ledger_keeps_a_fingerprint_and_not_the_secret(settings, ledger):
    secret = load(settings, ledger)
    kept = asyncio.run(ledger.claim("secret", "other"))
    assert kept == fingerprint(secret)
    ledger.close()
    whole = ledger.path.read_bytes()
    assert kept.encode() in whole
    assert secret not in whole
    assert secret.hex().encode() not in whole


def test_another_secret_does_not_start_and_a_new_one_is_not_left_behind(tmp_path, settings, ledger):
    load(settings, ledger)
    foreign = Settings(ledger=settings.ledger, secret_file=tmp_path / "foreign")
    with pytest.raises(StartError, match="Copy the secret's file of a replica"):
        load(foreign, ledger)
    assert not (tmp_path / "foreign").exists()
    (tmp_path / "foreign").write_text("ab" * 32)
    with pytest.raises(StartError, match="belongs to another secret"):
        load(foreign, ledger)
    assert (tmp_path / "foreign").read_text() == "ab" * 32
    (tmp_path / "foreign").write_bytes(secret_path(settings).read_bytes())
    assert load(foreign, ledger) == load(settings, ledger)


def test_a_secret_outlives_a_claim_whose_end_nobody_saw(settings, ledger):
    class Unreachable:
        async def claim(self, name: str, value: str) -> str:
            await ledger.claim(name, value)
            raise Refusal("ledger-unreachable")

    with pytest.raises(Refusal):
        load(settings, Unreachable())
    assert len(load(settings, ledger)) == 32


def test_a_missing_secret_is_not_made_for_one_who_only_looks(settings, ledger):
    with pytest.raises(StartError, match="Set VICTIM_SECRET_FILE"):
        load(settings, ledger, create=False)
    assert not secret_path(settings).exists()


@pytest.mark.parametrize("content", ["", "ab" * 31, "ab" * 33, "xy" * 32, "é" * 64])
def test_a_file_that_is_no_secret_is_refused_and_not_shown(settings, ledger, content):
    secret_path(settings).write_text(content)
    with pytest.raises(StartError, match="Set VICTIM_SECRET_FILE") as caught:
        load(settings, ledger)
    assert content == "" or content not in str(caught.value)


def test_a_folder_in_which_nothing_can_be_written_is_named(tmp_path, ledger):
    (tmp_path / "file").write_text("")
    settings = Settings(secret_file=tmp_path / "file" / "secret")
    with pytest.raises(StartError, match="Set VICTIM_SECRET_FILE"):
        load(settings, ledger)


def test_replicas_that_start_at_once_agree_on_one(settings, ledger):
    async def load_many() -> list[bytes]:
        return await asyncio.gather(*(asyncio.to_thread(load, settings, ledger) for _ in range(16)))

    assert len(set(asyncio.run(load_many()))) == 1
