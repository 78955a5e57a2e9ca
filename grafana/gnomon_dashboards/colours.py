"""What colours mean. Grafana's own names, which it has a light and a dark shade for."""

GOOD = "green"
WATCH = "orange"
BAD = "red"
#: Neither good nor bad: how much there is.
PLAIN = "blue"
#: What is no value of its own: a limit that is not an alarm, last week, a forecast.
FAINT = "#8e8e8e"

#: Shades of one colour: what half, most and nearly all stay below.
MEDIAN = "#8ab8ff"
MOST = "#3274d9"
NEARLY_ALL = "#b877d9"

#: Some of the above where Grafana takes no names: in labels of the nodes of a map.
SHADES = {GOOD: "#73bf69", WATCH: "#ff9830", BAD: "#f2495c", PLAIN: "#5794f2"}
