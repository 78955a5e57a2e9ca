"""RabbitMQ, or another that speaks AMQP 0-9-1, as Celery's broker.

Its client is py-amqp, Celery's own: 2 MiB of resident memory, where kombu over it takes 8 and
Celery 25.
"""

import contextlib
import ssl
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from gnomon_exporter.celery_broker import Names, Queues
from gnomon_exporter.celery_messages import QUESTIONS, Answers, Content, question
from gnomon_exporter.client_connection import Address, Tls
from gnomon_exporter.reading import read

_SCHEMES = {"amqp": False, "pyamqp": False, "amqps": True}
_PORTS = {False: 5672, True: 5671}
#: Seconds between signs of life on the connection that waits for events.
_HEARTBEAT = 20
#: Milliseconds that RabbitMQ keeps an event for us, and the most events: a stuck exporter must
#: not fill its memory.
_EVENT_LIFE = 5000
_EVENT_LIMIT = 100_000
#: Most answers that are read; there are two for each worker.
_ANSWERS = 10_000


class AmqpLogin:
    """Where a broker is and as whom to enter: amqp://[user[:password]@]host[:port][/vhost].

    Raises ValueError, whose text begins with the setting's name and shows nothing of the
    address; also where py-amqp is missing.
    """

    def __init__(self, address: str, *, username: str, password_file: str, tls: Tls) -> None:
        try:
            import amqp  # noqa: PLC0415  # whoever has no such broker need not carry its client
            import amqp.exceptions  # noqa: PLC0415
        except ImportError:
            raise ValueError("py-amqp is missing: install gnomon with its extra: celery") from None
        self.module = amqp
        self.place, self.vhost = _parsed(address)
        if username and self.place.username:
            raise ValueError("username: the address names a user as well: take one of them out")
        if password_file and self.place.password:
            raise ValueError("password_file: the address has a password: take one of them out")
        self._username = username or self.place.username or "guest"
        self._password_file = password_file
        self._tls = tls

    def connected(self, timeout: float, *, heartbeat: int = 0) -> Any:
        """Return a connection. Raises OSError."""
        if self._password_file:
            password = read(self._password_file).rstrip("\r\n")
        else:
            password = self.place.password or "guest"
        host = f"[{self.place.host}]" if ":" in self.place.host else self.place.host
        connection = self.module.Connection(
            f"{host}:{self.place.port}",
            userid=self._username,
            password=password,
            virtual_host=self.vhost,
            ssl=self._ssl(),
            connect_timeout=timeout,
            read_timeout=timeout,
            write_timeout=timeout,
            heartbeat=heartbeat,
            client_properties={"connection_name": "gnomon-exporter"},
        )
        with self.faults():
            try:
                connection.connect()
            except BaseException:
                hang_up(connection)
                raise
        return connection

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Turn every error of the connection's into an OSError under the address."""
        try:
            yield
        except TimeoutError:
            raise TimeoutError(f"{self.place}: no answer in time") from None
        except OSError as error:
            reason = error.strerror or str(error)
            if error.filename:  # of a certificate
                reason = f"{error.filename}: {reason}"
            raise ConnectionError(f"{self.place}: {reason}") from None
        except self.module.exceptions.AMQPError as error:
            reason = getattr(error, "reply_text", "") or type(error).__name__
            raise ConnectionError(f"{self.place}: {reason[:200]}") from None
        # What py-amqp raises when what comes is not AMQP, or the connection ends in between.
        except (ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
            raise ConnectionError(
                f"{self.place}: the answer is not AMQP's ({type(error).__name__})"
            ) from None

    def _ssl(self) -> Any:
        if not self.place.tls:
            return False
        is_checked = not self._tls.insecure_skip_verify
        return {
            # py-amqp compares the certificate with this name whenever it has one.
            "server_hostname": (self._tls.server_name or self.place.host) if is_checked else None,
            "cert_reqs": ssl.CERT_REQUIRED if is_checked else ssl.CERT_NONE,
            "ca_certs": self._tls.ca_file or None,
            "certfile": self._tls.cert_file or None,
            "keyfile": self._tls.key_file or None,
        }


class AmqpBroker:
    """Queues and workers by way of AMQP; see ``Broker``."""

    def __init__(self, login: AmqpLogin, names: Names, *, timeout: float) -> None:
        self._login = login
        self._names = names
        self._timeout = timeout
        self._connection: Any = None
        self._inbox = ""

    def greet(self, deadline: float) -> None:
        """Connect, or see that the kept connection still stands."""
        if self._connection is not None:
            try:
                with self._deadline(deadline):
                    self._connection.channel().close()
            except ConnectionError:  # the broker may have restarted since
                pass
            else:
                return
        self._connection = self._login.connected(self._left(deadline))

    def queues(self, names: Sequence[str], deadline: float) -> Queues:
        """Return the lengths and consumers; a queue that is not there is left out."""
        found = Queues()
        channel = None
        for name in names:
            if len(name.encode("utf-8", "replace")) > 255:
                continue  # no queue has such a name
            with self._deadline(deadline):
                channel = channel or self._connection.channel()
                try:
                    declared = channel.queue_declare(name, passive=True)
                except self._login.module.exceptions.ChannelError:
                    channel = None  # an error closes it: the next queue takes another
                else:
                    found.length[name] = declared.message_count
                    found.consumers[name] = declared.consumer_count
        if channel is not None:
            with self._deadline(deadline):
                channel.close()
        return found

    def ask(self, deadline: float) -> None:
        """Put the questions to the workers, who answer into a queue of ours alone."""
        with self._deadline(deadline):
            channel = self._connection.channel()
            try:
                # Made by the workers; where there is none, nobody would hear us.
                channel.exchange_declare(self._names.control, "fanout", passive=True)
                channel.exchange_declare(
                    self._names.replies, "direct", durable=False, auto_delete=False
                )
                address = f"gnomon.{uuid.uuid4()}"
                inbox = f"{address}.{self._names.replies}"
                channel.queue_declare(inbox, exclusive=True, auto_delete=True)
                channel.queue_bind(inbox, self._names.replies, address)
                self._inbox = inbox
                for method in QUESTIONS:
                    body = question(method, self._names.replies, address)
                    channel.basic_publish(self._message(body), self._names.control)
                channel.close()
            except self._login.module.exceptions.ChannelError:
                self._inbox = ""

    def answers(self, deadline: float) -> Answers:
        """Return what has been answered, and take our queue away."""
        found = Answers()
        if not self._inbox:
            return found
        with self._deadline(deadline):
            channel = self._connection.channel()
            try:
                for _ in range(_ANSWERS):
                    message = channel.basic_get(self._inbox, no_ack=True)
                    if message is None:
                        break
                    found.take(_content(message))
                channel.queue_delete(self._inbox)
                channel.close()
            except self._login.module.exceptions.ChannelError:
                pass  # it went with an earlier connection
        self._inbox = ""
        return found

    def _message(self, body: bytes) -> Any:
        return self._login.module.Message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=1,
            application_headers={"clock": 1, "expires": 0},
        )

    def _left(self, deadline: float) -> float:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError(f"{self._login.place}: no answer in time")
        return min(left, self._timeout)

    @contextlib.contextmanager
    def _deadline(self, deadline: float) -> Iterator[None]:
        """Hang up when what is done inside fails or is late. Raises OSError."""
        if self._connection is None:
            raise ConnectionError(f"{self._login.place}: not connected")
        try:
            with (
                self._login.faults(),
                self._connection.transport.having_timeout(self._left(deadline)),
            ):
                yield
        except OSError:
            connection, self._connection = self._connection, None
            hang_up(connection)
            raise


class AmqpEvents:
    """A subscription to the events; see ``Events``."""

    def __init__(self, login: AmqpLogin, names: Names, *, timeout: float) -> None:
        self._login = login
        self._names = names
        self._timeout = timeout
        self._connection: Any = None
        self._messages: list[Content | None] = []

    def open(self) -> None:
        """Subscribe, by a queue that goes with the connection."""
        self.close()
        self._connection = self._login.connected(self._timeout, heartbeat=_HEARTBEAT)
        with self._login.faults():
            channel = self._connection.channel()
            try:
                channel.exchange_declare(self._names.events, "topic", passive=True)
            except self._login.module.exceptions.NotFound:
                # As the first worker or client would declare it.
                channel = self._connection.channel()
                channel.exchange_declare(
                    self._names.events, "topic", durable=True, auto_delete=False
                )
            queue = f"{self._names.events}.receiver.gnomon.{uuid.uuid4()}"
            limits = {"x-message-ttl": _EVENT_LIFE, "x-max-length": _EVENT_LIMIT}
            channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=limits)
            channel.queue_bind(queue, self._names.events, "#")
            channel.basic_consume(queue, no_ack=True, callback=self._take)

    def receive(self, seconds: float) -> Sequence[Content | None]:
        """Return the messages; see ``Events``."""
        with self._login.faults():
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=seconds)
            self._connection.heartbeat_tick()
        found, self._messages = self._messages, []
        return found

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            hang_up(self._connection)
            self._connection = None

    def _take(self, message: Any) -> None:
        self._messages.append(_content(message))


def hang_up(connection: Any) -> None:
    """Close a connection without another word: who does not answer must not be waited for."""
    with contextlib.suppress(Exception):  # py-amqp's, whatever state the connection is in
        connection.collect()


def _content(message: Any) -> Content:
    body = message.body
    kind = message.properties.get("content_type", "")
    return Content(kind, body.encode() if isinstance(body, str) else bytes(body))


def _parsed(address: str) -> tuple[Address, str]:
    """Return the place and the virtual host in an address. Raises ValueError."""
    try:
        url = urlsplit(address)
        is_tls = _SCHEMES[url.scheme]
        if not url.hostname or url.fragment or url.query:
            raise ValueError  # noqa: TRY301  # one text for all that can be wrong
        place = Address(
            host=url.hostname,
            port=url.port or _PORTS[is_tls],
            tls=is_tls,
            username=unquote(url.username or ""),
            password=unquote(url.password or ""),
        )
    except (ValueError, KeyError):
        raise ValueError(
            "address: expected amqp://[user[:password]@]host[:port][/vhost] or amqps://; "
            "in a user or password write / ? # @ : % as %2F %3F %23 %40 %3A %25"
        ) from None
    return place, unquote(url.path[1:]) or "/"
