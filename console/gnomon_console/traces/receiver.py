"""OTLP over HTTP, at the paths that its specification gives: /v1/traces and /v1/logs."""

import asyncio
import zlib
from typing import Protocol

from fastapi import APIRouter, HTTPException, Request, Response
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from gnomon_console.traces import logs, spans
from gnomon_console.traces.spans import Span
from gnomon_console.traces.store import Store

#: Bytes of one request, packed and unpacked: a batch of the SDK's has 512 spans of about 1 KiB.
_PACKED, _UNPACKED = 4 * 2**20, 16 * 2**20

#: Characters of what is said about a request that is none.
_SAID = 300

_JSON = "application/json"


class _Decoded(Protocol):
    """Returns what a request's body has, as spans. Raises ValueError for what is none."""

    def __call__(self, body: bytes, *, as_json: bool) -> list[Span]: ...


class Receiver:
    """Takes spans, and the log records in them, into a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.router = APIRouter()
        self.router.post("/v1/traces", include_in_schema=False)(self.take_spans)
        self.router.post("/v1/logs", include_in_schema=False)(self.take_logs)

    async def take_spans(self, request: Request) -> Response:
        """Take the spans of one request; see ``_take`` for what is refused."""
        return await self._take(request, spans.decoded, ExportTraceServiceResponse())

    async def take_logs(self, request: Request) -> Response:
        """Take the log records of one request that were written in a span."""
        return await self._take(request, logs.decoded, ExportLogsServiceResponse())

    async def _take(self, request: Request, decoded: _Decoded, thanks: Message) -> Response:
        """Take what one request brings.

        400 for what is no such request, 413 for one that is too large, 415 for another type,
        503 where more has come than can be written: the sender waits and tries again.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {"application/x-protobuf", _JSON}:
            raise HTTPException(415, "expected application/x-protobuf or application/json")
        body = await _body(request)
        try:
            # Thousands of spans take a while to read, in which pages are to be answered.
            found = await asyncio.to_thread(decoded, body, as_json=kind == _JSON)
        except ValueError as error:
            # What is wrong with a text may stand in the error's own: half of a character, say.
            said = str(error)[:_SAID].encode(errors="replace").decode()
            raise HTTPException(400, said) from None
        if found and not self._store.take(found):
            raise HTTPException(503, "more than can be written", {"Retry-After": "1"})
        if kind == _JSON:
            return Response("{}", media_type=_JSON)
        return Response(thanks.SerializeToString(), media_type=kind)


async def _body(request: Request) -> bytes:
    """Return the request's body, unpacked. Raise HTTPException if it is too large or broken."""
    packed = bytearray()
    async for part in request.stream():
        packed += part
        if len(packed) > _PACKED:
            raise HTTPException(413, f"more than {_PACKED} bytes")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return bytes(packed)
    if encoding not in {"gzip", "deflate"}:
        raise HTTPException(415, f"content encoding {encoding!r}: expected gzip or deflate")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = unpack.decompress(packed, _UNPACKED)
    except zlib.error as error:
        raise HTTPException(400, f"not {encoding}: {error}") from None
    if unpack.unconsumed_tail:
        raise HTTPException(413, f"more than {_UNPACKED} bytes when unpacked")
    if not unpack.eof:
        raise HTTPException(400, f"the {encoding} ends before its end")
    return body
