"""The sockstat collector."""

import os

import pytest

from gnomon_exporter.collectors.sockstat import SockstatCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def net(tmp_path):
    """Return an empty /proc/self/net."""
    folder = tmp_path / "self/net"
    folder.mkdir(parents=True)
    return folder


def test_reports_the_recorded_host(recorded, exposed):
    """Each protocol's states, for IPv4 and IPv6."""
    assert exposed(SockstatCollector(recorded)) == [
        "# TYPE node_sockstat_sockets_used gauge",
        "node_sockstat_sockets_used 23",
        "# TYPE node_sockstat_TCP_inuse gauge",
        "node_sockstat_TCP_inuse 3",
        "# TYPE node_sockstat_TCP_orphan gauge",
        "node_sockstat_TCP_orphan 0",
        "# TYPE node_sockstat_TCP_tw gauge",
        "node_sockstat_TCP_tw 13",
        "# TYPE node_sockstat_TCP_alloc gauge",
        "node_sockstat_TCP_alloc 3",
        "# TYPE node_sockstat_TCP_mem gauge",
        "node_sockstat_TCP_mem 0",
        "# TYPE node_sockstat_TCP_mem_bytes gauge",
        "node_sockstat_TCP_mem_bytes 0",
        "# TYPE node_sockstat_UDP_inuse gauge",
        "node_sockstat_UDP_inuse 3",
        "# TYPE node_sockstat_UDP_mem gauge",
        "node_sockstat_UDP_mem 0",
        "# TYPE node_sockstat_UDP_mem_bytes gauge",
        "node_sockstat_UDP_mem_bytes 0",
        "# TYPE node_sockstat_UDPLITE_inuse gauge",
        "node_sockstat_UDPLITE_inuse 0",
        "# TYPE node_sockstat_RAW_inuse gauge",
        "node_sockstat_RAW_inuse 0",
        "# TYPE node_sockstat_FRAG_inuse gauge",
        "node_sockstat_FRAG_inuse 0",
        "# TYPE node_sockstat_FRAG_memory gauge",
        "node_sockstat_FRAG_memory 0",
        "# TYPE node_sockstat_TCP6_inuse gauge",
        "node_sockstat_TCP6_inuse 0",
        "# TYPE node_sockstat_UDP6_inuse gauge",
        "node_sockstat_UDP6_inuse 2",
        "# TYPE node_sockstat_UDPLITE6_inuse gauge",
        "node_sockstat_UDPLITE6_inuse 0",
        "# TYPE node_sockstat_RAW6_inuse gauge",
        "node_sockstat_RAW6_inuse 0",
        "# TYPE node_sockstat_FRAG6_inuse gauge",
        "node_sockstat_FRAG6_inuse 0",
        "# TYPE node_sockstat_FRAG6_memory gauge",
        "node_sockstat_FRAG6_memory 0",
    ]


def test_memory_in_pages_is_given_in_bytes_as_well(net, exposed):
    """The page size is that of the running kernel."""
    (net / "sockstat").write_text("TCP: mem 3\n")
    assert exposed(SockstatCollector(Paths(procfs=str(net.parent.parent)))) == [
        "# TYPE node_sockstat_TCP_mem gauge",
        "node_sockstat_TCP_mem 3",
        "# TYPE node_sockstat_TCP_mem_bytes gauge",
        f"node_sockstat_TCP_mem_bytes {3 * os.sysconf('SC_PAGESIZE')}",
    ]


def test_what_a_newer_kernel_adds_is_ignored(net, exposed):
    """Unknown states and a name without a number are passed over."""
    (net / "sockstat").write_text("sockets: used 9 free 1\n\nTCP: inuse 2 shiny 4 orphan\nRAW:\n")
    assert exposed(SockstatCollector(Paths(procfs=str(net.parent.parent)))) == [
        "# TYPE node_sockstat_sockets_used gauge",
        "node_sockstat_sockets_used 9",
        "# TYPE node_sockstat_TCP_inuse gauge",
        "node_sockstat_TCP_inuse 2",
    ]


def test_a_host_of_ipv6_alone_has_its_half(net, exposed):
    """IPv4 that is compiled out is no failure."""
    (net / "sockstat6").write_text("UDP6: inuse 5\n")
    assert exposed(SockstatCollector(Paths(procfs=str(net.parent.parent)))) == [
        "# TYPE node_sockstat_UDP6_inuse gauge",
        "node_sockstat_UDP6_inuse 5",
    ]


def test_a_host_without_either_has_no_series(net, exposed):
    """As with node_exporter, that is a success."""
    assert exposed(SockstatCollector(Paths(procfs=str(net.parent.parent)))) == []
