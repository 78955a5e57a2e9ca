"""Connections: with TLS by the web config file, and none that only stalls."""

import asyncio
import ssl
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gnomon_exporter.webfile import WebFile

#: Seconds from a connection's or a request's beginning until all of its head is there.
PATIENCE_S = 20.0

#: Bytes of a head; uvicorn's parser takes any number of them.
_LARGEST = 64 * 1024


def context(web: WebFile) -> ssl.SSLContext | None:
    """Return what connections are wrapped in, None for none.

    A certificate that has been renewed on disk is shown from the next connection on.
    """
    tls = web.config().tls
    if tls is None:
        return None

    def newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        now = web.config().tls
        if now is not None and now.context is not connection.context:
            connection.context = now.context

    tls.context.sni_callback = newest
    return tls.context


def protocol(web: WebFile) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol, for clients that the file permits and that do not stall."""

    class Connection(HttpToolsProtocol):
        _wait: asyncio.TimerHandle | None = None
        _head = 0
        _refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            tls, connection = web.config().tls, transport.get_extra_info("ssl_object")
            if tls is not None and connection is not None and not tls.allows(connection):
                self._refused = True
                transport.abort()
                return
            self._hurry()

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            self._head = self._head + len(data) if self._wait else 0
            if self._head > _LARGEST:
                self._refused = True
                self.transport.abort()

        def on_message_begin(self) -> None:
            self._hurry()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._calm()
            super().on_headers_complete()

        def _hurry(self) -> None:
            self._calm()
            self._wait = self.loop.call_later(PATIENCE_S, self.transport.abort)

        def _calm(self) -> None:
            if self._wait is not None:
                self._wait.cancel()
                self._wait = None

    return Connection


def options(web: WebFile) -> dict[str, Any]:
    """Return uvicorn's settings for it."""
    made = context(web)
    found: dict[str, Any] = {"http": protocol(web)}
    if made is not None:
        found["ssl_context_factory"] = lambda _config, _default: made
    return found
