"""The routes, and who may use them: every one is behind the users, as in exporter-toolkit."""

import base64
import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from gnomon_exporter import __version__, landing
from gnomon_exporter.connection import HEAD_LIMIT, Connection
from gnomon_exporter.encoding import accepts_gzip
from gnomon_exporter.exposition import CONTENT_TYPE
from gnomon_exporter.passwords import Busy

if TYPE_CHECKING:
    from gnomon_exporter.server import Server

log = logging.getLogger(__name__)

#: Seconds that a scrape may take when the client does not say how long it waits.
DEADLINE = 9.5
# What Prometheus needs beside the scrape itself, of the seconds that it says it waits.
_MARGIN = 0.5
_LONGEST = 3600.0

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
# Fits into one packet as it is.
_SMALL = 1400
# The landing page brings its style and icon along; nothing else is loaded, and nothing runs.
_LANDING_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets. body: None where a HEAD spared the work of making it."""

    body: bytes | None
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server: "Server"
    request: Connection

    def setup(self) -> None:
        """Read from the connection, whose deadlines hold."""
        self.rfile = self.request.reader
        self._first = True
        self._web_headers: Mapping[str, str] = {}
        self.command = ""

    def finish(self) -> None:
        """Leave the connection to the server, which closes it."""

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        client = self.request
        client.expect(first=self._first)
        self._first = False
        self.close_connection = True
        self._web_headers = self.server.web.config().headers
        self.command = ""
        try:
            self.raw_requestline = self.rfile.readline(HEAD_LIMIT + 1)
            if not self.raw_requestline or not self.parse_request():
                return
        except LineTooLong:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return
        except TimeoutError:
            if client.amid_head:
                self.send_error(HTTPStatus.REQUEST_TIMEOUT)
            return
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            # Nobody reads the body, so nothing that follows it can be told from it.
            self.close_connection = client.unread = True
        with client.working():
            head, body = self._written(self._answer(time.monotonic()))
        client.send(head + body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request in the same plain words as everything else, and hang up."""
        status = HTTPStatus(code)
        self.close_connection = self.request.unread = True
        # The library repeats what it could not read, however long that is.
        text = f"{status.phrase}: {(message or explain or status.description)[:150]}\n"
        head, body = self._written(Answer(text.encode("utf-8", "replace"), status))
        self.request.send(head + body)

    def handle_expect_100(self) -> bool:
        """Say nothing: no body is read, and the answer comes at once."""
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Log nothing of the library's own."""

    def _answer(self, received: float) -> Answer:
        web = self.server.web
        self._web_headers = web.config().headers
        if wait := web.limiter.wait():
            after = {"Retry-After": str(math.ceil(wait))}
            return _refusal(HTTPStatus.TOO_MANY_REQUESTS, "more requests than permitted", after)
        if web.passwords and (refusal := self._refused()):
            return refusal
        try:
            target = urlsplit(self.path)
        except ValueError:
            return _refusal(HTTPStatus.BAD_REQUEST, "the address cannot be read")
        if target.path not in _ROUTES:
            known_routes = ", ".join(sorted(_ROUTES))
            return _refusal(HTTPStatus.NOT_FOUND, f"there are {known_routes}")
        if self.command not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD are", allow)
        return _ROUTES[target.path](self, target.query, received)

    def _refused(self) -> Answer | None:
        """Return what someone gets who may not come in; None for a user with their password."""
        credentials = _credentials(self.headers.get("Authorization", ""))
        try:
            if credentials and self.server.web.passwords.check(*credentials):
                return None
        except Busy:
            text = "too many passwords are being checked"
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "1"})
        ask = {"WWW-Authenticate": 'Basic realm="gnomon-exporter", charset="UTF-8"'}
        return _refusal(HTTPStatus.UNAUTHORIZED, "a user and password are needed", ask)

    def _metrics(self, query: str, received: float) -> Answer:
        page = self.server.page
        try:
            names = _chosen(query, page.names)
        except ValueError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        return self._scraped(partial(page.render, names), received)

    def _probe(self, query: str, received: float) -> Answer:
        page = self.server.page
        try:
            collector, target = _asked(query)
        except ValueError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        targets = page.targets.get(collector, ())
        if target not in targets:
            return _refusal(HTTPStatus.NOT_FOUND, _no_target(collector, target, targets))
        return self._scraped(partial(page.probe, collector, target), received)

    def _scraped(self, render: Callable[[float], bytes | None], received: float) -> Answer:
        """Answer with a page, which is rendered by a deadline unless too many are already."""
        if self.command == "HEAD":
            return Answer(None, content_type=CONTENT_TYPE)
        slots = self.server.scrapes
        if slots is not None and not slots.acquire(blocking=False):
            text = f"{self.server.max_scrapes} scrapes are under way, which is the limit"
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "1"})
        try:
            patience = _patience(self.headers.get("X-Prometheus-Scrape-Timeout-Seconds"))
            body = render(received + patience)
        finally:
            if slots is not None:
                slots.release()
        if body is None:  # a new configuration came in between
            return _refusal(HTTPStatus.NOT_FOUND, "the target is no longer configured")
        return Answer(body, content_type=CONTENT_TYPE)

    def _landing(self, _query: str, _received: float) -> Answer:
        server = self.server
        notes = list(server.notes())
        if server.web.problem:
            notes.append(f"The web configuration on disk is not in force. {server.web.problem}")
        html = landing.page(
            server.page.states(),
            host=os.uname().nodename,
            version=__version__,
            notes=notes,
            now=time.time(),
        )
        return Answer(html, content_type=_HTML, headers=_LANDING_HEADERS)

    def _config(self, _query: str, _received: float) -> Answer:
        text = self.server.page.config_text().encode("utf-8", "replace")
        return Answer(text, headers={"Cache-Control": "no-store"})

    def _healthy(self, _query: str, _received: float) -> Answer:
        return Answer(b"healthy\n")

    def _ready(self, _query: str, _received: float) -> Answer:
        if self.server.page.ready():
            return Answer(b"ready\n")
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not ready", {"Retry-After": "1"})

    def _written(self, answer: Answer) -> tuple[bytes, bytes]:
        """Return the answer's head and body as they go over the wire."""
        if self.server.closing:
            self.close_connection = True
        body = answer.body
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Type": answer.content_type,
            "X-Content-Type-Options": "nosniff",
            **answer.headers,
            **self._web_headers,
        }
        if body is None or len(body) > _SMALL:
            headers["Vary"] = "Accept-Encoding"
        if body is not None:
            if len(body) > _SMALL and accepts_gzip(self.headers.get("Accept-Encoding", "")):
                # The lowest level: a page shrinks to a tenth, the next levels gain little more.
                body = zlib.compress(body, 1, wbits=31)
                headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
        if self.close_connection:
            headers["Connection"] = "close"
        elif self.request_version == "HTTP/1.0":
            headers["Connection"] = "keep-alive"
        lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return head, b"" if body is None or self.command == "HEAD" else body


_ROUTES = {
    "/": Handler._landing,  # noqa: SLF001  # its own
    "/metrics": Handler._metrics,  # noqa: SLF001
    "/probe": Handler._probe,  # noqa: SLF001
    "/config": Handler._config,  # noqa: SLF001
    "/-/healthy": Handler._healthy,  # noqa: SLF001
    "/-/ready": Handler._ready,  # noqa: SLF001
}


def _refusal(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = f"{status.phrase}: {text}.\n".encode("utf-8", "replace")
    return Answer(body, status, headers=headers or {})


def _chosen(query: str, on: Sequence[str]) -> Sequence[str] | None:
    """Return the collectors that a query asks for, None for all.

    As in node_exporter, ``collect[]`` names the wanted ones, ``exclude[]`` the unwanted ones,
    which need not be on. Raises ValueError.
    """
    if not query:
        return None
    fields = parse_qs(query, keep_blank_values=True, max_num_fields=1000)
    wanted, unwanted = fields.get("collect[]", []), fields.get("exclude[]", [])
    if wanted and unwanted:
        raise ValueError("collect[] and exclude[] cannot be combined")
    for name in wanted:
        if name not in on:
            raise ValueError(f"no collector {name[:80]!r} is on; on are {', '.join(on)}")
    if wanted:
        return [name for name in on if name in wanted]
    return [name for name in on if name not in unwanted] if unwanted else None


def _asked(query: str) -> tuple[str, str]:
    """Return the collector and the target that a probe names. Raises ValueError."""
    fields = parse_qs(query, keep_blank_values=True, max_num_fields=10)
    for field_name in fields:
        if field_name not in ("collector", "target"):
            text = f"a probe has no parameter {field_name[:80]!r}, only collector and target"
            raise ValueError(text)
    found = []
    for field_name in ("collector", "target"):
        values = fields.get(field_name, [])
        if len(values) != 1 or not values[0]:
            text = f"a probe names one {field_name}: /probe?collector=redis&target=NAME"
            raise ValueError(text)
        found.append(values[0])
    return found[0], found[1]


def _no_target(collector: str, target: str, configured: Sequence[str]) -> str:
    """Return why there is no such target, with the names that there are."""
    what = f"no target {target[:80]!r} of {collector[:80]!r} is configured"
    if not configured:
        return f"{what}; exporter.yml names them, under collectors and targets"
    more = f" and {len(configured) - 20} more" if len(configured) > 20 else ""
    return f"{what}; configured are {', '.join(configured[:20])}{more}"


def _patience(header: str | None) -> float:
    """Return the seconds that a scrape may take for a client that waits so long."""
    try:
        seconds = float(header or "")
    except ValueError:
        return DEADLINE
    if not 0 < seconds <= _LONGEST:
        return DEADLINE
    return max(seconds - _MARGIN, seconds / 2)


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    """Return user and password of an Authorization header; None where it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None
