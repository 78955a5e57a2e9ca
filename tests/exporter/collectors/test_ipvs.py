"""The ipvs collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.ipvs import IpvsCollector
from gnomon_exporter.paths import Paths

TOTALS = "   Total\n   Conns\n       1        2        3                4                A\n"


@pytest.fixture
def net(tmp_path):
    """Return an empty /proc/self/net."""
    folder = tmp_path / "self/net"
    folder.mkdir(parents=True)
    return folder


def test_reports_every_kind_of_service(metal, exposed):
    """TCP, SCTP, UDP over IPv6 and one known by a firewall mark, each with its own servers."""
    assert exposed(IpvsCollector(metal)) == [
        "# TYPE node_ipvs_connections_total counter",
        "node_ipvs_connections_total 420",
        "# TYPE node_ipvs_incoming_packets_total counter",
        "node_ipvs_incoming_packets_total 61891",
        "# TYPE node_ipvs_outgoing_packets_total counter",
        "node_ipvs_outgoing_packets_total 57522",
        "# TYPE node_ipvs_incoming_bytes_total counter",
        "node_ipvs_incoming_bytes_total 279098308",
        "# TYPE node_ipvs_outgoing_bytes_total counter",
        "node_ipvs_outgoing_bytes_total 550757621",
        "# TYPE node_ipvs_backend_connections_active gauge",
        (
            'node_ipvs_backend_connections_active{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.2",remote_port="443",proto="TCP",local_mark=""} 7'
        ),
        (
            'node_ipvs_backend_connections_active{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.1",remote_port="443",proto="TCP",local_mark=""} 3'
        ),
        (
            'node_ipvs_backend_connections_active{local_address="198.51.100.1",local_port="2905",'
            'remote_address="203.0.113.3",remote_port="2905",proto="SCTP",local_mark=""} 2'
        ),
        (
            'node_ipvs_backend_connections_active{local_address="2001:db8::53",local_port="53",'
            'remote_address="2001:db8:1::1",remote_port="53",proto="UDP",local_mark=""} 0'
        ),
        (
            'node_ipvs_backend_connections_active{local_address="",local_port="0",'
            'remote_address="203.0.113.4",remote_port="0",proto="FWM",local_mark="0000002A"} 4'
        ),
        "# TYPE node_ipvs_backend_connections_inactive gauge",
        (
            'node_ipvs_backend_connections_inactive{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.2",remote_port="443",proto="TCP",local_mark=""} 21'
        ),
        (
            'node_ipvs_backend_connections_inactive{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.1",remote_port="443",proto="TCP",local_mark=""} 11'
        ),
        (
            'node_ipvs_backend_connections_inactive{local_address="198.51.100.1",local_port="2905"'
            ',remote_address="203.0.113.3",remote_port="2905",proto="SCTP",local_mark=""} 0'
        ),
        (
            'node_ipvs_backend_connections_inactive{local_address="2001:db8::53",local_port="53",'
            'remote_address="2001:db8:1::1",remote_port="53",proto="UDP",local_mark=""} 5'
        ),
        (
            'node_ipvs_backend_connections_inactive{local_address="",local_port="0",'
            'remote_address="203.0.113.4",remote_port="0",proto="FWM",local_mark="0000002A"} 6'
        ),
        "# TYPE node_ipvs_backend_weight gauge",
        (
            'node_ipvs_backend_weight{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.2",remote_port="443",proto="TCP",local_mark=""} 100'
        ),
        (
            'node_ipvs_backend_weight{local_address="198.51.100.1",local_port="443",'
            'remote_address="203.0.113.1",remote_port="443",proto="TCP",local_mark=""} 50'
        ),
        (
            'node_ipvs_backend_weight{local_address="198.51.100.1",local_port="2905",'
            'remote_address="203.0.113.3",remote_port="2905",proto="SCTP",local_mark=""} 1'
        ),
        (
            'node_ipvs_backend_weight{local_address="2001:db8::53",local_port="53",'
            'remote_address="2001:db8:1::1",remote_port="53",proto="UDP",local_mark=""} 1'
        ),
        (
            'node_ipvs_backend_weight{local_address="",local_port="0",'
            'remote_address="203.0.113.4",remote_port="0",proto="FWM",local_mark="0000002A"} 10'
        ),
    ]


def test_servers_with_the_same_labels_are_added_up(metal, exposed):
    """Without the remote address, a service's servers are one series."""
    page = exposed(IpvsCollector(metal, backend_labels=("proto", "local_port")))
    assert page[10:15] == [
        "# TYPE node_ipvs_backend_connections_active gauge",
        'node_ipvs_backend_connections_active{local_port="443",proto="TCP"} 10',
        'node_ipvs_backend_connections_active{local_port="2905",proto="SCTP"} 2',
        'node_ipvs_backend_connections_active{local_port="53",proto="UDP"} 0',
        'node_ipvs_backend_connections_active{local_port="0",proto="FWM"} 4',
    ]


def test_a_balancer_without_services_has_its_totals(net, exposed):
    """No service, no server."""
    (net / "ip_vs_stats").write_text(TOTALS)
    (net / "ip_vs").write_text("IP Virtual Server version 1.2.1 (size=4096)\n")
    page = exposed(IpvsCollector(Paths(procfs=str(net.parent.parent))))
    assert [line for line in page if not line.startswith("#")] == [
        "node_ipvs_connections_total 1",
        "node_ipvs_incoming_packets_total 2",
        "node_ipvs_outgoing_packets_total 3",
        "node_ipvs_incoming_bytes_total 4",
        "node_ipvs_outgoing_bytes_total 10",
    ]


def test_without_the_balancer_there_is_no_data(net):
    """Most hosts balance nothing."""
    with pytest.raises(NoData, match="not loaded"):
        list(IpvsCollector(Paths(procfs=str(net.parent.parent))).collect())


def test_a_short_table_of_totals_is_a_failure(net):
    """The message names the file."""
    (net / "ip_vs_stats").write_text("   Total\n")
    with pytest.raises(ValueError, match="ip_vs_stats: no line of totals"):
        list(IpvsCollector(Paths(procfs=str(net.parent.parent))).collect())


def test_an_unknown_label_is_refused():
    """The message names the setting and what there is."""
    with pytest.raises(ValueError, match="backend_labels: unknown: colour; there are local_addr"):
        IpvsCollector(Paths(), backend_labels=("proto", "colour"))
