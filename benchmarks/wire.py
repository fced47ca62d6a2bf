"""The wire without the model: the real service on SQLite, whose model answers at once.

4 clients in closed loop, 64 ``desk`` clips (4,096 int16 samples) a request as npy, npy back. Limit:
20,000 clips/s in batches of 64. One clip a request from 32 clients is told without a limit, and so
is what the client itself can do: the rate against a bare server that reads and answers 200.
"""

import asyncio
import contextlib
import multiprocessing
import socket
import sys
from collections.abc import Iterator

import httptools

from benchmarks.forward import SPEAKERS
from benchmarks.http_path import BATCHES, SINGLES, checked, name_of
from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.raw_client import Connection, closed_loop, run
from benchmarks.support.report import Figure, Report
from benchmarks.support.servers import earshot, warm_up

LIMIT = 20_000


def main() -> int:
    """Print the figures; return 1 where the limit is missed."""
    options = report.arguments(__doc__).parse_args()
    stop_on_sigterm()
    result = Report("wire")
    null = ("benchmarks.support.null_server", "serve", "none")
    with (
        scratch() as folder,
        earshot(folder, command=null) as server,
        bare_server() as bare,
    ):
        warm_up(server, [BATCHES, SINGLES])
        for _ in range(options.rounds):
            row = {}
            for load in (BATCHES, SINGLES):
                row[name_of(load)] = checked(server.load(*load, options.seconds)).clips_per_s
            clients, clips = BATCHES
            loop = closed_loop(
                bare, server.make(clips), clients=clients, clips=clips, seconds=options.seconds / 4
            )
            row["bare"] = checked(run(loop)).clips_per_s
            result.rounds.append(row)
            print(", ".join(f"{name} {rate:,.0f}" for name, rate in row.items()), flush=True)
    rates = {name: [row[name] for row in result.rounds] for name in result.rounds[0]}
    batches, singles = name_of(BATCHES), name_of(SINGLES)
    result.figures = [
        Figure(f"wire, {batches}", rates[batches], LIMIT, unit="clips/s"),
        Figure(f"wire, {singles}", rates[singles], unit="clips/s"),
        Figure(
            f"wire / a bare server that only reads, {batches}",
            [row[batches] / row["bare"] for row in result.rounds],
        ),
    ]
    return result.finish(no_limit=options.no_limit)


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    """Yield the URL of a process that reads requests and answers as many bytes as we do."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        process = multiprocessing.get_context("spawn").Process(
            target=serve_bare, args=(sock,), daemon=True
        )
        process.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        run(first_answer(url))
        yield url
    finally:
        process.terminate()
        process.join()


async def first_answer(url: str) -> None:
    """Return when a server that is starting has answered."""
    async with Connection(url) as connection:
        await connection.get(url, "/")


def serve_bare(sock: socket.socket) -> None:
    """Answer every request on ``sock``, for ever."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Bare, sock=sock)
        await server.serve_forever()

    run(forever())


class _Bare(asyncio.Protocol):
    _BODY = bytes(64 * SPEAKERS * 4)
    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self._ANSWER)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
