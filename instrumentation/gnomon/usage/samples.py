"""The looks at the process and its GPUs during one piece of work, and what they come to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnomon.usage.gpu import GpuReading
    from gnomon.usage.readings import Reading


class Samples:
    """Looks at the process between the beginning and the end of one piece of work.

    first: the look at its beginning. interval: seconds between two looks. Values are in base
    units: seconds, bytes, 1 for one core or for a whole GPU; None where nothing was seen.
    """

    def __init__(self, first: Reading, interval: float) -> None:
        self.interval = interval
        self.first = self.last = first
        self._lock = threading.RLock()
        self._closed = False
        self._window = first  # where the present window of CPU use began
        self._fastest: float | None = None
        self._sum = first.resident or 0
        self._count = 0 if first.resident is None else 1
        self._highest = first.resident
        #: Whether there is a driver, of which an answer can be expected.
        self.gpu_expected = False
        self._gpu: GpuReading | None = None
        self._gpu_closed = False
        self._gpu_memory_peak: int | None = None
        self._gpu_uses: list[float] = []

    def sampled(self, reading: Reading, *, last: bool = False) -> None:
        """Take in a look at the process, the last one if nothing shall be taken in after it."""
        with self._lock:
            if self._closed or reading.at <= self.last.at:
                return
            self._closed = last
            self.last = reading
            self._look_at_cpu(reading, last=last)
            if reading.resident is not None:
                self._sum += reading.resident
                self._count += 1
            sizes = [self._highest, reading.resident]
            if reading.highest is not None and reading.highest > (self.first.highest or 0):
                sizes.append(reading.highest)  # the process was never so big before this work
            self._highest = max((size for size in sizes if size is not None), default=None)

    def gpu_sampled(self, reading: GpuReading) -> None:
        """Take in an answer of the GPUs' driver."""
        with self._lock:
            if self._gpu_closed:
                return
            self._gpu = reading
            if reading.memory is not None:
                self._gpu_memory_peak = max(self._gpu_memory_peak or 0, reading.memory)
            if reading.busy is not None:
                self._gpu_uses.append(reading.busy)

    def close(self) -> None:
        """Take in nothing any more."""
        with self._lock:
            self._closed = self._gpu_closed = True

    def _look_at_cpu(self, reading: Reading, *, last: bool) -> None:
        window = reading.at - self._window.at
        # In a very short time the use is nothing or everything: that time is joined to the next.
        if window < self.interval / 10 and not (last and self._fastest is None):
            return
        self._fastest = max(self._fastest or 0.0, (reading.cpu - self._window.cpu) / window)
        self._window = reading

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return self.last.at - self.first.at

    @property
    def cpu_seconds(self) -> float:
        """What the whole process used meanwhile."""
        return self.last.cpu - self.first.cpu

    @property
    def cpu_avg(self) -> float | None:
        """The process's cores in use, over the whole time."""
        return self.cpu_seconds / self.seconds if self.seconds > 0 else None

    @property
    def cpu_max(self) -> float | None:
        """The process's cores in use in the busiest interval."""
        average = self.cpu_avg
        return average if average is None else max(average, self._fastest or 0.0)

    @property
    def ram_avg(self) -> float | None:
        """The process's resident memory, the mean of all looks."""
        return self._sum / self._count if self._count else None

    @property
    def ram_peak(self) -> int | None:
        """The process's largest resident memory."""
        return self._highest

    @property
    def ram_added(self) -> int | None:
        """By how much the process's resident memory grew from the beginning to the end."""
        if self.last.resident is None or self.first.resident is None:
            return None
        return self.last.resident - self.first.resident

    @property
    def gpu_absent(self) -> bool:
        """Whether it is known that there is no GPU."""
        return not self.gpu_expected if self._gpu is None else self._gpu.absent

    @property
    def vram(self) -> int | None:
        """The process's GPU memory by the latest answer, None if that is too old."""
        gpu = self._gpu
        if gpu is None or self.last.at - gpu.at > max(1.0, self.interval):
            return None
        return gpu.memory

    @property
    def vram_peak(self) -> int | None:
        """The process's largest GPU memory."""
        return self._gpu_memory_peak

    @property
    def gpu_busy(self) -> float | None:
        """The use of the process's GPUs, the mean of all answers."""
        with self._lock:
            return sum(self._gpu_uses) / len(self._gpu_uses) if self._gpu_uses else None
