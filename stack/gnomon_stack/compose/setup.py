"""Passwords and configurations, each put where one service alone can read it."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gnomon_stack.alerting import render as alerting
from gnomon_stack.alerting import settings
from gnomon_stack.alerting.channels import Version
from gnomon_stack.compose import passwords, scrape
from gnomon_stack.compose.files import give, put
from gnomon_stack.home import Home
from gnomon_stack.trouble import Trouble

#: As whom each service runs; docker-compose.yml says the same.
USERS = {
    "alertmanager": 65534,
    "demo": 65534,
    "exporter": 65534,
    "grafana": 472,
    "jaeger": 10001,
    "postgres": 999,
    "prometheus": 65534,
    "rabbitmq": 999,
    "redis": 999,
    "victoria-metrics": 65534,
}

#: Folders of data whose image has none, so that nobody has given them to their user yet.
_DATA = {
    "jaeger-data": "jaeger",
    "vmstorage-1": "victoria-metrics",
    "vmstorage-2": "victoria-metrics",
}

_RABBITMQ = """\
default_user = gnomon
default_pass = {password}
loopback_users = none
log.console = true
log.console.level = warning
# The health check hangs up in the middle of a greeting.
log.connection.level = error
# Half of the container's memory, of which its own figures know nothing; then publishers wait.
vm_memory_high_watermark.absolute = 256MiB
disk_free_limit.absolute = 200MB
"""

_REDIS = """\
requirepass {password}
# A cache: what is lost is asked for again.
save ""
appendonly no
dir /data
maxmemory 64mb
maxmemory-policy allkeys-lru
"""


@dataclass(frozen=True, slots=True)
class Places:
    """The checkout, and the folder in which the services' volumes are mounted by name."""

    checkout: Path
    to: Path


def run(places: Places, environ: Mapping[str, str]) -> Iterator[str]:
    """Make what is missing, render what is not; yield what people should know.

    environ: GNOMON_COMPOSE is the variant, GNOMON_HOST what the machine is called,
    ALERTMANAGER_IMAGE which Alertmanager it is, GNOMON_ALERT_… as docs/alerting.md says, and
    GNOMON_..._PORT where services are published.

    Raise Trouble for settings that cannot be meant, with configurations left as they were.
    """
    variant = environ.get("GNOMON_COMPOSE") or "whole"
    source = _read(places.checkout / "prometheus/prometheus.yml")
    scraped = scrape.render(source, variant, environ.get("GNOMON_HOST") or "docker-host")
    told = _alerting(places, environ)
    found = passwords.ensure(places.to / "secrets")
    for path, text in scraped.files.items():
        put(places.to / "prometheus" / path, text, USERS["prometheus"])
    _forget(places.to / "prometheus", set(scraped.files))
    _logins(places.to, found)
    for name, owner in _DATA.items():
        if (places.to / name).is_dir():
            _own(places.to / name, USERS[owner])
    if told:
        yield f"Alerts go to {', '.join(told)}."
    else:
        yield "Alerts are shown and sent to nobody yet: docs/alerting.md turns receivers on."
    port = environ.get("GNOMON_GRAFANA_PORT") or "3000"
    yield f"Grafana: http://127.0.0.1:{port}, user admin. Its password, and those of the others:"
    for name in passwords.NAMES:
        yield f"  docker compose run --rm setup show {name}"


def _logins(to: Path, found: Mapping[str, str]) -> None:
    """Give each service what it needs to let others in, or to be let in."""
    for (service, name), text in {
        ("grafana", "password"): found["grafana"],
        ("postgres", "password"): found["postgres"],
        ("rabbitmq", "rabbitmq.conf"): _RABBITMQ.format(password=found["rabbitmq"]),
        ("redis", "redis.conf"): _REDIS.format(password=found["redis"]),
        ("redis", "password"): found["redis"],
        ("exporter", "redis"): found["redis"],
        ("exporter", "rabbitmq"): found["rabbitmq"],
        ("demo", "database"): f"postgresql+asyncpg://desk:{found['postgres']}@postgres:5432/desk",
        ("demo", "redis"): f"redis://:{found['redis']}@redis:6379/0",
        ("demo", "celery"): f"amqp://gnomon:{found['rabbitmq']}@rabbitmq:5672//",
    }.items():
        put(to / service / name, text.rstrip("\n") + "\n", USERS[service])


def _alerting(places: Places, environ: Mapping[str, str]) -> list[str]:
    """Render who is told of alerts; return the names of the channels that are on."""
    home = Home(places.checkout)
    version = _version(environ.get("ALERTMANAGER_IMAGE", ""))
    wanted = settings.read(home.root, environ)
    rendered = alerting.render(home, wanted, version, Path(scrape.OWN))
    folder = places.to / "alertmanager"
    alerting.write(home, rendered, folder)
    for path in (folder, *sorted(folder.rglob("*"))):
        if path.is_dir():
            path.chmod(0o755)
        else:
            give(path, USERS["alertmanager"], 0o400)
    return sorted(
        {
            channel.name
            for receivers in (wanted.everybody, *wanted.teams.values())
            for channel in receivers.on(version)
        }
    )


def _version(image: str) -> Version:
    """Return the version that an image's tag says."""
    found = re.search(r":v?(\d+)\.(\d+)\.", image)
    if found is None:
        raise Trouble(f"ALERTMANAGER_IMAGE={image}: its tag says no version", code=2)
    return int(found[1]), int(found[2])


def _own(folder: Path, user: int) -> None:
    """Give a volume's folder to its user, once: what lies in it is that user's own doing."""
    if folder.stat().st_uid != user:
        try:
            give(folder, user, 0o700)
        except OSError as error:
            raise Trouble(f"{folder} cannot be given to user {user}: {error.strerror}") from None


def _forget(folder: Path, wanted: set[str]) -> None:
    """Remove what an earlier run has made and this one has not."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and str(path.relative_to(folder)) not in wanted:
            os.unlink(path)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}", code=2) from None
