"""The queue on Celery, for desks that have a broker.

GNOMON_DEMO_CELERY is its address: redis://127.0.0.1:6379/0, or
amqp://user:password@127.0.0.1:5672// of RabbitMQ. The desk then only submits;
`python -m gnomon_demo worker` transcribes, on as many machines as share the data folder and the
database.
"""

import asyncio
from functools import cache, partial

from celery import Celery, Task  # type: ignore[import-untyped]  # it ships no types

import gnomon
from gnomon_demo import logs
from gnomon_demo.audio import NotAudio
from gnomon_demo.database import Database
from gnomon_demo.faults import Faults
from gnomon_demo.queueing import PAUSE_S, PRIORITIES, TRIES, WORKERS, Transcriptions
from gnomon_demo.quotes import Exchange
from gnomon_demo.settings import settings

_LOWEST = len(PRIORITIES) - 1
_BROKER = settings().celery or ""
_REDIS = _BROKER.startswith(("redis", "rediss"))

app = Celery("desk", broker=_BROKER or None, set_as_current=False)
app.conf.update(
    # A broker that is gone without a word is noticed after two beats.
    broker_heartbeat=15,
    broker_connection_retry_on_startup=True,
    # Redis has no priorities of its own: a list for each, 0 first. RabbitMQ has, the highest first,
    # and says of each message whether it has it.
    broker_transport_options={"queue_order_strategy": "priority", "priority_steps": [0, 1, 2]}
    if _REDIS
    else {"confirm_publish": True},
    task_acks_late=True,
    task_default_queue="transcriptions",
    task_ignore_result=True,
    task_queue_max_priority=None if _REDIS else _LOWEST,
    task_send_sent_event=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)


async def submit(recording: str, rank: int) -> None:
    """Queue a recording. Raises kombu's OperationalError where the broker cannot be reached."""
    priority = rank if _REDIS else _LOWEST - rank
    send = partial(
        transcribe.apply_async,
        (recording,),
        priority=priority,
        retry=False,
        headers=gnomon.trace_headers(),  # the worker's part belongs to this request's trace
    )
    await asyncio.to_thread(send)


@app.task(bind=True, name="transcribe", max_retries=TRIES - 1)  # type: ignore[untyped-decorator]
@gnomon.job("transcribe")
def transcribe(task: Task, recording: str) -> None:
    """Transcribe a recording; another try follows where that may help."""
    loop, transcriptions, faults = _here()
    loop.run_until_complete(faults.look())
    tries = task.request.retries
    try:
        loop.run_until_complete(transcriptions.one(recording, tries))
    except NotAudio as error:
        loop.run_until_complete(transcriptions.give_up(recording, str(error)))
        raise
    except Exception as error:
        if tries + 1 == TRIES:
            loop.run_until_complete(transcriptions.give_up(recording, repr(error)))
            raise
        raise task.retry(exc=error, countdown=PAUSE_S * 2**tries) from error


@cache
def _here() -> tuple[asyncio.AbstractEventLoop, Transcriptions, Faults]:
    """Return what each of Celery's processes makes once for itself."""
    chosen = settings()
    faults = Faults(chosen.faults)
    transcriptions = Transcriptions(
        Database(chosen.database),
        chosen.transcripts,
        chosen.uploads,
        faults,
        Exchange(chosen.exchange),
    )
    return asyncio.new_event_loop(), transcriptions, faults


def work() -> None:
    """Run Celery's worker until it is stopped; its metrics are on a page of their own."""
    chosen = settings()
    chosen.prepare()
    logs.begin("desk-worker")
    with gnomon.expose(service="desk-worker", address=chosen.listen, port=chosen.worker_port):
        app.worker_main(["worker", "--concurrency", str(WORKERS), "--loglevel", "WARNING"])
