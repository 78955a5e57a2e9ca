"""Anomalies: an operator can leave a series out."""

import subprocess

from gnomon_stack import thresholds
from rulebook import ROOT

CASE = """\
rule_files: [{root}/prometheus/rules/anomaly.yml, {root}/prometheus/rules/service.yml, rules.yml]
evaluation_interval: 10m
group_eval_order:
  - service-recordings
  - service-thresholds
  - anomaly-recordings
  - anomaly-thresholds
  - anomaly
tests:
  - interval: 1m
    input_series:
      - series: http_server_request_duration_seconds_count{{service="nightly", http_route="/"}}
        values: "0+120000x60"
      - series: http_server_request_duration_seconds_count{{service="shop", http_route="/"}}
        values: "0+120000x60"
    promql_expr_test:
      - expr: sum by (service) (ALERTS{{alertname="AnomalyAboveBand", alertstate="firing"}})
        eval_time: 50m
        exp_samples: [{{labels: '{{service="shop"}}', value: 1}}]
      - expr: count by (service) (anomaly:band:upper{{anomaly_name="traffic"}})
        eval_time: 50m
        exp_samples:
          - {{labels: '{{service="nightly"}}', value: 1}}
          - {{labels: '{{service="shop"}}', value: 1}}
"""


def test_a_series_that_is_left_out_is_drawn_and_not_told(program, tmp_path):
    """The override that the runbook shows does what it says, and nothing to others."""
    settings = (ROOT / thresholds.SOURCE).read_text()
    knob = "  anomaly_watched:switch:\n"
    override = "    overrides: [{where: {service: nightly, anomaly_name: traffic}, value: 0}]\n"
    assert settings.count(knob) == 1
    (tmp_path / "thresholds.yml").write_text(settings.replace(knob, knob + override))
    (tmp_path / "rules.yml").write_text(
        thresholds.rules(thresholds.read(tmp_path / "thresholds.yml"))
    )
    (tmp_path / "case.yml").write_text(CASE.format(root=ROOT))
    ran = subprocess.run(
        [*program("promtool"), "test", "rules", str(tmp_path / "case.yml")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
