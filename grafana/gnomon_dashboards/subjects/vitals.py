"""Web Vitals: how pages feel to those who use them, as their browsers measured it."""

from dataclasses import dataclass
from math import inf

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    PLAIN,
    Column,
    Panel,
    Steps,
    coloured,
    graph,
    limit,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{service=~"$service", http_route=~"$http_route"}'
_NO_VIEW = "No view was reported"

_SERVICE = links.to("service", "The service", service=links.label("service"))
_ROUTE = links.to(
    "service",
    "The route",
    service=links.column("Service"),
    route=links.column("Page"),
)


def _le(bound: float) -> str:
    return "+Inf" if bound == inf else str(float(bound))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vital:
    """A number that browsers measure of a view.

    short, long: what it is called. question: what it answers. family: its histogram, without
    ``gnomon_web_vitals_``. good, poor: the standard's bounds, which end buckets. alert: the name
    in thresholds.yml of the alert that looks at it, "" for none.
    """

    short: str
    long: str
    question: str
    family: str
    good: float
    poor: float
    unit: str = units.SECONDS
    decimals: int | None = None
    alert: str = ""

    @property
    def steps(self) -> Steps:
        """Return the colours that the standard gives its values."""
        return ((None, colours.GOOD), (self.good, colours.WATCH), (self.poor, colours.BAD))

    @property
    def recorded(self) -> str:
        """Return the recording of what 75 of 100 views stay below, by service and route."""
        return f"service_route:web_vitals_{self.family}:p75_1h"

    def buckets(self, bound: float | None = None) -> str:
        """Return the series of the bucket that ends at a bound, or of all."""
        # As prometheus-client writes it, and Prometheus 3 whoever writes it.
        given = "" if bound is None else f', le="{_le(bound)}"'
        return f"gnomon_web_vitals_{self.family}_bucket{_HERE[:-1]}{given}}}"

    def views(self, bound: float = inf, by: str = "") -> str:
        """Return how many views of the time on show stayed within a bound."""
        return f"sum{by} (increase({self.buckets(bound)}[$__range]))"

    def shares(self) -> tuple[Query, ...]:
        """Return the shares of views that were good, between, and poor."""
        good, fair, every = (
            f"sum(rate({self.buckets(bound)}[15m]))" for bound in (self.good, self.poor, inf)
        )
        return tuple(
            Query(expr=f"({part}) / ({every} > 0)", legend=name, least="5m")
            for part, name in (
                (good, "good"),
                (f"{fair} - {good}", "needs work"),
                (f"{every} - {fair}", "poor"),
            )
        )


_VITALS = (
    _Vital(
        short="LCP",
        long="Largest Contentful Paint",
        question="How long until the largest part of the page was drawn? Good until 2.5 s, poor"
        " from 4 s.",
        family="lcp_seconds",
        good=2.5,
        poor=4,
        alert="vitals_loading_poor:seconds",
    ),
    _Vital(
        short="INP",
        long="Interaction to Next Paint",
        question="How long after a click or a key until the page showed something? Good until"
        " 0.2 s, poor from 0.5 s.",
        family="inp_seconds",
        good=0.2,
        poor=0.5,
        alert="vitals_responsiveness_poor:seconds",
    ),
    _Vital(
        short="CLS",
        long="Cumulative Layout Shift",
        question="How much of the page moved by itself? Good until 0.1, poor from 0.25.",
        family="cls",
        good=0.1,
        poor=0.25,
        unit=units.WHOLE,
        decimals=3,
        alert="vitals_stability_poor:score",
    ),
    _Vital(
        short="FCP",
        long="First Contentful Paint",
        question="How long until anything was drawn? Good until 1.8 s, poor from 3 s.",
        family="fcp_seconds",
        good=1.8,
        poor=3,
    ),
    _Vital(
        short="TTFB",
        long="Time to First Byte",
        question="How long until the first byte of the page came? Good until 0.8 s, poor from"
        " 1.8 s.",
        family="ttfb_seconds",
        good=0.8,
        poor=1.8,
    ),
)
_LOADING = _VITALS[0]
_FIRST_BYTE = _VITALS[-1]

_SHARE_COLOURS = (
    coloured("good", colours.GOOD),
    coloured("needs work", colours.WATCH),
    coloured("poor", colours.BAD),
)


def _summary(vital: _Vital) -> Panel:
    return number(
        f"{vital.short}, p75",
        f"{vital.question} What three of four views of the time on show stay below.",
        now(f"histogram_quantile(0.75, sum by (le) (rate({vital.buckets()}[$__range]))) >= 0"),
        unit=vital.unit,
        decimals=vital.decimals,
        steps=vital.steps,
        empty=_NO_VIEW,
    )


def _shares(vital: _Vital) -> Panel:
    return graph(
        f"{vital.long} ({vital.short})",
        f"{vital.question} The shares of the views, each of the quarter of an hour before.",
        *vital.shares(),
        unit=units.RATIO,
        high=1,
        stacked=True,
        bars=True,
        width=8,
        legend=(),
        overrides=_SHARE_COLOURS,
        empty=_NO_VIEW,
    )


def _by_route(vital: _Vital) -> Panel:
    lines = [
        Query(expr=highest(f"{vital.recorded}{_HERE}"), legend="{{service}} {{http_route}}"),
        Query(expr=f"vector({vital.good:g})", legend="good until"),
    ]
    if vital.alert:
        lines.append(limit(f"max({recording(vital.alert)}{_HERE})", "alert at: poor from here"))
    else:
        lines.append(Query(expr=f"vector({vital.poor:g})", legend="poor from"))
    return graph(
        f"{vital.short} by page",
        f"{vital.question} What three of four views of an hour stay below: the ten slowest pages.",
        *lines,
        unit=vital.unit,
        filled=0,
        width=8,
        legend=(),
        links=(_SERVICE,),
        overrides=(
            styled(
                "^(good until|poor from)$",
                pattern=True,
                color={"mode": "fixed", "fixedColor": colours.FAINT},
                custom__lineStyle={"fill": "dash", "dash": [4, 4]},
            ),
        ),
        empty=_NO_VIEW,
    )


def _route_rows(vital: _Vital) -> Query:
    return rows(
        "histogram_quantile(0.75, sum by (service, http_route, le)"
        f" (rate({vital.buckets()}[$__range]))) >= 0",
        ref=vital.short,
    )


_BY = " by (service, http_route)"

_ROUTES = Section(
    "Pages",
    (
        table(
            "Each page",
            "Which page is slow for many? What three of four views of the time on show stay below,"
            " and the share of views that loaded well.",
            rows(_FIRST_BYTE.views(by=_BY) + " > 0", ref="views"),
            *(_route_rows(vital) for vital in _VITALS),
            rows(
                f"{_LOADING.views(_LOADING.good, by=_BY)} / ({_LOADING.views(by=_BY)} > 0)",
                ref="good",
            ),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="http_route", title="Page", link=(_ROUTE,)),
                Column(
                    source="Value #views", title="Views", unit=units.WHOLE, decimals=0, width=90
                ),
                *(
                    Column(
                        source=f"Value #{vital.short}",
                        title=vital.short,
                        unit=vital.unit,
                        decimals=vital.decimals,
                        steps=vital.steps,
                        width=90,
                    )
                    for vital in _VITALS
                ),
                Column(
                    source="Value #good",
                    title="Loaded well",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=((None, colours.BAD), (0.5, colours.WATCH), (0.75, colours.GOOD)),
                ),
            ),
            sort="Views",
            height=6,
            empty=_NO_VIEW,
        ),
        *(_by_route(vital) for vital in _VITALS),
        graph(
            "Reports that were not counted",
            "What did the server refuse to believe, and why?",
            Query(
                expr="sum by (reason) (increase("
                'gnomon_web_vitals_rejected_total{service=~"$service"}[$__rate_interval]))',
                legend="{{reason}}",
            ),
            unit=units.COUNT,
            bars=True,
            width=8,
            legend=(),
            empty="None was refused",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="vitals",
    title="Web Vitals",
    purpose="How the pages of applications feel to those who use them: loading, responsiveness and"
    " stability, as their browsers measured it.",
    variables=(
        Choice(name="service", source="gnomon_web_vitals_ttfb_seconds_count", title="Service"),
        Choice(
            name="http_route",
            source='gnomon_web_vitals_ttfb_seconds_count{service=~"$service"}',
            title="Page",
        ),
    ),
    sections=(
        Section(
            "",
            (
                *(_summary(vital) for vital in _VITALS),
                number(
                    "Views",
                    "How many views were reported in the time on show?",
                    now(_FIRST_BYTE.views()),
                    unit=units.COUNT,
                    decimals=0,
                    steps=PLAIN,
                    empty=_NO_VIEW,
                ),
                *(_shares(vital) for vital in _VITALS),
                graph(
                    "Views an hour, by page",
                    "Which pages are looked at?",
                    Query(
                        expr=highest(f"service_route:web_vitals_views:increase1h{_HERE}"),
                        legend="{{service}} {{http_route}}",
                    ),
                    unit=units.COUNT,
                    stacked=True,
                    width=8,
                    legend=(),
                    links=(_SERVICE,),
                    empty=_NO_VIEW,
                ),
            ),
        ),
        _ROUTES,
    ),
    about='component="web", service=~"$service"',
    deploys='service=~"$service"',
    since="now-6h",
)
