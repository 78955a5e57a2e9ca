"""NVIDIA GPUs: what they do, what holds them back, what breaks, and who holds them for nothing."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    PLAIN,
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
    words,
)
from gnomon_dashboards.queries import Query, now, rows
from gnomon_dashboards.variables import Choice

_NONE = "No GPU on this machine"
_CHOSEN = 'nvidia_smi_gpu_info{instance=~"$instance", index=~"$gpu"}'
#: A GPU's own labels are a uuid: people know it by the machine and its number there.
_GPU = "{{instance}} GPU {{index}}"
_HOST = links.to("host", "The machine", instance=links.label("instance"))


def _named(expr: str, *, name: bool = False) -> str:
    """Return an expression by GPU, of those chosen, with their numbers, and models on request."""
    brought = "index, name" if name else "index"
    return f"({expr}) * on (job, instance, uuid) group_left ({brought}) {_CHOSEN}"


def _limit(name: str, *, by: str = "max") -> Query:
    return limit(f"{by}({_named(recording(name))})")


def _reason(name: str) -> str:
    return f"nvidia_smi_clocks_event_reasons_{name}"


#: What keeps the clocks down, from the worst: reason, words, colour.
_HELD = (
    ("hw_power_brake_slowdown", "the power supply", colours.NEARLY_ALL),
    ("hw_thermal_slowdown", "heat, by the hardware", colours.BAD),
    ("sw_thermal_slowdown", "heat, by the driver", colours.WATCH),
    ("sw_power_cap", "its power limit", "yellow"),
    ("applications_clocks_setting", "a setting", colours.PLAIN),
    ("gpu_idle", "nothing to do", colours.FAINT),
)

#: The worst reason of each GPU as one number: 0 for none, then from the last of _HELD to the first.
_WORST = " or ".join(
    f'label_replace({len(_HELD) - n} * ({_reason(name)} > bool 0), "reason", "{name}", "", "")'
    for n, (name, _, _) in enumerate(_HELD)
)

_SUMMARY = Section(
    "",
    (
        number(
            "GPUs there",
            "How many GPUs answer on the machines chosen?",
            now(f"count({_named('nvidia_smi_index * 0 + 1')})"),
            unit=units.WHOLE,
            empty=_NONE,
        ),
        number(
            "Busy",
            "For which share of time did a kernel run, on average over the GPUs chosen?",
            now(f"avg({_named('instance_gpu:gpu_utilisation:ratio')})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            high=1,
            empty=_NONE,
        ),
        number(
            "Fullest VRAM",
            "How much of its memory is allocated on the GPU that has least left?",
            now(f"max({_named('instance_gpu:gpu_memory:ratio')})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            high=1,
            steps=above("gpu_memory_nearly_full:ratio", watch=0.9),
            empty=_NONE,
        ),
        number(
            "Until it slows",
            "How many degrees are left until the hottest GPU slows itself down?",
            now(f"min({_named('instance_gpu:gpu_heat_left:celsius')})"),
            unit=units.CELSIUS,
            decimals=0,
            steps=below("gpu_hot:celsius", watch=3),
            empty="No GPU here tells its limits",
        ),
        number(
            "Power",
            "How much power do the GPUs chosen draw together?",
            now(f"sum({_named('nvidia_smi_power_draw_watts')})"),
            unit=units.WATTS,
            decimals=0,
            empty="No GPU here tells its power",
        ),
        number(
            "XIDs, 24 h",
            "How many kinds of errors (XIDs) did the driver report within the last day?",
            now(
                f"count({_named('max_over_time(instance_gpu:gpu_xid:increase10m[1d])')})"
                f" or 0 * count({_CHOSEN})"
            ),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty=_NONE,
        ),
    ),
)

_ALL = Section(
    "",
    (
        table(
            "GPUs",
            "How is each GPU, and which driver runs it? A click on the machine leads there.",
            rows(_named("instance_gpu:gpu_utilisation:ratio", name=True), ref="busy"),
            rows(_named("instance_gpu:gpu_memory:ratio", name=True), ref="memory"),
            rows(_named("nvidia_smi_memory_total_bytes", name=True), ref="size"),
            rows(_named("instance_gpu:gpu_power:ratio", name=True), ref="power"),
            rows(_named("nvidia_smi_temperature_gpu", name=True), ref="heat"),
            rows(_named("instance_gpu:gpu_heat_left:celsius", name=True), ref="left"),
            rows(_named("instance_gpu:gpu_throttled:ratio_avg10m", name=True), ref="held"),
            columns=(
                Column(
                    source="instance",
                    title="Machine",
                    link=(links.to("host", "The machine", instance=links.column("Machine")),),
                ),
                Column(source="index", title="GPU", width=60),
                Column(source="name", title="Model"),
                Column(
                    source="Value #busy",
                    title="Utilisation",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=PLAIN,
                ),
                Column(
                    source="Value #memory",
                    title="Memory allocated",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=above("gpu_memory_nearly_full:ratio", watch=0.9),
                ),
                Column(source="Value #size", title="Memory", unit=units.BYTES, width=100),
                Column(
                    source="Value #power",
                    title="Power, of its limit",
                    unit=units.RATIO,
                    decimals=0,
                    width=140,
                ),
                Column(
                    source="Value #heat",
                    title="Temperature",
                    unit=units.CELSIUS,
                    decimals=0,
                    width=110,
                ),
                Column(
                    source="Value #left",
                    title="Until it slows",
                    unit=units.CELSIUS,
                    decimals=0,
                    width=110,
                    steps=below("gpu_hot:celsius", watch=3),
                ),
                Column(
                    source="Value #held",
                    title="Slowed by heat",
                    unit=units.RATIO,
                    decimals=0,
                    width=120,
                    steps=above("gpu_throttled:ratio", watch=0.1),
                ),
            ),
            sort="Utilisation",
            height=6,
            empty=_NONE,
        ),
        graph(
            "Utilisation",
            "For which share of time did a kernel run? It says nothing of how much of the GPU that"
            " kernel used.",
            Query(expr=_named("instance_gpu:gpu_utilisation:ratio"), legend=_GPU),
            unit=units.RATIO,
            high=1,
            empty=_NONE,
            links=(_HOST,),
        ),
        graph(
            "Memory allocated",
            "Which share of its memory is allocated? The next allocation of a full GPU fails.",
            Query(expr=_named("instance_gpu:gpu_memory:ratio"), legend=_GPU),
            _limit("gpu_memory_nearly_full:ratio"),
            unit=units.RATIO,
            high=1,
            empty=_NONE,
            links=(_HOST,),
        ),
        graph(
            "Degrees until it slows itself down",
            "How far is each GPU from the temperature at which it lowers its clocks?",
            Query(expr=_named("instance_gpu:gpu_heat_left:celsius"), legend=_GPU),
            _limit("gpu_hot:celsius"),
            unit=units.CELSIUS,
            width=8,
            legend=(),
            empty="No GPU here tells its limits",
        ),
        graph(
            "Power, of what it may draw",
            "How much of its power limit does each GPU draw? At the limit its clocks go down.",
            Query(expr=_named("instance_gpu:gpu_power:ratio"), legend=_GPU),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty="No GPU here tells its power",
        ),
        graph(
            "What keeps the clocks down",
            "How many GPUs run slower than they could, and for what reason?",
            *(
                Query(expr=f"sum({_named(_reason(name))})", legend=words)
                for name, words, _ in _HELD
                if name != "gpu_idle"
            ),
            unit=units.COUNT,
            decimals=0,
            width=8,
            legend=(),
            overrides=tuple(coloured(words, colour) for _, words, colour in _HELD),
            empty=_NONE,
        ),
    ),
)

_CLOCKS = Section(
    "Clocks and heat",
    (
        states(
            "What held each GPU back",
            "What was the worst of the reasons for which each GPU ran slower than it could?",
            Query(
                expr=_named(f"max without (reason) ({_WORST})"),
                legend=_GPU,
            ),
            named=(
                (0, "nothing", colours.GOOD),
                *(
                    (len(_HELD) - n, words, colour)
                    for n, (_, words, colour) in reversed(list(enumerate(_HELD)))
                ),
            ),
            width=12,
            height=8,
            empty=_NONE,
        ),
        graph(
            "Time lost to heat and power",
            "For which share of ten minutes did heat or the power supply hold a GPU back?",
            Query(
                expr=_named("instance_gpu:gpu_throttled:ratio_avg10m"), legend=f"{_GPU}, by heat"
            ),
            Query(
                expr=_named("instance_gpu:gpu_power_brake:ratio_avg10m"),
                legend=f"{_GPU}, by the power supply",
            ),
            _limit("gpu_throttled:ratio"),
            unit=units.RATIO,
            high=1,
            empty=_NONE,
        ),
        graph(
            "Clocks",
            "How fast does each GPU run, as a share of the fastest it can?",
            Query(
                expr=_named(
                    "nvidia_smi_clocks_current_graphics_clock_hz"
                    " / (nvidia_smi_clocks_max_graphics_clock_hz > 0)"
                ),
                legend=f"{_GPU}, graphics",
            ),
            Query(
                expr=_named(
                    "nvidia_smi_clocks_current_memory_clock_hz"
                    " / (nvidia_smi_clocks_max_memory_clock_hz > 0)"
                ),
                legend=f"{_GPU}, memory",
            ),
            unit=units.RATIO,
            high=1,
            empty=_NONE,
        ),
        graph(
            "Temperature",
            "How hot are the GPUs and their memory?",
            Query(expr=_named("nvidia_smi_temperature_gpu"), legend=_GPU),
            Query(expr=_named("nvidia_smi_temperature_memory"), legend=f"{_GPU}, memory"),
            unit=units.CELSIUS,
            empty=_NONE,
        ),
    ),
)

_PROCESSES = Section(
    "Who uses them, who holds them for nothing",
    (
        table(
            "Processes on the GPUs",
            "Which process holds how much memory of which GPU? They are told only where the"
            " exporter's collector `gpu` is asked for processes.",
            rows(_named("nvidia_smi_compute_app_used_memory_bytes")),
            columns=(
                Column(source="instance", title="Machine"),
                Column(source="index", title="GPU", width=60),
                Column(source="process_name", title="Process"),
                Column(source="pid", title="Number", width=100),
                Column(source="Value", title="Memory", unit=units.BYTES, width=120),
            ),
            sort="Memory",
            width=12,
            empty="No process on a GPU, or processes are not asked for",
        ),
        graph(
            "Memory by program",
            "How much GPU memory do programs of each name hold?",
            Query(
                expr="topk(10, sum by (instance, process_name)"
                f" ({_named('nvidia_smi_compute_app_used_memory_bytes')}))",
                legend="{{instance}} {{process_name}}",
            ),
            unit=units.BYTES,
            stacked=True,
            empty="No process on a GPU, or processes are not asked for",
        ),
        table(
            "Held, and not used",
            "Which GPUs did nothing for six hours while somebody held their memory? What that costs"
            " stands on the dashboard of costs.",
            rows(_named("instance_gpu:gpu_utilisation:max6h", name=True), ref="busiest"),
            rows(_named("instance_gpu:gpu_memory:min6h", name=True), ref="held"),
            rows(
                _named(
                    "(instance_gpu:gpu_utilisation:max6h"
                    f" < bool {recording('gpu_idle_but_reserved:utilisation')})"
                    " * (instance_gpu:gpu_memory:min6h"
                    f" > bool {recording('gpu_idle_but_reserved:memory')})",
                    name=True,
                ),
                ref="waste",
            ),
            columns=(
                Column(source="instance", title="Machine"),
                Column(source="index", title="GPU", width=50),
                Column(source="name", title="Model"),
                Column(
                    source="Value #busiest",
                    title="Busiest, 6 h",
                    unit=units.RATIO,
                    decimals=0,
                    width=110,
                ),
                Column(
                    source="Value #held",
                    title="Held all the time",
                    unit=units.RATIO,
                    decimals=0,
                    width=130,
                ),
                Column(
                    source="Value #waste",
                    title="Waste",
                    width=80,
                    steps=NONE_IS_GOOD,
                    mappings=(words((0, "no", colours.GOOD), (1, "yes", colours.BAD)),),
                ),
            ),
            sort="Waste",
            width=12,
            empty="Known six hours after the first sample",
        ),
        graph(
            "Busiest moment of six hours",
            "How busy was each GPU at its busiest? Below the line, and with memory held, it is"
            " waste.",
            Query(expr=_named("instance_gpu:gpu_utilisation:max6h"), legend=_GPU),
            _limit("gpu_idle_but_reserved:utilisation"),
            unit=units.RATIO,
            high=1,
            empty="Known six hours after the first sample",
        ),
    ),
)

_ERRORS = Section(
    "Errors",
    (
        graph(
            "Errors that the driver reports",
            "Which XIDs were reported within ten minutes? The runbook says what the usual ones"
            " mean.",
            Query(
                expr="sum by (instance, index, xid)"
                f" ({_named('instance_gpu:gpu_xid:increase10m')})",
                legend=f"{_GPU} XID {{{{xid}}}}",
            ),
            unit=units.COUNT,
            bars=True,
            decimals=0,
            width=7,
            legend=(),
            overrides=(styled(".*", pattern=True, color={"mode": "fixed", "fixedColor": "red"}),),
            empty="No error was reported",
        ),
        graph(
            "Memory errors",
            "How many errors did the GPUs' memory have between two points, mended and not?",
            Query(
                expr=f"sum({_named('increase(nvidia_smi_ecc_errors_corrected_volatile_total[$__rate_interval])')})",
                legend="corrected",
            ),
            Query(
                expr=f"sum({_named('increase(nvidia_smi_ecc_errors_uncorrected_volatile_total[$__rate_interval])')})",
                legend="not corrected",
            ),
            unit=units.COUNT,
            width=7,
            legend=(),
            overrides=(
                coloured("corrected", colours.WATCH),
                coloured("not corrected", colours.BAD),
            ),
            empty="No GPU here corrects its memory",
        ),
        table(
            "Memory rows",
            "Has a GPU replaced rows of its memory, could it, and does it wait for a reset?",
            rows(_named("nvidia_smi_remapped_rows_correctable"), ref="correctable"),
            rows(_named("nvidia_smi_remapped_rows_uncorrectable"), ref="uncorrectable"),
            rows(_named("nvidia_smi_remapped_rows_failure"), ref="failure"),
            rows(_named("nvidia_smi_remapped_rows_pending"), ref="pending"),
            columns=(
                Column(source="instance", title="Machine"),
                Column(source="index", title="GPU"),
                Column(source="Value #correctable", title="Worn"),
                Column(
                    source="Value #uncorrectable",
                    title="Broken",
                    steps=((None, colours.GOOD), (1, colours.WATCH)),
                ),
                Column(
                    source="Value #failure",
                    title="Not replaced",
                    unit=units.YES_NO,
                    steps=NONE_IS_GOOD,
                ),
                Column(
                    source="Value #pending",
                    title="Reset due",
                    unit=units.YES_NO,
                    steps=NONE_IS_GOOD,
                ),
            ),
            sort="Broken",
            width=10,
            empty="No GPU here replaces rows",
        ),
    ),
)

_MIG = Section(
    "Divided GPUs (MIG)",
    (
        table(
            "Instances",
            "Into which instances are the GPUs divided, and how full are they?",
            rows(
                _named(
                    "nvidia_smi_mig_memory_used_bytes / (nvidia_smi_mig_memory_total_bytes > 0)"
                ),
                ref="used",
            ),
            rows(_named("nvidia_smi_mig_memory_total_bytes"), ref="size"),
            rows(
                _named(
                    "count without (mig_uuid, compute_instance_id, profile) (nvidia_smi_mig_info)"
                ),
                ref="parts",
            ),
            columns=(
                Column(source="instance", title="Machine"),
                Column(source="index", title="GPU", width=60),
                Column(source="gpu_instance_id", title="Instance", width=90),
                Column(source="Value #parts", title="Computing parts", width=130),
                Column(source="Value #size", title="Memory", unit=units.BYTES, width=110),
                Column(
                    source="Value #used",
                    title="Allocated",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=above("gpu_memory_nearly_full:ratio", watch=0.9),
                ),
            ),
            sort="Allocated",
            width=12,
            empty="No GPU here is divided",
        ),
        graph(
            "Activity of instances",
            "For which share of time was each instance in use, and how many of its multiprocessors"
            " were busy?",
            Query(
                expr=_named("nvidia_smi_mig_graphics_activity_ratio"),
                legend=f"{_GPU}, instance {{{{gpu_instance_id}}}}",
            ),
            Query(
                expr=_named("nvidia_smi_mig_sm_activity_ratio"),
                legend=f"{_GPU}, instance {{{{gpu_instance_id}}}}, multiprocessors",
            ),
            unit=units.RATIO,
            high=1,
            empty="No GPU here is divided",
        ),
    ),
    folded=True,
)

_REST = Section(
    "Energy, bus and video",
    (
        graph(
            "Power by GPU",
            "How much power does each GPU draw, and how much may it?",
            Query(expr=_named("nvidia_smi_power_draw_watts"), legend=_GPU),
            Query(expr=_named("nvidia_smi_enforced_power_limit_watts"), legend=f"{_GPU}, may draw"),
            unit=units.WATTS,
            overrides=(
                styled(
                    "may draw$",
                    pattern=True,
                    custom__fillOpacity=0,
                    custom__lineStyle={"fill": "dash", "dash": [8, 8]},
                ),
            ),
            empty="No GPU here tells its power",
        ),
        graph(
            "Encoders and decoders",
            "For which share of time do the video engines work?",
            Query(expr=_named("nvidia_smi_utilization_encoder_ratio"), legend=f"{_GPU}, encoder"),
            Query(expr=_named("nvidia_smi_utilization_decoder_ratio"), legend=f"{_GPU}, decoder"),
            unit=units.RATIO,
            high=1,
            empty="No GPU here tells of its video engines",
        ),
        graph(
            "PCIe lanes in use",
            "Does each GPU use all the lanes that it and its slot have? Fewer slow every copy.",
            Query(
                expr=_named(
                    "nvidia_smi_pcie_link_width_current / (nvidia_smi_pcie_link_width_max > 0)"
                ),
                legend=_GPU,
            ),
            unit=units.RATIO,
            high=1,
            empty="No GPU here tells of its bus",
        ),
        graph(
            "Memory traffic",
            "For which share of time was the memory read or written? It is not how full it is.",
            Query(expr=_named("nvidia_smi_utilization_memory_ratio"), legend=_GPU),
            unit=units.RATIO,
            high=1,
            empty=_NONE,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="gpu",
    title="GPU",
    purpose="What the NVIDIA GPUs do, what holds them back, what breaks, and who holds them for"
    " nothing.",
    variables=(
        Choice(name="instance", source="nvidia_smi_gpu_info", title="Machine"),
        Choice(
            name="gpu",
            label="index",
            source='nvidia_smi_gpu_info{instance=~"$instance"}',
            title="GPU",
        ),
    ),
    sections=(_SUMMARY, _ALL, _CLOCKS, _PROCESSES, _ERRORS, _MIG, _REST),
    about='component="gpu", instance=~"$instance"',
)
