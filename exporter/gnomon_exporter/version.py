"""Which exporter this is."""

import sys
from collections.abc import Iterator
from functools import cache

from gnomon_exporter import __version__
from gnomon_exporter.families import GaugeMetricFamily


@cache
def _python() -> str:
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"


def families() -> Iterator[GaugeMetricFamily]:
    """Yield the build information, under our name and under the one dashboards join with."""
    own = GaugeMetricFamily(
        "gnomon_exporter_build_info",
        "Always 1; the labels tell the version of gnomon-exporter and of its interpreter.",
        labels=["version", "python"],
    )
    own.add_metric([__version__, _python()], 1)
    yield own
    # Dashboards made for node_exporter list hosts by this series. Nothing of Go is in here, so
    # those labels are empty: Prometheus treats an empty label as one that is not there.
    node = GaugeMetricFamily(
        "node_exporter_build_info",
        "Always 1; gnomon-exporter's build under the name that node_exporter's dashboards query.",
        labels=["branch", "goarch", "goos", "goversion", "revision", "tags", "version"],
    )
    node.add_metric(["", "", "", "", "", "gnomon", __version__], 1)
    yield node
