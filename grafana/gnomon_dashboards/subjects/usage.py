"""What pieces of work use: the eight numbers of `gnomon.measure`, functions, batches."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.panels import (
    FAILURES,
    NONE_IS_GOOD,
    PERCENTILES,
    PLAIN,
    Column,
    Panel,
    coloured,
    graph,
    heatmap,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, now, percentiles, rows
from gnomon_dashboards.variables import Choice

_HERE = '{service=~"$service", name=~"$name"}'
_SERVED = '{service=~"$service"}'

_NO_WORK = "Nothing is measured"
_NO_GPU = "No GPU was used"
_NO_FUNCTION = "No function is timed"
_NO_BATCH = "No batch was run"

_NAME = "{{service}} {{name}}"
_SERVICE = links.to("service", "The service", service=links.label("service"))
_SERVICE_CELL = links.to("service", "The service", service=links.column("Service"))
_GPU = links.to("gpu", "The GPUs")
_HOST = links.to("host", "The machine")
_DASHED = {"fill": "dash", "dash": [4, 4]}
_BY = "by (service, name)"


def _mean(family: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return the mean of a number of the pieces of work that ended within a time."""
    total, count = (
        f"sum {by} (rate(gnomon_usage_{family}_{part}{_HERE}[{over}]))" for part in ("sum", "count")
    )
    return f"{total} / ({count} > 0)"


def _most(family: str, *, over: str = "$__rate_interval") -> str:
    """Return what 95 of 100 pieces of work stay below, by name."""
    return (
        f"histogram_quantile(0.95, sum by (service, name, le)"
        f" (rate(gnomon_usage_{family}_bucket{_HERE}[{over}]))) >= 0"
    )


def _number(title: str, key: str, family: str, question: str, unit: str) -> Panel:
    return number(
        title,
        f"{question} The mean of the work that ended in the time on show: `{key}`.",
        now(_mean(family, over="$__range")),
        unit=unit,
        decimals=0 if unit == units.RATIO else None,
        width=3,
        empty=_NO_GPU if family.startswith("gpu_") else _NO_WORK,
    )


def _pair(
    title: str,
    question: str,
    first: tuple[str, str],
    second: tuple[str, str],
    *,
    unit: str,
    empty: str,
    link: dict[str, object],
) -> Panel:
    """Return two numbers by name: family and what it is called, the second one dashed."""
    return graph(
        title,
        question,
        *(
            Query(expr=_mean(family, _BY), legend=f"{_NAME} {called}", least="1m")
            for family, called in (first, second)
        ),
        unit=unit,
        filled=0,
        links=(link, _SERVICE),
        overrides=(styled(f"{second[1]}$", pattern=True, custom__lineStyle=_DASHED),),
        empty=empty,
    )


_SUMMARY = Section(
    "",
    (
        _number(
            "Takes",
            "processing_time_sec",
            "duration_seconds",
            "How long does a piece of work take?",
            units.SECONDS,
        ),
        _number(
            "CPU",
            "cpu_percent_avg",
            "cpu_avg_ratio",
            "How much CPU did the process use meanwhile? 100 % is one core.",
            units.RATIO,
        ),
        _number(
            "CPU peak",
            "cpu_percent_max",
            "cpu_max_ratio",
            "How much CPU did the process use in the busiest interval?",
            units.RATIO,
        ),
        _number(
            "RAM",
            "ram_mb_avg",
            "ram_avg_bytes",
            "How much memory did the process have meanwhile?",
            units.BYTES,
        ),
        _number(
            "RAM, peak",
            "ram_mb_peak",
            "ram_peak_bytes",
            "How much memory did the process have at most?",
            units.BYTES,
        ),
        _number(
            "VRAM left",
            "gpu_vram_mb_current",
            "gpu_vram_current_bytes",
            "How much memory of GPUs did the process hold at the end?",
            units.BYTES,
        ),
        _number(
            "VRAM peak",
            "gpu_vram_mb_peak",
            "gpu_vram_peak_bytes",
            "How much memory of GPUs did the process hold at most?",
            units.BYTES,
        ),
        _number(
            "GPU",
            "gpu_percent",
            "gpu_ratio",
            "How busy were the GPUs of the process?",
            units.RATIO,
        ),
    ),
)

_NUMBERS = Section(
    "",
    (
        graph(
            "How long work takes",
            "How long do 95 of 100 pieces of work take at most? A dot is one: a click opens its"
            " trace.",
            Query(expr=_most("duration_seconds"), legend=_NAME, exemplars=True, least="1m"),
            unit=units.SECONDS,
            filled=0,
            links=(_SERVICE,),
            empty=_NO_WORK,
        ),
        graph(
            "CPU of its own",
            "How many CPU seconds did the work itself use, whatever ran beside it? What 95 of 100"
            " stay below.",
            Query(expr=_most("own_cpu_seconds"), legend=_NAME, exemplars=True, least="1m"),
            unit=units.SECONDS,
            filled=0,
            links=(_SERVICE,),
            empty=_NO_WORK,
        ),
        _pair(
            "CPU of the process",
            "How much CPU did the whole process use meanwhile, on average and (dashed) in the"
            " busiest interval? 100 % is one core.",
            ("cpu_avg_ratio", "on average"),
            ("cpu_max_ratio", "busiest"),
            unit=units.RATIO,
            empty=_NO_WORK,
            link=_HOST,
        ),
        _pair(
            "Memory of the process",
            "How much memory did the whole process have meanwhile, on average and (dashed) at"
            " most?",
            ("ram_avg_bytes", "on average"),
            ("ram_peak_bytes", "peak"),
            unit=units.BYTES,
            empty=_NO_WORK,
            link=_HOST,
        ),
        _pair(
            "GPU memory of the process",
            "How much memory of GPUs did the process hold at the end and (dashed) at most?",
            ("gpu_vram_current_bytes", "at the end"),
            ("gpu_vram_peak_bytes", "peak"),
            unit=units.BYTES,
            empty=_NO_GPU,
            link=_GPU,
        ),
        graph(
            "GPUs of the process",
            "How busy were the GPUs that the process holds memory on?",
            Query(expr=_mean("gpu_ratio", _BY), legend=_NAME, least="1m"),
            unit=units.RATIO,
            high=1,
            filled=0,
            links=(_GPU, _SERVICE),
            empty=_NO_GPU,
        ),
    ),
)

_ENDED = f"sum {_BY} (increase(gnomon_usage_duration_seconds_count{_HERE}[$__range])) > 0"
_ERRORS = (
    "sum by (service, name, error_type)"
    f" (increase(gnomon_usage_errors_total{_HERE}[$__rate_interval]))"
)
_FAILED = f"sum {_BY} (increase(gnomon_usage_errors_total{_HERE}[$__range]))"


#: Pixels: there are many columns.
_NARROW = 88


def _column(ref: str, title: str, unit: str, decimals: int | None = None) -> Column:
    return Column(source=f"Value #{ref}", title=title, unit=unit, decimals=decimals, width=_NARROW)


_EACH = Section(
    "Each piece of work, by name",
    (
        table(
            "What each one uses",
            "Which work is dear, in time, processor, memory or GPU? Means of what ended in the time"
            " on show. Others: what was measured meanwhile in the same process.",
            rows(_ENDED, ref="ended"),
            rows(f"sum {_BY} (gnomon_usage_active{_HERE})", ref="active"),
            rows(f"{_FAILED} / ({_ENDED}) or 0 * ({_ENDED})", ref="failed"),
            rows(_mean("duration_seconds", _BY, "$__range"), ref="takes"),
            rows(_most("duration_seconds", over="$__range"), ref="most"),
            rows(_mean("own_cpu_seconds", _BY, "$__range"), ref="own"),
            rows(_mean("cpu_avg_ratio", _BY, "$__range"), ref="cpu"),
            rows(_mean("cpu_max_ratio", _BY, "$__range"), ref="busiest"),
            rows(_mean("ram_avg_bytes", _BY, "$__range"), ref="ram"),
            rows(_mean("ram_peak_bytes", _BY, "$__range"), ref="peak"),
            rows(_mean("ram_added_bytes", _BY, "$__range"), ref="added"),
            rows(_mean("gpu_vram_peak_bytes", _BY, "$__range"), ref="vram"),
            rows(_mean("gpu_ratio", _BY, "$__range"), ref="gpu"),
            rows(_mean("concurrent", _BY, "$__range"), ref="others"),
            columns=(
                Column(source="service", title="Service", link=(_SERVICE_CELL,)),
                Column(source="name", title="Work"),
                _column("ended", "Ended", units.WHOLE, 0),
                _column("active", "Under way", units.COUNT, 0),
                Column(
                    source="Value #failed",
                    title="Failed",
                    unit=units.RATIO,
                    decimals=1,
                    width=_NARROW,
                    steps=((None, colours.GOOD), (0.01, colours.WATCH), (0.05, colours.BAD)),
                ),
                _column("takes", "Takes", units.SECONDS),
                _column("most", "95 % in", units.SECONDS),
                _column("own", "Own CPU", units.SECONDS),
                _column("cpu", "CPU", units.RATIO, 0),
                _column("busiest", "CPU peak", units.RATIO, 0),
                _column("ram", "RAM", units.BYTES),
                _column("peak", "RAM peak", units.BYTES),
                _column("added", "RAM left", units.BYTES),
                _column("vram", "VRAM", units.BYTES),
                _column("gpu", "GPU", units.RATIO, 0),
                _column("others", "Others", units.COUNT, 1),
            ),
            sort="Ended",
            height=6,
            empty=_NO_WORK,
        ),
        graph(
            "How much work there is",
            "How many pieces of work end each second?",
            Query(
                expr=f"sum {_BY} (rate(gnomon_usage_duration_seconds_count{_HERE}"
                "[$__rate_interval]))",
                legend=_NAME,
            ),
            unit=units.EVENTS_RATE,
            stacked=True,
            width=8,
            legend=(),
            links=(_SERVICE,),
            empty=_NO_WORK,
        ),
        graph(
            "Under way",
            "How many pieces of work are being measured at this moment?",
            Query(expr=f"sum {_BY} (gnomon_usage_active{_HERE})", legend=_NAME),
            unit=units.COUNT,
            stacked=True,
            width=8,
            legend=(),
            links=(_SERVICE,),
            empty=_NO_WORK,
        ),
        graph(
            "Failed",
            "Which work ended with an exception, and with which?",
            Query(
                expr=f"{_ERRORS} or 0 * (sum {_BY} (gnomon_usage_active{_HERE})"
                f" unless on (service, name) {_ERRORS})",
                legend=f"{_NAME} {{{{error_type}}}}",
                least="1m",
            ),
            unit=units.COUNT,
            bars=True,
            width=8,
            legend=(),
            links=(_SERVICE,),
            overrides=(FAILURES,),
            empty=_NO_WORK,
        ),
    ),
)


def _spread(title: str, question: str, family: str, unit: str, empty: str = _NO_WORK) -> Panel:
    return heatmap(
        title,
        question,
        Query(
            expr=f"sum by (le) (rate(gnomon_usage_{family}_bucket{_HERE}[$__rate_interval]))",
            legend="{{le}}",
            buckets=True,
            exemplars=True,
            least="1m",
        ),
        unit=unit,
        width=8,
        height=10,  # for sixteen bounds beside it
        empty=empty,
    )


_SPREADS = Section(
    "How it is spread",
    (
        _spread(
            "How long it takes",
            "Is there fast work and slow work, or is all of it alike?",
            "duration_seconds",
            units.SECONDS,
        ),
        _spread(
            "CPU of its own, all of it",
            "Does some work use much more of the processor than the rest?",
            "own_cpu_seconds",
            units.SECONDS,
        ),
        _spread(
            "CPU of the process, on average",
            "Is one core enough while it runs, or are several busy?",
            "cpu_avg_ratio",
            units.RATIO,
        ),
        _spread(
            "Memory of the process, peak",
            "How large does the process get? Bounds are powers of two.",
            "ram_peak_bytes",
            units.BYTES,
        ),
        _spread(
            "Memory left behind",
            "By how much has the process grown when the work ends? Again and again: it leaks.",
            "ram_added_bytes",
            units.BYTES,
        ),
        _spread(
            "Others meanwhile",
            "How many other pieces of work ran in the same process? With many, the process's"
            " numbers are not one's own.",
            "concurrent",
            units.COUNT,
        ),
    ),
)

_BY_FUNCTION = "by (service, function)"


def _function(family: str, over: str = "$__rate_interval") -> str:
    """Return the rate of a counter of functions."""
    return f"sum {_BY_FUNCTION} (rate(gnomon_function_{family}{_SERVED}[{over}]))"


_SPENT = _function("duration_seconds_sum", "$__range")
_CALLS = f"({_function('duration_seconds_count', '$__range')} > 0)"
_FUNCTION_NAME = "{{service}} {{function}}"

_FUNCTIONS = Section(
    "Functions: where the time goes",
    (
        graph(
            "Time in functions",
            "Where are the bottlenecks? Seconds that all callers together spend in each function"
            " each second; what a function calls is in it.",
            Query(expr=_function("duration_seconds_sum"), legend=_FUNCTION_NAME),
            unit=units.SECONDS,
            stacked=True,
            links=(_SERVICE,),
            empty=_NO_FUNCTION,
        ),
        graph(
            "How long a call takes",
            "What do 95 of 100 calls of each function take at most?",
            Query(
                expr="histogram_quantile(0.95, sum by (service, function, le)"
                f" (rate(gnomon_function_duration_seconds_bucket{_SERVED}[$__rate_interval])))"
                " >= 0",
                legend=_FUNCTION_NAME,
                exemplars=True,
            ),
            unit=units.SECONDS,
            filled=0,
            links=(_SERVICE,),
            empty=_NO_FUNCTION,
        ),
        table(
            "Functions by the time they take",
            "Which function is worth making faster, and is it computing or waiting?",
            rows(f"{_SPENT} / on() group_left () (sum({_SPENT}) > 0)", ref="share"),
            rows(_CALLS, ref="calls"),
            rows(f"{_SPENT} / {_CALLS}", ref="mean"),
            rows(
                "histogram_quantile(0.95, sum by (service, function, le)"
                f" (rate(gnomon_function_duration_seconds_bucket{_SERVED}[$__range]))) >= 0",
                ref="most",
            ),
            rows(
                f"clamp_max({_function('cpu_seconds_total', '$__range')} / ({_SPENT} > 0), 1)",
                ref="computing",
            ),
            rows(
                f"sum {_BY_FUNCTION} (increase(gnomon_function_slow_total{_SERVED}[$__range]))"
                f" and {_CALLS}",
                ref="slow",
            ),
            rows(
                f"(sum {_BY_FUNCTION} (increase(gnomon_function_errors_total{_SERVED}[$__range]))"
                f" and {_CALLS}) or 0 * {_CALLS}",
                ref="errors",
            ),
            columns=(
                Column(source="service", title="Service", link=(_SERVICE_CELL,)),
                Column(source="function", title="Function"),
                Column(
                    source="Value #share",
                    title="Of the time",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=PLAIN,
                ),
                Column(source="Value #calls", title="Calls", unit=units.OPERATIONS_RATE, width=120),
                _column("mean", "Takes", units.SECONDS),
                _column("most", "95 % in", units.SECONDS),
                Column(
                    source="Value #computing",
                    title="Computing, not waiting",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=PLAIN,
                ),
                _column("slow", "Slow calls", units.COUNT, 0),
                Column(
                    source="Value #errors",
                    title="Errors",
                    unit=units.COUNT,
                    decimals=0,
                    steps=NONE_IS_GOOD,
                ),
            ),
            sort="Of the time",
            height=6,
            empty=_NO_FUNCTION,
        ),
    ),
)

_OUTCOMES = (
    coloured("success", colours.GOOD),
    coloured("failure", colours.BAD),
    coloured("timeout", colours.NEARLY_ALL),
    coloured("cancelled", colours.FAINT),
)

_BATCHES = Section(
    "Batches",
    (
        graph(
            "Items, by outcome",
            "What became of the items of batches?",
            Query(
                expr=f"sum by (outcome) (rate(gnomon_batch_items_total{_SERVED}"
                "[$__rate_interval]))",
                legend="{{outcome}}",
                least="1m",
            ),
            unit=units.EVENTS_RATE,
            stacked=True,
            width=8,
            legend=(),
            overrides=_OUTCOMES,
            empty=_NO_BATCH,
        ),
        graph(
            "How long a batch takes",
            "How long does a whole batch take?",
            *percentiles(f"gnomon_batch_duration_seconds_bucket{_SERVED}"),
            unit=units.SECONDS,
            filled=0,
            width=8,
            legend=(),
            overrides=PERCENTILES,
            empty=_NO_BATCH,
        ),
        graph(
            "Items under way",
            "How many items are being worked on at this moment?",
            Query(
                expr=f"sum by (service, batch) (gnomon_batch_in_flight{_SERVED})",
                legend="{{service}} {{batch}}",
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            links=(_SERVICE,),
            empty=_NO_BATCH,
        ),
        table(
            "Each batch",
            "Which batches lose items, and to what?",
            *(
                rows(
                    "sum by (service, batch) (increase(gnomon_batch_items_total"
                    f'{{service=~"$service", outcome="{outcome}"}}[$__range]))',
                    ref=outcome,
                )
                for outcome in ("success", "failure", "timeout", "cancelled")
            ),
            rows(
                "sum by (service, batch)"
                f" (increase(gnomon_batch_duration_seconds_count{_SERVED}[$__range]))",
                ref="batches",
            ),
            rows(
                "sum by (service, batch)"
                f" (rate(gnomon_batch_duration_seconds_sum{_SERVED}[$__range]))"
                " / (sum by (service, batch)"
                f" (rate(gnomon_batch_duration_seconds_count{_SERVED}[$__range])) > 0)",
                ref="mean",
            ),
            columns=(
                Column(source="service", title="Service", link=(_SERVICE_CELL,)),
                Column(source="batch", title="Batch"),
                _column("batches", "Batches", units.COUNT, 0),
                _column("mean", "One takes", units.SECONDS),
                _column("success", "Done", units.COUNT, 0),
                Column(
                    source="Value #failure",
                    title="Failed",
                    unit=units.COUNT,
                    decimals=0,
                    steps=NONE_IS_GOOD,
                ),
                Column(
                    source="Value #timeout",
                    title="Too slow",
                    unit=units.COUNT,
                    decimals=0,
                    steps=NONE_IS_GOOD,
                ),
                _column("cancelled", "Cancelled", units.COUNT, 0),
            ),
            sort="Batches",
            height=6,
            empty=_NO_BATCH,
        ),
    ),
)

_MEMORY = Section(
    "Memory that functions leave behind",
    (
        graph(
            "Memory added by a call",
            "By how much has the process grown when a call ends, on average? Of functions with a"
            " limit (memory_warn_mb).",
            Query(
                expr=f"{_function('memory_added_bytes_sum')}"
                f" / ({_function('memory_added_bytes_count')} > 0)",
                legend=_FUNCTION_NAME,
            ),
            unit=units.BYTES,
            filled=0,
            empty="No function has a limit",
        ),
        graph(
            "Slow calls and errors",
            "How often is a call slower than the function's own limit (slow_seconds), and how often"
            " does one end with an exception?",
            Query(
                expr=f"sum(increase(gnomon_function_slow_total{_SERVED}[$__rate_interval]))",
                legend="slow",
            ),
            Query(
                expr=f"sum by (error_type)"
                f" (increase(gnomon_function_errors_total{_SERVED}[$__rate_interval]))",
                legend="{{error_type}}",
            ),
            unit=units.COUNT,
            bars=True,
            overrides=(coloured("slow", colours.WATCH),),
            empty=_NO_FUNCTION,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="usage",
    title="Resource use",
    purpose="What each piece of work uses: time, processor, memory and GPU; in which functions the"
    " time goes; what became of batches.",
    variables=(
        Choice(
            name="service",
            source='{__name__=~"gnomon_usage_active|gnomon_function_cpu_seconds_total'
            '|gnomon_batch_in_flight"}',
            title="Service",
        ),
        Choice(name="name", source='gnomon_usage_active{service=~"$service"}', title="Work"),
    ),
    sections=(_SUMMARY, _NUMBERS, _EACH, _SPREADS, _FUNCTIONS, _BATCHES, _MEMORY),
    about=None,
    deploys='service=~"$service"',
    since="now-3h",
)
