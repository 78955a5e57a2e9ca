"""Fills alertmanager/alertmanager.yml with the receivers of the settings."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gnomon_stack.alerting.channels import Channel, Receivers, Version
from gnomon_stack.alerting.secret import Secret
from gnomon_stack.alerting.settings import Settings
from gnomon_stack.home import Home
from gnomon_stack.trouble import Trouble

SOURCE = Path("alertmanager/alertmanager.yml")

_HEAD = """\
# Made by `make alert-config` from alertmanager/alertmanager.yml, alerting.yml and the secrets'
# files. Edit those, not this one.
"""

# The receivers that people are behind, with what goes there. `escalation` is filled apart.
_ROLES = {"critical": "critical", "warning": "warning", "info": "info", "cost": "cost"}

# Stand-ins in the templates, which have no other way to learn a setting.
_RUNBOOKS, _DASHBOARDS = "gnomon:runbooks", "gnomon:dashboards"
_TEAM, _AFTER = "gnomon:team", "gnomon:after"


@dataclass(slots=True)
class Rendered:
    """What Alertmanager reads: its configuration, its templates, and a file for each secret."""

    config: dict[str, Any]
    templates: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the configuration as the file that it is written to."""
        return _HEAD + yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True, width=100)


def folder(home: Home) -> Path:
    """Return where the rendered files lie; only this user may look inside."""
    return home.stack / "alertmanager"


def render(home: Home, settings: Settings, version: Version, place: Path | None = None) -> Rendered:
    """Return what an Alertmanager of this version shall read.

    place: the folder in which it will find that, where that is not the one below .stack.

    Raise Trouble where alertmanager.yml has no place for what the settings say.
    """
    source = _load(home.root / SOURCE)
    secrets: dict[str, str] = {}

    def keep(secret: Secret) -> str:
        name = secret.name.replace("/", ".")
        secrets[name] = secret.text
        return str((place or folder(home)) / "secrets" / name)

    def entries(channels: list[Channel]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for channel in channels:
            found.setdefault(channel.key, []).append(channel.config(version, keep))
        return found

    receivers = {each["name"]: each for each in source["receivers"]}

    def fill(name: str, channels: list[Channel]) -> None:
        if name not in receivers and channels:
            raise Trouble(
                f"{SOURCE} has no receiver called {name}, which alerting.yml fills: "
                f"add `- name: {name}` to its receivers",
                code=2,
            )
        for key, configs in entries(channels).items():
            receivers[name].setdefault(key, []).extend(configs)

    for role in (*_ROLES, "escalation"):
        fill(role, _channels(settings.everybody, role, version))
    fill("heartbeat", [] if settings.heartbeat.lacks(version) else [settings.heartbeat])
    for team, own in settings.teams.items():
        for role in (*_ROLES, "escalation"):
            name = f"{role}/{team}"
            source["receivers"].append({"name": name, **entries(_channels(own, role, version))})
            _route(source["route"], role, team, _whose(settings, team))
    for route in _routes(source["route"]):
        if route.get("receiver", "").partition("/")[0] == "escalation":
            route["group_wait"] = _duration(settings.after_s)
    _set_times(source, settings)
    source["templates"] = ["templates/*.tmpl"]
    return Rendered(source, templates(home, settings), secrets)


def write(home: Home, rendered: Rendered, place: Path | None = None) -> Path:
    """Write the files, for this user alone; return the configuration's path.

    They go below .stack, or into the folder ``place``. The configuration comes last, for whoever
    reads it reads the others, too.
    """
    place = place or folder(home)
    for name in ("", "templates", "secrets"):
        (place / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / name).chmod(0o700)
    for name, files in (("templates", rendered.templates), ("secrets", rendered.secrets)):
        for file, text in files.items():
            write_private(place / name / file, text)
        for path in (place / name).iterdir():
            if path.name not in files:
                path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    path = place / SOURCE.name
    write_private(path, rendered.text())
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at no moment otherwise, and never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    os.replace(beside, path)


def _load(path: Path) -> dict[str, Any]:
    """Return alertmanager.yml, with what the renderer needs of it checked."""
    try:
        source = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}", code=2) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Trouble(f"{path} is not YAML: {reason}", code=2) from None
    if not isinstance(source, dict):
        raise Trouble(f"{path} is empty or no mapping", code=2)
    for key, kind in (("route", dict), ("receivers", list)):
        if not isinstance(source.get(key), kind):
            raise Trouble(f"{path} has no {key!r}: see docs/alerting.md", code=2)
    return source


def _channels(receivers: Receivers, role: str, version: Version) -> list[Channel]:
    if role == "escalation":
        return receivers.escalates(version)
    return receivers.of(_ROLES[role], version)


def _routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a route and all below it."""
    yield route
    for child in route.get("routes") or []:
        yield from _routes(child)


def _whose(settings: Settings, team: str) -> list[list[str]]:
    """Return the matchers of a team's alerts: its own, its services', and what nobody owns."""
    nobody = _matcher("team", "")
    found = [[_matcher("team", team)]]
    found += [[nobody, _matcher("service", each)] for each in settings.teams[team].services]
    return [*found, [nobody]] if team == settings.team else found


def _matcher(label: str, value: str) -> str:
    return f"{label} = {json.dumps(value, ensure_ascii=False)}"


def _route(root: dict[str, Any], role: str, team: str, whose: list[list[str]]) -> None:
    """Let alerts of the team go from each route of this role to the team's own receiver.

    Who owns what nobody has named comes last, behind the services of all teams.
    """
    for route in list(_routes(root)):
        if route.get("receiver") != role:
            continue
        # Times are what a route does not get from the one above it.
        times = {key: route[key] for key in route if key.endswith("_time_intervals")}
        children = route.setdefault("routes", [])
        for matchers in whose:
            child = {"matchers": matchers, "receiver": f"{role}/{team}", **times}
            children.append(child)
        children.sort(key=lambda child: child.get("matchers") == [_matcher("team", "")])


def _set_times(source: dict[str, Any], settings: Settings) -> None:
    wanted = {
        "hours": settings.hours.intervals(settings.timezone),
        "digest": settings.hours.first_hour().intervals(settings.timezone),
        "maintenance": [
            interval
            for window in settings.maintenance
            for interval in window.intervals(settings.timezone)
        ],
    }
    for each in source.get("time_intervals") or []:
        if each.get("name") in wanted:
            each["time_intervals"] = wanted[each["name"]]


def templates(home: Home, settings: Settings) -> dict[str, str]:
    """Return the templates with the settings in them."""
    runbooks = settings.urls.runbooks
    said = {
        _RUNBOOKS: f"{runbooks.rstrip('/')}/" if runbooks else _RUNBOOKS,
        # Their paths begin with a slash.
        _DASHBOARDS: settings.urls.dashboards.rstrip("/") or _DASHBOARDS,
        _TEAM: settings.team or _TEAM,
        _AFTER: words(settings.after_s),
    }
    found = {}
    for path in sorted((home.root / "alertmanager/templates").glob("*.tmpl")):
        text = path.read_text()
        for token, value in said.items():
            # They stand within Go's string literals, whose escapes are JSON's.
            text = text.replace(token, json.dumps(value, ensure_ascii=False)[1:-1])
        found[path.name] = text
    return found


def _duration(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


def words(seconds: float) -> str:
    """Return a time as people say it."""
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{seconds:g} seconds"
