"""All families of one registry, whoever of its applications writes into them."""

import sys
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Metric, ProcessCollector

from gnomon import families, guard, identity, logs, outgoing, runtime, subjects
from gnomon.families import AnyFamily
from gnomon.requests import RequestFamilies
from gnomon.streams import StreamFamilies
from gnomon.websockets import WebSocketFamilies

_instruments: WeakKeyDictionary[CollectorRegistry, "Instruments"] = WeakKeyDictionary()


class Instruments:
    """The collector behind an instrumented application's page.

    service, service_version: of the first application on the registry. cap: most series of one
    family, a histogram counted as one.
    """

    def __init__(self, service: str, service_version: str, cap: int) -> None:
        self.users = 0
        self.process: ProcessCollector | None = None
        self._service = service
        self._service_version = service_version
        self.requests = RequestFamilies(cap)
        self.streams = StreamFamilies(cap)
        self.websockets = WebSocketFamilies(cap)

    def families(self) -> tuple[AnyFamily, ...]:
        """Return every family with children."""
        return (*self.requests.families(), *self.streams.families(), *self.websockets.families())

    def collect(self) -> Iterator[Metric]:
        """Yield the page's families."""
        everything = self.families()
        self.requests.settle()
        yield from identity.families(self._service, self._service_version)
        yield from families.collect(everything)
        yield from families.collect(outgoing.families())
        yield from runtime.gather()
        yield from subjects.collect()
        if "gnomon.spans" in sys.modules:
            from gnomon import spans  # noqa: PLC0415  # it imports OpenTelemetry's SDK

            yield from families.collect(spans.families.families())
        yield families.overflow((*everything, *outgoing.families(), *subjects.counted()))
        yield from guard.families()

    def describe(self) -> Iterator[Metric]:
        """Yield the names, for the registry."""
        yield from identity.families(self._service, self._service_version)
        yield from families.describe(self.families())
        yield from families.describe((*outgoing.families(), *runtime.families()))
        yield from families.describe(subjects.counted())
        yield families.overflow(())
        yield from guard.families()


def acquire(
    registry: CollectorRegistry, service: str, service_version: str, cap: int
) -> Instruments:
    """Return the registry's instruments, registered, for one more user."""
    found = _instruments.get(registry)
    if found is None:
        found = Instruments(service, service_version, cap)
        registry.register(found)
        _instruments[registry] = found
        try:
            found.process = ProcessCollector(registry=registry)
        except ValueError:  # the default registry has it already
            found.process = None
        runtime.watch_gc()
        logs.install()
    found.users += 1
    return found


def release(registry: CollectorRegistry) -> None:
    """Give instruments back; the last user's families leave the registry."""
    found = _instruments.get(registry)
    if found is None:
        return
    found.users -= 1
    if not found.users:
        del _instruments[registry]
        registry.unregister(found)
        if found.process is not None:
            registry.unregister(found.process)
        if not _instruments:
            runtime.unwatch_gc()
            logs.uninstall()
            outgoing.uninstall()
            if "gnomon.libraries" in sys.modules:
                sys.modules["gnomon.libraries"].uninstall()
