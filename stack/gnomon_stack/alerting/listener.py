"""Lets one more receiver hear of one alert for a while, whatever the settings say."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import yaml

from gnomon_stack.alerting import render
from gnomon_stack.alerting.apply import reload
from gnomon_stack.home import Home
from gnomon_stack.parts import HOST
from gnomon_stack.trouble import Trouble

_NAME = "gnomon-listener"


@contextmanager
def listening(home: Home, alertmanager: int, alert: str, port: int) -> Iterator[None]:
    """Send alerts of this name to loopback's ``port``, too, while the block runs.

    alertmanager: the port of the running one. Its configuration is afterwards what it was; the
    next `gnomon up` makes it anew in any case. Raise Trouble where it refuses.
    """
    path = render.folder(home) / render.SOURCE.name
    try:
        before = path.read_text()
        changed = _with_listener(yaml.safe_load(before), alert, port)
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}") from None
    render.write_private(path, yaml.safe_dump(changed, sort_keys=False))
    try:
        reload(alertmanager)
        yield
    finally:
        render.write_private(path, before)
        with suppress(Trouble):  # it has ended: the file is right for its next start
            reload(alertmanager)


def _with_listener(config: dict[str, Any], alert: str, port: int) -> dict[str, Any]:
    route = {
        "matchers": [f'alertname = "{alert}"'],
        "receiver": _NAME,
        "group_by": ["alertname", "instance"],
        "group_wait": "5s",
        "group_interval": "10s",
        "repeat_interval": "1d",
        "continue": True,
    }
    config["route"]["routes"] = [route, *(config["route"].get("routes") or [])]
    address = f"http://{HOST}:{port}/"
    config["receivers"].append({"name": _NAME, "webhook_configs": [{"url": address}]})
    # Nothing may hold back what somebody is waiting for.
    for rule in config.get("inhibit_rules") or []:
        rule.setdefault("target_matchers", []).append(f'alertname != "{alert}"')
    return config
