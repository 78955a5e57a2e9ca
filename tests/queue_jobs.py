"""What the workers of the tests do: RQ's jobs."""

import time


def done() -> str:
    """Succeed."""
    return "done"


def broken() -> None:
    """Fail."""
    raise ValueError("as ordered")


def slow(seconds: float) -> None:
    """Take time."""
    time.sleep(seconds)
