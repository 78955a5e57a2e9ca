"""Queues of one process or several: what waits in them, for how long, and who works it off.

A queue keeps its type and its behaviour. Items are never looked into, except by the function that
tells their priority.
"""

from gnomon.queues.taking import Taken, take
from gnomon.queues.watching import watch_queue

__all__ = ["Taken", "take", "watch_queue"]
