"""The exporter's web server with a page of the test's own, and a client that hides nothing."""

import contextlib
import gzip
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from gnomon_exporter.page import State
from gnomon_exporter.server import Server

CONFIG = "collectors:\n  cpu: {}\n"


@dataclass
class Page:
    """A page that says what it was asked. gate: a scrape waits until it is set."""

    names: tuple[str, ...] = ("cpu", "loadavg", "meminfo")
    body: bytes = b"node_load1 0.5\n"
    gate: threading.Event | None = None
    is_ready: bool = True
    asked: list = field(default_factory=list)
    shown: tuple[State, ...] = (State("cpu", "CPU time", 0.002, True, None, 1_700_000_000.0),)
    targets: dict[str, list[str]] = field(default_factory=dict)

    def render(self, names, deadline):
        """Note what was asked and give the body."""
        self.asked.append((None if names is None else list(names), deadline - time.monotonic()))
        if self.gate is not None:
            self.gate.wait(60)
        return self.body

    def probe(self, collector, target, deadline):
        """Answer as a page of one collector; a target called "gone" has gone."""
        body = self.render([collector, target], deadline)
        return None if target == "gone" else body

    def states(self):
        """Give the states of the test."""
        return self.shown

    def ready(self):
        """Give what the test says."""
        return self.is_ready

    def config_text(self):
        """Give a constant."""
        return CONFIG


@contextlib.contextmanager
def serving(page=None, **keywords):
    """Run a server on a free port of 127.0.0.1."""
    keywords.setdefault("address", "127.0.0.1:0")
    server = Server(page or Page(), **keywords)
    server.start()
    try:
        yield server
    finally:
        server.close()


@dataclass
class Reply:
    """An answer as it came: header names in lower case, the body as sent."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        """The body, unpacked where it is packed."""
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()


class Client:
    """A keep-alive connection to the server."""

    def __init__(self, server, context=None, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        if context is not None:
            try:
                self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        """Send a text, or bytes, as it is."""
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def reply(self, method="GET"):
        """Read one answer; its method says whether a body comes."""
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read())

    def get(self, path="/metrics", method="GET", **headers):
        """Ask and read the answer; underscores in a header's name become hyphens."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]))
        return self.reply(method)

    def at_end(self):
        """Whether the server has closed the connection, waiting for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def get(server, path="/metrics", method="GET", context=None, **headers):
    """Ask once, on a connection of its own."""
    with Client(server, context) as client:
        return client.get(path, method, **headers)


def trusting(authority, certificate=None):
    """Return a client's context; certificate: paths of its own and of the key."""
    context = ssl.create_default_context(cadata=authority.pem)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def until(condition, seconds=25.0):
    """Wait for a condition; return whether it came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
