"""The messages, rendered by a real Alertmanager: what they show, what labels cannot do to them."""

import html.parser
import json
import re
import urllib.parse

import pytest

from gnomon_stack.alerting import version
from servers import program, until

QUICK = (
    (r"group_wait: (30s|10s)\n", "group_wait: 1s\n"),
    (r"group_interval: 1m\n", "group_interval: 1s\n"),
)

ANNOTATIONS = {
    "summary": "/srv on db1 is almost full",
    "description": "1.8 % of /srv is left on db1. Writes are about to fail.",
    "runbook_url": "docs/runbooks/host.md#hostfilesystemalmostfull",
    "dashboard_url": "https://grafana.example.org/d/host?var-instance=db1",
}
LABELS = {
    "alertname": "HostFilesystemAlmostFull",
    "severity": "critical",
    "service": "host",
    "component": "filesystem",
    "instance": "db1",
    "mountpoint": "/srv",
}

# What a label may be, if somebody who can name a file system, a queue or a host means ill.
HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(2)> <!channel> <https://evil.example|ok> '
    "[click](https://evil.example) *b* _i_ `c` {{ .ExternalURL }} 'q' \\\" & | ü"
    "\r\nBcc: x@evil.example"
)


class _Page(html.parser.HTMLParser):
    """The elements, links and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.links, self.attributes, self.words = [], {}, set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._href = dict(attrs).get("href")

    def handle_endtag(self, tag):
        if tag == "a":
            self._href = None

    def handle_data(self, data):
        self.words.append(data)
        if self.elements and self.elements[-1] == "a" and self._href and data.strip():
            self.links.setdefault(data.strip(), self._href)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


class _Told:
    """What every channel was told of the same alerts."""

    def __init__(self, house, mails, hooks):
        self.teams = version.of(program("alertmanager")) >= (0, 28)
        said = {
            "email_to": "ops@example.org",
            "email_from": "alerts@example.org",
            "email_server": mails.address,
            "email_tls": "no",
            "slack_url": hooks.url("/slack"),
            "pagerduty_key": "k" * 32,
            "pagerduty_address": hooks.url("/pagerduty"),
            "msteams_url": hooks.url("/teams"),
            "urls_runbooks": "https://git.example.org/gnomon/blob/main",
            "team": 'The "platform" team',
            "timezone": "UTC",
        }
        self.mails, self.hooks = mails, hooks
        self.alertmanager = house.start(house.render(QUICK, **said))

    def of(self, *labels, over=False, **annotations):
        """Send the alerts; return the mail and the bodies for Slack, PagerDuty and Teams."""
        before = len(self.mails.mails), len(self.hooks.posted)
        count = 3 if self.teams else 2
        self.alertmanager.post(*labels, over=over, **annotations)
        until(lambda: len(self.mails.mails) > before[0])
        until(lambda: len(self.hooks.posted) >= before[1] + count)
        [slack], [pager] = self.hooks.at("/slack")[-1:], self.hooks.at("/pagerduty")[-1:]
        teams = self.hooks.at("/teams")[-1] if self.teams else None
        return self.mails.mails[-1], slack["attachments"][0], pager, teams


@pytest.fixture
def told(house, mails, hooks):
    """Every channel on, and told by one Alertmanager."""
    return _Told(house, mails, hooks)


def _page(mail):
    return _Page(mail.get_body(("html",)).get_content())


def _silence(link):
    """Return the matchers in the address of a silence."""
    place, _, fragment = link.partition("#")
    assert place == "https://alerts.example.org/"
    path, _, query = fragment.partition("?")
    assert path == "/silences/new"
    assert query.startswith("filter=")
    text = urllib.parse.unquote(query.removeprefix("filter="))
    assert (text[0], text[-1]) == ("{", "}")
    found = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")(?:,|$)', text[1:-1])
    return {name: json.loads(value) for name, value in found}


def test_a_message_says_what_since_when_how_bad_and_what_to_do(told):
    """In every channel, with links to runbook, dashboard, graph and silence."""
    mail, slack, pager, teams = told.of(LABELS, **ANNOTATIONS)
    runbook = "https://git.example.org/gnomon/blob/main/" + ANNOTATIONS["runbook_url"]

    page = _page(mail)
    assert mail["Subject"] == "[CRITICAL] /srv on db1 is almost full · host"
    assert ANNOTATIONS["description"] in page.text
    assert re.search(r"since \w{3} \d+ \w{3} \d\d:\d\d UTC", page.text)
    assert page.links["Runbook"] == runbook
    assert page.links["Dashboard"] == ANNOTATIONS["dashboard_url"]
    assert page.links["Graph"].startswith("http://prometheus.example.org/graph?")
    assert _silence(page.links["Silence"]) == LABELS
    plain = mail.get_body(("plain",)).get_content()
    for words in (ANNOTATIONS["description"], runbook, ANNOTATIONS["dashboard_url"]):
        assert words in plain

    assert slack["title"] == "[CRITICAL] /srv on db1 is almost full · host"
    assert ANNOTATIONS["description"] in slack["text"]
    links = {name: link for link, name in re.findall(r"<([^|>]+)\|([^>]+)>", slack["text"])}
    assert (links["Runbook"], links["Dashboard"]) == (runbook, ANNOTATIONS["dashboard_url"])
    assert _silence(links["Silence"]) == LABELS
    assert 'team The "platform" team' in slack["text"]

    details = pager["payload"]["custom_details"]
    assert details["runbook"] == runbook
    assert ANNOTATIONS["description"] in details["alerts"]
    assert _silence(details["silence"]) == LABELS
    assert (pager["payload"]["group"], pager["payload"]["component"]) == ("host", "filesystem")

    if teams is not None:
        words = json.dumps(teams, ensure_ascii=False)
        assert "CRITICAL: /srv on db1 is almost full · host" in words
        assert f"[Runbook]({runbook})" in words


def test_many_alerts_are_one_message_with_a_silence_for_each(told):
    """Twenty in a mail and ten in a chat; how many there are is said."""
    alerts = [{**LABELS, "instance": f"db{n:02}"} for n in range(25)]
    mail, slack, pager, _ = told.of(*alerts, **ANNOTATIONS)
    page = _page(mail)
    assert mail["Subject"] == "[CRITICAL] 25 \u00d7 HostFilesystemAlmostFull · host"
    assert "The first 20 of 25." in page.text
    assert page.text.count("instance=") == 20
    # What all have in common is not repeated.
    assert "mountpoint=/srv" not in page.text
    common = {name: value for name, value in LABELS.items() if name != "instance"}
    assert _silence(page.links["Silence all of these"]) == common
    assert slack["text"].count("|Silence>") == 10
    assert "The first 10 of 25." in slack["text"]
    assert "25 \u00d7 HostFilesystemAlmostFull" in pager["payload"]["summary"]


def test_an_end_is_said_with_how_long_it_lasted(told):
    """In the colour of good news."""
    told.of(LABELS, **ANNOTATIONS)
    mail, slack, pager, _ = told.of(LABELS, over=True, **ANNOTATIONS)
    assert mail["Subject"] == "[RESOLVED] /srv on db1 is almost full · host"
    assert re.search(r"since .* UTC, over after \d+", _page(mail).text)
    assert "#2e7d32" in mail.get_body(("html",)).get_content()
    assert slack["color"] == "#2e7d32"
    assert pager["event_action"] == "resolve"


def test_an_alert_without_a_word_about_it_is_still_a_message(told):
    """Somebody else's rules may have no annotations and few labels."""
    bare = {"alertname": "Theirs", "severity": "critical"}
    mail, slack, _, _ = told.of(bare)
    assert mail["Subject"] == "[CRITICAL] Theirs"
    page = _page(mail)
    assert set(page.links) == {"Graph", "Silence", "All alerts"}
    assert "no value" not in page.text
    assert slack["title"] == "[CRITICAL] Theirs"
    assert "no value" not in slack["text"]


def test_no_label_can_make_a_link_a_script_or_a_call(told):
    """Whatever a label or annotation is, it is shown, and does nothing."""
    labels = {**LABELS, "mountpoint": HOSTILE, "service": HOSTILE}
    annotations = {
        "summary": f"{HOSTILE} is full",
        "description": f"{HOSTILE} is full",
        "runbook_url": "javascript:alert(3)//" + HOSTILE,
        "dashboard_url": 'https://x.example/?a="><script>|ok> (b)',
    }
    mail, slack, pager, teams = told.of(labels, **annotations)
    shown = " ".join(HOSTILE.split())

    page = _page(mail)
    assert {"script", "img"}.isdisjoint(page.elements)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert f"{shown} is full" in page.text
    for link in page.links.values():
        assert urllib.parse.urlsplit(link).scheme in {"http", "https"}
        assert urllib.parse.urlsplit(link).hostname != "evil.example"
    assert _silence(page.links["Silence"]) == labels
    assert mail["Bcc"] is None
    assert "\n" not in str(mail["Subject"])
    assert shown in str(mail["Subject"])

    for text in (slack["title"], slack["text"], slack["fallback"]):
        made = re.findall(r"<([^>]*)>", text)
        assert all(
            re.fullmatch(r"https?://[^|]+\|(Graph|Dashboard|Silence|Runbook)", m) for m in made
        )
        assert not [m for m in made if m.startswith("https://evil")]
    assert "text" not in slack["mrkdwn_in"]
    assert pager["event_action"] == "trigger"
    if teams is not None:
        card = teams["attachments"][0]["content"]
        [title, text] = [block["text"] for block in card["body"]]
        # A sign that has lost its meaning stands behind a backslash.
        live = re.sub(r"\\.", "", title + text)
        assert re.findall(r"\[([^\]]*)\]\(", live) == ["Graph", "Dashboard", "Runbook", "Silence"]
        assert not re.search(r"[<>*_`]", re.sub(r"\([^)]*\)", "", live))


def test_a_setting_cannot_break_a_template(house):
    """A team's name with a quote or a backslash stays a name."""
    team = 'a "b" \\ `c` ü'
    texts = "".join(
        path.read_text() for path in (house.render(team=team).parent / "templates").iterdir()
    )
    assert '"a \\"b\\" \\\\ `c` ü"' in texts
    house.start(house.render(team=team))


def test_whose_an_alert_is_is_known_by_its_service_too(house, mails):
    """The team's name stands in the message, though no label says it."""
    mail = "email: {to: [a@example.org], from: b@example.org, tls: no}"
    house.settings(f"{mail}\nteam: platform\nteams:\n  a.b: {{services: [prices]}}\n")
    alertmanager = house.start(house.render(QUICK, email_server=mails.address))
    others = {"alertname": "Other", "severity": "critical", "service": "shop"}
    alertmanager.post({**LABELS, "service": "prices"}, others)
    until(lambda: len(mails.mails) == 2)
    found = {str(mail["Subject"]): _page(mail).text for mail in mails.mails}
    assert "team a.b " in found["[CRITICAL] HostFilesystemAlmostFull · prices"]
    assert "team platform " in found["[CRITICAL] Other · shop"]
