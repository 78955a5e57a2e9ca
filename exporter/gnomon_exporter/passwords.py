"""Users with bcrypt hashes, checked slowly once and quickly ever after."""

import hashlib
import re
import secrets
import threading
from collections.abc import Mapping

#: A bcrypt hash as htpasswd and every library write it. Of the salt's last character only two
#: bits count, and the others must be 0.
HASH = re.compile(
    r"\$2[abxy]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)

#: Verdicts that are remembered, right and wrong ones apart.
REMEMBERED = 256
#: Requests that may wait for their password to be checked.
WAITING = 16

# bcrypt looks at no more; its library refuses longer ones, whose hashes other tools do write.
_LONGEST = 72


class Busy(Exception):  # noqa: N818  # a finding, not a failure
    """Too many passwords wait to be checked."""


class Passwords:
    """Who may come in.

    A password that has been checked is remembered, right or wrong, by a keyed digest of user,
    hash and password: the key lives in this object only. So bcrypt, which is slow by design (70
    ms at cost 10), runs once for each password, whatever comes with the request. What is
    remembered is bounded, and wrong ones never push out right ones. One check runs at a time,
    and few wait: a flood of guesses takes one core and cannot hold up who is known already.

    An unknown user costs what a known one with a wrong password costs, for the password is
    checked against the hash of one of the known users, and the verdict thrown away.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        """Keep the users: names and their bcrypt hashes, which match ``HASH``.

        Raises ImportError when there are any and bcrypt is not installed.
        """
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._wrong: dict[bytes, None] = {}
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(WAITING)
        self._users: Mapping[bytes, bytes] = {}
        self.replace(users)

    def replace(self, users: Mapping[str, str]) -> None:
        """Take other users from now on. Raises ImportError as the constructor."""
        if users:
            import bcrypt  # noqa: F401, PLC0415
        self._users = {name.encode(): stored.encode() for name, stored in users.items()}

    def __bool__(self) -> bool:
        """Whether there are any users."""
        return bool(self._users)

    def check(self, user: bytes, password: bytes) -> bool:
        """Whether this is a user with their password.

        Raises Busy when too many others wait for an answer that takes long.
        """
        users = self._users
        if not users:
            return False
        known = user in users
        stored = users[user] if known else self._decoy(user, users)
        digest = self._digest(user, stored, password)
        if (verdict := self._remembered(digest)) is None:
            verdict = self._slowly(digest, stored, password)
        return verdict and known

    def knows(self, user: bytes, password: bytes) -> bool:
        """Whether this has been found right before, which takes no time to say."""
        stored = self._users.get(user)
        return stored is not None and self._digest(user, stored, password) in self._right

    def _decoy(self, user: bytes, users: Mapping[bytes, bytes]) -> bytes:
        number = int.from_bytes(self._digest(user, b"", b"")[:8])
        return list(users.values())[number % len(users)]

    def _digest(self, user: bytes, stored: bytes, password: bytes) -> bytes:
        # The lengths keep ("ab", "c") and ("a", "bc") apart.
        parts = b"".join([len(part).to_bytes(8) + part for part in (user, stored, password)])
        return hashlib.blake2b(parts, key=self._key, digest_size=32).digest()

    def _remembered(self, digest: bytes) -> bool | None:
        if digest in self._right:
            return True
        return False if digest in self._wrong else None

    def _slowly(self, digest: bytes, stored: bytes, password: bytes) -> bool:
        import bcrypt  # noqa: PLC0415  # only where there are users

        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            with self._turn:
                # Another thread may have checked the same one meanwhile.
                if (verdict := self._remembered(digest)) is not None:
                    return verdict
                verdict = bcrypt.checkpw(password[:_LONGEST], stored)
                verdicts = self._right if verdict else self._wrong
                if len(verdicts) >= REMEMBERED:
                    del verdicts[next(iter(verdicts))]
                verdicts[digest] = None
                return verdict
        finally:
            self._places.release()
