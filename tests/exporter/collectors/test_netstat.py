"""The netstat collector."""

import pytest

from gnomon_exporter.collectors.netstat import NetstatCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def proc(tmp_path):
    """Return a /proc without IPv6 and with one protocol in each table."""
    net = tmp_path / "self/net"
    net.mkdir(parents=True)
    (net / "netstat").write_text("TcpExt: ListenDrops TCPTimeouts\nTcpExt: 1 2\n")
    (net / "snmp").write_text("Tcp: MaxConn InErrs\nTcp: -1 3\n")
    return tmp_path


def test_reports_the_recorded_host(recorded, exposed):
    """The default fields of both tables and of IPv6, untyped."""
    assert exposed(NetstatCollector(recorded)) == [
        "# TYPE node_netstat_TcpExt_SyncookiesSent untyped",
        "node_netstat_TcpExt_SyncookiesSent 0",
        "# TYPE node_netstat_TcpExt_SyncookiesRecv untyped",
        "node_netstat_TcpExt_SyncookiesRecv 0",
        "# TYPE node_netstat_TcpExt_SyncookiesFailed untyped",
        "node_netstat_TcpExt_SyncookiesFailed 0",
        "# TYPE node_netstat_TcpExt_ListenOverflows untyped",
        "node_netstat_TcpExt_ListenOverflows 0",
        "# TYPE node_netstat_TcpExt_ListenDrops untyped",
        "node_netstat_TcpExt_ListenDrops 0",
        "# TYPE node_netstat_TcpExt_TCPTimeouts untyped",
        "node_netstat_TcpExt_TCPTimeouts 2",
        "# TYPE node_netstat_TcpExt_TCPOFOQueue untyped",
        "node_netstat_TcpExt_TCPOFOQueue 0",
        "# TYPE node_netstat_TcpExt_TCPSynRetrans untyped",
        "node_netstat_TcpExt_TCPSynRetrans 0",
        "# TYPE node_netstat_TcpExt_TCPRcvQDrop untyped",
        "node_netstat_TcpExt_TCPRcvQDrop 0",
        "# TYPE node_netstat_IpExt_InOctets untyped",
        "node_netstat_IpExt_InOctets 532748599",
        "# TYPE node_netstat_IpExt_OutOctets untyped",
        "node_netstat_IpExt_OutOctets 32847881",
        "# TYPE node_netstat_Ip_Forwarding untyped",
        "node_netstat_Ip_Forwarding 2",
        "# TYPE node_netstat_Icmp_InMsgs untyped",
        "node_netstat_Icmp_InMsgs 1",
        "# TYPE node_netstat_Icmp_InErrors untyped",
        "node_netstat_Icmp_InErrors 0",
        "# TYPE node_netstat_Icmp_OutMsgs untyped",
        "node_netstat_Icmp_OutMsgs 0",
        "# TYPE node_netstat_Tcp_ActiveOpens untyped",
        "node_netstat_Tcp_ActiveOpens 2305",
        "# TYPE node_netstat_Tcp_PassiveOpens untyped",
        "node_netstat_Tcp_PassiveOpens 2226",
        "# TYPE node_netstat_Tcp_CurrEstab untyped",
        "node_netstat_Tcp_CurrEstab 0",
        "# TYPE node_netstat_Tcp_InSegs untyped",
        "node_netstat_Tcp_InSegs 43607",
        "# TYPE node_netstat_Tcp_OutSegs untyped",
        "node_netstat_Tcp_OutSegs 39059",
        "# TYPE node_netstat_Tcp_RetransSegs untyped",
        "node_netstat_Tcp_RetransSegs 1",
        "# TYPE node_netstat_Tcp_InErrs untyped",
        "node_netstat_Tcp_InErrs 0",
        "# TYPE node_netstat_Tcp_OutRsts untyped",
        "node_netstat_Tcp_OutRsts 76",
        "# TYPE node_netstat_Udp_InDatagrams untyped",
        "node_netstat_Udp_InDatagrams 144",
        "# TYPE node_netstat_Udp_NoPorts untyped",
        "node_netstat_Udp_NoPorts 0",
        "# TYPE node_netstat_Udp_InErrors untyped",
        "node_netstat_Udp_InErrors 0",
        "# TYPE node_netstat_Udp_OutDatagrams untyped",
        "node_netstat_Udp_OutDatagrams 149",
        "# TYPE node_netstat_Udp_RcvbufErrors untyped",
        "node_netstat_Udp_RcvbufErrors 0",
        "# TYPE node_netstat_Udp_SndbufErrors untyped",
        "node_netstat_Udp_SndbufErrors 0",
        "# TYPE node_netstat_UdpLite_InErrors untyped",
        "node_netstat_UdpLite_InErrors 0",
        "# TYPE node_netstat_Ip6_InOctets untyped",
        "node_netstat_Ip6_InOctets 1400",
        "# TYPE node_netstat_Ip6_OutOctets untyped",
        "node_netstat_Ip6_OutOctets 1984",
        "# TYPE node_netstat_Icmp6_InMsgs untyped",
        "node_netstat_Icmp6_InMsgs 1",
        "# TYPE node_netstat_Icmp6_InErrors untyped",
        "node_netstat_Icmp6_InErrors 1",
        "# TYPE node_netstat_Icmp6_OutMsgs untyped",
        "node_netstat_Icmp6_OutMsgs 10",
        "# TYPE node_netstat_Udp6_InDatagrams untyped",
        "node_netstat_Udp6_InDatagrams 0",
        "# TYPE node_netstat_Udp6_NoPorts untyped",
        "node_netstat_Udp6_NoPorts 0",
        "# TYPE node_netstat_Udp6_InErrors untyped",
        "node_netstat_Udp6_InErrors 0",
        "# TYPE node_netstat_Udp6_OutDatagrams untyped",
        "node_netstat_Udp6_OutDatagrams 1",
        "# TYPE node_netstat_Udp6_RcvbufErrors untyped",
        "node_netstat_Udp6_RcvbufErrors 0",
        "# TYPE node_netstat_Udp6_SndbufErrors untyped",
        "node_netstat_Udp6_SndbufErrors 0",
        "# TYPE node_netstat_UdpLite6_InErrors untyped",
        "node_netstat_UdpLite6_InErrors 0",
    ]


def test_reads_again_what_it_has_read_before(proc, exposed):
    """Only names are remembered, numbers never."""
    collector = NetstatCollector(Paths(procfs=str(proc)))
    assert "node_netstat_TcpExt_ListenDrops 1" in exposed(collector)
    (proc / "self/net/netstat").write_text("TcpExt: ListenDrops TCPTimeouts\nTcpExt: 8 9\n")
    assert exposed(collector) == [
        "# TYPE node_netstat_TcpExt_ListenDrops untyped",
        "node_netstat_TcpExt_ListenDrops 8",
        "# TYPE node_netstat_TcpExt_TCPTimeouts untyped",
        "node_netstat_TcpExt_TCPTimeouts 9",
        "# TYPE node_netstat_Tcp_InErrs untyped",
        "node_netstat_Tcp_InErrs 3",
    ]


def test_the_fields_are_a_setting(proc, exposed):
    """Any field can be asked for, also one that may be negative."""
    assert exposed(NetstatCollector(Paths(procfs=str(proc)), fields="MaxConn")) == [
        "# TYPE node_netstat_Tcp_MaxConn untyped",
        "node_netstat_Tcp_MaxConn -1",
    ]


def test_ipv6_names_end_their_protocol_with_the_6(proc, exposed):
    """A line without a 6 or a number is passed over."""
    (proc / "self/net/snmp6").write_text(
        "Ip6InOctets                     \t352\nUdpLite6InErrors \t4\nInOctets \t5\n"
        "Icmp6OutType143 \t6\nIp6OutOctets\n"
    )
    page = exposed(NetstatCollector(Paths(procfs=str(proc)), fields="6_"))
    assert page == [
        "# TYPE node_netstat_Ip6_InOctets untyped",
        "node_netstat_Ip6_InOctets 352",
        "# TYPE node_netstat_UdpLite6_InErrors untyped",
        "node_netstat_UdpLite6_InErrors 4",
        "# TYPE node_netstat_Icmp6_OutType143 untyped",
        "node_netstat_Icmp6_OutType143 6",
    ]


def test_a_short_line_of_numbers_lacks_the_last(proc, exposed):
    """What has no number is absent; the other tables are whole."""
    (proc / "self/net/netstat").write_text("TcpExt: ListenDrops TCPTimeouts\nTcpExt: 1\nIpExt:")
    assert exposed(NetstatCollector(Paths(procfs=str(proc)))) == [
        "# TYPE node_netstat_TcpExt_ListenDrops untyped",
        "node_netstat_TcpExt_ListenDrops 1",
        "# TYPE node_netstat_Tcp_InErrs untyped",
        "node_netstat_Tcp_InErrs 3",
    ]


def test_a_missing_table_is_a_failure(proc):
    """The error names the file."""
    (proc / "self/net/snmp").unlink()
    with pytest.raises(FileNotFoundError, match="net/snmp"):
        list(NetstatCollector(Paths(procfs=str(proc))).collect())


def test_an_invalid_expression_is_refused():
    """The message names the setting."""
    with pytest.raises(ValueError, match="fields: not a regular expression"):
        NetstatCollector(Paths(), fields="[")
