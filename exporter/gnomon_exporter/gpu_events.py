"""XID errors: the driver's numbered events, counted as they happen by one thread."""

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.nvml import TIMEOUT, UNINITIALIZED, Gpu, address

log = logging.getLogger(__name__)

#: XIDs that a GPU has a series of from the start, at 0, so that the first event shows in
#: ``increase()``; in short words of our own. Any other gets its series with its first event.
XIDS: Mapping[int, str] = {
    13: "graphics engine exception",
    31: "memory page fault of a program",
    32: "corrupt push buffer",
    38: "firmware error",
    43: "program stopped",
    45: "program ended after an earlier error",
    46: "timeout",
    48: "uncorrectable memory error",
    56: "display engine error",
    57: "video memory programming error",
    61: "microcontroller warning",
    62: "microcontroller halt",
    63: "memory row or page marked for replacement",
    64: "memory row or page replacement failed",
    68: "video decoder exception",
    69: "graphics engine class error",
    74: "NVLink error",
    79: "fallen off the bus",
    92: "many correctable memory errors",
    94: "contained memory error",
    95: "uncontained memory error",
    109: "context switch timeout",
    119: "GSP firmware timeout",
    120: "GSP firmware error",
    121: "C2C link error",
    140: "uncorrected memory error",
    143: "initialisation error",
    149: "NVLink 5 error",
    154: "recovery action changed",
}

# nvmlEventTypeXidCriticalError.
_XID_EVENT = 8
# Milliseconds in the driver per wait: it sleeps there, so a wake-up in five seconds costs
# nothing, and NVML can be closed five seconds after it was asked for.
_WAIT = 5000
# Seconds between two attempts to register where the driver refuses.
_PAUSE = 60.0
# Seconds that a series born with its first event stands at 0, so that every scraper sees it rise.
_BIRTH = 60.0
# Seconds in which one line of log stands for any number of the same event.
_QUIET = 60.0


class XidWatch:
    """Counts XID events per GPU, over every opening of NVML.

    ``start`` has a daemon thread register for the GPUs' events and wait; there is at most one.
    It ends by itself when NVML fails; the next ``start`` begins anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int], float] = {}
        self._newest: dict[str, int] = {}
        self._born: dict[tuple[str, int], float] = {}
        self._watched: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()
        self._not_before = 0.0

    def start(self, nvml: Any, gpus: Iterable[Gpu]) -> None:
        """Watch these GPUs, unless a thread is watching already.

        nvml: the module that they were opened with.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        if time.monotonic() < self._not_before:
            return
        self._leave = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(nvml, list(gpus), self._leave), name="gpu events", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the process or its cgroup is out of threads
            self._not_before = time.monotonic() + _PAUSE
            log.warning("gpu events: %s", error)
        else:
            self._thread = thread

    def stop(self) -> bool:
        """Ask the thread to leave NVML; return whether it has, which takes it five seconds."""
        self._leave.set()
        self._not_before = 0.0
        return self._thread is None or not self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has left NVML. Call ``stop`` first."""
        if self._thread is not None:
            self._thread.join()

    def newest(self, uuid: str) -> int:
        """Return the XID that a GPU reported last, 0 if none."""
        return self._newest.get(uuid, 0)

    def families(self, uuids: Collection[str]) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the counters, also of GPUs that are lost, for then they are wanted most.

        uuids: every GPU that has been seen.
        """
        count = CounterMetricFamily(
            "nvidia_smi_xid_errors_total",
            "XID errors that the driver reported while it was watched.",
            labels=["uuid", "xid"],
        )
        last = GaugeMetricFamily(
            "nvidia_smi_xid_last_timestamp_seconds",
            "Unix time of the last such XID error.",
            labels=["uuid", "xid"],
        )
        watched = GaugeMetricFamily(
            "gnomon_gpu_xid_watched",
            "1 if the driver reports the GPU's XID errors to us.",
            labels=["uuid"],
        )
        now = time.monotonic()
        with self._lock:
            counts = {(uuid, xid): 0 for uuid in uuids for xid in XIDS} | self._counts
            for (uuid, xid), events in counts.items():
                labels = [uuid, str(xid)]
                shown = events
                if xid not in XIDS and now - self._born.setdefault((uuid, xid), now) < _BIRTH:
                    shown = 0
                count.add_metric(labels, shown)
                if (uuid, xid) in self._last:
                    last.add_metric(labels, self._last[uuid, xid])
            for uuid in uuids:
                watched.add_metric([uuid], int(uuid in self._watched))
        yield count
        yield last
        yield watched

    def _watch(self, nvml: Any, gpus: list[Gpu], leave: threading.Event) -> None:
        """Register, wait and count until asked to leave or NVML fails."""
        events = None
        try:
            events = nvml.nvmlEventSetCreate()
            uuids = _register(nvml, gpus, events)
            if not uuids:
                self._not_before = time.monotonic() + _PAUSE
                return
            self._watched = frozenset(uuids.values())
            while not leave.is_set():
                self._wait(nvml, events, uuids, leave)
        except nvml.NVMLError as error:
            self._not_before = time.monotonic() + _PAUSE
            log.debug("gpu events: %s", error)
            if error.value == UNINITIALIZED:
                events = None  # went with the rest of NVML: freeing it would be the crash
        finally:
            self._watched = frozenset()
            if events is not None:
                with contextlib.suppress(nvml.NVMLError):
                    nvml.nvmlEventSetFree(events)

    def _wait(
        self, nvml: Any, events: Any, uuids: Mapping[int | None, str], leave: threading.Event
    ) -> None:
        started = time.monotonic()
        try:
            event = nvml.nvmlEventSetWait_v2(events, _WAIT)
        except nvml.NVMLError as error:
            if error.value != TIMEOUT:
                raise
            # An interrupt ends a wait early, and some drivers do not wait at all.
            if time.monotonic() - started < _WAIT / 5000:
                leave.wait(_WAIT / 5000)
            return
        if event.eventType == _XID_EVENT:
            # By now the GPU may be unable to say its name.
            self._count(uuids.get(address(event.device), "unknown"), int(event.eventData))

    def _count(self, uuid: str, xid: int) -> None:
        now = time.time()
        with self._lock:
            before = self._last.get((uuid, xid), 0.0)
            self._counts[uuid, xid] = self._counts.get((uuid, xid), 0) + 1
            self._last[uuid, xid] = now
            self._newest[uuid] = xid
        if now - before > _QUIET:
            log.warning("GPU %s: XID %d (%s)", uuid, xid, XIDS.get(xid, "see NVIDIA's catalogue"))


def _register(nvml: Any, gpus: Iterable[Gpu], events: Any) -> dict[int | None, str]:
    """Ask for the XID events of each GPU; return the UUIDs of those that agree, by address."""
    uuids = {}
    for gpu in gpus:
        try:
            nvml.nvmlDeviceRegisterEvents(gpu.handle, _XID_EVENT, events)
        except nvml.NVMLError as error:
            log.debug("gpu events: %s reports none: %s", gpu, error)
        else:
            uuids[address(gpu.handle)] = gpu.uuid
    return uuids
