"""Caches: those inside of applications with both their tiers, Redis, memcached."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    ANSWERS,
    NONE_IS_GOOD,
    PERCENTILES,
    PLAIN,
    UP,
    Column,
    above,
    below,
    coloured,
    graph,
    limit,
    number,
    states,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, now, percentiles, rows
from gnomon_dashboards.variables import Choice

_CHOSEN = 'service=~"$service", cache=~"$cache"'
_HERE = f"{{{_CHOSEN}}}"
_FIRST = f'{{{_CHOSEN}, tier="l1"}}'
_SECOND = f'{{{_CHOSEN}, tier="l2"}}'
_GUARDED = '{service=~"$service"}'
_REDIS = '{instance=~"$redis"}'
_MEMCACHED = '{instance=~"$memcached"}'

_NO_CACHE = "No cache in an application"
_NO_SECOND = "No cache has a second tier"
_NO_GUARD = "No process watches its memory"
_NO_REDIS = "No Redis is watched"
_NO_MEMCACHED = "No memcached is watched"

_ASKED = f"sum(service_cache:cache_lookups:rate2m{_FIRST})"
_FOUND = f"sum(service_cache:cache_hits:rate2m{_FIRST})"
_SHARED = f"sum(rate(gnomon_cache_coalesced_total{_HERE}[2m]))"

#: Seconds that the function behind a cache takes, over an hour: some load hardly ever.
_LOAD_SECONDS = (
    f"sum by (service, cache) (rate(gnomon_cache_load_duration_seconds_sum{_HERE}[1h]))"
    f" / (sum by (service, cache) (rate(gnomon_cache_load_duration_seconds_count{_HERE}[1h])) > 0)"
)
#: What callers would have waited for all together, had there been no cache.
_SPARED = f"sum by (service, cache) (service_cache:cache_hits:rate2m{_HERE}) * ({_LOAD_SECONDS})"

_SERVICE = links.to("service", "The service", service=links.label("service"))
_DASHED = {"fill": "dash", "dash": [4, 4]}
_FAINT = {"mode": "fixed", "fixedColor": colours.FAINT}


def _each(level: str, chosen: str = _FIRST) -> str:
    """Return a level by cache alone, so that the rows of a table find each other."""
    return f"sum by (service, cache) ({level}{chosen})"


_SUMMARY = Section(
    "",
    (
        number(
            "In memory",
            "Which share of the lookups does the first tier answer, over all caches chosen?",
            now(f"{_FOUND} / ({_ASKED} > 0)"),
            unit=units.RATIO,
            decimals=1,
            steps=below("cache_hit_ratio_low:ratio"),
            empty="Nothing is looked up",
        ),
        number(
            "Worst cache",
            "How much does the cache find that finds least, of those that are asked often enough"
            " for the alert to look at?",
            now(
                f"min(service_cache:cache_hits:ratio_rate2m{_FIRST}"
                f" and service_cache:cache_lookups:rate2m{_FIRST}"
                f" > {recording('cache_hit_ratio_low:rate')})"
            ),
            unit=units.RATIO,
            decimals=1,
            steps=below("cache_hit_ratio_low:ratio"),
            empty="Hardly anything is looked up",
        ),
        number(
            "Lookups",
            "How often is something looked for?",
            now(_ASKED),
            unit=units.OPERATIONS_RATE,
            empty=_NO_CACHE,
        ),
        number(
            "Loads",
            "How often does the function behind a cache have to run after all?",
            now(f"sum(service_cache:cache_loads:rate2m{_HERE})"),
            unit=units.OPERATIONS_RATE,
            empty="No cache loads by itself",
        ),
        number(
            "Errors, 5 min",
            "How many operations on a cache failed? The application went on without it.",
            now(f"sum(service_cache:cache_errors:increase5m{_HERE}) or 0 * {_ASKED}"),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            empty=_NO_CACHE,
        ),
        number(
            "Servers down",
            "How many of the Redis and memcached servers that are watched do not answer?",
            now(
                'count({__name__=~"redis_up|memcached_up"} == 0)'
                ' or 0 * count({__name__=~"redis_up|memcached_up"})'
            ),
            unit=units.COUNT,
            decimals=0,
            steps=NONE_IS_GOOD,
            empty="No server is watched",
        ),
    ),
)

_APPLICATIONS = Section(
    "",
    (
        graph(
            "Found in memory, by cache",
            "Which share of the lookups does the first tier of each cache answer?",
            Query(
                expr=f"service_cache:cache_hits:ratio_rate2m{_FIRST}",
                legend="{{service}} {{cache}}",
            ),
            limit(f"max({recording('cache_hit_ratio_low:ratio')}{_FIRST})"),
            unit=units.RATIO,
            high=1,
            filled=0,
            links=(_SERVICE,),
            empty="Nothing is looked up",
        ),
        graph(
            "Where answers come from",
            "What became of the lookups: found in memory, found in Redis, loaded by somebody who"
            " asked at the same time, or loaded anew?",
            Query(expr=_FOUND, legend="memory"),
            Query(expr=f"sum(service_cache:cache_hits:rate2m{_SECOND})", legend="Redis"),
            Query(expr=_SHARED, legend="another caller's load"),
            Query(
                expr=f"{_ASKED} - sum(service_cache:cache_hits:rate2m{_HERE})"
                f" - ({_SHARED} or 0 * {_ASKED}) >= 0",
                legend="a load of its own",
            ),
            unit=units.OPERATIONS_RATE,
            stacked=True,
            overrides=(
                coloured("memory", colours.GOOD),
                coloured("Redis", colours.PLAIN),
                coloured("another caller's load", colours.NEARLY_ALL),
                coloured("a load of its own", colours.WATCH),
            ),
            empty="Nothing is looked up",
        ),
        graph(
            "How long a load takes",
            "How long does the function behind the caches take for what none of them had?",
            *percentiles(f"gnomon_cache_load_duration_seconds_bucket{_HERE}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty="Nothing was loaded",
        ),
        graph(
            "Waiting that is spared",
            "How many seconds would all callers together have waited in each second, had there"
            " been no cache? What was found, times what a load takes on average.",
            Query(expr=_SPARED, legend="{{service}} {{cache}}"),
            unit=units.SECONDS,
            stacked=True,
            links=(_SERVICE,),
            empty="Nothing was loaded within an hour",
        ),
        graph(
            "How full they are",
            "Which share of the entries that fit are there?",
            Query(
                expr=f"service_cache:cache_entries:ratio{_FIRST}", legend="{{service}} {{cache}}"
            ),
            unit=units.RATIO,
            high=1,
            filled=0,
            empty="No cache has a limit",
        ),
        graph(
            "Entries that leave",
            "How many entries make room for others, and how many (dashed) are out of date?",
            Query(
                expr=_each("service_cache:cache_evictions:rate5m"),
                legend="{{cache}} makes room",
            ),
            Query(
                expr=f"sum by (service, cache) (rate(gnomon_cache_expirations_total{_FIRST}[5m]))",
                legend="{{cache}} out of date",
            ),
            unit=units.EVENTS_RATE,
            filled=0,
            overrides=(styled("out of date$", pattern=True, custom__lineStyle=_DASHED),),
            empty="No cache tells",
        ),
    ),
)

_WORTH = Section(
    "Each cache",
    (
        table(
            "What each cache is worth",
            "Which cache spares its callers most, and which one is not worth its memory?",
            rows(_each("service_cache:cache_lookups:rate2m"), ref="lookups"),
            rows(_each("service_cache:cache_hits:ratio_rate2m"), ref="first"),
            rows(_each("service_cache:cache_hits:ratio_rate2m", _SECOND), ref="second"),
            rows(_LOAD_SECONDS, ref="load"),
            rows(_SPARED, ref="spared"),
            rows(_each("gnomon_cache_entries"), ref="entries"),
            rows(_each("service_cache:cache_entries:ratio"), ref="full"),
            rows(_each("service_cache:cache_evictions:rate5m"), ref="evicted"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="cache", title="Cache"),
                Column(source="Value #lookups", title="Lookups", unit=units.OPERATIONS_RATE),
                Column(
                    source="Value #first",
                    title="In memory",
                    unit=units.RATIO,
                    decimals=1,
                    steps=below("cache_hit_ratio_low:ratio"),
                ),
                Column(source="Value #second", title="In Redis", unit=units.RATIO, decimals=1),
                Column(source="Value #load", title="A load takes", unit=units.SECONDS),
                Column(source="Value #spared", title="Spared a second", unit=units.SECONDS),
                Column(source="Value #evicted", title="Make room", unit=units.EVENTS_RATE),
                Column(source="Value #entries", title="Entries", unit=units.COUNT),
                Column(
                    source="Value #full",
                    title="Full",
                    unit=units.RATIO,
                    decimals=0,
                    high=1,
                    bar=True,
                    steps=PLAIN,
                ),
            ),
            sort="Spared a second",
            height=7,
            empty=_NO_CACHE,
        ),
    ),
)

_SECOND_TIER = Section(
    "The second tier: Redis behind a cache",
    (
        graph(
            "Found in Redis",
            "Which share of what was not in memory does Redis have?",
            Query(
                expr=f"service_cache:cache_hits:ratio_rate2m{_SECOND}",
                legend="{{service}} {{cache}}",
            ),
            unit=units.RATIO,
            high=1,
            filled=0,
            empty=_NO_SECOND,
        ),
        graph(
            "One exchange with Redis",
            "How long does a cache wait for Redis? After a quarter of a second it goes on without.",
            *percentiles(f"gnomon_cache_tier_duration_seconds_bucket{_SECOND}"),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            overrides=PERCENTILES,
            empty=_NO_SECOND,
        ),
        graph(
            "Errors, by tier",
            "How many operations failed within five minutes?",
            Query(
                expr=f"service_cache:cache_errors:increase5m{_HERE}"
                f" or 0 * service_cache:cache_lookups:rate2m{_HERE}",
                legend="{{service}} {{cache}} {{tier}}",
            ),
            limit(f"max({recording('cache_tier_failing:errors')}{_HERE})"),
            unit=units.COUNT,
            filled=0,
            empty=_NO_CACHE,
        ),
        graph(
            "Processes that leave Redis alone",
            "How many processes do without the second tier just now, because it failed?",
            Query(expr=_each("gnomon_cache_tier_resting", _SECOND), legend="{{service}} {{cache}}"),
            unit=units.COUNT,
            empty=_NO_SECOND,
        ),
    ),
    folded=True,
)

_GUARD_COLOURS = (coloured("caches", colours.WATCH), coloured("gc", colours.PLAIN))

_GUARD = Section(
    "Memory guard",
    (
        graph(
            "Memory, as the guard sees it",
            "Which share of its memory is in use, and from where on does the guard act?",
            Query(
                expr=f"gnomon_memory_guard_used_ratio{_GUARDED}",
                legend="{{service}} {{instance}}",
            ),
            Query(
                expr=f"gnomon_memory_guard_limit_ratio{_GUARDED}",
                legend="{{service}} acts from here",
            ),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            overrides=(
                styled(
                    "acts from here$",
                    pattern=True,
                    color=_FAINT,
                    custom__lineStyle=_DASHED,
                    custom__fillOpacity=0,
                ),
            ),
            empty=_NO_GUARD,
        ),
        graph(
            "What the guard did",
            "How often did it collect garbage, and how often did it have to empty caches?",
            Query(
                expr="sum by (action)"
                f" (increase(gnomon_memory_guard_runs_total{_GUARDED}[$__rate_interval]))",
                legend="{{action}}",
            ),
            unit=units.COUNT,
            bars=True,
            width=8,
            legend=(),
            overrides=_GUARD_COLOURS,
            empty=_NO_GUARD,
        ),
        graph(
            "What that freed",
            "How much memory was given back afterwards?",
            Query(
                expr="sum by (action)"
                f" (increase(gnomon_memory_guard_freed_bytes_total{_GUARDED}[$__rate_interval]))",
                legend="{{action}}",
            ),
            unit=units.BYTES,
            bars=True,
            width=8,
            legend=(),
            overrides=_GUARD_COLOURS,
            empty=_NO_GUARD,
        ),
    ),
    folded=True,
)

_REDIS_CALLS = f"sum by (cmd) (rate(redis_commands_total{_REDIS}[$__rate_interval]))"


def _most(level: str, counter: str) -> str:
    """Return a level by command, of the ten commands that a counter grew most for."""
    return f"{level} and topk(10, sum by (cmd) (increase({counter}{_REDIS}[$__range] @ end())) > 0)"


_REDIS_SERVERS = Section(
    "Redis",
    (
        table(
            "Redis servers",
            "Which server is down, full, or asked for what it does not have?",
            rows(f"max by (instance) (redis_up{_REDIS})", ref="up"),
            rows(
                "max by (instance, redis_version, role, maxmemory_policy)"
                f" (redis_instance_info{_REDIS})",
                ref="what",
            ),
            rows(f"sum by (instance) (redis_db_keys{_REDIS})", ref="keys"),
            rows(f"max by (instance) (redis_memory_used_bytes{_REDIS})", ref="memory"),
            rows(f"max by (instance) (instance:redis_memory:ratio{_REDIS})", ref="full"),
            rows(f"max by (instance) (instance:redis_hits:ratio_rate5m{_REDIS})", ref="hits"),
            rows(f"sum by (instance) (instance:redis_commands:rate5m{_REDIS})", ref="commands"),
            rows(f"max by (instance) (redis_connected_clients{_REDIS})", ref="clients"),
            columns=(
                Column(source="instance", title="Server"),
                Column(
                    source="Value #up", title="Answers", mappings=(ANSWERS,), steps=UP, width=90
                ),
                Column(source="redis_version", title="Version", width=90),
                Column(source="role", title="Role", width=90),
                Column(source="maxmemory_policy", title="When full"),
                Column(source="Value #keys", title="Keys", unit=units.COUNT, width=90),
                Column(source="Value #memory", title="Memory", unit=units.BYTES),
                Column(
                    source="Value #full",
                    title="Of its limit",
                    unit=units.RATIO,
                    decimals=0,
                    steps=above("cache_redis_memory_near_max:ratio"),
                ),
                Column(source="Value #hits", title="Found", unit=units.RATIO, decimals=1),
                Column(source="Value #commands", title="Commands", unit=units.OPERATIONS_RATE),
                Column(source="Value #clients", title="Clients", unit=units.COUNT, width=90),
            ),
            sort="Server",
            ascending=True,
            height=5,
            empty=_NO_REDIS,
        ),
        states(
            "Redis: does it answer",
            "When did a server not answer the exporter?",
            Query(expr=f"max by (instance) (redis_up{_REDIS})", legend="{{instance}}"),
            named=((0, "does not answer", colours.BAD), (1, "answers", colours.GOOD)),
            height=5,
            empty=_NO_REDIS,
        ),
        states(
            "Redis: does a replica hear its master",
            "When did a replica get nothing from its master, and serve what it had?",
            Query(
                expr=f"max by (instance, master_host, master_port) (redis_master_link_up{_REDIS})",
                legend="{{instance}} from {{master_host}}:{{master_port}}",
            ),
            named=((0, "hears nothing", colours.BAD), (1, "hears it", colours.GOOD)),
            height=5,
            empty="No replica is watched",
        ),
        graph(
            "Redis: memory",
            "How much memory does the data take, how much does the process, and how much may it?",
            Query(expr=f"redis_memory_used_bytes{_REDIS}", legend="{{instance}} used"),
            Query(expr=f"redis_memory_used_rss_bytes{_REDIS}", legend="{{instance}} process"),
            Query(expr=f"redis_memory_max_bytes{_REDIS} > 0", legend="{{instance}} limit"),
            unit=units.BYTES,
            filled=0,
            overrides=(styled("limit$", pattern=True, color=_FAINT, custom__lineStyle=_DASHED),),
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: how full",
            "Which share of the memory that it may use is in use?",
            Query(expr=f"instance:redis_memory:ratio{_REDIS}", legend="{{instance}}"),
            limit(f"max({recording('cache_redis_memory_near_max:ratio')}{_REDIS})"),
            unit=units.RATIO,
            empty="No Redis with a limit (maxmemory) is watched",
        ),
        graph(
            "Redis: found",
            "Which share of the keys that are asked for is there?",
            Query(expr=f"instance:redis_hits:ratio_rate5m{_REDIS}", legend="{{instance}}"),
            unit=units.RATIO,
            high=1,
            filled=0,
            empty="No Redis is asked for keys",
        ),
        graph(
            "Redis: keys that leave",
            "How many keys are dropped for want of memory, and how many (dashed) are out of date?",
            Query(expr=f"instance:redis_evictions:rate5m{_REDIS}", legend="{{instance}} dropped"),
            Query(
                expr=f"rate(redis_expired_keys_total{_REDIS}[5m])",
                legend="{{instance}} out of date",
            ),
            limit(f"max({recording('cache_redis_evicting:rate')}{_REDIS})", "alert at: dropped"),
            unit=units.EVENTS_RATE,
            filled=0,
            overrides=(styled("out of date$", pattern=True, custom__lineStyle=_DASHED),),
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: commands",
            "Which commands are called, and how often? The ten that are called most.",
            Query(expr=_most(_REDIS_CALLS, "redis_commands_total"), legend="{{cmd}}"),
            unit=units.OPERATIONS_RATE,
            stacked=True,
            legend=(),
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: one command",
            "How long does the server work on one call of a command? The ten it works on most.",
            Query(
                expr=_most(
                    "sum by (cmd)"
                    f" (rate(redis_commands_duration_seconds_total{_REDIS}[$__rate_interval]))"
                    f" / ({_REDIS_CALLS} > 0)",
                    "redis_commands_duration_seconds_total",
                ),
                legend="{{cmd}}",
            ),
            unit=units.SECONDS,
            filled=0,
            legend=(),
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: clients",
            "How many clients are connected, and how many of them wait for something to come?",
            Query(expr=f"redis_connected_clients{_REDIS}", legend="{{instance}} connected"),
            Query(expr=f"redis_blocked_clients{_REDIS}", legend="{{instance}} waiting"),
            unit=units.COUNT,
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: what went wrong",
            "How many clients were turned away, how many commands failed, and how many were slow?",
            Query(
                expr="sum by (instance)"
                f" (increase(redis_rejected_connections_total{_REDIS}[$__rate_interval]))",
                legend="{{instance}} clients turned away",
            ),
            Query(
                expr="sum by (instance)"
                f" (increase(redis_commands_failed_calls_total{_REDIS}[$__rate_interval]))",
                legend="{{instance}} commands failed",
            ),
            Query(
                expr=f"delta(redis_slowlog_last_id{_REDIS}[$__rate_interval]) >= 0",
                legend="{{instance}} slow commands",
            ),
            unit=units.COUNT,
            filled=0,
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: since the last save",
            "How old is what would be left after a crash, where Redis writes snapshots?",
            Query(
                expr=f"time() - (redis_rdb_last_save_timestamp_seconds{_REDIS} > 0)",
                legend="{{instance}}",
            ),
            unit=units.SECONDS,
            filled=0,
            empty=_NO_REDIS,
        ),
        graph(
            "Redis: replicas",
            "How far is each replica behind its master?",
            Query(
                expr=f"redis_connected_slave_lag_seconds{_REDIS}",
                legend="{{slave_ip}}:{{slave_port}} behind {{instance}}",
            ),
            Query(
                expr=f"redis_master_last_io_seconds_ago{_REDIS}",
                legend="{{instance}} has heard of its master",
            ),
            unit=units.SECONDS,
            filled=0,
            empty="No replica is watched",
        ),
    ),
    folded=True,
)

_MEMCACHED_SERVERS = Section(
    "memcached",
    (
        table(
            "memcached servers",
            "Which server is down, full, or asked for what it does not have?",
            rows(f"max by (instance) (memcached_up{_MEMCACHED})", ref="up"),
            rows(f"max by (instance, version) (memcached_version{_MEMCACHED})", ref="what"),
            rows(f"max by (instance) (memcached_current_items{_MEMCACHED})", ref="items"),
            rows(f"max by (instance) (memcached_current_bytes{_MEMCACHED})", ref="memory"),
            rows(f"max by (instance) (instance:memcached_memory:ratio{_MEMCACHED})", ref="full"),
            rows(
                f"max by (instance) (instance:memcached_hits:ratio_rate5m{_MEMCACHED})", ref="hits"
            ),
            rows(
                "sum by (instance) (instance:memcached_evictions:rate5m" + f"{_MEMCACHED})",
                ref="evicted",
            ),
            rows(f"max by (instance) (memcached_current_connections{_MEMCACHED})", ref="clients"),
            columns=(
                Column(source="instance", title="Server"),
                Column(
                    source="Value #up", title="Answers", mappings=(ANSWERS,), steps=UP, width=90
                ),
                Column(source="version", title="Version"),
                Column(source="Value #items", title="Items", unit=units.COUNT),
                Column(source="Value #memory", title="Memory", unit=units.BYTES),
                Column(source="Value #full", title="Full", unit=units.RATIO, decimals=0),
                Column(source="Value #hits", title="Found", unit=units.RATIO, decimals=1),
                Column(
                    source="Value #evicted",
                    title="Dropped",
                    unit=units.EVENTS_RATE,
                    steps=above("cache_memcached_evicting:rate"),
                ),
                Column(source="Value #clients", title="Clients", unit=units.COUNT, width=90),
            ),
            sort="Server",
            ascending=True,
            height=5,
            empty=_NO_MEMCACHED,
        ),
        graph(
            "memcached: found",
            "Which share of the keys that are asked for is there?",
            Query(expr=f"instance:memcached_hits:ratio_rate5m{_MEMCACHED}", legend="{{instance}}"),
            unit=units.RATIO,
            high=1,
            filled=0,
            width=8,
            legend=(),
            empty="No memcached is asked for keys",
        ),
        graph(
            "memcached: how full",
            "Which share of its memory do the items take? What is full drops the oldest.",
            Query(expr=f"instance:memcached_memory:ratio{_MEMCACHED}", legend="{{instance}}"),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            empty=_NO_MEMCACHED,
        ),
        graph(
            "memcached: items dropped",
            "How many items are dropped for want of memory, before their time?",
            Query(expr=f"instance:memcached_evictions:rate5m{_MEMCACHED}", legend="{{instance}}"),
            limit(f"max({recording('cache_memcached_evicting:rate')}{_MEMCACHED})"),
            unit=units.EVENTS_RATE,
            filled=0,
            width=8,
            legend=(),
            empty=_NO_MEMCACHED,
        ),
        graph(
            "memcached: commands",
            "Which commands are called, and how often?",
            Query(
                expr="sum by (command, status)"
                f" (rate(memcached_commands_total{_MEMCACHED}[$__rate_interval])) > 0",
                legend="{{command}} {{status}}",
            ),
            unit=units.OPERATIONS_RATE,
            stacked=True,
            width=8,
            legend=(),
            empty="No memcached is asked anything",
        ),
        graph(
            "memcached: connections",
            "How many connections are open, and how many (dashed) may be?",
            Query(expr=f"memcached_current_connections{_MEMCACHED}", legend="{{instance}} open"),
            Query(expr=f"memcached_max_connections{_MEMCACHED}", legend="{{instance}} most"),
            unit=units.COUNT,
            width=8,
            legend=(),
            overrides=(
                styled(
                    "most$",
                    pattern=True,
                    color=_FAINT,
                    custom__lineStyle=_DASHED,
                    custom__fillOpacity=0,
                ),
            ),
            empty=_NO_MEMCACHED,
        ),
        graph(
            "memcached: read and written",
            "How many bytes does it receive (up) and send (down) each second?",
            Query(
                expr=f"rate(memcached_read_bytes_total{_MEMCACHED}[$__rate_interval])",
                legend="{{instance}} received",
            ),
            Query(
                expr=f"rate(memcached_written_bytes_total{_MEMCACHED}[$__rate_interval])",
                legend="{{instance}} sent",
            ),
            unit=units.BYTES_RATE,
            low=None,
            width=8,
            legend=(),
            overrides=(styled("sent$", pattern=True, custom__transform="negative-Y"),),
            empty=_NO_MEMCACHED,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="cache",
    title="Caches",
    purpose="What caches spare, what they cost, and what goes wrong with them: those inside of"
    " applications, Redis, memcached.",
    variables=(
        Choice(name="service", source="gnomon_cache_hits_total", title="Service"),
        Choice(name="cache", source='gnomon_cache_hits_total{service=~"$service"}', title="Cache"),
        Choice(name="redis", label="instance", source="redis_up", title="Redis"),
        Choice(name="memcached", label="instance", source="memcached_up", title="memcached"),
    ),
    sections=(
        _SUMMARY,
        _APPLICATIONS,
        _WORTH,
        _SECOND_TIER,
        _REDIS_SERVERS,
        _MEMCACHED_SERVERS,
        _GUARD,
    ),
    about='component="cache"',
    deploys='service=~"$service"',
)
