"""What axe finds on the console's pages: whoever cannot see or point can use them."""

import sys
from importlib import resources

import bcrypt
import pytest

import servers
from console.kinds import UID
from rulebook import ROOT

#: What axe says of a finding that keeps somebody from using a page.
_GRAVE = {"serious", "critical"}

_AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()

PAGES = {
    "index": "/",
    "kinds": f"/d/{UID}",
    "alerts": "/alerts",
    "traces": "/traces",
    "map": "/map",
    "slos": "/slos",
    "setup": "/setup",
    "runbook": "/runbooks/host/HostDown",
    "nothing": "/d/none",
}

pytestmark = pytest.mark.timeout(300)


def findings(shown, name):
    """Return the grave findings of the open page, dark and light: the rule, and what breaks it."""
    found = ""
    for scheme in ("dark", "light"):
        shown.page.emulate_media(color_scheme=scheme)
        # What moves is half transparent, for a moment.
        shown.page.wait_for_function(
            "() => document.getAnimations().every(each => each.playState !== 'running')"
        )
        shown.kept(f"{name}-{scheme}")
        # Evaluated, not as a script of the page: its policy lets none in from elsewhere.
        if not shown.page.evaluate("Boolean(window.axe)"):
            shown.page.evaluate(_AXE)
        report = shown.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += "".join(
            f"\n{scheme}: {each['id']} ({each['impact']}): {node['html'][:300]}"
            f" {node['failureSummary'][:300]}"
            for each in report["violations"]
            if each["impact"] in _GRAVE
            for node in each["nodes"]
        )
    return found


@pytest.mark.parametrize("name", PAGES)
def test_nothing_on_a_page_keeps_anybody_from_using_it(shown, name):
    """Light and dark: axe has no serious or critical finding."""
    shown.open(PAGES[name])
    assert findings(shown, name) == ""


def test_nor_on_the_page_of_a_trace(shown):
    """With its waterfall and what is known of a span."""
    servers.until(lambda: b"shop" in servers.fetch(f"{shown.stack.console}/traces", 20))
    shown.open("/traces")
    with shown.page.expect_navigation():
        shown.page.locator("tbody a").first.click()
    shown.drawn()
    assert findings(shown, "trace") == ""


def test_nor_where_an_alert_is_taken(shown):
    """With what fires, and its dialog open."""
    labels = {"alertname": "HostDown", "service": "host", "severity": "critical", "instance": "a"}
    shown.stack.alertmanager.post(
        labels,
        summary="A machine is gone",
        description="It does not answer.",
        runbook_url="https://example.org/docs/runbooks/host.md#hostdown",
    )
    shown.open("/alerts")
    shown.page.get_by_text("A machine is gone").first.wait_for()
    assert findings(shown, "firing") == ""
    shown.page.get_by_role("button", name="Acknowledge").first.click()
    shown.page.get_by_role("dialog").wait_for()
    assert findings(shown, "taking") == ""


def test_nor_at_the_login(shown, tmp_path):
    """Of a console that has users."""
    port = servers.free_port()
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users:\n  ann: {hashed}\n")
    env = {
        "GNOMON_ROOT": str(ROOT),
        "GNOMON_CONSOLE_DATA": str(tmp_path / "data"),
        "GNOMON_CONSOLE_PORT": str(port),
        "GNOMON_CONSOLE_WEB_CONFIG": str(tmp_path / "web.yml"),
    }
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "gnomon_console"]
    with servers.Server(words, ready=f"{url}/healthz", log=tmp_path / "log", env=env):
        shown.page.goto(url)
        shown.page.get_by_role("button", name="Log in").wait_for()
        assert findings(shown, "login") == ""
    # That it was asked for without a login is what the browser says of it.
    shown.complaints[:] = [each for each in shown.complaints if "401" not in each]
