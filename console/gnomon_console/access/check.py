"""Passwords, checked beside the event loop, and not too many of one address."""

import asyncio
import base64
import logging
import math
from concurrent.futures import ThreadPoolExecutor

from gnomon_console.access.limits import Limits
from gnomon_exporter.passwords import WAITING
from gnomon_exporter.ratelimit import Rate
from gnomon_exporter.webfile import WebFile

log = logging.getLogger(__name__)

#: Passwords that one address may try at once; then one in so many seconds.
GUESSES = Rate(interval=10.0, burst=10)


class TooMany(Exception):  # noqa: N818  # a finding, not a failure
    """No password is checked now; ``after_s``: whole seconds until one is."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"too many passwords were tried: again in {math.ceil(after_s)} s")
        self.after_s = math.ceil(after_s)


class Check:
    """Compares names and passwords with those of the web config file."""

    def __init__(self, web: WebFile) -> None:
        self._web = web
        self._guesses = Limits(GUESSES)
        # A thread of its own: bcrypt takes 70 ms by design, and shares no queue with others.
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting = 0

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def stored(self, user: str, password: str, address: str) -> str | None:
        """Return the hash that a password belongs to, None for a wrong one or no such user.

        Raises TooMany. A password that is known to be right is never held up.
        """
        passwords, users = self._web.passwords, self._web.config().users
        given = user.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass")
        if passwords.knows(*given):
            return users.get(user)
        if wait := self._guesses.wait(address):
            raise TooMany(wait)
        if self._waiting >= WAITING:
            raise TooMany(1.0)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._thread, passwords.check, *given)
        finally:
            self._waiting -= 1
        if not right:
            # No name: people type their password there.
            log.warning("a wrong name or password from %s", address)
            return None
        return users.get(user)

    async def basic(self, header: str, address: str) -> tuple[str, str] | None:
        """Return the user of an Authorization header and their hash. Raises TooMany."""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:
            return None
        user, colon, password = decoded.partition(":")
        stored = await self.stored(user, password, address) if colon else None
        return (user, stored) if stored else None
