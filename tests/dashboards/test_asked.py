"""What the tests put in for Grafana, and what they make of the past."""

import json

import pytest

from dashboards import asked, history


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("rate(x[$__rate_interval])", "rate(x[70s])"),
        ("rate(x[$__interval])", "rate(x[60s])"),
        ("increase(x[$__range]) / $__range_s", "increase(x[3600s]) / 3600"),
        ('x{a=~"$a", b="${b}", c="[[a]]"}', 'x{a=~".+", b="y", c=".+"}'),
        ('label_replace(x, "a", "$1-${2}", "b", "(.*)(.*)")',) * 2,
    ],
)
def test_macros_and_variables_are_put_in(text, becomes):
    """As Grafana does; what regular expressions of PromQL refer to stays."""
    assert asked.replaced(text, {"a": ".+", "b": "y"}, span_s=3600, step_s=60) == becomes


def test_a_variable_that_there_is_not_is_an_error():
    """It would be left in the query, and Prometheus would not understand it."""
    with pytest.raises(KeyError):
        asked.replaced("x{a=~'$a'}", {}, span_s=3600, step_s=60)


def test_a_short_step_has_a_rate_over_four_scrapes():
    """With less, one scrape that is late would make a hole."""
    assert asked.replaced("$__rate_interval", {}, 3600, 10) == "40s"


def _variable(name, query, *, everything):
    return {
        "name": name,
        "type": "query",
        "query": {"query": query},
        "includeAll": everything,
        "allValue": ".+" if everything else None,
    }


def test_choices_follow_each_other():
    """The second variable offers what the choice of the first leaves; "all" is a pattern."""
    board = {
        "templating": {
            "list": [
                _variable("service", "label_values(up, service)", everything=False),
                _variable("route", 'label_values(up{s="$service"}, route)', everything=False),
                _variable("rest", "label_values(up, rest)", everything=True),
            ]
        }
    }
    there = {
        "up": [{"service": "b"}, {"service": "a"}],
        'up{s="a"}': [{"route": "/"}, {"route": "/x"}],
        'up{s="b"}': [],
    }
    assert asked.choices(board, there.__getitem__) == [
        {"service": "a", "route": "/", "rest": ".+"},
        {"service": "a", "route": "/x", "rest": ".+"},
        {"service": "b", "route": "", "rest": ".+"},
    ]


def test_queries_know_their_time_and_step(tmp_path):
    """A panel's own time goes before the dashboard's, a query's least step before the width's."""
    target = {"expr": "up", "refId": "A", "instant": False}
    place = {"w": 24}
    panels = [
        {"type": "row", "title": "Later", "panels": []},
        {"type": "stat", "title": "one", "gridPos": place, "targets": [target]},
        {
            "type": "timeseries",
            "title": "two",
            "timeFrom": "35d",
            "gridPos": place,
            "targets": [{**target, "interval": "2h"}],
        },
    ]
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"time": {"from": "now-6h"}, "panels": panels}))
    found = [(str(query), query.span_s, query.step_s) for query in asked.queries(path)]
    assert found == [
        ("some / Later / one / A", 6 * 3600, 15),
        ("some / Later / two / A", 35 * 86_400, 7200),
    ]


def test_expressions_look_back_by_their_windows_and_offsets():
    """Windows add up, an offset is another part of the past, and the present is one, too."""
    more = 3600
    assert set(history.looks_back("max_over_time(rate(x[5m])[1h:1m]) / x offset 1w", 600)) == {
        (3600 + 300 + 600, 0),
        (7 * 86_400 + 3600 + 300 + 600, 7 * 86_400),
        (more, 0),
        (7 * 86_400 + more, 7 * 86_400),
    }
