"""The thread that listens for Celery's events: one for each collector, while that lives."""

import contextlib
import logging
import threading
import time
import weakref

from gnomon_exporter.celery_broker import Events, Subscribe
from gnomon_exporter.celery_messages import events_in
from gnomon_exporter.celery_tally import Tally

log = logging.getLogger(__name__)

# Seconds of one wait for events: the thread ends so long after its collector.
_WAIT = 5.0
# Seconds between two attempts to subscribe: at first, and at most.
_PAUSE = 0.5
_LONGEST_PAUSE = 15.0


class Listener:
    """Feeds a tally with events, and subscribes anew whenever the broker was away.

    ``start`` has a daemon thread do so; there is at most one. It ends when this object is
    no longer used, as after a change of the configuration.
    """

    def __init__(self, subscribe: Subscribe, tally: Tally) -> None:
        self._subscribe = subscribe
        self._tally = tally
        self._state = _State()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._state.leave.set)

    @property
    def is_listening(self) -> bool:
        """Whether events come in now."""
        return self._state.is_listening

    @property
    def problem(self) -> str:
        """Why they do not; empty while they do, and before the first attempt is over."""
        return self._state.problem

    def start(self) -> None:
        """Listen, unless a thread does so already."""
        if self._thread is not None and self._thread.is_alive():
            return
        # The thread must not hold this object, or it would never be done with.
        thread = threading.Thread(
            target=_listen,
            args=(self._subscribe, self._tally, self._state),
            name="celery events",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:  # the process or its cgroup is out of threads
            self._state.problem = f"no thread for the events: {error}"
        else:
            self._thread = thread


class _State:
    """What the thread and its listener share."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.is_listening = False
        self.problem = ""


def _listen(subscribe: Subscribe, tally: Tally, state: _State) -> None:
    pause = _PAUSE
    while not state.leave.is_set():
        events = subscribe()
        since = time.monotonic()
        try:
            events.open()
            state.is_listening, state.problem = True, ""
            tally.resume()
            _take(events, tally, state)
        except OSError as error:
            state.is_listening, state.problem = False, str(error)
            log.debug("celery events: %s", error)
        finally:
            with contextlib.suppress(OSError):
                events.close()
        if time.monotonic() - since > _LONGEST_PAUSE:
            pause = _PAUSE
        state.leave.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    state.is_listening = False


def _take(events: Events, tally: Tally, state: _State) -> None:
    """Hand events on until asked to leave. Raises OSError when the broker is gone."""
    while not state.leave.is_set():
        for content in events.receive(_WAIT):
            found = events_in(content) if content is not None else None
            if found is None:
                tally.reject()
            for event in found or ():
                tally.take(event)
