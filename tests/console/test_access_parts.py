"""The parts of the console's access: sessions, limits, where it listens, where a login leads."""

import asyncio
import contextlib
import socket
import threading

import bcrypt
import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

import servers
from gnomon_console import __main__ as command
from gnomon_console.access import check, connection, door, limits, listening, sessions, who
from gnomon_console.access.door import Door, Doorkeeper, open_changes
from gnomon_console.access.login import local
from gnomon_console.settings import settings
from gnomon_exporter.passwords import WAITING
from gnomon_exporter.ratelimit import Rate
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile

HASH = "$2b$04$abcdefghijklmnopqrstuuXxMkuz1bpmCAhqLkdIM4CzHNLBzdJm."


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def kept():
    """Sessions of two users, with their clock, users and those that have ended."""
    kept = type("Kept", (), {})()
    kept.users, kept.clock, kept.gone = {"ann": "one", "bob": "two"}, Clock(), []
    kept.sessions = sessions.Sessions(lambda: kept.users, kept.gone.append, kept.clock)
    return kept


def test_a_token_finds_its_session_and_no_other_does(kept):
    """Nor does what is kept of it, should somebody read that."""
    token = kept.sessions.begin("ann", "one")
    assert kept.sessions.find(token).user == "ann"
    digest = next(iter(kept.sessions._kept))
    for other in ("", token[:-1], token + "A", token.upper(), digest.hex(), "\udcff"):
        assert kept.sessions.find(other) is None
    assert len({kept.sessions.begin("ann", "one") for _ in range(20)}) == 20


def test_a_session_ends_when_it_is_not_used(kept):
    """Each use begins its idle time anew."""
    token = kept.sessions.begin("ann", "one")
    for _ in range(3):
        kept.clock.now += sessions.IDLE_S - 1
        assert kept.sessions.find(token)
    kept.clock.now += sessions.IDLE_S
    assert kept.sessions.find(token) is None
    assert kept.gone[0].ended.is_set()
    assert len(kept.sessions) == 0


def test_a_session_ends_however_much_it_is_used(kept):
    """After a week, by a request or by the look at all of them."""
    tokens = [kept.sessions.begin("ann", "one") for _ in range(2)]
    for _ in range(int(sessions.LONGEST_S / sessions.IDLE_S * 2)):
        kept.clock.now += sessions.IDLE_S / 2 - 1
        assert all(map(kept.sessions.find, tokens))
    kept.clock.now += sessions.IDLE_S / 2
    assert kept.sessions.find(tokens[0]) is None
    kept.sessions.look()
    assert len(kept.gone) == 2


@pytest.mark.parametrize("users", [{"ann": "another", "bob": "two"}, {"bob": "two"}])
def test_a_new_password_ends_the_sessions_of_the_old_one(kept, users):
    """So does a user's end; nobody else's session is concerned."""
    mine, other = kept.sessions.begin("ann", "one"), kept.sessions.begin("bob", "two")
    kept.users = users
    kept.sessions.look()
    assert [each.user for each in kept.gone] == ["ann"]
    assert kept.sessions.find(mine) is None
    assert kept.sessions.find(other)


def test_sessions_are_bounded(kept, monkeypatch):
    """The longest unused one goes; who logs in again and again ends their own ones alone."""
    monkeypatch.setattr(sessions, "KEPT", 5)
    monkeypatch.setattr(sessions, "KEPT_OF_ONE", 3)
    tokens = []
    for name, stored in (("bob", "two"), *[("ann", "one")] * 5):
        kept.clock.now += 1
        tokens.append(kept.sessions.begin(name, stored))
    assert [kept.sessions.find(each) is not None for each in tokens] == [
        *(True, False, False),
        *(True, True, True),
    ]


def test_each_address_has_its_own_limit():
    """One machine's addresses count as one, and few are remembered."""
    of = limits.Limits(Rate(interval=1000, burst=2))
    assert [of.wait("192.0.2.1") > 0 for _ in range(3)] == [False, False, True]
    assert of.wait("192.0.2.2") == 0.0
    assert of.wait("::ffff:192.0.2.1") > 0
    assert [of.wait(f"2001:db8::{n}") > 0 for n in range(1, 4)] == [False, False, True]
    assert of.wait("2001:db8:0:1::1") == 0.0
    assert [of.wait(text) > 0 for text in ("nonsense", "", "x" * 9999)] == [False, False, True]
    for number in range(5000):
        of.wait(f"10.0.{number // 250}.{number % 250}")
    assert len(of) == 4096


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_it_does_not_listen_for_others_without_users(host, tmp_path):
    """The error says where and what helps."""
    with pytest.raises(ConfigError, match="a file that GNOMON_CONSOLE_WEB_CONFIG names"):
        listening.permitted(settings({"GNOMON_CONSOLE_HOST": host}), WebFile(None))
    path = tmp_path / "web.yml"
    path.write_text("")
    given = {"GNOMON_CONSOLE_HOST": host, "GNOMON_CONSOLE_WEB_CONFIG": str(path)}
    with pytest.raises(ConfigError, match=f"basic_auth_users in {path}"):
        listening.permitted(settings(given), WebFile(str(path)))
    path.write_text(f"basic_auth_users:\n  ann: {HASH}\n")
    assert listening.permitted(settings(given), WebFile(str(path))) == host


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_loopback_needs_no_users(host):
    """By any of its names."""
    given = settings({"GNOMON_CONSOLE_HOST": host, "GNOMON_CONSOLE_PORT": "0"})
    assert listening.loopback(listening.permitted(given, WebFile(None)))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "10.0.0.1", "::", "0.0.0.0", "::ffff:10.0.0.1", "localhost", "", "127.1"]
)
def test_what_is_not_loopback_is_not_taken_for_it(address):
    """A name may lead anywhere."""
    assert not listening.loopback(address)


def test_the_command_says_why_it_does_not_start(monkeypatch, capsys, tmp_path):
    """In one line, with a status that no supervisor takes for success."""
    monkeypatch.setenv("GNOMON_CONSOLE_HOST", "0.0.0.0")
    assert command.main() == 2
    assert "nobody would be asked for a password" in capsys.readouterr().err
    monkeypatch.setenv("GNOMON_CONSOLE_HOST", "no.such.host.invalid")
    assert command.main() == 2
    assert "is no address" in capsys.readouterr().err
    monkeypatch.setenv("GNOMON_CONSOLE_WEB_CONFIG", str(tmp_path / "none.yml"))
    assert command.main() == 2
    assert "none.yml: cannot be read" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("GNOMON_CONSOLE_HOST", "127.0.0.1")
        monkeypatch.setenv("GNOMON_CONSOLE_PORT", str(taken.getsockname()[1]))
        monkeypatch.delenv("GNOMON_CONSOLE_WEB_CONFIG")
        assert command.main() == 2
        assert "a port that is free" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example"),
        *("http://evil.example", "https:evil.example", "javascript:alert(1)", "evil.example", ""),
        *("/\t/evil.example", "/\r\nSet-Cookie: a=b", "/\n", "/\0", "/login", "/login?next=/"),
        *("/" + "a" * 5000, "//[", " /", "/\u2028"),
    ],
)
def test_a_login_leads_to_the_console_alone(address):
    """Whatever somebody has put into the link to it."""
    assert local(address) == "/"


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/d/gnomon-host",
        "/d/gnomon-host?from=now-1h&var-job=a%20b&var-x=a&var-x=b",
        "/traces/1",
    ],
)
def test_a_login_leads_to_the_page_asked_for(address):
    """With all that was chosen on it."""
    assert local(address) == address


@pytest.mark.parametrize(
    ("alertmanager", "may"),
    [
        ("http://127.0.0.1:9093", True),
        ("http://localhost:9093", True),
        ("http://[::1]:9093", True),
        ("http://10.0.0.1:9093", False),
        ("https://alerts.example/am", False),
        ("http://localhost.evil.example", False),
    ],
)
def test_who_is_not_known_changes_what_is_open_to_them_anyway(alertmanager, may):
    """Alertmanager's own page on this machine, and not one on another."""
    here = settings({"GNOMON_ALERTMANAGER_URL": alertmanager})
    app = FastAPI()

    @app.get("/who")
    async def asked(request: Request) -> bool:
        return who.of(request.scope).may_change

    opened = Door(WebFile(None), open_changes=open_changes(here), port=1)
    app.add_middleware(Doorkeeper, door=opened)
    assert TestClient(app).get("/who").json() is may
    assert not who.NOBODY.may_change


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """An application whose only user is ann; each address may ask for and guess very little."""
    monkeypatch.setattr(door, "QUESTIONS", Rate(interval=1000, burst=3))
    monkeypatch.setattr(check, "GUESSES", Rate(interval=1000, burst=2))
    path = tmp_path / "web.yml"
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    path.write_text(f"basic_auth_users: {{ann: '{stored}'}}\n")
    app = FastAPI()
    app.get("/api/boards")(lambda: "drawn")
    app.add_middleware(Doorkeeper, door=Door(WebFile(str(path)), open_changes=True, port=1))
    return lambda address: TestClient(app, client=(address, 1))


def test_questions_of_one_address_are_bounded(guarded):
    """They cost Prometheus something; others are not held up."""
    one, other = guarded("192.0.2.1"), guarded("192.0.2.2")
    answers = [one.get("/api/boards", auth=("ann", "secret")) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 1
    assert other.get("/api/boards", auth=("ann", "secret")).status_code == 200


def test_after_wrong_passwords_the_right_one_is_not_tried_either(guarded):
    """Until there is room for it; at other addresses, and once it is known, it always is."""
    one, other = guarded("192.0.2.1"), guarded("192.0.2.2")
    given = [("ann", "one"), ("ann", "two"), ("ann", "secret")]
    assert [one.get("/", auth=each).status_code for each in given] == [401, 401, 429]
    assert other.get("/api/boards", auth=("ann", "secret")).status_code == 200
    assert one.get("/api/boards", auth=("ann", "secret")).status_code == 200
    assert one.get("/", auth=("bob", "secret")).status_code == 429


def test_few_wait_for_their_password_to_be_checked(monkeypatch):
    """The others are told to come again at once, and the event loop goes on meanwhile."""
    web, go = WebFile(None), threading.Event()
    monkeypatch.setattr(web.passwords, "check", lambda *_: go.wait(60) and False)
    checked = check.Check(web)

    async def flood():
        guesses = [
            asyncio.create_task(checked.stored("ann", str(number), f"192.0.2.{number}"))
            for number in range(30)
        ]
        await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
        refused = [each for each in guesses if each.done()]
        assert all(isinstance(each.exception(), check.TooMany) for each in refused)
        go.set()
        found = await asyncio.gather(*guesses, return_exceptions=True)
        return found.count(None), len(refused)

    assert asyncio.run(flood()) == (WAITING, 30 - WAITING)
    checked.close()


def test_a_page_whose_session_has_ended_is_nobody_s(kept):
    """Whoever comes to it by another session changes nothing in the first one's name."""
    session = kept.sessions.find(kept.sessions.begin("ann", "one"))
    scope = {}
    who.bring(scope, who.Visitor("ann", may_change=True, session=session))
    assert who.of(scope).name == "ann"
    kept.sessions.end(session)
    assert who.of(scope) == who.NOBODY
    assert who.session_of(scope) is session
    assert who.of({}) == who.NOBODY


@pytest.fixture
def raw():
    """The port of a server whose connections are the console's."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", **connection.options(WebFile(None)), log_level="error")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    servers.until(lambda: server.started)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def _answer(port, *parts):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        with contextlib.suppress(OSError):
            for part in parts:
                client.sendall(part)
        with contextlib.suppress(OSError):
            return client.recv(9999)
    return b""


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_connection_that_stalls_is_ended(raw, begun, monkeypatch):
    """One that has said nothing, too."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.5)
    assert _answer(raw, begun) == b""


def test_a_head_is_bounded(raw):
    """Before anybody is asked for a password."""
    line = b"X-Long: " + b"a" * 8000 + b"\r\n"
    assert _answer(raw, b"GET / HTTP/1.1\r\nHost: x\r\n", *[line] * 40) == b""
    assert _answer(raw, b"GET / HTTP/1.1\r\nHost: x\r\n", line, b"\r\n").startswith(b"HTTP/1.1 200")
