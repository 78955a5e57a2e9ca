"""A Celery application for the tests; the variable TEST_BROKER says where its broker is."""

import os
import time

from celery import Celery, Task


def application(broker: str | None) -> Celery:
    """Return an application whose clients and workers tell of each task."""
    made = Celery("test", broker=broker, set_as_current=False)
    made.conf.worker_send_task_events = True
    made.conf.task_send_sent_event = True
    made.conf.broker_connection_retry_on_startup = True
    return made


app = application(os.environ.get("TEST_BROKER"))


@app.task(name="add")
def add(a: int, b: int) -> int:
    """Succeed."""
    return a + b


@app.task(name="fail")
def fail() -> None:
    """Fail."""
    raise ValueError("as ordered")


@app.task(name="nap")
def nap(seconds: float) -> None:
    """Take time."""
    time.sleep(seconds)


@app.task(name="again", bind=True, max_retries=1)
def again(self: Task) -> None:
    """Fail at first, succeed at the second attempt."""
    if not self.request.retries:
        raise self.retry(countdown=0.2)
