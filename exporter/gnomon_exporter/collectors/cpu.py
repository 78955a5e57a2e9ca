"""CPU time by mode, thermal throttling, and which CPUs are online or isolated.

From /proc/stat and /sys/devices/system/cpu; with ``info`` from /proc/cpuinfo too.
"""

import os
from collections.abc import Iterator, Mapping, Sequence

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int, numbers, read

#: The kernel's order of a CPU's columns in /proc/stat (Documentation/filesystems/proc).
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE = _MODES.index("idle")
_GUEST_MODES = ("user", "nice")

#: The kernel shows every architecture's time to user space in hundredths of a second (USER_HZ).
_TICKS = 100

#: A CPU whose idle time falls by this much was unplugged and starts anew; less is imprecision.
_RESTART = 3 * _TICKS

#: What /proc/cpuinfo calls the labels of node_cpu_info (x86's words; other CPUs have a few).
_INFO_LABELS = {
    "package": "physical id",
    "core": "core id",
    "cpu": "processor",
    "vendor": "vendor_id",
    "family": "cpu family",
    "model": "model",
    "model_name": "model name",
    "microcode": "microcode",
    "stepping": "stepping",
    "cachesize": "cache size",
}


class CpuCollector:
    """CPU time by mode, throttling by heat, and which CPUs are online or isolated.

    guest: also report the time spent in virtual machines.
    info: also report each CPU's model and frequency from /proc/cpuinfo.
    info_flags_include: regular expression of the first CPU's feature flags to report; sets info.
    info_bugs_include: regular expression of the first CPU's known bugs to report; sets info.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        guest: bool = True,
        info: bool = False,
        info_flags_include: str = "",
        info_bugs_include: str = "",
    ) -> None:
        self._stat = paths.proc("stat")
        self._cpuinfo = paths.proc("cpuinfo")
        self._cpus = paths.sys("devices/system/cpu")
        self._guest = guest
        self._info = info or bool(info_flags_include) or bool(info_bugs_include)
        self._listed = [
            (family, compiled(setting, expression))
            for setting, expression, family in (
                ("info_flags_include", info_flags_include, _FLAG),
                ("info_bugs_include", info_bugs_include, _BUG),
            )
            if expression
        ]
        self._ticks: dict[str, list[int]] = {}
        self._topology: dict[str, tuple[str, str]] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield times, then what /sys knows of the CPUs."""
        if self._info:
            yield from self._described()
        yield from self._times()
        yield from self._isolated()
        cpus = self._numbers()
        yield from self._throttles(cpus)
        yield from self._online(cpus)

    def _times(self) -> Iterator[Metric]:
        self._ticks = {
            cpu: _risen(self._ticks.get(cpu), ticks) for cpu, ticks in _ticks(self._stat)
        }
        seconds = CounterMetricFamily(
            "node_cpu_seconds_total",
            "Time that the CPU spent in each mode.",
            labels=["cpu", "mode"],
        )
        guest = CounterMetricFamily(
            "node_cpu_guest_seconds_total",
            "Time that the CPU ran virtual machines; it is part of the user and nice time.",
            labels=["cpu", "mode"],
        )
        for cpu, ticks in self._ticks.items():
            for mode, count in zip(_MODES, ticks, strict=False):
                seconds.add_metric((cpu, mode), count / _TICKS)
            if self._guest:
                for mode, count in zip(_GUEST_MODES, ticks[len(_MODES) :], strict=False):
                    guest.add_metric((cpu, mode), count / _TICKS)
        yield seconds
        yield guest

    def _throttles(self, cpus: Sequence[str]) -> Iterator[Metric]:
        """Yield how often heat slowed a core or package: once each, for their threads share it."""
        cores: dict[tuple[str, str], int] = {}
        packages: dict[str, int] = {}
        for cpu in cpus:
            folder = f"{self._cpus}/cpu{cpu}"
            if not os.path.isdir(f"{folder}/thermal_throttle"):
                self._topology.pop(cpu, None)  # this CPU is offline, or of another make
                continue
            if (place := self._place(cpu)) is None:
                continue
            if place not in cores:
                count = attribute_int(f"{folder}/thermal_throttle/core_throttle_count")
                if count is not None:
                    cores[place] = count
            if place[0] not in packages:
                count = attribute_int(f"{folder}/thermal_throttle/package_throttle_count")
                if count is not None:
                    packages[place[0]] = count
        family = CounterMetricFamily(
            "node_cpu_package_throttles_total",
            "Times that heat slowed the CPU package.",
            labels=["package"],
        )
        for package, count in packages.items():
            family.add_metric((package,), count)
        yield family
        family = CounterMetricFamily(
            "node_cpu_core_throttles_total",
            "Times that heat slowed the CPU core.",
            labels=["package", "core"],
        )
        for place, count in cores.items():
            family.add_metric(place, count)
        yield family

    def _place(self, cpu: str) -> tuple[str, str] | None:
        """Return a CPU's package and core, which stay the same while it is online."""
        if (place := self._topology.get(cpu)) is None:
            folder = f"{self._cpus}/cpu{cpu}/topology"
            package = attribute_int(f"{folder}/physical_package_id")
            core = attribute_int(f"{folder}/core_id")
            # -1 is the kernel's word for an unknown package.
            if package is None or core is None or package < 0 or core < 0:
                return None
            place = self._topology[cpu] = (str(package), str(core))
        return place

    def _isolated(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "node_cpu_isolated", "1 if the scheduler leaves the CPU alone.", labels=["cpu"]
        )
        for cpu in numbers(attribute(f"{self._cpus}/isolated") or ""):
            family.add_metric((str(cpu),), 1)
        yield family

    def _online(self, cpus: Sequence[str]) -> Iterator[Metric]:
        """Yield which CPUs are online, where the first one can be switched too."""
        if not cpus or not os.path.exists(f"{self._cpus}/cpu{cpus[0]}/online"):
            return
        online = attribute(f"{self._cpus}/online")
        if online is None:
            return
        running = frozenset(numbers(online))
        family = GaugeMetricFamily(
            "node_cpu_online", "1 if the CPU is online, 0 if it is switched off.", labels=["cpu"]
        )
        for cpu in cpus:
            family.add_metric((cpu,), int(int(cpu) in running))
        yield family

    def _numbers(self) -> list[str]:
        """Return the numbers of the CPUs that /sys has a folder for.

        They are in the order of text, as node_exporter's, so that of a core's threads the same
        one answers for the core.
        """
        try:
            names = os.listdir(self._cpus)
        except OSError:
            return []
        found = (name[3:] for name in names if name.startswith("cpu"))
        return sorted(number for number in found if number.isdecimal())

    def _described(self) -> Iterator[Metric]:
        cpus = _described_cpus(self._cpuinfo)
        info = GaugeMetricFamily(
            "node_cpu_info", "1, with the CPU's model as labels.", labels=list(_INFO_LABELS)
        )
        frequency = GaugeMetricFamily(
            "node_cpu_frequency_hertz",
            "Frequency that the CPU runs at.",
            labels=["package", "core", "cpu"],
        )
        for cpu in cpus:
            labels = [cpu.get(name, "") for name in _INFO_LABELS.values()]
            info.add_metric(labels, 1)
            if "cpu MHz" in cpu:
                frequency.add_metric(labels[:3], float(cpu["cpu MHz"]) * 1e6)
        yield info
        yield frequency
        for (name, documentation, label, key), chosen in self._listed:
            family = GaugeMetricFamily(name, documentation, labels=[label])
            for word in cpus[0].get(key, "").split() if cpus else ():
                if chosen.search(word):
                    family.add_metric((word,), 1)
            yield family


#: Name, HELP text, label and /proc/cpuinfo's key.
_FLAG = ("node_cpu_flag_info", "1 for a feature of the first CPU.", "flag", "flags")
_BUG = ("node_cpu_bug_info", "1 for a known flaw of the first CPU.", "bug", "bugs")


def _ticks(path: str) -> Iterator[tuple[str, list[int]]]:
    """Yield each CPU's number and its columns in /proc/stat. Raises OSError."""
    for line in read(path).splitlines():
        if not line.startswith("cpu"):
            continue
        name, *columns = line.split()
        # The first line has no number: it is the sum of all. Linux 2.4 knew four modes already.
        if (number := name[3:]).isdecimal() and len(columns) > _IDLE:
            yield number, [int(column) for column in columns]


def _risen(before: Sequence[int] | None, now: list[int]) -> list[int]:
    """Return counters that never fall, for Prometheus would take that for a restart.

    The kernel's idle and iowait times are estimates that may go back a little.
    """
    if before is None or before[_IDLE] - now[_IDLE] >= _RESTART:
        return now
    return list(map(max, before, now))


def _described_cpus(path: str) -> list[Mapping[str, str]]:
    """Return the paragraphs of /proc/cpuinfo that describe a CPU. Raises OSError."""
    paragraphs = (
        {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in paragraph.splitlines())
        }
        for paragraph in read(path).split("\n\n")
    )
    return [paragraph for paragraph in paragraphs if "processor" in paragraph]
