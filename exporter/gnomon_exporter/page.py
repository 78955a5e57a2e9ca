"""What the server shows: the contract between the web server and the scrape."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class State:
    """How a collector's last run went, for people to read.

    name: the word on the command line and in ``collect[]``.
    target: which one of the collector's targets; empty for the collector itself.
    description: one sentence, what it reads.
    duration: seconds of the last run; None when it never ran.
    success: None when it never ran, or had nothing to report on this machine.
    error: why it failed, in one line; None when it did not.
    last_run: when the last run ended, in Unix time; None when it never ran.
    """

    name: str
    description: str
    duration: float | None = None
    success: bool | None = None
    error: str | None = None
    last_run: float | None = None
    target: str = ""


class Page(Protocol):
    """One configuration's collectors, ready to be scraped.

    Several threads call it at once.
    """

    @property
    def names(self) -> Sequence[str]:
        """The collectors that are on."""

    def render(self, names: Collection[str] | None, deadline: float) -> bytes:
        """Return the page in classic text, of these collectors or (None) of all.

        deadline: the ``time.monotonic()`` at which the answer must be ready. Never raises.
        """

    @property
    def targets(self) -> Mapping[str, Sequence[str]]:
        """The targets that can be probed, by collector."""

    def probe(self, collector: str, target: str, deadline: float) -> bytes | None:
        """Return the page of one target as ``render`` does; None where there is no such target."""

    def states(self) -> Sequence[State]:
        """Return how each collector that is on fared last, and each target."""

    def ready(self) -> bool:
        """Whether a scrape would be answered with more than an empty page."""

    def config_text(self) -> str:
        """Return the configuration in force as YAML, without secrets."""
