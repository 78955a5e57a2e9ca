"""Redis' wire protocol (RESP 2) over a kept connection.

The parser is hiredis, the Redis project's own. The whole client, redis-py, would add 9.2 MiB of
resident memory where hiredis adds 0.15, its pure-Python encoder takes four times the CPU for
10,000 keys, and it has a timeout for each read but none for a scrape.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gnomon_exporter.client_connection import ANSWER_LIMIT, Address, ClientConnection, Tls

#: What Redis answers: bytes, int, list or None; an error that it replies is a ``ReplyError``.
Reply: TypeAlias = object
Command: TypeAlias = tuple[str | bytes | int, ...]

#: Commands sent at once. Their answers wait in the server's memory until we have read them.
_BATCH = 1000
#: Seconds after which a command that the server has refused is tried again.
_REFUSED = 600.0
#: Seconds that a subscription's broken-off message may take to go on.
_PUSH = 30.0
#: The parser's word for "not all here yet".
_MORE = object()


class ReplyError(Exception):
    """What the server answered a command that it could not or would not carry out."""


class ProtocolError(Exception):
    """What came is not RESP."""


class Redis:
    """One connection to a Redis server: opens itself, and again after an error.

    password: called at each login, so that a password file which has changed is read again.

    Raises ImportError where hiredis is not installed.
    """

    def __init__(
        self, address: Address, *, username: str, password: Callable[[], str], tls: Tls
    ) -> None:
        # Whoever watches no Redis need not carry its parser.
        from hiredis import Reader, pack_command  # noqa: PLC0415

        self._reader_type = Reader
        self._pack: Callable[[Command], bytes] = pack_command  # type: ignore[assignment]
        self._connection = ClientConnection(address, tls)
        self._username = username
        self._password = password
        self._forget()

    def _forget(self) -> None:
        """Make the state that of a new connection."""
        self._reader = self._reader_type(
            protocolError=ProtocolError, replyError=ReplyError, notEnoughData=_MORE
        )
        self._unparsed = 0
        self._database = 0
        self._refused: dict[str, float] = {}

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def greet(self, command: Command, deadline: float) -> Reply:
        """Return the reply to the first command of a scrape, over the kept connection or a new one.

        The kept one may lead to a server that has since restarted: then it breaks, and the scrape
        goes on over another. Silence is not tried twice.

        Raises OSError, also when the server does not let us in.
        """
        if self._connection.is_open:
            try:
                return self.ask([command], deadline)[0]
            except ConnectionError:
                pass
        self._open(deadline)
        return self.ask([command], deadline)[0]

    def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """Return the reply to each command, among them ``ReplyError`` objects. Raises OSError."""
        replies: list[Reply] = []
        for start in range(0, len(commands), _BATCH):
            batch = commands[start : start + _BATCH]
            self._connection.send(b"".join(map(self._pack, batch)), deadline)
            replies += self._replies(len(batch), deadline)
        return replies

    def ask_if_allowed(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """Like ``ask``, but spare the server the commands that it has refused or did not know.

        Each refusal counts in its error statistics and its ACL log, where it may alert somebody.
        What is spared is answered by None; after ten minutes it is asked again.
        """
        now = time.monotonic()
        names = [" ".join(map(str, command[:2])) for command in commands]
        allowed = [self._refused.get(name, now) <= now for name in names]
        asked = [command for command, ok in zip(commands, allowed, strict=True) if ok]
        replies = iter(self.ask(asked, deadline))
        answers = [next(replies) if ok else None for ok in allowed]
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, ReplyError) and _is_refusal(answer):
                self._refused[name] = now + _REFUSED
        return answers

    def select(self, database: int, deadline: float) -> None:
        """Make ``database`` that of the commands that follow. Raises ReplyError, OSError."""
        if database != self._database:
            reply = self.ask([("SELECT", database)], deadline)[0]
            if isinstance(reply, ReplyError):
                raise reply
            self._database = database

    def pushed(self, seconds: float) -> list[Reply]:
        """Return what a subscription brings within as many seconds; nothing if it is silent.

        Raises OSError.
        """
        if not (found := self._parsed()) and self._connection.has_input(seconds):
            # What has come may be TLS' own business, and the first of ours only on its way.
            data = self._connection.receive(time.monotonic() + _PUSH)
            self._unparsed += len(data)
            if self._unparsed > ANSWER_LIMIT:
                raise self._nonsense(f"a message of more than {ANSWER_LIMIT >> 20} MiB")
            self._reader.feed(data)
            found = self._parsed()
        return found

    def _parsed(self) -> list[Reply]:
        """Return what is there of whole messages."""
        found: list[Reply] = []
        try:
            while (reply := self._reader.gets()) is not _MORE:
                found.append(reply)
                self._unparsed = 0
        except ProtocolError:
            raise self._nonsense("what came is not in Redis' protocol") from None
        return found

    def _open(self, deadline: float) -> None:
        """Connect and log in."""
        self._connection.open(deadline)
        self._forget()
        if password := self._password():
            user = (self._username,) if self._username else ()
            reply = self.ask([("AUTH", *user, password)], deadline)[0]
            if isinstance(reply, ReplyError):
                self.close()
                # Of the server's words only the code is shown: a Redis whose AUTH was renamed
                # repeats the arguments of the command that it does not know.
                code = str(reply).split(" ", 1)[0][:32]
                raise PermissionError(f"{self._connection.address}: login refused: {code}")
        self.ask([("CLIENT", "SETNAME", "gnomon-exporter")], deadline)

    def _replies(self, count: int, deadline: float) -> list[Reply]:
        replies: list[Reply] = []
        size = 0
        try:
            while len(replies) < count:
                reply = self._reader.gets()
                if reply is not _MORE:
                    replies.append(reply)
                    size = 0
                    continue
                data = self._connection.receive(deadline)
                size += len(data)
                if size > ANSWER_LIMIT:
                    raise self._nonsense(f"a reply of more than {ANSWER_LIMIT >> 20} MiB")
                self._reader.feed(data)
        except ProtocolError:
            raise self._nonsense("the answer is not in Redis' protocol") from None
        return replies

    def _nonsense(self, reason: str) -> OSError:
        self.close()
        return OSError(f"{self._connection.address}: {reason}")


def _is_refusal(error: ReplyError) -> bool:
    """Whether an error is about the command as such, not about one of its keys."""
    text = str(error).lower()
    if text.startswith("noperm"):
        return " run " in text
    return "unknown" in text or "not allowed" in text
