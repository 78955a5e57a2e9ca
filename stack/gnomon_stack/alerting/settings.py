"""What alerting.yml, the environment and the files in alertmanager/secrets/ say."""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon_exporter.strict_yaml import (
    BOOL,
    DURATION,
    TEXT,
    ConfigError,
    Kind,
    list_of,
    load,
    one_of,
    parse,
)
from gnomon_stack.alerting import windows
from gnomon_stack.alerting.channels import (
    KINDS,
    Email,
    Escalation,
    MsTeams,
    PagerDuty,
    Receivers,
    Slack,
    Webhook,
)
from gnomon_stack.alerting.reader import Reader
from gnomon_stack.alerting.secret import (
    Secret,
    Secrets,
    line_problem,
    refuse_open,
    url_problem,
    word_problem,
)
from gnomon_stack.alerting.windows import Window
from gnomon_stack.parts import CONSOLE, HOST
from gnomon_stack.trouble import Trouble

NAME = "alerting.yml"

_HOURS = Window((0, 1, 2, 3, 4), 8 * 60, 18 * 60)
_AFTER_S = 30 * 60.0


@dataclass(frozen=True, slots=True)
class Urls:
    """Where people reach what messages link to; "" where nobody has said.

    dashboards: Grafana's or the console's address.
    """

    alertmanager: str
    prometheus: str
    runbooks: str
    dashboards: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. ``teams`` are the receivers of teams that have their own, by the team's name.

    team: whose an alert is that names none. after_s: how long an alert waits for somebody to take
    it before it is escalated.
    """

    team: str
    timezone: str
    hours: Window
    maintenance: tuple[Window, ...]
    urls: Urls
    everybody: Receivers
    teams: dict[str, Receivers]
    heartbeat: Webhook
    after_s: float


def read(root: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the checkout at ``root``.

    Raise Trouble, with the place and the remedy, for what cannot be meant: an unknown key or
    variable, a value of another kind, a file that others may read.
    """
    path = root / NAME
    try:
        if path.exists():
            refuse_open(path, NAME)
            section = load(str(path))
        else:
            section = parse(b"", NAME)
        top = Reader(section, environ)
        settings = _settings(top, Secrets(root), environ)
        top.finish()
    except ConfigError as error:
        raise Trouble(str(error).replace(str(path), NAME, 1), code=2) from None
    except OSError as error:
        raise Trouble(f"{NAME} cannot be read: {error.strerror}", code=2) from None
    return settings


def _settings(top: Reader, secrets: Secrets, environ: Mapping[str, str]) -> Settings:
    urls = top.section("urls")
    console = environ.get(CONSOLE.variable, "").strip() or CONSOLE.default_port
    escalation = top.section("escalation")
    everybody = _receivers(top, secrets, None, escalation=escalation)
    after_s = escalation.take("after", DURATION, _AFTER_S)
    if after_s < 1:
        raise escalation.error("after", f"{after_s:g} s", "at least 1s")
    heartbeat = top.section("heartbeat")
    teams = top.section("teams", variables=False)
    return Settings(
        team=top.take("team", _LABEL, ""),
        timezone=top.take("timezone", _TIMEZONE, "Local"),
        hours=windows.take(top.section("hours"), _HOURS),
        maintenance=tuple(windows.take(each, _HOURS) for each in top.sections("maintenance")),
        urls=Urls(
            alertmanager=urls.take("alertmanager", _URL, ""),
            prometheus=urls.take("prometheus", _URL, ""),
            runbooks=urls.take("runbooks", _URL, ""),
            dashboards=urls.take("dashboards", _URL, f"http://{HOST}:{console}"),
        ),
        everybody=everybody,
        teams={name: _team(teams, name, secrets, everybody) for name in teams},
        heartbeat=Webhook(
            url=secrets.take(heartbeat, "url", "heartbeat_url", default=None, check=url_problem),
            token=Secret("", "", ""),
            takes=(),
            resolved=False,
        ),
        after_s=after_s,
    )


def _receivers(
    reader: Reader,
    secrets: Secrets,
    base: Receivers | None,
    *,
    escalation: Reader,
    team: str = "",
) -> Receivers:
    """Return how somebody is reached; what is not said is as for everybody (``base``)."""

    def secret(section: Reader, key: str, name: str, default: Secret | None, check: Any) -> Secret:
        place = f"{team}/{name}" if team else name
        return secrets.take(section, key, place, default=default, check=check)

    nobodys: list[str] = []
    services = reader.take("services", _LABELS, nobodys) if team else nobodys
    mail = reader.section("email")
    to = mail.take("to", _ADDRESSES, list(base.email.to) if base else [])
    email = Email(
        to=tuple(to),
        sender=mail.take("from", _ADDRESS, base.email.sender if base else ""),
        server=mail.take("server", _SERVER, base.email.server if base else ""),
        username=mail.take("username", TEXT, base.email.username if base else ""),
        password=secret(
            mail, "password", "smtp_password", base.email.password if base else None, line_problem
        ),
        tls=mail.take("tls", BOOL, base.email.tls if base else True),
        takes=_takes(mail, base.email.takes if base else ()),
    )
    chat = reader.section("slack")
    slack = Slack(
        url=secret(chat, "url", "slack_url", base.slack.url if base else None, url_problem),
        channel=chat.take("channel", TEXT, base.slack.channel if base else ""),
        takes=_takes(chat, base.slack.takes if base else ()),
    )
    pager = reader.section("pagerduty")
    pagerduty = PagerDuty(
        routing_key=secret(
            pager,
            "key",
            "pagerduty_key",
            base.pagerduty.routing_key if base else None,
            word_problem,
        ),
        address=pager.take("address", _URL, base.pagerduty.address if base else ""),
        takes=_takes(pager, base.pagerduty.takes if base else ()),
    )
    teams = reader.section("msteams")
    msteams = MsTeams(
        url=secret(teams, "url", "msteams_url", base.msteams.url if base else None, url_problem),
        takes=_takes(teams, base.msteams.takes if base else ()),
    )
    hook = reader.section("webhook")
    webhook = Webhook(
        url=secret(hook, "url", "webhook_url", base.webhook.url if base else None, url_problem),
        token=secret(
            hook, "token", "webhook_token", base.webhook.token if base else None, word_problem
        ),
        takes=_takes(hook, base.webhook.takes if base else ()),
    )
    return Receivers(
        email=email,
        slack=slack,
        pagerduty=pagerduty,
        msteams=msteams,
        webhook=webhook,
        escalation=_escalation(escalation, secret, base, email, slack),
        services=tuple(services),
    )


def _escalation(
    reader: Reader, secret: Any, base: Receivers | None, email: Email, slack: Slack
) -> Escalation:
    """Return who is told of what nobody took: by the same server and webhook, to others."""
    above = base.escalation if base else None
    to = reader.take("email", _ADDRESSES, list(above.email.to) if above else [])
    channel = reader.take("slack_channel", TEXT, above.slack.channel if above else "")
    nothing = Secret(slack.url.name, "", "escalation.slack_channel")
    return Escalation(
        email=Email(
            to=tuple(to),
            sender=email.sender,
            server=email.server,
            username=email.username,
            password=email.password,
            tls=email.tls,
            takes=(),
        ),
        slack=Slack(url=slack.url if channel else nothing, channel=channel, takes=()),
        webhook=Webhook(
            url=secret(
                reader, "url", "escalation_url", above.webhook.url if above else None, url_problem
            ),
            token=Secret("", "", ""),
            takes=(),
        ),
    )


def _takes(reader: Reader, default: tuple[str, ...]) -> tuple[str, ...]:
    kinds = reader.take("takes", _KINDS, list(default))
    return tuple(kinds)


def _team(teams: Reader, name: str, secrets: Secrets, everybody: Receivers) -> Receivers:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise teams.error(name, "cannot name a team", "letters, digits, '_', '.' or '-'")
    team = teams.section(name)
    return _receivers(team, secrets, everybody, escalation=team.section("escalation"), team=name)


def _checked(pattern: str) -> Any:
    def read(node: Any) -> str:
        text = TEXT.read(node).strip()
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return read


def _read_timezone(node: Any) -> str:
    name = TEXT.read(node).strip()
    if name != "Local":
        try:
            zoneinfo.ZoneInfo(name)
        except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
            raise ValueError from None
    return name


_LABEL = Kind("a name without spaces around it", _checked(r"[^\s{}](?:[^\n{}]*[^\s{}])?"))
_LABELS: Kind[list[str]] = list_of(_LABEL)
_TIMEZONE = Kind("a time zone such as Europe/Berlin, or Local", _read_timezone)
_ADDRESS = Kind(
    "a mail address", _checked(r'[^\s,{}]+@[^\s,{}]+|[^\n,{}"]+ <[^\s,{}<>]+@[^\s,{}<>]+>')
)
_ADDRESSES: Kind[list[str]] = list_of(_ADDRESS)
_SERVER = Kind(
    "a mail server with its port, such as smtp.example.org:587",
    _checked(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"),
)
_URL = Kind("a URL, such as https://alerts.example.org", _checked(r"https?://[^\s\"'<>{}|\\]+"))
_KINDS = list_of(one_of(*KINDS))
