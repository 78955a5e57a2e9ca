"""InfiniBand and RoCE adapters, from /sys/class/infiniband."""

import os
import re
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int

# Attributes of a port, the counters made of them and their help. See
# Documentation/ABI/stable/sysfs-class-infiniband; hw_counters are the drivers' own.
_COUNTERS = {
    "counters/excessive_buffer_overrun_errors": (
        "excessive_buffer_overrun_errors",
        "Overruns of the receive buffers that lasted.",
    ),
    "counters/link_downed": ("link_downed", "Times that the link failed and stayed down."),
    "counters/link_error_recovery": (
        "link_error_recovery",
        "Times that the link failed and recovered.",
    ),
    "counters/local_link_integrity_errors": (
        "local_link_integrity_errors",
        "Times that local physical errors passed their threshold.",
    ),
    "counters/multicast_rcv_packets": (
        "multicast_packets_received",
        "Multicast packets received.",
    ),
    "counters/multicast_xmit_packets": (
        "multicast_packets_transmitted",
        "Multicast packets sent.",
    ),
    "counters/port_rcv_constraint_errors": (
        "port_constraint_errors_received",
        "Packets received and discarded by the switch's port.",
    ),
    "counters/port_rcv_data": ("port_data_received_bytes", "Bytes received."),
    "counters/port_rcv_discards": (
        "port_discards_received",
        "Packets received and discarded because the port was down or congested.",
    ),
    "counters/port_rcv_errors": ("port_errors_received", "Packets received with an error."),
    "counters/port_rcv_packets": ("port_packets_received", "Packets received."),
    "counters/port_rcv_remote_physical_errors": (
        "port_receive_remote_physical_errors",
        "Packets received that were marked bad on their way.",
    ),
    "counters/port_rcv_switch_relay_errors": (
        "port_receive_switch_relay_errors",
        "Packets received that the switch could not pass on.",
    ),
    "counters/port_xmit_constraint_errors": (
        "port_constraint_errors_transmitted",
        "Packets not sent by the switch's port.",
    ),
    "counters/port_xmit_data": ("port_data_transmitted_bytes", "Bytes sent."),
    "counters/port_xmit_discards": (
        "port_discards_transmitted",
        "Packets not sent because the port was down or congested.",
    ),
    "counters/port_xmit_packets": ("port_packets_transmitted", "Packets sent."),
    "counters/port_xmit_wait": (
        "port_transmit_wait",
        "Ticks in which there was data to send and none was sent.",
    ),
    "counters/symbol_error": ("symbol_error", "Minor errors on the link's lanes."),
    "counters/unicast_rcv_packets": ("unicast_packets_received", "Unicast packets received."),
    "counters/unicast_xmit_packets": ("unicast_packets_transmitted", "Unicast packets sent."),
    "counters/VL15_dropped": (
        "vl15_dropped",
        "Management packets dropped for want of resources.",
    ),
    "hw_counters/duplicate_request": (
        "duplicate_requests_packets",
        "Requests received that had been carried out before.",
    ),
    "hw_counters/implied_nak_seq_err": (
        "implied_nak_seq_errors",
        "Acknowledgements beyond the expected packet of a read.",
    ),
    "hw_counters/local_ack_timeout_err": (
        "local_ack_timeout_errors",
        "Times that no acknowledgement came in time.",
    ),
    "hw_counters/np_cnp_sent": (
        "np_cnp_packets_sent",
        "Notifications of congestion sent.",
    ),
    "hw_counters/np_ecn_marked_roce_packets": (
        "np_ecn_marked_roce_packets_received",
        "RoCE packets received that were marked by congestion.",
    ),
    "hw_counters/out_of_buffer": (
        "out_of_buffer_drops",
        "Packets dropped because no receive request was posted.",
    ),
    "hw_counters/out_of_sequence": (
        "out_of_sequence_packets_received",
        "Packets received out of order.",
    ),
    "hw_counters/packet_seq_err": (
        "packet_sequence_errors",
        "Complaints received about a packet out of order.",
    ),
    "hw_counters/req_cqe_error": (
        "req_cqes_errors",
        "Requests completed with an error, seen by the requester.",
    ),
    "hw_counters/req_cqe_flush_error": (
        "req_cqes_flush_errors",
        "Requests flushed with an error, seen by the requester.",
    ),
    "hw_counters/req_remote_access_errors": (
        "req_remote_access_errors",
        "Remote access errors, seen by the requester.",
    ),
    "hw_counters/req_remote_invalid_request": (
        "req_remote_invalid_request_errors",
        "Requests that the remote side called invalid.",
    ),
    "hw_counters/resp_cqe_error": (
        "resp_cqes_errors",
        "Requests completed with an error, seen by the responder.",
    ),
    "hw_counters/resp_cqe_flush_error": (
        "resp_cqes_flush_errors",
        "Requests flushed with an error, seen by the responder.",
    ),
    "hw_counters/resp_local_length_error": (
        "resp_local_length_errors",
        "Local length errors, seen by the responder.",
    ),
    "hw_counters/resp_remote_access_errors": (
        "resp_remote_access_errors",
        "Remote access errors, seen by the responder.",
    ),
    "hw_counters/rnr_nak_retry_err": (
        "rnr_nak_retry_packets_received",
        "Answers received that the remote side was not ready.",
    ),
    "hw_counters/roce_adp_retrans": (
        "roce_adp_retransmits",
        "Adaptive retransmissions of RoCE traffic.",
    ),
    "hw_counters/roce_adp_retrans_to": (
        "roce_adp_retransmits_timeout",
        "Timeouts of RoCE traffic by adaptive retransmission.",
    ),
    "hw_counters/roce_slow_restart": (
        "roce_slow_restart_used",
        "Times that RoCE traffic restarted slowly.",
    ),
    "hw_counters/roce_slow_restart_cnps": (
        "roce_slow_restart_cnps",
        "Notifications of congestion by a slow restart of RoCE traffic.",
    ),
    "hw_counters/roce_slow_restart_trans": (
        "roce_slow_restart",
        "Times that RoCE traffic went into slow restart.",
    ),
    "hw_counters/rp_cnp_handled": (
        "rp_cnp_packets_handled",
        "Notifications of congestion obeyed.",
    ),
    "hw_counters/rp_cnp_ignored": (
        "rp_cnp_ignored_packets_received",
        "Notifications of congestion ignored.",
    ),
    "hw_counters/rx_atomic_requests": ("rx_atomic_requests", "Atomic requests received."),
    "hw_counters/rx_dct_connect": (
        "rx_dct_connect_requests",
        "Connection requests to dynamically connected transports received.",
    ),
    "hw_counters/rx_icrc_encapsulated": (
        "rx_icrc_encapsulated_errors",
        "RoCE packets received with a wrong checksum.",
    ),
    "hw_counters/rx_read_requests": ("rx_read_requests", "Read requests received."),
    "hw_counters/rx_write_requests": ("rx_write_requests", "Write requests received."),
}
# The kernel counts words of four bytes here.
_WORDS = frozenset({"counters/port_rcv_data", "counters/port_xmit_data"})
_BYTES_PER_GIGABIT = 125_000_000
_RATE = re.compile(r"\d+(\.\d+)?")
_PORT = ["device", "port"]


class InfinibandCollector:
    """State, speed, traffic and errors of each InfiniBand port.

    device_include: regular expression of the devices to report; not with device_exclude.
    device_exclude: regular expression of the devices to leave out.
    """

    def __init__(self, paths: Paths, *, device_include: str = "", device_exclude: str = "") -> None:
        self._class = paths.sys("class/infiniband")
        self._filter = NameFilter("device", include=device_include, exclude=device_exclude)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the families that the adapters' drivers fill. Raises NoData without adapters."""
        try:
            devices = sorted(filter(self._filter.keeps, os.listdir(self._class)))
        except FileNotFoundError:
            raise NoData("no InfiniBand adapters") from None
        yield self._info(devices)
        ports = [
            ([device, port], f"{self._class}/{device}/ports/{port}")
            for device in devices
            for port in _listed(f"{self._class}/{device}/ports")
        ]
        yield from _state(ports)
        for path, (name, documentation) in _COUNTERS.items():
            family = CounterMetricFamily(
                f"node_infiniband_{name}_total", documentation, labels=_PORT
            )
            scale = 4 if path in _WORDS else 1
            for labels, folder in ports:
                # "N/A (no PMA)" is what some drivers say for nothing.
                if (value := attribute_int(f"{folder}/{path}")) is not None:
                    family.add_metric(labels, value * scale)
            yield family

    def _info(self, devices: list[str]) -> GaugeMetricFamily:
        info = GaugeMetricFamily(
            "node_infiniband_info",
            "An adapter's board, firmware and type.",
            labels=["device", "board_id", "firmware_version", "hca_type"],
        )
        for device in devices:
            texts = [
                attribute(f"{self._class}/{device}/{name}") or ""
                for name in ("board_id", "fw_ver", "hca_type")
            ]
            info.add_metric([device, *texts], 1)
        return info


def _state(ports: list[tuple[list[str], str]]) -> Iterator[GaugeMetricFamily]:
    """Yield what a port is doing, at which rate."""
    state = GaugeMetricFamily(
        "node_infiniband_state_id",
        "State of a port (1: down, 2: initializing, 3: armed, 4: active, 5: active, deferred).",
        labels=_PORT,
    )
    physical = GaugeMetricFamily(
        "node_infiniband_physical_state_id",
        "Physical state of a port (1: sleep, 2: polling, 3: disabled, 4: training, 5: link up, "
        "6: recovering from an error, 7: physical test).",
        labels=_PORT,
    )
    rate = GaugeMetricFamily(
        "node_infiniband_rate_bytes_per_second", "Speed of a port's link.", labels=_PORT
    )
    lifespan = GaugeMetricFamily(
        "node_infiniband_lifespan_seconds",
        "How old a driver's own counters may be when they are read.",
        labels=_PORT,
    )
    for labels, folder in ports:
        # "4: ACTIVE", "5: LinkUp", "100 Gb/sec (4X EDR)"
        for family, name in ((state, "state"), (physical, "phys_state")):
            number, _, _ = (attribute(f"{folder}/{name}") or "").partition(":")
            if number.isdecimal():
                family.add_metric(labels, int(number))
        match = _RATE.match(attribute(f"{folder}/rate") or "")
        if match is not None:
            rate.add_metric(labels, int(float(match[0]) * _BYTES_PER_GIGABIT))
        milliseconds = attribute_int(f"{folder}/hw_counters/lifespan")
        if milliseconds is not None:
            # node_exporter cuts this off to whole seconds, usually to 0.
            lifespan.add_metric(labels, milliseconds / 1000)
    yield from (state, physical, rate, lifespan)


def _listed(folder: str) -> list[str]:
    """Return the names in a folder, none if it is not there."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
