"""Metrics that other programs leave in ``*.prom`` files."""

import glob
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.textformat import Family, parse

log = logging.getLogger(__name__)

#: A file changed less than this many seconds ago may change again and keep its time and size.
_FRESH = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """What a file held when it was this version: families, or an error instead."""

    inode: int
    mtime: int  # ns
    size: int
    families: tuple[Family, ...] = ()
    error: str = ""


class TextfileCollector:
    """The metrics in the *.prom files of chosen directories, names to the letter.

    Left out, with ``node_textfile_scrape_error`` at 1 and the reason in the log: a file that is
    not whole, not in the format, not UTF-8, over the bound, or gone while it is read; a metric
    whose HELP or TYPE is not that of an earlier file; a series that is there already.

    directory: the directories, patterns such as ``/srv/*/metrics`` included.
    max_bytes: size of all files together; those that no longer fit are left out. Parsed they
    take about twelve times as much memory.
    """

    def __init__(
        self, _paths: Paths, *, directory: tuple[str, ...] = (), max_bytes: int = 4 << 20
    ) -> None:
        # Not below the host's root: the files are handed to the exporter, not observed.
        self._directories = directory
        self._max_bytes = max_bytes
        self._files: dict[str, _File] = {}
        self._merged = _Merged({})
        self._errors: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the files' families, the files' age, and whether anything was left out."""
        errors: dict[str, str] = {}
        files = self._read(errors)
        if files != self._files:
            self._files, self._merged = files, _Merged(files)
        self._report(errors | self._merged.errors)
        yield from self._merged.families()
        mtime = GaugeMetricFamily(
            "node_textfile_mtime_seconds",
            "Unix time at which the file was last changed.",
            labels=("file",),
        )
        for path, file in files.items():
            if not file.error:
                mtime.add_metric((path,), file.mtime // 1_000_000_000)
        yield mtime
        yield GaugeMetricFamily(
            "node_textfile_scrape_error",
            "1 if a file or something in it had to be left out, else 0.",
            1 if self._errors else 0,
        )

    def _report(self, errors: dict[str, str]) -> None:
        """Log each error once, until it changes."""
        for subject, error in errors.items():
            if self._errors.get(subject) != error:
                log.warning("textfile: %s: %s", subject, error)
        self._errors = errors

    def _read(self, errors: dict[str, str]) -> dict[str, _File]:
        """Return the files by path, those that cannot be read with an error in ``errors``."""
        files: dict[str, _File] = {}
        room = self._max_bytes
        for path in self._paths(errors):
            try:
                file = self._file(path, room)
            except OSError as error:
                errors[path] = error.strerror or str(error)
                continue
            room -= file.size
            files[path] = file
            if file.error:
                errors[path] = file.error
        return files

    def _paths(self, errors: dict[str, str]) -> Iterator[str]:
        """Yield the paths of the files, directory by directory in the order of their names."""
        for directory in dict.fromkeys(self._matches()):
            try:
                names = sorted(name for name in os.listdir(directory) if name.endswith(".prom"))
            except OSError as error:
                errors[directory] = error.strerror or str(error)
                continue
            for name in names:
                yield os.path.join(directory, name)

    def _matches(self) -> Iterator[str]:
        for directory in self._directories:
            # What matches nothing is taken at its word, and so becomes an error.
            found = [directory]
            if any(character in directory for character in "*?["):
                found = sorted(glob.glob(directory, include_hidden=True)) or found
            yield from map(os.path.normpath, found)

    def _file(self, path: str, room: int) -> _File:
        """Return a file of at most ``room`` bytes, read anew only if it has changed.

        Raises OSError, also for what is no regular file or too large.
        """
        now = os.stat(path)
        if not stat.S_ISREG(now.st_mode):
            raise OSError("not a regular file")
        known = self._files.get(path)
        if (
            known is not None
            and (known.inode, known.mtime, known.size) == (now.st_ino, now.st_mtime_ns, now.st_size)
            and time.time() - now.st_mtime > _FRESH
            and known.size <= room
        ):
            return known
        too_large = (
            f"does not fit into max_bytes = {self._max_bytes}, the size of all files together"
        )
        if now.st_size > room:
            raise OSError(too_large)
        # It may have become a pipe meanwhile: never wait for someone to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            now = os.fstat(descriptor)
            content = file.read(room + 1)
        if len(content) > room:
            raise OSError(too_large)
        families: tuple[Family, ...] = ()
        error = ""
        try:
            families = tuple(parse(content.decode()))
        except ValueError as fault:  # UnicodeDecodeError is one
            error = str(fault)
        return _File(now.st_ino, now.st_mtime_ns, len(content), families, error)


class _Merged:
    """The files' families as one page: each name once.

    errors: what had to be left out, by metric.
    """

    def __init__(self, files: Mapping[str, _File]) -> None:
        self.errors: dict[str, str] = {}
        self._families: dict[str, Family] = {}
        self._origin: dict[str, str] = {}
        for path, file in files.items():
            for family in file.families:
                self._add(family, path)
        self._drop_repetitions()

    def families(self) -> Iterator[Metric]:
        """Yield fresh families: whoever gets them may cut them to a limit."""
        for family in self._families.values():
            text = family.help if family.help is not None else f"From {self._origin[family.name]}."
            metric = Metric(family.name, text, family.kind or "untyped")
            metric.others = list(family.samples)
            yield metric

    def _add(self, family: Family, path: str) -> None:
        first = self._families.get(family.name)
        if first is None:
            self._families[family.name] = Family(
                family.name, family.help, family.kind, list(family.samples)
            )
            self._origin[family.name] = path
            return
        origin = self._origin[family.name]
        if (family.kind or "untyped") != (first.kind or "untyped"):
            self.errors[family.name] = f"TYPE in {path} is not that in {origin}"
        elif None not in (first.help, family.help) and first.help != family.help:
            self.errors[family.name] = f"HELP in {path} is not that in {origin}"
        else:
            first.help = family.help if first.help is None else first.help
            first.samples += family.samples

    def _drop_repetitions(self) -> None:
        for family in self._families.values():
            unique = {
                (sample.name, frozenset(sample.labels.items())): sample
                for sample in reversed(family.samples)
            }
            if len(unique) < len(family.samples):
                self.errors[family.name] = "the same series comes twice"
                family.samples = list(reversed(unique.values()))
