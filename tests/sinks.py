"""Where messages arrive in the tests: a mail server and a webhook receiver, both real."""

import email
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from servers import free_port


class Mails:
    """A mail server on loopback, which keeps what it is sent and who logged in."""

    def __init__(self, *, password: str = "") -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.logins: list[tuple[str, str]] = []
        self._password = password
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            authenticator=self._login,
            auth_require_tls=False,
            auth_exclude_mechanism=["LOGIN"],
        )

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        found = email.message_from_bytes(cast("bytes", envelope.content), policy=policy.default)
        self.mails.append(cast("EmailMessage", found))
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        """Return the mails to an address, in the order they came."""
        return [mail for mail in list(self.mails) if address in str(mail["To"])]

    def _login(
        self, _: SMTP, __: Session, ___: Envelope, ____: str, said: LoginPassword
    ) -> AuthResult:
        name, password = said.login.decode(), said.password.decode()
        self.logins.append((name, password))
        return AuthResult(success=self._password in {"", password})

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Listen no longer."""
        self._controller.stop()


@contextmanager
def mail_server(*, password: str = "") -> Iterator[Mails]:
    """Run a mail server while the block does. password: it takes a login with no other."""
    server = Mails(password=password)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Webhooks(http.server.ThreadingHTTPServer):
    """A web server on loopback that keeps what is posted to each of its paths.

    status: what it answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.posted: list[tuple[str, Any]] = []
        self.tokens: list[str] = []
        self.status = 200

    def url(self, path: str = "/") -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def at(self, path: str = "/") -> list[Any]:
        """Return what was posted to a path, in the order it came."""
        return [body for where, body in list(self.posted) if where == path]

    def alerts(self, path: str = "/") -> list[dict[str, Any]]:
        """Return the alerts in what was posted to a path."""
        return [alert for message in self.at(path) for alert in message["alerts"]]


class _Keep(http.server.BaseHTTPRequestHandler):
    server: Webhooks

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, body))
        self.server.tokens.append(self.headers.get("Authorization", ""))
        answer = b"ok"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def webhook_server() -> Iterator[Webhooks]:
    """Run a web server while the block does."""
    server = Webhooks()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
