"""The kernel's name and version, from uname(2)."""

import os
from collections.abc import Callable, Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute


class UnameCollector:
    """Name, version and architecture of the kernel, and the host's name."""

    def __init__(self, paths: Paths, *, _uname: Callable[[], os.uname_result] = os.uname) -> None:
        # Python leaves this field of uname(2) out.
        self._domainname = paths.proc("sys/kernel/domainname")
        self._uname = _uname

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one series that is 1."""
        uname = self._uname()
        family = GaugeMetricFamily(
            "node_uname_info",
            "1, with what uname(2) says of the system as labels.",
            labels=["sysname", "release", "version", "machine", "nodename", "domainname"],
        )
        family.add_metric(
            (
                uname.sysname,
                uname.release,
                uname.version,
                uname.machine,
                uname.nodename,
                attribute(self._domainname) or "",
            ),
            1,
        )
        yield family
