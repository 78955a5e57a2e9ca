"""What the desk asks the exchange: one session with retries, used from threads."""

import asyncio
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

#: Seconds that one attempt may take.
PATIENCE_S = 0.4


class ExchangeDown(Exception):  # noqa: N818  # it says what is the matter
    """The exchange gave no good answer, whatever was tried. status: the last one's, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Exchange:
    """The outside API, as the desk sees it.

    Refusals and silence are tried again twice. gnomon counts every attempt in
    `http_client_request_duration_seconds`, and what the attempts led to in
    `gnomon_http_client_retries_total`: requests' and urllib3's own retries need no code for that.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # it is on this machine: no proxy lies between
        again = Retry(
            total=2,
            backoff_factor=0.02,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=("GET",),
            respect_retry_after_header=False,
            raise_on_status=False,  # the last answer says more than that there was none
        )
        self._session.mount("http://", HTTPAdapter(max_retries=again, pool_maxsize=20))

    async def quotes(self) -> dict[str, float]:
        """Return all prices. Raises ExchangeDown."""
        found: dict[str, float] = await self._get("/quotes")
        return found

    async def quote(self, symbol: str) -> dict[str, Any]:
        """Return one symbol's price, and when it was true. Raises ExchangeDown."""
        found: dict[str, Any] = await self._get(f"/quotes/{symbol}")
        return found

    async def history(self, symbol: str) -> list[float]:
        """Return the prices of the last two hours, one a minute. Raises ExchangeDown."""
        found: list[float] = await self._get(f"/quotes/{symbol}/history")
        return found

    async def news(self, symbol: str) -> list[str]:
        """Return headlines about a symbol. Raises ExchangeDown."""
        found: list[str] = await self._get(f"/news/{symbol}")
        return found

    def close(self) -> None:
        """Let go of all connections."""
        self._session.close()

    async def _get(self, path: str) -> Any:
        ask = partial(self._session.get, self._url + path, timeout=PATIENCE_S)
        try:
            answer = await asyncio.to_thread(ask)
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            raise ExchangeDown(f"{path}: {error}", status) from error
