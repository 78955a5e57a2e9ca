"""A program that uses what is watched besides the demo, a little and steadily, until it is ended.

Its words are the ports of Redis, memcached, RabbitMQ and the desk, and PostgreSQL's address.
Redis: keys that come and go, jobs of RQ, tasks of Celery; memcached: hits, misses; RabbitMQ: queues
that are read and one that grows; PostgreSQL: a lock, so that a query is slow; the desk: faults, and
a WebSocket whose client is silent.
"""

import contextlib
import sys
import threading
import time
import urllib.request

import amqp
import psycopg
import redis
import rq
import websocket

import celery_app
from caches import say

_PAUSE_S = 2.0


def _redis(client, turn):
    client.set(f"session:{turn % 500}", "x" * 200, ex=120)
    client.get(f"session:{turn % 500}")
    client.get(f"session:{turn + 10_000}")  # is not there
    client.lpush("mail", turn)
    client.ltrim("mail", 0, 50)
    client.xadd("events", {"turn": turn}, maxlen=100)
    queue = rq.Queue("reports", connection=client)
    queue.enqueue("queue_jobs.broken" if turn % 10 == 5 else "queue_jobs.done")
    if turn % 5 == 0:
        rq.Queue("low", connection=client).enqueue("queue_jobs.slow", 0.5)


def _celery(app, turn):
    app.send_task("add", (turn, 1))
    if turn % 5 == 1:
        app.send_task("nap", (0.3,))
    if turn % 7 == 1:
        app.send_task("again")
    if turn % 11 == 1:
        app.send_task("fail")
    if turn % 3 == 1:
        app.send_task("nap", (0.1,), queue="unread")
        with app.connection_for_write() as connection:
            depth = connection.default_channel.client.llen("unread")
            if depth > 40:
                connection.default_channel.client.ltrim("unread", 0, 20)


def _memcached(port, turn):
    say(port, f"set page:{turn % 100} 0 60 5", "hello", f"get page:{turn % 100}", "get nowhere")


def _rabbitmq(channel, turn):
    for queue in ("orders", "mails"):
        channel.basic_publish(amqp.Message(f"{turn}"), "", queue)
    if turn % 50 == 49:
        channel.queue_purge("mails")
    with contextlib.suppress(TimeoutError, OSError):
        channel.connection.drain_events(timeout=0.05)


def _postgresql(address, turn):
    """Let whoever writes an evaluation wait a moment, now and then."""
    if turn % 10 == 3:
        with psycopg.connect(address) as connection:
            connection.execute("LOCK TABLE evaluations IN ACCESS EXCLUSIVE MODE")
            connection.execute("SELECT pg_sleep(0.8)")


def _faults(desk, turn):
    """Let a few requests fail: at once, and every ten minutes."""
    if turn % 300 == 5:
        request = urllib.request.Request(f"{desk}/faults/errors?seconds=8", method="POST")
        with urllib.request.urlopen(request, timeout=10):
            pass


def _silent(desk):
    """Watch prices without ever saying a word, until the desk gives up; then once more."""
    while True:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            socket = websocket.create_connection(f"{desk}/ws/prices", timeout=40)
            socket.send('{"subscribe": ["KELP"]}')
            while socket.recv():
                pass
        time.sleep(_PAUSE_S)


def _main(redis_port, memcached_port, rabbitmq_port, desk_port, postgresql):
    client = redis.Redis(port=int(redis_port))
    client.xgroup_create("events", "readers", mkstream=True)
    app = celery_app.application(f"redis://127.0.0.1:{redis_port}/1")
    connection = amqp.Connection(f"127.0.0.1:{rabbitmq_port}")
    connection.connect()
    channel = connection.channel()
    for queue in ("orders", "mails"):
        channel.queue_declare(queue, durable=True, auto_delete=False)
    channel.basic_consume("orders", callback=lambda _: None, no_ack=True)
    desk = f"127.0.0.1:{desk_port}"
    threading.Thread(target=_silent, args=(f"ws://{desk}",), daemon=True).start()
    turn = 0
    while True:
        turn += 1
        for use, what in (
            (_redis, client),
            (_celery, app),
            (_memcached, int(memcached_port)),
            (_rabbitmq, channel),
            (_postgresql, postgresql),
            (_faults, f"http://{desk}"),
        ):
            try:
                use(what, turn)
            except Exception as error:  # noqa: BLE001  # one that fails shall not end the others
                print(f"{use.__name__}: {error!r}", flush=True)  # noqa: T201
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    _main(*sys.argv[1:])
