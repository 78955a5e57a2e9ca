"""The demo's log: a line for each thing that happened, with the ids of the trace it is part of."""

import logging

#: `gnomon.instrument` gives every record these ids; they are empty outside of a trace.
FORMAT = "%(asctime)s %(levelname)s %(name)s trace_id=%(trace_id)s span_id=%(span_id)s %(message)s"


def begin() -> None:
    """Write the demo's records to standard error; what others log stays as it is."""
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter(FORMAT, defaults={"trace_id": "", "span_id": ""}))
    ours = logging.getLogger("gnomon_demo")
    ours.handlers[:] = [shown]
    ours.setLevel(logging.INFO)
    ours.propagate = False
