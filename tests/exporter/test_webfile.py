"""Users, headers, rates and certificates on the wire, and changes of the file on disk."""

import base64
import logging
import os
import threading

import bcrypt
import pytest

from certificates import Authority
from gnomon_exporter import passwords
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile
from webserver import Client, Page, get, serving, trusting, until

ROUTES = ("/", "/metrics", "/config", "/-/healthy", "/-/ready", "/none")


def hashed(password):
    """Return a bcrypt hash that is quickly made."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


ALICE, BOB = hashed("sesame"), hashed("hunter2")
USERS = f"basic_auth_users:\n  alice: {ALICE}\n  bob: {BOB}\n"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = TLS + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


def basic(user, password):
    """Return the header of basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def web(tmp_path):
    """The web config file: call it with a text to replace it, as an editor does."""

    class File:
        """A file that is written beside and moved into place."""

        path = str(tmp_path / "web.yml")

        def __call__(self, text):
            """Replace the file; return its path."""
            beside = tmp_path / "beside"
            beside.write_text(text)
            os.replace(beside, self.path)
            return self.path

    return File()


@pytest.fixture
def calls(monkeypatch):
    """Count what bcrypt is asked, and let it answer."""
    asked = []
    real = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *given: (asked.append(given), real(*given))[1])
    return asked


def test_every_route_is_behind_the_users(web):
    """Health too, as in exporter-toolkit; nobody learns which paths there are."""
    with serving(web_config=web(USERS)) as server:
        for path in ROUTES:
            for method in ("GET", "HEAD", "POST"):
                reply = get(server, path, method, Content_Length=0)
                assert reply.status == 401
                assert reply.headers["www-authenticate"] == (
                    'Basic realm="gnomon-exporter", charset="UTF-8"'
                )
            wanted = 404 if path == "/none" else 200
            assert get(server, path, **basic("alice", "sesame")).status == wanted


def test_the_right_password_is_checked_once(web, calls):
    """However many connections and requests come with it."""
    with serving(web_config=web(USERS)) as server:
        for _ in range(5):
            with Client(server) as client:
                for _ in range(3):
                    assert client.get(**basic("alice", "sesame")).status == 200
    assert len(calls) == 1


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWxpY2U=",
        "Basic YWxpY2U6d3Jvbmc=",
        "Basic OnNlc2FtZQ==",
        "Bearer YWxpY2U6c2VzYW1l",
        "Digest username=alice",
        "YWxpY2U6c2VzYW1l",
        "Basic \xff\xfe",
        "Basic " + "A" * 20000,
    ],
)
def test_no_other_credentials_come_in(web, header):
    """A wrong password, no user, another scheme, no base64: 401 for all."""
    with serving(web_config=web(USERS)) as server:
        assert get(server, Authorization=header).status == 401


def test_the_scheme_may_be_spelt_in_any_case(web):
    """As HTTP wants it."""
    header = basic("alice", "sesame")["Authorization"].replace("Basic", "bASIC")
    with serving(web_config=web(USERS)) as server:
        assert get(server, Authorization=header).status == 200


def test_passwords_beyond_count_are_put_off(web, monkeypatch):
    """503 with Retry-After for guesses in a flood, while the known scraper is served."""
    gate = threading.Event()
    with serving(web_config=web(USERS)) as server:
        assert get(server, **basic("alice", "sesame")).status == 200
        monkeypatch.setattr(bcrypt, "checkpw", lambda *_: not gate.wait(60))
        threads = [
            threading.Thread(target=get, args=(server,), kwargs=basic("bob", str(number)))
            for number in range(passwords.WAITING)
        ]
        for thread in threads:
            thread.start()
        assert until(lambda: server.web.passwords._places._value == 0)
        reply = get(server, **basic("bob", "one more"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert get(server, **basic("alice", "sesame")).status == 200
        gate.set()
        for thread in threads:
            thread.join()


def test_headers_come_with_every_answer(web):
    """Also with errors; they replace the server's own of the same name."""
    text = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: own}}"
    with serving(web_config=web(text)) as server:
        for path in ROUTES:
            assert get(server, path).headers["x-frame-options"] == "deny"
        assert get(server, "/").headers["content-security-policy"] == "own"
        with Client(server) as client:
            client.send("nonsense\r\n\r\n")
            assert client.reply().headers["x-frame-options"] == "deny"


def test_requests_beyond_the_rate_are_refused(web):
    """429 with the seconds until the next is answered, before any password is looked at."""
    text = USERS + "rate_limit: {interval: 1h, burst: 2}\n"
    page = Page()
    with serving(page, web_config=web(text)) as server:
        assert get(server, **basic("alice", "sesame")).status == 200
        assert get(server).status == 401
        reply = get(server, **basic("alice", "sesame"))
        assert reply.status == 429
        assert 3590 < int(reply.headers["retry-after"]) <= 3600
    assert len(page.asked) == 1


def test_a_removed_user_is_out_and_a_new_one_in(web):
    """At the next request, on a connection that was open already."""
    with serving(web_config=web(USERS)) as server, Client(server) as client:
        assert client.get(**basic("bob", "hunter2")).status == 200
        web(f"basic_auth_users:\n  alice: {ALICE}\n  carol: {hashed('new')}\n")
        assert client.get(**basic("bob", "hunter2")).status == 401
        assert client.get(**basic("alice", "sesame")).status == 200
        assert client.get(**basic("carol", "new")).status == 200


def test_a_changed_password_counts_at_once(web):
    """The one that was remembered does not come in any more."""
    with serving(web_config=web(USERS)) as server:
        assert get(server, **basic("alice", "sesame")).status == 200
        web(USERS.replace(ALICE, hashed("other")))
        assert get(server, **basic("alice", "sesame")).status == 401
        assert get(server, **basic("alice", "other")).status == 200


def test_users_can_be_asked_for_from_now_on(web):
    """A file that had none gets some while the server runs."""
    with serving(web_config=web("")) as server:
        assert get(server).status == 200
        web(USERS)
        assert get(server).status == 401
        assert get(server, **basic("alice", "sesame")).status == 200


def test_a_renewed_certificate_is_served(web, tmp_path):
    """From the next connection on; the file itself has not changed."""
    first, second = Authority(), Authority()
    first.server(tmp_path)
    with serving(web_config=web(TLS)) as server:
        assert get(server, context=trusting(first)).status == 200
        second.server(tmp_path)
        assert get(server, context=trusting(second)).status == 200
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            get(server, context=trusting(first))


def test_a_half_renewed_certificate_is_not_taken(web, tmp_path, caplog):
    """Between the new certificate and its key the old pair is served, then the new one."""
    first, second = Authority(), Authority()
    first.server(tmp_path)
    certificate, key = second.server(tmp_path, "new")
    with serving(web_config=web(TLS)) as server:
        os.replace(certificate, tmp_path / "server.crt")
        assert get(server, context=trusting(first)).status == 200
        assert "not the key of the certificate" in server.web.problem
        assert get(server, "/", context=trusting(first)).text.count("not the key of the") == 1
        os.replace(key, tmp_path / "server.key")
        assert get(server, context=trusting(second)).status == 200
        assert server.web.problem is None
        assert "web configuration on disk" not in get(server, "/", context=trusting(second)).text
    assert sum("not taken" in message for message in caplog.messages) == 1


def test_a_client_ca_is_replaced(web, tmp_path):
    """Whoever the new one does not know stays out."""
    authority, other = Authority(), Authority("another CA")
    authority.server(tmp_path)
    known = trusting(authority, authority.write(tmp_path, "client", "client", client=True))
    late = trusting(authority, other.write(tmp_path, "late", "late", client=True))
    (tmp_path / "ca.crt").write_text(authority.pem)
    with serving(web_config=web(MUTUAL)) as server:
        assert get(server, context=known).status == 200
        (tmp_path / "ca.crt").write_text(other.pem)
        assert get(server, context=late).status == 200
        with pytest.raises(OSError):  # noqa: PT011  # an alert or a reset, by version of TLS
            get(server, context=known)


def test_a_missing_certificate_is_taken_when_it_comes(web, tmp_path):
    """A file may name a certificate before it is there."""
    authority = Authority()
    with serving(web_config=web("")) as server:
        web(TLS)
        assert get(server).status == 200
        assert "server.crt cannot be read" in server.web.problem
        authority.server(tmp_path)
        assert get(server, context=trusting(authority)).status == 200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("basic_auth_users:\n  alice: plain\n", "no bcrypt hash"),
        ("basic_auth_users: [", "not YAML"),
        ("basic_auth_user:\n", "unknown key"),
        ("", "basic_auth_users: no longer there; expected it, or a restart to serve without"),
        ("basic_auth_users:\n", "basic_auth_users: no longer there"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_bad_change_leaves_the_last_good_one(web, caplog, text, problem):
    """Users stay in and strangers out, the log says it once, and a good change is taken again."""
    caplog.set_level(logging.INFO)
    with serving(web_config=web(USERS)) as server:
        if text is None:
            os.unlink(web.path)
        else:
            web(text)
        for _ in range(3):
            assert get(server, **basic("alice", "sesame")).status == 200
            assert get(server).status == 401
        assert problem in server.web.problem
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert problem in caplog.messages[0]
        web(USERS.replace("bob", "robert"))
        assert get(server, **basic("robert", "hunter2")).status == 200
        assert server.web.problem is None
        assert caplog.messages[1:] == [f"web configuration read again: {web.path}"]


def test_protection_does_not_end_while_the_server_runs(web, tmp_path):
    """Neither TLS nor the demand for a certificate goes away without a restart."""
    authority = Authority()
    authority.server(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)
    known = trusting(authority, authority.write(tmp_path, "client", "client", client=True))
    with serving(web_config=web(MUTUAL)) as server:
        for text, problem in (
            ("", "tls_server_config: no longer there"),
            (TLS, "client_auth_type: no longer asks for a client certificate"),
            (
                MUTUAL.replace("RequireAndVerify", "Verify").replace("Cert\n", "CertIfGiven\n"),
                "client_auth_type: no longer asks for a client certificate",
            ),
        ):
            web(text)
            assert get(server, context=known).status == 200
            assert problem in server.web.problem
            with pytest.raises(OSError):  # noqa: PT011
                get(server, context=trusting(authority))


def test_a_file_in_use_is_not_read_again_for_nothing(web, monkeypatch):
    """Unchanged, it is looked at and not opened."""
    with serving(web_config=web(USERS)) as server:
        get(server)
        monkeypatch.setattr("gnomon_exporter.webfile.read", None)
        assert get(server).status == 401


def test_a_change_is_read_once_by_all(web, monkeypatch):
    """Many requests that see the change at once read it once."""
    file = WebFile(web(USERS))
    reads = []
    from gnomon_exporter.webconfig import read

    monkeypatch.setattr(
        "gnomon_exporter.webfile.read", lambda *given: (reads.append(given), read(*given))[1]
    )
    web(USERS + "rate_limit: {interval: 1s, burst: 1}\n")
    threads = [threading.Thread(target=file.config) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


def test_the_first_file_has_to_be_good(web):
    """At the start a bad file is an error, not a warning."""
    with pytest.raises(ConfigError):
        WebFile(web("basic_auth_users: [alice]"))
    with pytest.raises(ConfigError):
        WebFile(web.path + ".missing")
