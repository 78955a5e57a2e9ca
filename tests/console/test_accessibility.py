"""What axe finds on the console's pages: whoever cannot see or point can use them."""

from importlib import resources
from urllib.parse import urlsplit

import pytest

import servers
from console.kinds import UID

#: What axe says of a finding that keeps somebody from using a page.
_GRAVE = {"serious", "critical"}

_AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()

pytestmark = pytest.mark.timeout(300)


def findings(shown):
    """Return the grave findings of the open page: the rule, and what breaks it."""
    # Evaluated, not as a script of the page: its policy lets none in from elsewhere.
    if not shown.page.evaluate("Boolean(window.axe)"):
        shown.page.evaluate(_AXE)
    found = shown.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:300]} {node['failureSummary'][:400]}"
        for each in found["violations"]
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]


PAGES = {
    "index": "/",
    "kinds": f"/d/{UID}",
    "alerts": "/alerts",
    "traces": "/traces",
    "map": "/map",
    "slos": "/slos",
    "setup": "/setup",
    "nothing": "/d/none",
}


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_on_a_page_keeps_anybody_from_using_it(shown, name, scheme):
    """Light and dark: axe has no serious or critical finding."""
    shown.page.emulate_media(color_scheme=scheme)
    shown.open(PAGES[name])
    shown.kept(f"{name}-{scheme}")
    assert "\n\n".join(findings(shown)) == ""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_nor_on_the_page_of_a_trace(shown, scheme):
    """With its waterfall and what is known of a span."""
    shown.page.emulate_media(color_scheme=scheme)
    servers.until(lambda: b"shop" in servers.fetch(f"{shown.stack.console}/traces", 20))
    shown.open("/traces")
    shown.page.locator("tbody a").first.click()
    shown.page.wait_for_url("**/traces/*")
    shown.drawn()
    assert len(urlsplit(shown.page.url).path.removeprefix("/traces/")) == 32
    shown.kept(f"trace-{scheme}")
    assert "\n\n".join(findings(shown)) == ""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_nor_where_an_alert_is_taken(shown, scheme):
    """With what fires, and its dialogs open."""
    shown.page.emulate_media(color_scheme=scheme)
    labels = {"alertname": "HostDown", "service": "host", "severity": "critical", "instance": "a"}
    shown.stack.alertmanager.post(
        labels,
        summary="A machine is gone",
        description="It does not answer.",
        runbook_url="https://example.org/docs/runbooks/host.md#hostdown",
    )
    shown.open("/alerts")
    shown.page.get_by_text("A machine is gone").first.wait_for()
    shown.kept(f"firing-{scheme}")
    assert "\n\n".join(findings(shown)) == ""
    shown.page.get_by_role("button", name="Acknowledge").first.click()
    shown.page.get_by_role("dialog").wait_for()
    shown.kept(f"taking-{scheme}")
    assert "\n\n".join(findings(shown)) == ""
