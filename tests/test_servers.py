"""What the tests themselves build on: how they wait for servers."""

import http.server
import threading
import time

import pytest

import servers


def test_who_does_not_listen_yet_is_asked_again():
    """A refused connection is no failure of the test, and the answer is returned."""
    port = servers.free_port()

    def serve():
        time.sleep(0.3)
        with http.server.HTTPServer(("127.0.0.1", port), Page) as server:
            server.handle_request()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_):
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert servers.until(lambda: servers.fetch(f"http://127.0.0.1:{port}/"), 30) == b"here"
    thread.join()


def test_who_never_answers_fails_the_test_with_the_reason():
    """A refusal is named; so is a condition that never holds."""
    url = f"http://127.0.0.1:{servers.free_port()}/"
    with pytest.raises(pytest.fail.Exception, match=r"after 0\.1 s: .*refused"):
        servers.until(lambda: servers.fetch(url), 0.1)
    with pytest.raises(pytest.fail.Exception, match=r"after 0\.1 s$"):
        servers.until(lambda: 0, 0.1)
