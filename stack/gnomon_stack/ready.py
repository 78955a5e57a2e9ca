"""Watches a starting stack until every part answers and Prometheus has this host's first sample."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gnomon_stack import loopback
from gnomon_stack.parts import EXPORTER, PROMETHEUS, Part

_PAUSE_S = 0.1

# When Prometheus last scraped the exporter, if that succeeded; its data may be older than this run.
# Around anything but a plain selector timestamp() would tell the time of the query.
_LAST_SAMPLE = 'max(timestamp(up{job="node"}) and up{job="node"} == 1)'


@dataclass(frozen=True, slots=True)
class Answer:
    """A part answers for the first time, or (``part`` None) the first sample is there."""

    part: Part | None
    after_s: float


def watch(ports: dict[Part, int], running: Callable[[], bool]) -> Iterator[Answer | None]:
    """Yield an `Answer` for each thing that has become true, and None for each look without news.

    Ends with the first sample, or once ``running`` says no.
    """
    start_s, start = time.monotonic(), time.time()
    waiting = list(ports)
    sampled = not {EXPORTER, PROMETHEUS} <= ports.keys()
    while running() and (waiting or not sampled):
        news = [Answer(part, _since(start_s)) for part in waiting if answers(part, ports[part])]
        answering = {answer.part for answer in news}
        waiting = [part for part in waiting if part not in answering]
        if not sampled and PROMETHEUS not in waiting:
            last = loopback.value(ports[PROMETHEUS], _LAST_SAMPLE)
            if last is not None and last >= start:
                sampled = True
                news.append(Answer(None, _since(start_s)))
        yield from news
        if not news:
            yield None
            time.sleep(_PAUSE_S)


def answers(part: Part, port: int) -> bool:
    """Whether the part says that it is ready."""
    try:
        loopback.get(port, part.ready)
    except OSError:
        return False
    return True


def _since(start_s: float) -> float:
    return time.monotonic() - start_s
