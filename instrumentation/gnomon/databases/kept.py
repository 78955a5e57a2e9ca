"""Slow queries on disk: each process writes its own file, whoever asks reads all of them.

Imports nothing of SQLAlchemy, for `gnomon queries` reads where no application runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
from typing import Any

from gnomon.workers import run

#: Seconds that the file of a process that is gone is kept, and most files.
AGE = 7 * 86400.0
MOST = 100

#: What is told of each query; see ``Shape.as_dict``.
KEYS = frozenset(
    {
        *("id", "pool", "system", "database", "summary", "shape", "count", "total_seconds"),
        *("longest_seconds", "first_timestamp_seconds", "last_timestamp_seconds", "trace_id"),
        *("plan", "no_plan_because", "missing_indexes"),
    }
)

#: Bytes of a file that are read.
LARGEST = 8 << 20


def folder() -> str:
    """Return the folder of this user's files, which may not exist."""
    if given := os.environ.get("GNOMON_RUN_DIR"):
        return os.path.join(given, "queries")
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return os.path.join(base, f"gnomon-{os.getuid()}", "queries")


def write(page: dict[str, Any], started: float) -> None:
    """Write this process's file, whole or not at all.

    started: when this process began to watch, in seconds since 1970. Raises OSError.
    """
    where = folder()
    _made(os.path.dirname(where))
    _made(where)
    name = os.path.join(where, f"{os.getpid()}-{started:.0f}.json")
    told = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "run": _run(),
        "written": time.time(),
        **page,
    }
    draft = f"{name}.{os.getpid()}.new"
    try:
        with open(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump(told, file)
        os.replace(draft, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _forget_old(where)


def read() -> list[dict[str, Any]]:
    """Return what all processes of this user have written, those that are gone too."""
    where = folder()
    found = []
    try:
        if not _is_ours(where):
            return []
        names = sorted(os.listdir(where))
    except OSError:
        return []
    for name in names:
        if name.endswith(".json"):
            with contextlib.suppress(OSError, ValueError):
                with open(os.path.join(where, name), encoding="utf-8") as file:
                    page = json.loads(file.read(LARGEST))
                if _is_page(page):
                    found.append(page)
    return found


def _is_page(page: Any) -> bool:
    """Whether a file holds what this version reads."""
    return (
        isinstance(page, dict)
        and all(
            isinstance(each, dict) and each.keys() >= KEYS for each in page.get("queries", (None,))
        )
        and all(
            isinstance(each, dict) and each.keys() >= {"pool", "table", "index"}
            for each in page.get("unused_indexes", ())
        )
    )


def of_this_run(own: dict[str, Any]) -> list[dict[str, Any]]:
    """Return this process's page, its children's, and those of workers of the same socket."""
    me, here = os.getpid(), _run()
    others = [
        page
        for page in read()
        if page.get("pid") != me
        and (page.get("parent") == me or (here is not None and page.get("run") == here))
    ]
    return [own, *others]


def merged(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return several processes' pages as one: a shape's counts added up, its last plan kept."""
    queries: dict[str, dict[str, Any]] = {}
    indexes: dict[tuple[str, ...], dict[str, Any]] = {}
    for page in sorted(pages, key=lambda page: float(page.get("written") or time.time())):
        for query in page.get("queries", ()):
            before = queries.get(query["id"])
            queries[query["id"]] = query if before is None else _added(before, query)
        for index in page.get("unused_indexes", ()):
            indexes[index["pool"], index["table"], index["index"]] = index
    return {
        "queries": sorted(queries.values(), key=lambda query: -float(query["longest_seconds"])),
        "unused_indexes": list(indexes.values()),
    }


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    told = {**one, **{key: value for key, value in other.items() if value not in (None, "")}}
    if other.get("plan") is None:
        told["missing_indexes"] = one["missing_indexes"]
    else:
        told["no_plan_because"] = None
    for key in ("count", "total_seconds"):
        told[key] = one[key] + other[key]
    told["longest_seconds"] = max(one["longest_seconds"], other["longest_seconds"])
    told["first_timestamp_seconds"] = min(
        one["first_timestamp_seconds"], other["first_timestamp_seconds"]
    )
    told["last_timestamp_seconds"] = max(
        one["last_timestamp_seconds"], other["last_timestamp_seconds"]
    )
    return told


def _run() -> str | None:
    """Return what the workers of one socket have in common, None for a process by itself."""
    try:
        found = run.directory("queries")
    except (run.Alone, OSError):
        return None
    return os.path.basename(found) if found is not None else None


def _made(path: str) -> None:
    """Make a directory that is ours alone; raise PermissionError if it is not."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if not _is_ours(path):
        raise PermissionError(f"{path} is not this user's directory")


def _is_ours(path: str) -> bool:
    found = os.lstat(path)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _forget_old(where: str) -> None:
    """Remove files that are too old or too many, those of processes that live excepted."""
    now = time.time()
    dead = []
    for name in os.listdir(where):
        path = os.path.join(where, name)
        with contextlib.suppress(OSError, ValueError):
            age = now - os.stat(path).st_mtime
            if not os.path.exists(f"/proc/{int(name.partition('-')[0])}"):
                dead.append((age, path))
    dead.sort()
    for index, (age, path) in enumerate(dead):
        if age > AGE or index >= MOST:
            with contextlib.suppress(OSError):
                os.unlink(path)
