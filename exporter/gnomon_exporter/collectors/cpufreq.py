"""CPU frequencies and governors, from /sys/devices/system/cpu/cpu*/cpufreq."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int, numbers

#: Attribute in kHz, name and HELP text (Documentation/admin-guide/pm/cpufreq).
_FREQUENCIES = (
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Frequency that the CPU runs at, as the hardware says.",
    ),
    (
        "cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Frequency that the CPU ran at on average lately, as the hardware says.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Lowest frequency that the CPU can run at.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Highest frequency that the CPU can run at.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Frequency that the kernel last asked for or estimates.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Lowest frequency that the kernel may choose.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Highest frequency that the kernel may choose.",
    ),
)


class CpufreqCollector:
    """How fast each CPU runs, between which limits, and by whose choice."""

    def __init__(self, paths: Paths) -> None:
        self._cpus = paths.sys("devices/system/cpu")

    def collect(self) -> Iterator[Metric]:
        """Yield what each CPU's driver offers; a machine that cannot scale has no series."""
        folders = self._folders()
        for file, name, documentation in _FREQUENCIES:
            family = GaugeMetricFamily(name, documentation, labels=["cpu"])
            for cpu, folder in folders.items():
                if (kilohertz := attribute_int(f"{folder}/{file}")) is not None:
                    family.add_metric((cpu,), kilohertz * 1000)
            yield family
        governors = GaugeMetricFamily(
            "node_cpu_scaling_governor",
            "1 for the governor that chooses the CPU's frequency, 0 for those that could.",
            labels=["cpu", "governor"],
        )
        for cpu, folder in folders.items():
            if chosen := attribute(f"{folder}/scaling_governor"):
                for governor in (attribute(f"{folder}/scaling_available_governors") or "").split():
                    governors.add_metric((cpu, governor), int(governor == chosen))
        yield governors

    def _folders(self) -> dict[str, str]:
        """Return the cpufreq folder of each CPU that has one, by the CPU's number."""
        # A CPU that is offline may still show the frequencies that its siblings share.
        offline = set(numbers(attribute(f"{self._cpus}/offline") or ""))
        folders = {}
        for name in sorted(os.listdir(self._cpus)):
            number = name.removeprefix("cpu")
            if number == name or not number.isdecimal() or int(number) in offline:
                continue
            folder = f"{self._cpus}/{name}/cpufreq"
            if os.path.isdir(folder):
                folders[number] = folder
        return folders
