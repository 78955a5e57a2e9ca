"""Who has logged in: kept here alone, so that an end is the end.

A cookie that holds the session itself, signed as Starlette's, stays good until it expires,
wherever it has been copied to.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: Seconds without a request, and seconds in all, after which a session ends.
IDLE_S, LONGEST_S = 12 * 3600.0, 7 * 86400.0

#: Sessions at the same time, in all and of one user; one more ends the longest unused.
KEPT, KEPT_OF_ONE = 1000, 30


@dataclass(eq=False, slots=True)
class Session:
    """One browser of one user.

    stored: the hash of the password that it was begun with. began, used: seconds of the sessions'
    clock. form: what a form of its pages brings along. ended: set when it is over.
    """

    user: str
    stored: str
    began: float
    used: float
    form: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class Sessions:
    """All sessions, by their tokens' digests: no comparison tells how much of a token was right.

    users: returns the users' hashes as they are now. gone: is called with each that has ended.
    """

    def __init__(
        self,
        users: Callable[[], Mapping[str, str]],
        gone: Callable[[Session], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._gone = gone
        self._clock = clock
        self._kept: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, user: str, stored: str) -> str:
        """Begin a user's session; return its token, which nobody has seen before.

        stored: the hash that the password was checked against.
        """
        now = self._clock()
        token = secrets.token_urlsafe(32)
        self.look()
        own = [each for each in self._kept.values() if each.user == user]
        if len(own) >= KEPT_OF_ONE:
            self._end([min(own, key=_unused)])
        if len(self._kept) >= KEPT:
            self._end([min(self._kept.values(), key=_unused)])
        self._kept[_digest(token)] = Session(user, stored, now, now)
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of a token, which is used by that; None for one that is not good."""
        session = self._kept.get(_digest(token))
        if session is None:
            return None
        now = self._clock()
        if self._over(session, now, self._users()):
            self._end([session])
            return None
        session.used = now
        return session

    def end(self, session: Session) -> None:
        """End one."""
        self._end([session])

    def look(self) -> None:
        """End what has expired, and the sessions of users who are gone or have a new password."""
        now, users = self._clock(), self._users()
        self._end([each for each in self._kept.values() if self._over(each, now, users)])

    def _over(self, session: Session, now: float, users: Mapping[str, str]) -> bool:
        return (
            now - session.used >= IDLE_S
            or now - session.began >= LONGEST_S
            or users.get(session.user) != session.stored
        )

    def _end(self, sessions: list[Session]) -> None:
        if sessions:
            self._kept = {key: each for key, each in self._kept.items() if each not in sessions}
        for session in sessions:
            session.ended.set()
            self._gone(session)


def _unused(session: Session) -> float:
    return session.used


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
