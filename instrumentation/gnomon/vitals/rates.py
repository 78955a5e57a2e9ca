"""How often something may happen: so many at once, and so many a second in the long run."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address
from time import monotonic

#: Most clients that are remembered; whoever is forgotten begins anew.
CLIENTS = 4096


class Bucket:
    """Holds ``burst`` tokens at most, and gets ``rate`` of them a second."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Limits:
    """Limits each client, and all of them together.

    rate and client_rate: a second; twice as many, or sixty for a client, may come at once.
    """

    def __init__(self, rate: float, client_rate: float) -> None:
        self._all = Bucket(rate, max(1.0, 2 * rate), monotonic())
        self._client_rate = client_rate
        self._clients: OrderedDict[str, Bucket] = OrderedDict()

    def allow(self, address: str, now: float | None = None) -> bool:
        """Whether a client may do it once more. now: seconds on the monotonic clock."""
        now = monotonic() if now is None else now
        client = _network(address)
        bucket = self._clients.get(client)
        if bucket is None:
            if len(self._clients) >= CLIENTS:
                self._clients.popitem(last=False)
            bucket = self._clients[client] = Bucket(self._client_rate, 60.0, now)
        else:
            self._clients.move_to_end(client)
        # The client's first: one alone must not take what is meant for all.
        return bucket.take(now) and self._all.take(now)


def _network(address: str) -> str:
    """Return what is one client: an address, of IPv6 its network, which is one customer's."""
    if ":" in address:
        try:
            found = ip_address(address.partition("%")[0])
            return found.exploded[:19]
        except ValueError:
            pass
    return address
