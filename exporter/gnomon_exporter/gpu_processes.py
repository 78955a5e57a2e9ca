"""Processes on a GPU: which, how much memory they hold, and what they use of its processors."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.nvml import Gpu, number
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

# The first PID namespace's number (PROC_PID_INIT_INO), the same on every Linux.
_HOST_NAMESPACE = "pid:[4026531836]"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Usage:
    """What runs on one GPU.

    count: processes with a compute context, None if NVML does not say.
    memory: bytes (None if unknown) by pid and name. sm: share of the processors by name.
    """

    count: int | None = None
    memory: dict[tuple[int, str], int | None] = field(default_factory=dict)
    sm: dict[str, float] = field(default_factory=dict)


class Processes:
    """Reads the processes of GPUs and their names, which are the kernel's: no command lines.

    NVML counts processes as the host does. Where /proc is not the host's, a number found there
    would name some other process; ``comparable`` says so, and nothing may be read then.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._seen: dict[str, int] = {}

    def comparable(self) -> bool:
        """Return whether we and the /proc that we read are in the host's PID namespace."""
        # "self" leads nowhere in a /proc of a namespace that we are not in.
        try:
            return os.readlink(self._paths.proc("self/ns/pid")) == _HOST_NAMESPACE
        except OSError:
            return False

    def read(self, gpu: Gpu) -> Usage:
        """Return what runs on a GPU. Raises LostError."""
        asked = time.clock_gettime(time.CLOCK_BOOTTIME)
        usage = Usage()
        processes = gpu.ask("nvmlDeviceGetComputeRunningProcesses")
        if processes is not None:
            usage.count = len({process.pid for process in processes})
            for process in processes:
                name = self._name(process.pid, asked)
                if name is not None:
                    key = (process.pid, name)
                    # In MIG mode a process stands here once for each of its instances.
                    usage.memory[key] = _sum(usage.memory.get(key), number(process.usedGpuMemory))
        self._read_sm(gpu, usage, asked)
        return usage

    def _read_sm(self, gpu: Gpu, usage: Usage, asked: float) -> None:
        """Add the use of the processors since the last scrape; absent in MIG mode."""
        seen = self._seen.get(gpu.uuid, 0)
        latest: dict[int, Any] = {}
        for sample in gpu.ask("nvmlDeviceGetProcessUtilization", seen) or ():
            # Some drivers leave slots of the buffer unset.
            if sample.pid and sample.timeStamp > seen and sample.smUtil <= 100:
                other = latest.get(sample.pid)
                if other is None or sample.timeStamp > other.timeStamp:
                    latest[sample.pid] = sample
        for pid, sample in latest.items():
            self._seen[gpu.uuid] = max(self._seen.get(gpu.uuid, 0), sample.timeStamp)
            name = self._name(pid, asked)
            if name is not None:
                usage.sm[name] = usage.sm.get(name, 0.0) + sample.smUtil / 100

    def _name(self, pid: int, asked: float) -> str | None:
        """Return a process's short name, None if it is gone or began after ``asked``."""
        try:
            stat = read(self._paths.proc(f"{pid}/stat"))
        except OSError:
            return None
        # "123 (name) S 1 ...": the name may hold blanks and parentheses itself.
        start, end = stat.find("("), stat.rfind(")")
        rest = stat[end + 1 :].split()
        if start < 0 or end < start or len(rest) < 20:
            return None
        # Field 22: clock ticks from boot to start. Later than the question: a reused number.
        return stat[start + 1 : end] if int(rest[19]) / _TICKS <= asked else None


def families(usages: Sequence[tuple[Gpu, Usage]]) -> Iterator[GaugeMetricFamily]:
    """Yield the families of what runs on several GPUs."""
    labels = ["uuid", "pid", "process_name"]
    count = GaugeMetricFamily(
        "nvidia_smi_compute_apps", "Processes that compute on the GPU.", labels=["uuid"]
    )
    info = GaugeMetricFamily(
        "nvidia_smi_compute_app_info", "A process computing on the GPU; always 1.", labels=labels
    )
    memory = GaugeMetricFamily(
        "nvidia_smi_compute_app_used_memory_bytes", "The process's GPU memory.", labels=labels
    )
    use = GaugeMetricFamily(
        "gnomon_gpu_process_sm_utilization_ratio",
        "Share of the GPU's multiprocessors that processes of this name used.",
        labels=["uuid", "groupname"],
    )
    for gpu, usage in usages:
        if usage.count is not None:
            count.add_metric([gpu.uuid], usage.count)
        for (pid, name), size in usage.memory.items():
            info.add_metric([gpu.uuid, str(pid), name], 1)
            if size is not None:
                memory.add_metric([gpu.uuid, str(pid), name], size)
        for name, ratio in usage.sm.items():
            use.add_metric([gpu.uuid, name], ratio)
    yield from (count, info, memory, use)


def _sum(one: int | None, other: Any) -> int | None:
    return one if other is None else int(other) + (one or 0)
