"""NVIDIA GPUs, from their driver by NVML."""

import logging
import threading
import weakref
from collections.abc import Iterator
from functools import partial

from gnomon_exporter import gpu_mig, gpu_processes, gpu_readings, nvml
from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.gpu_dcgm import PCIE_REPLAYS, Aliases
from gnomon_exporter.gpu_events import XidWatch
from gnomon_exporter.gpu_mig import Instances, Mig
from gnomon_exporter.gpu_processes import Processes, Usage
from gnomon_exporter.nvml import AbsentError, Driver, DriverError, Gpu, LostError, number
from gnomon_exporter.paths import Paths

log = logging.getLogger(__name__)


class GpuError(Exception):
    """A GPU that should be there is not, or does not answer."""


class GpuCollector:
    """NVIDIA GPUs: use, memory, power, heat, clocks, errors, MIG instances.

    Settings:
    expected: GPUs that must be there; fewer, or no driver, is a failure. With 0 a machine without
    a GPU just has no GPU series, and a GPU is missed only once it has been seen.
    processes: memory and use by process; needs the host's PID namespace.
    dcgm: the same readings again under dcgm-exporter's names.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        expected: int = 0,
        processes: bool = False,
        dcgm: bool = False,
        _driver: Driver | None = None,
    ) -> None:
        if expected < 0:
            raise ValueError("expected: a number of GPUs, 0 or more")
        self._expected = expected
        self._driver = _driver or Driver(nvml.load, partial(nvml.installed, paths))
        self._watch = XidWatch()
        self._mig = Mig()
        self._processes = Processes(paths) if processes else None
        self._dcgm = Aliases() if dcgm else None
        self._warned = False
        # A new configuration makes a new collector: then the old one's thread must leave NVML.
        weakref.finalize(self, _retire, self._driver, self._watch, self._mig).atexit = False

    def collect(self) -> Iterator[Metric]:
        """Yield the readings of the GPUs that answer, and the XID errors of all that ever did.

        Raises NoData without driver or GPU; GpuError, after everything else, if one is missing.
        """
        try:
            gpus = self._gpus()
        except (AbsentError, DriverError) as error:
            known = self._driver.known
            if isinstance(error, AbsentError) and not known and not self._expected:
                raise NoData(str(error)) from error
            if known:
                yield from self._watch.families(known)
            raise GpuError(f"0 of {max(self._expected, len(known), 1)} GPUs: {error}") from error
        readings: list[tuple[Gpu, dict[str, float]]] = []
        instances: list[tuple[Gpu, Instances]] = []
        usages: list[tuple[Gpu, Usage]] = []
        troubles: dict[str, str] = {}
        comparable = self._comparable()
        for gpu in gpus:
            gpu.faults.clear()
            try:
                values = gpu_readings.read(gpu)
                parts = self._mig.read(gpu) if values.get("mig_mode_current") else None
                usage = self._processes.read(gpu) if self._processes and comparable else None
                if self._dcgm:
                    replays = number(gpu.ask("nvmlDeviceGetPcieReplayCounter"))
                    values |= {} if replays is None else {PCIE_REPLAYS: replays}
            except LostError as error:
                self._driver.lost(gpu, error)
                continue
            readings.append((gpu, values))
            if parts:
                instances.append((gpu, parts))
            if usage:
                usages.append((gpu, usage))
            if gpu.faults:
                troubles[str(gpu)] = ", ".join(f"{f}: {why}" for f, why in gpu.faults.items())
        troubles |= self._driver.troubles()
        if readings:
            self._watch.start(self._driver.nvml, [gpu for gpu, _ in readings])
        yield from gpu_readings.families(readings)
        yield from gpu_mig.families(instances)
        yield from gpu_processes.families(usages)
        yield from self._watch.families(self._driver.known)
        if self._dcgm:
            newest = {gpu.uuid: self._watch.newest(gpu.uuid) for gpu, _ in readings}
            yield from self._dcgm.families(readings, instances, newest)
        if len(readings) < self._expected:
            troubles[f"{len(readings)} of {self._expected} expected GPUs"] = (
                "the others are missing"
            )
        yield GaugeMetricFamily(
            "nvidia_smi_last_collect_success",
            "1 if every GPU answered every question that it should.",
            int(not troubles),
        )
        if troubles:
            raise GpuError("; ".join(f"{where}: {what}" for where, what in troubles.items()))

    def _gpus(self) -> list[Gpu]:
        """Return the GPUs to ask, after looking again for one that was lost."""
        if self._driver.due() and self._watch.stop():
            self._mig.release(self._driver.nvml)
            self._driver.close()
        return self._driver.gpus()

    def _comparable(self) -> bool:
        """Return whether processes may be read; say once if they are asked for and may not."""
        if self._processes is None:
            return False
        comparable = self._processes.comparable()
        if not comparable and not self._warned:
            log.warning("gpu: no processes, for this is not the host's PID namespace (--pid=host)")
        self._warned = not comparable
        return comparable


def _retire(driver: Driver, watch: XidWatch, mig: Mig) -> None:
    """Let go of NVML once the thread has left it, without making anyone wait."""
    if driver.nvml is None:
        return

    def close() -> None:
        watch.join()
        mig.release(driver.nvml)
        driver.close()

    watch.stop()
    threading.Thread(target=close, name="gpu retired", daemon=True).start()
