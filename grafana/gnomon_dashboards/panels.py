"""The panels that dashboards are made of: a question each, and how its answer is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon_dashboards import colours, units
from gnomon_dashboards.limits import value
from gnomon_dashboards.queries import DATASOURCE, Query

#: Steps of colour from the lowest up: what holds from -∞, and from each number on.
Steps = tuple[tuple[float | None, str], ...]

PLAIN: Steps = ((None, colours.PLAIN),)
GOOD: Steps = ((None, colours.GOOD),)
#: Anything but zero is bad.
NONE_IS_GOOD: Steps = ((None, colours.GOOD), (1, colours.BAD))
#: One is up, zero is down.
UP: Steps = ((None, colours.BAD), (1, colours.GOOD))


def above(name: str, *, watch: float = 0.8) -> Steps:
    """Return colours for a level that shall stay below a threshold of thresholds.yml.

    watch: the share of the threshold from which it is worth a look.
    """
    bad = value(name)
    return ((None, colours.GOOD), (bad * watch, colours.WATCH), (bad, colours.BAD))


def below(name: str, *, watch: float = 2) -> Steps:
    """Return colours for a level that shall stay above a threshold of thresholds.yml.

    watch: the multiple of the threshold up to which it is worth a look.
    """
    bad = value(name)
    return ((None, colours.BAD), (bad, colours.WATCH), (bad * watch, colours.GOOD))


def words(*named: tuple[float, str, str]) -> dict[str, Any]:
    """Return what numbers are called, for ``mappings``: value, text, colour."""
    return {
        "type": "value",
        "options": {
            f"{number:g}": {"color": colour, "index": n, "text": text}
            for n, (number, text, colour) in enumerate(named)
        },
    }


#: What a number is called that is 1 while something answers.
ANSWERS = words((0, "no", colours.BAD), (1, "yes", colours.GOOD))


#: In place of a value that is missing: not "", which graphs of Grafana take for the number 0.
_UNSEEN = "\u200b"

#: Kinds that show one value for each series, and words in its place.
_SINGLE = ("stat", "gauge", "bargauge")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel.

    title, question: what stands above it, and what it answers, behind the small i. kind: Grafana's
    name of the panel type. unit: one of ``units``. empty: what is said where there is no data, if
    that is no fault ("No GPU on this machine"). steps: colours by value. links: where a click on
    a value leads. width, height: in the grid's 24 columns and rows of about 30 pixels. custom,
    options, defaults: what else Grafana stores for the type. overrides: what differs for some
    series. transformations: of what the queries answer, in order.
    """

    kind: str
    title: str
    question: str
    queries: tuple[Query, ...] = ()
    unit: str = units.COUNT
    empty: str = ""
    steps: Steps = PLAIN
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    links: tuple[Mapping[str, Any], ...] = ()
    width: int = 12
    height: int = 8
    mappings: tuple[Mapping[str, Any], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[Mapping[str, Any], ...] = ()
    transformations: tuple[Mapping[str, Any], ...] = ()
    #: Colours by value, by the series, or one for all: Grafana's mode.
    colour: str = "thresholds"
    #: Asked over this time instead of the one on show ("35d"), if not "".
    span: str = ""

    def json(self, panel_id: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel as Grafana stores it, at a place in the grid."""
        defaults: dict[str, Any] = {
            "color": {"mode": self.colour},
            "custom": dict(self.custom),
            "links": [dict(link) for link in self.links],
            "mappings": [dict(mapping) for mapping in self.mappings],
            "thresholds": {
                "mode": "absolute",
                "steps": [{"color": colour, "value": start} for start, colour in self.steps],
            },
            "unit": self.unit,
            **self.defaults,
        }
        given = {"decimals": self.decimals, "min": self.low, "max": self.high}
        defaults |= {key: number for key, number in given.items() if number is not None}
        overrides = [dict(override) for override in self.overrides]
        if self.empty:
            defaults["noValue"] = self.empty
            if self.kind in _SINGLE:
                # In the colour of the lowest step it would look like a value, a bad one at times.
                nothing = {"color": colours.FAINT, "index": 99, "text": self.empty}
                said = {"type": "special", "options": {"match": "null", "result": nothing}}
                defaults["mappings"] = [*defaults["mappings"], said]
            else:
                # Said where there is nothing at all; not in each empty cell and between two ticks.
                overrides.append(styled(".*", pattern=True, noValue=_UNSEEN))
        found: dict[str, Any] = {
            "datasource": DATASOURCE,
            "description": self.question,
            "fieldConfig": {
                "defaults": defaults,
                "overrides": overrides,
            },
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": panel_id,
            "options": dict(self.options),
            "targets": [query.json(_letter(n)) for n, query in enumerate(self.queries)],
            "title": self.title,
            "type": self.kind,
        }
        if self.transformations:
            found["transformations"] = [dict(each) for each in self.transformations]
        if self.span:
            found["timeFrom"] = self.span
            found["hideTimeOverride"] = False
        return found


def _letter(number: int) -> str:
    """Return the name of the query with this number: A to Z, then AA, AB…."""
    first, second = divmod(number, 26)
    return (chr(64 + first) if first else "") + chr(65 + second)


def styled(series: str, *, pattern: bool = False, **properties: Any) -> dict[str, Any]:
    """Return what differs for the series or column of one name.

    pattern: the name is a regular expression. properties: by their names in Grafana, with ``__``
    for a dot: ``custom__lineWidth=2``, ``unit="s"``, ``color={"mode": "fixed", …}``.
    """
    matcher = (
        {"id": "byRegexp", "options": f"/{series}/"}
        if pattern
        else {"id": "byName", "options": series}
    )
    return {
        "matcher": matcher,
        "properties": [
            {"id": name.replace("__", "."), "value": given} for name, given in properties.items()
        ],
    }


def coloured(series: str, colour: str, *, pattern: bool = False) -> dict[str, Any]:
    """Return the colour of the series of one name, which says what they mean."""
    return styled(series, pattern=pattern, color={"mode": "fixed", "fixedColor": colour})


#: Of a graph of nothing but failures.
FAILURES = coloured(".*", colours.BAD, pattern=True)

#: Of the series that ``queries.percentiles`` returns.
PERCENTILES = (
    coloured("p50", colours.MEDIAN),
    coloured("p95", colours.MOST),
    coloured("p99", colours.NEARLY_ALL),
)

#: How the recording of a threshold is called in every legend, and drawn in every graph.
LIMIT = "alert at"


def limit(expr: str, name: str = LIMIT) -> Query:
    """Return the query for a line at which an alert changes its mind. name: starts with LIMIT."""
    return Query(expr=expr, legend=name)


#: How high an axis reaches at least, by its unit: one of nothing but zeros would reach to 100.
_LEAST = {
    units.BITS_RATE: 1000,
    units.BYTES: 1024,
    units.BYTES_RATE: 1024,
    units.CORES: 0.01,
    units.COUNT: 1,
    units.EVENTS_RATE: 0.01,
    units.MESSAGES_RATE: 0.01,
    units.OPERATIONS_RATE: 0.01,
    units.RATIO: 0.01,
    units.REQUESTS_RATE: 0.01,
    units.SECONDS: 0.001,
}

#: Of a graph, and of one whose legend is a table: three lines of it are seen then.
_HEIGHT, _HEIGHT_WITH_TABLE = 8, 9

_LIMIT_STYLE = styled(
    f"^{LIMIT}.*",
    pattern=True,
    color={"mode": "fixed", "fixedColor": colours.BAD},
    custom__drawStyle="line",
    custom__lineStyle={"fill": "dash", "dash": [8, 8]},
    custom__lineWidth=1,
    custom__fillOpacity=0,
    custom__stacking={"mode": "none", "group": "A"},
)


def graph(
    title: str,
    question: str,
    *queries: Query,
    unit: str,
    stacked: bool = False,
    filled: int = 10,
    bars: bool = False,
    legend: Sequence[str] = ("mean", "max", "lastNotNull"),
    logarithmic: bool = False,
    overrides: Sequence[Mapping[str, Any]] = (),
    low: float | None = 0,
    **other: Any,
) -> Panel:
    """Return lines over time.

    stacked: on top of each other, for parts of a whole. filled: opacity below the lines, in
    percent. bars: instead of lines. legend: what its table says of each series; () for a list
    without numbers. logarithmic: the axis. low: where the axis begins, None for where the data do.
    """
    custom: dict[str, Any] = {
        "axisPlacement": "auto",
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 80 if bars else 60 if stacked else filled,
        "gradientMode": "none" if stacked or bars else "opacity",
        "lineInterpolation": "linear",
        # None around areas: one around nothing would look like something.
        "lineWidth": 0 if stacked and not bars else 1,
        "pointSize": 4,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    if logarithmic:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
        low = None
    if low == 0 and "high" not in other and unit in _LEAST:
        custom["axisSoftMax"] = _LEAST[unit]
    return Panel(
        kind="timeseries",
        title=title,
        question=question,
        queries=queries,
        unit=unit,
        colour="palette-classic",
        low=low,
        height=other.pop("height", _HEIGHT_WITH_TABLE if legend else _HEIGHT),
        custom=custom,
        options={
            "legend": {
                "calcs": list(legend),
                "displayMode": "table" if legend else "list",
                "placement": "bottom",
                "showLegend": True,
                **({"sortBy": "Last *", "sortDesc": True} if legend else {}),
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        overrides=(*overrides, _LIMIT_STYLE),
        **other,
    )


_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def number(
    title: str,
    question: str,
    *queries: Query,
    unit: str,
    filled: bool = False,
    text: str = "auto",
    **other: Any,
) -> Panel:
    """Return a value of now, large.

    No past behind it: what matters has a graph below, and a number asks for one moment only.
    filled: the panel is coloured. text: "auto", or "value_and_name" for several beside each other.
    """
    return Panel(
        kind="stat",
        title=title,
        question=question,
        queries=queries,
        unit=unit,
        width=other.pop("width", 4),
        height=other.pop("height", 4),
        options={
            "colorMode": "background" if filled else "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": _REDUCED,
            "textMode": text,
        },
        **other,
    )


def dial(title: str, question: str, *queries: Query, unit: str, **other: Any) -> Panel:
    """Return a value between two ends that it cannot leave, as a share of a whole."""
    return Panel(
        kind="gauge",
        title=title,
        question=question,
        queries=queries,
        unit=unit,
        low=other.pop("low", 0),
        high=other.pop("high", 1),
        width=other.pop("width", 4),
        height=other.pop("height", 6),
        options={
            "orientation": "auto",
            "reduceOptions": _REDUCED,
            "showThresholdLabels": False,
            "showThresholdMarkers": True,
        },
        **other,
    )


def ranking(title: str, question: str, *queries: Query, unit: str, **other: Any) -> Panel:
    """Return values of now as bars beside each other, in the order of the answer."""
    return Panel(
        kind="bargauge",
        title=title,
        question=question,
        queries=queries,
        unit=unit,
        low=other.pop("low", 0),
        options={
            "displayMode": "basic",
            "minVizHeight": 16,
            "minVizWidth": 8,
            "orientation": "horizontal",
            "reduceOptions": _REDUCED,
            "showUnfilled": True,
            "text": {"titleSize": 14, "valueSize": 16},
        },
        **other,
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    source: the label, or "Value #REF" of the query that it comes from. title: what stands above
    it. unit, decimals, steps: as of panels; without steps it is not coloured. bar: drawn as a
    bar up to ``high``. link: where a click leads. width: in pixels, 0 for what is left over.
    hidden: not shown, but there for other columns' links.
    """

    source: str
    title: str
    unit: str = ""
    decimals: int | None = None
    steps: Steps = ()
    bar: bool = False
    high: float | None = None
    link: tuple[Mapping[str, Any], ...] = ()
    width: int = 0
    mappings: tuple[Mapping[str, Any], ...] = ()
    hidden: bool = False

    @property
    def _is_number(self) -> bool:
        return self.source.startswith("Value")

    def override(self) -> dict[str, Any]:
        """Return how Grafana shall draw it."""
        properties: dict[str, Any] = {}
        if self.unit:
            properties["unit"] = self.unit
        elif not self._is_number:
            properties["unit"] = "string"  # a label that is a number is still a name
        if self.decimals is not None:
            properties["decimals"] = self.decimals
        if self.width:
            properties["custom__width"] = self.width
        else:
            number = _BAR if self.bar else _NUMBER
            properties["custom__minWidth"] = number if self._is_number else _NAME
        if self.link:
            properties["links"] = [dict(link) for link in self.link]
        if self.mappings:
            properties["mappings"] = [dict(mapping) for mapping in self.mappings]
        if self.high is not None:
            properties |= {"min": 0, "max": self.high}
        if self.steps:
            properties["thresholds"] = {
                "mode": "absolute",
                "steps": [{"color": colour, "value": start} for start, colour in self.steps],
            }
        if self.hidden:
            properties["custom__hidden"] = True
        if self.bar:
            properties["custom__displayMode"] = "basic"
        elif self.steps:
            properties["custom__displayMode"] = "color-text"
        return styled(self.title, **properties)


#: Pixels that a column has at least, if it has no width: a number, a bar, a name.
_NUMBER, _BAR, _NAME = 85, 140, 130

#: Beside a table's queries, and left out of its columns: if only one of several is answered,
#: Grafana calls its values "Value" instead of "Value #REF", and the column would be lost.
_ALWAYS = Query(expr="vector(1)", instant=True, table=True, ref="always")


def table(
    title: str,
    question: str,
    *queries: Query,
    columns: Sequence[Column],
    sort: str = "",
    ascending: bool = False,
    **other: Any,
) -> Panel:
    """Return rows: one for each set of labels that the queries share.

    columns: in their order; what none of them names is not shown. A query's value is
    ``Value #REF``, or ``Value`` where there is one query alone. sort: the title of the column.
    """
    wanted = {column.source: n for n, column in enumerate(columns)}
    # Before the rows are merged: two metrics' rows differ in their names, and would stay apart.
    transformations: list[Mapping[str, Any]] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(wanted)}}}
    ]
    if len(queries) > 1:
        transformations.append({"id": "merge", "options": {}})
        queries = (*queries, _ALWAYS)
    transformations += [
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": wanted,
                "renameByName": {column.source: column.title for column in columns},
            },
        },
    ]
    return Panel(
        kind="table",
        title=title,
        question=question,
        queries=queries,
        width=other.pop("width", 24),
        custom={
            "align": "auto",
            "displayMode": "auto",
            "filterable": False,
            "inspect": False,
        },
        options={
            "footer": {"show": False, "reducer": ["sum"], "fields": ""},
            "showHeader": True,
            "sortBy": [{"displayName": sort, "desc": not ascending}] if sort else [],
        },
        overrides=tuple(column.override() for column in columns),
        transformations=tuple(transformations),
        **other,
    )


def heatmap(
    title: str,
    question: str,
    query: Query,
    *,
    unit: str,
    cells: str = units.EVENTS_RATE,
    **other: Any,
) -> Panel:
    """Return how values were spread over time: darker where more of them fell.

    query: with ``buckets``, of rates by ``le``. unit: of the buckets' bounds. cells: the unit of
    what is in them.
    """
    return Panel(
        kind="heatmap",
        title=title,
        question=question,
        queries=(query,),
        unit=unit,
        custom={"scaleDistribution": {"type": "linear"}},
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": cells},
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"show": True, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
        **other,
    )


def states(
    title: str,
    question: str,
    *queries: Query,
    named: Sequence[tuple[float, str, str]],
    **other: Any,
) -> Panel:
    """Return in which state each series was, as stripes over time.

    named: the states: value, text, colour.
    """
    return Panel(
        kind="state-timeline",
        # Not by thresholds, which old versions would put in the states' place.
        colour="palette-classic",
        title=title,
        question=question,
        queries=queries,
        mappings=(words(*named),),
        custom={"fillOpacity": 80, "lineWidth": 0},
        options={
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.85,
            "showValue": "never",
            "tooltip": {"mode": "single", "sort": "none"},
        },
        **other,
    )


def node_graph(title: str, question: str, *, nodes: str, edges: str, **other: Any) -> Panel:
    """Return a map: circles, and arrows between them.

    nodes, edges: expressions whose labels are what is shown: ``id``, ``title``, ``subtitle``,
    ``mainstat``, ``secondarystat`` and ``color`` of a node; ``id``, ``source``, ``target``,
    ``mainstat`` and ``secondarystat`` of an edge. Labels, since Grafana knows fields by their names
    and cannot rename values; texts, since old versions write a unit's id behind a number. Both
    ends of each edge have to be nodes: Grafana shows nothing at all otherwise.
    """
    return Panel(
        kind="nodeGraph",
        title=title,
        question=question,
        queries=(
            Query(expr=nodes, instant=True, table=True, ref="nodes"),
            Query(expr=edges, instant=True, table=True, ref="edges"),
        ),
        width=other.pop("width", 24),
        options={"edges": {}, "nodes": {}},
        **other,
    )


def text(title: str, question: str, markdown: str, **other: Any) -> Panel:
    """Return words, as Markdown."""
    return Panel(
        kind="text",
        title=title,
        question=question,
        options={"code": {"language": "plaintext"}, "content": markdown, "mode": "markdown"},
        **other,
    )
