"""Instrument a Python application: metrics, traces and the resource use of a piece of work."""
