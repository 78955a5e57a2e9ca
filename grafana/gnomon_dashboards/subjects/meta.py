"""The stack itself: whether what watches is well, and what it costs."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    ANSWERS,
    NONE_IS_GOOD,
    UP,
    Column,
    above,
    coloured,
    graph,
    limit,
    number,
    states,
    styled,
    table,
    words,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{job=~"$job"}'
_PROMETHEUS = '{job="prometheus"}'
#: Prometheus labels a group by its file and its name: people know the name. A label of its own, for
#: two servers, or one whose files were moved, have the same group in different files.
_GROUP = '"group", "$1", "rule_group", ".*;(.*)"'

_BROKEN = styled(".*", pattern=True, color={"mode": "fixed", "fixedColor": colours.BAD})


def _rate(counter: str, by: str = "") -> str:
    """Return what a counter gains each second. by: labels to keep."""
    kept = f" by ({by})" if by else ""
    return f"sum{kept} (rate({counter}[$__rate_interval]))"


_SUMMARY = Section(
    "",
    (
        number(
            "Watchdog",
            "Does the alert fire that always fires? If not, no other alert would arrive either.",
            now('max(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)'),
            unit=units.WHOLE,
            mappings=(words((0, "silent", colours.BAD), (1, "watches", colours.GOOD)),),
            steps=UP,
        ),
        number(
            "Targets down",
            "How many targets do not answer when they are asked for their metrics?",
            now(f"count(up{_HERE} == 0) or 0 * count(up{_HERE})"),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Not collected",
            "How many of the exporters' collectors could not read what they are for?",
            now(
                "count(gnomon_scrape_collector_success == 0)"
                " or 0 * count(gnomon_scrape_collector_success)"
            ),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty="No exporter of ours is asked",
        ),
        number(
            "Failing rules",
            "How many evaluations of rules failed within five minutes? What fails cannot alert.",
            now("sum(increase(prometheus_rule_evaluation_failures_total[5m]))"),
            unit=units.WHOLE,
            decimals=0,
            steps=((None, colours.GOOD), (0.5, colours.BAD)),
        ),
        number(
            "Not delivered",
            "Which share of the messages about alerts does not get through, on either leg?",
            now("max(notifications:failed:ratio_increase7m) or vector(0)"),
            unit=units.RATIO,
            decimals=0,
            steps=above("notifications_failing:ratio"),
        ),
        number(
            "Telemetry lost",
            "How much a second do applications leave out of what they should tell: spans, label"
            " values, what could not be computed?",
            now("sum(instance:gnomon_lost:rate15m)"),
            unit=units.EVENTS_RATE,
            decimals=1,
            low=0,
            steps=above("service_telemetry_incomplete:rate"),
            empty="No application with the library",
        ),
    ),
)

_TARGETS = Section(
    "",
    (
        table(
            "Targets",
            "Does each target answer, how long does it take, and how much does it tell?",
            rows(f"up{_HERE}", ref="up"),
            rows(f"avg_over_time(up{_HERE}[1d])", ref="share"),
            rows(f"scrape_duration_seconds{_HERE}", ref="duration"),
            rows(f"scrape_samples_post_metric_relabeling{_HERE}", ref="samples"),
            rows(f"sum_over_time(scrape_series_added{_HERE}[1h])", ref="new"),
            columns=(
                Column(source="job", title="Job", width=140),
                Column(
                    source="service",
                    title="Service",
                    width=160,
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="instance", title="Target"),
                Column(
                    source="Value #up",
                    title="Answers",
                    width=90,
                    steps=UP,
                    mappings=(ANSWERS,),
                ),
                Column(
                    source="Value #share",
                    title="Answered, 24 h",
                    unit=units.RATIO,
                    decimals=1,
                    width=140,
                    steps=((None, colours.BAD), (0.99, colours.WATCH), (0.999, colours.GOOD)),
                ),
                Column(
                    source="Value #duration",
                    title="Takes",
                    unit=units.SECONDS,
                    decimals=1,
                    width=100,
                    steps=((None, colours.GOOD), (2, colours.WATCH), (8, colours.BAD)),
                ),
                Column(
                    source="Value #samples",
                    title="Samples",
                    unit=units.COUNT,
                    width=100,
                ),
                Column(
                    source="Value #new",
                    title="New series, 1 h",
                    unit=units.COUNT,
                    width=130,
                ),
            ),
            sort="Answers",
            ascending=True,
            height=8,
        ),
        graph(
            "How long scrapes take",
            "How long do the slowest targets take to answer? Whoever takes ten seconds is not"
            " heard.",
            Query(
                expr=highest(f"scrape_duration_seconds{_HERE}", 6),
                legend="{{service}} {{instance}}",
            ),
            unit=units.SECONDS,
        ),
        graph(
            "Samples by job",
            "How many samples does one round of scrapes bring, and from whom?",
            Query(
                expr=f"sum by (job) (scrape_samples_post_metric_relabeling{_HERE})",
                legend="{{job}}",
            ),
            unit=units.COUNT,
            stacked=True,
        ),
        graph(
            "Rules: how much of their interval they take",
            "Do the groups of rules finish before they are due again?",
            Query(
                expr="max by (group) (label_replace("
                f"{highest('prometheus:rule_group_duration:ratio', 6)}, {_GROUP}))",
                legend="{{group}}",
            ),
            limit(f"max({recording('rule_group_slow:ratio')})"),
            unit=units.RATIO,
        ),
        graph(
            "Messages about alerts",
            "How many messages a minute are sent, and how many do not get through?",
            Query(
                expr="60 * sum by (integration) (rate(alertmanager_notifications_total"
                "[$__rate_interval])) > 0",
                legend="{{integration}}",
            ),
            Query(
                expr="60 * sum by (integration) (rate(alertmanager_notifications_failed_total"
                "[$__rate_interval]))"
                " and sum by (integration) (rate(alertmanager_notifications_total"
                "[$__rate_interval])) > 0",
                legend="{{integration}}, failed",
            ),
            Query(
                expr="60 * sum by (integration)"
                " (rate(alertmanager_notification_requests_failed_total[$__rate_interval]))"
                " and sum by (integration) (rate(alertmanager_notifications_total"
                "[$__rate_interval])) > 0",
                legend="{{integration}}, tried in vain",
            ),
            Query(
                expr="60 * sum(rate(prometheus_notifications_sent_total[$__rate_interval]))",
                legend="Prometheus to Alertmanager",
            ),
            Query(
                expr="60 * sum(rate(prometheus_notifications_errors_total[$__rate_interval]))",
                legend="Prometheus to Alertmanager, failed",
            ),
            unit=units.COUNT,
            decimals=1,
            overrides=(
                coloured("failed$", colours.BAD, pattern=True),
                coloured("in vain$", colours.WATCH, pattern=True),
            ),
            empty="No Alertmanager is asked",
        ),
    ),
)

_RULES = Section(
    "Rules and alerts",
    (
        graph(
            "Failed evaluations",
            "How often did a group of rules fail, or not begin since its last round went on?",
            Query(
                expr="sum(increase(prometheus_rule_evaluation_failures_total[$__rate_interval]))",
                legend="failed",
            ),
            Query(
                expr="sum(increase(prometheus_rule_group_iterations_missed_total[$__rate_interval]))",
                legend="left out",
            ),
            unit=units.COUNT,
            decimals=0,
            width=8,
            legend=(),
            overrides=(coloured("failed", colours.BAD), coloured("left out", colours.WATCH)),
        ),
        graph(
            "Alerts",
            "How many alerts wait to be sure, and how many fire?",
            Query(
                expr='count(ALERTS{alertstate="pending", severity!="none"}) or vector(0)',
                legend="waiting",
            ),
            *(
                Query(
                    expr=f'count(ALERTS{{alertstate="firing", severity="{severity}"}})'
                    " or vector(0)",
                    legend=severity,
                )
                for severity in ("info", "warning", "critical")
            ),
            unit=units.COUNT,
            decimals=0,
            stacked=True,
            width=8,
            legend=(),
            overrides=(
                coloured("waiting", colours.FAINT),
                coloured("info", colours.PLAIN),
                coloured("warning", colours.WATCH),
                coloured("critical", colours.BAD),
            ),
        ),
        graph(
            "Alertmanager",
            "How many alerts does Alertmanager hold, how many of them does it keep to itself, and"
            " how many silences are there?",
            Query(
                expr='sum(alertmanager_alerts{state="active", job="alertmanager"})',
                legend="told",
            ),
            Query(
                expr='sum(alertmanager_alerts{state="suppressed", job="alertmanager"})',
                legend="kept back",
            ),
            Query(
                expr='sum(alertmanager_silences{state="active", job="alertmanager"})',
                legend="silences",
            ),
            unit=units.COUNT,
            decimals=0,
            width=8,
            legend=(),
            empty="No Alertmanager is asked",
        ),
        table(
            "Groups of rules",
            "How long does each group take, how often is it due, and how many rules are in it?",
            *(
                rows(
                    f"max by (group) (label_replace({series}, {_GROUP}))",
                    ref=ref,
                )
                for ref, series in (
                    ("duration", "prometheus_rule_group_last_duration_seconds"),
                    ("interval", "prometheus_rule_group_interval_seconds"),
                    ("rules", "prometheus_rule_group_rules"),
                    ("share", "prometheus:rule_group_duration:ratio"),
                    ("samples", "prometheus_rule_group_last_evaluation_samples"),
                )
            ),
            columns=(
                Column(source="group", title="Group"),
                Column(source="Value #rules", title="Rules", width=80),
                Column(source="Value #samples", title="Series made", width=110),
                Column(source="Value #interval", title="Due every", unit=units.SECONDS, width=100),
                Column(
                    source="Value #duration",
                    title="Takes",
                    unit=units.SECONDS,
                    decimals=1,
                    width=100,
                ),
                Column(
                    source="Value #share",
                    title="Of its interval",
                    unit=units.RATIO,
                    decimals=2,
                    width=130,
                    steps=above("rule_group_slow:ratio", watch=0.5),
                ),
            ),
            sort="Of its interval",
            width=12,
        ),
        graph(
            "Time that Prometheus' questions take",
            "How long do nine of ten questions take, by what they wait for?",
            Query(
                expr="max by (slice) (prometheus_engine_query_duration_seconds"
                '{quantile="0.9"}) >= 0',
                legend="{{slice}}",
            ),
            unit=units.SECONDS,
        ),
    ),
)

_STORE = Section(
    "Prometheus",
    (
        graph(
            "Series in memory",
            "How many series are there, and how fast do new ones come? Many new ones are a label"
            " that has too many values.",
            Query(expr=f"sum(prometheus_tsdb_head_series{_PROMETHEUS})", legend="series"),
            unit=units.COUNT,
            width=8,
            legend=(),
        ),
        graph(
            "Series that come and go",
            "How many series a second are new, and how many are forgotten?",
            Query(
                expr=_rate(f"prometheus_tsdb_head_series_created_total{_PROMETHEUS}"),
                legend="new",
            ),
            Query(
                expr=_rate(f"prometheus_tsdb_head_series_removed_total{_PROMETHEUS}"),
                legend="forgotten",
            ),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
            overrides=(coloured("forgotten", colours.FAINT),),
        ),
        graph(
            "Samples taken in",
            "How many samples a second does Prometheus take in?",
            Query(
                expr=_rate(f"prometheus_tsdb_head_samples_appended_total{_PROMETHEUS}"),
                legend="samples",
            ),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
        ),
        graph(
            "Memory",
            "How much memory do Prometheus and Alertmanager use?",
            Query(
                expr='sum by (job) (process_resident_memory_bytes{job=~"prometheus|alertmanager"})',
                legend="{{job}}",
            ),
            unit=units.BYTES,
            width=8,
            legend=(),
        ),
        graph(
            "Processor time",
            "How many processors do Prometheus and Alertmanager use?",
            Query(
                expr='sum by (job) (instance:process_cpu:rate5m{job=~"prometheus|alertmanager"})',
                legend="{{job}}",
            ),
            unit=units.CORES,
            width=8,
            legend=(),
        ),
        graph(
            "Disk",
            "How much disk do samples take, and where does Prometheus begin to forget the oldest?",
            Query(
                expr=f"sum(prometheus_tsdb_storage_blocks_bytes{_PROMETHEUS}"
                f" + prometheus_tsdb_head_chunks_storage_size_bytes{_PROMETHEUS})"
                f" or sum(prometheus_tsdb_storage_blocks_bytes{_PROMETHEUS})",
                legend="samples",
            ),
            Query(
                expr=f"sum(prometheus_tsdb_retention_limit_bytes{_PROMETHEUS} > 0)",
                legend="the most it may take",
            ),
            unit=units.BYTES,
            width=8,
            legend=(),
            overrides=(coloured("the most it may take", colours.FAINT),),
        ),
        graph(
            "What was not stored",
            "How many samples a second were refused: late, twice, or too many?",
            *(
                Query(expr=_rate(f"{name}{_PROMETHEUS}"), legend=legend)
                for name, legend in (
                    ("prometheus_target_scrapes_sample_out_of_order_total", "in a wrong order"),
                    ("prometheus_target_scrapes_sample_duplicate_timestamp_total", "twice"),
                    ("prometheus_target_scrapes_sample_out_of_bounds_total", "too old or new"),
                    ("prometheus_target_scrapes_exceeded_sample_limit_total", "scrapes too long"),
                )
            ),
            unit=units.EVENTS_RATE,
            overrides=(_BROKEN,),
        ),
        states(
            "Configurations",
            "Does each part run with the configuration that it was last told to read?",
            Query(expr="prometheus_config_last_reload_successful", legend="Prometheus"),
            Query(expr="alertmanager_config_last_reload_successful", legend="Alertmanager"),
            Query(
                expr="gnomon_exporter_config_last_reload_successful",
                legend="exporter {{instance}}",
            ),
            named=((0, "an older one", colours.BAD), (1, "the newest", colours.GOOD)),
        ),
    ),
)

_EXPORTER = Section(
    "Exporters",
    (
        graph(
            "Slowest collectors",
            "Which collectors take longest?",
            Query(
                expr=highest("gnomon_scrape_collector_duration_seconds", 6),
                legend="{{instance}} {{collector}}",
            ),
            unit=units.SECONDS,
            empty="No exporter of ours is asked",
        ),
        table(
            "Collectors",
            "Can every collector read what it is for, could it all day, and how long does it take?",
            rows("gnomon_scrape_collector_success", ref="now"),
            rows("avg_over_time(gnomon_scrape_collector_success[1d])", ref="share"),
            rows("gnomon_scrape_collector_duration_seconds", ref="duration"),
            columns=(
                Column(source="collector", title="Collector"),
                Column(source="instance", title="Machine"),
                Column(source="Value #now", title="Reads", width=80, steps=UP, mappings=(ANSWERS,)),
                Column(
                    source="Value #share",
                    title="Read, 24 h",
                    unit=units.RATIO,
                    decimals=1,
                    width=110,
                    steps=((None, colours.BAD), (0.5, colours.WATCH), (0.99, colours.GOOD)),
                ),
                Column(
                    source="Value #duration",
                    title="Takes",
                    unit=units.SECONDS,
                    decimals=1,
                    width=100,
                ),
            ),
            sort="Read, 24 h",
            ascending=True,
            width=12,
            empty="No exporter of ours is asked",
        ),
        graph(
            "Exporters' processor time",
            "Which share of one processor do the exporters use?",
            Query(expr=highest('instance:process_cpu:rate5m{job="node"}'), legend="{{instance}}"),
            unit=units.RATIO,
            decimals=2,
            width=6,
            legend=(),
            empty="No exporter tells of its process",
        ),
        graph(
            "Exporters' memory",
            "How much memory do the exporters use?",
            Query(expr=highest('process_resident_memory_bytes{job="node"}'), legend="{{instance}}"),
            unit=units.BYTES,
            width=6,
            legend=(),
            empty="No exporter tells of its process",
        ),
        graph(
            "Series left out",
            "How many series a second do exporters leave out, because a family has too many?",
            Query(
                expr=_rate("gnomon_scrape_dropped_series_total", "instance"),
                legend="{{instance}}",
            ),
            unit=units.EVENTS_RATE,
            width=6,
            legend=(),
            overrides=(_BROKEN,),
            empty="No exporter of ours is asked",
        ),
        graph(
            "Textfiles with a mistake",
            "On which machines can one of the exporter's *.prom files not be read?",
            Query(expr="max by (instance) (node_textfile_scrape_error)", legend="{{instance}}"),
            unit=units.COUNT,
            decimals=0,
            width=6,
            legend=(),
            overrides=(_BROKEN,),
            empty="The exporter reads no textfiles",
        ),
    ),
)

_LIBRARY = Section(
    "Applications' telemetry",
    (
        graph(
            "Lost",
            "What do applications leave out of what they should tell, and how much a second?",
            Query(
                expr="sum by (service, what) (instance:gnomon_lost:rate15m)",
                legend="{{service}}: {{what}}",
            ),
            unit=units.EVENTS_RATE,
            low=0,
            width=8,
            legend=(),
            overrides=(_BROKEN,),
            empty="No application with the library",
        ),
        graph(
            "Spans",
            "How many spans a second reach the backend of traces, and how many are lost, on the"
            " way or there?",
            Query(
                expr=_rate("gnomon_spans_exported_total", "service"),
                legend="{{service}}",
            ),
            Query(
                expr=_rate("gnomon_spans_dropped_total", "service"),
                legend="{{service}}, lost",
            ),
            Query(
                expr=" or ".join(
                    f"label_replace(sum by (job) (rate({metric}[$__rate_interval])),"
                    f' "what", "{what}", "", "")'
                    for metric, what in (
                        ("otelcol_receiver_refused_spans", "refused"),
                        ("otelcol_receiver_failed_spans", "failed"),
                        ("otelcol_exporter_send_failed_spans", "not stored"),
                    )
                ),
                legend="{{job}}, {{what}}: lost",
            ),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
            overrides=(coloured("lost$", colours.BAD, pattern=True),),
            empty="No application exports spans",
        ),
        graph(
            "Grafana: not answered",
            "How often did Grafana get no answer to what people asked, from which kind of source?",
            Query(
                expr="sum by (plugin_id) (increase(grafana_plugin_request_total"
                '{endpoint="queryData", status="error"}[$__rate_interval]))',
                legend="{{plugin_id}}",
            ),
            Query(
                expr='sum(increase(grafana_proxy_response_status_total{code="unknown"}'
                "[$__rate_interval]))",
                legend="through its proxy",
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            overrides=(_BROKEN,),
            empty="No Grafana is asked",
        ),
    ),
)

_SIZE = Section(
    "What takes room, and what runs",
    (
        table(
            "Largest families",
            "Which metrics have the most series? The question is dear, so it is asked only when"
            " this is opened.",
            rows('topk(20, count by (__name__) ({__name__!=""}))'),
            columns=(
                Column(source="__name__", title="Metric"),
                Column(source="Value", title="Series", width=120),
            ),
            sort="Series",
            width=12,
        ),
        table(
            "Versions",
            "Which versions of what run?",
            rows(
                "count by (part, version) ("
                'label_replace(prometheus_build_info, "part", "Prometheus", "", "")'
                ' or label_replace(alertmanager_build_info, "part", "Alertmanager", "", "")'
                ' or label_replace(gnomon_exporter_build_info, "part", "exporter", "", "")'
                ' or label_replace(gnomon_build_info, "part", "library", "", "")'
                ")"
            ),
            columns=(
                Column(source="part", title="Part"),
                Column(source="version", title="Version"),
                Column(source="Value", title="Running", width=120),
            ),
            sort="Part",
            ascending=True,
            width=12,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="meta",
    title="The stack itself",
    purpose="Whether what watches is well: scrapes, rules, messages, its own memory; and what is"
    " lost on the way.",
    variables=(Choice(name="job", source="up", title="Job"),),
    sections=(_SUMMARY, _TARGETS, _RULES, _STORE, _EXPORTER, _LIBRARY, _SIZE),
    about='component=~"scrape|rules|notifications|exporter|configuration|telemetry"',
)
