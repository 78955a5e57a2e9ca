"""What this process uses of NVIDIA's GPUs, asked of their driver in a thread of its own.

A driver that hangs holds that one thread and nobody else: nothing here waits longer than
``DEADLINE``, and not at all for a question that has been open for so long already.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gnomon import guard
from gnomon_exporter import nvml
from gnomon_exporter.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that anyone waits for the driver. One question takes a few milliseconds.
DEADLINE = 0.1

#: Seconds without a question after which the thread ends.
IDLE = 1.0

#: Seconds after which it is looked again whether there is a driver.
ABSENT = 30.0

# The first PID namespace's number (PROC_PID_INIT_INO), the same on every Linux.
_HOST_NAMESPACE = "pid:[4026531836]"

_installed = partial(nvml.installed, Paths())


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One answer of the driver.

    at: ``perf_counter``'s seconds when it was complete. absent: there is no driver, or it has no
    GPU. memory: bytes that this process holds on all GPUs; None if the driver does not tell, or
    counts processes in another PID namespace than ours. busy: from 0 to 1, the mean use of the
    GPUs that this process holds memory on, of all that we see where that is not known; None if
    the driver does not tell.
    """

    at: float
    absent: bool = False
    memory: int | None = None
    busy: float | None = None


class Gpus:
    """Asks the driver, one question at a time.

    tell: called with each answer, in the thread that asks. load, installed: give NVML, and say
    whether it is worth asking for. namespace: the link that names this process's PID namespace.
    """

    def __init__(
        self,
        tell: Callable[[GpuReading], None],
        *,
        load: Callable[[], Any] = nvml.load,
        installed: Callable[[], bool] = _installed,
        namespace: str = "/proc/self/ns/pid",
    ) -> None:
        self._tell = tell
        self._installed = installed
        self._driver = nvml.Driver(load, installed)
        self._namespace = namespace
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asked = 0
        self._answered = 0
        self._absent_until = 0.0
        self._began = 0.0  # when the open question was asked, 0 while there is none

    def ask(self) -> int:
        """Have the driver asked, and return the question's number; 0 if there is no driver."""
        now = perf_counter()
        if now < self._absent_until:
            return 0
        if not self._installed():
            self._absent_until = now + ABSENT
            return 0
        with self._news:
            if self._asked == self._answered or self._began:
                # A question that waits already will be asked after this moment: it is ours too.
                self._asked = self._answered + (2 if self._began else 1)
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="gnomon gpu", daemon=True)
                thread.start()
                self._thread = thread
            self._news.notify_all()
            return self._asked

    def settled(self, question: int) -> bool:
        """Whether there is nothing to wait for: it was answered, or the driver hangs."""
        return (
            self._answered >= question
            or self._thread is None
            or bool(self._began and perf_counter() - self._began > DEADLINE)
        )

    def wait(self, question: int) -> None:
        """Wait for an answer, no longer than ``DEADLINE``."""
        deadline = perf_counter() + DEADLINE
        with self._news:
            while not self.settled(question) and (left := deadline - perf_counter()) > 0:
                self._news.wait(left)

    def _work(self) -> None:
        while True:
            with self._news:
                while self._asked == self._answered:
                    if not self._news.wait(IDLE) and self._asked == self._answered:
                        self._thread = None
                        return
                question = self._answered + 1
                self._began = perf_counter()
            try:
                self._tell(self._answer())
            except Exception:
                guard.failed("gpu")
            with self._news:
                self._answered = question
                self._began = 0.0
                self._news.notify_all()

    def _answer(self) -> GpuReading:
        try:
            return self._read()
        except Exception:
            guard.failed("gpu")
            return GpuReading(perf_counter())

    def _read(self) -> GpuReading:
        if self._driver.due():
            self._driver.close()
        try:
            gpus = self._driver.gpus()
        except nvml.AbsentError:
            return GpuReading(perf_counter(), absent=True)
        comparable = self._comparable()
        # What cannot be known of one GPU cannot be known of their sum.
        held: list[int | None] = []
        uses: list[float | None] = []
        own_uses: list[float | None] = []
        for gpu in list(gpus):
            gpu.faults.clear()
            try:
                processes = gpu.ask("nvmlDeviceGetComputeRunningProcesses") if comparable else None
                rates = gpu.ask("nvmlDeviceGetUtilizationRates")
            except nvml.LostError as error:
                self._driver.lost(gpu, error)
                continue
            use = nvml.number(rates.gpu) if rates is not None else None
            ratio = None if use is None else use / 100
            uses.append(ratio)
            found = _held(processes)
            held.append(found)
            if found != 0:
                own_uses.append(ratio)
        known = comparable and bool(held) and None not in held
        return GpuReading(
            perf_counter(),
            memory=sum(size or 0 for size in held) if known else None,
            busy=(_mean(own_uses) if own_uses else 0.0) if known else _mean(uses),
        )

    def _comparable(self) -> bool:
        """Whether the driver's process numbers are ours: it counts in the host's namespace."""
        try:
            return os.readlink(self._namespace) == _HOST_NAMESPACE
        except OSError:
            return False


def _held(processes: Any) -> int | None:
    """Return the bytes that this process holds on one GPU, 0 if it is not there."""
    if processes is None:
        return None
    total = 0
    for process in processes:
        if process.pid == os.getpid():
            # In MIG mode a process stands here once for each of its instances.
            size = nvml.number(process.usedGpuMemory)
            if size is None:
                return None
            total += int(size)
    return total


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
