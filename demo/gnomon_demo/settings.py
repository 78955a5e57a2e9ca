"""Where the demo's processes find each other and keep their data: environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    listen: the address of this machine that the servers listen on. desk, exchange: where they
    answer. data: the folder of the database, of transcripts and of faults under way. database: an
    address for SQLAlchemy's asynchronous engine. redis: the caches' second tier, None without one.
    celery: the broker of the queue, None for a queue in each worker's own memory.
    day_s: how many seconds a day of the load takes. pool_s: how many the fault `pool` takes until
    no connection is left.
    """

    listen: str
    desk: str
    exchange: str
    port: int
    exchange_port: int
    worker_port: int
    workers: int
    data: Path
    database: str
    redis: str | None
    celery: str | None
    day_s: float
    pool_s: float

    @property
    def transcripts(self) -> Path:
        """The folder of transcripts and what each has used, two files for each recording."""
        return self.data / "transcripts"

    @property
    def uploads(self) -> Path:
        """The folder of recordings that wait for a worker."""
        return self.data / "uploads"

    @property
    def faults(self) -> Path:
        """The folder that says which faults are under way, for all processes."""
        return self.data / "faults"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.data, self.transcripts, self.uploads, self.faults):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return what the environment says; ports were checked by `gnomon up`.

    An address with a password in it may stand in a file: GNOMON_DEMO_DATABASE_FILE names one in
    place of GNOMON_DEMO_DATABASE, and likewise for _REDIS and _CELERY.

    Raises ValueError for a number that is none, OSError for a file that cannot be read.
    """
    data = Path(environ.get("GNOMON_DEMO_DATA") or ".stack/data/demo").absolute()
    port = int(environ.get("GNOMON_DEMO_PORT") or 8000)
    exchange_port = int(environ.get("GNOMON_EXCHANGE_PORT") or 8001)
    return Settings(
        listen=environ.get("GNOMON_DEMO_LISTEN") or HOST,
        desk=environ.get("GNOMON_DEMO_URL") or f"http://{HOST}:{port}",
        exchange=environ.get("GNOMON_EXCHANGE_URL") or f"http://{HOST}:{exchange_port}",
        port=port,
        exchange_port=exchange_port,
        worker_port=int(environ.get("GNOMON_DEMO_WORKER_PORT") or 8002),
        workers=int(environ.get("GNOMON_DEMO_WORKERS") or 2),
        data=data,
        database=_address(environ, "GNOMON_DEMO_DATABASE") or f"sqlite+aiosqlite:///{data}/desk.db",
        redis=_address(environ, "GNOMON_DEMO_REDIS"),
        celery=_address(environ, "GNOMON_DEMO_CELERY"),
        day_s=float(environ.get("GNOMON_DEMO_DAY_SECONDS") or 86400),
        pool_s=float(environ.get("GNOMON_DEMO_POOL_SECONDS") or 120),
    )


def _address(environ: Mapping[str, str], name: str) -> str | None:
    """Return what a variable says, or the file that NAME_FILE names; None for neither."""
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip() or None
    return environ.get(name) or None
