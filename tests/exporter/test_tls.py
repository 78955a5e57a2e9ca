"""TLS as real clients meet it."""

import ipaddress
import ssl

import pytest
from cryptography import x509

from certificates import Authority
from webserver import Client, get, serving, trusting

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = TLS + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


@pytest.fixture(scope="module")
def authority():
    """The CA that everyone trusts."""
    return Authority()


@pytest.fixture
def configured(tmp_path, authority):
    """Return a function that writes a web config file beside a server's certificate."""
    authority.server(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)

    def write(text):
        (tmp_path / "web.yml").write_text(text)
        return str(tmp_path / "web.yml")

    return write


def refused(server, context):
    """Whether a client gets no answer over TLS."""
    try:
        get(server, "/-/healthy", context=context)
    except OSError:
        return True
    return False


def limited(context, version):
    """Restrict a client to one version."""
    context.minimum_version = context.maximum_version = version
    return context


def test_serves_tls(configured, authority):
    """HTTPS with the configured certificate, in TLS 1.3 and 1.2, and not in 1.1."""
    with serving(web_config=configured(TLS)) as server:
        assert server.url.startswith("https://")
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = limited(trusting(authority), version)
            assert get(server, context=context).status == 200
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old = limited(trusting(authority), ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        assert refused(server, old)


def test_keeps_the_connection(configured, authority):
    """Many requests over one handshake."""
    with (
        serving(web_config=configured(TLS)) as server,
        Client(server, trusting(authority)) as client,
    ):
        for _ in range(10):
            assert client.get().status == 200


def test_speaks_http_1_1_only(configured, authority):
    """A client that prefers HTTP/2 is told in the handshake."""
    context = trusting(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(web_config=configured(TLS)) as server, Client(server, context) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.get().status == 200


@pytest.mark.parametrize(
    ("setting", "accepted", "refused_version"),
    [
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        (
            "cipher_suites: [TLS_AES_256_GCM_SHA384]",
            ssl.TLSVersion.TLSv1_3,
            ssl.TLSVersion.TLSv1_2,
        ),
    ],
)
def test_serves_the_versions_that_are_set(
    configured, authority, setting, accepted, refused_version
):
    """Neither older nor newer ones; suites of TLS 1.3 alone leave no other version."""
    with serving(web_config=configured(f"{TLS}  {setting}\n")) as server:
        assert get(server, context=limited(trusting(authority), accepted)).status == 200
        assert refused(server, limited(trusting(authority), refused_version))


def test_serves_the_suites_that_are_set(configured, authority):
    """Go's name for a suite means the one of the same algorithms in OpenSSL."""
    text = TLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n"
    with serving(web_config=configured(text)) as server:
        context = limited(trusting(authority), ssl.TLSVersion.TLSv1_2)
        with Client(server, context) as client:
            assert client.socket.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert refused(server, context)


@pytest.mark.parametrize(
    ("prefers", "chosen"),
    [("true", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("false", "ECDHE-ECDSA-AES128-GCM-SHA256")],
)
def test_the_configured_side_chooses_the_suite(configured, authority, prefers, chosen):
    """Ours in our order, or theirs in theirs."""
    text = f"""{TLS}  prefer_server_cipher_suites: {prefers}
  cipher_suites:
  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
"""
    context = limited(trusting(authority), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    with serving(web_config=configured(text)) as server, Client(server, context) as client:
        assert client.socket.cipher()[0] == chosen


def test_serves_the_curve_that_is_set(configured, authority):
    """A client without it is refused."""
    with serving(web_config=configured(TLS + "  curve_preferences: [CurveP384]\n")) as server:
        context = trusting(authority)
        context.set_ecdh_curve("secp384r1")
        assert get(server, context=context).status == 200
        context.set_ecdh_curve("prime256v1")
        assert refused(server, context)


def test_asks_for_a_client_certificate(configured, authority, tmp_path):
    """One of the CA comes in; none, one of another CA, and a server's one stay out."""
    stranger = Authority("another CA")
    known = authority.write(tmp_path, "client", "client", client=True)
    wrong_use = authority.write(tmp_path, "wrong", "wrong")
    unknown = stranger.write(tmp_path, "stranger", "stranger", client=True)
    with serving(web_config=configured(MUTUAL)) as server:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for certificate, out in ((known, False), (None, True), (unknown, True)):
                context = limited(trusting(authority, certificate), version)
                assert refused(server, context) is out
        assert refused(server, trusting(authority, wrong_use))


def test_verifies_a_client_certificate_if_there_is_one(configured, authority, tmp_path):
    """None is fine; a wrong one is not."""
    known = authority.write(tmp_path, "client", "client", client=True)
    unknown = Authority("another CA").write(tmp_path, "stranger", "stranger", client=True)
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    with serving(web_config=configured(text)) as server:
        assert not refused(server, trusting(authority))
        assert not refused(server, trusting(authority, known))
        assert refused(server, trusting(authority, unknown))


@pytest.mark.parametrize("policy", ["NoClientCert", "RequestClientCert", '""'])
def test_looks_at_no_client_certificate(configured, authority, tmp_path, policy):
    """A client may bring any, or none."""
    unknown = Authority("another CA").write(tmp_path, "stranger", "stranger", client=True)
    with serving(web_config=configured(f"{TLS}  client_auth_type: {policy}\n")) as server:
        assert not refused(server, trusting(authority))
        assert not refused(server, trusting(authority, unknown))


@pytest.mark.parametrize(
    ("alternative", "written"),
    [
        (x509.DNSName("prometheus.example"), "prometheus.example"),
        (x509.RFC822Name("ops@example.org"), "ops@example.org"),
        (x509.IPAddress(ipaddress.ip_address("192.0.2.7")), "192.0.2.7"),
        (x509.IPAddress(ipaddress.ip_address("2001:db8::7")), '"2001:db8::7"'),
        (x509.UniformResourceIdentifier("spiffe://x/prom"), "spiffe://x/prom"),
    ],
)
def test_lets_in_the_allowed_names_only(configured, authority, tmp_path, alternative, written):
    """A certificate of the CA needs one of the alternative names, in Go's spelling."""
    right = authority.write(
        tmp_path, "right", "right", [x509.DNSName("else"), alternative], client=True
    )
    # The common name does not count.
    wrong = authority.write(
        tmp_path, "wrong", "prometheus.example", [x509.DNSName("else")], client=True
    )
    nameless = authority.write(tmp_path, "nameless", "prometheus.example", client=True)
    text = f"{MUTUAL}  client_allowed_sans: [nobody, {written}]\n"
    with serving(web_config=configured(text)) as server:
        assert not refused(server, trusting(authority, right))
        assert refused(server, trusting(authority, wrong))
        assert refused(server, trusting(authority, nameless))


def test_serves_a_certificate_that_stands_in_the_file(configured, authority):
    """Inline PEM needs no other file, and none is left behind."""
    certificate, key = authority.issue("inline", [x509.DNSName("localhost")])

    def block(text):
        return "".join(f"    {line}\n" for line in text.splitlines())

    text = f"tls_server_config:\n  cert: |\n{block(certificate)}  key: |\n{block(key)}"
    with serving(web_config=configured(text)) as server:
        assert get(server, context=trusting(authority)).status == 200
