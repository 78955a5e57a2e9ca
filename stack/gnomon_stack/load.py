"""Many tasks that want to run, and disturb nobody: `python -m gnomon_stack.load COUNT`.

Threads rather than processes, so that a thousand cost little memory and one signal ends them all.
"""

import hashlib
import os
import sys
import threading
import time

_STACK_BYTES = 256 * 1024
_FOR_AGES = 2**31 - 1


def _compute() -> None:
    """Compute without Python's lock: a thread that waits for the lock would not want to run."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", _FOR_AGES)


def main(count: int) -> None:
    """Start ``count`` threads, print a line once all compute, and go on until killed."""
    threading.stack_size(_STACK_BYTES)
    for _ in range(count):
        thread = threading.Thread(target=_compute, daemon=True)
        thread.start()
        # Idle tasks run when nothing else wants to. Made so once it computes: a task that is idle
        # while it still holds Python's lock would keep all others from starting.
        time.sleep(0.0005)
        if hasattr(os, "SCHED_IDLE") and thread.native_id:
            os.sched_setscheduler(thread.native_id, os.SCHED_IDLE, os.sched_param(0))
    print("started", flush=True)  # noqa: T201  # what the parent waits for
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
