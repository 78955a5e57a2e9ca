"""From a panel and its answers to what a browser draws."""

import pytest

from gnomon_console.boards import Panel, Target
from gnomon_console.panels import (
    bargauge,
    gauge,
    heatmap,
    nodegraph,
    stat,
    states,
    table,
    timeseries,
)
from gnomon_console.panels.drawn import Dot, Given, Mark
from gnomon_console.prometheus import Series
from gnomon_console.ranges import Range

AT = Range(1000, 1040, 10)
STEPS = {
    "steps": [{"color": "green", "value": None}, {"color": "red", "value": 0.5}],
}


def panel(kind="timeseries", **spec):
    """Return a panel with what its file says of it."""
    return Panel(1, kind, "Title", "Why?", (), 0, 0, 12, 8, spec)


def answer(*series, ref="A", legend="{{host}}", table_=False):
    """Return a query and its series."""
    target = Target(ref, "up", legend, instant=False, table=table_, exemplars=False, least="")
    return target, [Series(labels, points) for labels, points in series]


def line(host, *values):
    """Return a series with a value at each point of the time on show, None for a gap."""
    points = [(1000 + 10 * n, v) for n, v in enumerate(values) if v is not None]
    return {"host": host}, points


def given(one, *answers, **other):
    """Return what there is to draw."""
    return Given(one, answers, AT, link="from=1&to=2", **other)


def test_a_line_has_a_gap_where_there_is_no_value():
    """And its axis counts in the unit that makes its largest value short."""
    one = panel(fieldConfig={"defaults": {"unit": "bytes", "min": 0}})
    drawn = timeseries.draw(given(one, answer(line("a", 2048, None, float("nan"), 4096, 1024))))
    [series] = drawn["chart"]["series"]
    assert series["values"] == [2, None, None, 4, 1]
    assert drawn["suffix"] == " KiB"
    assert drawn["times"] == [1_000_000, 10_000]
    assert drawn["chart"]["yAxis"]["min"] == 0


def test_a_legend_says_what_is_asked_of_it():
    """Over the values that there are."""
    one = panel(
        fieldConfig={"defaults": {"unit": "s"}},
        options={"legend": {"calcs": ["mean", "max", "lastNotNull"]}},
    )
    drawn = timeseries.draw(given(one, answer(line("a", 1, None, 3))))
    assert drawn["legend"] == {"a": "a   mean 2 s   max 3 s   last 3 s"}


def test_overrides_hold_for_whom_they_name():
    """By name or by pattern; the last one wins."""
    one = panel(
        fieldConfig={
            "defaults": {"unit": "short", "custom": {"lineWidth": 1}},
            "overrides": [
                {
                    "matcher": {"id": "byRegexp", "options": "/^sent/"},
                    "properties": [{"id": "custom.transform", "value": "negative-Y"}],
                },
                {
                    "matcher": {"id": "byName", "options": "sent b"},
                    "properties": [
                        {"id": "color", "value": {"mode": "fixed", "fixedColor": "#123456"}}
                    ],
                },
            ],
        }
    )
    drawn = timeseries.draw(
        given(one, answer(line("received", 1), line("sent a", 2), line("sent b", 3)))
    )
    first, second, third = drawn["chart"]["series"]
    assert (first["values"][0], second["values"][0], third["values"][0]) == (1, -2, -3)
    assert third["color"] == "#123456"


def test_a_click_leads_where_the_panel_says():
    """With the time on show and the labels of what was clicked."""
    url = "/d/x?${__url_time_range}&${datasource:queryparam}&var-host=${__field.labels.host}"
    one = panel(fieldConfig={"defaults": {"links": [{"url": url, "title": "Host"}]}})
    drawn = timeseries.draw(given(one, answer(line("a/b", 1))))
    assert drawn["links"] == {"a/b": "/d/x?from=1&to=2&var-host=a%2Fb"}


def test_what_happened_at_the_same_time_is_one_band():
    """And each has a line of its own."""
    marks = [
        Mark(1000, 1020, "one", "red"),
        Mark(1010, 1030, "two", "red"),
        Mark(1000, 1005, "deploy", "blue"),
    ]
    dots = [Dot(1010, 2, "ab" * 16)]
    drawn = timeseries.draw(given(panel(), answer(line("a", 1, 2)), marks=marks, dots=dots))
    _, events, traces = drawn["chart"]["series"]
    bands = [(start["xAxis"], end["xAxis"]) for start, end in events["markArea"]["data"]]
    assert sorted(bands) == [(1_000_000, 1_005_000), (1_000_000, 1_030_000)]
    assert len(events["markLine"]["data"]) == 3
    assert traces["data"] == [{"value": [1_010_000, 2], "trace": "ab" * 16}]


@pytest.mark.parametrize(
    "draw",
    [
        timeseries.draw,
        stat.draw,
        gauge.draw,
        bargauge.draw,
        table.draw,
        heatmap.draw,
        states.draw,
        nodegraph.draw,
    ],
)
def test_nothing_is_said_in_the_panels_words(draw):
    """Or plainly, where it has none."""
    one = panel(fieldConfig={"defaults": {"noValue": "No GPU here"}})
    assert draw(given(one, answer())) == {"empty": "No GPU here"}
    assert draw(given(panel(), answer())) == {"empty": "No data"}


def test_a_number_has_the_colour_of_the_step_that_it_reached():
    """Its newest value, with its unit."""
    one = panel("stat", fieldConfig={"defaults": {"unit": "percentunit", "thresholds": STEPS}})
    drawn = stat.draw(given(one, answer(line("a", 0.9, 0.2)), answer(line("b", 0.5), ref="B")))
    assert [(each["text"], each["name"]) for each in drawn["values"]] == [
        ("20 %", "a"),
        ("50 %", "b"),
    ]
    green, red = (each["colour"] for each in drawn["values"])
    assert green != red


def test_a_value_can_have_a_name():
    """By its mapping, which also has a colour."""
    mapping = {"type": "value", "options": {"1": {"text": "works", "color": "green"}}}
    one = panel("stat", fieldConfig={"defaults": {"mappings": [mapping]}})
    assert stat.draw(given(one, answer(line("a", 1))))["values"][0]["text"] == "works"


def test_a_row_has_texts_colours_and_links():
    """A hidden column is no cell, though a link may name it."""
    link = [{"url": '/d/gnomon-host?var-instance=${__data.fields["At"]}', "title": ""}]
    one = panel(
        "table",
        fieldConfig={
            "defaults": {},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": "Used"},
                    "properties": [
                        {"id": "unit", "value": "percentunit"},
                        {"id": "custom.displayMode", "value": "color-text"},
                        {"id": "thresholds", "value": STEPS},
                    ],
                },
                {
                    "matcher": {"id": "byName", "options": "host"},
                    "properties": [{"id": "links", "value": link}],
                },
                {
                    "matcher": {"id": "byName", "options": "At"},
                    "properties": [{"id": "custom.hidden", "value": True}],
                },
            ],
        },
        transformations=[
            {
                "id": "organize",
                "options": {
                    "indexByName": {"host": 0, "Value": 1},
                    "renameByName": {"Value": "Used", "instance": "At"},
                    "excludeByName": {"Time": True},
                },
            }
        ],
    )
    rows = answer(({"host": "a", "instance": "10.0.0.1"}, [(1000, 0.7)]), table_=True)
    drawn = table.draw(given(one, rows))
    assert [column["field"] for column in drawn["columns"]] == ["host", "Used"]
    [row] = drawn["rows"]
    assert row["c0"] == {"t": "a", "l": "/d/gnomon-host?var-instance=10.0.0.1"}
    assert (row["c1"]["t"], row["c1"]["v"]) == ("70 %", 0.7)
    assert row["c1"]["c"]


def test_buckets_become_what_fell_between_two_bounds():
    """Each counts what the lower ones count, too; the lowest stands at the bottom."""
    one = panel("heatmap", fieldConfig={"defaults": {"unit": "s"}})
    series = [
        ({"le": "+Inf"}, [(1000, 9)]),
        ({"le": "0.1"}, [(1000, 2)]),
        ({"le": "1"}, [(1000, 7)]),
    ]
    drawn = heatmap.draw(given(one, answer(*series)))
    assert drawn["chart"]["yAxis"]["data"] == ["≤ 100 ms", "≤ 1 s", "more"]
    assert sorted(drawn["chart"]["series"][0]["data"]) == [[0, 0, 2], [0, 1, 5], [0, 2, 2]]


def test_states_have_their_names_and_colours():
    """A stripe for each series."""
    mapping = {
        "type": "value",
        "options": {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}},
    }
    one = panel("state-timeline", fieldConfig={"defaults": {"mappings": [mapping]}})
    drawn = states.draw(given(one, answer(line("a", 1, 1, 0), line("b", 1))))
    assert drawn["chart"]["yAxis"]["data"] == ["a", "b"]
    assert [piece["label"] for piece in drawn["chart"]["visualMap"]["pieces"]] == ["down", "up"]
    assert [2, 0, 0] in drawn["chart"]["series"][0]["data"]


def test_shares_and_bars_are_drawn_to_their_ends():
    """A dial between its ends; bars in the order of the answer."""
    defaults = {"unit": "percentunit", "min": 0, "max": 1, "thresholds": STEPS}
    one = panel("gauge", fieldConfig={"defaults": defaults})
    [dial] = gauge.draw(given(one, answer(line("a", 0.25))))["chart"]["series"]
    assert (dial["min"], dial["max"], dial["detail"]["formatter"]) == (0, 1, "25 %")
    assert [end for end, _ in dial["axisLine"]["lineStyle"]["color"]] == [0.5, 1.0]
    drawn = bargauge.draw(given(one, answer(line("b", 0.5), line("a", 0.9))))
    assert drawn["chart"]["yAxis"]["data"] == ["b", "a"]


def test_an_edge_is_drawn_between_nodes_that_are_there():
    """One to nowhere is left out: ECharts would refuse the whole graph."""
    nodes = answer(
        ({"id": "a", "title": "A"}, [(1000, 1)]),
        ({"id": "b", "title": "B"}, [(1000, 1)]),
        ref="nodes",
    )
    edges = answer(
        ({"id": "a-b", "source": "a", "target": "b", "mainstat": "5/s"}, [(1000, 1)]),
        ({"id": "a-c", "source": "a", "target": "c"}, [(1000, 1)]),
        ref="edges",
    )
    [graph] = nodegraph.draw(given(panel("nodeGraph"), nodes, edges))["chart"]["series"]
    assert [node["id"] for node in graph["data"]] == ["a", "b"]
    [edge] = graph["links"]
    assert (edge["source"], edge["target"], edge["label"]["formatter"]) == ("a", "b", "5/s")


def test_a_link_knows_a_column_by_its_name_before_it_got_its_title():
    """As Grafana does; in a column that is not shown, too."""
    one = panel(
        kind="table",
        fieldConfig={
            "defaults": {},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": "Route"},
                    "properties": [
                        {
                            "id": "links",
                            "value": [{"url": '/d/x?var-host=${__data.fields["host"]}'}],
                        }
                    ],
                },
                {
                    "matcher": {"id": "byName", "options": "Host"},
                    "properties": [{"id": "custom.hidden", "value": True}],
                },
            ],
        },
        transformations=[
            {"id": "organize", "options": {"renameByName": {"host": "Host", "route": "Route"}}}
        ],
    )
    found = table.draw(given(one, answer(({"host": "a/b", "route": "/x"}, [(1.0, 2.0)]))))
    place = [column["field"] for column in found["columns"]].index("Route")
    assert found["rows"][0][f"c{place}"]["l"] == "/d/x?var-host=a%2Fb"
