"""The runbooks: a section for every alert, and commands that a shell understands."""

import re
import subprocess

import pytest

from rulebook import ALERTS, ROOT

RUNBOOKS = {
    subject: ROOT / f"docs/runbooks/{subject}.md"
    for subject in sorted({alert.subject for alert in ALERTS})
}
PAGES = pytest.mark.parametrize("page", RUNBOOKS.values(), ids=RUNBOOKS)


def _sections(page):
    """Return the text below each heading of the second level."""
    parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_leads_to_its_section(alert):
    """runbook_url is a path in this repository, which is there without a network."""
    path, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert ROOT / path == RUNBOOKS[alert.subject]
    assert anchor == alert.name.lower()
    section = _sections(ROOT / path)[alert.name]
    for part in ("**Means.**", "**See.**", "**Do.**"):
        assert part in section


@PAGES
def test_a_runbook_has_no_section_without_an_alert(page):
    """Whoever renames an alert finds its section."""
    alerts = [alert.name for alert in ALERTS if alert.subject == page.stem]
    assert sorted(_sections(page)) == sorted(alerts)


@PAGES
def test_commands_are_shell(page):
    """Every block is complete as far as a shell can tell without running it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True, timeout=10)


@PAGES
def test_links_lead_somewhere(page):
    """Other files and headings that a page names exist."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            assert anchor in {name.lower() for name in _sections(other)}, target
