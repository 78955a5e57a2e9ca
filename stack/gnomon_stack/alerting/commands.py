"""`gnomon alert-config` and `gnomon test-notification`."""

import os
import sys

import click
from rich.console import Console

from gnomon_stack.alerting import apply, trial
from gnomon_stack.home import Home

_WIDTH_OF_FILES = 200


@click.command(name="alert-config")
@click.pass_obj
def alert_config(here: Home) -> None:
    """Render and check who is told of alerts, and put it into force.

    Reads alerting.yml, GNOMON_ALERT_... variables and alertmanager/secrets/.
    """
    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    apply.alert_config(here, os.environ, Console(highlight=False, width=width))


@click.command(name="test-notification")
@click.argument("receiver")
@click.pass_obj
def test_notification(here: Home, receiver: str) -> None:
    """Send one message to RECEIVER and say whether it was taken.

    RECEIVER is a channel (email, slack, pagerduty, msteams, webhook, heartbeat), a kind of alert
    (critical, warning, info, cost, escalation), or one of these and a team: slack/data.
    """
    trial.test_notification(here, os.environ, receiver, click.echo)
