"""`gnomon-console`: serves the console on loopback."""

import uvicorn

from gnomon_console.app import make
from gnomon_console.settings import settings


def main() -> None:
    """Serve until a signal."""
    here = settings()
    uvicorn.run(
        make(here), host=here.host, port=here.port, log_level="warning", ws="websockets-sansio"
    )


if __name__ == "__main__":
    main()
