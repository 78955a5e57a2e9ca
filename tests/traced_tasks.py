"""A Celery application whose workers are traced; the variable TEST_BROKER says where it is."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

import gnomon

app = Celery("traced", broker=os.environ.get("TEST_BROKER"), set_as_current=False)
app.conf.broker_connection_retry_on_startup = True


@worker_init.connect
def begin(**_: Any) -> None:
    """Trace what this worker, and what it forks, does."""
    gnomon.expose(service="tasks")


@app.task(name="add")
def add(a: int, b: int) -> int:
    """Succeed, with a span of the task's own."""
    from opentelemetry import trace

    with trace.get_tracer("app").start_as_current_span("sum"):
        return a + b
