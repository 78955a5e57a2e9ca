"""The web config file: what is taken, and one bad file for each rule."""

import sys

import bcrypt
import pytest

from certificates import Authority
from gnomon_exporter.ratelimit import Rate
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webconfig import read

# Its salt is fixed, for it is a part of tests' names, which are the same in every process.
STORED = bcrypt.hashpw(b"hunter2", b"$2b$04$abcdefghijklmnopqrstuu").decode()
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with certificates: server, other, client_ca, and files that are none."""
    authority = Authority()
    authority.server(tmp_path)
    authority.server(tmp_path, "other")
    authority.write(tmp_path, "locked", "locked", passphrase=b"hunter2")
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "junk.pem").write_text("hunter2 is no PEM")
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "broken.crt").write_text(broken)
    return tmp_path


def config(folder, text):
    """Read a text as the file web.yml."""
    (folder / "web.yml").write_text(text)
    return read(str(folder / "web.yml"))


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "basic_auth_users: {}\n"])
def test_an_empty_file_is_plain_http_for_everyone(tmp_path, text):
    """As in exporter-toolkit."""
    found = config(tmp_path, text)
    assert (found.tls, found.users, found.headers, found.rate) == (None, {}, {}, None)


def test_reads_everything_that_the_format_has(folder):
    """Each key of exporter-toolkit's format is known."""
    found = config(
        folder,
        f"""
tls_server_config:
  cert_file: server.crt
  key_file: {folder}/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256, X25519]
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 0
    Strict-Transport-Security: max-age=31536000; includeSubDomains
basic_auth_users:
  alice: {STORED}
  12: {STORED}
rate_limit:
  interval: 500ms
  burst: 20
""",
    )
    assert found.tls.client_required
    assert found.tls.allowed_sans == {"prometheus.example"}
    assert found.users == {"alice": STORED, "12": STORED}
    assert found.headers == {
        "Content-Security-Policy": "default-src 'self'",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "deny",
        "X-XSS-Protection": "0",
    }
    assert found.rate == Rate(0.5, 20)


def test_takes_certificates_inline(folder):
    """PEM in the file itself, for certificate, key and CA."""

    def inline(name):
        return "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines())

    found = config(
        folder,
        f"tls_server_config:\n  cert: |\n{inline('server.crt')}  key: |\n{inline('server.key')}"
        f"  client_ca: |\n{inline('ca.crt')}  client_auth_type: VerifyClientCertIfGiven\n",
    )
    assert not found.tls.client_required


def test_leaves_blank_headers_out(tmp_path):
    """An empty value means that the header is not set."""
    text = 'http_server_config: {headers: {X-Frame-Options: "", X-XSS-Protection: }}'
    assert config(tmp_path, text).headers == {}


@pytest.mark.parametrize("interval", ["0", "0s", ""])
def test_an_interval_of_nothing_is_no_limit(tmp_path, interval):
    """As in exporter-toolkit; the burst does not matter then."""
    assert config(tmp_path, f"rate_limit: {{interval: {interval}, burst: 0}}").rate is None


def test_does_not_show_hashes(tmp_path):
    """A configuration that is logged by mistake tells no hash."""
    assert STORED not in repr(config(tmp_path, f"basic_auth_users: {{alice: {STORED}}}"))


VERSIONS = "one of TLS10, TLS11, TLS12, TLS13"
VERIFYING = "client_auth_type: RequireAndVerifyClientCert beside it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tls_config:\n  cert_file: x\n",
            (
                "1: tls_config: unknown key (did you mean tls_server_config?); expected one of "
                "tls_server_config, basic_auth_users, http_server_config, rate_limit"
            ),
        ),
        (
            "tls_server_config:\n  cert_fil: server.crt\n",
            (
                "2: tls_server_config.cert_fil: unknown key (did you mean cert_file?); expected "
                "one of min_version, max_version, cipher_suites, prefer_server_cipher_suites, "
                "curve_preferences, client_auth_type, client_allowed_sans, cert, cert_file, key, "
                "key_file, client_ca, client_ca_file"
            ),
        ),
        (
            "tls_server_config:\n  key_file: server.key\n",
            "1: tls_server_config.cert_file: missing; expected cert_file or cert",
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n",
            "1: tls_server_config.key_file: missing; expected key_file or key",
        ),
        (
            "tls_server_config:\n  min_version: TLS13\n",
            "1: tls_server_config.cert_file: missing; expected cert_file or cert",
        ),
        (
            'tls_server_config:\n  cert_file: ""\n  key_file: server.key\n',
            "2: tls_server_config.cert_file: missing; expected cert_file or cert",
        ),
        (
            TLS + "  cert: x\n",
            "4: tls_server_config.cert: given beside cert_file; expected one of the two",
        ),
        (
            TLS.replace("server.crt", "none.crt"),
            (
                "2: tls_server_config.cert_file: FOLDER/none.crt cannot be read: No such file or "
                "directory; expected a PEM file"
            ),
        ),
        (
            TLS.replace("server.crt", "junk.pem"),
            "2: tls_server_config.cert_file: no certificate; expected a certificate in PEM",
        ),
        (
            TLS.replace("server.key", "junk.pem"),
            "3: tls_server_config.key_file: no private key; expected a private key in PEM",
        ),
        (
            TLS.replace("server.key", "other.key"),
            (
                "3: tls_server_config.key_file: not the key of the certificate; expected the key "
                "that belongs to it"
            ),
        ),
        (
            TLS.replace("server.", "locked."),
            (
                "3: tls_server_config.key_file: encrypted; expected a key without a passphrase, "
                "guarded by its file's mode"
            ),
        ),
        (
            "tls_server_config:\n  cert: hunter2\n  key: hunter2\n",
            "2: tls_server_config.cert: no certificate; expected a certificate in PEM",
        ),
        (
            TLS.replace("key_file: server.key", "key: hunter2"),
            "3: tls_server_config.key: no private key; expected a private key in PEM",
        ),
        (
            TLS + "  min_version: TLS14\n",
            f"4: tls_server_config.min_version: 'TLS14' (did you mean TLS13?); expected {VERSIONS}",
        ),
        (
            TLS + "  max_version: 1.2\n",
            f"4: tls_server_config.max_version: '1.2'; expected {VERSIONS}",
        ),
        (
            TLS + "  min_version: TLS13\n  max_version: TLS12\n",
            (
                "5: tls_server_config.max_version: nothing lies between TLS13 and TLS12; "
                "expected a min_version that is not above max_version"
            ),
        ),
        (
            TLS + "  max_version: TLS11\n",
            (
                "4: tls_server_config.max_version: nothing lies between TLS12 and TLS11; "
                "expected a min_version that is not above max_version"
            ),
        ),
        (
            TLS + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
            (
                "5: tls_server_config.cipher_suites: only suites of TLS 1.3; expected one for TLS "
                "1.2, or max_version: TLS13"
            ),
        ),
        (
            TLS + "  prefer_server_cipher_suites: perhaps\n",
            "4: tls_server_config.prefer_server_cipher_suites: 'perhaps'; expected true or false",
        ),
        (
            TLS + "  curve_preferences: [P256]\n",
            (
                "4: tls_server_config.curve_preferences: item 1: 'P256' (did you mean CurveP256?); "
                "expected a list (lines that start with -), each one of CurveP256, CurveP384, "
                "CurveP521, X25519"
            ),
        ),
        (
            TLS + "  client_auth_type: RequireAndVerify\n",
            (
                "4: tls_server_config.client_auth_type: 'RequireAndVerify' (did you mean "
                "RequireAndVerifyClientCert?); expected one of NoClientCert, RequestClientCert, "
                "RequireAnyClientCert, RequireClientCert, VerifyClientCertIfGiven, "
                "RequireAndVerifyClientCert"
            ),
        ),
        (
            TLS + "  client_auth_type: RequireAnyClientCert\n",
            (
                "4: tls_server_config.client_auth_type: RequireAnyClientCert accepts a certificate "
                "that anybody made; expected VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ),
        ),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert\n",
            (
                "4: tls_server_config.client_auth_type: RequireAndVerifyClientCert without a CA; "
                "expected client_ca_file or client_ca beside it"
            ),
        ),
        (
            TLS + "  client_ca_file: ca.crt\n",
            "4: tls_server_config.client_ca_file: no client certificate is verified; expected "
            + VERIFYING,
        ),
        (
            TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: junk.pem\n",
            (
                "5: tls_server_config.client_ca_file: no certificate; expected a CA's "
                "certificate in PEM"
            ),
        ),
        (
            TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca: hunter2\n",
            "5: tls_server_config.client_ca: no certificate; expected a CA's certificate in PEM",
        ),
        (
            TLS + "  client_allowed_sans: [a]\n",
            "4: tls_server_config.client_allowed_sans: no client certificate is verified; "
            "expected " + VERIFYING,
        ),
        (
            "http_server_config:\n  headers:\n    Server: x\n",
            (
                "3: http_server_config.headers.Server: unknown key; expected one of "
                "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, "
                "X-Frame-Options, X-XSS-Protection"
            ),
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
            "3: http_server_config.headers.X-Frame-Options: 'allow'; expected deny or sameorigin",
        ),
        (
            "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n",
            "3: http_server_config.headers.X-Content-Type-Options: 'sniff'; expected nosniff",
        ),
        (
            'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nSet-Cookie: x"\n',
            (
                "3: http_server_config.headers.X-XSS-Protection: a character that no header can "
                "carry; expected ASCII in one line"
            ),
        ),
        (
            "http_server_config:\n  http2: 2\n",
            "2: http_server_config.http2: '2'; expected true or false",
        ),
        (
            "basic_auth_users:\n  alice: hunter2\n",
            (
                "2: basic_auth_users.alice: no bcrypt hash; expected what `htpasswd -nBC 10 NAME` "
                "prints after the colon"
            ),
        ),
        (
            "basic_auth_users:\n  alice: [hunter2]\n",
            "2: basic_auth_users.alice: a list; expected a text",
        ),
        (
            "basic_auth_users:\n  alice:\n",
            "2: basic_auth_users.alice: no value; expected a text",
        ),
        (
            "basic_auth_users: [alice]\n",
            "1: basic_auth_users: not a mapping; expected keys with values below it",
        ),
        (
            f'basic_auth_users:\n  "a:b": {STORED}\n',
            "2: basic_auth_users.a:b: a colon in a user's name; expected a name without one",
        ),
        (
            "rate_limit:\n  interval: 10\n",
            (
                "2: rate_limit.interval: '10'; expected a duration with its unit, such as 10s, "
                "500ms or 1m30s"
            ),
        ),
        (
            "rate_limit:\n  interval: 1s\n",
            "1: rate_limit.burst: 0 would answer no request; expected 1 or more",
        ),
        (
            "rate_limit:\n  interval: 1s\n  burst: -1\n",
            "3: rate_limit.burst: -1 would answer no request; expected 1 or more",
        ),
    ],
)
def test_names_what_is_wrong(folder, text, message):
    """File, line, key, what was wrong and what was expected; never a secret."""
    with pytest.raises(ConfigError) as caught:
        config(folder, text)
    found = str(caught.value)
    assert found == f"{folder}/web.yml:{message.replace('FOLDER', str(folder))}"
    assert "hunter2" not in found
    assert STORED not in found


def test_names_a_broken_certificate(folder):
    """PEM whose inside is none; OpenSSL's own reason is added, which differs by version."""
    with pytest.raises(ConfigError) as caught:
        config(folder, TLS.replace("server.crt", "broken.crt"))
    assert caught.value.key == "tls_server_config.cert_file"
    assert caught.value.problem.startswith("certificate or key cannot be used: ")


def test_names_a_suite_that_is_not_known(folder):
    """A suite that Go calls insecure, or that does not exist, and the nearest one."""
    with pytest.raises(ConfigError) as caught:
        config(folder, TLS + "  cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]\n")
    assert caught.value.line == 4
    assert caught.value.problem.startswith(
        "item 1: 'TLS_RSA_WITH_AES_128_GCM_SHA256' (did you mean TLS_"
    )


def test_users_need_bcrypt(tmp_path, monkeypatch):
    """Without it the message names the extra that brings it; without users nobody misses it."""
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    assert config(tmp_path, "basic_auth_users: {}").users == {}
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, f"basic_auth_users:\n  alice: {STORED}\n")
    assert str(caught.value) == (
        f"{tmp_path}/web.yml:2: basic_auth_users.alice: bcrypt is not installed; reinstall gnomon "
        "with its extra 'exporter'"
    )


def test_tells_which_files_it_read(folder):
    """All of them, so that a change of any is seen, also where one is missing."""
    noted = []
    (folder / "web.yml").write_text(TLS.replace("server.key", "none.key"))
    with pytest.raises(ConfigError):
        read(str(folder / "web.yml"), noted.append)
    assert noted == [str(folder / name) for name in ("web.yml", "server.crt", "none.key")]
