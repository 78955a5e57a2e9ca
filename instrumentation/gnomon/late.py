"""Libraries that are imported after the start, as within a function that a request calls."""

import sys
from collections.abc import Callable

from gnomon import guard

_wanted: dict[str, Callable[[], None]] = {}
_seen = 0


def watch(name: str, install: Callable[[], None]) -> None:
    """Call ``install`` again when there are new modules; its name replaces an earlier one."""
    _wanted[name] = install


def unwatch(name: str) -> None:
    """Call it no longer."""
    _wanted.pop(name, None)


def look() -> None:
    """Look for new modules, which costs next to nothing while there are none. Never raises."""
    global _seen  # noqa: PLW0603  # how many there were
    if len(sys.modules) == _seen:
        return
    _seen = len(sys.modules)
    for name, install in list(_wanted.items()):
        try:
            install()
        except Exception:
            guard.failed(f"late {name}")
