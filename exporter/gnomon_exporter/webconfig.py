"""The web config file: TLS, users, headers and a rate limit, in exporter-toolkit's format.

A file that exporter-toolkit takes is taken here, with these differences, each to the safer side:

- A section ``tls_server_config`` that says anything needs a certificate and key; exporter-toolkit
  serves plain HTTP when it holds, say, only ``min_version``.
- ``rate_limit`` with a ``burst`` of 0 would answer no request at all; it is refused.
- The names in ``basic_auth_users`` need one password each and no colon, which basic
  authentication cannot carry.
- ``http2`` is read and has no effect: HTTP/1.1 is all that is spoken here.

See ``tls`` for what ssl cannot do, and ``webfile`` for changes while the exporter runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gnomon_exporter import tls as transport
from gnomon_exporter.passwords import HASH
from gnomon_exporter.ratelimit import Rate
from gnomon_exporter.strict_yaml import (
    BOOL,
    DURATION,
    INT,
    SECRET,
    TEXT,
    Section,
    directory,
    load,
)

# The headers that may be set, and the values of those that have only these.
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What a web config file says.

    tls: None for plain HTTP. users: names and bcrypt hashes; empty when nobody is asked for a
    password. headers: sent with every response. rate: None when requests are not counted.
    """

    tls: transport.Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: Rate | None = None


def read(path: str, note: Callable[[str], None] = lambda _: None) -> WebConfig:
    """Read and check a web config file and the certificates that it names.

    note: is called with the name of each file just before it is read. Raises ConfigError; no
    message holds a secret.
    """
    note(path)
    top = load(path)
    config = WebConfig(
        tls=transport.read(top.section("tls_server_config"), directory(path), note),
        users=_users(top.section("basic_auth_users")),
        headers=_headers(top.section("http_server_config")),
        rate=_rate(top.section("rate_limit")),
    )
    top.finish()
    return config


def _users(section: Section) -> Mapping[str, str]:
    users = section.take_each(SECRET)
    for name, stored in users.items():
        if not HASH.fullmatch(stored):
            raise section.error(
                name, "no bcrypt hash", "what `htpasswd -nBC 10 NAME` prints after the colon"
            )
        if ":" in name:
            raise section.error(name, "a colon in a user's name", "a name without one")
    if users:
        try:
            import bcrypt  # noqa: F401, PLC0415  # only users need it
        except ImportError:
            raise section.error(
                next(iter(users)),
                "bcrypt is not installed; reinstall gnomon with its extra 'exporter'",
            ) from None
    return users


def _headers(section: Section) -> Mapping[str, str]:
    section.take("http2", BOOL, default=True)
    headers = section.section("headers")
    found = {}
    for name, values in _HEADERS.items():
        value = headers.take(name, TEXT, "")
        if value and values and value not in values:
            raise headers.error(name, repr(value), " or ".join(values))
        # A line end would start a header of its own.
        if not all(" " <= letter <= "~" or letter == "\t" for letter in value):
            raise headers.error(name, "a character that no header can carry", "ASCII in one line")
        if value:
            found[name] = value
    return found


def _rate(section: Section) -> Rate | None:
    interval = section.take("interval", DURATION, 0.0)
    burst = section.take("burst", INT, 0)
    if not interval:
        return None
    if burst < 1:
        raise section.error("burst", f"{burst} would answer no request", "1 or more")
    return Rate(interval, burst)
