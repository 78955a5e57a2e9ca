"""The parts of the stack in the order the data flows, each with its address on loopback."""

from collections.abc import Mapping
from dataclasses import dataclass

from gnomon_stack.trouble import Trouble

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Part:
    """One server of the stack; ``name`` is its program's in supervisord.conf."""

    name: str
    default_port: int
    shows: str
    ready: str = "/-/ready"

    @property
    def variable(self) -> str:
        """The environment variable that moves the part to another port."""
        return f"GNOMON_{self.name.upper()}_PORT"


EXPORTER = Part("exporter", 9840, "this host's metrics")
EXCHANGE = Part("exchange", 8001, "prices, for the demo to ask")
DEMO = Part("demo", 8000, "a service under load")
PROMETHEUS = Part("prometheus", 9090, "queries, alerts")
ALERTMANAGER = Part("alertmanager", 9093, "firing alerts")
CONSOLE = Part("console", 8090, "dashboards, alerts, traces", ready="/healthz")
PARTS = (EXPORTER, EXCHANGE, DEMO, PROMETHEUS, ALERTMANAGER, CONSOLE)


def ports(environ: Mapping[str, str]) -> dict[Part, int]:
    """Return each part's port: its variable's, else its own.

    Raise Trouble for a value that is no port, or one port for two parts.
    """
    found: dict[Part, int] = {}
    for part in PARTS:
        text = environ.get(part.variable, "").strip() or str(part.default_port)
        port = int(text) if text.isascii() and text.isdecimal() else 0
        if not 1 <= port <= 65535:
            raise Trouble(f"{part.variable}={text}: expected a port from 1 to 65535", code=2)
        for other, taken in found.items():
            if taken == port:
                raise Trouble(
                    f"{other.name} and {part.name} cannot both have port {port}: "
                    f"change {other.variable} or {part.variable}",
                    code=2,
                )
        found[part] = port
    return found


def url(port: int) -> str:
    """Return the address at which the part on ``port`` is reached from this host."""
    return f"http://{HOST}:{port}"
