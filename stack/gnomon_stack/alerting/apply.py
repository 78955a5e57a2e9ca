"""Renders, checks and puts into force; shows who is told of what."""

import http.client
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gnomon_stack import lock, programs, table
from gnomon_stack.alerting import example, pages, render, settings, version
from gnomon_stack.alerting.channels import KINDS, Receivers, Version
from gnomon_stack.alerting.reader import PREFIX
from gnomon_stack.alerting.settings import Settings
from gnomon_stack.home import Home
from gnomon_stack.parts import ALERTMANAGER, HOST, PROMETHEUS, Part
from gnomon_stack.trouble import Trouble

__all__ = ["PREFIX", "Prepared", "alert_config", "prepare", "reload"]

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `gnomon up` starts Alertmanager with.

    lead: words before its own. flags: what it is given besides. urls: by which people reach
    Alertmanager and Prometheus.
    """

    config: Path
    lead: tuple[str, ...]
    flags: tuple[str, ...]
    urls: dict[Part, str]


def prepare(
    home: Home,
    environ: Mapping[str, str],
    alertmanager: list[str] | None,
    say: Callable[[str], None],
) -> Prepared:
    """Render for the Alertmanager that the words start, and say who is told of alerts.

    Raise Trouble for settings that cannot be meant. Whether Alertmanager likes the result is for
    it to say: it is started again until it does, and the rest of the stack runs meanwhile.
    """
    found = version.of(alertmanager) if alertmanager else version.OLDEST
    wanted = settings.read(home.root, environ)
    path = render.write(home, render.render(home, wanted, found))
    names = sorted(
        {
            channel.name
            for receivers in (wanted.everybody, *wanted.teams.values())
            for channel in receivers.on(found)
        }
    )
    if names:
        say(f"Alerts go to {', '.join(names)}; `make test-notification RECEIVER={names[0]}` tries.")
    else:
        say("Alerts are shown here and sent to nobody yet: docs/alerting.md turns receivers on.")
    return Prepared(
        config=path,
        lead=() if wanted.timezone == "Local" else ("env", f"TZ={wanted.timezone}"),
        flags=pages.flags(home, alertmanager or []),
        urls={
            part: address
            for part, address in (
                (ALERTMANAGER, wanted.urls.alertmanager),
                (PROMETHEUS, wanted.urls.prometheus),
            )
            if address
        },
    )


def alert_config(home: Home, environ: Mapping[str, str], console: Console) -> None:
    """Render, check with amtool, put into force where a stack runs, and show who is told of what.

    Raise Trouble, with everything left as it was, where the settings or the result are no good.
    """

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    home.prepare()
    example.write(home.root, say)
    words = _words(home, "alertmanager")
    found = version.of(words) if words else version.OLDEST
    wanted = settings.read(home.root, environ)
    rendered = render.render(home, wanted, found)
    checked = _check(home, rendered)
    path = render.write(home, rendered)
    _show(wanted, found, console)
    named = ".".join(map(str, found)) if words else "0.25, for none is at hand"
    by = "checked by amtool" if checked else "not checked: amtool is not at hand"
    say(f"Rendered {path.relative_to(home.root)} for Alertmanager {named}; {by}.")
    running = lock.running(home.lock)
    if running is None or ALERTMANAGER.name not in running.ports:
        say("No stack runs here now; `make up` will use it.")
        return
    reload(running.ports[ALERTMANAGER.name])
    say("In force now. Changes of `urls` and `timezone` wait for the next `make up`.")


def reload(port: int) -> None:
    """Let the Alertmanager on ``port`` read its configuration again.

    Raise Trouble with what it says where it refuses, or where it does not answer.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE_S)
    try:
        connection.request("POST", "/-/reload")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except OSError as error:
        raise Trouble(f"Alertmanager does not answer on port {port}: {error}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Trouble(f"Alertmanager refuses the new configuration: {text}")


def _words(home: Home, name: str) -> list[str] | None:
    path = programs.find(name, home.programs)
    return programs.command(path, home.programs) if path else None


def _check(home: Home, rendered: render.Rendered) -> bool:
    """Let amtool read it beside the one in force; return whether there is an amtool."""
    words = _words(home, "amtool")
    if words is None:
        return False
    place = home.stack / f"alertmanager-check.{os.getpid()}"
    (place / "templates").mkdir(mode=0o700, parents=True)
    try:
        for name, text in rendered.templates.items():
            render.write_private(place / "templates" / name, text)
        render.write_private(place / "alertmanager.yml", rendered.text())
        done = subprocess.run(
            [*words, "check-config", "alertmanager.yml"],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if done.returncode:
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        lines = [line.strip() for line in said if "FAILED" in line or "error" in line]
        reason = "\n".join(lines) or "it does not say why"
        raise Trouble(f"amtool refuses what {render.SOURCE} has become:\n{reason}", code=2)
    return True


def _show(wanted: Settings, found: Version, console: Console) -> None:
    """Print what goes where, and what is off for want of what."""
    ways = table.plain("alerts", "go to", whole=("alerts",))
    owners = {"": wanted.everybody, **wanted.teams}
    for team, receivers in owners.items():
        of = f" of {team}" if team else ""
        for kind in KINDS:
            names = [channel.name for channel in receivers.of(kind, found)]
            ways.add_row(f"{kind}{of}", ", ".join(names) or "nobody: only the pages show them")
        ways.add_row(f"not taken{of}", _escalation(receivers, wanted, found))
    lacking = wanted.heartbeat.lacks(found)
    ways.add_row("heartbeat", f"off: needs {lacking}" if lacking else "on")
    console.print(ways)
    channels = table.plain("channel", "state", whole=("channel",))
    for team, receivers in owners.items():
        for channel in receivers.channels:
            lacks = channel.lacks(found)
            state = f"off: needs {lacks}" if lacks else "on"
            channels.add_row(f"{channel.name}{f' of {team}' if team else ''}", state)
    console.print(channels)


def _escalation(receivers: Receivers, wanted: Settings, found: Version) -> str:
    names = [channel.name for channel in receivers.escalates(found)]
    if names:
        return f"{', '.join(names)}, after {render.words(wanted.after_s)}"
    if any(channel.name == "pagerduty" for channel in receivers.of("critical", found)):
        return "PagerDuty escalates by its own rules"
    return "nobody: see `escalation` in docs/alerting.md"
