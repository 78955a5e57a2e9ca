"""TLS from the section ``tls_server_config`` of a web config file.

Where Python's ssl and Go's crypto/tls differ, nothing weaker than what the file says is served:

- ``RequestClientCert`` asks for a certificate and looks at none, so it is served as
  ``NoClientCert``. ``RequireAnyClientCert`` would accept a certificate that anybody made; ssl
  cannot be told to, and the file is refused.
- ``RequireAndVerifyClientCert`` without a CA would trust every public one; it is refused, and so
  is a CA beside a policy that verifies nothing.
- Of several ``curve_preferences`` the first is used where ssl takes only one (before Python
  3.15).
- ``cipher_suites`` concern TLS 1.2 and older in OpenSSL as in Go. A list with suites of TLS 1.3
  only leaves TLS 1.3.
- ``prefer_server_cipher_suites: false`` lets the client choose, which Go ignores nowadays.
"""

import os
import ssl
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gnomon_exporter.strict_yaml import BOOL, SECRET, TEXT, TEXTS, Section, list_of, one_of

# Go's names of the versions and curves, and ssl's and OpenSSL's for them.
_VERSIONS = {"TLS10": "TLSv1", "TLS11": "TLSv1_1", "TLS12": "TLSv1_2", "TLS13": "TLSv1_3"}
_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_SUITES_13 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
_SUITES_12 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
_VERIFYING = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
_POLICIES = ("NoClientCert", "RequestClientCert", *_UNVERIFIED, *_VERIFYING)
_NOT_VERIFIED = (
    "no client certificate is verified",
    "client_auth_type: RequireAndVerifyClientCert beside it",
)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a connection is wrapped with.

    client_required: no connection without a client certificate of the CA.
    allowed_sans: alternative names of which such a certificate must have one; empty for any.
    """

    context: ssl.SSLContext
    client_required: bool
    allowed_sans: frozenset[str]

    def allows(self, connection: ssl.SSLSocket) -> bool:
        """Whether the client's certificate, if it gave one, has an allowed alternative name."""
        if not self.allowed_sans:
            return True
        certificate = connection.getpeercert()
        if not certificate:
            return not self.client_required
        return not self.allowed_sans.isdisjoint(_names(certificate.get("subjectAltName", ())))


@dataclass(frozen=True, slots=True)
class _Pem:
    """A certificate or key, and the key in the configuration that gave it."""

    key: str
    content: bytes


def read(section: Section, directory: str, note: Callable[[str], None]) -> Tls | None:
    """Return what the section says, None when it says nothing: plain HTTP.

    directory: where relative file names start. note: is called with the name of
    each file just before it is read. Raises ConfigError.
    """
    if not section:
        return None
    oldest = section.take("min_version", one_of(*_VERSIONS), "TLS12")
    newest = section.take("max_version", one_of(*_VERSIONS), "TLS13")
    suites = section.take("cipher_suites", list_of(one_of(*_SUITES_12, *_SUITES_13)), [])
    prefer_ours = section.take("prefer_server_cipher_suites", BOOL, default=True)
    curves = section.take("curve_preferences", list_of(one_of(*_CURVES)), [])
    policy = section.take("client_auth_type", one_of("", *_POLICIES), "") or "NoClientCert"
    sans = section.take("client_allowed_sans", TEXTS, [])
    certificate = _pem(section, "cert", directory, note)
    key = _pem(section, "key", directory, note)
    client_ca = _pem(section, "client_ca", directory, note)
    # A misspelt key is named before what is missing for want of it.
    section.finish()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, section, certificate, key)
    _set_versions(context, section, oldest, newest)
    _set_suites(context, section, suites)
    if prefer_ours:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_curves(context, section, curves)
    _set_clients(context, section, policy, client_ca)
    if sans and policy not in _VERIFYING:
        raise section.error("client_allowed_sans", *_NOT_VERIFIED)
    return Tls(context, policy == "RequireAndVerifyClientCert", frozenset(sans))


def _pem(section: Section, name: str, directory: str, note: Callable[[str], None]) -> _Pem | None:
    """Return the PEM that is given inline or by file; None when neither is."""
    inline = section.take(name, SECRET, "")
    file = section.take(f"{name}_file", TEXT, "")
    if inline and file:
        raise section.error(name, f"given beside {name}_file", "one of the two")
    if inline:
        return _Pem(name, inline.encode())
    if not file:
        return None
    path = os.path.join(directory, file)
    note(path)
    try:
        with open(path, "rb") as opened:
            return _Pem(f"{name}_file", opened.read(1 << 20))
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise section.error(f"{name}_file", problem, "a PEM file") from error


def _load_chain(
    context: ssl.SSLContext, section: Section, certificate: _Pem | None, key: _Pem | None
) -> None:
    if certificate is None:
        raise section.error("cert_file", "missing", "cert_file or cert")
    if key is None:
        raise section.error("key_file", "missing", "key_file or key")
    if b"BEGIN CERTIFICATE-----" not in certificate.content:
        raise section.error(certificate.key, "no certificate", "a certificate in PEM")
    if b"PRIVATE KEY-----" not in key.content:
        raise section.error(key.key, "no private key", "a private key in PEM")
    if b"ENCRYPTED" in key.content:
        expected = "a key without a passphrase, guarded by its file's mode"
        raise section.error(key.key, "encrypted", expected)
    with _as_file(certificate.content) as certificate_file, _as_file(key.content) as key_file:
        try:
            # An empty password, for without one OpenSSL would ask at the terminal.
            context.load_cert_chain(certificate_file, key_file, password="")
        except ssl.SSLError as error:
            reason = (error.reason or "unknown").lower().replace("_", " ")
            if "mismatch" in reason:
                raise section.error(
                    key.key, "not the key of the certificate", "the key that belongs to it"
                ) from None
            raise section.error(
                certificate.key,
                f"certificate or key cannot be used: {reason}",
                "PEM that OpenSSL reads",
            ) from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give the name of a file with this content: ssl loads certificates from nowhere else."""
    if hasattr(os, "memfd_create"):
        # A key that was given inline never touches a disk.
        descriptor = os.memfd_create("pem")
        path = f"/proc/self/fd/{descriptor}"
    else:
        import tempfile  # noqa: PLC0415  # 1 MiB that Linux need not load

        descriptor, path = tempfile.mkstemp()
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            os.unlink(path)


def _set_versions(context: ssl.SSLContext, section: Section, oldest: str, newest: str) -> None:
    if oldest > newest:
        key = "max_version" if "max_version" in section else "min_version"
        problem = f"nothing lies between {oldest} and {newest}"
        raise section.error(key, problem, "a min_version that is not above max_version")
    with warnings.catch_warnings():
        # Whoever writes TLS10 into a file has been warned by having to.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion[_VERSIONS[oldest]]
        context.maximum_version = ssl.TLSVersion[_VERSIONS[newest]]


def _set_suites(context: ssl.SSLContext, section: Section, suites: Sequence[str]) -> None:
    older = [_SUITES_12[suite] for suite in suites if suite in _SUITES_12]
    if older:
        context.set_ciphers(":".join(older))
    elif suites:
        if context.maximum_version != ssl.TLSVersion.TLSv1_3:
            expected = "one for TLS 1.2, or max_version: TLS13"
            raise section.error("cipher_suites", "only suites of TLS 1.3", expected)
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _set_curves(context: ssl.SSLContext, section: Section, curves: Sequence[str]) -> None:
    if not curves:
        return
    names = [_CURVES[curve] for curve in curves]
    set_groups = getattr(context, "set_groups", None)
    try:
        if set_groups is not None:
            set_groups(":".join(names))
        else:
            context.set_ecdh_curve(names[0])
    except (OSError, ValueError):
        raise section.error(
            "curve_preferences", f"this OpenSSL has no {curves[0]}", "another curve first"
        ) from None


def _set_clients(
    context: ssl.SSLContext, section: Section, policy: str, client_ca: _Pem | None
) -> None:
    """Set what is asked of a client's certificate."""
    key = "client_auth_type"
    if policy in _UNVERIFIED:
        problem = f"{policy} accepts a certificate that anybody made"
        raise section.error(key, problem, " or ".join(_VERIFYING))
    if policy not in _VERIFYING:
        if client_ca is not None:
            raise section.error(client_ca.key, *_NOT_VERIFIED)
        return
    if client_ca is None:
        raise section.error(key, f"{policy} without a CA", "client_ca_file or client_ca beside it")
    try:
        context.load_verify_locations(cadata=client_ca.content.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        raise section.error(client_ca.key, "no certificate", "a CA's certificate in PEM") from None
    # As in Go, whichever certificates the file names are the anchors, intermediates too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    required = policy == "RequireAndVerifyClientCert"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL


def _names(alternatives: Any) -> Iterator[str]:
    """Yield a certificate's alternative names as Go writes them."""
    import ipaddress  # noqa: PLC0415  # only where such names are asked for

    for kind, name in alternatives:
        if kind == "IP Address":
            with suppress(ValueError):
                yield ipaddress.ip_address(name.strip()).compressed
        elif kind in ("DNS", "email", "URI"):
            yield name
