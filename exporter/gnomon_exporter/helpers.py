"""Threads for what may hang: one for all while they are quick, more only where one is stuck."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

#: Seconds after which a job that is under way no longer holds up those behind it.
PAUSE = 0.02


class Helpers:
    """Runs jobs in daemon threads, in the order they came.

    A thread for each job would cost a tenth of a millisecond each, and side by side they would
    wait for the interpreter's lock at every system call. So one helper, which is kept, does them
    all. Whoever waits for a job calls ``hurry`` after PAUSE, and another helper goes on with the
    rest. A job that hangs for ever holds one thread, which the interpreter does not wait for at
    its end.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting = 0  # of them, for a job

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job, which must not raise, soon. Raises RuntimeError when no thread can be had."""
        with self._lock:
            if not self._threads:
                self._start()
        self._jobs.put(job)

    def hurry(self) -> None:
        """Start another helper if jobs wait for one that does not come through."""
        with self._lock:
            if self._waiting or self._jobs.empty():
                return
            with suppress(RuntimeError):  # no thread to be had: the jobs go on waiting
                self._start()

    def _start(self) -> None:
        threading.Thread(target=self._help, name="helper", daemon=True).start()
        self._threads += 1
        self._waiting += 1

    def _help(self) -> None:
        while True:
            job = self._jobs.get()
            with self._lock:
                self._waiting -= 1
            job()
            with self._lock:
                if self._waiting:  # one is enough
                    self._threads -= 1
                    return
                self._waiting += 1
