"""Who may use the console: the users of a web config file, their sessions, and nobody else.

Without users it listens on loopback alone, and everybody who can reach that is let in.
"""

from gnomon_console.access.who import Visitor, visitor

__all__ = ["Visitor", "visitor"]
