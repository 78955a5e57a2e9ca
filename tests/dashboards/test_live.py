"""No empty panel: every query of every dashboard, asked as Grafana asks it, over all that there is.

Once for the installed Prometheus, and for each newer one that is at hand: below .stack/newer-*,
where .ci/newer unpacks it, or in the folder that GNOMON_TEST_NEWER names.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards import asked, history
from dashboards.answers import Answers
from dashboards.studio import QUICK, Studio, remember, studio, wait
from servers import ROOT, program

log = logging.getLogger(__name__)

#: Whoever comes first waits for all to be started.
pytestmark = pytest.mark.timeout(1200)

#: Queries that give nothing here, by where they stand, each with the reason. Ten at most.
EXCEPTIONS = {
    "meta / Applications' telemetry / Spans / C": "no Jaeger runs here",
    "meta / Applications' telemetry / Grafana: not answered / A": "no Grafana runs here",
    "meta / Applications' telemetry / Grafana: not answered / B": "no Grafana runs here",
}

#: How long everything may take to have happened at least once.
PATIENCE_S = 480.0


def _newer() -> dict[str, list[str]]:
    named = os.environ.get("GNOMON_TEST_NEWER")
    found = sorted(ROOT.glob(".stack/newer-*/usr/bin/prometheus"))
    if named:
        found.append(Path(named, "prometheus"))
    return {"newer": [str(found[-1])]} if found else {}


VERSIONS = ("installed", "newer")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[Studio]:
    """The studio, with its history."""
    folder = tmp_path_factory.mktemp("studio")
    versions = {"installed": program("prometheus")} | _newer()
    with studio(folder, versions, pace=QUICK) as running:
        remember(running, program("promtool"), history.reach(asked.graphs()))
        yield running


@pytest.fixture(params=VERSIONS)
def answers(request, made) -> Answers:
    """What a version of Prometheus answers."""
    if request.param not in made.prometheus:
        pytest.skip("no newer Prometheus at hand: .ci/newer unpacks one")
    return Answers(made.prometheus[request.param].url)


def test_no_panel_is_empty(answers):
    """Each query of each panel gives at least one number; those that do not are listed at once."""
    waiting = [(path, query) for path in asked.PATHS for query in asked.queries(path)]
    end = time.monotonic() + PATIENCE_S
    while True:
        paths = sorted({path for path, _ in waiting})
        empty = {str(query): query for path in paths for query in answers.empty(path)}
        left = empty.keys() - EXCEPTIONS.keys()
        if not left or answers.errors or time.monotonic() > end:
            break
        log.info("waiting for %s", ", ".join(sorted(left)))
        waiting = [(path, query) for path, query in waiting if str(query) in empty]
        time.sleep(5)
    assert answers.errors == {}
    text = "\n".join(f"{name}: {empty[name].expr}" for name in sorted(left))
    assert not left, f"\n{text}"


def test_what_is_excepted_exists():
    """Ten at most, and each is a query that there is."""
    there = {str(query) for path in asked.PATHS for query in asked.queries(path)}
    assert EXCEPTIONS.keys() - there == set()
    assert len(EXCEPTIONS) <= 10


def test_every_variable_has_something_to_choose(answers):
    """Each finds values, at least for one choice of those before it."""
    found = []
    for path in asked.PATHS:
        board = asked.dashboard(path)
        offered = asked.choices(board, answers.series)
        found += [
            f"{path.stem}: {variable['name']}"
            for variable in asked.variables(board)
            if not any(asked.values_of(variable, one, answers.series) for one in offered[:20])
        ]
    assert found == []


def test_events_are_drawn(answers):
    """The annotations' queries are answered; that of alerts has some to show."""
    shown = {}
    for path in asked.PATHS:
        board = asked.dashboard(path)
        offered = asked.choices(board, answers.series)
        for event in board["annotations"]["list"]:
            query = asked.Query(
                board=path.stem,
                section="",
                panel=event["name"],
                ref="",
                expr=event["expr"],
                instant=False,
                span_s=3600,
                step_s=30,
            )
            shown[str(query)] = bool(answers.numbers(query, offered[0]))
    assert any(shown.values())


def test_the_rules_have_no_error_over_all_of_it(made):
    """On all series that there are, also with those of the past."""
    for prometheus in made.prometheus.values():
        wait(lambda p=prometheus: all(rule["health"] == "ok" for rule in p.rules()), 120, "rules")


def test_an_empty_panel_would_be_found(answers, tmp_path):
    """A query of nothing and one of what is no number are told; one that answers is not."""
    board = dict(asked.dashboard(asked.PATHS[0]))
    exprs = {
        "good": "up",
        "nothing": "no_such_metric",
        "none": "0 * up / 0",
        "old": "up offset 90d",
    }
    board["panels"] = [
        {
            "type": "stat",
            "title": "one",
            "gridPos": {"w": 24},
            "targets": [
                {"expr": expr, "refId": name, "instant": name != "old"}
                for name, expr in exprs.items()
            ],
        }
    ]
    path = tmp_path / "some.json"
    path.write_text(json.dumps(board))
    assert [query.ref for query in answers.empty(path)] == ["nothing", "none", "old"]
    assert answers.errors == {}


def test_a_query_that_is_refused_would_be_found(answers, tmp_path):
    """With Prometheus' own words."""
    board = dict(asked.dashboard(asked.PATHS[0]))
    target = {"expr": "sum(", "refId": "A", "instant": True}
    panel = {"type": "stat", "title": "one", "gridPos": {"w": 24}, "targets": [target]}
    path = tmp_path / "some.json"
    path.write_text(json.dumps({**board, "panels": [panel]}))
    answers.empty(path)
    assert "parse error" in answers.errors["some / one / A"]
