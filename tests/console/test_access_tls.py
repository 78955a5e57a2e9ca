"""A console with TLS and client certificates by the same file."""

import http.client
import ssl
import sys
from types import SimpleNamespace

import bcrypt
import pytest
from cryptography import x509

import servers
from certificates import Authority
from rulebook import ROOT


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """One that asks for a password and for a certificate of one name, and knows its own paths."""
    folder = tmp_path_factory.mktemp("tls")
    authority, port = Authority(), servers.free_port()
    certificate, key = authority.server(folder)
    (folder / "ca.pem").write_text(authority.pem)
    for name in ("desk", "other"):
        authority.write(folder, name, name, [x509.DNSName(name)], client=True)
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(
        f"basic_auth_users: {{ann: '{stored}'}}\n"
        "tls_server_config:\n"
        f"  cert_file: {certificate}\n"
        f"  key_file: {key}\n"
        f"  client_ca_file: {folder}/ca.pem\n"
        "  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_allowed_sans: [desk]\n"
        "http_server_config: {headers: {X-Frame-Options: sameorigin,"
        " Strict-Transport-Security: max-age=60}}\n"
    )
    found = SimpleNamespace(folder=folder, authority=authority, port=port)
    with servers.Server(
        [sys.executable, "-m", "gnomon_console"],
        log=folder / "console.log",
        env={
            "GNOMON_ROOT": str(ROOT),
            "GNOMON_CONSOLE_DATA": str(folder / "data"),
            "GNOMON_CONSOLE_PORT": str(port),
            "GNOMON_CONSOLE_WEB_CONFIG": str(folder / "web.yml"),
            "GNOMON_PROMETHEUS_URL": "http://127.0.0.1:1",
            "GNOMON_ALERTMANAGER_URL": "http://127.0.0.1:1",
            "GNOMON_JAEGER_URL": "",
        },
    ):
        servers.until(lambda: get(found, "/healthz", "desk").status == 200)
        yield found


def get(console, path, name=None, **headers):
    """Return the answer to one whose certificate has that name; OSError for a refusal."""
    context = ssl.create_default_context(cadata=console.authority.pem)
    if name:
        context.load_cert_chain(console.folder / f"{name}.crt", console.folder / f"{name}.key")
    client = http.client.HTTPSConnection("127.0.0.1", console.port, context=context, timeout=30)
    try:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        answer.text = answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        client.close()
    return answer


def test_cookies_are_for_this_host_and_for_tls_alone(console):
    """Which their name makes browsers see to."""
    answer = get(console, "/login", "desk")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-gnomon-{console.port}-form=")
    assert "Secure" in cookie
    assert "not encrypted" not in answer.text


def test_a_password_is_needed_all_the_same(console):
    """A certificate opens the connection, not the page."""
    assert get(console, "/alerts", "desk").status == 401
    known = get(console, "/alerts", "desk", Authorization="Basic YW5uOnNlY3JldA==")
    assert known.status == 200


def test_the_file_s_headers_are_sent(console):
    """In place of the console's own; it never promises TLS by itself: that concerns all ports."""
    answer = get(console, "/healthz", "desk")
    assert answer.headers["x-frame-options"] == "sameorigin"
    assert answer.headers["strict-transport-security"] == "max-age=60"


@pytest.mark.parametrize("name", [None, "other"])
def test_a_client_without_the_right_certificate_is_refused(console, name):
    """One of the same authority, too, if it has another name."""
    with pytest.raises(OSError):  # noqa: PT011  # by TLS, or by an end of the connection
        get(console, "/healthz", name)


def test_plain_http_is_not_answered(console):
    """Not even by a redirect, after which a password might have been sent already."""
    with pytest.raises(OSError):  # noqa: PT011  # reset or closed
        servers.fetch(f"http://127.0.0.1:{console.port}/healthz")


def test_a_renewed_certificate_is_shown(console):
    """From the next connection on, without a restart."""
    before = _serial(console)
    console.authority.server(console.folder)
    servers.until(lambda: _serial(console) != before)


def _serial(console):
    context = ssl.create_default_context(cadata=console.authority.pem)
    context.load_cert_chain(console.folder / "desk.crt", console.folder / "desk.key")
    client = http.client.HTTPSConnection("127.0.0.1", console.port, context=context, timeout=30)
    try:
        client.request("GET", "/healthz")
        client.getresponse().read()
        return client.sock.getpeercert()["serialNumber"]
    finally:
        client.close()
