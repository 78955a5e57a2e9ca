"""Calls of a blocking client that are waited for only so long, whatever the client's own limits.

A client's timeouts hold for each read and each attempt, and not for the look-up of a name: their
sum has no bound that one could rely on.
"""

from __future__ import annotations

import contextvars
import os
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Most calls at a time, those included that nobody waits for any longer.
LIMIT = 16

#: Seconds after which a thread without work ends.
IDLE = 60.0


class _Job:
    __slots__ = ("abandoned", "context", "done", "error", "result", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.context = contextvars.copy_context()
        self.done = threading.Lock()
        self.done.acquire()
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if not self.abandoned:
                self.result = self.context.run(self.work)
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()


class Threads:
    """Daemon threads, started as they are needed, that nobody waits for at the process's end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._threads = 0
        self._idle = 0

    def run(self, work: Callable[[], Any], seconds: float) -> Any:
        """Return what ``work`` returns, or raise what it raises.

        Raises TimeoutError if that takes longer than so many seconds; it goes on, and what comes
        of it is dropped.
        """
        job = _Job(work)
        with self._lock:
            if self._pid != os.getpid():  # a child of fork has none of its parent's threads
                self._reset()
            jobs = self._jobs
            if self._idle <= jobs.qsize() and self._threads < LIMIT:
                threading.Thread(
                    target=self._work, args=(jobs,), name=self._name, daemon=True
                ).start()
                self._threads += 1
            jobs.put(job)
        if not job.done.acquire(timeout=seconds):
            job.abandoned = True
            raise TimeoutError(f"no answer within {seconds:g} s")
        if job.error is not None:
            raise job.error
        return job.result

    def _work(self, jobs: SimpleQueue[_Job]) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                job = jobs.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    self._idle -= 1
                    if jobs.empty():  # whoever adds a job looks at the numbers under this lock
                        self._threads -= 1
                        return
                continue
            with self._lock:
                self._idle -= 1
            job.run()
            del job  # or its result would live until the next
