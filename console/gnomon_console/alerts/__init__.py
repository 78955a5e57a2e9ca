"""Alerts: what fires now, who has taken it, and what has been."""
