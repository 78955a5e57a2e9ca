"""The web config file while the exporter runs: read again when it has changed on disk.

exporter-toolkit reads the file for every request and answers 500, or breaks the handshake, while
it is broken; and it serves everyone once the users are gone from it. Here

- a changed file that cannot be used is not taken: the last good one stays in force and the log
  says so once. The host stays watched while someone edits, and nothing is open that was not;
- a change never takes a protection away altogether. TLS, client certificates and users can be
  changed and added while the exporter runs, but serving without them needs a restart: an editor
  that empties the file before it writes it opens no door.

Certificates, keys and CAs count as part of the file: a renewed certificate is served from the
next connection on, and one whose key has not been replaced yet is not taken.
"""

import logging
import os
import threading

from gnomon_exporter.passwords import Passwords
from gnomon_exporter.ratelimit import RateLimiter
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webconfig import WebConfig, read

log = logging.getLogger(__name__)


class WebFile:
    """What the web config file says now.

    passwords, limiter: its users and its rate, kept across changes. problem: why the file as it
    is on disk is not in force; None when it is.
    """

    def __init__(self, path: str | None) -> None:
        """Read the file; None serves plain HTTP to everyone. Raises ConfigError."""
        self._path = path
        self._lock = threading.Lock()
        self._marks = _Marks()
        self._config = WebConfig() if path is None else read(path, self._marks.note)
        self.passwords = Passwords(self._config.users)
        self.limiter = RateLimiter(self._config.rate)
        self.problem: str | None = None

    def config(self) -> WebConfig:
        """Return the configuration in force, having looked whether the file has changed."""
        if self._marks.changed():
            with self._lock:
                # Another thread may have been first.
                if self._path is not None and self._marks.changed():
                    self._read_again(self._path)
        return self._config

    def _read_again(self, path: str) -> None:
        marks = _Marks()
        try:
            config = read(path, marks.note)
            _refuse_less(path, self._config, config)
        except ConfigError as error:
            if self.problem != str(error):
                log.error("web configuration not taken, the old one stays: %s", error)  # noqa: TRY400
            self.problem = str(error)
        else:
            self.passwords.replace(config.users)
            self.limiter.replace(config.rate)
            self._config = config
            self.problem = None
            log.info("web configuration read again: %s", path)
        self._marks = marks


class _Marks:
    """What files looked like just before they were read."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, ...]] = {}

    def note(self, path: str) -> None:
        self._marks[path] = _mark(path)

    def changed(self) -> bool:
        return any(_mark(path) != mark for path, mark in self._marks.items())


def _mark(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
    )


def _refuse_less(path: str, old: WebConfig, new: WebConfig) -> None:
    """Raise ConfigError when a protection that is in force would be gone."""
    restart = "it, or a restart to serve without"
    if old.tls and not new.tls:
        raise ConfigError(path, "no longer there", key="tls_server_config", expected=restart)
    if old.tls and new.tls and old.tls.client_required and not new.tls.client_required:
        key = "tls_server_config.client_auth_type"
        raise ConfigError(
            path,
            "no longer asks for a client certificate",
            key=key,
            expected="RequireAndVerifyClientCert, or a restart to serve without",
        )
    if old.users and not new.users:
        raise ConfigError(path, "no longer there", key="basic_auth_users", expected=restart)
