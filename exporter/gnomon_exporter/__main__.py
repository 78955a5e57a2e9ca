"""gnomon-exporter: configuration, then collectors, then the server that shows them."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from gnomon_exporter import __version__, webconfig
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.exporter import Exporter
from gnomon_exporter.options import parse
from gnomon_exporter.registry import Entry
from gnomon_exporter.server import Server
from gnomon_exporter.strict_yaml import ConfigError

log = logging.getLogger("gnomon_exporter")

_LEVELS = {"debug": logging.DEBUG, "warn": logging.WARNING, "error": logging.ERROR}
_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None, registry: Mapping[str, Entry] = COLLECTORS) -> int:
    """Run the exporter until a signal ends it; return the exit status.

    2: the command line, the configuration or the address is wrong; standard error says how.
    """
    given = vars(options := parse(sys.argv[1:] if arguments is None else arguments, registry))
    logging.basicConfig(
        level=_LEVELS.get(given["log.level"], logging.INFO),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # Blocked before the first thread starts, so that none but this one ever takes a signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        exporter = Exporter(options, registry)
        if given["command"] == "check-config":
            if given["web.config.file"]:
                webconfig.read(given["web.config.file"])
            print(_check(exporter), end="")  # noqa: T201
            return 0
        server = Server(
            exporter,
            address=given["web.listen_address"],
            web_config=given["web.config.file"],
            max_scrapes=given["web.max_requests"],
            notes=exporter.notes,
        )
        exporter.web_problem = lambda: server.web.problem
    except ConfigError as error:
        print(f"gnomon-exporter: {error}", file=sys.stderr)  # noqa: T201
        return 2
    # What is there now stays: the garbage collector need not walk through it at every scrape.
    gc.freeze()
    server.start()
    log.info(
        "gnomon-exporter %s serves %s, %d collectors on",
        __version__,
        server.url,
        len(exporter.names),
    )
    while (received := signal.sigwait(_SIGNALS)) == signal.SIGHUP:
        exporter.reload()
    log.info("ends on %s", signal.Signals(received).name)
    server.close()
    logging.shutdown()
    # Not sys.exit: a thread that is stuck in a driver must not hold up the end.
    os._exit(0)


def _check(exporter: Exporter) -> str:
    """Return what check-config prints: the configuration that would be in force."""
    would_run = f"{len(exporter.names)} collectors"
    if targets := sum(map(len, exporter.targets.values())):
        would_run += f" and {targets} target{'s' if targets > 1 else ''}"
    return f"{exporter.config_text()}# Good: {would_run} would run.\n"


if __name__ == "__main__":
    sys.exit(main())
