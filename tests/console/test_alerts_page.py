"""The page of alerts in a real browser: what changes is there without a reload."""

import re
import time

import pytest
from playwright.sync_api import expect

from console.conftest import PATIENCE

pytestmark = pytest.mark.timeout(300)

MEAN = "<img src=x onerror=\"document.title='owned'\">{{ 7 * 7 }}'; --🔥"
LABELS = {
    "alertname": "OvenBurns",
    "service": "bakery",
    "severity": "critical",
    "instance": MEAN,
    "long": "x" * 20_000,
}


@pytest.fixture
def oven(shown):
    """An alert that fires, and is over with the test."""
    words = {
        "summary": f"The oven burns {MEAN}",
        "description": MEAN,
        "dashboard_url": "javascript:document.title='owned'",
        "runbook_url": "https://example.org/docs/runbooks/meta.md#hostdown",
    }
    yield lambda: shown.stack.alertmanager.post(LABELS, **words)
    shown.stack.alertmanager.post(LABELS, over=True, **words)


def test_an_alert_is_taken_and_everybody_sees_it(shown, oven):
    """It comes, is taken, let go and over before the eyes of two, neither of whom reloads."""
    shown.wide(1400)
    shown.open("/alerts")
    page = shown.page
    row = page.locator(".alert-row", has_text="The oven burns")
    expect(row).to_have_count(0)
    other = page.context.new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(f"{shown.stack.console}/alerts")
    began = time.monotonic()
    oven()
    row.wait_for()
    assert time.monotonic() - began < 30
    row.click()
    # Texts of others are texts.
    side = page.locator(".alert-side")
    expect(side.get_by_text(f"The oven burns {MEAN}")).to_be_visible()
    expect(side.get_by_text("HostDown", exact=True).first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert side.get_by_role("button", name="Dashboard").count() == 0
    assert "owned" not in page.title()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    side.get_by_role("button", name="Acknowledge", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What you do about it").fill("fetching <b>water</b>")
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(dialog.get_by_text("Who are you?")).to_be_visible()
    dialog.get_by_label("Your name").fill("Ada")
    dialog.get_by_role("button", name="Acknowledge").click()
    said = re.compile("Taken by Ada: fetching <b>water</b> · since .*, until ")
    expect(side.get_by_text(said)).to_be_visible()
    theirs = other.locator(".alert-row", has_text="The oven burns")
    expect(theirs).to_contain_text("taken by Ada", timeout=PATIENCE)
    shown.kept("alerts-taken")
    side.get_by_role("button", name="Let go").click()
    expect(side.get_by_role("button", name="Acknowledge", exact=True)).to_be_visible()
    expect(theirs).not_to_contain_text("taken by Ada", timeout=PATIENCE)
    # Whoever has said their name once is known.
    side.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(dialog.get_by_label("Your name")).to_have_value("Ada", timeout=PATIENCE)
    dialog.get_by_role("button", name="Cancel").click()
    shown.stack.alertmanager.post(LABELS, over=True)
    expect(row).to_have_count(0, timeout=PATIENCE)
    expect(theirs).to_have_count(0, timeout=PATIENCE)
    past = page.locator("tr", has_text="The oven burns").first
    expect(past).to_contain_text("Ada, after", timeout=PATIENCE)
    expect(past).not_to_contain_text("fires", timeout=PATIENCE)
    assert "owned" not in page.title()
    other.close()


@pytest.mark.parametrize("width", [900, 400])
def test_a_small_screen_shows_an_alert_below_its_row(shown, oven, width):
    """And nothing is wider than the screen."""
    oven()
    shown.wide(width)
    shown.open("/alerts")
    row = shown.page.locator(".alert-row", has_text="The oven burns")
    row.click()
    inline = shown.page.locator(".alert-inline")
    expect(inline.get_by_role("button", name="Acknowledge", exact=True)).to_be_visible()
    assert shown.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    shown.kept(f"alerts-{width}")
    row.click()
    expect(inline).to_have_count(0)
