"""Families of the whole process, whichever application of it is scraped.

A subject's module (caches, queues, jobs, databases …) adds its families when it is imported, and
so costs nothing where it is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnomon import families, guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from gnomon.families import AnyFamily

_counted: list[AnyFamily] = []
_looked: list[tuple[str, Callable[[], Iterable[Metric]]]] = []


def add(*new: AnyFamily) -> None:
    """Show these families from now on."""
    _counted.extend(new)


def look(where: str, gather: Callable[[], Iterable[Metric]]) -> None:
    """Ask ``gather`` at every scrape for what is true just then.

    where: a constant that names the place if it fails; nothing of it is shown then.
    """
    _looked.append((where, gather))


def counted() -> tuple[AnyFamily, ...]:
    """Return the families with children."""
    return tuple(_counted)


def collect() -> Iterator[Metric]:
    """Yield everything that has series."""
    # First, for a look may also bring counters up to date.
    for where, gather in _looked:
        try:
            found = list(gather())
        except Exception:
            guard.failed(where)
        else:
            yield from found
    yield from families.collect(_counted)
