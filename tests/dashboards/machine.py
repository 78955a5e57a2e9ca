"""gnomon-exporter as a program, on a machine that has everything: what this one lacks is recorded.

GPUs answer by script, and work more and less with time; sensors, RAID, memory controllers and
control groups are those of a recorded machine, and the groups' counters rise. All else is the host.
"""

import contextlib
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

from gnomon_exporter.__main__ import main
from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.collectors.cgroup import CgroupCollector
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.nvml import Driver
from gnomon_exporter.paths import Paths
from gnomon_exporter.registry import Entry
from scripted_nvml import FIXTURES, ScriptedNvml

METAL = Paths(str(FIXTURES.parent / "metal"))

#: Collectors of hardware, which virtual machines have little of.
HARDWARE = ("cpufreq", "edac", "hwmon", "mdadm", "nvme", "rapl", "thermal_zone")
#: What a kernel may have or not.
KERNEL = ("conntrack", "pressure", "schedstat", "softnet")

_PAUSE_S = 2.0
#: How long a control group lasts that is begun anew.
_BEGUN_S = 70.0
#: Between two errors that a driver reports, and between two processes that the kernel kills.
_XID_S = _KILLED_S = 45.0


def _steadily(what):
    """Run a function every few seconds with the seconds since the start, in the background."""
    start = time.monotonic()

    def loop():
        while True:
            what(time.monotonic() - start)
            time.sleep(_PAUSE_S)

    threading.Thread(target=loop, daemon=True).start()


class Gpus(GpuCollector):
    """Three GPUs: one that is busy, one that idles, one that is cut into pieces."""

    def __init__(self, paths: Paths) -> None:
        nvml = ScriptedNvml("two-gpus.yml")
        nvml.gpus += yaml.safe_load((FIXTURES / "mig.yml").read_text())["gpus"]
        busy = nvml.gpus[0]
        # Processes that there are: this one, and what started it.
        for process, pid in zip(
            busy["nvmlDeviceGetComputeRunningProcesses"], (os.getpid(), os.getppid()), strict=True
        ):
            for sample in busy["nvmlDeviceGetProcessUtilization"]:
                if sample["pid"] == process["pid"]:
                    sample["pid"] = pid
            process["pid"] = pid
        energy = busy["nvmlDeviceGetTotalEnergyConsumption"]
        total = busy["nvmlDeviceGetMemoryInfo(v2)"]["total"]

        def work(seconds: float) -> None:
            load = 0.6 + 0.3 * math.sin(seconds / 60)
            used = int(total * (0.4 + 0.2 * load))
            busy["nvmlDeviceGetUtilizationRates"] = {
                "gpu": int(100 * load),
                "memory": int(50 * load),
            }
            busy["nvmlDeviceGetMemoryInfo(v2)"] |= {
                "used": used,
                "free": total - used - busy["nvmlDeviceGetMemoryInfo(v2)"]["reserved"],
            }
            for sample in busy["nvmlDeviceGetProcessUtilization"]:
                sample["timeStamp"] += 1000 if sample["pid"] else 0
            busy["nvmlDeviceGetPowerUsage"] = int(700_000 * (0.2 + 0.6 * load))
            busy["nvmlDeviceGetTemperature(0)"] = int(40 + 35 * load)
            busy["nvmlDeviceGetTotalEnergyConsumption"] = energy + int(450_000 * seconds)
            if seconds - self._told > _XID_S:
                self._told = seconds
                nvml.event(0, 31)  # a fault of an application's own
            busy["fields"][74]["value"] = 212_553_937_000 + int(50_000_000 * seconds)

        self._told = 0.0
        _steadily(work)
        super().__init__(paths, processes=True, _driver=Driver(lambda: nvml, lambda: True))
        # Their numbers are ours, whatever namespace this is.
        self._processes.comparable = lambda: True  # type: ignore[union-attr,method-assign]


class Groups(CgroupCollector):
    """The recorded machine's control groups, which go on working."""

    def __init__(self, paths: Paths) -> None:
        del paths
        folder = tempfile.mkdtemp(prefix="gnomon-cgroup-", dir=os.environ["GNOMON_TEST_FOLDER"])
        shutil.copytree(METAL.sys("fs/cgroup"), f"{folder}/fs/cgroup")
        files = {path: path.read_text() for path in Path(folder).rglob("cpu.stat")}

        pod = next(path for path in files if path.parent.suffix == ".scope")
        events = Path(folder, "fs/cgroup/system.slice/api.service/memory.events")

        def work(seconds: float) -> None:
            for path, text in files.items():
                lines = [line.split() for line in text.splitlines()]
                # One of them is begun anew from time to time.
                age = seconds % _BEGUN_S if path == pod else seconds
                base = 0 if path == pod else 1
                new = [f"{key} {int(number) * base + _grown(key, age)}" for key, number in lines]
                other = path.with_suffix(".new")
                other.write_text("\n".join(new) + "\n")
                other.rename(path)
            killed = int(seconds / _KILLED_S)
            events.write_text(f"low 0\nhigh 0\nmax {killed}\noom {killed}\noom_kill {killed}\n")

        work(0)
        _steadily(work)
        super().__init__(Paths(procfs=METAL.proc("").rstrip("/"), sysfs=folder), pressure=True)


def _grown(key: str, seconds: float) -> int:
    """Return by how much a line of cpu.stat has grown."""
    rates = {
        "usage_usec": 300_000,
        "user_usec": 220_000,
        "system_usec": 80_000,
        "nr_periods": 10,
        "nr_throttled": 0.5,
        "throttled_usec": 20_000,
    }
    return int(rates.get(key, 0) * seconds)


def _recorded(name: str) -> Entry:
    """Return the collector's entry, with the recorded machine in place of this one."""
    entry = COLLECTORS[name]

    class Recorded(entry.factory):  # type: ignore[name-defined,misc]
        def __init__(self, paths: Paths) -> None:
            del paths
            super().__init__(METAL)

    return Entry(Recorded, threaded=entry.threaded, node=entry.node)


def _lacks(name: str) -> bool:
    """Whether this machine has nothing of a collector's subject."""
    with contextlib.suppress(NoData, OSError):
        return not any(family.samples for family in COLLECTORS[name].factory(Paths()).collect())
    return True


if __name__ == "__main__":
    replaced = {
        "gpu": Entry(Gpus, threaded=True, node=False),
        "cgroup": Entry(Groups, node=False),
        **{name: _recorded(name) for name in HARDWARE},
        **{name: _recorded(name) for name in KERNEL if _lacks(name)},
    }
    sys.exit(main(registry=COLLECTORS | replaced))
