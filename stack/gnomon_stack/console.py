"""The console as a part of the stack: whether it runs, and where Prometheus finds it."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile
from gnomon_stack import optional, scraped
from gnomon_stack.home import Home
from gnomon_stack.parts import CONSOLE, HOST, Part, url
from gnomon_stack.trouble import Trouble

_VARIABLE = "GNOMON_CONSOLE"
_WEB_CONFIG = "GNOMON_CONSOLE_WEB_CONFIG"
_NEEDED = ("gnomon_console", "aiohttp", "fastapi", "nicegui", "orjson")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ELSEWHERE = (_ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "GNOMON_JAEGER_URL")
_LOGS = "OTEL_LOGS_EXPORTER"
#: Addresses at which 127.0.0.1 is answered, too.
_HERE = frozenset({HOST, "0.0.0.0", "::"})
_NOTE = "# Made by `make up` as long as the console runs; GNOMON_CONSOLE=off leaves it out.\n"


def left_out(environ: Mapping[str, str]) -> str | None:
    """Return why the console does not run, or None where it does.

    Raise Trouble for a value of GNOMON_CONSOLE that is neither on nor off.
    """
    return optional.left_out(environ, _VARIABLE, _NEEDED, "console")


def away(environ: Mapping[str, str], wanted: Mapping[Part, int]) -> str | None:
    """Return the console's address where the other parts do not reach it on loopback, else None.

    Raise Trouble where it would refuse to listen there.
    """
    if CONSOLE not in wanted:
        return None
    # Not every installation has the console.
    from gnomon_console.access.listening import permitted  # noqa: PLC0415
    from gnomon_console.settings import settings  # noqa: PLC0415

    here = settings({**environ, CONSOLE.variable: str(wanted[CONSOLE])})
    try:
        web = WebFile(here.web_config)
        address = permitted(here, web)
    except ConfigError as error:
        raise Trouble(str(error), code=2) from None
    tls = web.config().tls is not None
    if not tls and address in _HERE:
        return None
    host = f"[{here.host}]" if ":" in here.host else here.host
    return f"{'https' if tls else 'http'}://{host}:{here.port}"


def answers(
    home: Home, environ: Mapping[str, str], wanted: Mapping[Part, int], lead: tuple[str, ...]
) -> dict[str, str]:
    """Return what supervisord.conf asks about the console. lead: words before its command.

    Also where the demo sends its traces and log: to the console, unless somebody says otherwise.
    """
    elsewhere = any(environ.get(name, "").strip() for name in _ELSEWHERE)
    near = CONSOLE in wanted and not away(environ, wanted)
    traces = {}
    if near and not elsewhere:
        traces = {_ENDPOINT: url(wanted[CONSOLE]), _LOGS: environ.get(_LOGS, "").strip() or "otlp"}
    file = environ.get(_WEB_CONFIG, "").strip()
    return {
        **traces,
        **({_WEB_CONFIG: str(Path(file).absolute())} if file else {}),
        "GNOMON_CONSOLE_COMMAND": shlex.join([*lead, sys.executable, "-m", "gnomon_console"]),
        "GNOMON_CONSOLE_STARTS": "true" if CONSOLE in wanted else "false",
        "GNOMON_ROOT": str(home.root),
    }


def targets(
    home: Home, wanted: Mapping[Part, int], say: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Let Prometheus find the console for as long as the block runs."""
    return scraped.targets(home, {"gnomon-console": CONSOLE}, wanted, say, note=_NOTE)
