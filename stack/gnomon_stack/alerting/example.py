"""alerting.yml on the first `make alert-config`: everything a line away."""

import os
from collections.abc import Callable
from pathlib import Path

from gnomon_stack.alerting.render import write_private
from gnomon_stack.alerting.settings import NAME

TEXT = """\
# Who is told of alerts. Written once by `make alert-config`; from then on it is yours. Take the
# "# " off the lines that you want, then `make alert-config` again. docs/alerting.md explains all.
#
# Secrets are best in files of their own, which turn a channel on by being there:
#
#   umask 077; cat > alertmanager/secrets/slack_url        (paste, Enter, Ctrl-D)

# email:
#   to: [ops@example.org]
#   from: alerts@example.org
#   server: smtp.example.org:587
#   username: alerts@example.org        # its password: alertmanager/secrets/smtp_password

# slack:                                # alertmanager/secrets/slack_url, an incoming webhook
#   takes: [critical, warning]          # of critical, warning, info, cost

# pagerduty: {}                         # alertmanager/secrets/pagerduty_key, Events API v2
# msteams: {}                           # alertmanager/secrets/msteams_url, a workflow's address
# webhook: {}                           # alertmanager/secrets/webhook_url, and webhook_token
# heartbeat: {}                         # alertmanager/secrets/heartbeat_url, a dead man's switch

# What is critical and neither over nor silenced after this time is told to others, too.
# escalation:
#   after: 30m
#   email: [lead@example.org]
#   slack_channel: "#leads"

# timezone: Europe/Berlin
# hours: {days: [monday:friday], from: 08:00, to: 18:00}
# maintenance:                          # warnings wait; what is critical does not
#   - {days: [sunday], from: 02:00, to: 04:00}

# Where the links in messages lead, seen from a phone.
# urls:
#   alertmanager: https://alerts.example.org
#   prometheus: https://prometheus.example.org
#   runbooks: https://git.example.org/gnomon/blob/main/
#   dashboards: https://grafana.example.org   # or the console's

# team: platform                        # whose an alert is that names no team
# teams:                                # what a team does not say is as for everybody
#   data:
#     services: [transcriber, prices]   # whose alerts are theirs, beside those labelled team=data
#     slack: {channel: "#data-alerts"}
#     email: {to: [data@example.org]}
"""


def write(root: Path, say: Callable[[str], None]) -> None:
    """Write the file, for this user alone, into a checkout that has none."""
    path = root / NAME
    if os.path.lexists(path):
        return
    try:
        write_private(path, TEXT)
    except OSError as error:
        say(f"{NAME} cannot be written ({error.strerror}); the environment alone counts.")
        return
    say(f"Wrote {NAME}: everything is off; the file says how to turn it on.")
