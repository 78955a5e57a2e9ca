"""The same readings under the names of NVIDIA's dcgm-exporter, for dashboards that query those."""

import os
from collections.abc import Iterable, Mapping

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.gpu_events import XIDS
from gnomon_exporter.gpu_mig import Instances
from gnomon_exporter.nvml import Gpu

_MIB = 1 / 1048576

# Each alias: the reading that it repeats, the factor to DCGM's unit, HELP.
_GAUGES = {
    "SM_CLOCK": ("clocks_current_sm_clock_hz", 1e-6, "Multiprocessors' clock in MHz."),
    "MEM_CLOCK": ("clocks_current_memory_clock_hz", 1e-6, "Memory's clock in MHz."),
    "MEMORY_TEMP": ("temperature_memory", 1, "Memory's temperature in degrees Celsius."),
    "GPU_TEMP": ("temperature_gpu", 1, "GPU's temperature in degrees Celsius."),
    "POWER_USAGE": ("power_draw_watts", 1, "Power drawn in watts."),
    "GPU_UTIL": ("utilization_gpu_ratio", 100, "Utilisation in percent."),
    "MEM_COPY_UTIL": ("utilization_memory_ratio", 100, "Memory traffic in percent."),
    "ENC_UTIL": ("utilization_encoder_ratio", 100, "Encoder's utilisation in percent."),
    "DEC_UTIL": ("utilization_decoder_ratio", 100, "Decoder's utilisation in percent."),
    "FB_TOTAL": ("memory_total_bytes", _MIB, "Memory in MiB."),
    "FB_FREE": ("memory_free_bytes", _MIB, "Unallocated memory in MiB."),
    "FB_USED": ("memory_used_bytes", _MIB, "Allocated memory in MiB."),
    "FB_RESERVED": ("memory_reserved_bytes", _MIB, "Reserved memory in MiB."),
    "ROW_REMAP_FAILURE": ("remapped_rows_failure", 1, "1 if a row could not be replaced."),
}
_COUNTERS = {
    "TOTAL_ENERGY_CONSUMPTION": (
        "energy_joules_total",
        1000,
        "Energy used since the driver was loaded, in mJ.",
    ),
    "ECC_SBE_VOL_TOTAL": (
        "ecc_errors_corrected_volatile_total",
        1,
        "Memory errors corrected since the driver was loaded.",
    ),
    "ECC_DBE_VOL_TOTAL": (
        "ecc_errors_uncorrected_volatile_total",
        1,
        "Memory errors not corrected since the driver was loaded.",
    ),
    "ECC_SBE_AGG_TOTAL": (
        "ecc_errors_corrected_aggregate_total",
        1,
        "Memory errors corrected in the GPU's life.",
    ),
    "ECC_DBE_AGG_TOTAL": (
        "ecc_errors_uncorrected_aggregate_total",
        1,
        "Memory errors not corrected in the GPU's life.",
    ),
    "RETIRED_SBE": (
        "retired_pages_single_bit_ecc_count",
        1,
        "Memory pages retired for single bit errors.",
    ),
    "RETIRED_DBE": (
        "retired_pages_double_bit_count",
        1,
        "Memory pages retired for double bit errors.",
    ),
    "RETIRED_PENDING": ("retired_pages_pending", 1, "1 if memory pages wait to be retired."),
    "UNCORRECTABLE_REMAPPED_ROWS": (
        "remapped_rows_uncorrectable",
        1,
        "Memory rows replaced for uncorrectable errors.",
    ),
    "CORRECTABLE_REMAPPED_ROWS": (
        "remapped_rows_correctable",
        1,
        "Memory rows replaced for correctable errors.",
    ),
    "PCIE_REPLAY_COUNTER": (PCIE_REPLAYS := "pcie_replays", 1, "PCIe packets sent again."),
}
_PREFIX = "DCGM_FI_DEV_"
_LABELS = (
    "gpu",
    "UUID",
    "pci_bus_id",
    "device",
    "modelName",
    "Hostname",
    "DCGM_FI_DRIVER_VERSION",
)
_INSTANCE_LABELS = ("GPU_I_PROFILE", "GPU_I_ID")


class Aliases:
    """Repeats what was read of the GPUs in DCGM's names, labels and units.

    What only DCGM can measure (``DCGM_FI_PROF_*``) is not there.
    """

    def __init__(self) -> None:
        # dcgm-exporter's own order: what Kubernetes calls the node comes before its name.
        self._hostname = os.environ.get("NODE_NAME") or os.uname().nodename

    def families(
        self,
        readings: Iterable[tuple[Gpu, Mapping[str, float]]],
        instances: Iterable[tuple[Gpu, Instances]],
        newest_xids: Mapping[str, int],
    ) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the aliases.

        readings: of each GPU, by family, ``PCIE_REPLAYS`` among them.
        instances: of each GPU in MIG mode. newest_xids: by UUID.
        """
        gpus = [(gpu, self._labels(gpu), values) for gpu, values in readings]
        parts = [
            ((*self._labels(gpu), profile, str(instance)), found.readings[instance])
            for gpu, found in instances
            for instance, profile in found.profiles().items()
        ]
        for alias, (reading, factor, help_text) in _GAUGES.items():
            gauge = GaugeMetricFamily(_PREFIX + alias, help_text, labels=_LABELS)
            for _, labels, values in gpus:
                if reading in values:
                    gauge.add_metric(labels, _in_units(values[reading], factor))
            if alias.startswith("FB_"):
                for labels, values in parts:
                    if reading in values:
                        gauge.add_sample(
                            gauge.name,
                            dict(zip(_LABELS + _INSTANCE_LABELS, labels, strict=True)),
                            _in_units(values[reading], factor),
                        )
            yield gauge
        for alias, (reading, factor, help_text) in _COUNTERS.items():
            # DCGM's counters do not end in _total.
            counter = CounterMetricFamily(_PREFIX + alias, help_text, labels=_LABELS)
            for _, labels, values in gpus:
                if reading in values:
                    counter.add_metric(labels, _in_units(values[reading], factor))
            yield counter
        yield self._xids(gpus, newest_xids)

    def _labels(self, gpu: Gpu) -> tuple[str, ...]:
        return (
            str(gpu.index),
            gpu.full_uuid,
            gpu.bus,
            f"nvidia{gpu.index}",
            gpu.name,
            self._hostname,
            gpu.driver,
        )

    def _xids(
        self,
        gpus: Iterable[tuple[Gpu, tuple[str, ...], Mapping[str, float]]],
        newest: Mapping[str, int],
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            f"{_PREFIX}XID_ERRORS",
            "XID that the GPU reported last, 0 if none.",
            labels=(*_LABELS, "err_code", "err_msg"),
        )
        for gpu, labels, _ in gpus:
            xid = newest.get(gpu.uuid, 0)
            message = XIDS.get(xid, "unknown") if xid else "no error"
            family.add_metric((*labels, str(xid), message), xid)
        return family


def _in_units(value: float, factor: float) -> float:
    # DCGM counts whole MiB. Else rounded, where the way to base units and back left its trace.
    return int(value * factor) if factor == _MIB else round(value * factor, 6)
