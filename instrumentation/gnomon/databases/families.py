"""The families of databases: names, labels, buckets."""

from gnomon import subjects
from gnomon.families import Counters, Gauges, Histograms

#: Most label combinations of one family.
CAP = 500

#: Seconds: OpenTelemetry's buckets for database operations.
SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

#: Seconds: the same, and the half minute that SQLAlchemy's pools wait unless told otherwise.
POOL_SECONDS = (*SECONDS, 30)

POOL = "db_client_connection_pool_name"
STATE = "db_client_connection_state"
SUMMARY = "db_query_summary"

duration = Histograms(
    "db_client_operation_duration_seconds",
    "Time from sending a statement to the database's answer, rows still to be fetched.",
    (
        "db_system_name",
        "db_namespace",
        SUMMARY,
        "db_operation_name",
        "server_address",
        "error_type",
    ),
    CAP,
    SECONDS,
)
slow = Counters(
    "gnomon_db_slow_queries",
    "Statements that took longer than the application calls slow.",
    (POOL, SUMMARY),
    CAP,
)
wait = Histograms(
    "db_client_connection_wait_time_seconds",
    "Time that callers waited for a connection that they were given, opening it included.",
    (POOL,),
    CAP,
    POOL_SECONDS,
)
use = Histograms(
    "db_client_connection_use_time_seconds",
    "Time from a connection's handing out to its return to the pool.",
    (POOL,),
    CAP,
    POOL_SECONDS,
)
create = Histograms(
    "db_client_connection_create_time_seconds",
    "Time that it took to open a new connection.",
    (POOL,),
    CAP,
    POOL_SECONDS,
)
timeouts = Counters(
    "db_client_connection_timeouts",
    "Callers that gave up because the pool had no connection for them in time.",
    (POOL,),
    CAP,
)
errors = Counters(
    "gnomon_db_connection_errors",
    "Connections that could not be opened, or that broke while they were used or looked at.",
    (POOL, "error_type"),
    CAP,
)
missing_index = Gauges(
    "gnomon_db_missing_index",
    "1 for each column by which a slow query filters a table that the database reads whole.",
    (POOL, "table", "column"),
    CAP,
)
unused_indexes = Gauges(
    "gnomon_db_unused_indexes",
    "Indexes that no query has used since the database's own statistics began.",
    (POOL,),
    CAP,
)

subjects.add(duration, slow, wait, use, create, timeouts, errors, missing_index, unused_indexes)
