"""Which service this is, and which gnomon measures it."""

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from prometheus_client import Metric


@cache
def version() -> str:
    """Return gnomon's version, "" where it runs without having been installed."""
    try:
        return installed("gnomon")
    except PackageNotFoundError:
        return ""


@cache
def _python() -> str:
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"


def families(service: str, service_version: str) -> Iterator[Metric]:
    """Yield ``target_info`` and ``gnomon_build_info``."""
    target = Metric("target", "The service that this process belongs to.", "info")
    labels = {"service_name": service, "service_version": service_version}
    target.add_sample("target_info", {key: text for key, text in labels.items() if text}, 1)
    yield target
    build = Metric(
        "gnomon_build",
        "Always 1; the versions of gnomon, of the interpreter and of the service.",
        "info",
    )
    build.add_sample(
        "gnomon_build_info",
        {"version": version(), "python": _python(), "service_version": service_version},
        1,
    )
    yield build
