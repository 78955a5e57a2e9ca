"""Requests to others, by peer and outcome, with each client library."""

import asyncio
import http.server
import subprocess
import sys
import threading

import aiohttp
import aiohttp_retry
import httpx
import pytest
import requests
import tenacity
from fastapi import FastAPI
from requests.adapters import HTTPAdapter, Retry

import gnomon
from gnomon import outgoing
from gnomon.outgoing.replaced import Replaced

COUNT = "http_client_request_duration_seconds_count"
RETRIES = "gnomon_http_client_retries_total"
RETRIED = "gnomon_http_client_retried_requests_total"


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
            elif self.path == "/for-ever":
                self.send_response(302)
                self.send_header("Location", "/for-ever")
            elif self.path == "/silent":
                server.silent.wait(60)
                return
            else:
                self.send_response(int(self.path[1:4]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.asked, server.silent = 0, threading.Event()
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.silent.set()
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


@pytest.fixture
def measured(registry):
    """Measure what is asked while an application is instrumented."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    outgoing.install()
    yield
    gnomon.uninstrument(app)


@pytest.fixture
def retries(counted):
    """Return a function that gives a port's retries and retried requests by outcome."""

    def told(port):
        return {
            outcome: (
                counted(RETRIES, server_port=str(port), outcome=outcome),
                counted(RETRIED, server_port=str(port), outcome=outcome),
            )
            for outcome in ("success", "failure")
        }

    return told


def requests_again(url, times):
    """Ask with requests, which tries again by urllib3."""
    with requests.Session() as session:
        retry = Retry(times, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.get(url, timeout=5)


def tenacity_again(url, times):
    """Ask with httpx in a function that tenacity calls again."""

    @tenacity.retry(stop=tenacity.stop_after_attempt(times + 1))
    def ask():
        httpx.get(url).raise_for_status()

    ask()


def async_tenacity_again(url, times):
    """Ask with httpx in a coroutine function that tenacity calls again."""

    @tenacity.retry(stop=tenacity.stop_after_attempt(times + 1))
    async def ask():
        async with httpx.AsyncClient() as client:
            (await client.get(url)).raise_for_status()

    asyncio.run(ask())


def aiohttp_again(url, times):
    """Ask with aiohttp-retry."""

    async def ask():
        options = aiohttp_retry.ExponentialRetry(times + 1, start_timeout=0.01)
        async with (
            aiohttp_retry.RetryClient(retry_options=options, raise_for_status=True) as client,
            client.get(url),
        ):
            pass

    asyncio.run(ask())


def by_hand_again(url, times):
    """Ask with httpx in a loop of the application's own."""
    with gnomon.attempts():
        for attempt in range(times + 1):
            answer = httpx.get(url)
            if answer.is_success:
                return
            if attempt == times:
                answer.raise_for_status()


AGAIN = [requests_again, tenacity_again, async_tenacity_again, aiohttp_again, by_hand_again]


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("ask", AGAIN)
def test_retries_count_with_the_final_outcome(ask, peer, retries):
    """Two failures and a success are one request with two retries that ended well."""
    ask(f"{peer.address}/flaky", 4)
    assert peer.asked == 3
    assert retries(peer.server_port) == {"success": (2, 1), "failure": (0, 0)}


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("ask", AGAIN)
def test_retries_that_end_badly_count_as_a_failure(ask, peer, retries):
    """When every attempt fails, one less than were made are retries, of one failed request."""
    with pytest.raises((requests.RequestException, httpx.HTTPError, tenacity.RetryError,
                        aiohttp.ClientError)):  # fmt: skip
        ask(f"{peer.address}/503", 3)
    assert peer.asked == 4
    assert retries(peer.server_port) == {"success": (0, 0), "failure": (3, 1)}


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("ask", AGAIN)
def test_what_succeeds_at_once_has_no_retries(ask, peer, retries, counted):
    """One answer is one request, and no retry."""
    ask(f"{peer.address}/200", 3)
    assert retries(peer.server_port) == {"success": (0, 0), "failure": (0, 0)}
    assert counted(COUNT, server_port=str(peer.server_port)) == 1


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_httpx_retries_of_connecting_count(asynchronous, free_port, retries, counted):
    """What httpx's transport tries again is one observation with its retries, traced or not."""
    port, told = free_port(), []
    url = f"http://127.0.0.1:{port}/"

    async def asynchronously():
        async def trace(name, _info):
            told.append(name)

        transport = httpx.AsyncHTTPTransport(retries=2)
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(url, extensions={"trace": trace})

    def synchronously():
        with httpx.Client(transport=httpx.HTTPTransport(retries=2)) as client:
            client.get(url, extensions={"trace": lambda name, _info: told.append(name)})

    with pytest.raises(httpx.ConnectError):
        asyncio.run(asynchronously()) if asynchronous else synchronously()
    assert retries(port) == {"success": (0, 0), "failure": (2, 1)}
    assert counted(COUNT, server_port=str(port)) == 1
    assert told.count("connection.retry.started") == 2  # the application's own trace goes on


@pytest.mark.usefixtures("measured")
def test_a_redirect_is_no_retry(peer, retries, counted):
    """Where one thing follows another because it shall, nothing was tried again."""
    with gnomon.attempts():
        httpx.get(f"{peer.address}/redirect", follow_redirects=True)
        httpx.get(f"{peer.address}/200")
    assert retries(peer.server_port) == {"success": (0, 0), "failure": (0, 0)}
    assert counted(COUNT, server_port=str(peer.server_port)) == 3


@pytest.mark.usefixtures("measured")
def test_attempts_within_attempts_are_one_request(peer, retries):
    """An outer loop takes in what a library tries again inside."""
    with gnomon.attempts():
        for _ in range(3):
            try:
                requests_again(f"{peer.address}/503", 1)
            except requests.exceptions.RetryError:
                continue
    assert retries(peer.server_port) == {"success": (0, 0), "failure": (5, 1)}
    assert peer.asked == 6


@pytest.mark.usefixtures("measured")
def test_each_task_has_attempts_of_its_own(peer, retries):
    """What runs at the same time elsewhere is not mixed in."""

    async def ask(path):
        with gnomon.attempts():
            async with httpx.AsyncClient() as client:
                for _ in range(2):
                    await client.get(f"{peer.address}{path}")

    async def all_of_them():
        await asyncio.gather(ask("/503"), ask("/200"), ask("/503"))

    asyncio.run(all_of_them())
    assert retries(peer.server_port) == {"success": (0, 0), "failure": (2, 2)}


def redirected(library, url):
    """Ask and follow redirects until the library gives up."""

    async def by_aiohttp_client():
        async with aiohttp.ClientSession() as session:
            await session.get(url, max_redirects=3)

    if library == "aiohttp":
        asyncio.run(by_aiohttp_client())
    elif library == "httpx":
        with httpx.Client(follow_redirects=True, max_redirects=3) as client:
            client.get(url)
    else:
        with requests.Session() as session:
            session.max_redirects = 3
            session.get(url)


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("library", ["aiohttp", "httpx", "requests"])
def test_redirects_without_end_count_as_often_as_they_were_asked(library, peer, counted):
    """Giving up on redirects is no further request."""
    kinds = (aiohttp.TooManyRedirects, httpx.TooManyRedirects, requests.TooManyRedirects)
    with pytest.raises(kinds):
        redirected(library, f"{peer.address}/for-ever")
    assert peer.asked >= 3
    port = str(peer.server_port)
    assert counted(COUNT, server_port=port) == peer.asked
    assert counted(COUNT, server_port=port, http_response_status_code="302") == peer.asked


def silent(library, url, *, cancel):
    """Ask what never answers, until the library, or whoever waits for it, has enough."""

    async def ask():
        if library == "aiohttp":
            timeout = aiohttp.ClientTimeout(None if cancel else 0.2)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url):
                pass
        else:
            async with httpx.AsyncClient(timeout=None if cancel else 0.2) as client:
                await client.get(url)

    async def cancelled():
        async with asyncio.timeout(0.3):
            await ask()

    if library == "requests":
        requests.get(url, timeout=0.2)
    else:
        asyncio.run(cancelled() if cancel else ask())


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("library", "cancel", "kind"),
    [
        ("aiohttp", False, "aiohttp.client_exceptions.SocketTimeoutError|TimeoutError"),
        ("aiohttp", True, "asyncio.exceptions.CancelledError"),
        ("httpx", False, "httpx.ReadTimeout"),
        ("httpx", True, "asyncio.exceptions.CancelledError"),
        ("requests", False, "requests.exceptions.ReadTimeout"),
    ],
)
def test_a_peer_that_never_answers_is_an_error_of_its_class(library, cancel, kind, peer, counted):
    """A timeout and a cancellation count once, without a status, each by its own name."""
    with pytest.raises((TimeoutError, httpx.TimeoutException, requests.Timeout)):
        silent(library, f"{peer.address}/silent", cancel=cancel)
    port = str(peer.server_port)
    assert counted(COUNT, server_port=port, http_response_status_code="") == 1
    found = sum(counted(COUNT, server_port=port, error_type=name) for name in kind.split("|"))
    assert found == 1


LEFT_AS_THEY_WERE = """
import aiohttp, aiohttp_retry.client, gnomon, httpx, tenacity
from fastapi import FastAPI
from gnomon import outgoing
from requests.adapters import HTTPAdapter, Retry

def methods():
    return (
        httpx.HTTPTransport.handle_request,
        HTTPAdapter.send,
        Retry.increment,
        aiohttp.ClientSession.__init__,
        aiohttp_retry.client._RequestContext._do_request,
        tenacity.Retrying.__call__,
        tenacity.AsyncRetrying.__call__,
    )

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


class Client:
    """A library's class with two methods."""

    def ask(self):
        return "asked"

    def tell(self):
        return "told"


def louder(original):
    """Return a method that says what the original says, and an exclamation mark."""

    def loud(self):
        return original(self) + "!"

    return loud


@pytest.fixture
def replaced(monkeypatch):
    """Both methods of the class, replaced, and put back after the test in any case."""
    monkeypatch.setattr(Client, "ask", Client.ask)
    monkeypatch.setattr(Client, "tell", Client.tell)
    both = Replaced((Client, "ask", louder), (Client, "tell", louder))
    both.install()
    both.install()
    return both


def test_a_method_that_somebody_keeps_works_after_uninstall(replaced):
    """As a subclass does that names it anew; ours was put around once."""
    kept = Client.ask
    assert (Client().ask(), Client().tell()) == ("asked!", "told!")
    replaced.uninstall()
    replaced.uninstall()
    assert (Client().ask(), Client().tell()) == ("asked", "told")
    assert kept(Client()) == "asked!"
    replaced.install()
    assert Client().ask() == "asked!"


def test_what_somebody_else_has_put_around_since_stays(replaced, monkeypatch):
    """Around either method: then all stay, and are not put around a second time."""
    monkeypatch.setattr(Client, "tell", louder(Client.tell))
    replaced.uninstall()
    replaced.install()
    assert (Client().ask(), Client().tell()) == ("asked!", "told!!")


def test_peers_are_bounded():
    """However many hosts are asked, the family keeps to its cap."""
    for n in range(outgoing.CAP + 500):
        outgoing.record("GET", f"h{n}.example", 80, 0.1)
    (duration, *_) = outgoing.families()
    series = {sample.labels["server_address"] for sample in duration.metric().samples}
    assert len(series) <= outgoing.CAP + 1
    assert duration.overflowed >= 500
    duration._children.clear()
    duration.overflowed = 0
