"""Counters of the network protocols, from the host's /proc/net/netstat, snmp and snmp6."""

from collections.abc import Iterator
from dataclasses import dataclass

from gnomon_exporter.families import UntypedMetricFamily
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

_FIELDS = (
    "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    "|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    "|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    "|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)


@dataclass(frozen=True, slots=True)
class _Field:
    """A reported number: where it stands on its line, its metric's name and help."""

    column: int
    name: str
    documentation: str


class NetstatCollector:
    """What IP, ICMP, TCP and UDP count, for IPv4 and IPv6.

    fields: regular expression of the numbers to report, as ``Protocol_Name``.
    """

    def __init__(self, paths: Paths, *, fields: str = _FIELDS) -> None:
        self._tables = (paths.net("netstat"), paths.net("snmp"))
        self._snmp6 = paths.net("snmp6")
        self._wanted = compiled("fields", fields)
        # A running kernel never changes its tables' headings, so they are parsed once.
        self._headings: dict[str, list[_Field]] = {}
        self._names6: dict[str, list[_Field]] = {}

    def collect(self) -> Iterator[UntypedMetricFamily]:
        """Yield each wanted number under its protocol's and its own name."""
        for path in self._tables:
            lines = read(path).splitlines()
            # Each protocol has a line of names and one of numbers below it.
            for heading, numbers in zip(lines[::2], lines[1::2], strict=False):
                fields = self._headings.get(heading)
                if fields is None:
                    fields = self._headings[heading] = self._table_fields(heading)
                yield from _families(fields, numbers.split())
        try:
            lines = read(self._snmp6).splitlines()
        except FileNotFoundError:  # IPv6 is disabled
            return
        for line in lines:
            name, _, number = line.partition(" ")
            if name not in self._names6:
                self._names6[name] = self._snmp6_field(name)
            if fields := self._names6[name]:
                yield from _families(fields, number.split())

    def _table_fields(self, heading: str) -> list[_Field]:
        protocol, *names = heading.split()
        return [
            field
            for column, name in enumerate(names, start=1)
            for field in self._field(column, protocol.rstrip(":"), name)
        ]

    def _snmp6_field(self, name: str) -> list[_Field]:
        # "Icmp6InMsgs": the protocol ends with its first 6.
        protocol, six, rest = name.partition("6")
        return self._field(0, protocol + six, rest) if six else []

    def _field(self, column: int, protocol: str, name: str) -> list[_Field]:
        """Return the field if it is wanted, else an empty list."""
        key = f"{protocol}_{name}"
        if not self._wanted.search(key):
            return []
        return [_Field(column, f"node_netstat_{key}", f"The kernel's {name} of {protocol}.")]


def _families(fields: list[_Field], columns: list[str]) -> Iterator[UntypedMetricFamily]:
    for field in fields:
        if field.column < len(columns):
            yield UntypedMetricFamily(field.name, field.documentation, int(columns[field.column]))
