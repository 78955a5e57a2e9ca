"""Sends one message through a channel, by an Alertmanager of its own, to see that it arrives."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from gnomon_stack import loopback, ports, programs
from gnomon_stack.alerting import render, settings, version
from gnomon_stack.alerting.channels import KINDS, Channel, Receivers, Version
from gnomon_stack.alerting.settings import Settings
from gnomon_stack.home import Home
from gnomon_stack.parts import ALERTMANAGER, HOST, url
from gnomon_stack.supervise import lead
from gnomon_stack.trouble import Trouble

#: The name of what is sent.
ALERT = "TestNotification"

# Mail servers may take their time before they greet; a lookup that fails is tried again.
_START_S, _DELIVERY_S, _PAUSE_S = 30.0, 30.0, 0.1
# So long an attempt that failed may be tried again before it is called a failure.
_RETRIED_S = 5.0

_TRIES = "alertmanager_notification_requests_total"
_FAILURES = "alertmanager_notification_requests_failed_total"
_REFUSALS = "alertmanager_notifications_failed_total"

# How an attempt that is to be tried again is logged, and how one that is not.
_ERROR = re.compile(r'\berr="((?:[^"\\]|\\.)*)"')
_TRIED = re.compile(r'integration="?(\w+)\[\d+\]')
_GIVEN_UP = re.compile(r"(\w+)\[\d+\]: (.+?)(?=; \S+\[\d+\]: |$)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the message on one kind of channel; error is "" where it was accepted."""

    channel: str
    error: str


def test_notification(
    home: Home, environ: Mapping[str, str], receiver: str, say: Callable[[str], None]
) -> None:
    """Send a message to a receiver (a channel, or what is sent there) and say what became of it.

    Raise Trouble where the receiver is unknown or off, or did not take the message.
    """
    home.prepare()
    path = programs.find("alertmanager", home.programs)
    if path is None:
        raise Trouble("alertmanager is neither on PATH nor fetched: run `make up` once")
    words = programs.command(path, home.programs, lead=lead("TERM"))
    found = version.of(programs.command(path, home.programs))
    wanted = settings.read(home.root, environ)
    channels = _resolve(wanted, receiver, found)
    team = receiver.partition("/")[2]
    labels = _labels(receiver, team)
    say(f"Sending {ALERT} to {', '.join(channel.name for channel in channels)} …")
    outcomes = _send(home, wanted, channels, found=found, words=words, labels=labels)
    for outcome in outcomes:
        if not outcome.error:
            say(f"{outcome.channel}: accepted. Look whether it is there.")
    if failed := [outcome for outcome in outcomes if outcome.error]:
        raise Trouble("\n".join(f"{each.channel}: {each.error}" for each in failed))


def _resolve(wanted: Settings, receiver: str, found: Version) -> list[Channel]:
    """Return the channels that a name means; raise Trouble where none of them is on."""
    name, _, team = receiver.partition("/")
    if team and team not in wanted.teams:
        teams = ", ".join(wanted.teams) or "alerting.yml names none"
        raise Trouble(f"RECEIVER={receiver}: no such team; expected one of: {teams}", code=2)
    owner: Receivers = wanted.teams[team] if team else wanted.everybody
    single: dict[str, Channel] = {channel.name: channel for channel in owner.channels}
    if not team:
        single["heartbeat"] = wanted.heartbeat
    if name in single:
        if lacks := single[name].lacks(found):
            raise Trouble(f"{receiver} is off: it needs {lacks}")
        return [single[name]]
    if name in KINDS:
        channels = owner.of(name, found)
    elif name == "escalation":
        channels = owner.escalates(found)
    else:
        known = ", ".join([*single, *KINDS, "escalation"])
        raise Trouble(f"RECEIVER={receiver}: expected one of {known}, or one/TEAM", code=2)
    if not channels:
        raise Trouble(f"{receiver} is off: no channel takes it; `make alert-config` shows why")
    return channels


def _labels(receiver: str, team: str) -> dict[str, str]:
    name = receiver.partition("/")[0]
    return {
        "alertname": ALERT,
        "severity": name if name in {"warning", "info"} else "critical",
        "service": "gnomon",
        "component": "cost" if name == "cost" else "notifications",
        **({"team": team} if team else {}),
    }


def _send(
    home: Home,
    wanted: Settings,
    channels: list[Channel],
    *,
    found: Version,
    words: list[str],
    labels: dict[str, str],
) -> list[Outcome]:
    """Return what became of the alert on each kind of channel."""
    place = home.stack / f"alertmanager-test.{os.getpid()}"
    secrets: dict[str, str] = {}

    def keep(secret: Any) -> str:
        name = secret.name.replace("/", ".")
        secrets[name] = secret.text
        return str(place / "secrets" / name)

    receiver: dict[str, Any] = {"name": "test"}
    for channel in channels:
        receiver.setdefault(channel.key, []).append(channel.config(found, keep))
    quick = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    config = {
        "templates": ["templates/*.tmpl"],
        "route": {"receiver": "test", "group_by": ["alertname"], **quick},
        "receivers": [receiver],
    }
    rendered = render.Rendered(config, render.templates(home, wanted), secrets)
    hidden = [*secrets.values(), *(c.url.text for c in channels if hasattr(c, "url"))]
    try:
        path = render.write(home, rendered, place)
        with _alertmanager(place, path, words, _external(wanted)) as port:
            _post(port, labels, over=False)
            outcomes = _outcomes(port, channels, place / "log", hidden)
            # Whoever opened an incident for it closes it; nobody waits for that to be answered.
            _post(port, labels, over=True)
            _wait(lambda: _counted(port, _TRIES) > len(channels), 3.0)
            return outcomes
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _external(wanted: Settings) -> str:
    return wanted.urls.alertmanager or url(ALERTMANAGER.default_port)


@contextmanager
def _alertmanager(place: Path, config: Path, words: list[str], external: str) -> Iterator[int]:
    """Run an Alertmanager on a free port of loopback; yield the port."""
    port = ports.free()
    arguments = [
        f"--config.file={config}",
        f"--storage.path={place}/data",
        "--cluster.listen-address=",
        f"--web.listen-address={HOST}:{port}",
        f"--web.external-url={external}",
        "--web.route-prefix=/",
    ]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        if not _wait(lambda: _ready(port) or process.poll() is not None, _START_S):
            raise Trouble("Alertmanager did not start")
        if process.poll() is not None:
            last = (place / "log").read_text(errors="replace").strip().splitlines()[-1:]
            raise Trouble(f"Alertmanager ended: {''.join(last)}")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(port: int) -> bool:
    try:
        loopback.get(port, "/-/ready")
    except OSError:
        return False
    return True


def _post(port: int, labels: dict[str, str], *, over: bool) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": labels,
        "annotations": {
            "summary": "A test: this is how an alert arrives",
            "description": (
                f"Sent from {socket.gethostname()} by `make test-notification`. Nothing is wrong, "
                "and nothing needs to be done."
            ),
            "runbook_url": "docs/alerting.md",
        },
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        **({"endsAt": now.isoformat()} if over else {}),
    }
    request = urllib.request.Request(  # noqa: S310  # to loopback
        f"{url(port)}/api/v2/alerts",
        json.dumps([alert]).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request, timeout=10).close()
    except urllib.error.URLError as error:
        raise Trouble(f"Alertmanager does not take the alert: {error}") from None


def _outcomes(port: int, channels: list[Channel], log: Path, hidden: list[str]) -> list[Outcome]:
    """Wait until every channel has taken its message, has refused it, or the time is over."""
    kinds = {channel.key.removesuffix("_configs"): channel.name for channel in channels}
    refused_at = time.monotonic() + _RETRIED_S

    def taken(kind: str) -> bool:
        wanted = sum(channel.key == f"{kind}_configs" for channel in channels)
        done = _counted(port, _TRIES, kind) - _counted(port, _FAILURES, kind)
        return done >= wanted

    def settled(kind: str) -> bool:
        if taken(kind) or _counted(port, _REFUSALS, kind):
            return True
        return time.monotonic() > refused_at and _counted(port, _FAILURES, kind) > 0

    _wait(lambda: all(map(settled, kinds)), _DELIVERY_S)
    good = {kind for kind in kinds if taken(kind)}
    errors = _errors(log, hidden)
    silent = f"no answer within {_DELIVERY_S:.0f} s"
    return [
        Outcome(name, "" if kind in good else errors.get(kind, silent))
        for kind, name in kinds.items()
    ]


def _counted(port: int, name: str, kind: str = "") -> float:
    """Return one of Alertmanager's counters, of one kind of channel or of all."""
    try:
        page = loopback.get(port, "/metrics").decode()
    except OSError:
        return 0.0
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(f"{name}{{") and (not kind or f'integration="{kind}"' in line)
    )


def _errors(log: Path, hidden: list[str]) -> dict[str, str]:
    """Return the last error of each kind of channel, with no secret in it."""
    found = {}
    for line in log.read_text(errors="replace").splitlines():
        if not (error := _ERROR.search(line)):
            continue
        text = str(yaml.safe_load(f'"{error[1]}"'))
        for secret in hidden:
            text = text.replace(secret, "…") if secret else text
        if tried := _TRIED.search(line):
            found[tried[1]] = text
        else:
            found.update(_GIVEN_UP.findall(text))
    return found


def _wait(holds: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(_PAUSE_S)
    return held
