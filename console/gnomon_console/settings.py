"""Where the console finds what it shows: environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    root: the checkout, for dashboards and runbooks. prometheus, alertmanager: addresses without a
    slash at the end. jaeger: whose page shows a trace, "" for none. data: the folder that the
    console writes to. web_config: the file with users and TLS, None for none. database: of the
    alerts' history, with its password; "" for a file in the folder.
    """

    host: str
    port: int
    root: Path
    prometheus: str
    alertmanager: str
    jaeger: str
    data: Path
    web_config: str | None = None
    database: str = field(default="", repr=False)

    @property
    def dashboards(self) -> Path:
        """The folder of the dashboards' files."""
        return self.root / "grafana/dashboards"


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return what the environment says. Raise ValueError for a port that is no number."""

    def address(part: str, port: int) -> str:
        given = environ.get(f"GNOMON_{part}_URL", "").strip().rstrip("/")
        return given or f"http://{HOST}:{environ.get(f'GNOMON_{part}_PORT') or port}"

    return Settings(
        host=environ.get("GNOMON_CONSOLE_HOST", "").strip().strip("[]") or HOST,
        port=int(environ.get("GNOMON_CONSOLE_PORT") or 8090),
        root=Path(environ.get("GNOMON_ROOT") or Path(__file__).parents[2]),
        prometheus=address("PROMETHEUS", 9090),
        alertmanager=address("ALERTMANAGER", 9093),
        jaeger=environ.get("GNOMON_JAEGER_URL", "").strip().rstrip("/"),
        data=Path(environ.get("GNOMON_CONSOLE_DATA") or ".stack/data/console").absolute(),
        web_config=environ.get("GNOMON_CONSOLE_WEB_CONFIG", "").strip() or None,
        database=environ.get("GNOMON_CONSOLE_DATABASE", "").strip(),
    )
