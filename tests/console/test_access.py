"""Who may use a console with users: a real one, and somebody who means it no good."""

import asyncio
import base64
import http.client
import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import bcrypt
import httpx
import pytest
import websockets
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import servers
from alertmanagers import House
from browser import installed
from rulebook import ROOT

#: For any answer, on a machine that is busy.
PATIENCE_S = 60

pytestmark = pytest.mark.timeout(300)

ANN, BOB = ("ann", "correct horse"), ("bob", "battery: staple")
HTML = {"accept": "text/html"}
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
#: A word that nothing of the console's own has in it.
MARK = "zzzmine"


class Prometheus(BaseHTTPRequestHandler):
    """Knows nothing, and keeps what it was asked."""

    asked: list[str] = []  # noqa: RUF012  # one server per module

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.asked.append(f"{self.path} {self.rfile.read(length).decode()}")
        path = urlsplit(self.path).path
        data: object = {"resultType": "matrix", "result": []}
        if path.endswith("/query"):
            data = {"resultType": "vector", "result": []}
        if path.endswith(("/values", "/query_exemplars")):
            data = ["prices"] if path.endswith("/values") else []
        if path.endswith(("/targets", "/alerts", "/rules")):
            data = {"activeTargets": [], "droppedTargets": [], "alerts": [], "groups": []}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the library's name

    def log_message(self, *_):
        pass


def users(*known: tuple[str, str]) -> str:
    """Return a web config file's text with these names and passwords."""
    lines = [
        f"  {name}: {bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}"
        for name, word in known
    ]
    return "\n".join(["basic_auth_users:", *lines, ""])


@pytest.fixture(scope="module")
def console(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A console with two users, over a Prometheus that keeps what it is asked."""
    folder = tmp_path_factory.mktemp("access")
    port = servers.free_port()
    (folder / "web.yml").write_text(users(ANN, BOB))
    prometheus = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=prometheus.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as running:
        house = House(folder / "house", running)
        alertmanager = house.start(house.render())
        running.callback(prometheus.server_close)
        running.callback(prometheus.shutdown)
        server = running.enter_context(
            servers.Server(
                [sys.executable, "-m", "gnomon_console"],
                ready=f"{url}/healthz",
                log=folder / "console.log",
                env={
                    "GNOMON_ROOT": str(ROOT),
                    "GNOMON_CONSOLE_DATA": str(folder / "data"),
                    "GNOMON_CONSOLE_PORT": str(port),
                    "GNOMON_CONSOLE_WEB_CONFIG": str(folder / "web.yml"),
                    "GNOMON_PROMETHEUS_URL": f"http://127.0.0.1:{prometheus.server_port}",
                    "GNOMON_ALERTMANAGER_URL": alertmanager.url,
                    "GNOMON_JAEGER_URL": "",
                },
            )
        )
        yield SimpleNamespace(
            url=url,
            port=port,
            file=folder / "web.yml",
            server=server,
            alertmanager=alertmanager,
        )


@pytest.fixture
def someone(console) -> Iterator[httpx.Client]:
    """Somebody with an address of their own, as a proxy on this machine tells it."""
    address = f"198.51.{random.randrange(256)}.{random.randrange(256)}"
    with httpx.Client(
        base_url=console.url, timeout=PATIENCE_S, headers={"X-Forwarded-For": address}
    ) as client:
        yield client


def form_of(client: httpx.Client, path: str = "/login") -> dict[str, str]:
    """Open the login page, and return the fields that it brings along."""
    page = client.get(path, headers=HTML, follow_redirects=True).text
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    # NiceGUI's pages are built of JSON.
    found += re.findall(r'"type":"hidden","name":"(\w+)","value":"([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


def log_in(client: httpx.Client, who: tuple[str, str] = ANN, **fields: str) -> httpx.Response:
    """Send the login form as a browser does."""
    given = {**form_of(client), "user": who[0], "password": who[1], **fields}
    return client.post("/login", data=given, headers={"Origin": str(client.base_url).rstrip("/")})


def session(client: httpx.Client, console) -> str:
    """Return the session's cookie, as a header has it."""
    return f"gnomon-{console.port}={client.cookies[f'gnomon-{console.port}']}"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/alerts", "/traces", "/d/gnomon-host", "/api/boards/gnomon-host/panels?ids=2"),
        *("/api/boards/gnomon-host/panels/2.csv", "/static/console.css", "/metrics", "/nothing"),
        *("/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/metrics/queries", "/login/", "//"),
        *("/healthz/../alerts", "/login%2f..%2falerts", "/static/../metrics"),
    ],
)
def test_nothing_is_read_without_a_password(someone, path):
    """A program is told so, and a browser is led to the form."""
    answer = someone.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    led = someone.get(path, headers=HTML)
    assert led.status_code == 303
    assert led.headers["location"].startswith("/login?next=%2F")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert someone.request(method, path).status_code == 401


def test_the_form_leads_back_to_what_was_asked_for(someone):
    """And the session opens everything."""
    asked = "/d/gnomon-host?from=now-3h&var-job=a%20b"
    led = someone.get(asked, headers=HTML)
    fields = form_of(someone, led.headers["location"])
    assert fields["next"] == asked
    answer = log_in(someone, next=fields["next"])
    assert answer.status_code == 303
    assert answer.headers["location"] == asked
    page = someone.get(asked, headers=HTML)
    assert page.status_code == 200
    assert "Log out ann" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert someone.get("/login", params={"next": "/alerts"}).headers["location"] == "/alerts"


def test_a_program_sends_its_password(someone):
    """For CSV, metrics and traces, and without a session."""
    for path in ("/api/boards/gnomon-host/panels/2.csv", "/metrics", "/alerts"):
        answer = someone.get(path, auth=ANN)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    spans = {"content": b"{}", "headers": {"content-type": "application/json"}}
    assert someone.post("/v1/traces", **spans).status_code == 401
    assert someone.post("/v1/traces", auth=BOB, **spans).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        *(
            "Basic",
            "Basic !!!!",
            "Basic YW5u",
            "Basic YW5uOg==",
            "Basic /w==",
            "Basic Og==",
        ),
        *("Bearer abc", "Digest username=ann", "basic " + "A" * 20000, "\xff\xfe"),
    ],
)
def test_what_is_no_password_is_none(someone, header):
    """However it is written."""
    answer = someone.get("/alerts", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401


def test_programs_of_this_machine_go_on(console):
    """Prometheus beside it reads its metrics, applications send it traces; a page may neither."""
    with httpx.Client(base_url=console.url, timeout=PATIENCE_S) as own:
        spans = {"content": b"{}"}
        kind = {"content-type": "application/json"}
        assert own.get("/metrics").status_code == 200
        assert own.post("/v1/traces", headers=kind, **spans).status_code == 200
        for headers in (
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"Via": "1.1 proxy"},
            {"X-Real-IP": "127.0.0.1"},
            {"Host": f"evil.example:{console.port}"},
            {"Host": "127.0.0.1.evil.example"},
        ):
            assert own.get("/metrics", headers=headers).status_code == 401
            answer = own.post("/v1/traces", headers={**kind, **headers}, **spans)
            assert answer.status_code == 401
        elsewhere = {**kind, "Origin": "http://evil.example"}
        assert own.post("/v1/traces", headers=elsewhere, **spans).status_code == 403
        assert own.get("/alerts").status_code == 401


def test_it_says_that_it_runs_to_everybody(someone):
    """And nothing more."""
    assert someone.get("/healthz").json() == {"status": "ok"}


def test_a_flood_of_guesses_is_stopped(console, someone):
    """Nobody who is known is held up, not even at the same address."""
    assert someone.get("/alerts", auth=ANN).status_code == 200
    assert log_in(someone).status_code == 303
    answers = [
        httpx.get(
            f"{console.url}/alerts",
            auth=("bob", f"guess {n}"),
            headers=someone.headers,
            timeout=PATIENCE_S,
        )
        for n in range(3)
    ]
    with httpx.Client(base_url=console.url, timeout=PATIENCE_S, headers=someone.headers) as guesser:
        fields = form_of(guesser)
        for number in range(20):
            given = {**fields, "user": "bob", "password": f"guess {number}"}
            answers.append(guesser.post("/login", data=given))
            answers.append(guesser.get("/alerts", auth=("bob", f"guess {number}")))
        stopped = [each for each in answers if each.status_code == 429]
        # One more is tried every 10 s.
        assert len(stopped) >= 10
        assert all(0 < int(each.headers["retry-after"]) <= 10 for each in stopped)
        assert guesser.get("/alerts", auth=ANN).status_code == 200
    assert someone.get("/alerts").status_code == 200


def test_names_cannot_be_told_from_others(someone):
    """A wrong password and no such user are answered alike."""
    fields = form_of(someone)
    seen = set()
    for name in ("ann", "nobody", "", "ann:x", "ANN", "a" * 190):
        given = {**fields, "user": name, "password": "wrong"}
        answer = someone.post("/login", data=given)
        seen.add((answer.status_code, re.sub(r'nonce="[^"]+"', "", answer.text)))
    assert len(seen) == 1
    assert "No such name with this password." in seen.pop()[1]


@pytest.mark.parametrize(
    "value", ["x", "", "A" * 43, "A" * 9000, "../../etc/passwd", '"{}"', "%00", "é", "None"]
)
def test_a_forged_cookie_opens_nothing(console, someone, value):
    """Whatever is in it."""
    cookie = f"gnomon-{console.port}={value}".encode()
    assert someone.get("/alerts", headers={"Cookie": cookie}).status_code == 401


def test_a_session_cannot_be_put_on_somebody(console, someone):
    """A token of before the login is worth nothing after it, and each login has its own."""
    planted = "A" * 43
    someone.cookies.set(f"gnomon-{console.port}", planted, domain="127.0.0.1")
    given = {**form_of(someone), "user": ANN[0], "password": ANN[1]}
    answer = someone.post("/login", data=given)
    assert answer.status_code == 303
    said = next(each for each in answer.headers.get_list("set-cookie") if "-form=" not in each)
    assert planted not in said
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=604800"):
        assert part in said
    assert "Domain" not in said
    headers = {"Cookie": f"gnomon-{console.port}={planted}"}
    assert (
        httpx.get(f"{console.url}/alerts", headers=headers, timeout=PATIENCE_S).status_code == 401
    )


def test_a_session_is_over_after_logging_out(console, someone):
    """A copy of its cookie opens nothing, a connection that was open is ended."""
    log_in(someone)
    cookie = session(someone, console)

    async def connected() -> int:
        address = f"ws://127.0.0.1:{console.port}{SOCKET}"
        headers = {"Cookie": cookie, "Origin": console.url}
        async with websockets.connect(address, additional_headers=headers) as socket:
            assert (await asyncio.wait_for(socket.recv(), PATIENCE_S)).startswith("0{")
            fields = form_of(someone, "/traces")
            out = await asyncio.to_thread(
                someone.post, "/logout", data=fields, headers={"Origin": console.url}
            )
            assert out.status_code == 303
            assert out.headers["location"] == "/login"
            await asyncio.wait_for(socket.wait_closed(), PATIENCE_S)
            assert socket.close_code is not None
            return socket.close_code

    assert asyncio.run(connected()) == 1008
    with httpx.Client(
        base_url=console.url, headers={"Cookie": cookie}, timeout=PATIENCE_S
    ) as replaying:
        assert replaying.get("/alerts").status_code == 401
        assert replaying.get("/login/known").status_code == 401
    assert asyncio.run(_refused(console, {"Cookie": cookie, "Origin": console.url}))


async def _refused(console, headers) -> bool:
    """Whether a WebSocket is refused."""
    try:
        address = f"ws://127.0.0.1:{console.port}{SOCKET}"
        async with websockets.connect(address, additional_headers=headers):
            return False
    except websockets.InvalidStatus as error:
        return error.response.status_code == 403


def test_another_page_cannot_use_the_session(console, someone):
    """Not with its cookie either, were a browser to send that along."""
    log_in(someone)
    cookie = session(someone, console)
    token = form_of(someone, "/traces")["form"]
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": f"http://127.0.0.1:{console.port + 1}"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},  # browsers always say where a form comes from
    ):
        answer = someone.post("/logout", data={"form": token}, headers=headers)
        assert answer.status_code == 403
        answer = someone.post("/v1/traces", content=b"{}", headers=headers)
        assert answer.status_code == 403
        if headers:
            assert asyncio.run(_refused(console, {"Cookie": cookie, **headers}))
            assert someone.post("/login", data=form_of(someone), headers=headers).status_code == 403
    assert asyncio.run(_refused(console, {"Origin": console.url}))
    for wrong in ({}, {"form": ""}, {"form": "x"}, {"form": "é"}):
        answer = someone.post("/logout", data=wrong, headers={"Origin": console.url})
        assert answer.status_code == 403
    assert someone.get("/alerts").status_code == 200
    preflight = someone.options("/alerts", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers


def test_a_login_needs_the_form(someone):
    """So that nobody is logged in by a page from elsewhere as somebody else."""
    fields = form_of(someone)
    given = {**fields, "user": ANN[0], "password": ANN[1]}
    for form in ("", "x", fields["form"][:-1]):
        assert someone.post("/login", data={**given, "form": form}).status_code == 403
    someone.cookies.clear()
    assert someone.post("/login", data=given).status_code == 403


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/\r\nSet-Cookie: mine=1",
        "/%0d%0aSet-Cookie: mine=1",
        "javascript:alert(1)",
        '/"><script>alert(1)</script>',
    ],
)
def test_a_login_leads_nowhere_else(someone, wanted):
    """And what it leads to is no header and no part of the page."""
    page = someone.get("/login", params={"next": wanted}, headers=HTML)
    assert "<script>alert" not in page.text
    answer = log_in(someone, next=wanted)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/")
    assert not answer.headers["location"].startswith(("//", "/\\"))
    assert not any(each.startswith("mine") for each in answer.headers.get_list("set-cookie"))


def test_a_proxy_may_end_tls_before_it(console, someone):
    """Then cookies are for TLS alone, and forms come from the name that the proxy has."""
    someone.headers.update({"X-Forwarded-Proto": "https", "Host": "console.example"})
    page = someone.get("/login", headers=HTML)
    assert "not encrypted" not in page.text
    said = page.headers["set-cookie"]
    assert said.startswith(f"__Host-gnomon-{console.port}-form=")
    assert "Secure" in said
    form = said.partition("=")[2].partition(";")[0]
    answer = someone.post(
        "/login",
        data={"user": ANN[0], "password": ANN[1], "form": form},
        headers={"Origin": "https://console.example", "Cookie": said.partition(";")[0]},
    )
    assert answer.status_code == 303
    # Without it, the connection of somebody from elsewhere is not encrypted, and the form says so.
    assert "not encrypted" in someone.get("/login", headers={"X-Forwarded-Proto": "http"}).text


def test_a_name_of_somebody_elses_is_not_repeated(someone):
    """A redirect says a path alone."""
    for host in ("evil.example", "evil.example:1", "", "[::1]", "a b", "x" * 300):
        answer = someone.get("/alerts", headers={**HTML, "Host": host})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2Falerts"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../app.py",
            "/static/..%2fapp.py",
            "/static/%2e%2e/app.py",
            "/static/....//app.py",
        ),
        *(
            "/static/..%5capp.py",
            "/static//etc/passwd",
            "/static/%00",
            "/static/" + "../" * 30 + "etc/passwd",
        ),
        *("/_nicegui/3/static/../../../../../etc/passwd", "/d/..%2f..%2fetc%2fpasswd"),
        *("/api/boards/..%2fapp/panels?ids=1", "/api/boards/gnomon-host/panels/..%2f..%2f1.csv"),
        *("/traces/..%2f..%2fetc%2fpasswd", "/traces/%00", "/runbooks/../../README"),
        *("/runbooks/..%2f..%2fREADME/x", "/runbooks/%00/x", "/runbooks/" + "a" * 5000 + "/x"),
    ],
)
def test_no_file_is_read_but_the_console_s_own(console, path):
    """By whoever may come in."""
    client = http.client.HTTPConnection("127.0.0.1", console.port, timeout=PATIENCE_S)
    try:
        # As it stands: a library would tidy the path up.
        client.putrequest("GET", path, skip_accept_encoding=True)
        client.putheader("Authorization", "Basic " + _basic(ANN))
        client.endheaders()
        answer = client.getresponse()
        body = answer.read()
    finally:
        client.close()
    assert answer.status < 500
    assert b"root:" not in body
    assert b"def make" not in body


def _basic(who: tuple[str, str]) -> str:
    return base64.b64encode(":".join(who).encode()).decode()


def test_a_huge_form_is_refused(someone):
    """Before it has come whole; and nobody unknown sends any other."""

    def parts(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b"a" * 65536

    with suppress(httpx.WriteError, httpx.ReadError):
        assert someone.post("/login", content=parts(500)).status_code == 413
    for body in (b"&" * 5000, b"\xff=\xff", b"user=%ff%00", b"{}", b""):
        assert someone.post("/login", content=body).status_code in {403, 413}
    with suppress(httpx.WriteError, httpx.ReadError):
        assert someone.post("/v1/traces", content=parts(500)).status_code == 401
    assert someone.get("/healthz").status_code == 200


def test_browsers_are_told_what_no_page_needs(someone):
    """On every answer, refusals too; the form has no script or style but its own."""
    log_in(someone)
    for path in ("/alerts", "/login", "/nothing", "/static/console.css", "/healthz"):
        answer = someone.get(path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "server" not in answer.headers
    someone.cookies.clear()
    refused = someone.get("/alerts", headers={"Origin": "http://evil.example"})
    assert refused.headers["x-frame-options"] == "DENY"
    policy = someone.get("/login").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/query?query={MARK}",
        f"/api/v1/query_range?query={MARK}",
        f"/api/boards/gnomon-host/panels?ids=2&query={MARK}&expr={MARK}",
        f"/api/boards/{MARK}/panels?ids=2",
        f"/api/boards/gnomon-host/panels?ids=2&var-job={MARK}&var-instance={MARK}",
        f"/api/boards/gnomon-host/panels?ids=2&var-job=%22%7D%20or%20{MARK}%7Ba%3D%22",
        f"/api/boards/gnomon-service/panels?ids=1,2,3&var-service={MARK}&var-%24__all={MARK}",
        f"/api/boards/gnomon-host/panels?ids=2&from={MARK}&to=now",
        f"/api/boards/gnomon-host/panels?ids=2&url=http://{MARK}/&datasource={MARK}",
        f"/api/datasources/proxy/1/api/v1/query?query={MARK}",
        f"/api/boards/gnomon-host/panels/2.csv?var-job=.*{MARK}",
        f"/d/gnomon-host?var-job={MARK}&var-instance=.%2B{MARK}&query={MARK}",
        f"/http://{MARK}/",
        *(
            f"/{page}?var-service={MARK}&service={MARK}&q={MARK}"
            for page in ("map", "slos", "setup")
        ),
    ],
)
def test_prometheus_is_asked_nothing_that_no_dashboard_holds(someone, path):
    """Not by whoever has logged in either: there is nothing that takes a query or an address."""
    before = len(Prometheus.asked)
    answer = someone.get(path, auth=ANN)
    assert answer.status_code < 500
    assert not [each for each in Prometheus.asked[before:] if MARK in each]


def test_odd_questions_are_never_an_error_of_its_own(someone):
    """Times, panels, variables and dashboards of all kinds."""
    chance = random.Random(7)
    times = [
        *("now", "now-1h", "now-0s", "now-", "now+1h", "", "0", "-1", "1e9", "NaN", "Infinity"),
        *("now-" + "9" * 30 + "y", "now-" + "9" * 400 + "y", "9" * 15, "9" * 400, "٣", "now-٣h"),
        *("now-1h\n", "now-1ms", "now-999999d", "\0", "'", '"', "1500000000000", "999999999999999"),
    ]
    ids = ["2", "1,2,3", ",,,", "", "-1", "1.5", "9" * 1999, "٣", "2,2,2", "0x10", "²", "\0", "1_0"]
    values = ["prices", "$__all", "", '"}', "\\", "a" * 5000, "\0", "\ud7ff", "é", "$job", "${job}"]
    boards = ["gnomon-host", "gnomon-service", "gnomon-slo", "gnomon-overview", "no", "%00", "é"]
    for turn in range(120):
        someone.headers["X-Forwarded-For"] = f"198.18.0.{turn % 250}"
        query = [("from", chance.choice(times)), ("to", chance.choice(["now", *times]))]
        query += [("ids", chance.choice(ids))] * chance.randrange(1, 3)
        query += [
            (f"var-{chance.choice(['job', 'service', 'instance', '', '__all', 'a b'])}", value)
            for value in chance.choices(values, k=chance.randrange(4))
        ]
        chance.shuffle(query)
        board = quote(chance.choice(boards), safe="%")
        tail = chance.choice(
            ["panels", f"panels/{chance.choice(['2', '0', 'x', '-1', '9' * 99])}.csv"]
        )
        answer = someone.get(f"/api/boards/{board}/{tail}", params=query, auth=ANN)
        assert answer.status_code in {200, 400, 404, 422, 502}, (answer.url, answer.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, which knows this machine by a name that is not loopback's.

    So nothing is granted that browsers grant to loopback alone.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed(),
            args=[
                *("--no-sandbox", "--disable-dev-shm-usage"),
                "--host-resolver-rules=MAP console.example 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


def tab(context: BrowserContext) -> tuple[Page, list[str]]:
    """Return a new tab, and what will go wrong in its scripts."""
    page, complaints = context.new_page(), []
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def type_in(page: Page, password: str) -> None:
    """Fill in the form as ann, and send it."""
    page.get_by_label("Name").fill(ANN[0])
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_browser_logs_in_and_out(console, browser):
    """By the form; a link from elsewhere opens its page without asking again."""
    url = f"http://console.example:{console.port}"
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page, complaints = tab(context)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{url}/alerts")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            # Evaluated, not as a script of the page: its policy lets none in.
            page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
            found = page.evaluate("axe.run()")["violations"]
            assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
        type_in(page, "wrong")
        assert page.get_by_role("alert").inner_text() == "No such name with this password."
        type_in(page, ANN[1])
        page.wait_for_url(f"{url}/alerts")
        page.wait_for_function("() => window.did_handshake")

        other, more = tab(context)
        # Another site to a browser: no strict cookie comes along with its link.
        link = f"<a href='{url}/traces'>look</a>"
        other.route(
            "http://elsewhere.example/",
            lambda route: route.fulfill(body=link, content_type="text/html"),
        )
        other.goto("http://elsewhere.example/")
        other.get_by_text("look").click()
        other.wait_for_url(f"{url}/traces")
        other.wait_for_function("() => window.did_handshake")

        page.get_by_role("button", name="Log out ann").click()
        page.wait_for_url(re.compile("/login"))
        # The other tab learns of it by itself.
        other.wait_for_url(re.compile(r"/login\?next=%2Ftraces"))
        assert complaints + more == []


def test_who_has_logged_in_acknowledges_in_their_own_name(console, browser):
    """Which they cannot change."""
    labels = {"alertname": "DiskFull", "service": "shop", "severity": "critical"}
    console.alertmanager.post(labels, summary="A disk is full")
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page, complaints = tab(context)
        page.goto(f"http://console.example:{console.port}/alerts")
        type_in(page, ANN[1])
        page.get_by_role("button", name="A disk is full").first.click()
        page.get_by_role("button", name="Acknowledge", exact=True).first.click()
        dialog = page.get_by_role("dialog")
        assert dialog.get_by_label("Your name").input_value() == "ann"
        assert dialog.get_by_label("Your name").is_disabled()
        dialog.get_by_label("What you do about it").fill("deleting logs")
        dialog.get_by_role("button", name="Acknowledge").click()
        dialog.wait_for(state="detached")
        assert complaints == []
    [silence] = console.alertmanager.ask("/api/v2/silences")
    assert silence["createdBy"] == "ann"


def test_a_new_password_ends_what_the_old_one_opened(console, someone):
    """As soon as the file says so; who is not concerned stays, and no broken file opens a door."""
    log_in(someone, BOB)
    with httpx.Client(base_url=console.url, headers=someone.headers, timeout=PATIENCE_S) as other:
        log_in(other, ANN)
        kept = console.file.read_text().splitlines()[1]
        new = users(("bob", "new")).splitlines()[1]
        console.file.write_text(f"basic_auth_users:\n{kept}\n{new}\n")
        assert someone.get("/alerts").status_code == 401
        assert someone.get("/alerts", auth=BOB).status_code == 401
        assert someone.get("/alerts", auth=("bob", "new")).status_code == 200
        for broken in ("", "basic_auth_users: {}", "basic_auth_users: [", "users: {}"):
            console.file.write_text(broken)
            assert other.get("/alerts").status_code == 200
            assert someone.get("/alerts").status_code == 401


def test_no_password_is_written_down(console):
    """The log says from where a wrong one came."""
    said = console.server.output()
    assert "a wrong name or password from 198.51." in said
    for secret in (ANN[1], BOB[1], "guess", "wrong\n", "nobody"):
        assert secret not in said.replace("a wrong name or password", "")
