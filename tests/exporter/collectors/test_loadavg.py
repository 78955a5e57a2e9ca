"""The loadavg collector."""

from gnomon_exporter.collectors.loadavg import LoadavgCollector


def test_reports_the_three_averages(recorded, exposed):
    """The numbers of /proc/loadavg stand under node_exporter's names."""
    assert exposed(LoadavgCollector(recorded)) == [
        "# TYPE node_load1 gauge",
        "node_load1 0.63",
        "# TYPE node_load5 gauge",
        "node_load5 0.27",
        "# TYPE node_load15 gauge",
        "node_load15 0.1",
    ]
