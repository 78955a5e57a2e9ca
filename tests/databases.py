"""Real databases for the tests: PostgreSQL and MariaDB, alone on free ports of loopback."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pymysql
import pytest

import servers
from servers import Server

#: Where packages put the server's programs, which they keep off PATH.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


class PostgreSQL(NamedTuple):
    """A running server: its port, its process, its cluster's directory and its programs' folder.

    Its user and its database are both called gnomon; any password is taken.
    """

    port: int
    server: Server
    directory: Path
    programs: Path

    def url(self, driver: str = "", *, database: str = "gnomon", password: str = "secret") -> str:
        """Return the address; driver: what SQLAlchemy shall use, as in "asyncpg"."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://gnomon:{password}@127.0.0.1:{self.port}/{database}"

    def say(self, *statements: str) -> str:
        """Run SQL, each statement by itself, and return what psql prints, for setting up."""
        words = [str(self.programs / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", self.url()]
        for statement in statements:
            words += ["-c", statement]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def postgresql_server(*options: str, port: int | None = None) -> Iterator[PostgreSQL]:
    """Run postgres, settings as in ``-c log_lock_waits=on``; skip (in CI: fail) without it."""
    programs = _programs()
    user = _user()
    port = port or servers.free_port()
    # Not below pytest's directories: those are closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="gnomon-pg-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        cluster, log = directory / "cluster", directory / "log"
        if user is not None:
            shutil.chown(directory, user)
        words = [str(programs / "initdb"), "-D", str(cluster), "-U", "gnomon", "-A", "trust"]
        subprocess.run(
            [*words, "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=120,
            cwd=directory,
            user=user,
            extra_groups=None if user is None else [],
        )
        words = [str(programs / "postgres"), "-D", str(cluster), "-h", "127.0.0.1", "-p", str(port)]
        for setting in (f"unix_socket_directories={directory}", "fsync=off", "shared_buffers=16MB"):
            words += ["-c", setting]
        with Server([*words, *options], log=log, cwd=directory, user=user) as server:
            running = PostgreSQL(port, server, directory, programs)
            _wait(running)
            subprocess.run(
                [
                    programs / "createdb",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(port),
                    "-U",
                    "gnomon",
                    "gnomon",
                ],
                check=True,
                timeout=60,
            )
            try:
                yield running
            finally:
                with suppress(ProcessLookupError):
                    server.process.send_signal(signal.SIGINT)  # without waiting for its clients
                with suppress(subprocess.TimeoutExpired):
                    server.process.wait(10)


def _programs() -> Path:
    """Return the newest server's folder, or skip (in CI: fail) the test."""
    found = [path for pattern in _FOLDERS for path in Path("/").glob(f"{pattern[1:]}/initdb")]
    if not found and (named := shutil.which("initdb")):
        found = [Path(named).resolve()]
    if not found:
        why = "postgresql is not installed"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return max(found, key=_version).parent


def _version(path: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", str(path.parent))))


def _user() -> str | None:
    """Return whom to become, since PostgreSQL refuses to be root; None for who we are."""
    return None if os.geteuid() else "nobody"


def _wait(running: PostgreSQL) -> None:
    end = time.monotonic() + 60
    while subprocess.run(
        [running.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(running.port)],
        check=False,
        timeout=30,
    ).returncode:
        if running.server.process.poll() is not None or time.monotonic() > end:
            raise AssertionError(running.server.last_words())
        time.sleep(0.05)


class MariaDB(NamedTuple):
    """A running server: its port, its process and its directory.

    Its user, its password and its database are all called gnomon.
    """

    port: int
    server: Server
    directory: Path

    def url(self, driver: str = "pymysql", *, scheme: str = "mysql") -> str:
        """Return the address; driver: what SQLAlchemy shall use, as in "aiomysql"."""
        return f"{scheme}+{driver}://gnomon:gnomon@127.0.0.1:{self.port}/gnomon"

    def say(self, *statements: str) -> list[tuple[object, ...]]:
        """Run SQL, each statement by itself, and return the last one's rows, for setting up."""
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user="gnomon",
                password="gnomon",
                database="gnomon",
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def mariadb_server(*options: str) -> Iterator[MariaDB]:
    """Run mariadbd, settings as in ``--userstat=1``; skip (in CI: fail) without it."""
    daemon, install = _mariadb("mariadbd"), _mariadb("mariadb-install-db")
    user = _user()
    port = servers.free_port()
    with tempfile.TemporaryDirectory(prefix="gnomon-my-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        data, log = directory / "data", directory / "log"
        first = directory / "first.sql"
        first.write_text(
            "CREATE DATABASE IF NOT EXISTS gnomon;\n"
            "CREATE USER IF NOT EXISTS gnomon@'127.0.0.1' IDENTIFIED BY 'gnomon';\n"
            "GRANT ALL ON *.* TO gnomon@'127.0.0.1';\n"
        )
        if user is not None:
            shutil.chown(directory, user)
        done = subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=directory,
            user=user,
            extra_groups=None if user is None else [],
        )
        assert done.returncode == 0, done.stdout + done.stderr
        words = [daemon, "--no-defaults", f"--datadir={data}", f"--port={port}"]
        words += ["--bind-address=127.0.0.1", f"--socket={directory / 'socket'}"]
        words += ["--skip-name-resolve", f"--pid-file={directory / 'pid'}", f"--init-file={first}"]
        words += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]
        with Server([*words, *options], log=log, cwd=directory, user=user) as server:
            running = MariaDB(port, server, directory)
            end = time.monotonic() + 60
            while True:
                try:
                    running.say("SELECT 1")
                except pymysql.Error:
                    if server.process.poll() is not None or time.monotonic() > end:
                        raise AssertionError(server.last_words()) from None
                    time.sleep(0.05)
                else:
                    break
            yield running


def _mariadb(name: str) -> str:
    """Return a program of MariaDB's, or skip (in CI: fail) the test."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        why = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found
