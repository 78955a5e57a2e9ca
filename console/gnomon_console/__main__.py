"""`gnomon-console`: serves the console."""

import logging
import sys

import uvicorn

from gnomon_console.access import connection, listening
from gnomon_console.app import make
from gnomon_console.settings import settings
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile

log = logging.getLogger("gnomon_console")


def main() -> int:
    """Serve until a signal; return the exit status, 2 where it may not or cannot listen there."""
    here = settings()
    try:
        web = WebFile(here.web_config)
        socket = listening.listen(here, web)
        app = make(here, web)
    except ConfigError as error:
        print(f"gnomon-console: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if web.config().tls is None and not listening.loopback(str(socket.getsockname()[0])):
        log.warning(
            "%s has no tls_server_config: passwords and pages can be read on their way",
            here.web_config,
        )
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        # A socket.io message has 1 MB at most.
        ws="websockets-sansio",
        ws_max_size=2**20,
        limit_concurrency=1000,
        **connection.options(web),
    )
    uvicorn.Server(config).run(sockets=[socket])
    return 0


if __name__ == "__main__":
    sys.exit(main())
