"""Asks the stack's own servers, which are on loopback: no proxy lies on the way to them."""

import json
import urllib.parse
import urllib.request
from typing import Any

from gnomon_stack.parts import url

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PATIENCE_S = 2.0


def get(port: int, path: str, **parameters: str) -> bytes:
    """Return what ``path`` answers; raise OSError for no answer, or for one that is no success."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with _DIRECT.open(url(port) + path + query, timeout=_PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body


def data(port: int, path: str, **parameters: str) -> Any:
    """Return the ``data`` of an answer of Prometheus' API, or None where there is no good one."""
    try:
        return json.loads(get(port, path, **parameters))["data"]
    except (OSError, ValueError, KeyError):
        return None


def value(port: int, expression: str) -> float | None:
    """Return what a PromQL expression gives, or None where it gives nothing or none answers."""
    found = data(port, "/api/v1/query", query=expression)
    return float(found["result"][0]["value"][1]) if found and found["result"] else None
