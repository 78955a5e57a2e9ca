"""The dashboards, a module for each subject; ``DASHBOARD`` is what it makes."""
