"""The page of metrics: who may read it, and in which format."""

import gzip

import pytest
from fastapi import FastAPI
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import gnomon


def an_app(registry, **settings):
    """Make an instrumented application with one route."""
    app = FastAPI()
    app.add_api_route("/a", lambda: 1)
    gnomon.instrument(app, service="transcriber", registry=registry, **settings)
    return app


ADDRESSES = [
    ("127.0.0.1", 200),
    ("127.8.8.8", 200),
    ("::1", 200),
    ("10.1.2.3", 200),
    ("172.31.255.1", 200),
    ("172.32.0.1", 403),
    ("192.168.7.7", 200),
    ("169.254.1.1", 200),
    ("fd00::1", 200),
    ("fe80::1%eth0", 200),
    ("::ffff:10.0.0.1", 200),
    ("::ffff:8.8.8.8", 403),
    ("8.8.8.8", 403),
    ("2001:4860::1", 403),
    ("100.64.0.1", 403),
    ("testclient", 403),
    ("", 403),
]


@pytest.mark.parametrize(("address", "status"), ADDRESSES)
def test_answers_loopback_and_private_networks(registry, ask, address, status):
    """Without a token the address decides; names and public addresses are refused."""
    app = an_app(registry)
    assert ask(app, ("GET", "/metrics"), client=(address, 1)).status_code == status


def test_a_client_without_an_address_is_refused(registry, ask):
    """Behind a Unix socket anyone may stand, so that needs the token."""
    assert ask(an_app(registry), ("GET", "/metrics"), client=None).status_code == 403


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP"],
)
def test_a_proxys_request_is_refused(registry, ask, header):
    """A private address in front of which a proxy stands says nothing about the reader."""
    app = an_app(registry)
    answer = ask(app, ("GET", "/metrics"), headers={header: "127.0.0.1"})
    assert answer.status_code == 403
    assert "GNOMON_METRICS_TOKEN" in answer.text


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer sesame", 200),
        ("bearer sesame", 200),
        ("Bearer sesam", 401),
        ("Bearer ", 401),
        ("Basic sesame", 401),
        (None, 401),
    ],
)
def test_a_token_grants_the_page_from_anywhere(registry, ask, given, status):
    """The bearer token opens the page through proxies; anything else does not."""
    app = an_app(registry, metrics_token="sesame")
    headers = {"X-Forwarded-For": "8.8.8.8"} | ({"Authorization": given} if given else {})
    answer = ask(app, ("GET", "/metrics"), client=("8.8.8.8", 1), headers=headers)
    assert answer.status_code == status
    assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)


def test_a_wrong_token_is_refused_even_from_loopback(registry, ask):
    """Who presents a token means it."""
    app = an_app(registry, metrics_token="sesame")
    answer = ask(app, ("GET", "/metrics"), headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401


def test_the_token_may_stand_in_a_file(registry, ask, monkeypatch, tmp_path):
    """GNOMON_METRICS_TOKEN_FILE names a file whose content is the token."""
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("GNOMON_METRICS_TOKEN_FILE", str(tmp_path / "token"))
    app = an_app(registry)
    headers = {"Authorization": "Bearer sesame"}
    answer = ask(app, ("GET", "/metrics"), client=("8.8.8.8", 1), headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("content", ["", None])
def test_a_token_file_without_a_token_is_an_error(registry, monkeypatch, tmp_path, content):
    """An empty or missing file must not leave the page open by accident."""
    if content is not None:
        (tmp_path / "token").write_text(content)
    monkeypatch.setenv("GNOMON_METRICS_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(ValueError, match="GNOMON_METRICS_TOKEN_FILE"):
        an_app(registry)


def test_speaks_the_format_that_is_asked_for(registry, ask):
    """OpenMetrics when asked, classic text else, as the content type says."""
    app = an_app(registry)
    ask(app, ("GET", "/a"))
    classic = ask(app, ("GET", "/metrics"))
    assert classic.headers["content-type"].startswith("text/plain; version=0.0.4")
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    modern = ask(app, ("GET", "/metrics"), headers=accept)
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in text_string_to_metric_families(modern.text)}
    assert "http_server_request_duration_seconds" in names
    assert "# EOF" not in classic.text


def test_is_compressed_on_request(registry, ask):
    """Gzip when the scraper takes it, plain text else."""
    app = an_app(registry)
    assert ask(app, ("GET", "/metrics")).headers["content-encoding"] == "gzip"
    plain = ask(app, ("GET", "/metrics"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(gzip.compress(plain.content)).startswith(b"# HELP")


def test_tells_service_and_version(registry, ask):
    """target_info carries the service's name, gnomon_build_info its version."""
    page = ask(an_app(registry, service_version="2.1"), ("GET", "/metrics")).text
    assert 'target_info{service_name="transcriber",service_version="2.1"} 1.0' in page
    assert 'service_version="2.1"' in next(
        line for line in page.splitlines() if line.startswith("gnomon_build_info{")
    )


def test_has_the_applications_own_metrics(registry, ask):
    """What the application counts with prometheus-client stands on the same page."""
    app = an_app(registry)
    Counter("mine", "Mine.", registry=registry).inc(3)
    assert "mine_total 3.0" in ask(app, ("GET", "/metrics")).text


def test_a_collector_that_fails_costs_the_page_not_the_application(registry, ask):
    """A custom collector's exception is an honest 500, and requests go on."""

    class Broken:
        def describe(self):
            return []

        def collect(self):
            raise RuntimeError("broken")

    app = an_app(registry)
    registry.register(Broken())
    page, answer = ask(app, ("GET", "/metrics"), ("GET", "/a"))
    assert (page.status_code, answer.status_code) == (500, 200)


def test_stands_before_catch_all_routes_and_behind_a_root_path(registry, ask):
    """A route that matches everything does not hide the page, nor does a prefix."""
    app = Starlette(routes=[Route("/{path:path}", lambda _: PlainTextResponse("all"))])
    gnomon.instrument(app, registry=registry)
    assert "target_info" in ask(app, ("GET", "/metrics")).text
    assert "target_info" in ask(app, ("GET", "/api/metrics"), root_path="/api").text
    assert ask(app, ("GET", "/x/metrics")).text == "all"


def test_may_be_elsewhere_or_nowhere(registry, ask):
    """metrics_path moves the page; None leaves the path to the application."""
    assert "target_info" in ask(an_app(registry, metrics_path="/-/m"), ("GET", "/-/m")).text
    app = FastAPI()
    gnomon.instrument(app, registry=registry, metrics_path=None)
    assert ask(app, ("GET", "/metrics")).status_code == 404


def test_is_only_read(registry, ask):
    """Other methods than GET and HEAD are refused."""
    answer = ask(an_app(registry), ("POST", "/metrics"))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
