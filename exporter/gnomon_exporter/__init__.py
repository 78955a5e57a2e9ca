"""Gnomon's host agent: host, device, cache and queue metrics on one Prometheus page."""

# Written here, not read from the installed distribution: that takes a thirtieth of the memory.
__version__ = "0.1.0"
