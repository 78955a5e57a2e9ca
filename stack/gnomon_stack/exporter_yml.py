"""exporter.yml on the first `make up`: what this machine has is on, the rest a line away."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gnomon_stack import discover
from gnomon_stack.discover import Found, Ports
from gnomon_stack.parts import HOST

NAME = "exporter.yml"

_HEAD = """\
# What gnomon-exporter collects here beside the host's own metrics, which need no line. Written
# once by `make up`, from what was found on this machine; from then on it is yours. To add what
# stands in a comment, take the "# " off its line. Then
#
#   .venv/bin/gnomon-exporter check-config --config.file exporter.yml    says what would run
#   .venv/bin/supervisorctl signal HUP exporter                          puts it into force
#
# .venv/bin/gnomon-exporter --help lists every collector with its settings.

collectors:
"""

_REST = """
  # Several servers of one kind, in place of the one line above: each has a name, and a page of its
  # own, which the job "probe" in prometheus/prometheus.yml scrapes.
  # redis: {targets: {sessions: {address: "10.0.0.5:6379"}, cache: {address: "10.0.0.6:6379"}}}

  # Control groups: limits and use of services, containers and pods.
  # cgroup: {}

  # Processes by name, a group each: CPU, memory, IO, threads, open files.
  # processes: {names: [python3, gunicorn, uvicorn]}
"""


def write(root: Path, say: Callable[[str], None], ports: Ports | None = None) -> None:
    """Write the file into a checkout that has none; one that is there stays as it is."""
    path = root / NAME
    if os.path.lexists(path):
        return
    found = discover.look(ports or Ports())
    # Whole or not at all: a file that is there is never written again.
    new = path.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(text(found, ports or Ports()))
        with contextlib.suppress(FileExistsError):  # somebody was faster
            os.link(new, path)
    except OSError as error:
        say(f"{NAME} cannot be written ({error.strerror}): only the host is collected.")
        return
    finally:
        new.unlink(missing_ok=True)
    say(f"Wrote {NAME}: {_told(found)}")


def _told(found: Found) -> str:
    """Return what was found, what the file makes of it, and what to do for more."""
    here = {
        "GPUs": found.gpus,
        "Redis": found.redis,
        "Celery": found.celery,
        "RQ": found.rq,
        "memcached": found.memcached,
    }
    on = [name for name, is_on in here.items() if is_on]
    if on:
        told = f"{_listed(on, 'and')} found here, collected beside this host's own metrics."
    elif found.redis_locked:
        told = "only this host is collected yet."
    else:
        told = f"no {_listed(list(here), 'or')} found here, so only this host is collected."
    if found.redis_locked:
        told += " A Redis here wants a password, as its line shows."
    return f'{told} To collect more, take the "# " off a line there.'


def _listed(names: Sequence[str], word: str) -> str:
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last


def text(found: Found, ports: Ports) -> str:
    """Return the file."""
    return _HEAD + "\n".join(_servers(found, ports)) + _REST


def _servers(found: Found, ports: Ports) -> Iterator[str]:
    yield "  # NVIDIA GPUs are collected wherever there are any; this makes fewer a failure."
    yield _line(f"gpu: {{expected: {found.gpus or 1}}}", on=found.gpus > 0)
    yield ""
    place = f"{HOST}:{ports.redis}"
    if found.redis_locked:
        yield f"  # Redis: one answers on {place} and asks for a password, to be put into a file."
    else:
        yield f"  # Redis or Valkey: {_answers(place, here=found.redis)}."
    login = ', password_file: "/etc/gnomon/redis.password"' if found.redis_locked else ""
    yield _line(f'redis: {{address: "redis://{place}"{login}}}', on=found.redis)
    yield ""
    yield f"  # Celery: {_queues(here=found.celery)} in that Redis. Workers must send events (-E)."
    broker = f'"redis://{place}"{login}'
    if found.amqp and not (found.redis or found.redis_locked):
        broker = f'"amqp://{HOST}:{ports.amqp}"'
    yield _line(f"celery: {{address: {broker}}}", on=found.celery)
    yield ""
    yield f"  # RQ: {_queues(here=found.rq)} in that Redis."
    yield _line(f'rq: {{address: "redis://{place}"{login}}}', on=found.rq)
    yield ""
    place = f"{HOST}:{ports.memcached}"
    yield f"  # memcached: {_answers(place, here=found.memcached)}."
    yield _line(f'memcached: {{address: "{place}"}}', on=found.memcached)
    yield ""
    place = f"{HOST}:{ports.amqp}"
    yield f"  # An AMQP broker: {_answers(place, here=found.amqp)}. RabbitMQ reports itself by"
    yield "  # its plugin and a scrape job (prometheus/targets/rabbitmq): it needs no line here.\n"


def _answers(place: str, *, here: bool) -> str:
    return f"one answers on {place}" if here else f"none answered on {place}"


def _queues(*, here: bool) -> str:
    return "its queues are" if here else "none of its queues is"


def _line(setting: str, *, on: bool) -> str:
    return f"  {'' if on else '# '}{setting}"
