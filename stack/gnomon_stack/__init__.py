"""Run the whole stack on this machine without Docker."""
