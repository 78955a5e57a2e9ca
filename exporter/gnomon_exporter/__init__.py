"""Gnomon's host agent: host, device, cache and queue metrics on one Prometheus page."""
