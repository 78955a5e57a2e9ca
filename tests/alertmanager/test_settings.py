"""alerting.yml, the environment and the secrets' files: what they mean, and what is refused."""

import stat

import pytest

from gnomon_stack.alerting import example, render, settings
from gnomon_stack.alerting.windows import Window
from gnomon_stack.trouble import Trouble

NEW, OLD = (0, 33), (0, 25)

MAIL = """\
email:
  to: [ops@example.org]
  from: Alerts <alerts@example.org>
  server: smtp.example.org:587
"""


def _read(house, text="", **environ):
    if text:
        house.settings(text)
    said = {f"GNOMON_ALERT_{key.upper()}": value for key, value in environ.items()}
    return settings.read(house.home.root, said)


def _names(channels):
    return [channel.name for channel in channels]


def _goes(found, kind, version=NEW):
    return _names(found.everybody.of(kind, version))


def test_nothing_is_on_until_somebody_says_so(house):
    """Neither without a file, nor with the one that the first `make alert-config` writes."""
    assert _names(_read(house).everybody.on(NEW)) == []
    example.write(house.home.root, print)
    found = _read(house)
    assert _names(found.everybody.on(NEW)) == []
    assert stat.S_IMODE((house.home.root / "alerting.yml").stat().st_mode) == 0o600


def test_the_first_file_is_never_written_over(house):
    """It is the user's from then on."""
    house.settings("team: ours")
    example.write(house.home.root, print)
    assert (house.home.root / "alerting.yml").read_text() == "team: ours"


def test_every_line_of_the_first_file_can_be_uncommented(house):
    """What stands in it is what the reader takes."""
    lines = example.TEXT.partition("# email:")
    text = "\n".join(line.removeprefix("# ") for line in ("# email:" + lines[2]).splitlines())
    prose = ("What ", "Where ")
    text = "\n".join(line for line in text.splitlines() if not line.startswith(prose))
    found = _read(house, text)
    assert found.everybody.email.to == ("ops@example.org",)
    assert found.everybody.escalation.slack.channel == "#leads"
    assert found.teams["data"].slack.channel == "#data-alerts"
    assert found.timezone == "Europe/Berlin"


def test_a_secrets_file_turns_its_channel_on_and_off(house):
    """By being there; whatever else is set."""
    assert _read(house).everybody.slack.lacks(NEW) == "alertmanager/secrets/slack_url"
    house.secret("slack_url", "https://hooks.example.org/T/B/x\n")
    assert _goes(_read(house), "critical") == ["slack"]
    (house.home.root / "alertmanager/secrets/slack_url").unlink()
    assert _goes(_read(house), "critical") == []


def test_a_password_that_is_missing_leaves_mail_off(house):
    """With the file's name; without a user name no password is needed."""
    assert _goes(_read(house, MAIL), "warning") == ["email"]
    found = _read(house, MAIL + "  username: ops\n")
    assert found.everybody.email.lacks(NEW) == "alertmanager/secrets/smtp_password"
    assert _goes(found, "warning") == []


def test_information_goes_by_mail_where_there_is_any(house):
    """To the chat otherwise; PagerDuty is for what wakes people."""
    house.secret("slack_url", "https://hooks.example.org/x")
    house.secret("pagerduty_key", "k" * 32)
    assert _goes(_read(house), "critical") == ["pagerduty", "slack"]
    assert _goes(_read(house), "info") == ["slack"]
    assert _goes(_read(house, MAIL), "info") == ["email"]
    assert _goes(_read(house, MAIL), "warning") == ["slack", "email"]
    assert _goes(_read(house, MAIL + "slack: {takes: [info]}\n"), "info") == ["slack", "email"]
    assert _goes(_read(house, MAIL + "slack: {takes: [info]}\n"), "warning") == ["email"]


def test_teams_of_microsoft_needs_a_newer_alertmanager(house):
    """The reason names both versions."""
    house.secret("msteams_url", "https://x.example.org/workflow")
    found = _read(house)
    assert _goes(found, "critical", NEW) == ["msteams"]
    lacks = found.everybody.msteams.lacks(OLD)
    assert lacks == "Alertmanager 0.28 or later; this one is 0.25"


def test_the_environment_counts_more_than_the_file(house):
    """Each key has a variable; lists are written with commas."""
    found = _read(
        house,
        MAIL + "timezone: Europe/Berlin\n",
        email_to="a@example.org, b@example.org",
        email_tls="no",
        timezone="UTC",
        escalation_after="90s",
        hours_from="07:30",
        hours_days="monday:thursday,saturday",
        urls_alertmanager="https://alerts.example.org",
    )
    assert found.everybody.email.to == ("a@example.org", "b@example.org")
    assert found.everybody.email.server == "smtp.example.org:587"
    assert found.everybody.email.tls is False
    assert (found.timezone, found.after_s) == ("UTC", 90.0)
    assert found.hours == Window((0, 1, 2, 3, 5), 7 * 60 + 30, 18 * 60)
    assert found.urls.alertmanager == "https://alerts.example.org"


def test_a_channel_of_slack_in_the_environment_is_no_comment(house):
    """A number sign starts none there."""
    assert _read(house, slack_channel="#alerts").everybody.slack.channel == "#alerts"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slak: {}", "alerting.yml:1: slak: unknown key (did you mean slack?)"),
        (
            "slack:\n  chanel: x",
            "alerting.yml:2: slack.chanel: unknown key (did you mean channel?)",
        ),
        ("email: {to: nobody}", "alerting.yml:1: email.to: 'nobody'; expected a list"),
        ("email: {to: [nobody]}", "alerting.yml:1: email.to: item 1: 'nobody'; expected a list"),
        ("email: {server: smtp.example.org}", "email.server: 'smtp.example.org'; expected a mail"),
        ("email: {tls: perhaps}", "email.tls: 'perhaps'; expected true or false"),
        ("timezone: Berlin", "timezone: 'Berlin'; expected a time zone such as Europe/Berlin"),
        ("hours: {from: 8}", "hours.from: '8'; expected a time such as"),
        ("hours: {from: 24:00}", "hours.from: '24:00'; expected 00:00 of the next day"),
        ("hours: {days: [mon]}", "hours.days: item 1: 'mon'; expected a list"),
        ("hours: {days: []}", "hours.days: an empty list; expected at least one day"),
        ("maintenance: {from: 01:00}", "maintenance: not a list; expected a list of mappings"),
        ("maintenance:\n  - {form: 01:00}", "alerting.yml:2: maintenance[0].form: unknown key"),
        ("escalation: {after: 30}", "escalation.after: '30'; expected a duration with its unit"),
        ("escalation: {after: 0}", "escalation.after: 0 s; expected at least 1s"),
        ("slack: {takes: [page]}", "slack.takes: item 1: 'page'; expected a list"),
        ("urls: {runbooks: docs}", "urls.runbooks: 'docs'; expected a URL"),
        ("teams: {'a b': {}}", "teams.a b: cannot name a team; expected letters"),
        ("teams: {data: {timezone: UTC}}", "teams.data.timezone: unknown key"),
        ("slack: {url: x, url_file: y}", "slack.url: both url and url_file are given"),
        ("slack: {url: nowhere}", "slack.url: is no URL; expected http"),
        ("- a", "alerting.yml:1: not a mapping; expected keys with values"),
        ("slack: [", "alerting.yml:"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(house, text, message):
    """File, line, key, what was wrong, what was expected; status 2."""
    with pytest.raises(Trouble) as refused:
        _read(house, text)
    assert message in str(refused.value)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "EMAIL_TOO",
            "a@b.c",
            "GNOMON_ALERT_EMAIL_TOO: unknown variable (did you mean GNOMON_ALERT_EMAIL_TO?)",
        ),
        ("EMAIL_TO", "a", "GNOMON_ALERT_EMAIL_TO: item 1: 'a'; expected a list"),
        ("ESCALATION_AFTER", "soon", "GNOMON_ALERT_ESCALATION_AFTER: 'soon'; expected a duration"),
        ("SLACK_URL", "hunter2", "slack.url: is no URL"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_refused(house, name, value, message):
    """By its own name; a secret is not shown."""
    with pytest.raises(Trouble) as refused:
        settings.read(house.home.root, {f"GNOMON_ALERT_{name}": value})
    assert message in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o620])
def test_a_file_that_others_may_open_is_refused(house, mode):
    """With the command that mends it; the settings as well as a secret."""
    house.settings("team: x")
    (house.home.root / "alerting.yml").chmod(mode)
    with pytest.raises(Trouble, match=r"alerting.yml is open to others.*chmod 600 alerting.yml"):
        _read(house)
    (house.home.root / "alerting.yml").chmod(0o600)
    house.secret("slack_url", "https://hooks.example.org/x", mode)
    with pytest.raises(Trouble, match="chmod 600 alertmanager/secrets/slack_url"):
        _read(house)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("slack_url", "\n", "is empty"),
        ("slack_url", "hunter2", "is no URL"),
        (
            "slack_url",
            "https://one.example\nhttps://two.example",
            "has spaces or control characters",
        ),
        ("pagerduty_key", "hunter2 x", "has spaces"),
        ("webhook_url", "ftp://hunter2.example", "is no URL"),
    ],
)
def test_a_secret_that_cannot_be_one_is_refused_unshown(house, name, text, message):
    """By its file's name."""
    house.secret(name, text)
    with pytest.raises(Trouble) as refused:
        _read(house)
    assert str(refused.value).startswith(f"alertmanager/secrets/{name} {message}")
    assert "hunter2" not in str(refused.value)


def test_a_secret_never_shows_in_a_representation(house):
    """Neither in a log nor in a traceback's locals."""
    house.secret("slack_url", "https://hooks.example.org/hunter2")
    assert "hunter2" not in repr(_read(house))


def test_a_secret_is_taken_from_wherever_its_file_is(house, tmp_path):
    """As Docker and systemd give them; off where it is not there."""
    path = tmp_path / "elsewhere"
    text = f"slack: {{url_file: {path}}}\n"
    assert _read(house, text).everybody.slack.lacks(NEW) == str(path)
    path.write_text("https://hooks.example.org/x")
    path.chmod(0o400)
    assert _goes(_read(house, text), "critical") == ["slack"]


def test_a_team_has_what_it_says_and_otherwise_everybodys(house):
    """Its own secrets lie in a folder of its name."""
    house.secret("slack_url", "https://hooks.example.org/all")
    house.secret("data/slack_url", "https://hooks.example.org/data")
    house.secret("web/pagerduty_key", "k" * 32)
    found = _read(house, MAIL + "teams:\n  data: {email: {to: [data@example.org]}}\n  web: {}\n")
    data, web = found.teams["data"], found.teams["web"]
    assert data.slack.url.text == "https://hooks.example.org/data"
    assert data.email.to == ("data@example.org",)
    assert data.email.server == "smtp.example.org:587"
    assert web.slack.url.text == "https://hooks.example.org/all"
    assert _names(web.of("critical", NEW)) == ["pagerduty", "slack", "email"]
    assert _names(data.of("critical", NEW)) == ["slack", "email"]


def test_escalation_is_to_others_by_the_same_server(house):
    """PagerDuty replaces it, for the team that has it."""
    house.secret("web/pagerduty_key", "k" * 32)
    text = MAIL + "escalation: {email: [lead@example.org]}\nteams: {web: {}}\n"
    found = _read(house, text)
    [mail] = found.everybody.escalates(NEW)
    assert mail.config(NEW, lambda _: "")["to"] == "lead@example.org"
    assert mail.config(NEW, lambda _: "")["smarthost"] == "smtp.example.org:587"
    assert found.teams["web"].escalates(NEW) == []


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window((0,), 480, 1080), [("monday", "08:00", "18:00")]),
        (Window((6,), 1320, 360), [("sunday", "22:00", "24:00"), ("monday", "00:00", "06:00")]),
        (Window((5,), 0, 1440), [("saturday", "00:00", "24:00")]),
        (Window((5,), 1380, 0), [("saturday", "23:00", "24:00")]),
    ],
)
def test_a_window_that_passes_midnight_is_two(window, expected):
    """The second on the next day."""
    assert [
        (one["weekdays"][0], one["times"][0]["start_time"], one["times"][0]["end_time"])
        for one in window.intervals("UTC")
    ] == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window((0,), 480, 1080), Window((0,), 480, 540)),
        (Window((0,), 480, 500), Window((0,), 480, 500)),
        (Window((0,), 1410, 360), Window((0,), 1410, 30)),
        (Window((0,), 1380, 360), Window((0,), 1380, 1440)),
    ],
)
def test_the_digest_has_the_first_hour(window, expected):
    """Of a shorter window all of it."""
    assert window.first_hour() == expected


def test_what_is_rendered_is_readable_by_its_owner_alone(house):
    """Every file and folder; and no secret stands in the configuration of a version that can."""
    house.secret("slack_url", "https://hooks.example.org/hunter2")
    house.secret("webhook_url", "https://hooks.example.org/hunter3")
    house.secret("webhook_token", "hunter4")
    place = render.folder(house.home)
    for version in (OLD, NEW):
        found = render.render(house.home, _read(house), version)
        path = render.write(house.home, found)
        assert "hunter2" not in path.read_text()
        assert "hunter4" not in path.read_text()
        assert ("hunter3" in path.read_text()) == (version == OLD)
        for each in (place, *place.rglob("*")):
            assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600)
    assert (place / "secrets/slack_url").read_text() == "https://hooks.example.org/hunter2"


def test_a_secret_that_is_gone_is_gone_from_what_is_rendered(house):
    """Nothing keeps a copy."""
    house.secret("slack_url", "https://hooks.example.org/x")
    render.write(house.home, render.render(house.home, _read(house), NEW))
    (house.home.root / "alertmanager/secrets/slack_url").unlink()
    render.write(house.home, render.render(house.home, _read(house), NEW))
    assert list((render.folder(house.home) / "secrets").iterdir()) == []


def test_routes_of_ones_own_stay(house):
    """The renderer adds to alertmanager.yml, and changes nothing but receivers and times."""
    path = house.home.root / "alertmanager/alertmanager.yml"
    own = "    - matchers: ['service = \"legacy\"']\n      receiver: nobody\n"
    path.write_text(path.read_text().replace("  routes:\n", f"  routes:\n{own}", 1))
    found = render.render(house.home, _read(house, MAIL), NEW).config
    assert found["route"]["routes"][0]["receiver"] == "nobody"
    assert len(found["inhibit_rules"]) == path.read_text().count("- source_matchers")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - name: critical\n", "", "has no receiver called critical, which alerting.yml fills"),
        ("route:", "rout:", "has no 'route'"),
        ("receivers:", "receivers: [", "is not YAML"),
    ],
)
def test_an_alertmanager_yml_without_a_place_for_receivers_is_refused(house, old, new, message):
    """With what is missing."""
    path = house.home.root / "alertmanager/alertmanager.yml"
    path.write_text(path.read_text().replace(f"\n{old}", f"\n{new}", 1))
    with pytest.raises(Trouble, match=message):
        render.render(house.home, _read(house, MAIL), NEW)
