"""Web Vitals: what a real Chromium reports, and what hostile ones may not."""

import asyncio
import itertools
import json
import random
import re
import string

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import HTMLResponse

import gnomon
from browser import chromium
from gnomon.vitals.rates import CLIENTS, Limits

REJECTED = "gnomon_web_vitals_rejected_total"
GOOD = {"path": "/pages/7", "lcp": 1234.5, "inp": 80, "cls": 0.05, "fcp": 900, "ttfb": 12}
HEADERS = {
    "content-type": "application/json",
    "origin": "http://test",
    "sec-fetch-site": "same-origin",
}


def application(**options):
    """An application with a page, taking reports."""
    app = FastAPI()

    @app.get("/pages/{page}")
    async def page(page: str):
        return page

    gnomon.web_vitals(app, **options)
    return app


def report(ask, app, content=GOOD, headers=HEADERS, **options):
    """Send a report and return the answer's status."""
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return ask(
        app, ("POST", "/gnomon/vitals"), content=content, headers=headers, **options
    ).status_code


def vital(seen, name, route):
    """Return a vital's sum and count of a route."""
    unit = "" if name == "cls" else "_seconds"
    return tuple(
        seen.now().get((f"gnomon_web_vitals_{name}{unit}_{kind}", route))
        for kind in ("sum", "count")
    )


_numbers = itertools.count()


def fresh():
    """Return an application whose page has a route of its own, and that route."""
    route = f"/fresh{next(_numbers)}/{{page}}"
    app = FastAPI()

    @app.get(route)  # the number does not matter
    async def page():
        return "page"

    gnomon.web_vitals(app)
    return app, route


def test_a_report_is_counted_by_template(ask, seen):
    """Milliseconds become seconds; cls has no unit; nothing of the path is kept."""
    app, route = fresh()
    assert report(ask, app, GOOD | {"path": route.replace("{page}", "secret")}) == 204
    assert vital(seen, "lcp", route) == (1.2345, 1)
    assert vital(seen, "inp", route) == (0.08, 1)
    assert vital(seen, "fcp", route) == (0.9, 1)
    assert vital(seen, "ttfb", route) == (0.012, 1)
    assert vital(seen, "cls", route) == (0.05, 1)
    assert not any("secret" in str(key) for key in seen.now())


def test_the_standards_bounds_are_buckets(ask, seen):
    """Good and poor can be told apart exactly."""
    app, route = fresh()
    report(ask, app, GOOD | {"path": route})
    bounds = {"lcp": (2.5, 4), "inp": (0.2, 0.5), "cls": (0.1, 0.25), "fcp": (1.8, 3)}
    for name, pair in (bounds | {"ttfb": (0.8, 1.8)}).items():
        unit = "" if name == "cls" else "_seconds"
        for bound in pair:
            key = (f"gnomon_web_vitals_{name}{unit}_bucket", route, str(float(bound)))
            assert key in seen.now()


def test_what_a_page_does_not_know_is_absent(ask, seen):
    """A browser without INP reports none, and none is counted."""
    app, route = fresh()
    assert report(ask, app, {"path": route, "ttfb": 5}) == 204
    assert vital(seen, "ttfb", route) == (0.005, 1)
    assert vital(seen, "inp", route) == (None, None)


def test_a_page_may_say_which_template_it_is(ask, seen):
    """One that the application knows, and no other."""
    app, route = fresh()
    assert report(ask, app, {"path": "/elsewhere", "route": route, "ttfb": 5}) == 204
    assert vital(seen, "ttfb", route)[1] == 1
    before = seen.now().get((REJECTED, "route"), 0)
    assert report(ask, app, {"path": route, "route": "/made/up", "ttfb": 5}) == 400
    assert report(ask, app, {"path": "/made/up", "ttfb": 5}) == 400
    assert seen.now()[REJECTED, "route"] == before + 2


def test_an_application_behind_a_prefix_knows_its_pages(ask, seen):
    """The browser's path has what the proxy took off."""
    app, route = fresh()
    path = "/proxied" + route.replace("{page}", "1")
    assert report(ask, app, {"path": path, "ttfb": 5}, root_path="/proxied") == 204
    assert vital(seen, "ttfb", route)[1] == 1


@pytest.mark.parametrize(
    ("content", "reason", "status"),
    [
        (b"", "json", 400),
        (b"{", "json", 400),
        (b"\xff\xfe", "json", 400),
        (b"[" * 4000, "json", 400),
        (b'{"path": "/pages/7", "lcp": NaN}', "json", 400),
        (b'{"path": "/pages/7", "lcp": Infinity}', "json", 400),
        (b'{"path": "/pages/7", "lcp": ' + b"9" * 4000 + b"}", "values", 400),
        (b'{"path": "/pages/7", "lcp": 1e999}', "values", 400),
        ([1], "fields", 400),
        (None, "fields", 400),
        ({}, "fields", 400),
        ({"path": "/pages/7"}, "fields", 400),
        ({"lcp": 1}, "fields", 400),
        ({"path": 3, "lcp": 1}, "fields", 400),
        ({"path": "pages", "lcp": 1}, "fields", 400),
        ({"path": "/" + "x" * 3000, "lcp": 1}, "fields", 400),
        ({**GOOD, "more": 1}, "fields", 400),
        ({**GOOD, "lcp": "1"}, "values", 400),
        ({**GOOD, "lcp": True}, "values", 400),
        ({**GOOD, "lcp": None}, "values", 400),
        ({**GOOD, "lcp": [1]}, "values", 400),
        ({**GOOD, "lcp": -1}, "values", 400),
        ({**GOOD, "lcp": 600_001}, "values", 400),
        ({**GOOD, "cls": 101}, "values", 400),
        ({**GOOD, "path": "/" + "x" * 5000}, "size", 413),
    ],
)
def test_a_report_that_cannot_be_true_is_rejected(content, reason, status, ask, seen):
    """By reason, and no value of it is counted."""
    app = application()
    before = {key: value for key, value in seen.now().items() if REJECTED not in key}
    count = seen.now().get((REJECTED, reason), 0)
    assert report(ask, app, content) == status
    assert seen.now()[REJECTED, reason] == count + 1
    vitals = {key: value for key, value in seen.now().items() if REJECTED not in key}
    assert {key for key in vitals if "web_vitals" in key[0]} == {
        key for key in before if "web_vitals" in key[0]
    }


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 204),
        ({"content-type": "application/json; charset=utf-8"}, 204),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": None}, 415),
        ({"sec-fetch-site": "same-site"}, 204),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": None}, 204),
        ({"sec-fetch-site": None, "origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": None, "origin": "null"}, 403),
        ({"sec-fetch-site": None, "origin": None}, 403),
        ({"sec-fetch-site": None, "origin": "http://[half"}, 403),
        ({"sec-fetch-site": None, "origin": "http://TEST:8000"}, 204),
    ],
)
def test_only_pages_of_this_site_may_report(changes, status, ask):
    """By the browser's own word, or by the page's host where it says none."""
    headers = {k: v for k, v in (HEADERS | changes).items() if v is not None}
    assert report(ask, application(), headers=headers) == status


def test_other_methods_and_paths_are_not_there(ask):
    """POST alone reports; GET alone reads the script."""
    app = application()
    assert ask(app, ("GET", "/gnomon/vitals")).status_code == 405
    assert ask(app, ("POST", "/gnomon/vitals.js")).status_code == 405
    assert ask(app, ("PUT", "/gnomon/vitals")).status_code == 405


def test_the_script_is_served_whole_and_kept(ask):
    """With its type, its sample and a tag by which it is not sent again."""
    app = application(sample=0.25)
    answer = ask(app, ("GET", "/gnomon/vitals.js"))
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Math.random() >= 0.25" in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content) < 6000
    again = ask(
        app, ("GET", "/gnomon/vitals.js"), headers={"if-none-match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_client_that_reports_too_often_is_refused(ask, seen):
    """The others are not; ten clients of one IPv6 network are one."""
    app = application()
    before = seen.now().get((REJECTED, "rate"), 0)
    statuses = [report(ask, app, client=(f"2001:db8::{number}", 1)) for number in range(70)]
    assert statuses[:60] == [204] * 60
    assert statuses[-1] == 429
    assert report(ask, app, client=("192.0.2.9", 1)) == 204
    assert seen.now()[REJECTED, "rate"] == before + statuses.count(429)


def test_all_clients_together_are_limited():
    """And what is remembered of them is bounded; tokens come back with time."""
    limits = Limits(rate=5, client_rate=1)
    now = 1000.0
    limits._all._at = now
    assert sum(limits.allow(f"192.0.2.{n}", now) for n in range(100)) == 10
    assert sum(limits.allow(f"198.51.100.{n}", now + 1) for n in range(100)) == 5
    for number in range(3 * CLIENTS):
        limits.allow(f"client {number}", now)
    assert len(limits._clients) == CLIENTS


def test_a_body_that_never_ends_is_given_up(seen, monkeypatch):
    """Too long as soon as it is, too slow after a time, and a client that leaves."""
    monkeypatch.setattr("gnomon.vitals.serving.PATIENCE", 0.05)
    app = application()
    headers = [(name.encode(), text.encode()) for name, text in HEADERS.items()]

    async def send_in(parts, *, then):
        scope = {
            "type": "http", "method": "POST", "path": "/gnomon/vitals", "headers": headers,
            "query_string": b"", "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        waiting = iter(parts)
        answers = []

        async def receive():
            for part in waiting:
                return {"type": "http.request", "body": part, "more_body": True}
            if then == "leave":
                return {"type": "http.disconnect"}
            await asyncio.sleep(3600)
            return None

        async def send(message):
            answers.append(message)

        await asyncio.wait_for(app(scope, receive, send), 30)
        return answers[0]["status"]

    assert asyncio.run(send_in([b"x" * 1000] * 10, then="sleep")) == 413
    assert asyncio.run(send_in([b"{"], then="sleep")) == 408
    assert asyncio.run(send_in([b"{"], then="leave")) == 400
    assert seen(REJECTED, "size") == seen(REJECTED, "slow") == seen(REJECTED, "disconnected") == 1


def test_ten_thousand_hostile_reports_are_all_answered(seen):
    """Random bytes, random JSON and broken reports: no exception, no new label."""
    chance = random.Random(6)
    app = application(rate=1e9, client_rate=1e9)
    keys = ["path", "route", *["lcp", "inp", "cls", "fcp", "ttfb", "more"]]

    def anything(depth=0):
        kind = chance.randrange(8 if depth < 4 else 6)
        if kind == 0:
            return chance.choice([True, False, None])
        if kind == 1:
            return chance.uniform(-1e9, 1e9)
        if kind == 2:
            return chance.randrange(-(10**30), 10**30)
        if kind in (3, 4, 5):
            text = "".join(chance.choices(string.printable + "\ud800é\0", k=chance.randrange(20)))
            return "/" + text if kind == 5 else text
        if kind == 6:
            return [anything(depth + 1) for _ in range(chance.randrange(4))]
        return {chance.choice(keys): anything(depth + 1) for _ in range(chance.randrange(4))}

    def hostile():
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(5000))
        body = GOOD | {chance.choice(keys): anything()} if chance.random() < 0.5 else anything()
        text = bytearray(json.dumps(body).encode())
        if text and chance.random() < 0.2:
            text[chance.randrange(len(text))] = chance.randrange(256)
        return bytes(text)

    headers = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
    statuses = set()

    async def one():
        body = hostile()
        scope = {
            "type": "http", "method": "POST", "path": "/gnomon/vitals", "headers": headers,
            "query_string": b"", "client": None, "root_path": "",
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            statuses.add(message.get("status"))

        await app(scope, receive, send)

    async def run():
        for _ in range(10_000):
            await one()

    asyncio.run(run())
    assert statuses <= {204, 400, 413, None}
    routes = {key[1] for key in seen.now() if re.match(r"gnomon_web_vitals_(?!rejected)", key[0])}
    known = {"/pages/{page}", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    known |= {"/gnomon/vitals.js"}
    assert {route for route in routes if not route.startswith("/fresh")} <= known


def test_it_comes_before_a_route_for_every_path(ask):
    """And a second call with the same prefix adds nothing."""
    app = FastAPI()

    @app.get("/{path:path}")
    async def every(path: str):
        return path

    gnomon.web_vitals(app, prefix="/own")
    gnomon.web_vitals(app, prefix="/own")
    assert "javascript" in ask(app, ("GET", "/own/vitals.js")).headers["content-type"]
    assert [getattr(route, "path", "") for route in app.router.routes].count("/own/vitals") == 1


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"prefix": "gnomon"}, "prefix"),
        ({"prefix": "/gnomon/"}, "prefix"),
        ({"prefix": "/{x}"}, "prefix"),
        ({"sample": 0}, "sample"),
        ({"sample": 1.5}, "sample"),
        ({"rate": 0}, "rate"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(setting, name):
    """With what it should be."""
    with pytest.raises(ValueError, match=f"^{name}"):
        gnomon.web_vitals(FastAPI(), **setting)
    with pytest.raises(TypeError, match="takes a FastAPI or Starlette"):
        gnomon.web_vitals(object())


PAGE = """<!doctype html>
<title>A page</title>
<style>body { margin: 0 } #push { height: 0 } #block { height: 200px; background: teal }</style>
<script src="/gnomon/vitals.js" async></script>
<div id="push"></div>
<div id="block"></div>
<button id="slow" style="position: fixed; top: 500px; left: 0; width: 200px; height: 50px">Slow
</button>
<script>
  document.getElementById("slow").onclick = () => {
    const end = performance.now() + 300;
    while (performance.now() < end);
  };
  window.shift = (height) => { document.getElementById("push").style.height = height + "px" };
</script>
"""


@pytest.fixture
def site(serve):
    """A site with a page that takes 300 ms to come; its address and what it measured."""
    app = Starlette()
    name = f"/site{random.randrange(10**9)}"

    async def page(_):
        await asyncio.sleep(0.3)
        return HTMLResponse(PAGE)

    app.add_route(name + "/{number}", page)
    gnomon.web_vitals(app)
    return f"http://{serve(app)}{name}/7", name + "/{number}"


@pytest.mark.timeout(300)
def test_a_real_browser_tells_the_truth(tmp_path, site, seen, until):
    """One view: a slow answer, an interaction of 300 ms, and layout shifts in two sessions."""
    url, route = site
    with chromium(tmp_path) as tab:
        tab.open(url)
        # Drawn, before anything moves: the numbers below are of a page that somebody saw.
        tab.until("performance.getEntriesByName('first-contentful-paint').length > 0")
        # 200 of 600 px are filled. Moved down by 150 they and the old place fill 350; 150 is
        # three sixteenths of the longer side, 800. Moved back a while later: the same again.
        frame = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"
        tab.run(f"shift(150); {frame}")
        tab.run("new Promise(done => setTimeout(done, 1600))")
        tab.run(f"shift(0); {frame}")
        tab.click(100, 525)
        tab.until("performance.eventCounts.get('click') > 0")
        tab.run(frame)
        tab.run(frame)
        tab.open("about:blank")  # which hides the page
        until(lambda: vital(seen, "ttfb", route)[1] == 1, 60)
    told = {name: vital(seen, name, route) for name in ("ttfb", "fcp", "lcp", "inp", "cls")}
    assert {count for _, count in told.values()} == {1}
    ttfb, fcp, lcp, inp, cls = (total for total, _ in told.values())
    assert 0.3 <= ttfb <= fcp <= lcp
    assert 0.29 <= inp < 30, "browsers round it to 8 ms"
    assert cls == pytest.approx(350 / 600 * 150 / 800, rel=0.01), "the worst session, not the sum"


@pytest.mark.timeout(300)
def test_each_view_is_told_once(tmp_path, site, seen, until):
    """Reloading is another view; hiding twice is none; without an interaction there is no INP."""
    url, route = site
    with chromium(tmp_path) as tab:
        for _ in range(2):
            tab.open(url)
            tab.until("performance.getEntriesByName('first-contentful-paint').length > 0")
            for _ in range(2):
                tab.run("dispatchEvent(new Event('pagehide'))")
            tab.open("about:blank")
        until(lambda: vital(seen, "ttfb", route)[1] == 2, 60)
    assert vital(seen, "cls", route) == (0, 2), "nothing moved"
    assert vital(seen, "inp", route) == (None, None)


@pytest.mark.timeout(300)
def test_a_page_of_another_site_is_not_believed(tmp_path, site, serve, seen, until):
    """Its browser says so: it may load the script, but its reports are rejected."""
    url, route = site
    other = Starlette()
    # The script's site is localhost, the page's is 127.0.0.1.
    target = url.partition("/site")[0].replace("127.0.0.1", "localhost") + "/gnomon/vitals"
    report = (
        "{method: 'POST', mode: 'no-cors', body: '{}', headers: {'content-type': 'text/plain'}}"
    )
    page = PAGE.replace("/gnomon/vitals", target)
    page += f"<script>onload = () => fetch('{target}', {report})</script>"

    async def show(_):
        return HTMLResponse(page)

    other.add_route("/", show)
    with chromium(tmp_path) as tab:
        tab.open(f"http://{serve(other)}/")
        until(lambda: seen.now().get((REJECTED, "content_type"), 0), 60)
        tab.open("about:blank")
    assert vital(seen, "ttfb", route) == (None, None)


@pytest.mark.timeout(300)
def test_a_page_that_comes_back_from_the_browsers_cache_is_another_view(
    tmp_path, site, seen, until
):
    """It was drawn anew, and asked no server: it has no time to the first byte."""
    url, route = site
    other = url.replace("/7", "/8")
    with chromium(tmp_path) as tab:
        tab.open(url)
        tab.run(
            "window.marked = true; addEventListener('pageshow', e => window.back = e.persisted)"
        )
        tab.open(other)
        until(lambda: vital(seen, "ttfb", route)[1] == 1, 60)
        tab.run("setTimeout(() => history.back(), 0); 1")
        tab.until("window.marked === true")
        if not tab.run("window.back"):
            pytest.skip("this Chromium keeps no pages")
        frame = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"
        tab.run(frame)
        tab.run(frame)
        tab.open("about:blank")
        until(lambda: (vital(seen, "fcp", route)[1] or 0) >= 3, 60)
    assert vital(seen, "fcp", route)[1] == 3
    assert vital(seen, "ttfb", route)[1] == 2


def test_an_instrumented_application_stays_what_it_is(ask, registry, value):
    """Reports are requests with their own route, and its schema does not name them."""
    app = application()
    gnomon.instrument(app, registry=registry)
    assert report(ask, app) == 204
    assert "/gnomon" not in ask(app, ("GET", "/openapi.json")).text
    labels = {"http_request_method": "POST", "http_route": "/gnomon/vitals"}
    labels |= {"http_response_status_code": "204", "error_type": ""}
    assert value("http_server_request_duration_seconds_count", **labels) == 1
    gnomon.uninstrument(app)
