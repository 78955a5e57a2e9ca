"""What a collector is: the one contract between the registry, the wrapper and 40 small files."""

from collections.abc import Iterable
from typing import Protocol

from gnomon_exporter.families import Metric


class Collector(Protocol):
    """Reads one subject.

    A collector's keyword arguments are its settings. Whatever it reads (paths, sockets,
    devices) is an argument too, so that a test hands in a recording.
    """

    def collect(self) -> Iterable[Metric]:
        """Yield fresh families with what is true now.

        What cannot be read is left out, never written as 0. Errors need no handling here: the
        wrapper times the collector, logs what it raises and keeps the rest of the page whole.
        """


class NoData(Exception):  # noqa: N818  # a finding, not a failure
    """This machine has nothing of the collector's subject: no such device, no such file."""
