"""The demo as a part of the stack: whether it runs, and where Prometheus finds it."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from gnomon_stack import optional, ports, scraped
from gnomon_stack.home import Home
from gnomon_stack.parts import DEMO, EXCHANGE, Part

PARTS = (EXCHANGE, DEMO)

_VARIABLE = "GNOMON_DEMO"
_NEEDED = ("gnomon_demo", "fastapi", "locust", "numpy", "sqlalchemy")
_SERVICES = {"desk": DEMO, "exchange": EXCHANGE}
_NOTE = "# Made by `make up` as long as the demo runs; GNOMON_DEMO=off leaves it out.\n"


def left_out(environ: Mapping[str, str], wanted: Mapping[Part, int]) -> str | None:
    """Return why the demo does not run, or None where it does.

    A port in use is such a reason: whoever has an application there came to see that one.

    Raise Trouble for a value of GNOMON_DEMO that is neither on nor off.
    """
    if why := optional.left_out(environ, _VARIABLE, _NEEDED, "demo"):
        return why
    for part in PARTS:
        if not ports.is_free(wanted[part]):
            who = ports.holder(wanted[part])
            return f"port {wanted[part]} is in use by {who}; {part.variable}=PORT moves it"
    return None


def answers(wanted: Mapping[Part, int], lead: tuple[str, ...]) -> dict[str, str]:
    """Return what supervisord.conf asks about the demo. lead: words before each command."""
    return {
        "GNOMON_DEMO_COMMAND": shlex.join([*lead, sys.executable, "-m", "gnomon_demo"]),
        "GNOMON_DEMO_STARTS": "true" if DEMO in wanted else "false",
    }


def targets(
    home: Home, wanted: Mapping[Part, int], say: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Let Prometheus find the demo for as long as the block runs."""
    return scraped.targets(home, _SERVICES, wanted, say, note=_NOTE)
