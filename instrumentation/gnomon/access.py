"""Who may read an application's page of metrics."""

import hmac
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

# Loopback, RFC 1918, link-local and unique local addresses. ipaddress' own ``is_private`` also
# holds documentation and benchmark networks.
_PRIVATE = tuple(
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)

_FORWARDING = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"client-ip"}
)


class Verdict(Enum):
    """What becomes of a request for the page."""

    GRANTED = 200
    WRONG_TOKEN = 401
    FORBIDDEN = 403


def verdict(client: Any, headers: Iterable[tuple[bytes, bytes]], token: str | None) -> Verdict:
    """Decide by where a request comes from and what it brings.

    client: ASGI's pair of address and port, or None. headers: lower-case names. token: grants
    access from anywhere, as ``Authorization: Bearer …``; None if there is none.
    """
    forwarded = False
    given: bytes | None = None
    for name, value in headers:
        if name in _FORWARDING or name.startswith(b"x-forwarded-"):
            forwarded = True
        elif name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() == b"bearer":
                given = rest.strip()
    if token is not None and given is not None:
        # Compared as bytes and in constant time: neither length nor prefix shows in the answer.
        if hmac.compare_digest(given, token.encode()):
            return Verdict.GRANTED
        return Verdict.WRONG_TOKEN
    if not forwarded and client is not None and is_private(client[0]):
        return Verdict.GRANTED
    return Verdict.WRONG_TOKEN if token is not None else Verdict.FORBIDDEN


def is_private(address: str) -> bool:
    """Whether an address is of loopback, a private network or a link. Names are not."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in _PRIVATE)
