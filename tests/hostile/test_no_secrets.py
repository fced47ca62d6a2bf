"""No key, secret or audio in what the service says of itself: log, metrics, errors, reprs."""

import asyncio
import base64
from pathlib import Path

import httpx
import numpy as np
import pytest
import structlog

from shared.audio import AudioError, decode_clips
from shared.contract import ADMIN_KEYS_PATH, CLASSIFY_PATH
from tests.hostile import make
from tests.hostile.corpus import FLAC, NPY, WAV
from tests.support.apps import SECRET, Shop, open_shop
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_victim, running_victim
from victim_service.buying import Sent
from victim_service.errors import StartError
from victim_service.keys import issue
from victim_service.ledger import open_ledger, without_password
from victim_service.settings import Settings

SPOKEN = b"recognisable-voice"
"""Bytes of the audio that is sent; as 16-bit samples they are as good as any."""
NAMED = "recognisable-name-of-a-query"
LABEL = "recognisable-label"
SAMPLES = (SPOKEN * (2 * make.SAMPLES))[: 2 * make.SAMPLES]
FLOATS = (b"\x3erec" * make.SAMPLES)[: 4 * make.SAMPLES]


def disguises(secret: bytes) -> list[bytes]:
    """``secret`` as it could be written: plain, as hexadecimal, in base64, as Python writes it."""
    long = base64.b64encode(secret * 3)
    middle = long[8 : 8 + len(secret) // 3 * 4]  # whatever stands before it
    return [secret, secret.hex().encode(), middle, repr(secret)[2:-1].encode()]


def bodies() -> dict[str, tuple[str, bytes, int]]:
    """Good and hostile files that hold recognisable bytes: type, body, expected status."""
    wave = np.frombuffer(SAMPLES, "<i2")
    return {
        "good wav": (WAV, make.wav(None, SAMPLES), 200),
        "good flac": (FLAC, make.encoded(wave), 200),
        "good npy": (NPY, make.npy(make.npy_header(), SAMPLES), 200),
        "floats": (NPY, make.npy(make.npy_header(descr=">f4"), FLOATS), 200),
        "long wav": (WAV, make.wav(None, SAMPLES * 2), 422),
        "chunk": (WAV, make.wav(None, b"", make.chunk(SPOKEN[:4], SPOKEN * 9)), 422),
        "codec": (WAV, make.wav(make.wav_format(2), SAMPLES), 422),
        "headless": (WAV, SAMPLES, 422),
        "flac frames": (FLAC, make.flac(SAMPLES), 422),
        "flac tag": (FLAC, make.flac(blocks=[(4, SPOKEN * 9)]), 422),
        "dtype": (NPY, make.npy(make.npy_header(descr=SPOKEN.decode()), SAMPLES), 422),
        "header": (NPY, make.npy(SPOKEN.decode() * 9, SAMPLES), 422),
        "loud": (NPY, make.npy(make.npy_header(descr="<f4"), b"recA" * make.SAMPLES), 422),
        "pickle": (NPY, b"\x80\x04" + SAMPLES, 422),
        "strange type": (LABEL + "/" + LABEL, SAMPLES, 415),
        "json": ("application/json", b'{"clips": "' + SPOKEN + b'"}', 415),
    }


def traffic(client: httpx.Client, key: str, admin: str) -> list[str]:
    """Send all of it, and mistakes that people make with keys; return what was answered."""
    answers = []
    mine, theirs = {"authorization": f"Bearer {key}"}, {"authorization": f"Bearer {admin}"}
    for number, (name, (media_type, body, status)) in enumerate(bodies().items()):
        headers = {"content-type": media_type, "idempotency-key": f"{NAMED}-{number}"}
        for _ in range(2):
            answer = client.post(CLASSIFY_PATH, content=body, headers=mine | headers)
            assert answer.status_code == status, (name, answer.text)
            answers.append(answer.text)
    wav = {"content-type": WAV}
    for wrong in (
        client.get("/v1/account", params={"key": key}),
        client.get(f"/v1/account/{key}", headers=mine),
        client.get("/v1/account", headers={"authorization": f"Basic {key}"}),
        client.get("/v1/account", headers={"authorization": f"Bearer {key[:-1]}x"}),
        client.get("/v1/account", headers={"x-api-key": key, "cookie": f"key={key}"}),
        client.delete(f"{ADMIN_KEYS_PATH}/{key}", headers=theirs),
        client.post(CLASSIFY_PATH, content=SAMPLES, headers=mine | {"content-type": SPOKEN}),
        client.post(CLASSIFY_PATH, content=b"", headers=mine | wav | {"idempotency-key": "short"}),
        client.request(f"X{key}", "/v1/account", headers=mine),
        client.post(CLASSIFY_PATH, content=b"", headers=mine | wav | {"accept": NAMED}),
    ):
        assert 400 <= wrong.status_code < 500, wrong.text
    for given in ({"x-request-id": key}, {"x-earshot-campaign": key}):
        assert client.get("/v1/model", headers=mine | given).status_code == 200
    return answers


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What a real service said after all that traffic, and what it must never say."""
    folder = tmp_path_factory.mktemp("secrets")
    with running_victim(make_victim(folder / "victim"), folder / "run") as victim:
        admin = add_key(victim.ledger_path, "operator", scope="admin")
        with httpx.Client(base_url=victim.url, timeout=30) as client:
            answers = traffic(client, victim.key, admin)
            order = {"account": "bob", "plan": "soft"}
            theirs = {"authorization": f"Bearer {admin}"}
            new = client.post(ADMIN_KEYS_PATH, json=order, headers=theirs).json()["key"]
            listed = client.get(ADMIN_KEYS_PATH, headers=theirs).content
            metrics = client.get("/metrics").content
        secret = _secret_of(victim)
    said = {
        "log": victim.log.read_bytes(),
        "metrics": metrics,
        "list of keys": listed,
        "answers": "\n".join(answers).encode(),
    }
    keys = {
        "key": victim.key,
        "audit key": victim.keys["audit"],
        "admin key": admin,
        "new key": new,
    }
    hidden = {name: key.split("_")[2].encode() for name, key in keys.items()}
    return said, hidden | {"secret": secret, "secret file": secret.hex().encode()}


def _secret_of(victim: RunningVictim) -> bytes:
    return bytes.fromhex(Path(f"{victim.ledger_path}.secret").read_text())


def test_a_service_never_says_a_secret(
    told: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    said, hidden = told
    assert len(said["log"].splitlines()) > 40
    for place, text in said.items():
        for name, secret in hidden.items():
            found = [form for form in disguises(secret) if form in text]
            assert found == [], f"{name} in {place}"


def test_a_service_never_says_what_it_heard(
    told: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    said, _ = told
    for place in ("log", "metrics", "list of keys"):
        for sent in (SPOKEN, NAMED.encode(), LABEL.encode()):
            # A clip is seen through any window of it.
            windows = [sent[start : start + 12] for start in range(len(sent) - 11)]
            found = [form for one in windows for form in disguises(one) if form in said[place]]
            assert found == [], f"{sent!r} in {place}"
    assert SPOKEN not in said["answers"]


def test_a_fault_of_the_model_or_the_ledger_says_nothing_of_the_query(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hearing(clips: np.ndarray) -> np.ndarray:
        raise ValueError(f"{SPOKEN.decode()} {clips!r}")

    async def leaking(*_: object) -> None:
        raise ValueError(f"{SPOKEN.decode()} {NAMED}")

    async def send(shop: Shop) -> list[int]:
        key = await shop.key()
        statuses = [(await shop.send(key, name=NAMED)).status_code]
        shop.ledger.reserve = leaking  # type: ignore[method-assign, assignment]
        statuses.append((await shop.send(key, name=NAMED + "2")).status_code)
        return statuses

    async def story() -> list[int]:
        async with open_shop(tmp_path, hearing) as shop:
            return await send(shop)

    with structlog.testing.capture_logs() as events:
        statuses = asyncio.run(story())
    assert statuses == [503, 500]
    printed = capsys.readouterr()
    text = repr(events) + printed.out + printed.err
    assert "fault" in text
    assert SPOKEN.decode() not in text
    assert NAMED not in text


def test_reprs_hide_what_they_hold(tmp_path: Path) -> None:
    async def story() -> list[object]:
        async with open_shop(tmp_path) as shop:
            key = await shop.key()
            assert (await shop.send(key, name=NAMED)).status_code == 200
            record = await shop.ledger.key(key.split("_")[1])
            return [key, record, shop.parts, shop.ledger, shop.parts.keys, shop.parts.plan_book]

    key, *things = asyncio.run(story())
    assert isinstance(key, str)
    _, record = issue("bob", "soft", "query")
    settings = Settings(ledger="redis://user:hunter2@host/0", admin_key=key)  # type: ignore[arg-type]
    things += [record, settings, Sent(SAMPLES, WAV, NAMED)]
    text = "\n".join(f"{thing!r} {thing!s}" for thing in things).encode()
    assert record.key_id.encode() in text
    for hidden in (b"hunter2", SECRET, SPOKEN, NAMED.encode(), record.digest, key.encode()):
        assert [form for form in disguises(hidden) if form in text] == []


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("redis://user:hunter2@host:1/0") == "redis://host:1/0"
    assert without_password("rediss://:hunter2@host") == "rediss://host"
    assert without_password("redis://host:1/0") == "redis://host:1/0"
    assert without_password("sqlite:////srv/a@b/c.sqlite") == "sqlite:////srv/a@b/c.sqlite"
    with pytest.raises(StartError) as caught:
        open_ledger("valkey://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", bodies())
def test_an_error_of_the_decoder_quotes_no_audio(name: str) -> None:
    media_type, body, status = bodies()[name]
    message = ""
    try:
        decode_clips(body, media_type, sample_rate_hz=4000, clip_samples=1024, max_clips=9)
    except AudioError as error:
        message = repr(error) + str(error)
    assert bool(message) == (status != 200)
    if name != "strange type":  # what is not accepted is named
        assert SPOKEN.decode() not in message
    assert len(message) < 1_000
