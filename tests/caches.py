"""Real Redis and memcached servers for the tests, alone with their directory on a free port."""

import getpass
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import servers


@contextmanager
def redis_server(
    directory: Path, *options: str, port: int | None = None
) -> Iterator[tuple[int, servers.Server]]:
    """Run redis-server on loopback; yield its port and process."""
    port = port or servers.free_port()
    words = [*servers.program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    words += ["--dir", str(directory), "--save", "", "--unixsocket", str(directory / "redis.sock")]
    with servers.Server([*words, *options], log=directory / f"redis-{port}.log") as server:
        _wait(port, server, b"PING\r\n")
        yield port, server


@contextmanager
def memcached_server(
    directory: Path, *options: str, port: int | None = None
) -> Iterator[tuple[int, servers.Server]]:
    """Run memcached on loopback; yield its port and process."""
    port = port or servers.free_port()
    words = [
        *servers.program("memcached"),
        "-u",
        getpass.getuser(),
        "-l",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with servers.Server([*words, *options], log=directory / f"memcached-{port}.log") as server:
        _wait(port, server, b"version\r\n")
        yield port, server


def say(port: int, *lines: str) -> bytes:
    """Send Redis' or memcached's one-line commands and return what comes back, for setting up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


@contextmanager
def silent_server() -> Iterator[int]:
    """Take connections and never say a word; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _wait(port: int, server: servers.Server, greeting: bytes) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(greeting)
                if connection.recv(100):
                    return
        except OSError:
            if server.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(server.last_words()) from None
            time.sleep(0.02)


@contextmanager
def replaying(recording: Path) -> Iterator[int]:
    """Answer what was asked of a real server as it did; yield the port.

    recording: JSON of the raw answer to each command, byte for byte as latin-1.
    """
    answers = json.loads(recording.read_text())

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                words = [line.strip()]
                if line.startswith(b"*"):  # Redis' own protocol: number of words, then each
                    words = []
                    for _ in range(int(line[1:])):
                        length = int(self.rfile.readline()[1:])
                        words.append(self.rfile.read(length + 2)[:-2])
                self.wfile.write(answers[b" ".join(words).decode()].encode("latin-1"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
