"""What one GPU tells of itself: its readings under nvidia_gpu_exporter's names, in base units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.nvml import NOT_AVAILABLE, Gpu, LostError, number

Reading = tuple[str, float | None]
Family = GaugeMetricFamily | CounterMetricFamily

#: The families, without their prefix ``nvidia_smi_``, in the page's order, with their HELP.
HELP = {
    "index": "Index that NVML gives the GPU; it may change with a restart.",
    "utilization_gpu_ratio": "Share of the last sample period in which a kernel was running.",
    "utilization_memory_ratio": "Share of the last sample period with memory traffic.",
    "utilization_encoder_ratio": "Utilisation of the video encoder.",
    "utilization_decoder_ratio": "Utilisation of the video decoder.",
    "utilization_jpeg_ratio": "Utilisation of the JPEG decoder.",
    "utilization_ofa_ratio": "Utilisation of the optical flow accelerator.",
    "memory_total_bytes": "Memory of the GPU.",
    "memory_used_bytes": "Allocated memory, without what is reserved.",
    "memory_free_bytes": "Unallocated memory.",
    "memory_reserved_bytes": "Memory that driver and firmware keep for themselves.",
    "power_draw_watts": "Power drawn by the board; averaged over 1 s on recent GPUs.",
    "power_draw_average_watts": "Power drawn by the board, averaged over 1 s.",
    "power_draw_instant_watts": "Power drawn by the board at this moment.",
    "power_limit_watts": "Power limit that is set.",
    "enforced_power_limit_watts": "Power limit in force, the lowest of all that apply.",
    "power_default_limit_watts": "Power limit after a reset.",
    "power_min_limit_watts": "Lowest power limit that can be set.",
    "power_max_limit_watts": "Highest power limit that can be set.",
    "energy_joules_total": "Energy used since the driver was loaded.",
    "temperature_gpu": "Temperature of the GPU core in degrees Celsius.",
    "temperature_memory": "Temperature of the memory in degrees Celsius.",
    "temperature_gpu_tlimit": "Degrees Celsius left until the GPU slows down.",
    "fan_speed_ratio": "Fan speed that is aimed at, as a share of the highest.",
    "pstate": "Performance state, from 0 (fastest) to 15.",
    "clocks_current_graphics_clock_hz": "Clock of the graphics engine.",
    "clocks_current_sm_clock_hz": "Clock of the streaming multiprocessors.",
    "clocks_current_memory_clock_hz": "Clock of the memory.",
    "clocks_current_video_clock_hz": "Clock of the video engines.",
    "clocks_max_graphics_clock_hz": "Highest clock of the graphics engine.",
    "clocks_max_sm_clock_hz": "Highest clock of the streaming multiprocessors.",
    "clocks_max_memory_clock_hz": "Highest clock of the memory.",
    "clocks_event_reasons_supported": "Bit mask of the reasons that this GPU can give.",
    "clocks_event_reasons_active": "Bit mask of the reasons for the present clocks.",
    "clocks_event_reasons_gpu_idle": "1 if the clocks are low because nothing runs.",
    "clocks_event_reasons_applications_clocks_setting": "1 if a setting limits the clocks.",
    "clocks_event_reasons_sw_power_cap": "1 if the power limit keeps the clocks low.",
    "clocks_event_reasons_hw_slowdown": "1 if the hardware has halved the clocks, or worse.",
    "clocks_event_reasons_sync_boost": "1 if the sync boost group limits the clocks.",
    "clocks_event_reasons_sw_thermal_slowdown": "1 if the driver lowers the clocks against heat.",
    "clocks_event_reasons_hw_thermal_slowdown": "1 if the hardware lowers the clocks against heat.",
    "clocks_event_reasons_hw_power_brake_slowdown": "1 if the power supply asks for low clocks.",
    "clocks_event_reasons_counters_sw_power_cap_seconds": "Time under the power limit.",
    "clocks_event_reasons_counters_sync_boost_seconds": "Time held back by the sync boost group.",
    "clocks_event_reasons_counters_sw_thermal_slowdown_seconds": (
        "Time slowed by the driver's heat limit."
    ),
    "clocks_event_reasons_counters_hw_thermal_slowdown_seconds": (
        "Time slowed by the hardware's heat limit."
    ),
    "clocks_event_reasons_counters_hw_power_brake_slowdown_seconds": (
        "Time slowed by the power supply."
    ),
    "ecc_mode_current": "1 if memory error correction is on.",
    "ecc_mode_pending": "1 if memory error correction is on after the next reset.",
    "retired_pages_single_bit_ecc_count": "Memory pages retired for repeated single bit errors.",
    "retired_pages_double_bit_count": "Memory pages retired for a double bit error.",
    "retired_pages_pending": "1 if pages wait for a reset to be retired.",
    "remapped_rows_correctable": "Memory rows replaced for correctable errors.",
    "remapped_rows_uncorrectable": "Memory rows replaced for uncorrectable errors.",
    "remapped_rows_pending": "1 if rows wait for a reset to be replaced.",
    "remapped_rows_failure": "1 if a row could not be replaced.",
    "remapped_rows_histogram_max": "Memory banks with all spare rows left.",
    "remapped_rows_histogram_high": "Memory banks with most spare rows left.",
    "remapped_rows_histogram_partial": "Memory banks with some spare rows left.",
    "remapped_rows_histogram_low": "Memory banks with few spare rows left.",
    "remapped_rows_histogram_none": "Memory banks with no spare row left.",
    "gpu_recovery_action": (
        "What the driver asks for: 0 nothing, 1 reset, 2 reboot, 3 drain peers, 4 drain and reset."
    ),
    "fabric_state": "Joining the NVLink fabric: 1 not started, 2 in progress, 3 completed.",
    "persistence_mode": "1 if the driver keeps the GPU initialised without clients.",
    "compute_mode": "0 shared, 1 one thread, 2 no compute, 3 one process.",
    "compute_cap": "CUDA compute capability.",
    "mig_mode_current": "1 if the GPU is divided into MIG instances.",
    "mig_mode_pending": "1 if the GPU is divided into MIG instances after the next reset.",
    "pcie_link_gen_current": "PCIe generation in use; it falls when the GPU idles.",
    "pcie_link_gen_max": "Highest PCIe generation of GPU and slot.",
    "pcie_link_width_current": "PCIe lanes in use.",
    "pcie_link_width_max": "Highest number of PCIe lanes of GPU and slot.",
    "encoder_stats_session_count": "Video encoder sessions.",
    "encoder_stats_average_fps": "Frames per second that the encoder sessions reach, on average.",
    "encoder_stats_average_latency": "Latency of the encoder sessions in microseconds, on average.",
}

# The rest are gauges, as there: also those that only ever rise.
_COUNTERS = frozenset({"energy_joules_total"})

_ECC_KINDS = {"corrected": 0, "uncorrected": 1}
_ECC_SPANS = {"volatile": 0, "aggregate": 1}
_ECC_SINCE = {"volatile": "since the driver was loaded", "aggregate": "in the GPU's life"}
# DRAM is the newer name of the device memory's number; nvidia-smi has a field for each name.
_ECC_PLACES = {
    0: ("l1_cache",),
    1: ("l2_cache",),
    2: ("device_memory", "dram"),
    3: ("register_file",),
    4: ("texture_memory",),
    6: ("cbu",),
    7: ("sram",),
}
# Fields of c_nvmlEccSramErrorStatus_v1_t.
_SRAM = {
    "volatile_sram_parity": "volatileUncParity",
    "volatile_sram_secded": "volatileUncSecDed",
    "aggregate_sram_parity": "aggregateUncParity",
    "aggregate_sram_secded": "aggregateUncSecDed",
    "aggregate_sram_threshold_exceeded": "bThresholdExceeded",
    "aggregate_sram_l2": "aggregateUncBucketL2",
    "aggregate_sram_sm": "aggregateUncBucketSm",
    "aggregate_sram_mcu": "aggregateUncBucketMcu",
    "aggregate_sram_pcie": "aggregateUncBucketPcie",
    "aggregate_sram_other": "aggregateUncBucketOther",
}
for _kind in _ECC_KINDS:
    for _span, _since in _ECC_SINCE.items():
        for _place in [place for places in _ECC_PLACES.values() for place in places] + ["total"]:
            HELP[f"ecc_errors_{_kind}_{_span}_{_place}"] = (
                f"Memory errors {_kind} {_since}: {_place.replace('_', ' ')}."
            )
for _name in _SRAM:
    HELP[f"ecc_errors_uncorrected_{_name}"] = (
        f"Memory errors uncorrected: {_name.replace('_', ' ')}."
    )

# nvmlClocksEventReasons, as bits.
_REASONS = {
    "gpu_idle": 0x1,
    "applications_clocks_setting": 0x2,
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sync_boost": 0x10,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}

# Field numbers (NVML_FI_*), their readings and how many of its units make a base unit.
_FIELDS = {
    82: ("temperature_memory", 1),
    185: ("power_draw_average_watts", 1000),
    186: ("power_draw_instant_watts", 1000),
    74: ("clocks_event_reasons_counters_sw_power_cap_seconds", 1_000_000_000),
    76: ("clocks_event_reasons_counters_sync_boost_seconds", 1_000_000_000),
    230: ("gpu_recovery_action", 1),
}
# These numbers meant something else before driver 590: asked there, they would lie.
_FIELDS_590 = {
    269: ("clocks_event_reasons_counters_sw_thermal_slowdown_seconds", 1_000_000_000),
    270: ("clocks_event_reasons_counters_hw_thermal_slowdown_seconds", 1_000_000_000),
    271: ("clocks_event_reasons_counters_hw_power_brake_slowdown_seconds", 1_000_000_000),
}
# Members of the union c_nvmlValue_t by nvmlValueType_t.
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

# nvmlTemperatureThresholds_t
_THRESHOLDS = {"shutdown": 0, "slowdown": 1, "memory_max": 2, "gpu_max": 3}

_CLOCKS = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}


def read(gpu: Gpu) -> dict[str, float]:
    """Return the GPU's readings by family; what it does not have is left out.

    Raises LostError when the GPU has stopped answering.
    """
    if not gpu.constants:
        gpu.constants = _there(_constants(gpu))
    readings = _there(
        reading
        for subject in (
            _utilization,
            _memory,
            _power,
            _temperature,
            _clocks,
            _reasons,
            _fields,
            _ecc,
            _rows,
            _state,
        )
        for reading in subject(gpu)
    )
    if not readings:
        raise LostError("it answers none of the questions")
    return gpu.constants | readings


def families(readings: Sequence[tuple[Gpu, Mapping[str, float]]]) -> Iterator[Family]:
    """Yield the families of several GPUs' readings."""
    if not readings:
        return
    yield _info([gpu for gpu, _ in readings])
    by_uuid = [((gpu.uuid,), found) for gpu, found in readings]
    yield from labelled("nvidia_smi_", HELP, ["uuid"], by_uuid)
    thresholds = GaugeMetricFamily(
        "gnomon_gpu_temperature_threshold_celsius",
        "Temperature at which the GPU slows down, shuts down or leaves its operating range.",
        labels=["uuid", "threshold"],
    )
    for gpu, found in readings:
        for name in _THRESHOLDS:
            if f"threshold_{name}" in found:
                thresholds.add_metric([gpu.uuid, name], found[f"threshold_{name}"])
    yield thresholds


def labelled(
    prefix: str,
    texts: Mapping[str, str],
    labels: Sequence[str],
    readings: Sequence[tuple[Sequence[str], Mapping[str, float]]],
) -> Iterator[Family]:
    """Yield a family for each name that has a HELP text and a reading.

    readings: the labels' values and what was read under them, by name.
    """
    for name, text in texts.items():
        kind = CounterMetricFamily if name in _COUNTERS else GaugeMetricFamily
        family = kind(prefix + name, text, labels=labels)
        for values, found in readings:
            if name in found:
                family.add_metric(values, found[name])
        if len(family):
            yield family


def _info(gpus: Sequence[Gpu]) -> GaugeMetricFamily:
    rows = [
        {
            "uuid": gpu.uuid,
            "name": gpu.name,
            # Driver models are a matter of Windows.
            "driver_model_current": NOT_AVAILABLE,
            "driver_model_pending": NOT_AVAILABLE,
            "vbios_version": gpu.vbios,
            "driver_version": gpu.driver,
            "pci_bus_id": gpu.bus,
            "serial": gpu.serial,
            "compute_cap": str(gpu.constants.get("compute_cap", NOT_AVAILABLE)),
            "pci_sub_device_id": gpu.subsystem,
            "index": str(gpu.index),
            "cuda_version": gpu.cuda,
        }
        for gpu in gpus
    ]
    family = GaugeMetricFamily(
        "nvidia_smi_gpu_info", "What the GPU is; always 1.", labels=list(rows[0])
    )
    for row in rows:
        family.add_metric(tuple(row.values()), 1)
    return family


def _there(readings: Iterator[Reading]) -> dict[str, float]:
    return {name: value for name, value in readings if value is not None}


def _divided(value: Any, units: int) -> float | None:
    plain = number(value)
    # Dividing gives the nearest float, multiplying by 0.001 would not.
    return None if plain is None else plain / units


def _mhz(value: Any) -> float | None:
    plain = number(value)
    return None if plain is None else plain * 1e6


def _constants(gpu: Gpu) -> Iterator[Reading]:
    """Yield what only a reset or a reload of the driver changes."""
    yield "index", gpu.index
    capability = gpu.ask("nvmlDeviceGetCudaComputeCapability")
    if capability is not None:
        yield "compute_cap", float("{}.{}".format(*capability))
    yield (
        "power_default_limit_watts",
        _divided(gpu.ask("nvmlDeviceGetPowerManagementDefaultLimit"), 1000),
    )
    limits = gpu.ask("nvmlDeviceGetPowerManagementLimitConstraints") or (None, None)
    yield "power_min_limit_watts", _divided(limits[0], 1000)
    yield "power_max_limit_watts", _divided(limits[1], 1000)
    for name in ("graphics", "sm", "memory"):
        yield (
            f"clocks_max_{name}_clock_hz",
            _mhz(gpu.ask("nvmlDeviceGetMaxClockInfo", _CLOCKS[name])),
        )
    for name, threshold in _THRESHOLDS.items():
        degrees = gpu.ask("nvmlDeviceGetTemperatureThreshold", threshold)
        # A GPU without this threshold may say 0.
        yield f"threshold_{name}", number(degrees) or None
    yield "pcie_link_gen_max", number(gpu.ask("nvmlDeviceGetMaxPcieLinkGeneration"))
    yield "pcie_link_width_max", number(gpu.ask("nvmlDeviceGetMaxPcieLinkWidth"))
    yield "clocks_event_reasons_supported", number(_either(gpu, "nvmlDeviceGetSupportedClocks"))


def _utilization(gpu: Gpu) -> Iterator[Reading]:
    rates = gpu.ask("nvmlDeviceGetUtilizationRates")
    if rates is not None:
        yield "utilization_gpu_ratio", _divided(rates.gpu, 100)
        yield "utilization_memory_ratio", _divided(rates.memory, 100)
    for name, function in (
        ("encoder", "nvmlDeviceGetEncoderUtilization"),
        ("decoder", "nvmlDeviceGetDecoderUtilization"),
        ("jpeg", "nvmlDeviceGetJpgUtilization"),
        ("ofa", "nvmlDeviceGetOfaUtilization"),
    ):
        rate_and_period = gpu.ask(function)
        if rate_and_period is not None:
            yield f"utilization_{name}_ratio", _divided(rate_and_period[0], 100)


def _memory(gpu: Gpu) -> Iterator[Reading]:
    yield from memory(gpu, gpu.handle)


def memory(gpu: Gpu, handle: Any) -> Iterator[Reading]:
    """Yield the memory readings of a GPU's or MIG device's handle."""
    info = gpu.ask_of(handle, "nvmlDeviceGetMemoryInfo", getattr(gpu.nvml, "nvmlMemory_v2", None))
    if info is None:  # a driver before 510, whose "used" includes what is reserved
        info = gpu.ask_of(handle, "nvmlDeviceGetMemoryInfo")
    if info is None:
        return
    for name in ("total", "used", "free", "reserved"):
        yield f"memory_{name}_bytes", number(getattr(info, name, None))


def _power(gpu: Gpu) -> Iterator[Reading]:
    yield "power_draw_watts", _divided(gpu.ask("nvmlDeviceGetPowerUsage"), 1000)
    yield "power_limit_watts", _divided(gpu.ask("nvmlDeviceGetPowerManagementLimit"), 1000)
    yield "enforced_power_limit_watts", _divided(gpu.ask("nvmlDeviceGetEnforcedPowerLimit"), 1000)
    yield "energy_joules_total", _divided(gpu.ask("nvmlDeviceGetTotalEnergyConsumption"), 1000)


def _temperature(gpu: Gpu) -> Iterator[Reading]:
    yield "temperature_gpu", number(gpu.ask("nvmlDeviceGetTemperature", 0))
    yield "temperature_gpu_tlimit", number(gpu.ask("nvmlDeviceGetMarginTemperature"))
    yield "fan_speed_ratio", _divided(gpu.ask("nvmlDeviceGetFanSpeed"), 100)


def _clocks(gpu: Gpu) -> Iterator[Reading]:
    for name, clock in _CLOCKS.items():
        yield (
            f"clocks_current_{name}_clock_hz",
            _mhz(gpu.ask("nvmlDeviceGetClockInfo", clock)),
        )


def _either(gpu: Gpu, start: str) -> Any:
    """Ask for clock reasons by their new name, then by the one before driver 535."""
    answer = gpu.ask(f"{start}EventReasons")
    return gpu.ask(f"{start}ThrottleReasons") if answer is None else answer


def _reasons(gpu: Gpu) -> Iterator[Reading]:
    active = number(_either(gpu, "nvmlDeviceGetCurrentClocks"))
    if active is None:
        return
    yield "clocks_event_reasons_active", active
    for name, bit in _REASONS.items():
        yield f"clocks_event_reasons_{name}", int(bool(int(active) & bit))


def _fields(gpu: Gpu) -> Iterator[Reading]:
    wanted = _FIELDS
    if gpu.driver_branch >= 590:
        wanted = _FIELDS | _FIELDS_590
    for field in gpu.ask("nvmlDeviceGetFieldValues", tuple(wanted)) or ():
        if field.nvmlReturn == 0 and field.fieldId in wanted and field.valueType < len(_MEMBERS):
            name, units = wanted[field.fieldId]
            yield name, _divided(getattr(field.value, _MEMBERS[field.valueType]), units)


def _ecc(gpu: Gpu) -> Iterator[Reading]:
    modes = gpu.ask("nvmlDeviceGetEccMode")
    if modes is None:
        return
    yield "ecc_mode_current", modes[0]
    yield "ecc_mode_pending", modes[1]
    if not modes[0]:
        return
    counter = "nvmlDeviceGetMemoryErrorCounter"
    for kind, kind_number in _ECC_KINDS.items():
        for span, span_number in _ECC_SPANS.items():
            start = f"ecc_errors_{kind}_{span}_"
            yield (
                start + "total",
                number(gpu.ask("nvmlDeviceGetTotalEccErrors", kind_number, span_number)),
            )
            for place, names in _ECC_PLACES.items():
                count = number(gpu.ask_supported(counter, kind_number, span_number, place))
                for name in names:
                    yield start + name, count
    status = gpu.fill("nvmlDeviceGetSramEccErrorStatus", "c_nvmlEccSramErrorStatus_v1_t")
    if status is not None:
        for name, field in _SRAM.items():
            yield f"ecc_errors_uncorrected_{name}", number(getattr(status, field))


def _rows(gpu: Gpu) -> Iterator[Reading]:
    rows = gpu.ask("nvmlDeviceGetRemappedRows")
    if rows is not None:
        for name, value in zip(
            ("correctable", "uncorrectable", "pending", "failure"), rows, strict=False
        ):
            yield f"remapped_rows_{name}", number(value)
    histogram = gpu.ask("nvmlDeviceGetRowRemapperHistogram")
    if histogram is not None:
        for name in ("max", "high", "partial", "low", "none"):
            yield f"remapped_rows_histogram_{name}", number(getattr(histogram, name, None))
    # Ampere and newer remap rows, older ones retire pages: the other is not supported.
    for cause, name in enumerate(("single_bit_ecc", "double_bit")):
        pages = gpu.ask_supported("nvmlDeviceGetRetiredPages", cause)
        if pages is not None:
            yield f"retired_pages_{name}_count", len(pages)
    pending = gpu.ask_supported("nvmlDeviceGetRetiredPagesPendingStatus")
    yield "retired_pages_pending", number(pending)


def _state(gpu: Gpu) -> Iterator[Reading]:
    state = gpu.ask("nvmlDeviceGetPerformanceState")
    yield "pstate", None if state == 32 else number(state)  # 32 is NVML_PSTATE_UNKNOWN
    yield "persistence_mode", number(gpu.ask("nvmlDeviceGetPersistenceMode"))
    yield "compute_mode", number(gpu.ask("nvmlDeviceGetComputeMode"))
    modes = gpu.ask("nvmlDeviceGetMigMode")
    if modes is not None:
        yield "mig_mode_current", modes[0]
        yield "mig_mode_pending", modes[1]
    fabric = gpu.fill("nvmlDeviceGetGpuFabricInfoV", "c_nvmlGpuFabricInfo_v2_t")
    if fabric is not None and fabric.state:  # 0: not connected to a fabric
        yield "fabric_state", fabric.state
    yield "pcie_link_gen_current", number(gpu.ask("nvmlDeviceGetCurrPcieLinkGeneration"))
    yield "pcie_link_width_current", number(gpu.ask("nvmlDeviceGetCurrPcieLinkWidth"))
    encoder = gpu.ask("nvmlDeviceGetEncoderStats")
    if encoder is not None:
        yield "encoder_stats_session_count", number(encoder[0])
        yield "encoder_stats_average_fps", number(encoder[1])
        yield "encoder_stats_average_latency", number(encoder[2])
