"""The server's listen address: ``host:port``, ``:port`` or ``[::1]:port``."""

import re
import socket
from dataclasses import dataclass

from gnomon_exporter.strict_yaml import ConfigError

_ADDRESS = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host means every interface, IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address:
    """Read an address as it is given on the command line; port 0 takes any free one.

    Raises ConfigError.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise ConfigError(
            "command line",
            repr(text),
            key="--web.listen-address",
            expected="HOST:PORT, [IPV6]:PORT, or :PORT for every interface",
        )
    return Address(match["six"] or match["host"] or "", int(match["port"]))


def listen(address: Address, backlog: int) -> socket.socket:
    """Return a listening socket.

    Raises OSError when the host is unknown or the address is taken or may not be bound.
    """
    if not address.host:
        return _listen_everywhere(address.port, backlog)
    # The first answer decides, as it does for clients: localhost is ::1 on one machine and
    # 127.0.0.1 on the next.
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(where, family=family, backlog=backlog)


def _listen_everywhere(port: int, backlog: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
        )
    return socket.create_server(("", port), backlog=backlog)
