"""The listen address."""

import socket

import pytest

from gnomon_exporter.address import Address, listen, parse
from gnomon_exporter.strict_yaml import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9840", Address("127.0.0.1", 9840)),
        ("localhost:9100", Address("localhost", 9100)),
        (":9840", Address("", 9840)),
        ("[::1]:0", Address("::1", 0)),
        ("[fe80::1%eth0]:9840", Address("fe80::1%eth0", 9840)),
        ("host-1.example:65535", Address("host-1.example", 65535)),
    ],
)
def test_reads_an_address(text, address):
    """A name or number with a port, and back."""
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "9840", "host", "host:", "::1:9840", "[::1]", "host:http", "a:65536", "a b:1"]
)
def test_names_what_is_no_address(text):
    """The flag, what was given, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == (
        f"command line: --web.listen-address: {text!r}; "
        "expected HOST:PORT, [IPV6]:PORT, or :PORT for every interface"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", ""])
def test_listens_where_it_is_told(host):
    """The socket accepts; an empty host listens to IPv4 and IPv6 alike."""
    with listen(Address(host, 0), 5) as listener:
        port = listener.getsockname()[1]
        for name in ("127.0.0.1", "::1") if not host else (host,):
            with socket.create_connection((name, port), 25):
                listener.accept()[0].close()


def test_an_unknown_host_is_an_oserror():
    """A name that nobody knows, an address of another machine."""
    for host in ("no-such-host.invalid", "192.0.2.1"):
        with pytest.raises(OSError):  # noqa: PT011  # the system's words differ
            listen(Address(host, 0), 5)
