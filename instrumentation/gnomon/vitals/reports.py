"""What a browser may report: whoever sends it may send anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longest report, in bytes, and longest path in it, in characters.
SIZE, LENGTH = 4096, 2048

#: Largest values: ten minutes in milliseconds; for cls, which has no unit, far more than is seen.
LIMITS = {"lcp": 600_000, "inp": 600_000, "fcp": 600_000, "ttfb": 600_000, "cls": 100}

_TEXTS = ("path", "route")


class Rejected(Exception):  # noqa: N818  # a decision, not a failure
    """A report that is not counted. reason: one word, a label. status: the answer's."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Report(NamedTuple):
    """One page view. path: of its address. route: what the page says that it is, "" if nothing.

    values: milliseconds by name, but for cls.
    """

    path: str
    route: str
    values: dict[str, float]


def check(headers: Mapping[bytes, bytes]) -> None:
    """Raise Rejected for a request that cannot be a page's of this site.

    headers: names in lower case.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    # No other site's page can send this type without asking first, which nobody answers.
    if kind != b"application/json":
        raise Rejected("content_type", 415)
    if not _same_site(headers):
        raise Rejected("origin", 403)
    length = headers.get(b"content-length", b"")
    if length and (not length.isdigit() or len(length) > 9 or int(length) > SIZE):
        raise Rejected("size", 413)


def _same_site(headers: Mapping[bytes, bytes]) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None:  # the browser's own word, which no page can change
        return site in (b"same-origin", b"same-site")
    # Over plain HTTP browsers say less: then the page's host must be the one that was asked.
    try:
        origin = urlsplit(headers.get(b"origin", b"").decode("ascii"))
        asked = urlsplit("//" + headers.get(b"host", b"").decode("ascii"))
        return bool(origin.hostname) and origin.hostname == asked.hostname
    except ValueError:
        return False


def parsed(body: bytes) -> Report:
    """Return what a body reports. Raises Rejected."""
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Rejected("json", 400) from None
    if not isinstance(found, dict) or not found.keys() <= {*_TEXTS, *LIMITS}:
        raise Rejected("fields", 400)
    path, route = (found.pop(name, "") for name in _TEXTS)
    for text in (path, route):
        if not isinstance(text, str) or len(text) > LENGTH or (text and not text.startswith("/")):
            raise Rejected("fields", 400)
    if not found or not (path or route):
        raise Rejected("fields", 400)
    for name, value in found.items():
        if not _is_number(value) or not 0 <= value <= LIMITS[name]:
            raise Rejected("values", 400)
    return Report(path, route, {name: float(value) for name, value in found.items()})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")
