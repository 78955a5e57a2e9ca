"""Queues and jobs: what waits, how long, who works it off, and what fails on the way."""

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
    limit,
    number,
    states,
    styled,
    table,
    words,
)
from gnomon_dashboards.queries import Query, highest, now, percentiles, rows
from gnomon_dashboards.variables import Choice

_HERE = '{service=~"$service", queue=~"$queue"}'
_JOBS = '{service=~"$service", job_name=~"$job_name"}'
_SERVED = '{service=~"$service"}'
#: Of those that the exporter reads: they have its service, not their own.
_CELERY = '{queue_name=~"$queue"}'
_BROKER = '{queue=~"$queue"}'

_NO_QUEUE = "No queue is watched"
_NO_OWN = "No queue in an application"
_NO_JOB = "No job is watched"
_NO_CELERY = "Celery is not watched"
_NO_RQ = "RQ is not watched"
_NO_RABBIT = "RabbitMQ is not watched"
_NO_LIMITER = "No limiter is watched"

_SERVICE = links.to("service", "The service", service=links.label("service"))
_DASHED = {"fill": "dash", "dash": [4, 4]}
_FAINT = {"mode": "fixed", "fixedColor": colours.FAINT}

_DEPTH = f"service_queue:queue_depth:sum{_HERE}"
#: Nothing waits: none where somebody tells a pace.
_DRAIN = (
    f"service_queue:queue_drain_seconds:ratio{_HERE}"
    f" or ({_DEPTH} == 0 and service_queue:queue_done:rate2m{_HERE})"
)
_FAILED = f"sum(service_queue:queue_failed:rate5m{_HERE})"
_SUCCEEDED = f"sum(service_queue:queue_succeeded:rate5m{_HERE})"

_ACTIVE = f"sum by (service, job_name) (gnomon_job_active{_JOBS})"
_RUNS = 'gnomon_job_runs_total{service=~"$service", job_name=~"$job_name"'
_SUCCESSES = f'sum by (service, job_name) ({_RUNS}, outcome="success"}})'
_FAILURES = f'sum by (service, job_name) ({_RUNS}, outcome!="success"}})'
#: As the alerts see it: 2 overdue, 1 failing or never succeeded, 0 well, -1 has not run.
_STATE = (
    f"(0 * (service_job:job_last_run_age:seconds{_JOBS}"
    f" > 2 * service_job:job_interval:seconds{_JOBS}"
    f" and service_job:job_last_run_age:seconds{_JOBS} > {recording('job_overdue:seconds')}{_JOBS})"
    " + 2)"
    f" or (0 * ({_FAILURES} > 0 and {_SUCCESSES} == 0) + 1)"
    f" or (service_job:job_failing:seconds{_JOBS} > bool 0)"
    f" or (0 * {_ACTIVE} - 1)"
)
_STATES = (
    (-1, "has not run", colours.FAINT),
    (0, "well", colours.GOOD),
    (1, "fails", colours.BAD),
    (2, "overdue", colours.WATCH),
)


def _queue(level: str) -> str:
    """Return a level by queue alone, so that the rows of a table find each other."""
    return f"sum by (service, queue, kind) ({level}{_HERE})"


def _job(level: str) -> str:
    """Return a level by job alone."""
    return f"sum by (service, job_name) ({level}{_JOBS})"


def _both(own: str, celery: str) -> str:
    """Return the rate of a counter of queues in applications and of Celery's, together."""
    return (
        f"sum(sum by (queue) (rate({own}{_HERE}[2m]))"
        f" or sum by (queue_name) (rate({celery}{_CELERY}[2m])))"
    )


_SUMMARY = Section(
    "",
    (
        number(
            "Waiting",
            "How many items wait, in all queues chosen?",
            now(f"sum({_DEPTH})"),
            unit=units.COUNT,
            width=3,
            empty=_NO_QUEUE,
        ),
        number(
            "Oldest",
            "How long has the item waited that has waited longest, where queues tell?",
            now(f"max(service_queue:queue_oldest_seconds:max{_HERE})"),
            unit=units.SECONDS,
            decimals=1,
            steps=above("queue_oldest_item_too_old:seconds"),
            width=3,
            empty="Nothing waits",
        ),
        number(
            "Drains in",
            "How long does it take to work off the longest queue at the present pace? Of queues"
            " that tell their pace.",
            now(f"max({_DRAIN})"),
            unit=units.SECONDS,
            decimals=1,
            steps=above("queue_backlog_growing:seconds"),
            width=3,
            empty="No pace",
        ),
        number(
            "Fails",
            "Which share of what was taken from queues within five minutes failed?",
            now(f"{_FAILED} / ({_FAILED} + ({_SUCCEEDED} or 0 * {_FAILED}) > 0)"),
            unit=units.RATIO,
            decimals=1,
            steps=above("queue_failures_high:ratio", watch=0.25),
            width=3,
            empty="Nothing taken",
        ),
        number(
            "Given up",
            "How many items failed for the last time within an hour?",
            now(f"sum(increase(gnomon_queue_dead_total{_HERE}[1h]))"),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            width=3,
            empty=_NO_OWN,
        ),
        number(
            "Untended",
            "How many queues have something in them and nobody who takes it?",
            now(
                f"count({_DEPTH} > 0 and service_queue:queue_consumers:sum{_HERE} == 0)"
                f" or 0 * count({_DEPTH})"
            ),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            width=3,
            empty=_NO_QUEUE,
        ),
        number(
            "Jobs fail",
            "How many jobs have failed since they last succeeded, or have never succeeded?",
            now(f"count(({_STATE}) == 1) or 0 * count({_ACTIVE})"),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            width=3,
            empty=_NO_JOB,
        ),
        number(
            "Overdue",
            "How many jobs have not run for more than twice as long as they used to wait? Known"
            " after a day and four runs.",
            now(f"count(({_STATE}) == 2) or 0 * count({_ACTIVE})"),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            width=3,
            empty=_NO_JOB,
        ),
    ),
)

_QUEUES = Section(
    "",
    (
        graph(
            "Waiting, by queue",
            "How many items wait in each queue? The twenty longest.",
            Query(expr=highest(_DEPTH, 20), legend="{{queue}} ({{kind}})"),
            unit=units.COUNT,
            links=(_SERVICE,),
            empty=_NO_QUEUE,
        ),
        graph(
            "The oldest item",
            "How long has the item waited that has waited longest? No line: nothing waits, or the"
            " queue does not tell.",
            Query(
                expr=highest(f"service_queue:queue_oldest_seconds:max{_HERE}", 20),
                legend="{{queue}} ({{kind}})",
            ),
            limit(f"max({recording('queue_oldest_item_too_old:seconds')}{_HERE})"),
            unit=units.SECONDS,
            links=(_SERVICE,),
            empty="Nothing waits",
        ),
        graph(
            "In and out",
            "Do as many items leave as come in? What comes out faster was waiting.",
            Query(
                expr=_both("gnomon_queue_submitted_total", "celery_task_received_total"),
                legend="in",
            ),
            Query(expr=f"sum(service_queue:queue_done:rate2m{_HERE})", legend="out"),
            Query(expr=_FAILED, legend="failed"),
            Query(
                expr=_both("gnomon_queue_retried_total", "celery_task_retried_total"),
                legend="tried again",
            ),
            unit=units.EVENTS_RATE,
            filled=0,
            legend=(),
            overrides=(
                coloured("in", colours.PLAIN),
                coloured("out", colours.GOOD),
                coloured("failed", colours.BAD),
                coloured("tried again", colours.WATCH),
            ),
            empty="No queue that tells",
        ),
        graph(
            "Time to drain",
            "How long does it take to work off what waits, at the pace of the last two minutes?",
            Query(
                expr=_DRAIN,
                legend="{{queue}} ({{kind}})",
            ),
            limit(f"max({recording('queue_backlog_growing:seconds')}{_HERE})"),
            unit=units.SECONDS,
            links=(_SERVICE,),
            empty="Nothing is worked off",
        ),
        graph(
            "How long items wait",
            "How long does an item lie in a queue of an application before somebody takes it?",
            *percentiles(f"gnomon_queue_wait_seconds_bucket{_HERE}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="Nothing was taken",
        ),
        graph(
            "How long work on them takes",
            "How long does a worker of an application work on one item?",
            *percentiles(f"gnomon_queue_run_seconds_bucket{_HERE}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="Nothing was worked on",
        ),
    ),
)

_EACH = Section(
    "Each queue",
    (
        table(
            "Queues",
            "Which queue is behind, has nobody who takes from it, or loses what is in it?",
            rows(_queue("service_queue:queue_depth:sum"), ref="depth"),
            rows(
                f"max by (service, queue, kind) (service_queue:queue_oldest_seconds:max{_HERE})",
                ref="oldest",
            ),
            rows(
                f"max by (service, queue, kind) (service_queue:queue_drain_seconds:ratio{_HERE})",
                ref="drain",
            ),
            rows(_queue("service_queue:queue_growth:deriv5m"), ref="growth"),
            rows(_queue("service_queue:queue_consumers:sum"), ref="consumers"),
            rows(_queue("service_queue:queue_done:rate2m"), ref="done"),
            rows(
                "max by (service, queue, kind)"
                f" (service_queue:queue_failed:ratio_rate5m{_HERE}"
                f" or 0 * service_queue:queue_failed:rate5m{_HERE})",
                ref="failed",
            ),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="queue", title="Queue"),
                Column(source="kind", title="Kind"),
                Column(source="Value #depth", title="Waiting", unit=units.COUNT),
                Column(
                    source="Value #oldest",
                    title="Oldest",
                    unit=units.SECONDS,
                    decimals=1,
                    steps=above("queue_oldest_item_too_old:seconds"),
                ),
                Column(
                    source="Value #drain",
                    title="Drained in",
                    unit=units.SECONDS,
                    decimals=1,
                    steps=above("queue_backlog_growing:seconds"),
                ),
                Column(source="Value #growth", title="Grows by", unit=units.EVENTS_RATE),
                Column(source="Value #consumers", title="Consumers", unit=units.COUNT),
                Column(source="Value #done", title="Out", unit=units.EVENTS_RATE),
                Column(
                    source="Value #failed",
                    title="Fails",
                    unit=units.RATIO,
                    decimals=1,
                    steps=above("queue_failures_high:ratio", watch=0.25),
                ),
            ),
            sort="Waiting",
            height=7,
            empty=_NO_QUEUE,
        ),
    ),
)

_JOB_SECTION = Section(
    "Jobs",
    (
        table(
            "Each job",
            "Which job fails, has stopped running, or takes long?",
            rows(_STATE, ref="state"),
            rows(_job("service_job:job_last_success_age:seconds"), ref="success"),
            rows(_job("service_job:job_last_run_age:seconds"), ref="run"),
            rows(_job("service_job:job_interval:seconds"), ref="interval"),
            rows(_job("service_job:job_runs:increase1h"), ref="runs"),
            rows(_job("service_job:job_duration_seconds:mean1h"), ref="duration"),
            rows(_ACTIVE, ref="active"),
            rows(f"max by (service, job_name) (gnomon_job_progress_ratio{_JOBS})", ref="progress"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="job_name", title="Job"),
                Column(
                    source="Value #state",
                    title="State",
                    mappings=(words(*_STATES),),
                    steps=PLAIN,
                ),
                Column(source="Value #success", title="Succeeded before", unit=units.SECONDS),
                Column(source="Value #run", title="Ran before", unit=units.SECONDS),
                Column(source="Value #interval", title="Runs every", unit=units.SECONDS),
                Column(source="Value #runs", title="Runs, 1 h", unit=units.COUNT, decimals=0),
                Column(source="Value #duration", title="Takes", unit=units.SECONDS),
                Column(source="Value #active", title="Runs now", unit=units.COUNT),
                Column(
                    source="Value #progress",
                    title="Done",
                    unit=units.RATIO,
                    decimals=0,
                    high=1,
                    bar=True,
                    steps=PLAIN,
                ),
            ),
            sort="State",
            height=7,
            empty=_NO_JOB,
        ),
        states(
            "How jobs were",
            "When did a job fail, when had it stopped running?",
            Query(expr=_STATE, legend="{{service}} {{job_name}}"),
            named=_STATES,
            empty=_NO_JOB,
        ),
        graph(
            "Since the last success",
            "How long ago did each job last succeed? A saw: it is well; a ramp: it is not.",
            Query(
                expr=f"service_job:job_last_success_age:seconds{_JOBS}",
                legend="{{service}} {{job_name}}",
            ),
            unit=units.SECONDS,
            filled=0,
            links=(_SERVICE,),
            empty="No job has succeeded yet",
        ),
        graph(
            "Runs, by outcome",
            "How many runs ended well, failed, took too long or were cancelled?",
            Query(
                expr=f"sum by (outcome) (increase(gnomon_job_runs_total{_JOBS}[$__rate_interval]))",
                legend="{{outcome}}",
                least="1m",
            ),
            Query(
                expr=f"sum(increase(gnomon_job_retries_total{_JOBS}[$__rate_interval]))",
                legend="tried again",
                least="1m",
            ),
            unit=units.COUNT,
            bars=True,
            stacked=True,
            overrides=(
                coloured("success", colours.GOOD),
                coloured("failure", colours.BAD),
                coloured("timeout", colours.NEARLY_ALL),
                coloured("cancelled", colours.FAINT),
                coloured("tried again", colours.WATCH),
            ),
            empty=_NO_JOB,
        ),
        graph(
            "How long a run takes",
            "How long does a run of each job take, on average over an hour? A job that grows with"
            " its data is seen before it is too slow.",
            Query(
                expr=f"service_job:job_duration_seconds:mean1h{_JOBS}",
                legend="{{service}} {{job_name}}",
            ),
            unit=units.SECONDS,
            filled=0,
            links=(_SERVICE,),
            empty="No job ran within an hour",
        ),
    ),
)

_OWN = Section(
    "In applications",
    (
        graph(
            "Waiting, by priority",
            "What waits: what is urgent, or what can wait?",
            Query(
                expr=f"sum by (queue, priority) (gnomon_queue_depth{_HERE})",
                legend="{{queue}} {{priority}}",
            ),
            unit=units.COUNT,
            stacked=True,
            width=8,
            legend=(),
            empty=_NO_OWN,
        ),
        graph(
            "The wait, by priority",
            "Does what is urgent wait less? What 95 of 100 items waited at most.",
            Query(
                expr="histogram_quantile(0.95, sum by (queue, priority, le)"
                f" (rate(gnomon_queue_wait_seconds_bucket{_HERE}[$__rate_interval]))) >= 0",
                legend="{{queue}} {{priority}}",
            ),
            unit=units.SECONDS,
            filled=0,
            width=8,
            legend=(),
            empty="Nothing was taken",
        ),
        graph(
            "Workers busy",
            "Which share of the workers has something to do? 100 %: more workers would help.",
            Query(
                expr=f"sum by (service, queue) (gnomon_queue_in_flight{_HERE})"
                f" / (sum by (service, queue) (gnomon_queue_workers{_HERE}) > 0)",
                legend="{{service}} {{queue}}",
            ),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            empty="No queue has workers that tell",
        ),
        graph(
            "Done, by worker",
            "Does one worker do less than its fellows?",
            Query(
                expr="sum by (queue, worker)"
                f" (rate(gnomon_queue_completed_total{_HERE}[$__rate_interval]))",
                legend="{{queue}} worker {{worker}}",
            ),
            unit=units.EVENTS_RATE,
            filled=0,
            width=8,
            legend=(),
            empty=_NO_OWN,
        ),
        graph(
            "What became of items",
            "How many items failed, were tried again, or were given up?",
            Query(
                expr=f"sum(increase(gnomon_queue_failed_total{_HERE}[$__rate_interval]))",
                legend="failed",
            ),
            Query(
                expr=f"sum(increase(gnomon_queue_retried_total{_HERE}[$__rate_interval]))",
                legend="tried again",
            ),
            Query(
                expr=f"sum(increase(gnomon_queue_dead_total{_HERE}[$__rate_interval]))",
                legend="given up",
            ),
            unit=units.COUNT,
            bars=True,
            stacked=True,
            width=8,
            legend=(),
            overrides=(
                coloured("failed", colours.BAD),
                coloured("tried again", colours.WATCH),
                coloured("given up", colours.NEARLY_ALL),
            ),
            empty=_NO_OWN,
        ),
        graph(
            "Room left",
            "How full are the queues that take no more than so many items? Who puts into a full one"
            " waits or is refused.",
            Query(
                expr=f"sum by (service, queue) (gnomon_queue_depth{_HERE})"
                f" / (sum by (service, queue) (gnomon_queue_capacity{_HERE}) > 0)",
                legend="{{service}} {{queue}}",
            ),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            empty="No queue has a limit",
        ),
    ),
    folded=True,
)

_RUNTIME = (
    "histogram_quantile(0.95, sum by (name, le)"
    f" (rate(celery_task_runtime_bucket{_CELERY}[$__rate_interval]))) >= 0"
)
_STARTED = f"sum by (name) (rate(celery_task_started_total{_CELERY}[$__rate_interval]))"

_CELERY_SECTION = Section(
    "Celery",
    (
        table(
            "Celery: tasks",
            "Which task is called most, fails, or takes long?",
            rows(_STARTED, ref="started"),
            rows(
                f"sum by (name) (rate(celery_task_failed_total{_CELERY}[$__rate_interval]))"
                f" or 0 * {_STARTED}",
                ref="failed",
            ),
            rows(
                f"sum by (name) (rate(celery_task_retried_total{_CELERY}[$__rate_interval]))"
                f" or 0 * {_STARTED}",
                ref="retried",
            ),
            rows(
                "histogram_quantile(0.95, sum by (name, le)"
                f" (rate(celery_task_queue_wait_time_bucket{_CELERY}[$__rate_interval]))) >= 0",
                ref="wait",
            ),
            rows(_RUNTIME, ref="runtime"),
            columns=(
                Column(source="name", title="Task"),
                Column(source="Value #started", title="Begun", unit=units.EVENTS_RATE),
                Column(source="Value #failed", title="Failed", unit=units.EVENTS_RATE),
                Column(source="Value #retried", title="Tried again", unit=units.EVENTS_RATE),
                Column(source="Value #wait", title="95 % wait below", unit=units.SECONDS),
                Column(source="Value #runtime", title="95 % take below", unit=units.SECONDS),
            ),
            sort="Begun",
            height=6,
            empty=_NO_CELERY,
        ),
        graph(
            "Celery: what becomes of tasks",
            "How many tasks come, succeed, fail, are tried again, rejected or revoked?",
            *(
                Query(
                    expr=f"sum(rate(celery_task_{event}_total{_CELERY}[$__rate_interval]))",
                    legend=name,
                )
                for event, name in (
                    ("received", "received"),
                    ("succeeded", "succeeded"),
                    ("failed", "failed"),
                    ("retried", "tried again"),
                    ("rejected", "rejected"),
                    ("revoked", "revoked"),
                )
            ),
            unit=units.EVENTS_RATE,
            filled=0,
            overrides=(
                coloured("received", colours.PLAIN),
                coloured("succeeded", colours.GOOD),
                coloured("failed", colours.BAD),
                coloured("tried again", colours.WATCH),
            ),
            empty=_NO_CELERY,
        ),
        graph(
            "Celery: failures",
            "Which tasks fail, and with which exception?",
            Query(
                expr="sum by (name, exception)"
                f" (rate(celery_task_failed_total{_CELERY}[$__rate_interval])) > 0",
                legend="{{name}} {{exception}}",
            ),
            unit=units.EVENTS_RATE,
            overrides=(FAILURES,),
            empty="No task failed",
        ),
        graph(
            "Celery: the wait",
            "How long does a task wait from when it was sent, or was due, until it begins?",
            *percentiles(f"celery_task_queue_wait_time_bucket{_CELERY}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="No task began",
        ),
        graph(
            "Celery: how long tasks take",
            "How long does each task take to succeed? What 95 of 100 take at most.",
            Query(expr=_RUNTIME, legend="{{name}}"),
            unit=units.SECONDS,
            filled=0,
            empty="No task succeeded",
        ),
        graph(
            "Celery: places taken",
            "How many tasks are being worked on, and how many (dashed) could be at once?",
            Query(expr="sum(celery_worker_tasks_active)", legend="under way"),
            Query(expr="max(gnomon_celery_active_concurrency)", legend="places"),
            unit=units.COUNT,
            overrides=(
                styled("places", color=_FAINT, custom__lineStyle=_DASHED, custom__fillOpacity=0),
            ),
            empty=_NO_CELERY,
        ),
        states(
            "Celery: workers",
            "Which worker has been silent, and when?",
            Query(expr="max by (hostname) (celery_worker_up)", legend="{{hostname}}"),
            named=((0, "silent", colours.BAD), (1, "there", colours.GOOD)),
            empty="No worker has been heard of",
        ),
    ),
    folded=True,
)

_RQ_SECTION = Section(
    "RQ",
    (
        graph(
            "RQ: jobs by status",
            "Where are the jobs that are not done: queued, started, due later, waiting for others,"
            " failed?",
            Query(
                expr='sum by (status) (rq_jobs{queue=~"$queue", status!="finished"})',
                legend="{{status}}",
            ),
            unit=units.COUNT,
            stacked=True,
            overrides=(
                coloured("failed", colours.BAD),
                coloured("queued", colours.PLAIN),
                coloured("started", colours.GOOD),
            ),
            empty=_NO_RQ,
        ),
        graph(
            "RQ: failed jobs that are kept",
            "Of which queue are the jobs that failed and that nobody has looked at?",
            Query(
                expr='sum by (queue) (rq_jobs{queue=~"$queue", status="failed"})',
                legend="{{queue}}",
            ),
            unit=units.COUNT,
            overrides=(coloured(".*", colours.BAD, pattern=True),),
            empty=_NO_RQ,
        ),
        graph(
            "RQ: done",
            "How many jobs do the workers do, and how many fail?",
            Query(expr="sum(rate(rq_workers_success_total[$__rate_interval]))", legend="done"),
            Query(expr="sum(rate(rq_workers_failed_total[$__rate_interval]))", legend="failed"),
            unit=units.EVENTS_RATE,
            overrides=(coloured("done", colours.GOOD), coloured("failed", colours.BAD)),
            empty="No worker of RQ",
        ),
        graph(
            "RQ: workers",
            "What are the workers doing?",
            Query(expr="count by (state) (rq_workers)", legend="{{state}}"),
            unit=units.COUNT,
            stacked=True,
            overrides=(coloured("busy", colours.PLAIN), coloured("idle", colours.GOOD)),
            empty="No worker of RQ",
        ),
    ),
    folded=True,
)

_RABBIT_SECTION = Section(
    "RabbitMQ",
    (
        graph(
            "RabbitMQ: ready",
            "How many messages wait for a consumer? The twenty longest queues.",
            Query(
                expr=highest(f"rabbitmq_detailed_queue_messages_ready{_BROKER}", 20),
                legend="{{vhost}} {{queue}}",
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty=_NO_RABBIT,
        ),
        graph(
            "RabbitMQ: not acknowledged",
            "How many messages have consumers got and not said that they are done with?",
            Query(
                expr=highest(f"rabbitmq_detailed_queue_messages_unacked{_BROKER}", 20),
                legend="{{vhost}} {{queue}}",
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty=_NO_RABBIT,
        ),
        graph(
            "RabbitMQ: consumers",
            "How many consumers has each queue? The twenty with fewest.",
            Query(
                expr="bottomk(20, sum by (vhost, queue)"
                f" (rabbitmq_detailed_queue_consumers{_BROKER}))",
                legend="{{vhost}} {{queue}}",
            ),
            unit=units.COUNT,
            filled=0,
            width=8,
            legend=(),
            empty=_NO_RABBIT,
        ),
        graph(
            "RabbitMQ: memory",
            "Which share of the memory is in use, from all of which on it stops those who publish?",
            Query(
                expr="rabbitmq_detailed_process_resident_memory_bytes"
                " / (rabbitmq_detailed_resident_memory_limit_bytes > 0)",
                legend="{{instance}}",
            ),
            unit=units.RATIO,
            width=12,
            empty=_NO_RABBIT,
        ),
        graph(
            "RabbitMQ: disk",
            "How much disk is left, and below what (dashed) does it stop those who publish?",
            Query(expr="rabbitmq_detailed_disk_space_available_bytes", legend="{{instance}} left"),
            Query(
                expr="rabbitmq_detailed_disk_space_available_limit_bytes",
                legend="{{instance}} stops below",
            ),
            unit=units.BYTES,
            filled=0,
            width=12,
            overrides=(
                styled("stops below$", pattern=True, color=_FAINT, custom__lineStyle=_DASHED),
            ),
            empty=_NO_RABBIT,
        ),
    ),
    folded=True,
)

_REFUSED = f"sum by (service, limiter) (rate(gnomon_limiter_refused_total{_SERVED}[5m]))"
_ALLOWED = f"sum by (service, limiter) (rate(gnomon_limiter_allowed_total{_SERVED}[5m]))"

_LIMITERS = Section(
    "Limiters",
    (
        graph(
            "Let through and refused",
            "How many requests does each limiter let through, where it tells, and how many does it"
            " refuse?",
            Query(expr=_ALLOWED, legend="{{service}} {{limiter}} lets through"),
            Query(expr=_REFUSED, legend="{{service}} {{limiter}} refuses"),
            unit=units.REQUESTS_RATE,
            filled=0,
            width=8,
            legend=(),
            links=(_SERVICE,),
            overrides=(styled("refuses$", pattern=True, custom__lineStyle=_DASHED),),
            empty=_NO_LIMITER,
        ),
        graph(
            "Refused, by route",
            "Which routes are asked for more often than allowed?",
            Query(
                expr="sum by (service, http_route)"
                f" (rate(gnomon_limiter_refused_total{_SERVED}[5m])) > 0",
                legend="{{service}} {{http_route}}",
            ),
            unit=units.REQUESTS_RATE,
            width=8,
            legend=(),
            empty="Nothing was refused",
        ),
        graph(
            "Refused, by reason",
            "Which limit was reached?",
            Query(
                expr="sum by (limiter, reason)"
                f" (rate(gnomon_limiter_refused_total{_SERVED}[5m])) > 0",
                legend="{{limiter}} {{reason}}",
            ),
            unit=units.REQUESTS_RATE,
            width=8,
            legend=(),
            empty="Nothing was refused",
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="queue",
    title="Queues and jobs",
    purpose="What waits, how long, who works it off and what fails: queues in applications,"
    " RabbitMQ, Celery, RQ; jobs; limiters.",
    variables=(
        Choice(
            name="service",
            source='{__name__=~"service_queue:queue_depth:sum|gnomon_job_active"}',
            title="Service",
        ),
        Choice(
            name="queue",
            source='service_queue:queue_depth:sum{service=~"$service"}',
            title="Queue",
        ),
        Choice(name="job_name", source='gnomon_job_active{service=~"$service"}', title="Job"),
    ),
    sections=(
        _SUMMARY,
        _QUEUES,
        _EACH,
        _JOB_SECTION,
        _OWN,
        _CELERY_SECTION,
        _RQ_SECTION,
        _RABBIT_SECTION,
        _LIMITERS,
    ),
    about='component=~"queue|job", service=~"$service"',
    deploys='service=~"$service"',
)
