"""The units that panels are in, by Grafana's ids."""

BITS_RATE = "bps"
BYTES = "bytes"  # 1024 each, as the kernel counts
BYTES_RATE = "binBps"
CELSIUS = "celsius"
CORES = "cores"  # no unit of Grafana's: written behind the number
COUNT = "short"
DATE = "dateTimeAsIso"
DAYS = "suffix: d"  # Grafana's own makes weeks of them
EVENTS_RATE = "cps"
HERTZ = "hertz"
MESSAGES_RATE = "mps"
OPERATIONS_RATE = "ops"
RATIO = "percentunit"  # 0 to 1, shown as 0 to 100 %
REQUESTS_RATE = "reqps"
SECONDS = "s"
WATTS = "watt"
WHOLE = "none"  # numbers that are never shortened
YES_NO = "bool_yes_no"
MONEY = "none"  # in the currency of thresholds.yml; never shortened
