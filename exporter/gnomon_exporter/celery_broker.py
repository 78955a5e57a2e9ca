"""What a broker must do for the celery collector, whether it is Redis or speaks AMQP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gnomon_exporter.celery_messages import Answers, Content


@dataclass(slots=True)
class Queues:
    """The state of queues by name; what a broker cannot tell is left out.

    unacknowledged: messages that workers hold, of all queues together.
    """

    length: dict[str, int] = field(default_factory=dict)
    by_priority: dict[str, Mapping[int, int]] = field(default_factory=dict)
    consumers: dict[str, int] = field(default_factory=dict)
    unacknowledged: int | None = None


class Broker(Protocol):
    """Asked at each scrape, by one thread at a time; ``deadline`` is monotonic. Raises OSError."""

    def greet(self, deadline: float) -> None:
        """Connect, or see that the kept connection still stands."""

    def queues(self, names: Sequence[str], deadline: float) -> Queues:
        """Return the state of these queues."""

    def ask(self, deadline: float) -> None:
        """Put the questions to the workers."""

    def answers(self, deadline: float) -> Answers:
        """Return what has been answered since ``ask``, without waiting."""


class Events(Protocol):
    """A subscription to the events, for one thread. Raises OSError."""

    def open(self) -> None:
        """Subscribe."""

    def receive(self, seconds: float) -> Sequence[Content | None]:
        """Return the messages of at most as many seconds; None for one that is not understood."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Names:
    """How an application calls its exchanges, and prefixes its keys in Redis."""

    events: str = "celeryev"
    control: str = "celery.pidbox"
    key_prefix: str = ""

    @property
    def replies(self) -> str:
        """The exchange to which workers answer."""
        return f"reply.{self.control}"


#: Makes an ``Events``: a new one for each listener.
Subscribe = Callable[[], Events]
