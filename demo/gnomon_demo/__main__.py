"""`python -m gnomon_demo desk|exchange|load|worker`: one of the demo's processes.

`healthy PROCESS` says by its exit status whether one does its work; `fault NAME [SECONDS]` makes
something go wrong on purpose.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from gnomon_demo.settings import settings

# One thread of linear algebra: more would only wait for each other over arrays as small as ours.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The C library would give each thread a heap of its own, and each heap would keep its peak.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

_USAGE = """\
usage: python -m gnomon_demo desk|exchange|load|worker
       python -m gnomon_demo healthy PROCESS
       python -m gnomon_demo fault NAME [SECONDS]"""


def main(words: list[str]) -> None:
    """Run the process that is named, until it is stopped."""
    chosen = settings()
    match words:
        case ["desk"]:
            from gnomon_demo import faults  # noqa: PLC0415  # each process loads its own modules

            chosen.prepare()
            faults.forget(chosen.faults)
            _serve("gnomon_demo.desk:app", chosen.listen, chosen.port, chosen.workers)
        case ["exchange"]:
            _serve("gnomon_demo.exchange:app", chosen.listen, chosen.exchange_port, 1)
        case ["load"]:
            _wait(f"{chosen.desk}/-/ready")
            script = str(Path(__file__).with_name("load.py"))
            command = [sys.executable, "-m", "locust", "--locustfile", script, "--headless"]
            quiet = ["--only-summary", "--host", chosen.desk]
            os.execv(sys.executable, [*command, *quiet])  # noqa: S606  # takes this one's place
        case ["worker"]:
            from gnomon_demo import tasks  # noqa: PLC0415

            tasks.work()
        case ["healthy", process]:
            from gnomon_demo import health  # noqa: PLC0415

            sys.exit(health.trouble(process, chosen))
        case ["fault", name] | ["fault", name, _]:
            from gnomon_demo import faults  # noqa: PLC0415

            chosen.prepare()
            try:
                faults.begin(chosen.faults, name, float(words[2]) if words[2:] else 300)
            except (KeyError, ValueError):
                sys.exit(f"{_USAGE}\nfaults: {', '.join(faults.FAULTS)}")
        case _:
            sys.exit(_USAGE)


def _wait(url: str) -> None:
    """Wait until an address answers, for as long as that takes."""
    direct = build_opener(ProxyHandler({}))
    while True:
        with suppress(OSError), direct.open(url, timeout=5):
            return
        time.sleep(0.5)


def _serve(app: str, host: str, port: int, workers: int) -> None:
    import uvicorn  # noqa: PLC0415

    uvicorn.run(
        app,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="warning",  # or each WebSocket would have its lines
        # Streams and WebSockets would keep a worker for as long as their clients like.
        timeout_graceful_shutdown=3,
        # A busy machine is no reason to kill a worker that is merely late to say that it lives.
        timeout_worker_healthcheck=60,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
