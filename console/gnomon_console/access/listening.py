"""Where the console listens, and whether it may."""

import socket
from ipaddress import IPv6Address, ip_address

from gnomon_console.settings import Settings
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile

_VARIABLE, _FILE = "GNOMON_CONSOLE_HOST", "GNOMON_CONSOLE_WEB_CONFIG"
_BACKLOG = 256


def loopback(address: str) -> bool:
    """Whether nobody but this machine reaches an address. Names are not addresses."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_loopback


def permitted(settings: Settings, web: WebFile) -> str:
    """Return the address to listen on, as a number.

    Raises ConfigError where there is no such address, and where others would reach it while
    nobody is asked for a password.
    """
    try:
        # The first answer decides, as it does for clients.
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0][4][0]
    except (OSError, UnicodeError):
        raise ConfigError(
            _VARIABLE, f"{settings.host!r} is no address", expected="one of this machine's"
        ) from None
    address = str(found)
    if not loopback(address) and not web.config().users:
        place = settings.web_config or f"a file that {_FILE} names"
        raise ConfigError(
            _VARIABLE,
            f"other machines reach {settings.host}, and nobody would be asked for a password",
            expected=f"basic_auth_users in {place}, or 127.0.0.1",
        )
    return address


def listen(settings: Settings, web: WebFile) -> socket.socket:
    """Return a listening socket. Raises ConfigError."""
    address = permitted(settings, web)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server(
            (address, settings.port),
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=address == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0].lower()
        raise ConfigError(
            _VARIABLE,
            f"{settings.host} port {settings.port}: {reason}",
            expected="an address of this machine, and by GNOMON_CONSOLE_PORT a port that is free",
        ) from error
