"""What every dashboard keeps to: its grid, words, units, variables, links, and what it may ask."""

import collections
import functools
import itertools
import json
import re
import subprocess
import urllib.parse

import pytest
import yaml
from click.testing import CliRunner

import exposed
import rulebook
from dashboards import asked
from gnomon_dashboards import catalogue, links
from gnomon_dashboards.queries import DATASOURCE
from gnomon_stack.__main__ import main
from rulebook import ALERTS, RECORDINGS
from servers import ROOT, program

BOARDS = {path.stem: asked.dashboard(path) for path in asked.PATHS}
ALL = [(name, panel) for name, board in BOARDS.items() for panel in asked.panels(board)]
QUERIES = [query for path in asked.PATHS for query in asked.queries(path)]
EVERY_BOARD = pytest.mark.parametrize("name", BOARDS)

KINDS = {
    "timeseries",
    "stat",
    "gauge",
    "bargauge",
    "table",
    "heatmap",
    "state-timeline",
    "nodeGraph",
    "text",
    "row",
}
TRANSFORMATIONS = {"merge", "organize", "filterFieldsByName", "renameByRegex"}

#: Panels of words and of maps have no number, and a state is shown by its name.
WITHOUT_UNIT = {"text", "nodeGraph", "state-timeline"}

#: Fixed windows on graphs of a dashboard, each with the reason.
FIXED_WINDOWS = {
    ("cache", "1h"): "what a load takes is known from the few that there were",
    ("queue", "5m"): "hardly anybody is refused: a shorter window is mostly empty",
    ("vitals", "15m"): "few pages are loaded within a minute",
}

#: Series that exist besides metrics.
OTHERS = {"ALERTS", "ALERTS_FOR_STATE", "up"}
#: What Prometheus adds to each scrape.
SCRAPED = {
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
}
#: The beginnings of what others' programs say of themselves; the live test holds them to it
#: where it runs them.
FOREIGN = (
    "prometheus_",
    "alertmanager_",
    "rabbitmq_",
    "probe_",
    "net_conntrack_",
    "go_",
    "otelcol_",
    "grafana_",
)

#: Alerts without a level that could be drawn, each with the reason.
NOT_DRAWN: dict[str, str] = {}

_ENDING = re.compile(r"(\d+[mhdw])$")
_OVER_TIME = re.compile(
    r"\b(?:rate|irate|increase)\s*\(\s*([a-zA-Z_:][\w:]*)?\s*(?:\{[^{}]*\})?\s*\[([^\]]+)\]"
)


def _problems(found):
    """Fail with all of them at once."""
    text = "\n".join(sorted(found))
    assert not text, f"\n{text}"


def test_the_files_are_what_the_builders_make(monkeypatch):
    """Nobody has edited one by hand, and none was left behind."""
    monkeypatch.chdir(ROOT)
    ran = CliRunner().invoke(main, ["dashboards", "--check"])
    assert ran.exit_code == 0, ran.output


@EVERY_BOARD
def test_a_dashboard_is_called_after_its_file(name):
    """Its fixed uid, by which addresses know it, and the tag by which the list finds it."""
    board = BOARDS[name]
    assert board["uid"] == f"gnomon-{name}"
    assert links.TAG in board["tags"]
    assert board["title"]
    assert board["description"]
    assert board["editable"] is False
    assert name in catalogue.SUBJECTS


def test_titles_are_unique():
    """A list of dashboards has no two of one name."""
    titles = [board["title"] for board in BOARDS.values()]
    assert sorted(set(titles)) == sorted(titles)


@EVERY_BOARD
def test_ids_are_unique(name):
    """Those of panels, also in folded rows, and of the queries in a panel."""
    ids = [panel["id"] for panel in asked.everything(BOARDS[name])]
    assert sorted(set(ids)) == sorted(ids)
    for panel in asked.panels(BOARDS[name]):
        refs = [target["refId"] for target in panel["targets"]]
        assert sorted(set(refs)) == sorted(refs), panel["title"]


def _cells(panel):
    at = panel["gridPos"]
    return itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))


@EVERY_BOARD
def test_panels_stand_side_by_side(name):
    """No two overlap, none leaves the 24 columns, and no line has a hole; folded rows alike."""
    board = BOARDS[name]
    folded = [row["panels"] for row in board["panels"] if row["type"] == "row"]
    found = []
    for panels in [board["panels"], *folded]:
        taken = {}
        for panel in panels:
            at = panel["gridPos"]
            if not 0 <= at["x"] < at["x"] + at["w"] <= 24:
                found.append(f"{panel['title']}: leaves the grid")
            for cell in _cells(panel):
                if cell in taken:
                    found.append(f"{panel['title']}: overlaps {taken[cell]}")
                    break
                taken[cell] = panel["title"]
        tops = {at["y"] for panel in panels for at in [panel["gridPos"]]}
        found += [
            f"{taken[first]}: a hole in its line"
            for y in tops
            for first in [next(cell for cell in taken if cell[1] == y)]
            if any((x, y) not in taken for x in range(24))
        ]
    _problems(found)


@EVERY_BOARD
def test_few_graphs_stand_above_the_fold(name):
    """What is seen first has at most seven graphs or tables, besides the numbers."""
    small = {"stat", "gauge", "text", "row"}
    first = [p for p in BOARDS[name]["panels"] if p["gridPos"]["y"] < 30 and p["type"] not in small]
    above = [p["title"] for p in first if p["gridPos"]["y"] + p["gridPos"]["h"] <= 30]
    assert len(above) <= 7, above


def test_each_panel_says_what_it_shows():
    """A title, a question, a unit where there are numbers, and a kind that the console draws."""
    found = []
    for name, panel in ALL:
        where = f"{name} / {panel['title']}"
        if not panel["title"].strip():
            found.append(f"{name} / {panel['id']}: no title")
        if len(panel["description"]) < 10:
            found.append(f"{where}: no question")
        if panel["type"] not in KINDS:
            found.append(f"{where}: a {panel['type']}")
        if panel["type"] not in WITHOUT_UNIT and not panel["fieldConfig"]["defaults"].get("unit"):
            found.append(f"{where}: no unit")
        found += [
            f"{where}: transformation {step['id']}"
            for step in panel.get("transformations", ())
            if step["id"] not in TRANSFORMATIONS
        ]
    _problems(found)


def test_titles_within_a_section_differ():
    """Two panels of one title cannot be told apart in a message."""
    counted = [(name, panel["title"]) for name, panel in ALL]
    _problems(
        f"{name} / {title}" for name, title in set(counted) if counted.count((name, title)) > 1
    )


def _datasources(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "datasource":
                yield inner
            else:
                yield from _datasources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _datasources(inner)


@EVERY_BOARD
def test_the_datasource_is_the_one_that_was_chosen(name):
    """In panels, queries, variables and annotations; nowhere a uid of one installation."""
    board = BOARDS[name]
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert [one for one in _datasources(board) if one != DATASOURCE] == []
    for panel in asked.panels(board):
        assert panel["datasource"] == DATASOURCE
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


def test_counters_are_read_over_a_window_that_fits_the_step():
    """A graph over raw counters uses $__rate_interval, or what is on show.

    A single number may say in its window over which time it is ("of the last day"); and what is
    compared with a recording in the same panel is read over the recording's window.
    """
    recorded = collections.defaultdict(set)
    for query in QUERIES:
        for name in rulebook.metrics(query.asked(_Anything())) & RECORDINGS.keys():
            recorded[query.board, query.section, query.panel] |= set(_ENDING.findall(name))
    found = []
    for query in QUERIES:
        for name, window in _OVER_TIME.findall(query.expr):
            good = (
                window.startswith(("$__rate_interval", "$__range"))
                or query.instant
                or ":" in name
                or window in recorded[query.board, query.section, query.panel]
                or (query.board, window) in FIXED_WINDOWS
            )
            if not good:
                found.append(f"{query}: {name}[{window}]")
    _problems(found)


@functools.cache
def _known():
    return frozenset(exposed.exporter() | exposed.library() | RECORDINGS.keys() | OTHERS | SCRAPED)


def _is_known(name):
    return name in _known() or name.startswith(FOREIGN)


def test_every_metric_that_is_asked_for_exists():
    """A recording, or what Gnomon's own parts, Prometheus, RabbitMQ or blackbox_exporter expose."""
    _problems(
        f"{query}: {name}"
        for query in QUERIES
        for name in rulebook.metrics(query.asked(_Anything()))
        if not _is_known(name)
    )


class _Anything(dict[str, str]):
    """Choices that have a value for every variable."""

    def __missing__(self, name):
        return "x"


@EVERY_BOARD
def test_variables_are_declared_and_used(name):
    """Each that is used was declared, each that was declared is used; they follow the time."""
    board = BOARDS[name]
    declared = {variable["name"]: variable for variable in asked.variables(board)}
    body = {key: value for key, value in board.items() if key != "templating"}
    used = asked.named(json.dumps(body, ensure_ascii=False))
    for variable in declared.values():
        used |= asked.named(json.dumps(variable["query"]))
    assert used - declared.keys() == set()
    assert declared.keys() - used == set()
    for variable in declared.values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2, variable["name"]
            source = variable["query"]["query"]
            unknown = rulebook.metrics(_selector(source)) - _known()
            assert {n for n in unknown if not _is_known(n)} == set(), source
        if variable["multi"] or variable["includeAll"]:
            assert variable["allValue"], variable["name"]


def _selector(query):
    """Return what a variable selects its values from."""
    found = asked._LABEL_VALUES.fullmatch(query)
    return asked.replaced(found[1] or "up", _Anything(), 3600, 15)


def _links(value):
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        for inner in value.values():
            yield from _links(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _links(inner)


@EVERY_BOARD
def test_links_lead_somewhere(name):
    """To a dashboard that there is, with variables that it has, and with the time on show."""
    uids = {board["uid"]: board for board in BOARDS.values()}
    found = []
    for url in filter(None, _links(BOARDS[name])):
        parts = urllib.parse.urlsplit(url)
        if not url.startswith("/d/"):
            found += [url] if not url.startswith(("${", "https://")) else []
            continue
        if "${__data.fields" in parts.path:
            continue  # the page that a row names: test_overview.py knows which there are
        board = uids.get(parts.path.split("/")[2])
        if board is None:
            found.append(f"{url}: no such dashboard")
            continue
        there = {variable["name"] for variable in asked.variables(board)}
        given = re.findall(r"[?&]var-(\w+)=", url)
        found += [f"{url}: {board['uid']} has no {one}" for one in given if one not in there]
        if "__url_time_range" not in url and "from=" not in url:
            found.append(f"{url}: loses the time")
    _problems(found)


def _leaves(name):
    """Return a metric, and what a recording of that name is made of, all the way down."""
    found = {name}
    for rule in rulebook._MAKERS.get(name, ()):
        for inner in rule.reads - {name}:
            found |= _leaves(inner)
    return found


def test_each_alert_has_a_panel_that_shows_its_level():
    """A metric that its expression reads, or that one of its recordings is made of, is drawn."""
    drawn = set().union(*(rulebook.metrics(query.asked(_Anything())) for query in QUERIES))
    found = []
    for alert in ALERTS:
        levels = {n for n in alert.reads if not n.startswith("threshold:")} - {"ALERTS"}
        made = set().union(*map(_leaves, levels))
        if levels and not (levels | made - {"up"}) & drawn and alert.name not in NOT_DRAWN:
            found.append(f"{alert.subject} / {alert.name}: {', '.join(sorted(levels))}")
    _problems(found)


def test_every_query_is_promql(tmp_path):
    """With all variables and macros put in; annotations and variables, too."""
    exprs = {f"q{n}": query.asked(_Anything()) for n, query in enumerate(QUERIES)}
    for name, board in BOARDS.items():
        for number, event in enumerate(board["annotations"]["list"]):
            exprs[f"{name}_event{number}"] = asked.replaced(event["expr"], _Anything(), 3600, 15)
        for variable in asked.variables(board):
            if variable["type"] == "query":
                exprs[f"{name}_{variable['name']}"] = _selector(variable["query"]["query"])
    rules = [{"record": f"asked:{name}:x", "expr": expr} for name, expr in exprs.items()]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    words = [*program("promtool"), "check", "rules", "--lint=none", str(path)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_missing_is_not_drawn_as_a_number():
    """Graphs of Grafana draw the word for "no value" where it reads as a number, and "" does."""
    found = []
    for name, panel in ALL:
        defaults, overrides = (panel["fieldConfig"][part] for part in ("defaults", "overrides"))
        said = [defaults.get("noValue", "No data")]
        said += [
            each["value"]
            for override in overrides
            for each in override["properties"]
            if each["id"] == "noValue"
        ]
        found += [
            f"{name} / {panel['title']}: {word!r}"
            for word in said
            if not word.strip() or re.fullmatch(r"\s*[-+.\d]+\s*", word)
        ]
    _problems(found)


def _modes(value):
    """Return the modes of all colours in something."""
    if isinstance(value, list):
        return {mode for inner in value for mode in _modes(inner)}
    if not isinstance(value, dict):
        return set()
    own = {value["mode"]} if "fixedColor" in value else set()
    if isinstance(colour := value.get("color"), dict) and "mode" in colour:
        own.add(colour["mode"])
    return own.union(*(_modes(inner) for inner in value.values()))


def test_colours_are_those_that_old_versions_know():
    """One mode that Grafana 9.4 does not know, and the panel never appears."""
    known = {"fixed", "thresholds", "palette-classic", "continuous-BlPu", "continuous-GrYlRd"}
    found = set()
    for _, panel in ALL:
        found |= _modes(panel["fieldConfig"])
    assert {"fixed", "thresholds"} <= found <= known


def test_tables_of_several_queries_have_one_that_is_always_answered():
    """Grafana names the values of a lone answer otherwise, and their column would be lost."""
    tables = [(n, p) for n, p in ALL if p["type"] == "table" and len(p["targets"]) > 1]
    assert tables
    _problems(
        f"{name} / {panel['title']}"
        for name, panel in tables
        if panel["targets"][-1]["expr"] != "vector(1)"
    )
