"""The console as a part of the stack: whether it runs, and where Prometheus finds it."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from gnomon_stack import optional, scraped
from gnomon_stack.home import Home
from gnomon_stack.parts import CONSOLE, Part, url

_VARIABLE = "GNOMON_CONSOLE"
_NEEDED = ("gnomon_console", "aiohttp", "fastapi", "nicegui", "orjson")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ELSEWHERE = (_ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "GNOMON_JAEGER_URL")
_NOTE = "# Made by `make up` as long as the console runs; GNOMON_CONSOLE=off leaves it out.\n"


def left_out(environ: Mapping[str, str]) -> str | None:
    """Return why the console does not run, or None where it does.

    Raise Trouble for a value of GNOMON_CONSOLE that is neither on nor off.
    """
    return optional.left_out(environ, _VARIABLE, _NEEDED, "console")


def answers(
    home: Home, environ: Mapping[str, str], wanted: Mapping[Part, int], lead: tuple[str, ...]
) -> dict[str, str]:
    """Return what supervisord.conf asks about the console. lead: words before its command.

    Also where the demo sends its traces: to the console, unless somebody says otherwise.
    """
    elsewhere = any(environ.get(name, "").strip() for name in _ELSEWHERE)
    traces = {} if elsewhere or CONSOLE not in wanted else {_ENDPOINT: url(wanted[CONSOLE])}
    return {
        **traces,
        "GNOMON_CONSOLE_COMMAND": shlex.join([*lead, sys.executable, "-m", "gnomon_console"]),
        "GNOMON_CONSOLE_STARTS": "true" if CONSOLE in wanted else "false",
        "GNOMON_ROOT": str(home.root),
    }


def targets(
    home: Home, wanted: Mapping[Part, int], say: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Let Prometheus find the console for as long as the block runs."""
    return scraped.targets(home, {"gnomon-console": CONSOLE}, wanted, say, note=_NOTE)
