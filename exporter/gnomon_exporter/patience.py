"""Asking about many things of which some may never answer, such as statvfs on a dead server."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")

#: Seconds without work after which the helper ends, so that it does not outlive its owner.
_IDLE = 120.0


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Round(Generic[Thing, Answer]):
    """One call of ``answers``: what is left to ask, and what came back."""

    left: deque[Thing]
    unanswered: int
    answers: dict[Thing, Answer | Exception] = field(default_factory=dict)
    # One lock, taken by who waits and let go by who is done, wakes up at a third of the price
    # of an Event.
    done: threading.Lock = field(default_factory=_taken)


class Patience(Generic[Thing, Answer]):
    """Asks one function about one thing after the other, and waits no longer than told.

    One helper thread asks, and is kept for the next time. When it does not come through, others
    go on with the rest while it waits. A thing that has not answered is not asked again until it
    does, so it holds one thread at most, and ``limit`` bounds them all. One thread more is
    reserved for the things that answered the last time: those stay visible, however many hang.

    ask: called in a helper thread; an OSError or ValueError is an answer too.
    """

    def __init__(self, ask: Callable[[Thing], Answer], *, limit: int = 32) -> None:
        self._ask = ask
        self._limit = limit
        self._turn = threading.Lock()  # one round at a time
        self._lock = threading.Lock()  # guards all that follows, and the rounds
        self._asked: set[Thing] = set()  # and no answer so far
        self._answered: Collection[Thing] = ()  # the last time
        self._threads = 0
        self._idle: queue.SimpleQueue[_Round[Thing, Answer]] | None = None  # the kept helper's

    def answers(self, things: Iterable[Thing], timeout: float) -> dict[Thing, Answer | Exception]:
        """Return what is answered within ``timeout`` seconds; what hangs is missing."""
        deadline = time.monotonic() + timeout
        with self._turn:
            work = self._begin(things)
            # By half time all helpers are at work, if it needs that many.
            pause = timeout / 2 / self._limit
            while work.unanswered and (wait := deadline - time.monotonic()) > 0:
                if work.done.acquire(timeout=min(pause, wait)):
                    break
                if work.left and self._threads < self._limit:
                    self._start(work)
            with self._lock:
                work.left.clear()  # a helper that comes back late leaves it at that
                self._answered = answers = dict(work.answers)
            return answers

    def _begin(self, things: Iterable[Thing]) -> _Round[Thing, Answer]:
        """Hand what can be asked to a helper."""
        with self._lock:
            helper, self._idle = self._idle, None
            stuck = self._threads - (helper is not None)
            left = deque(thing for thing in dict.fromkeys(things) if thing not in self._asked)
            if stuck >= self._limit:
                known = self._answered if stuck == self._limit else ()
                left = deque(thing for thing in left if thing in known)
            work = _Round[Thing, Answer](left, len(left))
        if helper is not None:
            helper.put(work)
        elif left:
            self._start(work)
        return work

    def _start(self, work: _Round[Thing, Answer]) -> None:
        inbox: queue.SimpleQueue[_Round[Thing, Answer]] = queue.SimpleQueue()
        inbox.put(work)
        # A daemon: the interpreter does not wait for it at exit, stuck or not.
        thread = threading.Thread(target=self._help, args=(inbox,), name="patience", daemon=True)
        with self._lock:
            thread.start()
            self._threads += 1

    def _help(self, inbox: "queue.SimpleQueue[_Round[Thing, Answer]]") -> None:
        while True:
            try:
                work = inbox.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._idle is not inbox:
                        continue  # called this very moment: work is on its way
                    self._idle = None
                    self._threads -= 1
                return
            last = self._work_off(work)
            with self._lock:
                stays = self._idle is None
                if stays:
                    self._idle = inbox
                else:
                    self._threads -= 1
            if last:
                work.done.release()  # only now, so that the next round finds the helper idle
            if not stays:
                return

    def _work_off(self, work: _Round[Thing, Answer]) -> bool:
        """Ask until nothing is left; say whether the last answer came from here."""
        last = False
        while True:
            with self._lock:
                if not work.left:
                    return last
                thing = work.left.popleft()
                self._asked.add(thing)
            answer: Answer | Exception
            try:
                answer = self._ask(thing)
            except (OSError, ValueError) as error:
                answer = error
            with self._lock:
                self._asked.discard(thing)
                work.answers[thing] = answer
                work.unanswered -= 1
                last = not work.unanswered
