"""What gnomon itself asks of a database is not the application's."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ours: ContextVar[bool] = ContextVar("gnomon_databases_ours", default=False)

#: Whether this thread or task works for gnomon.
is_ours = _ours.get


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Measure nothing of what is done inside."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
