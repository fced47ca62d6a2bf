"""A TCP proxy that misbehaves when told: it cuts, delays, and resets after a request went through.

Threads, not asyncio: a test may run any loop, or none, beside it.
"""

import contextlib
import socket
import struct
import threading
import time

_CHUNK = 1 << 16
_POLL_S = 0.05


class TcpProxy:
    """Listens on a free loopback port and forwards to ``port`` of this machine."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        """Time by which every chunk is late, both ways; at 0 what was held back arrives at once."""
        self.resets = 0
        """How many answers are still to be swallowed: each takes its connection with it."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._cut = False
        self._listen()

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        self.cut()

    def cut(self) -> None:
        """Refuse new connections and reset all that there are."""
        self._cut = True
        self._listener.close()
        self._accepting.join()  # until then the port is not free
        with self._lock:
            everything, self._open = self._open, set()
        for sock in everything:
            _reset(sock)

    def restore(self) -> None:
        """End a cut."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._cut = False
        self._listen()

    def drop_all(self) -> None:
        """Reset all connections; new ones are welcome."""
        self.cut()
        self.restore()

    def _listen(self) -> None:
        self._listener.settimeout(_POLL_S)
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                _reset(client)
                continue
            for sock in (client, server):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            if self._cut:  # meanwhile
                self._drop(client, server)
                continue
            for pump in (self._forward, self._answer):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(_CHUNK):
                self._wait()
                server.sendall(chunk)
        self._drop(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(_CHUNK):
                with self._lock:
                    swallow = self.resets > 0
                    self.resets -= swallow
                if swallow:  # Redis did as it was asked, and nobody will hear of it
                    break
                self._wait()
                client.sendall(chunk)
        self._drop(client, server)

    def _wait(self) -> None:
        begun = time.monotonic()
        while not self._closed and time.monotonic() < begun + self.delay_s:
            time.sleep(_POLL_S)

    def _drop(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open -= set(sockets)
        for sock in sockets:
            _reset(sock)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads
    sock.close()
