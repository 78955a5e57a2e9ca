"""A receiver of spans by OTLP, over HTTP and over gRPC."""

import gzip
import http.server
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Told(NamedTuple):
    """A span, with the service and the instrumentation that it comes from."""

    service: str
    scope: str
    span: Any


class Received:
    """What has come so far.

    address: where the receiver listens, as OTEL_EXPORTER_OTLP_ENDPOINT wants it.
    broken: over gRPC, the status with which all is refused. answer: over HTTP,
    the status of every answer. wait: set while answers come at once.
    """

    def __init__(self) -> None:
        self.address = ""
        self.spans: list[Told] = []
        self.broken: grpc.StatusCode | None = None
        self.answer = 200
        self.wait = threading.Event()
        self.wait.set()

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of an export."""
        for resource in request.resource_spans:
            (name,) = [
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            ]
            for scope in resource.scope_spans:
                self.spans += [Told(name, scope.scope.name, span) for span in scope.spans]

    def traces(self) -> dict[str, list[Told]]:
        """Give the spans by trace."""
        found: dict[str, list[Told]] = {}
        for told in list(self.spans):
            found.setdefault(told.span.trace_id.hex(), []).append(told)
        return found


def attributes(of: Any) -> dict[str, Any]:
    """Give the attributes of a span or an event as a dictionary."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}


@contextmanager
def http_receiver() -> Iterator[Received]:
    """Receive over HTTP."""
    received = Received()

    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if received.answer == 200:
                received.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(received.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    received.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def grpc_receiver() -> Iterator[Received]:
    """Receive over gRPC."""
    received = Received()

    class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(  # noqa: N802  # the protocol's name
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            received.wait.wait(60)
            if received.broken is not None:
                context.abort(received.broken, "as ordered")
            received.take(request)
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    received.address = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield received
    finally:
        received.wait.set()
        server.stop(0)
