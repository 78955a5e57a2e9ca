"""The udp_queues collector."""

import socket
import sys

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.udp_queues import UdpQueuesCollector
from gnomon_exporter.paths import Paths

HEADING = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


@pytest.fixture
def net(tmp_path):
    """Return an empty /proc/self/net."""
    folder = tmp_path / "self/net"
    folder.mkdir(parents=True)
    return folder


def test_adds_up_the_recorded_sockets(recorded, exposed):
    """Three datagrams in one socket and one in another make one sum."""
    assert exposed(UdpQueuesCollector(recorded)) == [
        "# TYPE node_udp_queues gauge",
        'node_udp_queues{queue="tx",ip="v4"} 0',
        'node_udp_queues{queue="rx",ip="v4"} 3328',
        'node_udp_queues{queue="tx",ip="v6"} 0',
        'node_udp_queues{queue="rx",ip="v6"} 2304',
    ]


def test_both_directions_are_added_up(net, exposed):
    """Unsent and unread bytes are kept apart, whatever the width of the first column."""
    (net / "udp").write_text(
        HEADING
        + "   12: 0100007F:0035 00000000:0000 07 00000100:00000A00 00:00000000 00000000  101\n"
        + "123456: 0100007F:0035 00000000:0000 07 00000001:00000002 00:00000000 00000000  101\n"
    )
    assert exposed(UdpQueuesCollector(Paths(procfs=str(net.parent.parent)))) == [
        "# TYPE node_udp_queues gauge",
        'node_udp_queues{queue="tx",ip="v4"} 257',
        'node_udp_queues{queue="rx",ip="v4"} 2562',
    ]


def test_no_sockets_make_0_bytes(net, exposed):
    """An empty table is known to be empty; a missing one (IPv4 here) is not known."""
    (net / "udp6").write_text(HEADING)
    assert exposed(UdpQueuesCollector(Paths(procfs=str(net.parent.parent)))) == [
        "# TYPE node_udp_queues gauge",
        'node_udp_queues{queue="tx",ip="v6"} 0',
        'node_udp_queues{queue="rx",ip="v6"} 0',
    ]


def test_without_udp_there_is_no_data(net):
    """Neither version is there."""
    with pytest.raises(NoData, match="no UDP"):
        list(UdpQueuesCollector(Paths(procfs=str(net.parent.parent))).collect())


@pytest.mark.parametrize("line", ["1: 0100007F:0035", "1: a b 07 00000000 00:00", "1: a b 07 x:y"])
def test_a_line_that_is_no_socket_is_a_failure(net, line):
    """A sum that lacks a socket would be a lie."""
    (net / "udp").write_text(f"{HEADING}{line}\n")
    with pytest.raises(ValueError, match="net/udp: not a socket"):
        list(UdpQueuesCollector(Paths(procfs=str(net.parent.parent))).collect())


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_datagram_that_nobody_reads_is_seen():
    """On the running kernel the queue grows by at least what was sent."""
    collector = UdpQueuesCollector(Paths())

    def waiting():
        (family,) = collector.collect()
        return next(s.value for s in family.samples if s.labels == {"queue": "rx", "ip": "v4"})

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        before = waiting()
        for _ in range(20):
            sender.sendto(b"x" * 1000, receiver.getsockname())
        assert waiting() - before >= 20_000
