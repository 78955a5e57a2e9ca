"""Databases: what is asked of them, how long that takes, and whether connections suffice."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    FAILURES,
    NONE_IS_GOOD,
    PERCENTILES,
    PLAIN,
    Column,
    above,
    coloured,
    graph,
    heatmap,
    limit,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, now, percentiles, rows
from gnomon_dashboards.variables import Choice

_CHOSEN = 'service=~"$service", db_namespace=~"$database"'
_HERE = f"{{{_CHOSEN}}}"
_POOLED = 'service=~"$service", db_client_connection_pool_name=~"$pool"'
_POOL = f"{{{_POOLED}}}"
_BY_POOL = "(service, db_client_connection_pool_name)"
_POOL_NAME = "{{service}} {{db_client_connection_pool_name}}"
_DATABASE_NAME = "{{service}} {{db_namespace}}"

_NO_POOL = "No pool with a limit is watched"
_NO_DATABASE = "No database is watched"
_NO_CALL = "Nothing is asked"

_SERVICE = links.to("service", "The service", service=links.label("service"))
_DASHED = {"fill": "dash", "dash": [4, 4]}
_FAINT = {"mode": "fixed", "fixedColor": colours.FAINT}

_CALLS = f"sum(service_database:db_operations:rate5m{_HERE})"
_BUCKETS = f"db_client_operation_duration_seconds_bucket{_HERE}"

_BY_QUERY = "(service, db_query_summary)"
_TIME = f"sum by {_BY_QUERY} (rate(db_client_operation_duration_seconds_sum{_HERE}[5m]))"
_COUNT = f"(sum by {_BY_QUERY} (rate(db_client_operation_duration_seconds_count{_HERE}[5m])) > 0)"

_ERRORS = (
    "sum by (service, error_type) (rate(db_client_operation_duration_seconds_count"
    f'{{{_CHOSEN}, error_type!=""}}[$__rate_interval]))'
)

_SUMMARY = Section(
    "",
    (
        number(
            "Statements",
            "How many statements are sent each second?",
            now(_CALLS),
            unit=units.OPERATIONS_RATE,
            empty=_NO_DATABASE,
        ),
        number(
            "95 % below",
            "How long do statements take, but for the slowest one in twenty?",
            now(f"histogram_quantile(0.95, sum by (le) (rate({_BUCKETS}[5m]))) >= 0"),
            unit=units.SECONDS,
            empty=_NO_CALL,
        ),
        number(
            "Fail",
            "Which share of the statements ends with an error?",
            now(f"sum(service_database:db_errors:rate5m{_HERE}) / ({_CALLS} > 0)"),
            unit=units.RATIO,
            decimals=1,
            steps=above("database_errors_high:ratio", watch=0.2),
            empty=_NO_CALL,
        ),
        number(
            "Pool used",
            "Which share of the connections that it may open is in use, in the fullest pool?",
            now(f"max(instance_pool:db_connections_used:ratio{_POOL})"),
            unit=units.RATIO,
            decimals=0,
            steps=above("database_pool_nearly_exhausted:ratio"),
            empty=_NO_POOL,
        ),
        number(
            "Callers wait",
            "How many callers wait for a connection right now?",
            now(f"sum(db_client_connection_pending_requests{_POOL})"),
            unit=units.COUNT,
            decimals=0,
            steps=((None, colours.GOOD), (1, colours.WATCH), (5, colours.BAD)),
            empty="No pool is watched",
        ),
        number(
            "Gave up",
            "How many callers waited for a connection in vain within five minutes?",
            now(
                f"sum(instance_pool:db_connection_timeouts:increase5m{_POOL})"
                f" or 0 * sum(db_client_connection_timeouts_total{_POOL})"
            ),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            empty="No pool is watched",
        ),
    ),
)

_FIRST = Section(
    "",
    (
        graph(
            "Statements, by database",
            "How many statements are sent to each database?",
            Query(
                expr="sum by (service, db_namespace)"
                f" (service_database:db_operations:rate5m{_HERE})",
                legend=_DATABASE_NAME,
            ),
            unit=units.OPERATIONS_RATE,
            links=(_SERVICE,),
            empty=_NO_DATABASE,
        ),
        graph(
            "How long statements take",
            "How long does the database take to answer? A dot is one statement: a click opens its"
            " trace.",
            *percentiles(_BUCKETS),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty=_NO_CALL,
        ),
        graph(
            "Statements that fail",
            "Which share of the statements ends with an error?",
            Query(
                expr=f"service_database:db_errors:ratio_rate5m{_HERE}",
                legend="{{service}} {{db_namespace}} {{server_address}}",
            ),
            limit(f"max({recording('database_errors_high:ratio')}{_HERE})"),
            unit=units.RATIO,
            links=(_SERVICE,),
            empty=_NO_CALL,
        ),
        graph(
            "Pools: how full",
            "Which share of the connections that a pool may open is in use?",
            Query(expr=f"instance_pool:db_connections_used:ratio{_POOL}", legend=_POOL_NAME),
            limit(
                f"max({recording('database_pool_nearly_exhausted:ratio')}{_POOL})",
                "alert at: nearly used up",
            ),
            limit(f"max({recording('database_pool_exhausted:ratio')}{_POOL})", "alert at: used up"),
            unit=units.RATIO,
            high=1,
            links=(_SERVICE,),
            empty=_NO_POOL,
        ),
        graph(
            "Callers that wait",
            "How many callers wait for a connection at this moment?",
            Query(
                expr=f"sum by {_BY_POOL} (db_client_connection_pending_requests{_POOL})",
                legend=_POOL_NAME,
            ),
            unit=units.COUNT,
            links=(_SERVICE,),
            empty="No pool is watched",
        ),
        graph(
            "How long callers wait",
            "How long do 95 of 100 callers wait at most until they have a connection?",
            Query(
                expr=f"max by {_BY_POOL} (instance_pool:db_connection_wait_seconds:p95_5m{_POOL})",
                legend=_POOL_NAME,
            ),
            limit(f"max({recording('database_pool_wait_high:seconds')}{_POOL})"),
            unit=units.SECONDS,
            links=(_SERVICE,),
            empty="Nobody asked for a connection",
        ),
    ),
)

_QUERIES = Section(
    "Which statements cost most",
    (
        table(
            "Statements by the time they take",
            "On which statements does the time go: on slow ones, or on many? `gnomon queries` shows"
            " their text and plan.",
            rows(f"({_TIME} > 0) / on() group_left () sum({_TIME})", ref="share"),
            rows(_COUNT, ref="count"),
            rows(f"{_TIME} / {_COUNT}", ref="mean"),
            rows(
                f"histogram_quantile(0.95, sum by (service, db_query_summary, le)"
                f" (rate({_BUCKETS}[5m]))) >= 0",
                ref="most",
            ),
            rows(
                f"(sum by {_BY_QUERY} (rate(gnomon_db_slow_queries_total{_POOL}[5m]))"
                f" and {_COUNT}) or 0 * {_COUNT}",
                ref="slow",
            ),
            rows(
                f"(sum by {_BY_QUERY} (rate(db_client_operation_duration_seconds_count"
                f'{{{_CHOSEN}, error_type!=""}}[5m])) and {_COUNT}) or 0 * {_COUNT}',
                ref="errors",
            ),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    width=110,
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="db_query_summary", title="Statement"),
                Column(
                    source="Value #share",
                    title="Of the time",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=PLAIN,
                ),
                Column(source="Value #count", title="Sent", unit=units.OPERATIONS_RATE, width=110),
                Column(source="Value #mean", title="Takes", unit=units.SECONDS, width=100),
                Column(source="Value #most", title="95 % below", unit=units.SECONDS, width=100),
                Column(source="Value #slow", title="Slow", unit=units.OPERATIONS_RATE),
                Column(source="Value #errors", title="Fail", unit=units.OPERATIONS_RATE),
            ),
            sort="Of the time",
            height=10,
            empty=_NO_CALL,
        ),
        graph(
            "Statements, by what they do",
            "What is asked for: reading, writing, or the bounds of transactions?",
            Query(
                expr="sum by (db_operation_name) (rate(db_client_operation_duration_seconds_count"
                f"{_HERE}[$__rate_interval]))",
                legend="{{db_operation_name}}",
            ),
            unit=units.OPERATIONS_RATE,
            stacked=True,
            empty=_NO_DATABASE,
        ),
        graph(
            "Errors, by kind",
            "With what do statements fail?",
            Query(
                expr=f"{_ERRORS} or 0 * (sum by (service)"
                f" (service_database:db_operations:rate5m{_HERE})"
                f" unless on (service) {_ERRORS})",
                legend="{{service}} {{error_type}}",
            ),
            unit=units.EVENTS_RATE,
            filled=0,
            links=(_SERVICE,),
            overrides=(FAILURES,),
            empty=_NO_CALL,
        ),
        heatmap(
            "How long statements take, all of them",
            "Are there two kinds of statements, fast ones and slow ones, that a percentile hides?",
            Query(
                expr=f"sum by (le) (rate({_BUCKETS}[$__rate_interval]))",
                legend="{{le}}",
                buckets=True,
                exemplars=True,
            ),
            unit=units.SECONDS,
            empty=_NO_CALL,
        ),
        graph(
            "Slow statements",
            "How often is a statement slower than the application said is slow?",
            Query(
                expr=f"sum by {_BY_POOL} (instance_pool:db_slow_queries:rate5m{_POOL})",
                legend=_POOL_NAME,
            ),
            limit(f"max({recording('database_slow_queries:rate')}{_POOL})"),
            unit=units.OPERATIONS_RATE,
            links=(_SERVICE,),
            empty="No statement was slow",
        ),
    ),
)

_INDEXES = Section(
    "Indexes",
    (
        table(
            "Missing indexes",
            "Which column is compared with a value by slow statements that read the whole table?",
            rows(
                "max by (service, db_client_connection_pool_name, table, column)"
                f" (gnomon_db_missing_index{_POOL}) == 1"
            ),
            columns=(
                Column(source="service", title="Service"),
                Column(source="db_client_connection_pool_name", title="Pool"),
                Column(source="table", title="Table"),
                Column(source="column", title="Column"),
            ),
            width=12,
            height=7,
            empty="None is known to be missing",
        ),
        graph(
            "Indexes that nothing uses",
            "How many indexes cost each write something, and have served no query since the"
            " database's statistics began?",
            Query(expr=f"max by {_BY_POOL} (gnomon_db_unused_indexes{_POOL})", legend=_POOL_NAME),
            unit=units.COUNT,
            height=7,
            empty="Nobody has asked the database (explain=True)",
        ),
    ),
    folded=True,
)


def _pool(level: str) -> str:
    """Return a level by service and pool alone, so that the rows of a table find each other."""
    return f"sum by {_BY_POOL} ({level}{_POOL})"


def _wrong(recorded: str) -> str:
    """Return what is only recorded where it is not zero, of all pools together."""
    return (
        f"sum({recorded}:increase5m{_POOL})"
        f" or 0 * sum(db_client_connection_pending_requests{_POOL})"
    )


_POOLS = Section(
    "Pools",
    (
        table(
            "Each pool",
            "Which pool is too small, holds its connections too long, or does not get them back?",
            rows(
                f"sum by {_BY_POOL} (db_client_connection_count"
                f'{{{_POOLED}, db_client_connection_state="used"}})',
                ref="used",
            ),
            rows(_pool("db_client_connection_max"), ref="most"),
            rows(_pool("gnomon_db_pool_overflow"), ref="overflow"),
            rows(
                f"max by {_BY_POOL}"
                f" (min_over_time(instance_pool:db_connections_used:ratio{_POOL}[1h]))",
                ref="least",
            ),
            rows(_pool("instance_pool:db_connection_uses:rate5m"), ref="uses"),
            rows(_pool("db_client_connection_pending_requests"), ref="waiting"),
            rows(
                f"max by {_BY_POOL} (instance_pool:db_connection_wait_seconds:p95_5m{_POOL})",
                ref="wait",
            ),
            rows(
                "histogram_quantile(0.95, sum by (service, db_client_connection_pool_name, le)"
                f" (rate(db_client_connection_use_time_seconds_bucket{_POOL}[5m]))) >= 0",
                ref="hold",
            ),
            rows(
                f"sum by {_BY_POOL} (increase(db_client_connection_timeouts_total{_POOL}[1h]))",
                ref="timeouts",
            ),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="db_client_connection_pool_name", title="Pool"),
                Column(source="Value #used", title="Used", unit=units.COUNT, width=90),
                Column(source="Value #most", title="Of", unit=units.COUNT, width=90),
                Column(source="Value #overflow", title="Beyond its size", unit=units.COUNT),
                Column(
                    source="Value #least",
                    title="Least in an hour",
                    unit=units.RATIO,
                    decimals=0,
                    steps=above("database_leak_suspected:ratio"),
                ),
                Column(source="Value #uses", title="Given back", unit=units.EVENTS_RATE),
                Column(source="Value #waiting", title="Callers wait", unit=units.COUNT, width=110),
                Column(
                    source="Value #wait",
                    title="95 % wait below",
                    unit=units.SECONDS,
                    steps=above("database_pool_wait_high:seconds"),
                ),
                Column(source="Value #hold", title="95 % hold below", unit=units.SECONDS),
                Column(
                    source="Value #timeouts",
                    title="Gave up, 1 h",
                    unit=units.COUNT,
                    decimals=0,
                    steps=NONE_IS_GOOD,
                ),
            ),
            sort="Used",
            height=6,
            empty="No pool is watched",
        ),
        graph(
            "Connections",
            "How many connections are in use, how many lie ready, and how many (dashed) may there"
            " be, summed over the pools chosen?",
            Query(
                expr=f"sum by (db_client_connection_state) (db_client_connection_count{_POOL})",
                legend="{{db_client_connection_state}}",
            ),
            Query(expr=f"sum(db_client_connection_max{_POOL})", legend="most"),
            unit=units.COUNT,
            stacked=True,
            overrides=(
                coloured("used", colours.PLAIN),
                coloured("idle", colours.GOOD),
                styled(
                    "most",
                    color=_FAINT,
                    custom__lineStyle=_DASHED,
                    custom__fillOpacity=0,
                    custom__stacking={"mode": "none", "group": "A"},
                    custom__lineWidth=1,
                ),
            ),
            empty="No pool is watched",
        ),
        graph(
            "How long connections are held",
            "How long does a caller keep a connection? What is held long is missed elsewhere.",
            *percentiles(f"db_client_connection_use_time_seconds_bucket{_POOL}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="No connection was given back",
        ),
        graph(
            "Suspicion of a leak",
            "Are connections in use all the time (the least of an hour), although hardly any is"
            " given back?",
            Query(
                expr=f"min_over_time(instance_pool:db_connections_used:ratio{_POOL}[1h])",
                legend=_POOL_NAME + ", least in an hour",
            ),
            limit(f"max({recording('database_leak_suspected:ratio')}{_POOL})"),
            unit=units.RATIO,
            high=1,
            links=(_SERVICE,),
            empty=_NO_POOL,
        ),
        graph(
            "Connections taken",
            "How often is a connection taken and given back?",
            Query(expr=_pool("instance_pool:db_connection_uses:rate5m"), legend=_POOL_NAME),
            unit=units.EVENTS_RATE,
            links=(_SERVICE,),
            empty="No pool is watched",
        ),
        graph(
            "What went wrong, 5 min",
            "How many callers waited in vain, and how many connections could not be opened or"
            " broke?",
            Query(expr=_wrong("instance_pool:db_connection_timeouts"), legend="waited in vain"),
            Query(expr=_wrong("instance_pool:db_connection_errors"), legend="broken"),
            limit(
                f"max({recording('database_connection_errors:count')}{_POOL})",
                "alert at: broken",
            ),
            unit=units.COUNT,
            filled=0,
            overrides=(
                coloured("waited in vain", colours.NEARLY_ALL),
                coloured("broken", colours.WATCH),
            ),
            empty="No pool is watched",
        ),
        graph(
            "How long opening one takes",
            "How long does it take to open a connection? Those who find none ready wait for it.",
            *percentiles(f"db_client_connection_create_time_seconds_bucket{_POOL}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="No connection was opened in this time",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="database",
    title="Databases",
    purpose="What applications ask of their databases, how long that takes, which statements cost"
    " most, and whether the pools' connections suffice.",
    variables=(
        Choice(
            name="service",
            source='{__name__=~"service_database:db_operations:rate5m|db_client_connection_count"}',
            title="Service",
        ),
        Choice(
            name="database",
            label="db_namespace",
            source='service_database:db_operations:rate5m{service=~"$service"}',
            title="Database",
            optional=True,
        ),
        Choice(
            name="pool",
            label="db_client_connection_pool_name",
            source='db_client_connection_count{service=~"$service"}',
            title="Pool",
        ),
    ),
    sections=(_SUMMARY, _FIRST, _QUERIES, _POOLS, _INDEXES),
    about='component="database", service=~"$service"',
    deploys='service=~"$service"',
)
