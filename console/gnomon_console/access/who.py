"""Whoever asks for something, as the door has let them in."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from gnomon_console.access.sessions import Session

_KEY = "gnomon.visitor"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    name: the user's, "" where nobody is asked for one. may_change: whether alerts may be
    acknowledged. session: what it goes by, None for a program with a password.
    """

    name: str
    may_change: bool
    session: Session | None = None


#: Whoever has not come through the door, or has gone since.
NOBODY = Visitor("", may_change=False)


def bring(scope: MutableMapping[str, Any], who: Visitor) -> None:
    """Note in a request who asks."""
    scope[_KEY] = who


def of(scope: MutableMapping[str, Any]) -> Visitor:
    """Return who asks, NOBODY once their session has ended."""
    found = scope.get(_KEY, NOBODY)
    if not isinstance(found, Visitor) or (found.session and found.session.ended.is_set()):
        return NOBODY
    return found


def session_of(scope: MutableMapping[str, Any]) -> Session | None:
    """Return the session that a request came by, whether or not it has ended since."""
    found = scope.get(_KEY)
    return found.session if isinstance(found, Visitor) else None


def visitor() -> Visitor:
    """Return whom the page that is being built or used belongs to."""
    from nicegui import context  # noqa: PLC0415  # `make up` reads this package and draws nothing

    return of(context.client.request.scope)
