"""Which Alertmanager is at hand: newer ones know more receivers."""

import re
import subprocess

from gnomon_stack.alerting.channels import Version

#: The oldest that is supported, and what is assumed where none is at hand.
OLDEST: Version = (0, 25)


def of(words: list[str]) -> Version:
    """Return the version of the Alertmanager or amtool that ``words`` start."""
    try:
        done = subprocess.run(
            [*words, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return OLDEST
    found = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else OLDEST
