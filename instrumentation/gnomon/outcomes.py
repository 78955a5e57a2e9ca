"""What becomes of a piece of work: one word, the same for jobs and batches."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Literal

Outcome = Literal["success", "failure", "timeout", "cancelled"]

#: Exceptions of worker libraries that say that a job's time was up.
_TIMEOUTS = frozenset({"JobTimeoutException", "SoftTimeLimitExceeded", "TimeLimitExceeded"})

#: What celery raises to leave a task without a result.
_LEFT = frozenset({"Ignore", "Reject"})


def outcome_of(error: BaseException | None) -> Outcome:
    """Return how work ended that raised ``error``, None for nothing."""
    if error is None:
        return "success"
    kind = type(error)
    if isinstance(error, TimeoutError) or (
        kind.__name__ in _TIMEOUTS and kind.__module__.startswith(("billiard", "celery", "rq"))
    ):
        return "timeout"
    if isinstance(error, CancelledError | KeyboardInterrupt | GeneratorExit) or (
        kind.__name__ in _LEFT and kind.__module__.startswith("celery")
    ):
        return "cancelled"
    if isinstance(error, SystemExit):
        return "failure" if error.code else "cancelled"
    return "failure"
