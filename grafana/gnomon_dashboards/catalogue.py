"""All dashboards, and the files they are written to."""

import importlib
from pathlib import Path

from gnomon_dashboards.dashboard import Dashboard

#: From the checkout's root.
FOLDER = Path("grafana/dashboards")

#: In the order in which somebody looks: what is wrong, where, why; then what it will be.
SUBJECTS = (
    "overview",
    "service",
    "slo",
    "host",
    "container",
    "gpu",
    "cache",
    "queue",
    "database",
    "usage",
    "dependency",
    "anomaly",
    "forecast",
    "cost",
    "vitals",
    "meta",
    "probe",
)


def dashboard(subject: str) -> Dashboard:
    """Return the dashboard of a subject, from the module of its name."""
    found: Dashboard = importlib.import_module(f"gnomon_dashboards.subjects.{subject}").DASHBOARD
    return found


def path(subject: str) -> Path:
    """Return its file, from the checkout's root."""
    return FOLDER / f"{subject}.json"
