"""Alertmanager's pages: ours, where it comes without its own.

Messages link to the page on which an alert is silenced. Debian's package leaves the pages out, and
takes a folder of others instead.
"""

import os
import re
import subprocess

from gnomon_stack.home import Home

_FLAG = "--web.ui-path"


def flags(home: Home, alertmanager: list[str]) -> tuple[str, ...]:
    """Return the flag with which this Alertmanager shows our pages; none where it has its own."""
    if not alertmanager:
        return ()
    try:
        done = subprocess.run(
            [*alertmanager, "--help"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(rf'{re.escape(_FLAG)}="([^"]+)"', done.stdout + done.stderr)
    # Where somebody has built the original pages, they are what people know.
    if found is None or os.path.exists(os.path.join(found[1], "script.js")):
        return ()
    return (f"{_FLAG}={home.root / 'alertmanager/ui'}",)
