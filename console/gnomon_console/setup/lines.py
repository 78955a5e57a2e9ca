"""The one line that adds something, for a shell in the checkout or for an application.

Each is tried by a test: commands are there, files are read by whom they are for.
"""

_FORCE = ".venv/bin/supervisorctl signal HUP exporter"

ALERTS = "make alert-config"
APPLICATION = 'gnomon.instrument(app, service="shop")'
ENGINE = "gnomon.watch_engine(engine)"
TARGET = ".venv/bin/gnomon target add shop http://127.0.0.1:8080"
RABBITMQ = (
    "sudo rabbitmq-plugins enable rabbitmq_prometheus"
    " && echo '- targets: [\"127.0.0.1:15692\"]' > prometheus/targets/rabbitmq/rabbitmq.yml"
)
PROBE = "echo '- targets: [\"http://127.0.0.1:8080/health\"]' > prometheus/targets/probe/shop.yml"
START = "make up"


def collector(name: str, setting: str, *, written: bool) -> str:
    """Return what turns a collector on. setting: YAML. written: it stands in exporter.yml yet."""
    if written:
        return _FORCE
    return f"sed -i '/^collectors:/a\\  {name}: {setting}' exporter.yml && {_FORCE}"


def traces(address: str) -> str:
    """Return what lets an application send its traces to an address."""
    return f"export OTEL_EXPORTER_OTLP_ENDPOINT={address}"
