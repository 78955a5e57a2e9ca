"""The route template that a request was matched to, read from its scope after routing."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gnomon import guard

#: The route of whatever matched none: one constant, whatever the path.
UNMATCHED = "_UNMATCHED"

#: Most resolved routes that are remembered; one application has a few hundred.
REMEMBERED = 4096

Scope = Any  # ASGI's dictionary; Starlette and FastAPI put objects of theirs into it


class Routes:
    """Resolves templates for one application, each once.

    Starlette and FastAPI leave the route, the endpoint and, below a mount, a longer
    ``root_path`` in the scope. Nothing is matched again, but for a path prefix of a mount that
    is seen for the first time, and for endpoints that serve several paths.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        # The values keep alive what the keys know by id: an id may not be used again meanwhile.
        self._known: dict[tuple[int, int, int, str], tuple[str, Any]] = {}

    def template(self, scope: Scope, root_path: str) -> str:
        """Return the route's template with the prefixes of the mounts above it.

        root_path: what ``scope["root_path"]`` was before routing.
        """
        return self.resolve(scope, root_path)[0]

    def resolve(self, scope: Scope, root_path: str) -> tuple[str, bool]:
        """Return the template, and whether it holds for each request with the same objects."""
        route = scope.get("route")
        endpoint = scope.get("endpoint")
        own = scope.get("fastapi")
        context = own.get("effective_route_context") if own else None
        below = scope.get("root_path", "")
        prefix = below[len(root_path) :] if len(below) > len(root_path) else ""
        key = (id(route), id(endpoint), id(context), prefix)
        known = self._known.get(key)
        if known is not None:
            return known[0], True
        try:
            template, lasting = self._resolve(scope, route, endpoint, context, prefix)
        except Exception:
            guard.failed("route template")
            template, lasting = UNMATCHED, False
        if lasting:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = template, (route, endpoint, context)
        return template, lasting

    def _resolve(
        self, scope: Scope, route: Any, endpoint: Any, context: Any, prefix: str
    ) -> tuple[str, bool]:
        """Return the template, and whether it holds for every request with the same key."""
        if endpoint is None:
            return UNMATCHED, True
        mounted = self._mounted(prefix) if prefix else ""
        if context is not None:
            inner = getattr(context, "starlette_route", None)
            original = getattr(context, "original_route", None)
            matched = inner if inner is not None else context
            if original is route or getattr(matched, "endpoint", None) is endpoint:
                path = getattr(matched, "path_format", None)
                if isinstance(path, str) and getattr(original, "endpoint", None) is endpoint:
                    return mounted + path or "/", True
        if getattr(route, "endpoint", None) is endpoint:
            return mounted + route.path_format or "/", True
        paths = {path for found, path, _ in self._endpoints() if found is endpoint}
        if len(paths) == 1:
            return mounted + paths.pop() or "/", True
        if paths:  # one endpoint under several paths, in a router that does not say which
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root) if root else scope["path"]
            for found, template, regex in self._endpoints():
                if found is endpoint and regex.match(path):
                    return mounted + template or "/", False
        if hasattr(endpoint, "routes"):  # a sub-application, none of whose routes matched
            return UNMATCHED, True
        return (mounted or UNMATCHED), True

    def _mounted(self, prefix: str) -> str:
        """Return the template of the mounts whose actual path is ``prefix``, "" if unknown."""
        for template, rest in _descend(_routes(self._app), prefix + "/"):
            if rest == "/":
                return template
        return ""

    def _endpoints(self) -> Iterator[tuple[Any, str, re.Pattern[str]]]:
        yield from _walk(_routes(self._app))


def of_path(app: Any, path: str, method: str = "GET") -> str | None:
    """Return the template of the route that would serve a path, None if there is none.

    For paths that are told, not asked for: of a request that was routed ``Routes`` knows better.
    """
    return _served(_routes(app), path, method)


def _served(routes: Iterable[Any], path: str, method: str) -> str | None:
    for entry in routes:
        for route in _contexts(entry):
            if hasattr(route, "host_regex"):
                found = _served(_routes(route), path, method)
                if found is not None:
                    return found
                continue
            regex = getattr(route, "path_regex", None)
            match = regex.match(path) if regex is not None else None
            if match is None:
                continue
            if _is_mount(route):
                template: str = route.path_format.removesuffix("/{path}")
                below = _routes(route)
                if not below:  # files, for example
                    return template or "/"
                found = _served(below, "/" + match.groupdict()["path"], method)
                if found is not None:
                    return template + found
            elif method in (getattr(route, "methods", None) or {method}):
                return str(route.path_format)
    return None


def templates(app: Any) -> frozenset[str]:
    """Return the templates of all routes."""
    return frozenset(_all(_routes(app)))


def _all(routes: Iterable[Any]) -> Iterator[str]:
    for entry in routes:
        for route in _contexts(entry):
            if hasattr(route, "host_regex"):
                yield from _all(_routes(route))
            elif not hasattr(route, "path_format"):
                continue
            elif _is_mount(route):
                template = route.path_format.removesuffix("/{path}")
                below = list(_all(_routes(route)))
                yield from (template + one for one in below)
                if not below:
                    yield template or "/"
            else:
                yield route.path_format


def of_scope(scope: Scope) -> str:
    """Return the template of a request under way, routed or not yet; "" if it is not known.

    That of an application that is mounted in another is its own, without the mount's prefix.
    """
    app = scope.get("app")
    if app is None:
        return ""
    below = scope.get("root_path", "")
    for root in (scope.get("app_root_path", below), below):
        if scope.get("endpoint") is not None:
            found = Routes(app).template(scope, root)
        else:
            path = scope["path"].removeprefix(root)
            found = of_path(app, path, scope.get("method", "GET")) or UNMATCHED
        if found != UNMATCHED:
            return found
    return ""


def _routes(app: Any) -> Iterable[Any]:
    router = getattr(app, "router", app)
    return getattr(router, "routes", None) or ()


def _is_mount(route: Any) -> bool:
    return hasattr(route, "path_regex") and not hasattr(route, "endpoint")


def _contexts(route: Any) -> Iterator[Any]:
    """Yield a route, or what an included router of FastAPI stands for."""
    effective = getattr(route, "effective_route_contexts", None)
    if effective is None:
        yield route
        return
    for context in effective():
        inner = getattr(context, "starlette_route", None)
        yield inner if inner is not None else context


def _descend(routes: Iterable[Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield templates of mounts that match the beginning of a path, and what of it is left."""
    for entry in routes:
        for route in _contexts(entry):
            if hasattr(route, "host_regex"):
                yield from _descend(_routes(route), path)
                continue
            if not _is_mount(route):
                continue
            match = route.path_regex.match(path)
            if match is None:
                continue
            template = route.path_format.removesuffix("/{path}")
            rest = "/" + match.groupdict()["path"]
            yield template, rest
            for deeper, left in _descend(_routes(route), rest):
                yield template + deeper, left


def _walk(routes: Iterable[Any]) -> Iterator[tuple[Any, str, re.Pattern[str]]]:
    """Yield every endpoint with its path below the mounts."""
    for entry in routes:
        for route in _contexts(entry):
            if hasattr(route, "endpoint") and hasattr(route, "path_format"):
                yield route.endpoint, route.path_format, route.path_regex
            elif hasattr(route, "app"):
                yield from _walk(_routes(route))
