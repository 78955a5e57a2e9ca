"""A connection to a server that is kept between scrapes, with one deadline over all that it does.

Client libraries put a timeout on each read: a server that sends a byte now and then is never late
for them. Here every call takes the moment (``time.monotonic``) by which the whole scrape is over.
"""

import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

#: Most bytes of one answer. Longer ones come from something else than was asked.
ANSWER_LIMIT = 64 << 20

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens and as whom to enter. Its text never has the password.

    path: of a Unix socket, else empty. database: the number in the address, else 0.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        """Return the path of the socket, or host and port."""
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, schemes: Mapping[str, bool], port: int) -> Address:
    """Return the address in a URL, a bare ``host:port``, ``unix:///path`` or ``/path``.

    schemes: those accepted, and whether each means TLS. The first is that of a bare host.
    port: where the server listens when none is given.

    Raises ValueError, whose text shows nothing of the address, for it may hold a password.
    """
    first = next(iter(schemes))
    if text.startswith("/"):
        text = f"unix://{text}"
    elif "://" not in text:
        text = f"{first}://{text}"
    try:
        url = urlsplit(text)
        query = parse_qs(url.query, strict_parsing=bool(url.query))
        is_path = url.scheme == "unix"
        address = Address(
            host=url.hostname or "",
            port=url.port or port,
            path=unquote(url.path) if is_path else "",
            tls=schemes.get(url.scheme, False),
            username=unquote(url.username or ""),
            password=unquote(url.password or ""),
            database=int(query.get("db", [""])[-1] or (0 if is_path else url.path.strip("/") or 0)),
        )
        known = url.scheme in schemes or is_path
        # An unescaped / or # in a password ends the host, so what comes out makes no sense.
        whole = bool(address.path) != bool(address.host) and address.database >= 0
        if not (known and whole) or url.fragment or query.keys() - {"db"}:
            raise ValueError  # noqa: TRY301  # one text for all that can be wrong
    except ValueError:
        raise ValueError(
            f"expected {first}://[user[:password]@]host[:port][/database] or unix:///path; "
            "in a user or password write / ? # @ : % as %2F %3F %23 %40 %3A %25"
        ) from None
    return address


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server proves who it is, and we do. Empty: the system's authorities, no certificate."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """Return a context made of the files as they are now. Raises OSError."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        return context


class ClientConnection:
    """A stream socket: TCP, TLS over TCP, or Unix.

    Every error is an OSError whose text begins with the address; after one, the connection is
    closed and may be opened again.
    """

    def __init__(self, address: Address, tls: Tls | None = None) -> None:
        self.address = address
        self._tls = tls or Tls()
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Whether ``open`` has succeeded and nothing has failed since."""
        return self._socket is not None

    def open(self, deadline: float) -> None:
        """Connect, trying every address that the host's name has."""
        self.close()
        try:
            self._socket = self._connected(deadline)
        except OSError as error:
            raise self._failed(error) from None

    def send(self, data: bytes, deadline: float) -> None:
        """Send everything."""
        try:
            self._ready(deadline).sendall(data)
        except OSError as error:
            raise self._failed(error) from None

    def receive(self, deadline: float) -> bytes:
        """Return what has come in, at least a byte: the server's hanging up is an error."""
        try:
            data = self._ready(deadline).recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the server closed the connection")
        except OSError as error:
            raise self._failed(error) from None
        return data

    def has_input(self, seconds: float) -> bool:
        """Wait until there is something to receive; say whether there is. Not late after it."""
        if self._socket is None:
            return True  # where ``receive`` will say why
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Hang up. Nothing happens when it is closed already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ready(self, deadline: float) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("not connected")
        # sendall and recv each keep to the timeout as a whole.
        self._socket.settimeout(_left(deadline))
        return self._socket

    def _connected(self, deadline: float) -> socket.socket:
        if self.address.path:
            return _connect(socket.AF_UNIX, self.address.path, deadline)
        failure: OSError = ConnectionError("the name has no address")
        found = socket.getaddrinfo(self.address.host, self.address.port, type=socket.SOCK_STREAM)
        for family, _, _, _, place in found:
            try:
                plain = _connect(family, place, deadline)
            except OSError as error:
                failure = error
                continue
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._encrypted(plain, deadline) if self.address.tls else plain
        raise failure

    def _encrypted(self, plain: socket.socket, deadline: float) -> socket.socket:
        try:
            plain.settimeout(_left(deadline))
            return self._tls.context().wrap_socket(
                plain, server_hostname=self._tls.server_name or self.address.host
            )
        except BaseException:
            plain.close()
            raise

    def _failed(self, error: OSError) -> OSError:
        """Hang up and return the error under the address, of the same kind."""
        self.close()
        kind: type[OSError] = ConnectionError if isinstance(error, ConnectionError) else OSError
        if isinstance(error, TimeoutError):
            kind, reason = TimeoutError, "no answer in time"
        elif isinstance(error, ssl.SSLError):
            reason = f"TLS: {error.reason or error}"
        else:
            reason = error.strerror or str(error)
            if error.filename:  # of a certificate
                reason = f"{error.filename}: {reason}"
        return kind(f"{self.address}: {reason}")


def _left(deadline: float) -> float:
    """Return the seconds until the deadline. Raises TimeoutError when there are none."""
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _connect(family: int, place: object, deadline: float) -> socket.socket:
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.settimeout(_left(deadline))
        connecting.connect(place)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except BaseException:
        connecting.close()
        raise
    return connecting
