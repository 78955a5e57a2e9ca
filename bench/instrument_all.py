"""A pytest plugin that puts Gnomon around every application that a test suite makes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

import gnomon


def pytest_configure(config: pytest.Config) -> None:
    """Instrument what either constructor makes; FastAPI's does not call Starlette's."""
    del config
    for kind in (Starlette, FastAPI):
        kind.__init__ = _instrumenting(kind.__init__)  # type: ignore[method-assign]


def _instrumenting(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def made(app: Starlette, *args: Any, **options: Any) -> None:
        original(app, *args, **options)
        # Some of the applications have a /metrics of their own.
        page = "/metrics-of-gnomon"
        gnomon.instrument(app, service="suite", registry=CollectorRegistry(), metrics_path=page)

    return made
