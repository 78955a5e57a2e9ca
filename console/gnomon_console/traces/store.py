"""The newest traces, in a file that never grows past its bound.

One thread writes, once or twice a second: what a killed process loses is what came in the last
second. Each reader has a connection of its own, which waits for nobody.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gnomon_console.traces.spans import LOG, Event, Span

#: What the store keeps unless somebody says otherwise.
BYTES, AGE_S = 256 * 2**20, 3 * 86400.0

#: Spans that wait to be written, at most: a few seconds of more than anybody should send.
_WAITING = 50_000

#: Seconds between two writes.
_PAUSE_S = 0.4

#: Spans of one transaction: few enough to fit into the smallest store.
_TOGETHER = 500

_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS spans (
    number INTEGER PRIMARY KEY, trace BLOB NOT NULL, span BLOB NOT NULL, parent BLOB NOT NULL,
    service TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL,
    finish INTEGER NOT NULL, failed INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_trace ON spans (trace);
CREATE TABLE IF NOT EXISTS traces (
    trace BLOB PRIMARY KEY, start INTEGER NOT NULL, finish INTEGER NOT NULL,
    service TEXT NOT NULL, name TEXT NOT NULL, route TEXT NOT NULL, has_root INTEGER NOT NULL,
    spans INTEGER NOT NULL, failed INTEGER NOT NULL, newest INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_start ON traces (start);
CREATE INDEX IF NOT EXISTS by_newest ON traces (newest);
"""

# A trace comes in parts, in any order, and is named after its root as soon as that is there.
_TRACE = """
INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
ON CONFLICT (trace) DO UPDATE SET
    start = min(start, excluded.start), finish = max(finish, excluded.finish),
    service = iif(excluded.has_root OR (NOT has_root AND excluded.start < start),
                  excluded.service, service),
    name = iif(excluded.has_root OR (NOT has_root AND excluded.start < start), excluded.name, name),
    route = iif(route = '' OR excluded.has_root, excluded.route, route),
    has_root = max(has_root, excluded.has_root), spans = spans + 1,
    failed = failed + excluded.failed, newest = excluded.newest
"""


@dataclass(frozen=True, slots=True)
class Summary:
    """One trace in a list. Times are Unix nanoseconds; failed counts spans."""

    trace_id: str
    start: int
    duration: int
    service: str
    name: str
    route: str
    spans: int
    failed: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces somebody looks for; "" and 0 for any. Times are Unix nanoseconds."""

    service: str = ""
    route: str = ""
    shortest: int = 0
    failed: bool = False
    since: int = 0
    until: int = 2**63 - 1
    limit: int = 100


class Store:
    """Keeps spans. ``stored``, ``dropped`` and ``refused`` count what became of them."""

    def __init__(self, path: Path, *, bytes_: int = BYTES, age_s: float = AGE_S) -> None:
        """Open the file, or make it. Raise sqlite3.Error or OSError where that cannot be."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._bytes = bytes_
        self._age_s = age_s
        self._waiting: list[Span] = []
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._ended = False
        self.stored = self.dropped = self.refused = 0
        self._write = self._opened()
        self._writer = threading.Thread(target=self._run, name="gnomon-traces", daemon=True)
        self._writer.start()

    def take(self, spans: Sequence[Span]) -> bool:
        """Take spans to be written; say False, and take none, where too many wait already."""
        with self._lock:
            if len(self._waiting) + len(spans) > _WAITING:
                self.refused += len(spans)
                return False
            self._waiting.extend(spans)
        self._news.set()
        return True

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._ended = True
        self._news.set()
        self._writer.join(10)
        self._write.close()

    def find(self, wanted: Wanted) -> list[Summary]:
        """Return the newest traces that are looked for."""
        where, given = ["start BETWEEN ? AND ?"], [wanted.since, wanted.until]
        said: list[str | int] = [*given]
        if wanted.route:
            where.append("(instr(lower(route), ?) OR instr(lower(name), ?))")
            said += [wanted.route.lower()] * 2
        if wanted.shortest:
            where.append("finish - start >= ?")
            said.append(wanted.shortest)
        if wanted.failed:
            where.append("failed > 0")
        if wanted.service:
            where.append("EXISTS (SELECT 1 FROM spans s WHERE s.trace = t.trace AND s.service = ?)")
            said.append(wanted.service)
        query = (
            "SELECT hex(trace), start, finish - start, service, name, route, spans, failed"  # noqa: S608
            f" FROM traces t WHERE {' AND '.join(where)} ORDER BY start DESC LIMIT ?"
        )
        with closing(self._reader()) as reader:
            rows = reader.execute(query, [*said, wanted.limit]).fetchall()
        return [Summary(row[0].lower(), *row[1:]) for row in rows]

    def services(self) -> list[str]:
        """Return the services that any of the newest spans is of."""
        query = (
            "SELECT DISTINCT service FROM (SELECT service FROM spans ORDER BY number DESC"
            " LIMIT 20000) ORDER BY service"
        )
        with closing(self._reader()) as reader:
            return [service for (service,) in reader.execute(query)]

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, those that began first at the front; none if it is gone."""
        return self._of(trace_id, "kind <> ?", 5000)

    def logs(self, trace_id: str) -> list[Span]:
        """Return the log records of a trace, the oldest first; ``span_id`` says in which span."""
        return self._of(trace_id, "kind = ?", 2000)

    def _of(self, trace_id: str, which: str, limit: int) -> list[Span]:
        try:
            key = bytes.fromhex(trace_id)
        except ValueError:
            return []
        with closing(self._reader()) as reader:
            rows = reader.execute(
                "SELECT hex(span), hex(parent), service, name, kind, start, finish, failed, body"  # noqa: S608
                f" FROM spans WHERE trace = ? AND {which} ORDER BY start LIMIT ?",
                [key, LOG, limit],
            ).fetchall()
        return [_read(trace_id, row) for row in rows]

    def size(self) -> int:
        """Return the bytes of the file, with what is not yet moved into its main part."""
        return sum(
            path.stat().st_size
            for path in (self._path, self._path.with_name(f"{self._path.name}-wal"))
            if path.exists()
        )

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._path.chmod(0o600)
        connection.executescript(_SCHEMA)
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        # A third is for what waits beside the main part to be moved into it.
        connection.execute(f"PRAGMA max_page_count = {self._bytes * 2 // 3 // page}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {self._bytes // 8}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {max(64, self._bytes // 16 // page)}")
        return connection

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)

    def _run(self) -> None:
        forgotten = 0.0
        while True:
            self._news.wait(60)
            self._news.clear()
            with self._lock:
                spans, self._waiting = self._waiting, []
            for first in range(0, len(spans), _TOGETHER):
                self._keep(spans[first : first + _TOGETHER])
            if time.monotonic() - forgotten > 60:
                self._forget_old()
                forgotten = time.monotonic()
            if self._ended and not self._waiting:
                return
            if not self._ended:
                time.sleep(_PAUSE_S)

    def _keep(self, spans: Sequence[Span]) -> None:
        """Write spans, and drop the oldest for as long as there is no room."""
        for _ in range(1000):
            try:
                self._insert(spans)
            except sqlite3.OperationalError as error:
                if self._write.in_transaction:
                    self._write.execute("ROLLBACK")
                # SQLITE_FULL: the bound, or the disk itself.
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._drop():
                    break
            else:
                self.stored += len(spans)
                return
        self.refused += len(spans)

    def _insert(self, spans: Sequence[Span]) -> None:
        write = self._write
        write.execute("BEGIN IMMEDIATE")
        for span in spans:
            key = bytes.fromhex(span.trace_id)
            number = write.execute(
                "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    key,
                    bytes.fromhex(span.span_id),
                    bytes.fromhex(span.parent),
                    span.service,
                    span.name,
                    span.kind,
                    span.start,
                    span.end,
                    span.failed,
                    span.body(),
                ],
            ).lastrowid
            if span.kind == LOG:
                continue
            write.execute(
                _TRACE,
                [
                    key,
                    span.start,
                    max(span.start, span.end),
                    span.service,
                    span.name,
                    span.route,
                    not span.parent,
                    span.failed,
                    number,
                ],
            )
        write.execute("COMMIT")

    def _drop(self) -> bool:
        """Delete the oldest tenth of the spans, and the traces that nothing is left of.

        Say whether there were any.
        """
        write = self._write
        first, last = write.execute("SELECT min(number), max(number) FROM spans").fetchone()
        if first is None:
            return False
        last = first + max(_TOGETHER, (last - first) // 10)
        write.execute("BEGIN IMMEDIATE")
        self.dropped += write.execute("DELETE FROM spans WHERE number <= ?", [last]).rowcount
        write.execute("DELETE FROM traces WHERE newest <= ?", [last])
        write.execute("COMMIT")
        return True

    def _forget_old(self) -> None:
        """Delete what is older than it may be, and give its room back."""
        oldest = int((time.time() - self._age_s) * 1e9)
        query = "SELECT finish FROM spans ORDER BY number LIMIT 1"
        while (first := self._write.execute(query).fetchone()) and first[0] < oldest:
            if not self._drop():
                break
        self._write.execute("PRAGMA incremental_vacuum(2000)")


def _read(trace_id: str, row: tuple[str, str, str, str, str, int, int, int, str]) -> Span:
    span, parent, service, name, kind, start, end, failed, body = row
    attributes, resource, events = json.loads(body)
    return Span(
        trace_id=trace_id,
        span_id=span.lower(),
        parent=parent.lower(),
        service=service,
        name=name,
        kind=kind,
        start=start,
        end=end,
        failed=bool(failed),
        attributes=attributes,
        resource=resource,
        events=tuple(Event(*event) for event in events),
    )
