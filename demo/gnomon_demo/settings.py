"""Where the demo's processes find each other and keep their data: environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    data: the folder of the database, of transcripts and of faults under way. database: an address
    for SQLAlchemy's asynchronous engine. redis: the caches' second tier, None without one.
    celery: the broker of the queue, None for a queue in each worker's own memory.
    day_s: how many seconds a day of the load takes. pool_s: how many the fault `pool` takes until
    no connection is left.
    """

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
    def desk(self) -> str:
        """Where the desk answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def exchange(self) -> str:
        """Where the exchange answers."""
        return f"http://{HOST}:{self.exchange_port}"

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

    Raises ValueError for a number that is none.
    """
    data = Path(environ.get("GNOMON_DEMO_DATA") or ".stack/data/demo").absolute()
    return Settings(
        port=int(environ.get("GNOMON_DEMO_PORT") or 8000),
        exchange_port=int(environ.get("GNOMON_EXCHANGE_PORT") or 8001),
        worker_port=int(environ.get("GNOMON_DEMO_WORKER_PORT") or 8002),
        workers=int(environ.get("GNOMON_DEMO_WORKERS") or 2),
        data=data,
        database=environ.get("GNOMON_DEMO_DATABASE") or f"sqlite+aiosqlite:///{data}/desk.db",
        redis=environ.get("GNOMON_DEMO_REDIS") or None,
        celery=environ.get("GNOMON_DEMO_CELERY") or None,
        day_s=float(environ.get("GNOMON_DEMO_DAY_SECONDS") or 86400),
        pool_s=float(environ.get("GNOMON_DEMO_POOL_SECONDS") or 120),
    )
