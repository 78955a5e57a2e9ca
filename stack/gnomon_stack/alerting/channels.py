"""The ways to reach people: each knows what it lacks, and its entry in Alertmanager's file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from gnomon_stack.alerting.secret import Secret

#: What can be sent, as `takes` names it.
KINDS = ("critical", "warning", "info", "cost")

Version = tuple[int, int]
Config = dict[str, Any]
#: Puts a secret into a file that Alertmanager may read, and returns its path.
Keep = Callable[[Secret], str]

# Since when Alertmanager takes a webhook's address from a file, and knows Teams' workflows.
_URL_FILE: Version = (0, 26)
_TEAMS: Version = (0, 28)


class Channel(Protocol):
    """One way. ``key`` is its list in a receiver; ``takes`` what it is sent, () for the default."""

    name: ClassVar[str]
    key: ClassVar[str]

    @property
    def takes(self) -> tuple[str, ...]:
        """What it is sent."""

    def lacks(self, version: Version) -> str:
        """Return what it needs before it is on; "" where it is on."""

    def config(self, version: Version, keep: Keep) -> Config:
        """Return its entry in a receiver's list."""


@dataclass(frozen=True, slots=True)
class Email:
    """Mail by an SMTP server. An empty username means that the server asks for none."""

    name: ClassVar[str] = "email"
    key: ClassVar[str] = "email_configs"
    to: tuple[str, ...]
    sender: str
    server: str
    username: str
    password: Secret
    tls: bool
    takes: tuple[str, ...]

    def lacks(self, version: Version) -> str:  # noqa: ARG002  # every version can
        """Return what it needs before it is on; "" where it is on."""
        for key, value in (("to", self.to), ("server", self.server), ("from", self.sender)):
            if not value:
                return f"email.{key}"
        return self.password.lacking if self.username else ""

    def config(self, version: Version, keep: Keep) -> Config:  # noqa: ARG002
        """Return its entry in a receiver's list."""
        login: Config = {}
        if self.username:
            login = {"auth_username": self.username, "auth_password_file": keep(self.password)}
        return {
            "to": ", ".join(self.to),
            "from": self.sender,
            "smarthost": self.server,
            "require_tls": self.tls,
            **login,
            "send_resolved": True,
            "headers": {"Subject": '{{ template "gnomon.mail.subject" . }}'},
            "html": '{{ template "gnomon.mail.html" . }}',
            "text": '{{ template "gnomon.mail.text" . }}',
        }


@dataclass(frozen=True, slots=True)
class Slack:
    """An incoming webhook of Slack. An empty channel means the webhook's own."""

    name: ClassVar[str] = "slack"
    key: ClassVar[str] = "slack_configs"
    url: Secret
    channel: str
    takes: tuple[str, ...]

    def lacks(self, version: Version) -> str:  # noqa: ARG002
        """Return what it needs before it is on; "" where it is on."""
        return self.url.lacking

    def config(self, version: Version, keep: Keep) -> Config:  # noqa: ARG002
        """Return its entry in a receiver's list."""
        return {
            "api_url_file": keep(self.url),
            **({"channel": self.channel} if self.channel else {}),
            "send_resolved": True,
            # No formatting in the text, for nothing could escape a label's asterisks; links work.
            "mrkdwn_in": ["pretext"],
            "color": '{{ template "gnomon.slack.color" . }}',
            "title": '{{ template "gnomon.slack.title" . }}',
            "title_link": '{{ template "gnomon.slack.link" . }}',
            "text": '{{ template "gnomon.slack.text" . }}',
            "fallback": '{{ template "gnomon.slack.title" . }}',
        }


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """A service's integration key (Events API v2). An empty address means PagerDuty's own."""

    name: ClassVar[str] = "pagerduty"
    key: ClassVar[str] = "pagerduty_configs"
    routing_key: Secret
    address: str
    takes: tuple[str, ...]

    def lacks(self, version: Version) -> str:  # noqa: ARG002
        """Return what it needs before it is on; "" where it is on."""
        return self.routing_key.lacking

    def config(self, version: Version, keep: Keep) -> Config:  # noqa: ARG002
        """Return its entry in a receiver's list."""
        return {
            "routing_key_file": keep(self.routing_key),
            **({"url": self.address} if self.address else {}),
            "send_resolved": True,
            "severity": '{{ template "gnomon.pagerduty.severity" . }}',
            "description": '{{ template "gnomon.title" . }}',
            "component": "{{ .CommonLabels.component }}",
            "group": "{{ .CommonLabels.service }}",
            "class": "{{ .CommonLabels.alertname }}",
            "client": "Gnomon",
            "client_url": '{{ template "gnomon.link.alertmanager" . }}',
            "details": {
                "alerts": '{{ template "gnomon.pagerduty.alerts" . }}',
                "runbook": '{{ template "gnomon.pagerduty.runbook" . }}',
                "dashboard": '{{ template "gnomon.pagerduty.dashboard" . }}',
                "silence": '{{ template "gnomon.link.silence" . }}',
            },
        }


@dataclass(frozen=True, slots=True)
class MsTeams:
    """A workflow of Microsoft Teams that posts what it is sent."""

    name: ClassVar[str] = "msteams"
    key: ClassVar[str] = "msteamsv2_configs"
    url: Secret
    takes: tuple[str, ...]

    def lacks(self, version: Version) -> str:
        """Return what it needs before it is on; "" where it is on."""
        if self.url.lacking or version >= _TEAMS:
            return self.url.lacking
        needed = ".".join(map(str, _TEAMS))
        here = ".".join(map(str, version))
        return f"Alertmanager {needed} or later; this one is {here}"

    def config(self, version: Version, keep: Keep) -> Config:  # noqa: ARG002
        """Return its entry in a receiver's list."""
        return {
            "webhook_url_file": keep(self.url),
            "send_resolved": True,
            "title": '{{ template "gnomon.msteams.title" . }}',
            "text": '{{ template "gnomon.msteams.text" . }}',
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """Anything that takes Alertmanager's JSON. token: sent as a bearer's, where there is one."""

    name: ClassVar[str] = "webhook"
    key: ClassVar[str] = "webhook_configs"
    url: Secret
    token: Secret
    takes: tuple[str, ...]
    resolved: bool = True

    def lacks(self, version: Version) -> str:  # noqa: ARG002
        """Return what it needs before it is on; "" where it is on."""
        return self.url.lacking

    def config(self, version: Version, keep: Keep) -> Config:
        """Return its entry in a receiver's list.

        Before 0.26 Alertmanager wants the address in its configuration, and shows it on its page.
        """
        login: Config = {}
        if self.token.text:
            login = {"http_config": {"authorization": {"credentials_file": keep(self.token)}}}
        place = {"url_file": keep(self.url)} if version >= _URL_FILE else {"url": self.url.text}
        return {**place, **login, "send_resolved": self.resolved}


@dataclass(frozen=True, slots=True)
class Escalation:
    """To whom an alert goes that nobody has taken, with the channels that carry it there."""

    email: Email
    slack: Slack
    webhook: Webhook

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All that may carry it."""
        return (self.email, self.slack, self.webhook)


@dataclass(frozen=True, slots=True)
class Receivers:
    """How one team, or everybody, is reached.

    services: whose alerts are a team's although they do not say so.
    """

    email: Email
    slack: Slack
    pagerduty: PagerDuty
    msteams: MsTeams
    webhook: Webhook
    escalation: Escalation
    services: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, those that wake people first."""
        return (self.pagerduty, self.slack, self.msteams, self.email, self.webhook)

    def on(self, version: Version) -> list[Channel]:
        """Return the channels that lack nothing."""
        return [channel for channel in self.channels if not channel.lacks(version)]

    def of(self, kind: str, version: Version) -> list[Channel]:
        """Return the channels that are on and take alerts of this kind.

        PagerDuty takes what is critical; information and cost go by mail, or where there is no
        mail to the chats; everything else goes everywhere.
        """
        on = self.on(version)
        has_mail = self.email in on
        return [
            channel
            for channel in on
            if kind in (channel.takes or _default(channel.name, has_mail=has_mail))
        ]

    def escalates(self, version: Version) -> list[Channel]:
        """Return what tells of an alert that nobody has taken: none where PagerDuty does."""
        if any(channel.name == PagerDuty.name for channel in self.of("critical", version)):
            return []
        return [channel for channel in self.escalation.channels if not channel.lacks(version)]


def _default(name: str, *, has_mail: bool) -> tuple[str, ...]:
    if name == PagerDuty.name:
        return ("critical",)
    if name in {Slack.name, MsTeams.name} and has_mail:
        return ("critical", "warning")
    return KINDS
