"""Every hostile file against a real service: its own refusal, no charge, no harm, little memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from shared.contract import CLASSIFY_PATH
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS, TYPE_PREFIX
from tests.hostile.corpus import CORPUS, OK, Hostile, whole_corpus
from tests.hostile.make import GOOD_FLAC, GOOD_NPY, GOOD_WAV
from tests.support.memory import forget_peak, peak_bytes, resident_bytes
from tests.support.victims import RunningVictim, make_victim, running_victim

MOST_GROWTH_BYTES = 32 * 2**20
AT_ONCE = 16
NAMES = sorted(whole_corpus())


class Service:
    """A victim process with a client, and what it answers to a good clip."""

    def __init__(self, victim: RunningVictim, client: httpx.Client) -> None:
        self.victim, self.client = victim, client
        self.pid = victim.process.pid or 0
        self.good = self.probabilities()
        self.banner = self.plain_lines()

    def send(self, body: bytes, media_type: str, key: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self.victim.key}", "content-type": media_type}
        return self.client.post(
            CLASSIFY_PATH, content=body, headers=headers | {"idempotency-key": "h" * 8 + body_id()}
        )

    def plain_lines(self) -> list[str]:
        """Lines of the log that are no records: a banner at the start, and no more."""
        lines = self.victim.log.read_text().splitlines()
        return [line for line in lines if not line.startswith("{")]

    def spent(self) -> int:
        headers = {"authorization": f"Bearer {self.victim.key}"}
        return int(self.client.get("/v1/account", headers=headers).json()["spent"])

    def probabilities(self, body: bytes = GOOD_WAV, media_type: str = "audio/wav") -> np.ndarray:
        answer = self.send(body, media_type, self.victim.keys["audit"])
        assert answer.status_code == 200, answer.text
        return np.array([one["probabilities"] for one in answer.json()["answers"]])


_sent = iter(range(10**9))


def body_id() -> str:
    return f"{next(_sent):09d}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        running_victim(make_victim(folder / "victim"), folder / "run") as victim,
        httpx.Client(base_url=victim.url, timeout=30) as client,
    ):
        yield Service(victim, client)


def found_code(answer: httpx.Response) -> str:
    """The code of an answer, which must be whole."""
    if answer.status_code == 200:
        for one in answer.json()["answers"]:
            assert np.isfinite(one["probabilities"]).all()
            assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-5)
        return OK
    document = answer.json()
    problem = PROBLEMS[document["code"]]
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert (document["type"], document["status"]) == (TYPE_PREFIX + problem.code, problem.status)
    assert answer.status_code == problem.status
    assert document["detail"]
    return problem.code


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(NAMES) >= 60
    assert all(
        sum(name.startswith(kind) for name in NAMES) >= 30 for kind in ("wav", "flac", "npy")
    )
    # Generators, not blobs: the same bytes each time, so that a finding can be made again.
    assert [name for name in NAMES if CORPUS[name].make() != CORPUS[name].make()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_answered_for_what_it_is(service: Service, name: str) -> None:
    hostile = CORPUS[name]
    body, spent = hostile.make(), service.spent()
    held = resident_bytes(service.pid)
    begins_anew = forget_peak(service.pid)
    before = held if begins_anew else peak_bytes(service.pid)

    answer = service.send(body, hostile.media_type)

    assert peak_bytes(service.pid) - before <= MOST_GROWTH_BYTES
    code = found_code(answer)
    assert code in hostile.codes, answer.text
    charged = len(answer.json()["answers"]) if code == OK else 0
    assert service.spent() == spent + charged
    np.testing.assert_array_equal(service.probabilities(), service.good)


@pytest.mark.parametrize(
    "names",
    [NAMES[start :: -(-len(NAMES) // AT_ONCE)] for start in range(-(-len(NAMES) // AT_ONCE))],
    ids=lambda names: names[0],
)
def test_hostile_files_at_once_do_not_touch_a_good_one(service: Service, names: list[str]) -> None:
    def send(hostile: Hostile) -> str:
        return found_code(service.send(hostile.make(), hostile.media_type))

    good = [(GOOD_WAV, "audio/wav"), (GOOD_FLAC, "audio/flac"), (GOOD_NPY, "application/x-npy")]
    with ThreadPoolExecutor(AT_ONCE + len(good)) as pool:
        codes = {name: pool.submit(send, CORPUS[name]) for name in names}
        answers = [pool.submit(service.probabilities, *one) for one in good]
        for name, code in codes.items():
            assert code.result() in CORPUS[name].codes
        for answer in answers:
            np.testing.assert_allclose(answer.result(), service.good, atol=1e-6)


def test_nothing_of_it_was_a_fault_of_the_service(service: Service) -> None:
    lines = service.victim.log.read_text().splitlines()
    faults = [line for line in lines if '"fault"' in line or "Traceback" in line]
    assert faults == []
    assert service.plain_lines() == service.banner  # no decoder printed anything
    assert service.victim.process.is_alive()
