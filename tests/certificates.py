"""Certificates for the TLS tests, made on the spot."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key, passphrase=None):
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


class Authority:
    """A certificate authority that lives as long as a test."""

    def __init__(self, name="Gnomon's test CA"):
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed(
            x509.CertificateBuilder()
            .subject_name(self._name)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
        )

    @property
    def pem(self):
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name, alternatives=(), *, client=False, passphrase=None):
        """Return a certificate and its key, in PEM.

        alternatives: its subject's alternative names, as cryptography's GeneralNames.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .public_key(key.public_key())
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives:
            names = x509.SubjectAlternativeName(alternatives)
            builder = builder.add_extension(names, critical=False)
        certificate = self._signed(builder).public_bytes(serialization.Encoding.PEM).decode()
        return certificate, _pem(key, passphrase)

    def write(self, directory, stem, *arguments, **keywords):
        """Issue into DIRECTORY/STEM.crt and .key; return their paths."""
        certificate, key = self.issue(*arguments, **keywords)
        paths = Path(directory) / f"{stem}.crt", Path(directory) / f"{stem}.key"
        for path, content in zip(paths, (certificate, key), strict=True):
            path.write_text(content)
        return paths

    def server(self, directory, stem="server"):
        """Issue for a server on loopback."""
        loopback = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        return self.write(directory, stem, stem, loopback)

    def _signed(self, builder):
        now = dt.datetime.now(dt.UTC)
        # Python 3.13 is strict about the key's identifier.
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            builder.add_extension(identifier, critical=False)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
