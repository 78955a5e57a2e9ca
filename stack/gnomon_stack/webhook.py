"""A receiver of Alertmanager's webhooks: what a person's pager would get."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gnomon_stack.parts import HOST

Notification = dict[str, Any]
_LARGEST_BYTES = 1_000_000


@contextmanager
def receiver(port: int) -> Iterator["queue.Queue[Notification]"]:
    """Listen on loopback while the block runs; yield the queue that gets every notification.

    Raise OSError where the port is taken.
    """
    received: queue.Queue[Notification] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            try:
                length = min(int(self.headers.get("Content-Length", 0)), _LARGEST_BYTES)
                notification = json.loads(self.rfile.read(length))
            except ValueError:
                notification = None
            if not isinstance(notification, dict):
                self.send_error(400, "expected a notification in JSON")
                return
            # Answered first: whoever waits for the queue may end this server.
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.wfile.flush()
            received.put(notification)

        def log_message(self, *words: object) -> None:
            """Say nothing: what arrives is shown by whoever reads the queue."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
