"""How often one address may do something."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from gnomon_exporter.ratelimit import Rate, RateLimiter

#: Addresses that are remembered; one that comes again after so many others starts anew.
_KEPT = 4096


class Limits:
    """A token bucket for each address."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._kept: OrderedDict[str, RateLimiter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def wait(self, address: str) -> float:
        """Take a place: 0.0 where the address has one, else the seconds until it has."""
        key = _of_one(address)
        limiter = self._kept.pop(key, None) or RateLimiter(self._rate)
        self._kept[key] = limiter
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return limiter.wait()


def _of_one(address: str) -> str:
    """Return what all addresses have in common that one machine can take."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # what a proxy says may be anything
    if isinstance(ip, IPv6Address):
        # The least that a provider gives to one customer is 64 bits.
        return str(ip.ipv4_mapped or int(ip) >> 64)
    return str(ip)
