"""Where the history is kept: a file of SQLite's, or a PostgreSQL by its address.

Everything runs in one thread of its own: a database that does not answer holds up nothing else,
and each attempt ends by itself within seconds.
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from gnomon_exporter.strict_yaml import ConfigError

_T = TypeVar("_T")

#: Seconds that a connection, a lock and a statement may take.
_PATIENCE_S = 5

_VARIABLE = "GNOMON_CONSOLE_DATABASE"
_SCHEMES = ("postgresql", "postgres")


class DatabaseError(Exception):
    """The database cannot be used at the moment; the text says why, and holds no password."""


class Transaction(Protocol):
    """What is done at once, or not at all."""

    def __call__(self, statement: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, whose values are written as ``?``; return its rows."""


class Backend(Protocol):
    """A kind of database."""

    #: What it calls a floating-point number of 8 bytes.
    number: str
    #: Lets one program after the other change the history, as the first word of a transaction.
    lock: str

    def run(self, work: Callable[[Transaction], _T]) -> _T:
        """Do something in a transaction. Raise DatabaseError."""

    def interrupt(self) -> None:
        """Let what is under way in another thread fail, where nothing answers it."""

    def close(self) -> None:
        """Let go of it."""


class SQLite:
    """A file, which is made with its folder where there is none; its owner's alone."""

    number = "REAL"
    lock = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def run(self, work: Callable[[Transaction], _T]) -> _T:
        """Do something in a transaction. Raise DatabaseError."""
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = work(lambda text, given=(): connection.execute(text, given).fetchall())
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise DatabaseError(f"{self._path}: {error}") from None
        return found

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # None else may read it, at no moment.
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        # What is written survives the program's end at any moment; a power cut may cost seconds.
        connection.execute("PRAGMA synchronous = NORMAL")
        self._connection = connection
        return connection

    def interrupt(self) -> None:
        """Let what is under way in another thread fail, where nothing answers it."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgreSQL:
    """A server. Its password stands in the address, or in ~/.pgpass.

    Raise ConfigError for what is no address, and where its client is not installed.
    """

    number = "DOUBLE PRECISION"
    lock = "SELECT pg_advisory_xact_lock(7246401)"

    def __init__(self, address: str) -> None:
        try:
            import psycopg  # noqa: PLC0415  # 8 MB, for those who have a PostgreSQL
            from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415
        except ImportError:
            raise ConfigError(
                _VARIABLE,
                "PostgreSQL's client is not installed",
                expected="Gnomon installed again with the extra `postgresql`, or psycopg",
            ) from None
        self._psycopg = psycopg
        limits = f"-c statement_timeout={_PATIENCE_S}s -c lock_timeout={_PATIENCE_S}s"
        try:
            # What the address itself says goes before.
            given = {
                "application_name": "gnomon-console",
                "connect_timeout": _PATIENCE_S,
                "tcp_user_timeout": _PATIENCE_S * 1000,
                "options": limits,
                **conninfo_to_dict(address),
            }
            self._address = make_conninfo("", **given)
            self._password = unquote(urlsplit(address).password or "")
        except (psycopg.Error, ValueError):  # their texts hold the address
            raise _no_address() from None
        self._connection: psycopg.Connection[Any] | None = None

    def run(self, work: Callable[[Transaction], _T]) -> _T:
        """Do something in a transaction. Raise DatabaseError."""
        try:
            try:
                return self._run(work)
            except (self._psycopg.OperationalError, self._psycopg.InterfaceError):
                # Restarted since: the connection is dead, and the server is not.
                if self._connection is None:
                    raise
                self.close()
                return self._run(work)
        except self._psycopg.Error as error:
            self.close()
            text = " ".join(str(error).split())
            if self._password:
                text = text.replace(self._password, "…")
            raise DatabaseError(text) from None

    def _run(self, work: Callable[[Transaction], _T]) -> _T:
        connection = self._connection
        if connection is None:
            connection = self._psycopg.connect(self._address)
            self._connection = connection
        with connection.transaction(), connection.cursor() as cursor:

            def do(statement: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
                cursor.execute(statement.replace("?", "%s").encode(), given)
                return cursor.fetchall() if cursor.description else []

            return work(do)

    def interrupt(self) -> None:
        """Let what is under way in another thread fail, where nothing answers it."""
        connection = self._connection
        if connection is not None:
            # A server that has stopped still acknowledges each packet: nothing times out by itself.
            with (
                suppress(OSError, self._psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as shared,
            ):
                shared.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def backend(address: str, path: Path) -> Backend:
    """Return the database at an address, the file at a path for "".

    Raise ConfigError for an address of another kind.
    """
    if not address:
        return SQLite(path)
    if address.partition("://")[0] not in _SCHEMES:
        raise _no_address()
    return PostgreSQL(address)


def _no_address() -> ConfigError:
    # Without what it is: it holds a password.
    return ConfigError(
        _VARIABLE, "no such address", expected="postgresql://user:password@host/database"
    )


class Database:
    """A database, asked from an event loop."""

    def __init__(self, found: Backend) -> None:
        self.kind = found
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="alerts-database")

    async def run(self, work: Callable[[Transaction], _T]) -> _T:
        """Do something in a transaction. Raise DatabaseError."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self.kind.run, work)
        # Its own limits end it before that, unless the server stands still.
        interrupting = loop.call_later(3 * _PATIENCE_S, self.kind.interrupt)
        try:
            return await running
        finally:
            interrupting.cancel()

    def close(self) -> None:
        """Let go of it, as soon as what is under way is done."""
        self._thread.submit(self.kind.close)
        self._thread.shutdown(wait=False)
