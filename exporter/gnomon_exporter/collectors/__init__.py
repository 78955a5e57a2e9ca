"""The registry: every collector by its name, which is also its file, its flag and its label."""

from gnomon_exporter.collectors.loadavg import LoadavgCollector
from gnomon_exporter.registry import Entry

# threaded: touches a file system, a device or a socket, so it may hang and gets a thread.
COLLECTORS: dict[str, Entry] = {
    "loadavg": Entry(LoadavgCollector),
}
