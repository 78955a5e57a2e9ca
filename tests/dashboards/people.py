"""A locust file: the demo's people, but few of them, and as many by night as by day."""

from gnomon_demo.load import Reader, Sender, Watcher

Sender.weight = 4
Watcher.fixed_count = 1

__all__ = ["Reader", "Sender", "Watcher"]
