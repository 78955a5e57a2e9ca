"""MIG: the instances that a GPU is divided into, their memory and their activity."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.gpu_readings import Family, labelled, memory
from gnomon_exporter.nvml import NOT_AVAILABLE, Gpu, number, short_uuid

#: The families of a GPU instance, without their prefix ``nvidia_smi_mig_``, with their HELP.
HELP = {
    "memory_total_bytes": "Memory of the GPU instance.",
    "memory_used_bytes": "Allocated memory of the GPU instance.",
    "memory_free_bytes": "Unallocated memory of the GPU instance.",
    "memory_reserved_bytes": "Memory of the GPU instance that the driver keeps for itself.",
    "graphics_activity_ratio": "Share of time in which the GPU instance was in use.",
    "sm_activity_ratio": "Share of the GPU instance's multiprocessors that were busy.",
    "sm_occupancy_ratio": "Warps that were active, as a share of the most that could be.",
    "tensor_activity_ratio": "Share of time in which the tensor cores were busy.",
    "pcie_throughput_tx_bytes_per_second": "PCIe traffic sent by the GPU instance.",
    "pcie_throughput_rx_bytes_per_second": "PCIe traffic received by the GPU instance.",
}

# NVML_GPM_METRIC_*: percentages, and MiB/s for PCIe.
_ACTIVITY = {
    1: ("graphics_activity_ratio", 1 / 100),
    2: ("sm_activity_ratio", 1 / 100),
    3: ("sm_occupancy_ratio", 1 / 100),
    5: ("tensor_activity_ratio", 1 / 100),
    20: ("pcie_throughput_tx_bytes_per_second", 1048576),
    21: ("pcie_throughput_rx_bytes_per_second", 1048576),
}

# Seconds between the two samples that an activity is computed from. With less, two scrapers shortly
# after each other would see noise; with more, an hour's average would pass for the present.
_SHORTEST, _LONGEST = 1.0, 600.0


@dataclass(slots=True)
class Device:
    """One MIG device: a compute instance in a GPU instance. profile: such as ``1g.10gb``."""

    uuid: str
    gpu_instance: int
    compute_instance: int
    profile: str


@dataclass(slots=True)
class Instances:
    """A GPU's MIG devices, and the readings of each GPU instance by family.

    Memory and activity belong to the GPU instance; its compute instances share them.
    """

    devices: list[Device] = field(default_factory=list)
    readings: dict[int, dict[str, float]] = field(default_factory=dict)

    def profiles(self) -> dict[int, str]:
        """Return the profile of each GPU instance: its devices' without their own share."""
        # A compute instance that is only a part of it is called "1c.3g.40gb".
        return {
            device.gpu_instance: re.sub(r"^\d+c\.", "", device.profile) for device in self.devices
        }


@dataclass(slots=True)
class _Window:
    """The last sample of a GPU instance and what was computed from it and the one before."""

    sample: Any
    taken: float
    devices: tuple[tuple[str, str], ...]
    activity: dict[str, float]


class Mig:
    """Reads MIG instances; holds one sample of each between scrapes to measure activity from.

    Activity needs a Hopper GPU or newer, and appears with the second scrape.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, int], _Window] = {}

    def read(self, gpu: Gpu) -> Instances:
        """Return the instances of a GPU in MIG mode. Raises LostError."""
        found = Instances()
        for slot in range(gpu.ask("nvmlDeviceGetMaxMigDeviceCount") or 0):
            handle = gpu.ask("nvmlDeviceGetMigDeviceHandleByIndex", slot)
            if handle is None:
                continue  # an empty slot, for instances take up different numbers of them
            device = _device(gpu, handle)
            if device is None:
                continue
            found.devices.append(device)
            if device.gpu_instance not in found.readings:
                found.readings[device.gpu_instance] = {
                    name: value for name, value in memory(gpu, handle) if value is not None
                }
        if found.devices and self._measurable(gpu):
            for instance, readings in found.readings.items():
                members = tuple(
                    (device.uuid, device.profile)
                    for device in found.devices
                    if device.gpu_instance == instance
                )
                readings.update(self._activity(gpu, instance, members))
        self._forget(gpu, found.readings)
        return found

    def release(self, nvml: Any) -> None:
        """Free the samples, which must not outlive the NVML that gave them."""
        for window in self._windows.values():
            _free(nvml, window.sample)
        self._windows.clear()

    def _forget(self, gpu: Gpu, instances: dict[int, dict[str, float]]) -> None:
        """Free the samples of instances that have been destroyed."""
        for key in [key for key in self._windows if key[0] == gpu.uuid and key[1] not in instances]:
            _free(gpu.nvml, self._windows.pop(key).sample)

    def _measurable(self, gpu: Gpu) -> bool:
        support = gpu.ask_supported("nvmlGpmQueryDeviceSupport")
        return support is not None and bool(support.isSupportedDevice)

    def _activity(
        self, gpu: Gpu, instance: int, members: tuple[tuple[str, str], ...]
    ) -> dict[str, float]:
        """Return the activity between the last sample and now; nothing at first sight."""
        key, now = (gpu.uuid, instance), self._clock()
        window = self._windows.get(key)
        if window is not None and now - window.taken < _SHORTEST:
            return window.activity
        try:
            sample = gpu.nvml.nvmlGpmSampleAlloc()
        except gpu.nvml.NVMLError as error:
            gpu.faults["nvmlGpmSampleAlloc"] = str(error)
            return {}
        if gpu.ask("nvmlGpmMigSampleGet", instance, sample) is None:
            _free(gpu.nvml, sample)
            return {}
        activity: dict[str, float] = {}
        if window is not None:
            # Numbers are given again: another instance's sample would make a plausible lie.
            if window.devices == members and now - window.taken <= _LONGEST:
                activity = dict(_computed(gpu, window.sample, sample))
            _free(gpu.nvml, window.sample)
        self._windows[key] = _Window(sample, now, members, activity)
        return activity


def families(instances: Sequence[tuple[Gpu, Instances]]) -> Iterator[Family]:
    """Yield the families of several GPUs' instances."""
    info = GaugeMetricFamily(
        "nvidia_smi_mig_info",
        "A MIG device of a GPU; always 1.",
        labels=["uuid", "mig_uuid", "gpu_instance_id", "compute_instance_id", "profile"],
    )
    readings: list[tuple[Sequence[str], Mapping[str, float]]] = []
    for gpu, found in instances:
        for device in found.devices:
            ids = (str(device.gpu_instance), str(device.compute_instance))
            info.add_metric([gpu.uuid, device.uuid, *ids, device.profile], 1)
        for instance, values in found.readings.items():
            readings.append(((gpu.uuid, str(instance)), values))
    yield info
    yield from labelled("nvidia_smi_mig_", HELP, ["uuid", "gpu_instance_id"], readings)


def _device(gpu: Gpu, handle: Any) -> Device | None:
    uuid = gpu.ask_of(handle, "nvmlDeviceGetUUID")
    instance = gpu.ask_of(handle, "nvmlDeviceGetGpuInstanceId")
    compute = gpu.ask_of(handle, "nvmlDeviceGetComputeInstanceId")
    if uuid is None or instance is None or compute is None:
        return None
    # "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    name = str(gpu.ask_of(handle, "nvmlDeviceGetName") or NOT_AVAILABLE)
    return Device(short_uuid(str(uuid)), instance, compute, name.rpartition(" MIG ")[2])


def _computed(gpu: Gpu, before: Any, after: Any) -> Iterator[tuple[str, float]]:
    nvml = gpu.nvml
    request = nvml.c_nvmlGpmMetricsGet_t()
    request.version = nvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(_ACTIVITY)
    request.sample1, request.sample2 = before, after
    for slot, metric in enumerate(_ACTIVITY):
        request.metrics[slot].metricId = metric
    try:
        nvml.nvmlGpmMetricsGet(request)
    except nvml.NVMLError as error:
        gpu.faults["nvmlGpmMetricsGet"] = str(error)
        return
    for slot, (name, factor) in enumerate(_ACTIVITY.values()):
        metric = request.metrics[slot]
        value = number(metric.value) if isfinite(metric.value) else None
        if metric.nvmlReturn == 0 and value is not None:
            yield name, value * factor


def _free(nvml: Any, sample: Any) -> None:
    # The driver may be gone, and the sample with it.
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlGpmSampleFree(sample)
