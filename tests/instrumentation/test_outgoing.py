"""Requests to others, by peer and outcome, with each client library."""

import asyncio
import http.server
import subprocess
import sys
import threading

import aiohttp
import httpx
import pytest
import requests
from fastapi import FastAPI
from requests.adapters import HTTPAdapter, Retry

import gnomon
from gnomon import outgoing

COUNT = "http_client_request_duration_seconds_count"
RETRIES = "gnomon_http_client_retries_total"


@pytest.fixture
def peer():
    """Answer /200 with 200 and so on, /redirect with the way to /200, /flaky at the third time."""

    class Peer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked += 1
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "/200")
            elif self.path == "/flaky":
                self.send_response(200 if server.asked == 3 else 503)
            else:
                self.send_response(int(self.path[1:4]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.asked = 0
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def by_httpx(url):
    """Ask with httpx."""
    httpx.get(url, follow_redirects=True)


def by_async_httpx(url):
    """Ask with httpx's asynchronous client."""

    async def run():
        async with httpx.AsyncClient(follow_redirects=True) as client:
            await client.get(url)

    asyncio.run(run())


def by_requests(url):
    """Ask with requests."""
    requests.get(url, timeout=5)


def by_aiohttp(url):
    """Ask with aiohttp."""

    async def run():
        async with aiohttp.ClientSession() as session, session.get(url):
            pass

    asyncio.run(run())


@pytest.fixture(params=[by_httpx, by_async_httpx, by_requests, by_aiohttp])
def get(request, registry):
    """Ask with one of the libraries while an application is instrumented."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    outgoing.install()
    yield request.param
    gnomon.uninstrument(app)


def test_each_answer_counts_with_its_peer_and_status(get, peer, counted):
    """A request is one observation under method, peer and status; from 400 on it is an error."""
    where = {"server_address": "127.0.0.1", "server_port": str(peer.server_port)}
    get(f"{peer.address}/200?secret=1")
    get(f"{peer.address}/503")
    get(f"{peer.address}/redirect")
    name = {"http_request_method": "GET", **where}
    assert counted(COUNT, http_response_status_code="200", error_type="", **name) == 2
    assert counted(COUNT, http_response_status_code="503", error_type="503", **name) == 1
    assert counted(COUNT, http_response_status_code="302", **name) == 1
    assert counted(COUNT, **where) == 4


def test_a_peer_that_is_gone_is_an_error_of_its_class(get, counted, free_port):
    """A refused connection counts without a status, and the exception passes."""
    port = free_port()
    with pytest.raises((OSError, httpx.TransportError)):
        get(f"http://127.0.0.1:{port}/")
    (kind,) = {"ConnectError", "ConnectionError", "ClientConnectorError"} & {
        name
        for name in ("ConnectError", "ConnectionError", "ClientConnectorError")
        if any(
            counted(COUNT, server_port=str(port), error_type=f"{module}.{name}")
            for module in ("httpx", "requests.exceptions", "aiohttp.client_exceptions")
        )
    }
    assert kind
    assert counted(COUNT, server_port=str(port)) == 1


def test_retries_of_the_library_count_with_the_final_outcome(registry, peer, counted):
    """Two failures and a success are one request with two retries that ended well."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    outgoing.install()
    with requests.Session() as session:
        retry = Retry(3, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.get(f"{peer.address}/flaky", timeout=5)
    port = str(peer.server_port)
    assert counted(RETRIES, server_port=port, outcome="success") == 2
    assert counted(COUNT, server_port=port) == 1
    gnomon.uninstrument(app)


LEFT_AS_THEY_WERE = """
import aiohttp, gnomon, httpx
from fastapi import FastAPI
from gnomon import outgoing
from requests.adapters import HTTPAdapter

def methods():
    return httpx.HTTPTransport.handle_request, HTTPAdapter.send, aiohttp.ClientSession.__init__

before, app = methods(), FastAPI()
gnomon.instrument(app)
outgoing.install()
assert all(now is not then for now, then in zip(methods(), before)), "not installed"
gnomon.uninstrument(app)
assert methods() == before, "not as they were"
"""


def test_the_libraries_are_left_as_they_were():
    """After uninstrument nothing of ours is in them; in a process that instruments nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT_AS_THEY_WERE], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_peers_are_bounded():
    """However many hosts are asked, the family keeps to its cap."""
    for n in range(outgoing.CAP + 500):
        outgoing.record("GET", f"h{n}.example", 80, 0.1)
    (duration, _) = outgoing.families()
    series = {sample.labels["server_address"] for sample in duration.metric().samples}
    assert len(series) <= outgoing.CAP + 1
    assert duration.overflowed >= 500
    duration._children.clear()
    duration.overflowed = 0
