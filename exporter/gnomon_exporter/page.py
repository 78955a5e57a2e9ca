"""What the server shows: the contract between the web server and the scrape."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class State:
    """How a collector's last run went, for people to read.

    name: the word on the command line and in ``collect[]``.
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

    def states(self) -> Sequence[State]:
        """Return how each collector that is on fared last."""

    def ready(self) -> bool:
        """Whether a scrape would be answered with more than an empty page."""

    def config_text(self) -> str:
        """Return the configuration in force as YAML, without secrets."""
