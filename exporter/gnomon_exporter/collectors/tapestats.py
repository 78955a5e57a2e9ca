"""Tape drives' I/O, from /sys/class/scsi_tape (Documentation/scsi/st.rst)."""

import os
import re
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute_int

#: Each drive has further names, by density and for not rewinding; this is the one of its own.
_DRIVE = re.compile(r"st\d+")

# The kernel's file, the metric, its divisor and its meaning.
_COUNTERS = (
    ("io_ns", "io_time_seconds", 1_000_000_000, "Seconds of I/O, winding included."),
    ("other_cnt", "io_others", 1, "Requests that neither read nor write."),
    ("read_byte_cnt", "read_bytes", 1, "Bytes read."),
    ("read_cnt", "reads_completed", 1, "Reads."),
    ("read_ns", "read_time_seconds", 1_000_000_000, "Seconds that reads took."),
    ("resid_cnt", "residual", 1, "Reads and writes that did not move all their bytes."),
    ("write_byte_cnt", "written_bytes", 1, "Bytes written."),
    ("write_cnt", "writes_completed", 1, "Writes."),
    ("write_ns", "write_time_seconds", 1_000_000_000, "Seconds that writes took."),
)


class TapestatsCollector:
    """Requests, bytes and times of each tape drive.

    ignored_devices: regular expression of the drives to leave out.
    """

    def __init__(self, paths: Paths, *, ignored_devices: str = "^$") -> None:
        self._path = paths.sys("class/scsi_tape")
        self._ignored = compiled("ignored_devices", ignored_devices)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the drives' counters; those that cannot be read are left out."""
        try:
            names = sorted(os.listdir(self._path))
        except FileNotFoundError:
            raise NoData(f"no {self._path}: the kernel knows no tape drive") from None
        drives = [
            name for name in names if _DRIVE.fullmatch(name) and not self._ignored.search(name)
        ]
        now = GaugeMetricFamily("node_tape_io_now", "Requests in flight.", labels=("device",))
        for drive in drives:
            if (value := attribute_int(f"{self._path}/{drive}/stats/in_flight")) is not None:
                now.add_metric((drive,), value)
        yield now
        for file, name, divisor, text in _COUNTERS:
            family = CounterMetricFamily(f"node_tape_{name}_total", text, labels=("device",))
            for drive in drives:
                if (value := attribute_int(f"{self._path}/{drive}/stats/{file}")) is not None:
                    family.add_metric((drive,), value if divisor == 1 else value / divisor)
            yield family
