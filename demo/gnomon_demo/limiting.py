"""How often one client may ask: a bucket of tokens for each, refilled all the time."""

import time

from fastapi import HTTPException
from starlette.requests import HTTPConnection

import gnomon

#: Requests per second and client, and how many may come at once.
RATE, BURST = 200.0, 400.0

#: Most clients that are told apart; whoever was seen longest ago is forgotten.
CLIENTS = 10_000


class Limiter:
    """Buckets of tokens by client."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, client: str) -> bool:
        """Take a token of the client's, if one is left."""
        now = time.monotonic()
        tokens, seen = self._buckets.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + (now - seen) * self.rate)
        self._buckets[client] = max(0.0, tokens - 1), now
        if len(self._buckets) > CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return tokens >= 1


limiter = Limiter()


async def allowed(connection: HTTPConnection) -> None:
    """Refuse a request with 429 where its client asks too often."""
    client = connection.client.host if connection.client else ""
    if not limiter.allows(client):
        gnomon.refused("api", f"{RATE:g} per second", request=connection)
        raise HTTPException(429, "too many requests", headers={"Retry-After": "1"})
