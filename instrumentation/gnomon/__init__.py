"""Instrument a Python application: metrics, traces and the resource use of a piece of work."""

from gnomon.instrumenting import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
