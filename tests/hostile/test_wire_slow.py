"""Hostile timing: bodies that drip, grow or stop, on a real server's sockets."""

import json
import socket
import time

import httpx
import pytest

from tests.support.victims import make_victim, running_victim

DEADLINE_S = 1.0


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    checkpoint = make_victim(folder / "victim")
    with running_victim(checkpoint, folder / "run", body_deadline_s=DEADLINE_S) as running:
        yield running


def connect(victim, *headers: str) -> socket.socket:
    host, port = victim.url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    head = [
        "POST /v1/classify HTTP/1.1",
        "host: victim",
        f"authorization: Bearer {victim.key}",
        "content-type: application/x-npy",
        "idempotency-key: slow-test-1",
        *headers,
    ]
    sock.sendall("\r\n".join([*head, "", ""]).encode())
    return sock


def read_problem(sock: socket.socket) -> dict[str, object]:
    data = b""
    while b"\r\n\r\n" not in data or not data.rstrip().endswith(b"}"):
        part = sock.recv(65_536)
        if not part:
            break
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return dict(json.loads(body))


def spent(victim) -> int:
    headers = {"authorization": f"Bearer {victim.key}"}
    return int(httpx.get(f"{victim.url}/v1/account", headers=headers).json()["spent"])


def test_a_dripping_body_is_cut_at_the_deadline_for_the_whole_body(victim):
    begun = time.monotonic()
    with connect(victim, "content-length: 100000") as sock:
        sock.settimeout(0.1)
        data = b""
        while not data and time.monotonic() - begun < 8:
            sock.sendall(b"x")
            try:
                data = sock.recv(65_536)
            except TimeoutError:
                continue
        assert b" 408 " in data.split(b"\r\n")[0]
        sock.settimeout(5)
        while part := sock.recv(65_536):  # the server closes the connection
            data += part
        assert b"slow-body" in data
    assert DEADLINE_S * 0.9 <= time.monotonic() - begun < DEADLINE_S + 3
    assert spent(victim) == 0


def test_a_declared_size_beyond_the_limit_is_refused_before_it_is_sent(victim):
    with connect(victim, "content-length: 1000000000000") as sock:
        assert read_problem(sock)["code"] == "too-large"


def test_a_chunked_body_that_grows_beyond_the_limit_is_cut(victim):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connect(victim, "transfer-encoding: chunked") as sock:
        try:
            for _ in range(200):  # 13 MB; the limit is 1 MB
                sock.sendall(chunk)
        except OSError:
            return  # cut in mid-body, which is as good
        assert read_problem(sock)["code"] == "too-large"


def test_clients_that_leave_in_the_middle_harm_nobody(victim):
    for _ in range(30):
        with connect(victim, "content-length: 100000") as sock:
            sock.sendall(b"x" * 500)
    assert httpx.get(f"{victim.url}/readyz").status_code == 200
    assert spent(victim) == 0


def test_slow_clients_do_not_hold_up_others(victim):
    slow = [connect(victim, "content-length: 100000") for _ in range(50)]
    try:
        begun = time.monotonic()
        assert httpx.get(f"{victim.url}/readyz").status_code == 200
        assert spent(victim) == 0
        assert time.monotonic() - begun < 2
    finally:
        for sock in slow:
            sock.close()
