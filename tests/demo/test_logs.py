"""The demo's log, as it is sent."""

import http.server
import logging
import threading

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.trace import TracerProvider

import servers
from gnomon_demo import logs


@pytest.fixture
def ours():
    """The demo's logger, as it was before when the test is over."""
    logger = logging.getLogger("gnomon_demo")
    before = list(logger.handlers), logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.usefixtures("ours")
def test_its_records_go_to_where_its_traces_go(monkeypatch):
    """As the service's, with the ids of the span that they were written in."""
    came = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "otlp")
    try:
        logs.begin("desk")
        with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
            logging.getLogger("gnomon_demo.queueing").info("transcribed %s", "a")
        servers.until(lambda: came, 30)
    finally:
        server.shutdown()
        server.server_close()
    [(path, body)] = came
    assert path == "/v1/logs"
    [group] = ExportLogsServiceRequest.FromString(body).resource_logs
    about = {each.key: each.value.string_value for each in group.resource.attributes}
    assert about["service.name"] == "desk"
    [record] = group.scope_logs[0].log_records
    assert record.body.string_value == "transcribed a"
    assert int.from_bytes(record.span_id) == span.get_span_context().span_id


def test_without_being_asked_nothing_is_sent(ours, monkeypatch):
    """Standard error alone has the lines then."""
    monkeypatch.delenv("OTEL_LOGS_EXPORTER", raising=False)
    logs.begin("desk")
    assert [type(each) for each in ours.handlers] == [logging.StreamHandler]
