"""``earshot-victim top``: how a frame looks, and where it comes from."""

import asyncio
import contextlib
import http.server
import io
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from rich.console import Console

from shared.contract import AccountList, AccountUsage, KeyInfo, KeyUsage
from tests.support.apps import PLANS, Shop, open_shop
from tests.support.keys import add_key
from victim_service import __main__ as cli
from victim_service.commands import top as command
from victim_service.errors import Refusal, StartError
from victim_service.ledger.base import Budget, Query, key_subject
from victim_service.ledger.sqlite import SqliteLedger
from victim_service.top.frame import Frame, Service
from victim_service.top.ledger_source import LedgerSource
from victim_service.top.metrics_page import Latency, read_metrics
from victim_service.top.service_source import ServiceSource
from victim_service.top.sources import Sources
from victim_service.top.view import money, rate, short, view

NOW = 1_800_000_000.0
COLUMNS = "account keys plan spent left cost clips/s refused last".split()


def usage(account="alice", **fields):
    """An account with one key; ``plans`` and ``scope`` make its keys."""
    plans, scope = fields.pop("plans", ("soft",)), fields.pop("scope", "query")
    state = fields.pop("state", "valid")
    keys = [
        KeyUsage(
            info=KeyInfo(
                key_id=f"{number:012x}",
                account=account,
                plan=plan,
                scope=scope,
                budget=None,
                issued_at=NOW,
                state=state,
            ),
            spent=0,
            queries=0,
            audited=0,
            cost=0.0,
            budget=100,
            remaining=100,
            last_at=None,
        )
        for number, plan in enumerate(plans)
    ]
    numbers = {"spent": 0, "queries": 0, "audited": 0, "cost": 0.0, "budget": 100}
    more = {"remaining": 100, "last_at": None, "keys": keys} | fields
    return AccountUsage(account=account, **(numbers | more))


def told(*accounts):
    """The body of ``GET /v1/admin/accounts``."""
    return AccountList(accounts=list(accounts)).model_dump_json().encode()


def busy_frame(count=3):
    accounts = [
        usage("alice", spent=12, remaining=88, clips_per_s=3.25, last_at=NOW - 4),
        usage(
            "a-very-long-name-of-a-team-at-a-university",
            plans=("a-plan-with-a-very-long-name", "soft", "hard"),
            spent=98_765_432,
            cost=98_765_432.1,
            budget=2**53,
            remaining=2**53 - 98_765_432,
            clips_per_s=123_456.7,
            refusals={"rate-limited": 1_234_567, "budget-exhausted": 89, "too-large": 2},
            last_at=NOW - 100_000,
        ),
        usage("lab", plans=("audit",), scope="audit", audited=5000, budget=None, remaining=None),
        *(usage(f"idle-{number:03d}") for number in range(count - 3)),
    ]
    services = [Service("http://127.0.0.1:8765", "ready", 4096, 0.0123, 1.5)]
    return Frame(NOW, "http://127.0.0.1:8765", accounts, services)


def shown(frame, width=100, height=None):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(view(frame, height))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def row(lines, account):
    (line,) = [line for line in lines if line.startswith(account)]
    return line


def test_a_hundred_columns_show_everything_and_long_names_are_cut():
    lines = shown(busy_frame())
    assert max(map(len, lines)) <= 100
    (header,) = [line for line in lines if line.startswith("account")]
    assert header.split() == COLUMNS
    long = row(lines, "a-very-long")
    assert long.split()[0] == "a-very-long-name-…"
    for part in ("98.77M", "98.77M", "123,457", "rate 1.235M", "28 h"):
        assert part in long
    alice = row(lines, "alice")
    assert re.search(r" 1 soft +12 ███████░ +88 +0\.00 +3\.2 +4 s$", alice), alice
    assert "5,000 audited" in row(lines, "lab")
    assert "never" in row(lines, "lab")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width):
    frame = busy_frame(40)
    for trouble in ("", "no victim answers at http://127.0.0.1:8765. " * 5):
        lines = shown(Frame(NOW, frame.origin, frame.accounts, frame.services, trouble), width)
        assert max(map(len, lines)) <= width
        assert len(lines) == 40 + 5 + bool(trouble)  # nothing wraps


@pytest.mark.parametrize("height", [1, 8, 24, 45, 100])
def test_a_frame_fits_the_terminal_and_says_what_it_leaves_out(height):
    lines = shown(busy_frame(40), height=height)
    assert len(lines) <= max(height, 7)
    left_out = 40 - sum(bool(re.match(r"(alice|lab|a-very|idle)", line)) for line in lines)
    assert lines[-1].startswith(f"and {left_out} more") == (left_out > 0)


def test_the_busiest_come_first_then_those_that_bought_most():
    accounts = [
        usage("idle"),
        usage("rich", spent=900),
        usage("slow", clips_per_s=1.0, spent=5000),
        usage("fast", clips_per_s=80.0),
    ]
    assert [one.account for one in Frame(NOW, "", accounts).ranked] == [
        "fast",
        "slow",
        "rich",
        "idle",
    ]


@pytest.mark.parametrize(
    ("budget", "remaining", "bar"),
    [
        (100, 100, "████████"),
        (100, 50, "████░░░░"),
        (100_000, 1, "█░░░░░░░"),
        (100, 0, "░░░░░░░░"),
        (0, 0, "░░░░░░░░"),
        (10, 25, "████████"),
    ],
)
def test_the_bar_shows_what_is_left(budget, remaining, bar):
    lines = shown(Frame(NOW, "", [usage(budget=budget, remaining=remaining)]))
    assert f"{bar} {remaining:>7,}" in row(lines, "alice")


def test_what_is_not_known_is_not_made_up():
    frame = Frame(NOW, "sqlite:///x", [usage(budget=None, remaining=None)])
    lines = shown(frame)
    assert "no limit" in row(lines, "alice")
    assert " - " in row(lines, "alice")  # no rate after one look at a ledger
    assert "refused" not in "".join(lines)  # a ledger keeps no refusals
    assert "No keys yet" in "".join(shown(Frame(NOW, "", [])))


def test_what_a_service_says_cannot_steer_the_terminal():
    evil = "[bold]x[/]\x1b[2J\x07"
    account = usage(evil, plans=(evil,), refusals={evil: 1})
    lines = shown(Frame(NOW, evil, [account], [Service(evil, evil)], evil), width=160)
    assert not [char for line in lines for char in line if not char.isprintable()]
    assert "".join(lines).count("[bold]x[/]?[2J?") >= 5


def test_numbers_stay_as_wide_as_their_columns():
    for power in range(17):
        for number in (10**power, 10**power - 1, 9.99 * 10**power, 3 * 10**power + 0.4):
            assert len(short(number)) <= 7, number
            assert len(rate(number)) <= 7, number
            assert len(money(number)) <= 10, number
    assert [rate(value) for value in (None, 0, 0.04, 9.96, 12.3)] == ["-", "0", "0.0", "10.0", "12"]
    assert [short(value) for value in (0, 999_999, 1e6, 1.5e9)] == ["0", "999,999", "1M", "1.5G"]


async def buy(ledger, key_id, clips, account="alice"):
    budget = (Budget(key_subject(key_id), 10_000),)
    name = f"test-{clips}-{await ledger.now()}"
    query = Query(account, key_id, "soft", name, b"x", clips, budget)
    await ledger.commit(query, await ledger.reserve(query, 30))


def test_a_ledger_tells_spend_and_rates_from_differences(tmp_path):
    path = tmp_path / "ledger.sqlite"
    key_id = add_key(path, "alice", budget=1000).split("_")[1]
    plans = {"soft": PLANS["soft"].model_copy(update={"price_per_clip": 0.5})}

    async def story():
        ledger = SqliteLedger(path, timeout_s=10)
        source = LedgerSource(ledger, "redis://:secret@127.0.0.1:6379/0", plans, None)
        try:
            await buy(ledger, key_id, 100)
            first = await source.read()
            await buy(ledger, key_id, 50)
            await asyncio.sleep(0.25)
            return first, await source.read()
        finally:
            await ledger.aclose()

    first, second = asyncio.run(story())
    assert first.origin == "redis://127.0.0.1:6379/0"
    (before,), (after,) = first.accounts, second.accounts
    assert (before.spent, before.remaining, before.cost, before.clips_per_s) == (100, 900, 50, None)
    assert (after.spent, after.remaining, after.cost) == (150, 850, 75)
    assert 50 < after.clips_per_s <= 200
    assert after.last_at == pytest.approx(second.at, abs=5)


@contextlib.asynccontextmanager
async def served(shop: Shop) -> AsyncIterator[str]:
    """Serve the shop's application on a real port."""
    app = shop.client._transport.app  # type: ignore[attr-defined]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def play(folder: Path, story, **options) -> None:
    async def main() -> None:
        async with open_shop(folder, **options) as shop, served(shop) as url:
            await asyncio.wait_for(story(shop, url), 30)

    asyncio.run(main())


def test_a_service_tells_rates_refusals_and_how_it_is(tmp_path):
    async def story(shop, url):
        key, admin = await shop.key(budget=20), await shop.key(scope="admin", account="operator")
        for clips in (10, 6, 9):  # the last is refused
            await shop.send(key, clips)
        source = ServiceSource(url + "/", admin)
        reply = await asyncio.to_thread(source.read)
        alice = reply.accounts[0]
        assert (alice.account, alice.spent, alice.remaining) == ("alice", 16, 4)
        assert alice.refusals == {"budget-exhausted": 1}
        assert alice.clips_per_s > 0
        assert reply.at == pytest.approx(await shop.ledger.now(), abs=5)
        service = reply.service
        assert (service.url, service.state, service.queue_clips) == (url, "ready", 0)
        assert 0 < service.p50_s <= service.p99_s
        assert service.refused == 1
        shop.parts.draining = True
        assert (await asyncio.to_thread(source.read)).service.state == "draining"

    play(tmp_path, story)


def test_wrong_keys_and_a_lost_ledger_end_in_a_line_that_says_what_to_do(tmp_path, monkeypatch):
    async def story(shop, url):
        async def error(key):
            with pytest.raises(StartError) as caught:
                await asyncio.to_thread(ServiceSource(url, key).read)
            assert key not in str(caught.value)
            return str(caught.value)

        query, admin = await shop.key(), await shop.key(scope="admin")
        assert "--scope admin" in await error(query)
        assert "no scope admin" in await error(query)
        assert "does not know this key" in await error("lab_nonsense")

        async def gone():
            raise Refusal("ledger-unreachable")

        monkeypatch.setattr(shop.ledger, "spend", gone)
        assert "ledger-unreachable" in await error(admin)

    play(tmp_path, story)


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers everything alike, and remembers who asked."""

    status, body, headers_out, asked = 200, b"{}", {}, []

    def do_GET(self):
        type(self).asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        """Be quiet."""


@contextlib.contextmanager
def stub(status=200, body=b"{}", headers=None) -> Iterator[tuple[str, list]]:
    kind = type(
        "Answer",
        (Stub,),
        {"status": status, "body": body, "headers_out": headers or {}, "asked": []},
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", kind.asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b'{"accounts": 5}'), (404, b""), (500, b"x"), (204, b"")],
)
def test_what_is_no_victim_is_told_so(status, body):
    with stub(status, body) as (url, _), pytest.raises(StartError, match=r"no victim.*Mend --url"):
        ServiceSource(url, "key").read()


def test_the_key_goes_nowhere_but_where_the_operator_said(monkeypatch):
    with stub() as (elsewhere, seen), stub(302, b"", {"Location": elsewhere}) as (url, asked):
        monkeypatch.setenv("http_proxy", elsewhere)
        with pytest.raises(StartError, match="no victim"):
            ServiceSource(url, "key").read()
    assert asked == [("/v1/admin/accounts", "Bearer key")]
    assert seen == []


def test_a_page_of_metrics_that_cannot_be_read_does_not_matter():
    with stub(200, b'{"accounts": []}') as (url, _):
        service = ServiceSource(url, "key").read().service
    assert (service.state, service.queue_clips, service.p50_s) == ("ready", None, None)


def test_a_service_that_is_not_up_is_told_so():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with pytest.raises(StartError, match="earshot-victim serve"):
        ServiceSource(url, "key").read()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8765", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(StartError, match="--url"):
        ServiceSource(url, "key")


def test_replicas_are_added_up_and_one_that_is_down_is_shown_as_such(tmp_path):
    body = told(usage(spent=7, clips_per_s=2.5, refusals={"rate-limited": 3}))

    async def story(down):
        with stub(200, body) as (one, _), stub(200, body) as (two, _):
            sources = Sources(None, [ServiceSource(url, "key") for url in (one, two, down)])
            return one, await sources.read()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        down = f"http://127.0.0.1:{sock.getsockname()[1]}"
    one, frame = asyncio.run(story(down))
    (alice,) = frame.accounts
    assert (alice.spent, alice.clips_per_s, alice.refusals) == (7, 5.0, {"rate-limited": 6})
    assert [service.state for service in frame.services] == ["ready", "ready", "does not answer"]
    assert frame.origin == one
    assert down in frame.trouble
    with pytest.raises(StartError, match="no victim answers"):
        asyncio.run(Sources(None, [ServiceSource(down, "key")]).read())


def test_with_a_ledger_and_a_service_the_spend_is_the_ledgers(tmp_path):
    path = tmp_path / "ledger.sqlite"
    key_id = add_key(path, "alice").split("_")[1]
    body = told(usage(spent=7, clips_per_s=2.5, refusals={"rate-limited": 3}))

    async def story(url):
        ledger = SqliteLedger(path, timeout_s=10)
        try:
            await buy(ledger, key_id, 30)
            source = LedgerSource(ledger, "sqlite:///x", {}, None)
            return await Sources(source, [ServiceSource(url, "key")]).read()
        finally:
            await ledger.aclose()

    with stub(200, body) as (url, _):
        frame = asyncio.run(story(url))
    (alice,) = frame.accounts
    assert (alice.spent, alice.clips_per_s, alice.refusals) == (30, 2.5, {"rate-limited": 3})
    assert frame.origin == "sqlite:///x"


def test_an_old_frame_says_why_it_is_old():
    async def story():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            down = f"http://127.0.0.1:{sock.getsockname()[1]}"
        return await command._next(Sources(None, [ServiceSource(down, "key")]), busy_frame())

    frame = asyncio.run(story())
    assert frame.at == NOW
    assert frame.trouble.startswith("Stale: no victim answers")
    assert [service.state for service in frame.services] == ["not read"]


def test_live_frames_are_drawn_over_one_another_on_a_screen_that_is_given_back(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, height=24)
    monkeypatch.setattr(command, "console", terminal)

    class Frames:
        reads = 0

        async def read(self):
            self.reads += 1
            if self.reads == 3:
                raise Refusal("ledger-unreachable")
            return busy_frame(40)

    async def story():
        task = asyncio.create_task(command._show(Frames(), 0.05))
        while "Stale: ledger-unreachable" not in out.getvalue():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # and it goes on
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(story(), 20))
    drawn = out.getvalue()
    assert drawn.count("\x1b[?1049h") == drawn.count("\x1b[?1049l") == 1
    assert drawn.rindex("\x1b[?1049l") > drawn.rindex("alice")
    assert "\x1b[2J" not in drawn  # nothing is cleared, so nothing flickers
    assert drawn.count("Earshot victim") >= 4
    assert drawn.rindex("alice") > drawn.rindex("Stale")


PAGE = """# TYPE victim_queue_clips gauge
victim_queue_clips 12.0
# TYPE victim_refusals counter
victim_refusals_total{code="queue-full"} 7.0
victim_refusals_total{code="invalid-key"} 2.0
# TYPE victim_request_seconds histogram
victim_request_seconds_bucket{le="0.01"} 50.0
victim_request_seconds_bucket{le="0.1"} 90.0
victim_request_seconds_bucket{le="+Inf"} 100.0
victim_request_seconds_count 100.0
victim_request_seconds_sum 3.0
"""


def test_quantiles_come_from_the_latest_requests():
    queue, refused, buckets = read_metrics(PAGE)
    assert (queue, refused, buckets) == (12, 9, {0.01: 50, 0.1: 90, float("inf"): 100})
    latency = Latency()
    assert latency.quantile(0.5) is None
    latency.add(buckets)
    assert latency.quantile(0.5) == pytest.approx(0.01)
    assert latency.quantile(0.7) == pytest.approx(0.055)
    assert latency.quantile(0.99) == 0.1  # the last bucket has no end
    later = {0.01: 50.0, 0.1: 190.0, float("inf"): 200.0}
    latency.add(later)  # 100 requests, all of them slower than 10 ms
    assert latency.quantile(0.5) == pytest.approx(0.055)
    latency.add({0.01: 10.0, 0.1: 10.0, float("inf"): 10.0})  # started again
    assert latency.quantile(0.5) == pytest.approx(0.005)
    for _ in range(11):
        latency.add({0.01: 10.0, 0.1: 10.0, float("inf"): 10.0})
    assert latency.quantile(0.5) is None  # nothing was asked lately


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run ``top`` with words; return (exit status, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr("sys.argv", ["earshot-victim", "top", *map(str, words)])
        monkeypatch.setattr(command.console, "width", 100)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return call


def test_once_prints_a_frame_of_a_ledger_and_ends(run, tmp_path):
    path = tmp_path / "ledger.sqlite"
    add_key(path, "alice", budget=77)
    status, out, err = run("--once", "--ledger", f"sqlite:///{path}", "--every", 0.1)
    assert (status, err) == (0, "")
    alice = row(out.splitlines(), "alice")
    assert "77" in alice
    assert re.search(r"0\.00 +0 +never *$", alice)  # read twice, so that there is a rate
    assert run("--ledger", f"sqlite:///{path}", "--every", 0.1)[1].count("alice") == 1  # no tty


def test_once_prints_a_frame_of_a_service_and_never_the_key(run, tmp_path, monkeypatch):
    key = "lab_0123456789ab_secret"
    body = told(usage("zoe", clips_per_s=2.5))
    monkeypatch.setenv("VICTIM_LEDGER", f"sqlite:///{tmp_path / 'none.sqlite'}")
    with stub(200, body) as (url, asked):
        key_file = tmp_path / "admin.key"
        key_file.write_text(key + "\n")
        by_file = run("--once", "--url", url, "--key-file", key_file)
        monkeypatch.setenv("VICTIM_ADMIN_KEY", key)
        by_setting = run("--once", "--url", url)
    for status, out, err in (by_file, by_setting):
        assert (status, err) == (0, "")
        assert "zoe" in out
        assert "secret" not in out
    assert [who for path, who in asked if "admin" in path] == [f"Bearer {key}"] * 2
    assert {who for path, who in asked if "admin" not in path} == {None}
    assert not (tmp_path / "none.sqlite").exists()


def test_what_cannot_be_watched_ends_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.delenv("VICTIM_ADMIN_KEY", raising=False)
    good, bad = tmp_path / "good.key", tmp_path / "bad.key"
    good.write_text("lab_0123456789ab_secret")
    bad.write_text("two\nlines")
    cases = [
        (("--ledger", "sqlite:///none/l.sqlite"), "no such file"),
        (("--url", "http://127.0.0.1:9"), "VICTIM_ADMIN_KEY"),
        (("--url", "http://127.0.0.1:9", "--key-file", tmp_path / "none"), "No such file"),
        (("--url", "http://127.0.0.1:9", "--key-file", bad), "no key"),
        (("--url", "127.0.0.1:9", "--key-file", good), "--url"),
        (("--url", "http://127.0.0.1:9", "--key-file", good), "no victim answers"),
    ]
    for words, message in cases:
        status, out, err = run("--once", *words)
        assert (status, out) == (1, ""), words
        assert message in err
        assert len(err.strip().splitlines()) == 1
        assert "secret" not in err


def test_the_rung_is_shown_where_an_account_has_one():
    assert "rung" not in "".join(shown(Frame(NOW, "x", [usage("alice"), usage("bob")])))
    lines = shown(Frame(NOW, "x", [usage("alice", rung=2, alarms=1), usage("bob")]))
    header, alice, bob = (row(lines, name) for name in ("account", "alice", "bob"))
    end = header.index("rung") + len("rung")
    assert alice[:end].endswith("2!")
    assert bob[:end].endswith(" 0")


@pytest.mark.parametrize("width", [80, 100])
def test_the_headers_of_short_columns_are_never_cut(width):
    frame = busy_frame()
    climbed = [one.model_copy(update={"rung": 3, "alarms": 1}) for one in frame.accounts]
    lines = shown(Frame(NOW, frame.origin, climbed, frame.services), width)
    assert max(map(len, lines)) <= width
    (header,) = [line for line in lines if line.startswith("account")]
    assert {"account", "keys", "plan", "rung", "spent", "left"} <= set(header.split())
    assert "3!" in row(lines, "alice").split()


def test_the_rung_comes_from_the_ledger(tmp_path):
    async def story() -> Frame:
        async with open_shop(tmp_path) as shop:
            await shop.key()
            await shop.key(account="bob")
            await shop.ledger.set_account_state("alice", '{"rung":3,"alarms":1}')
            await shop.ledger.set_account_state("bob", "of another release")
            return await LedgerSource(shop.ledger, "x", PLANS, None).read()

    rungs = {one.account: (one.rung, one.alarms) for one in asyncio.run(story()).accounts}
    assert rungs == {"alice": (3, 1), "bob": (0, 0)}
