"""The map of dependencies, as Prometheus answers it: a missing end, and Grafana draws nothing."""

import subprocess

import pytest
import yaml

from gnomon_dashboards import colours, edges
from servers import program

_SERIES = {
    # name: calls, failing, p95; None is not measured
    ("shop", "clients", "clients", "shop", "service"): (5, 0, 0.2),
    ("shop", "shop", "service", "mail.example:443", "outside API"): (2, 0.1, 1.5),
    ("shop", "shop", "service", "rates", "service"): (1, 0.5, 0.0123),
    ("shop", "shop", "service", "shop/prices", "cache"): (300, None, None),
    ("shop", "shop/prices", "cache", "shop/Redis", "second tier"): (0.004, 0, 0.001),
    ("books", "books", "service", "books/prices", "cache"): (3, None, None),
    ("books", "books", "service", "rates", "service"): (3, 0, 0.02),
}
_EVERY = 'service=~".+"'


def _inputs():
    for (service, source, source_kind, target, target_kind), numbers in _SERIES.items():
        labels = (
            f'{{service="{service}", source="{source}", source_kind="{source_kind}",'
            f' target="{target}", target_kind="{target_kind}"}}'
        )
        calls, failing, p95 = numbers
        errors = None if failing is None else calls * failing
        for name, value in (
            ("edge:calls:rate5m", calls),
            ("edge:errors:rate5m", errors),
            ("edge:errors:ratio_rate5m", failing),
            ("edge:latency_seconds:p95_5m", p95),
        ):
            if value is not None:
                yield {"series": name + labels, "values": f"{value:g}x4"}


@pytest.fixture
def answers(tmp_path):
    """A query's answer, checked against one that is given: sets of labels."""

    def check(expr, expected):
        samples = [
            {
                "labels": "{" + ", ".join(f'{key}="{text}"' for key, text in one.items()) + "}",
                "value": 1,
            }
            for one in expected
        ]
        asked = {"expr": expr, "eval_time": "2m", "exp_samples": samples}
        test = {"interval": "1m", "input_series": list(_inputs()), "promql_expr_test": [asked]}
        path = tmp_path / "test.yml"
        path.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
        words = [*program("promtool"), "test", "rules", str(path)]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    return check


def _node(name, subtitle, rate, colour, p95="", *, page="", service=""):
    found = {
        "id": name,
        "title": name.rpartition("/")[2],
        "subtitle": subtitle,
        "mainstat": rate,
        "color": colours.SHADES[colour],
        "page": page or subtitle,
        "service": service or name.partition("/")[0],
    }
    return found | ({"secondarystat": p95} if p95 else {})


def test_both_ends_of_each_edge_are_nodes(answers):
    """With what goes to them from all sides; green, orange, red by the share of it that fails."""
    answers(
        edges.nodes(_EVERY),
        [
            _node("clients", "clients", "5/s", colours.PLAIN, page="overview", service="All"),
            _node("shop", "service", "5/s", colours.GOOD, "200 ms"),
            _node("books", "service", "6/s", colours.PLAIN),
            # An eighth of what both callers ask, though half of what one of them does.
            _node("rates", "service", "4/s", colours.WATCH, "20 ms"),
            _node(
                "mail.example:443",
                "outside API",
                "2/s",
                colours.WATCH,
                "1500 ms",
                page="dependency",
                service="All",
            ),
            _node("shop/prices", "cache", "300/s", colours.PLAIN),
            _node("books/prices", "cache", "3/s", colours.PLAIN),
            _node("shop/Redis", "second tier", "0/s", colours.GOOD, "1 ms", page="cache"),
        ],
    )


def test_a_service_alone_has_its_own_edges_only(answers):
    """Its own ends are there as well: the map of one service is whole."""
    answers(
        edges.nodes('service=~"books"'),
        [
            _node("books", "service", "6/s", colours.PLAIN),
            _node("books/prices", "cache", "3/s", colours.PLAIN),
            _node("rates", "service", "3/s", colours.GOOD, "20 ms"),
        ],
    )


def test_a_service_that_calls_nothing_is_seen_with_its_callers(answers):
    """Chosen by either end; what both choose is there once."""
    either = ('service=~"rates|books"', 'target=~"rates|books"')
    answers(
        edges.nodes(*either),
        [
            _node("books", "service", "6/s", colours.PLAIN),
            _node("books/prices", "cache", "3/s", colours.PLAIN),
            _node("rates", "service", "4/s", colours.WATCH, "20 ms"),
            _node("shop", "service", "1/s", colours.PLAIN),
        ],
    )


def test_an_edge_tells_its_calls_its_time_and_what_fails(answers):
    """As texts; what is not measured is left out."""
    found = []
    for source, target, rate, texts in (
        ("clients", "shop", "5/s", {"p95": "200 ms"}),
        ("shop", "mail.example:443", "2/s", {"p95": "1500 ms", "failing": "10 % fail"}),
        ("shop", "rates", "1/s", {"p95": "12.3 ms", "failing": "50 % fail"}),
        ("shop", "shop/prices", "300/s", {}),
        ("shop/prices", "shop/Redis", "0/s", {"p95": "1 ms"}),
        ("books", "books/prices", "3/s", {}),
        ("books", "rates", "3/s", {"p95": "20 ms"}),
    ):
        second = f"{texts.get('p95', '')} {texts.get('failing', '')}"
        found.append(
            {
                "id": f"{source} → {target}",
                "source": source,
                "target": target,
                "mainstat": rate,
                "secondarystat": second,
                **texts,
            }
        )
    answers(edges.arrows(_EVERY), found)
