"""Fibre Channel ports, from /sys/class/fc_host."""

import os
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute

#: Labels of the port's description, each called as the kernel's file.
_INFO = (
    *("speed", "port_state", "port_type", "port_id", "port_name", "fabric_name"),
    *("symbolic_name", "supported_classes", "supported_speeds", "dev_loss_tmo"),
)
#: Those of them that are hexadecimal numbers, shown without their 0x.
_HEXADECIMAL = ("port_id", "port_name", "fabric_name")

# The kernel's file, the metric and its meaning.
_COUNTERS = (
    ("dumped_frames", "dumped_frames", "Frames dropped."),
    ("error_frames", "error_frames", "Frames with an error."),
    ("invalid_crc_count", "invalid_crc", "Frames whose checksum was wrong."),
    ("rx_frames", "rx_frames", "Frames received."),
    ("rx_words", "rx_words", "Words received."),
    ("tx_frames", "tx_frames", "Frames sent."),
    ("tx_words", "tx_words", "Words sent."),
    (
        "seconds_since_last_reset",
        "seconds_since_last_reset",
        "Seconds since the port's counters were reset.",
    ),
    ("invalid_tx_word_count", "invalid_tx_words", "Words that were invalid."),
    ("link_failure_count", "link_failure", "Failures of the link."),
    ("loss_of_sync_count", "loss_of_sync", "Losses of synchronization."),
    ("loss_of_signal_count", "loss_of_signal", "Losses of the signal."),
    ("nos_count", "nos", "Times that the other side was not operational."),
    ("fcp_packet_aborts", "fcp_packet_aborts", "Packets aborted."),
)
#: What the kernel shows for a counter that the adapter does not have.
_UNKNOWN = 2**64 - 1


class FibrechannelCollector:
    """State, identity and counters of each Fibre Channel port."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.sys("class/fc_host")

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the ports; counters that the adapter does not have are left out."""
        try:
            hosts = sorted(os.listdir(self._path))
        except FileNotFoundError:
            raise NoData(f"no {self._path}: the kernel knows no Fibre Channel port") from None
        info = GaugeMetricFamily(
            "node_fibrechannel_info", "The port, always 1.", labels=("fc_host", *_INFO)
        )
        for host in hosts:
            info.add_metric((host, *(self._text(host, name) for name in _INFO)), 1)
        yield info
        for file, name, text in _COUNTERS:
            family = CounterMetricFamily(
                f"node_fibrechannel_{name}_total", text, labels=("fc_host",)
            )
            for host in hosts:
                if (value := self._count(host, file)) is not None:
                    family.add_metric((host,), value)
            yield family

    def _text(self, host: str, name: str) -> str:
        value = attribute(f"{self._path}/{host}/{name}") or ""
        return value[2:] if name in _HEXADECIMAL and len(value) > 2 else value

    def _count(self, host: str, file: str) -> int | None:
        try:
            value = int(attribute(f"{self._path}/{host}/statistics/{file}") or "", 0)
        except ValueError:
            return None
        return None if value == _UNKNOWN else value
