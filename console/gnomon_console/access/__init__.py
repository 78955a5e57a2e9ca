"""Who may use the console: the users of a web config file, their sessions, and nobody else.

Without users it listens on loopback alone, and everybody who can reach that is let in.
"""

from gnomon_console.access.who import Visitor, visitor

__all__ = ["Visitor", "may_change", "user", "visitor"]


def user() -> str:
    """Return the name of whom the page that is being built or used belongs to, "" for nobody's.

    Nobody's is the page of a console without users, and one whose session has ended.
    """
    return visitor().name


def may_change() -> bool:
    """Whether whoever uses this page may acknowledge alerts and end silences."""
    return visitor().may_change
