"""One collector under guard: timed, bounded, and unable to harm the others.

This is the exporter's only broad ``except``.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from gnomon_exporter.collector import Collector, NoData
from gnomon_exporter.exposition import write
from gnomon_exporter.families import Labels, Metric
from gnomon_exporter.helpers import PAUSE, Helpers

log = logging.getLogger(__name__)

#: Seconds for which a subject of which nothing was found is not looked for again: most machines
#: have some twenty such collectors, and hardware and modules do not come every ten seconds.
ABSENT = 30.0


@dataclass(slots=True)
class Outcome:
    """What one run of a collector gave.

    success: True, False, or None when the machine has nothing of the subject.
    duration: seconds, from the start of the run.
    families: what was yielded, also before a failure; at most ``cap`` series each.
    texts: the same, each as classic text.
    dropped: series beyond the cap, or in families that cannot be written.
    """

    success: bool | None
    duration: float = 0.0
    families: list[Metric] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    error: str | None = None
    dropped: int = 0


class Flight:
    """A run under way, shared by every scrape that asks meanwhile."""

    __slots__ = ("_latch", "outcome", "started")

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.outcome: Outcome | None = None
        # Held until the run is over: an Event would cost five times as much, for each collector.
        self._latch = threading.Lock()
        self._latch.acquire()

    def land(self, outcome: Outcome) -> None:
        """Let go of everyone who waits."""
        self.outcome = outcome
        self._latch.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the run; say whether it is over."""
        if self.outcome is None and self._latch.acquire(timeout=seconds):
            self._latch.release()
        return self.outcome is not None


class _Written(NamedTuple):
    """A family's series without others, and their text."""

    rows: Sequence[tuple[Labels, float]]
    labels: Labels
    text: str


class Guard:
    """Runs one collector for any number of scrapes at once.

    A scrape calls ``begin``, then ``finish``. While a run is under way, further scrapes share it
    instead of starting another; so a collector that hangs holds one thread, whatever the number
    of scrapes. Once it is over its timeout, they fail at once instead of waiting. A subject of
    which nothing was found is looked for again after ABSENT seconds.

    helpers: the threads for a collector that may hang; None runs it in line. In line it cannot
    be interrupted: if it hangs against all expectation, it takes the one scrape that started it
    along, and no other.
    timeout: seconds a run may take.
    cap: most series of one family, and most families.
    target: which of several of its kind this is, for the log.
    """

    def __init__(
        self,
        name: str,
        collector: Collector,
        *,
        timeout: float,
        cap: int,
        helpers: Helpers | None = None,
        target: str = "",
    ) -> None:
        self.name = name
        self.collector = collector
        self.last: Outcome | None = None
        self.last_run: float | None = None  # unix time
        self.last_success: float | None = None  # unix time
        self.dropped_total = 0
        self.threaded = helpers is not None
        self._title = f"{name}, target {target}," if target else name
        self._timeout = timeout
        self._helpers = helpers
        self._cap = cap
        self._lock = threading.Lock()
        self._flight: Flight | None = None
        self._absent: Flight | None = None  # the last run, if it found nothing
        self._written: dict[str, _Written] = {}  # by the last run

    def begin(self) -> Flight:
        """Start a run, or join the one under way.

        A threaded collector is about to run when this returns, any other has run.
        """
        with self._lock:
            if self._flight is not None:
                return self._flight
            if self._absent is not None and time.monotonic() < self._absent.started + ABSENT:
                return self._absent
            flight = self._flight = Flight()
        if self._helpers is None:
            self._run(flight)
            return flight
        try:
            self._helpers.submit(partial(self._run, flight))
        except RuntimeError as error:  # the process or its cgroup is out of threads
            self._land(flight, Outcome(success=False, error=str(error)))
        return flight

    def wait(self, flight: Flight, until: float) -> bool:
        """Wait for a run, but not beyond its timeout; say whether it is over."""
        end = min(until, flight.started + self._timeout)
        while flight.outcome is None and (left := end - time.monotonic()) > 0:
            if not flight.wait(min(left, PAUSE)) and self._helpers is not None:
                self._helpers.hurry()
        return flight.outcome is not None

    def finish(self, flight: Flight, deadline: float) -> Outcome:
        """Return the outcome of a run, a failure if it is not there by ``deadline`` (monotonic)."""
        if self.wait(flight, deadline) and flight.outcome is not None:
            return flight.outcome
        running = time.monotonic() - flight.started
        outcome = Outcome(
            success=False, duration=running, error=f"timed out: no answer after {running:.3g} s"
        )
        self._note(outcome)
        return outcome

    def _run(self, flight: Flight) -> None:
        outcome = Outcome(success=True)
        try:
            self._gather(outcome, until=flight.started + self._timeout)
        except NoData as reason:
            outcome.success, outcome.error = None, str(reason)
        except OSError as error:
            outcome.success, outcome.error = False, str(error)
        except Exception as error:  # the one place that must outlive any collector
            outcome.success, outcome.error = False, f"{type(error).__name__}: {error}"
            if self.last is None or self.last.success is not False:
                log.debug("collector %s: traceback follows", self._title, exc_info=True)
        outcome.duration = round(time.monotonic() - flight.started, 6)
        self._land(flight, outcome)

    def _gather(self, outcome: Outcome, until: float) -> None:
        """Fill an outcome, family by family, within the bounds."""
        before, self._written = self._written, {}
        for family in self.collector.collect():
            size = len(family.rows) + len(family.others)
            if not size:
                continue
            if size > self._cap:
                outcome.dropped += family.cut(self._cap)
            try:
                text = self._text(family, before.get(family.name))
            except (ValueError, TypeError) as error:
                outcome.dropped += len(family)
                outcome.success, outcome.error = False, f"{family.name[:80]}: {error}"
                continue
            outcome.families.append(family)
            outcome.texts.append(text)
            if len(outcome.families) > self._cap:
                raise RuntimeError(f"yields more than {self._cap} families")
            if time.monotonic() > until:
                raise TimeoutError(f"timed out: not done after {self._timeout:.3g} s")

    def _text(self, family: Metric, before: _Written | None) -> str:
        """Return a family's text: that of the last run if nothing in it has changed.

        On most hosts that is half of them, and to compare costs a tenth of writing.
        """
        if (
            before is not None
            and before.rows == family.rows
            and before.labels == family.labels
            and not family.others
        ):
            text = before.text
        else:
            text = write(family)
        self._written[family.name] = _Written(family.rows, family.labels, text)
        return text

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        with self._lock:
            self._flight = None
            self._absent = None if outcome.success is False or outcome.texts else flight
            self.dropped_total += outcome.dropped
        self._note(outcome)
        flight.land(outcome)  # last, so that who waited finds everything noted

    def _note(self, outcome: Outcome) -> None:
        """Remember an outcome and log a change of state, not every repetition."""
        with self._lock:
            before, self.last = self.last, outcome
            self.last_run = round(time.time(), 3)
            if outcome.success:
                self.last_success = self.last_run
        if before is not None and before.success == outcome.success:
            return
        if outcome.success is False:
            log.error("collector %s failed: %s", self._title, outcome.error)
        elif outcome.success is None:
            log.debug("collector %s has nothing to report: %s", self._title, outcome.error)
        elif before is not None:
            log.info("collector %s works again", self._title)
