"""What Celery and RQ know of the job that runs here: which attempt it is, who submitted it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from gnomon import guard, traces

if TYPE_CHECKING:
    from collections.abc import Mapping


class Submitted(NamedTuple):
    """A job as its library tells of it.

    retries: attempts before this one, at least. headers: the submitter's trace.
    """

    retries: int
    headers: dict[str, str]


NOWHERE = Submitted(0, {})


def submitted() -> Submitted:
    """Return what is known of the job that runs here. Never raises."""
    try:
        return _of_celery() or _of_rq() or NOWHERE
    except Exception:
        guard.failed("job's submitter")
        return NOWHERE


def _of_celery() -> Submitted | None:
    celery = sys.modules.get("celery._state")
    task: Any = celery.get_current_task() if celery is not None else None
    if task is None:
        return None
    request = task.request
    headers: dict[str, Any] = {}
    for field in ("traceparent", "tracestate"):
        headers[field] = getattr(request, field, None)
    own: Mapping[str, Any] = getattr(request, "headers", None) or {}
    found = traces.kept(headers) or traces.kept(own)
    return Submitted(int(request.retries or 0), found)


def _of_rq() -> Submitted | None:
    rq = sys.modules.get("rq.job")
    job: Any = rq.get_current_job() if rq is not None else None
    if job is None:
        return None
    # RQ counts those attempts that the job's function asked for, not those after a failure: of
    # them remains only that the job has ended before, as does one that is repeated as planned.
    retries = getattr(job, "number_of_retries", None) or 0
    if not retries and getattr(job, "repeats_left", None) is None and job.ended_at is not None:
        retries = 1
    return Submitted(retries, traces.kept(job.meta or {}))
