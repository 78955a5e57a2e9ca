"""Prometheus' configuration in containers: prometheus.yml, with services in place of ports."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from gnomon_stack.configs import with_addresses
from gnomon_stack.trouble import Trouble

#: Where a container of Prometheus finds the checkout's prometheus/, and what is made here.
CHECKOUT, OWN = PurePosixPath("/etc/prometheus"), PurePosixPath("/run/gnomon")

#: What runs: all, what existing services need, or all with storage for many machines.
VARIANTS = ("whole", "minimal", "scale")

#: Where each port of prometheus.yml answers inside the stack.
_ADDRESSES = {
    9090: "prometheus:9090",
    9093: "alertmanager:9093",
    9115: "blackbox:9115",
    9840: "exporter:9840",
}

_HEAD = "# Made by `setup` from prometheus/prometheus.yml. Edit that, not this one.\n"

#: Targets by the file they would have in a checkout; its name is their service.
_TARGETS: dict[str, list[tuple[list[str], dict[str, str]]]] = {
    "targets/desk.yml": [(["demo:8000"], {})],
    "targets/exchange.yml": [(["exchange:8001"], {})],
    "targets/desk-worker.yml": [(["worker:8002"], {})],
    "targets/rabbitmq/rabbitmq.yml": [(["rabbitmq:15692"], {})],
    "targets/probe/desk.yml": [(["http://demo:8000/", "http://demo:8000/-/ready"], {})],
    "targets/probe/exchange.yml": [(["http://exchange:8001/-/ready"], {})],
    "targets/probe/grafana.yml": [(["http://grafana:3000/api/health"], {})],
    "targets/probe/jaeger.yml": [(["http://jaeger:16686/api/v3/services"], {})],
    "targets/probe/postgres.yml": [(["postgres:5432"], {"module": "tcp"})],
    "targets/probe/rabbitmq.yml": [(["rabbitmq:5672"], {"module": "tcp"})],
    "targets/probe/redis.yml": [(["redis:6379"], {"module": "tcp"})],
}

#: What else is scraped at /metrics: by job, which is the service, too.
_JOBS = {
    "minimal": {"grafana": ["grafana:3000"]},
    "whole": {"grafana": ["grafana:3000"], "jaeger": ["jaeger:8888"]},
    "scale": {
        "grafana": ["grafana:3000"],
        "jaeger": ["jaeger:8888"],
        "victoria-metrics": [
            "vminsert:8480",
            "vmstorage-1:8482",
            "vmstorage-2:8482",
            "vmselect:8481",
            "vmalert:8880",
        ],
    },
}

#: Two of them, that either may be gone.
_ALERTMANAGERS = ["alertmanager:9093", "alertmanager-2:9093"]

_WRITE = "http://vminsert:8480/insert/0/prometheus/api/v1/write"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files by their path below ``OWN``."""

    files: dict[str, str]


def render(source: str, variant: str, host: str) -> Rendered:
    """Return what Prometheus (and vmalert, in ``scale``) reads.

    source: prometheus.yml. host: what the machine is called in series and alerts.

    Raise Trouble for another variant, or a source that is no such configuration.
    """
    if variant not in VARIANTS:
        raise Trouble(f"GNOMON_COMPOSE={variant}: expected {', '.join(VARIANTS)}", code=2)
    try:
        config: dict[str, Any] = yaml.safe_load(with_addresses(source, _ADDRESSES))
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        for group in jobs["node"]["static_configs"]:
            if "exporter:9840" in group["targets"]:
                group["labels"] = {"instance": host, **group.get("labels", {})}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise Trouble(f"prometheus/prometheus.yml cannot be meant: {reason}", code=2) from None
    config["rule_files"] = [str(CHECKOUT / each) for each in config.get("rule_files", [])]
    for job in jobs.values():
        for discovery in job.get("file_sd_configs", []):
            files = discovery["files"]
            own = [str(OWN / each) for each in files] if variant != "minimal" else []
            discovery["files"] = [str(CHECKOUT / each) for each in files] + own
    config["scrape_configs"] += [_job(name, where) for name, where in _JOBS[variant].items()]
    files = {}
    if variant != "minimal":
        config["scrape_configs"].append(_COLLECTORS)
        files = {path: _groups(groups) for path, groups in _TARGETS.items()}
    if variant == "scale":
        _for_scale(config, jobs, files)
    files["prometheus.yml"] = _HEAD + _text(config)
    return Rendered(files)


def _for_scale(config: dict[str, Any], jobs: dict[str, Any], files: dict[str, str]) -> None:
    """Let others keep, judge and tell: an agent only scrapes and sends."""
    alerting = config.pop("alerting", {})
    config.pop("rule_files", None)
    config["remote_write"] = [{"url": _WRITE}]
    for group in jobs.get("alertmanager", {}).get("static_configs", []):
        group["targets"] = _ALERTMANAGERS
    notifier = {
        "alert_relabel_configs": alerting.get("alert_relabel_configs", []),
        "static_configs": [{"targets": _ALERTMANAGERS}],
    }
    files["notifier.yml"] = _HEAD + _text(notifier)


def _job(name: str, addresses: list[str]) -> dict[str, Any]:
    group = {"targets": addresses, "labels": {"service": name}}
    return {"job_name": name, "static_configs": [group]}


#: Redis and the queue, which the exporter asks on the stack's behalf.
_COLLECTORS: dict[str, Any] = {
    "job_name": "probe",
    "metrics_path": "/probe",
    "static_configs": [{"targets": ["redis/desk", "celery/desk"], "labels": {"service": "desk"}}],
    "relabel_configs": [
        {
            "source_labels": ["__address__"],
            "regex": "(.+)/.+",
            "target_label": "__param_collector",
        },
        {"source_labels": ["__address__"], "regex": ".+/(.+)", "target_label": "__param_target"},
        {"source_labels": ["__address__"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": _ADDRESSES[9840]},
    ],
}


def _groups(groups: list[tuple[list[str], dict[str, str]]]) -> str:
    return _text(
        [
            {"targets": where, "labels": labels} if labels else {"targets": where}
            for where, labels in groups
        ]
    )


def _text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
