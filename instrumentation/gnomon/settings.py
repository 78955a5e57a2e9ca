"""What an application is instrumented with: arguments first, then environment variables."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

#: Paths that health checks ask for; nobody waits for their answers.
HEALTH_PATHS = frozenset(
    path + end
    for path in ("/health", "/healthz", "/livez", "/readyz", "/-/healthy", "/-/ready")
    for end in ("", "/")
)
HEALTH = (r"^/(?:health|healthz|livez|readyz|-/healthy|-/ready)/?$",)

Tracing = Literal["gnomon", "opentelemetry", "off"]


@dataclass(frozen=True)
class Settings:
    """The settings of one application; see ``gnomon.instrument`` for their meaning."""

    service: str
    service_version: str
    metrics_path: str | None
    metrics_token: str | None
    exclude: tuple[str, ...]
    streams: frozenset[str]
    max_series: int
    tracing: Tracing
    sample_ratio: float | None
    usage: bool


def settings(
    *,
    service: str | None,
    service_version: str | None,
    metrics_path: str | None,
    metrics_token: str | None,
    exclude: Iterable[str] | None,
    streams: Iterable[str],
    max_series: int,
    tracing: Tracing | None,
    sample_ratio: float | None,
    usage: bool,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings that arguments and environment give together.

    Raises ValueError for a value that cannot be right, with the argument's or variable's name.
    """
    resource = _resource(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if metrics_path is not None and not metrics_path.startswith("/"):
        raise ValueError(f"metrics_path: {metrics_path!r} does not begin with /")
    if max_series < 1:
        raise ValueError(f"max_series: {max_series} leaves no series at all")
    if sample_ratio is not None and not 0 <= sample_ratio <= 1:
        raise ValueError(f"sample_ratio: {sample_ratio} is not between 0 and 1")
    if isinstance(exclude, str) or isinstance(streams, str):
        raise ValueError("exclude and streams take several texts, in a list or tuple")  # noqa: TRY004
    return Settings(
        service=service
        or environ.get("OTEL_SERVICE_NAME")
        or resource.get("service.name")
        or "unknown_service",
        service_version=service_version or resource.get("service.version", ""),
        metrics_path=metrics_path,
        metrics_token=metrics_token or _secret(environ, "GNOMON_METRICS_TOKEN"),
        exclude=_patterns(exclude, environ),
        streams=frozenset(streams),
        max_series=max_series,
        tracing=tracing or _tracing(environ),
        sample_ratio=sample_ratio,
        usage=usage,
    )


def _patterns(exclude: Iterable[str] | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    where = "exclude"
    if exclude is None:
        for where in ("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"):
            if where in environ:
                exclude = [part.strip() for part in environ[where].split(",")]
                break
        else:
            exclude = HEALTH
    patterns = tuple(pattern for pattern in exclude if pattern)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from None
    return patterns


def _tracing(environ: Mapping[str, str]) -> Tracing:
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "off"
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return "off"
    return "gnomon"


def has_endpoint(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where spans go."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(environ.get(name) for name in names)


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return a secret from a variable, or from the file that ``…_FILE`` names."""
    if path := environ.get(f"{name}_FILE"):
        try:
            with open(path, encoding="utf-8") as file:
                secret = file.read().strip()
        except OSError as error:
            raise ValueError(f"{name}_FILE: {error}") from None
        if not secret:
            raise ValueError(f"{name}_FILE: {path} is empty")
        return secret
    return environ.get(name) or None


def _resource(text: str) -> dict[str, str]:
    """Return OTEL_RESOURCE_ATTRIBUTES as a dictionary; pairs that are none are left out."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
