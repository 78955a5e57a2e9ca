"""Control groups with their limits, groups of processes, and the processes of applications."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording, value
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    Column,
    above,
    coloured,
    graph,
    limit,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{instance=~"$instance", id=~"$id"}'
#: Without the root, which is the machine.
_GROUPS = '{instance=~"$instance", id=~"$id", id!="/"}'
_PROCESSES = '{instance=~"$instance", groupname=~"$groupname"}'
_APPLICATIONS = '{service=~"$service"}'

_NO_GROUPS = "The exporter's collector `cgroup` is off"
_NO_QUOTA = "No group has a limit of processor time"
_NO_LIMIT = "No group has a memory limit"
_NO_PROCESSES = "The exporter's collector `processes` has no groups"

#: Of a group's path the last word: the rest is too long for a legend, and mostly the same.
_GROUP = "{{instance}} {{group}}"
_HOST = links.to("host", "The machine", instance=links.label("instance"))


def _by_group(expr: str) -> str:
    """Return an expression with the label that _GROUP shows."""
    return f'label_replace({expr}, "group", "$1", "id", "(?:.*/)?([^/]+)")'


def _limit(name: str) -> Query:
    return limit(f"max({recording(name)}{_HERE})")


def _usually(name: str) -> Query:
    """Return a threshold's line also while nothing has a level, and so no threshold of its own."""
    return limit(f"max({recording(name)}{_APPLICATIONS}) or vector({value(name):g})")


_SUMMARY = Section(
    "",
    (
        number(
            "Watched",
            "How many control groups (services, containers, pods) are watched?",
            now(f"count(instance_container:container_cpu:rate5m{_GROUPS})"),
            unit=units.WHOLE,
            empty=_NO_GROUPS,
        ),
        number(
            "Most of quota",
            "How much of its quota does the group use that is nearest to it?",
            now(f"max(instance_container:container_cpu:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            steps=above("container_throttled:used"),
            empty=_NO_QUOTA,
        ),
        number(
            "Most held back",
            "In which share of its periods had a group used up its quota, at worst?",
            now(f"max(instance_container:container_throttled:ratio_rate5m{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            high=1,
            steps=above("container_throttled:ratio", watch=0.5),
            empty=_NO_QUOTA,
        ),
        number(
            "Most of limit",
            "How much of its limit does the group use that is nearest to it?",
            now(f"max(instance_container:container_memory:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            high=1,
            steps=above("container_memory_near_limit:ratio"),
            empty=_NO_LIMIT,
        ),
        number(
            "Killed, 24 h",
            "From how many groups did the kernel kill a process for its memory within a day?",
            now(
                f"count(max_over_time(instance_container:container_oom:increase10m{_HERE}[1d]))"
                f" or 0 * count(instance_container:container_cpu:rate5m{_HERE})"
            ),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty=_NO_GROUPS,
        ),
        number(
            "Most threads",
            "How near is a group to the number of threads that it may have?",
            now(f"max(instance_container:container_threads:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=1,
            low=0,
            high=1,
            steps=above("container_threads_near_limit:ratio"),
            empty="No group has a limit of threads",
        ),
    ),
)

_LIMITS = Section(
    "",
    (
        graph(
            "Processor, of quota",
            "How much of the processor time that they may have do the groups use?",
            Query(
                expr=_by_group(highest(f"instance_container:container_cpu:ratio{_HERE}", 8)),
                legend=_GROUP,
            ),
            _limit("container_throttled:used"),
            unit=units.RATIO,
            links=(_HOST,),
            empty=_NO_QUOTA,
        ),
        graph(
            "Held back",
            "In which share of its periods had each group used up its quota?",
            Query(
                expr=_by_group(
                    highest(f"instance_container:container_throttled:ratio_rate5m{_HERE}", 8)
                ),
                legend=_GROUP,
            ),
            _limit("container_throttled:ratio"),
            unit=units.RATIO,
            high=1,
            links=(_HOST,),
            empty=_NO_QUOTA,
        ),
        graph(
            "Memory, of limit",
            "How much of the memory that they may have do the groups use, less what can be given"
            " back?",
            Query(
                expr=_by_group(highest(f"instance_container:container_memory:ratio{_HERE}", 8)),
                legend=_GROUP,
            ),
            _limit("container_memory_near_limit:ratio"),
            unit=units.RATIO,
            high=1,
            links=(_HOST,),
            empty=_NO_LIMIT,
        ),
        graph(
            "Processes killed for their memory",
            "From which group did the kernel kill processes within ten minutes, because it had"
            " reached its limit?",
            Query(
                expr=_by_group(f"instance_container:container_oom:increase10m{_HERE}"),
                legend=_GROUP,
            ),
            unit=units.COUNT,
            decimals=0,
            bars=True,
            links=(_HOST,),
            overrides=(styled(".*", pattern=True, color={"mode": "fixed", "fixedColor": "red"}),),
            empty="No process was killed",
        ),
    ),
)

_ALL = Section(
    "All groups",
    (
        table(
            "Groups",
            "What does each group use, and how much of what it may? Empty where it has no limit.",
            rows(f"instance_container:container_cpu:rate5m{_GROUPS}", ref="cpu"),
            rows(f"instance_container:container_cpu:ratio{_GROUPS}", ref="quota"),
            rows(f"instance_container:container_throttled:ratio_rate5m{_GROUPS}", ref="held"),
            rows(f"container_memory_working_set_bytes{_GROUPS}", ref="memory"),
            rows(f"instance_container:container_memory:ratio{_GROUPS}", ref="limit"),
            rows(f"container_threads{_GROUPS}", ref="threads"),
            rows(f"resets(container_cpu_user_seconds_total{_GROUPS}[1d])", ref="anew"),
            columns=(
                Column(source="id", title="Group"),
                Column(
                    source="instance",
                    title="Machine",
                    width=180,
                    link=(links.to("host", "The machine", instance=links.column("Machine")),),
                ),
                Column(source="Value #cpu", title="Processors", decimals=2, width=100),
                Column(
                    source="Value #quota",
                    title="Of quota",
                    unit=units.RATIO,
                    decimals=0,
                    width=100,
                    steps=above("container_throttled:used"),
                ),
                Column(
                    source="Value #held",
                    title="Held back",
                    unit=units.RATIO,
                    decimals=0,
                    width=100,
                    steps=above("container_throttled:ratio", watch=0.5),
                ),
                Column(source="Value #memory", title="Memory", unit=units.BYTES, width=110),
                Column(
                    source="Value #limit",
                    title="Of limit",
                    unit=units.RATIO,
                    decimals=0,
                    width=100,
                    steps=above("container_memory_near_limit:ratio"),
                ),
                Column(source="Value #threads", title="Threads", decimals=0, width=90),
                Column(
                    source="Value #anew",
                    title="Begun anew, 24 h",
                    decimals=0,
                    width=160,
                    steps=((None, colours.GOOD), (2, colours.WATCH), (10, colours.BAD)),
                ),
            ),
            sort="Memory",
            height=8,
            empty=_NO_GROUPS,
        ),
        graph(
            "Groups: processor time",
            "How many processors do the busiest groups use? A group holds those inside it.",
            Query(
                expr=_by_group(highest(f"instance_container:container_cpu:rate5m{_GROUPS}", 8)),
                legend=_GROUP,
            ),
            unit=units.CORES,
            links=(_HOST,),
            empty=_NO_GROUPS,
        ),
        graph(
            "Groups: memory",
            "How much memory do the largest groups use, less what can be given back?",
            Query(
                expr=_by_group(highest(f"container_memory_working_set_bytes{_GROUPS}", 8)),
                legend=_GROUP,
            ),
            unit=units.BYTES,
            links=(_HOST,),
            empty=_NO_GROUPS,
        ),
        graph(
            "Time lost to quotas",
            "How many seconds of each second did threads stand still, because their group had used"
            " up its quota?",
            Query(
                expr=_by_group(
                    "sum by (instance, id) (rate(container_cpu_cfs_throttled_seconds_total"
                    f"{_HERE}[$__rate_interval]))"
                ),
                legend=_GROUP,
            ),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty=_NO_QUOTA,
        ),
        graph(
            "Memory limit hit",
            "How often a minute did groups reach their memory limit, and had to give something"
            " back?",
            Query(
                # The first where groups are of version 2, the second where they are of version 1.
                expr=_by_group(
                    "60 * sum by (instance, id)"
                    f" (rate(container_memory_events_max_total{_HERE}[$__rate_interval])"
                    f" or rate(container_memory_failcnt{_HERE}[$__rate_interval]))"
                ),
                legend=_GROUP,
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty=_NO_LIMIT,
        ),
        graph(
            "Begun anew",
            "How many groups ended and were made again within ten minutes, as a service does that"
            " is started again? The table says which.",
            Query(
                expr=f"sum by (instance) (resets(container_cpu_user_seconds_total{_HERE}[10m]))",
                legend="{{instance}}",
            ),
            unit=units.COUNT,
            decimals=0,
            bars=True,
            width=8,
            legend=(),
            empty=_NO_GROUPS,
        ),
    ),
)

_GROUPED = Section(
    "Groups of processes",
    (
        table(
            "Groups of processes",
            "What do the groups of processes use that the exporter is asked for, and since when do"
            " they run?",
            rows(
                "sum by (instance, groupname)"
                f" (rate(namedprocess_namegroup_cpu_seconds_total{_PROCESSES}[5m]))",
                ref="cpu",
            ),
            rows(
                "sum by (instance, groupname) (namedprocess_namegroup_memory_bytes"
                '{instance=~"$instance", groupname=~"$groupname", memtype="resident"})',
                ref="memory",
            ),
            rows(
                f"sum by (instance, groupname) (namedprocess_namegroup_num_procs{_PROCESSES})",
                ref="processes",
            ),
            rows(
                f"sum by (instance, groupname) (namedprocess_namegroup_num_threads{_PROCESSES})",
                ref="threads",
            ),
            rows(
                f"max by (instance, groupname) (namedprocess_namegroup_worst_fd_ratio{_PROCESSES})",
                ref="files",
            ),
            rows(
                "max by (instance, groupname) (time()"
                f" - namedprocess_namegroup_oldest_start_time_seconds{_PROCESSES} < time())",
                ref="age",
            ),
            columns=(
                Column(source="groupname", title="Group"),
                Column(source="instance", title="Machine"),
                Column(source="Value #cpu", title="Processors", decimals=2),
                Column(source="Value #memory", title="Memory", unit=units.BYTES),
                Column(
                    source="Value #processes",
                    title="Processes",
                    decimals=0,
                    steps=((None, colours.BAD), (1, colours.PLAIN)),
                ),
                Column(source="Value #threads", title="Threads", decimals=0),
                Column(
                    source="Value #files",
                    title="Open files, of limit",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=((None, colours.GOOD), (0.7, colours.WATCH), (0.9, colours.BAD)),
                ),
                Column(
                    source="Value #age", title="Oldest runs for", unit=units.SECONDS, decimals=1
                ),
            ),
            sort="Memory",
            height=7,
            empty=_NO_PROCESSES,
        ),
        graph(
            "Processes: processor time",
            "How many processors does each group of processes use?",
            Query(
                expr="sum by (instance, groupname)"
                f" (rate(namedprocess_namegroup_cpu_seconds_total{_PROCESSES}[$__rate_interval]))",
                legend="{{instance}} {{groupname}}",
            ),
            unit=units.CORES,
            stacked=True,
            empty=_NO_PROCESSES,
        ),
        graph(
            "Processes: memory",
            "How much memory does each group of processes hold?",
            Query(
                expr="sum by (instance, groupname) (namedprocess_namegroup_memory_bytes"
                '{instance=~"$instance", groupname=~"$groupname", memtype="resident"})',
                legend="{{instance}} {{groupname}}",
            ),
            unit=units.BYTES,
            stacked=True,
            empty=_NO_PROCESSES,
        ),
        graph(
            "Read and written",
            "How much does each group fetch from storage (up) and send there (down)?",
            Query(
                expr="sum by (groupname)"
                f" (rate(namedprocess_namegroup_read_bytes_total{_PROCESSES}[$__rate_interval]))",
                legend="{{groupname}} read",
            ),
            Query(
                expr="sum by (groupname)"
                f" (rate(namedprocess_namegroup_write_bytes_total{_PROCESSES}[$__rate_interval]))",
                legend="{{groupname}} written",
            ),
            unit=units.BYTES_RATE,
            low=None,
            width=8,
            legend=(),
            overrides=(styled("written$", pattern=True, custom__transform="negative-Y"),),
            empty=_NO_PROCESSES,
        ),
        graph(
            "Threads by what they do",
            "Do the threads run, wait, or hang in the kernel?",
            Query(
                expr=f"sum by (state) (namedprocess_namegroup_states{_PROCESSES})",
                legend="{{state}}",
            ),
            unit=units.COUNT,
            stacked=True,
            width=8,
            legend=(),
            overrides=(
                coloured("Running", colours.GOOD),
                coloured("Sleeping", colours.PLAIN),
                coloured("Waiting", colours.BAD),
                coloured("Zombie", colours.NEARLY_ALL),
            ),
            empty=_NO_PROCESSES,
        ),
        graph(
            "Switched away from",
            "How often a second did threads give up their processor because they waited, and how"
            " often was it taken from them?",
            Query(
                expr="sum by (ctxswitchtype) (rate(namedprocess_namegroup_context_switches_total"
                f"{_PROCESSES}[$__rate_interval]))",
                legend="{{ctxswitchtype}}",
            ),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
            overrides=(
                coloured("nonvoluntary", colours.WATCH),
                coloured("voluntary", colours.PLAIN),
            ),
            empty=_NO_PROCESSES,
        ),
    ),
)

_OWN = Section(
    "Applications' own processes",
    (
        graph(
            "Applications: processor time",
            "How many processors does each application use, over all its workers?",
            Query(
                expr=highest(f"instance:process_cpu:rate5m{_APPLICATIONS}"),
                legend="{{service}} {{instance}}",
            ),
            unit=units.CORES,
            empty="No application tells of its process",
        ),
        graph(
            "Applications: memory",
            "How much memory does each application hold?",
            Query(
                expr=highest(f"process_resident_memory_bytes{_APPLICATIONS}"),
                legend="{{service}} {{instance}}",
            ),
            unit=units.BYTES,
            empty="No application tells of its process",
        ),
        graph(
            "Open files, of limit",
            "How near is each application to the number of files that it may have open?",
            Query(
                expr=highest(f"instance:process_files:ratio{_APPLICATIONS}"),
                legend="{{service}} {{instance}}",
            ),
            limit(f"max({recording('service_files_almost_gone:ratio')}{_APPLICATIONS})"),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty="No application tells of its files",
        ),
        graph(
            "Memory growth",
            "How many times what it held at least in half an hour does each application hold now?",
            Query(
                expr=highest(f"instance:process_memory_growth:ratio{_APPLICATIONS}"),
                legend="{{service}} {{instance}}",
            ),
            _usually("service_memory_leaking:ratio"),
            unit=units.COUNT,
            decimals=2,
            low=1,
            width=8,
            legend=(),
            empty="Known once an application has run for a while",
        ),
        graph(
            "Starts",
            "How often did each application begin within a quarter of an hour? More than once is no"
            " deployment.",
            Query(
                expr=f"changes(process_start_time_seconds{_APPLICATIONS}[15m])",
                legend="{{service}} {{instance}}",
            ),
            _usually("service_crash_looping:starts"),
            unit=units.COUNT,
            decimals=0,
            width=8,
            legend=(),
            empty="No application tells of its process",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="container",
    title="Containers and processes",
    purpose="What services, containers and processes use, how much of what they may, and which are"
    " held back or killed.",
    variables=(
        Choice(name="instance", source="node_uname_info", title="Machine"),
        Choice(
            name="id",
            source='container_cpu_usage_seconds_total{instance=~"$instance", id!="/"}',
            title="Control group",
        ),
        Choice(
            name="groupname",
            source='namedprocess_namegroup_num_procs{instance=~"$instance"}',
            title="Processes",
        ),
        Choice(name="service", source="process_start_time_seconds", title="Service"),
    ),
    sections=(_SUMMARY, _LIMITS, _ALL, _GROUPED, _OWN),
    about='component=~"container|process"',
    deploys='service=~"$service"',
)
