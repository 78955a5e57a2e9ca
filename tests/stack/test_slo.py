"""Objectives in Sloth's format, and what is made of them."""

import shutil
import subprocess

import pytest
import yaml

from gnomon_exporter.strict_yaml import ConfigError
from gnomon_stack import slo, slo_spec
from rulebook import ROOT

BUCKETS = {"http_server_request_duration_seconds": (0.1, 0.3, 1)}

GOOD = """\
version: prometheus/v1
service: shop
labels: {team: checkout}
slos:
  - name: orders
    objective: 99.9
    description: Orders are taken.
    labels: {tier: one}
    sli:
      events:
        error_query: sum(rate(orders_failed_total{a="b"}[{{.window}}]))
        total_query: sum(rate(orders_total[{{ .window }}]))
    alerting:
      name: OrdersFail
      labels: {category: availability}
      annotations: {summary: Orders fail}
      page_alert:
        labels: {severity: page}
      ticket_alert:
        disable: true
  - name: latency
    objective: 99
    window: 4w
    sli:
      latency:
        histogram: http_server_request_duration_seconds
        matchers: service="shop"
        bound: 1
  - name: alive
    objective: 99.5
    sli:
      raw:
        error_ratio_query: 1 - avg_over_time(up{job="shop"}[{{.window}}])
"""


@pytest.fixture
def checkout(tmp_path):
    """Write objectives into a checkout of their own; return its root."""
    (tmp_path / "prometheus/rules").mkdir(parents=True)
    (tmp_path / "prometheus/slo").mkdir()
    shutil.copy(ROOT / "prometheus/rules/slo.yml", tmp_path / "prometheus/rules/slo.yml")

    def write(text, name="shop.yml"):
        (tmp_path / "prometheus/slo" / name).write_text(text)
        return tmp_path

    return write


def _read(root):
    return slo_spec.read(root / slo.SOURCE, BUCKETS)


def test_reads_what_sloth_reads(checkout):
    """Labels of the file and of the objective, events, own alerts, a window of its own."""
    orders, latency, alive = _read(checkout(GOOD))
    assert orders.id == "shop-orders"
    assert orders.labels == {"team": "checkout", "tier": "one"}
    assert (orders.objective, orders.budget, orders.days) == (0.999, 0.001, 30)
    assert orders.page.labels == {"category": "availability", "severity": "page"}
    assert orders.page.annotations == {"summary": "Orders fail"}
    assert orders.page.enabled
    assert not orders.ticket.enabled
    assert latency.days == 28
    assert 'le=~"1([.]0)?"' in latency.sli.bad
    assert alive.min_bad_events == 0


def test_what_is_made_passes_promtool_and_computes_the_truth(checkout, program):
    """5 % of orders fail: that ratio, under the objective's labels, and its own alert's name."""
    root = checkout(GOOD)
    (root / "prometheus/rules/slo-objectives.yml").write_text(slo.rules(root))
    labels = (
        'service="shop", sloth_id="shop-orders", sloth_service="shop", sloth_slo="orders", '
        'team="checkout", tier="one"'
    )
    case = {
        "rule_files": ["rules/slo.yml", "rules/slo-objectives.yml"],
        "evaluation_interval": "1m",
        "group_eval_order": ["slo-events", "slo-terms", "slo-recordings", "slo-own-alerts"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": 'orders_failed_total{a="b"}', "values": "0+50x30"},
                    {"series": "orders_total", "values": "0+1000x30"},
                    {"series": 'up{job="shop"}', "values": "1x30"},
                ],
                "promql_expr_test": [
                    {
                        "expr": 'slo:sli_error:ratio_rate1h{sloth_slo="orders"}',
                        "eval_time": "20m",
                        "exp_samples": [
                            {"labels": f"slo:sli_error:ratio_rate1h{{{labels}}}", "value": 0.05}
                        ],
                    },
                    {
                        "expr": 'slo:sli_error:ratio_rate1h{sloth_slo="alive"}',
                        "eval_time": "20m",
                        "exp_samples": [
                            {
                                "labels": 'slo:sli_error:ratio_rate1h{service="shop", sloth_id='
                                '"shop-alive", sloth_service="shop", sloth_slo="alive",'
                                ' team="checkout"}',
                                "value": 0,
                            }
                        ],
                    },
                    {
                        "expr": "count by (alertname, severity, category)"
                        ' (ALERTS{alertstate="firing", alertname!="SLOBudgetExhausted"})',
                        "eval_time": "20m",
                        "exp_samples": [
                            {
                                "labels": '{alertname="OrdersFail", severity="page", '
                                'category="availability"}',
                                "value": 1,
                            }
                        ],
                    },
                ],
            }
        ],
    }
    (root / "prometheus/test.yml").write_text(yaml.safe_dump(case))
    tool = program("promtool")
    for words in (
        ["check", "rules", "--lint=all", "--lint-fatal", "rules/slo-objectives.yml"],
        ["test", "rules", "test.yml"],
    ):
        ran = subprocess.run(
            [*tool, *words],
            cwd=root / "prometheus",
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("prometheus/v1", "openslo/v1", "1: version: 'openslo/v1'; expected 'prometheus/v1'"),
        ("service: shop", "service: my shop", "service: 'my shop'; expected letters"),
        ("objective: 99.9", "objective: 100", "100; expected a percentage between 0 and 100; all"),
        ("objective: 99.9", "objective: 90", "90 % can never fire page_alert: it asks for 14.4"),
        ("window: 4w", "window: 90d", "'90d'; expected 7d to 35d, for Prometheus keeps no more"),
        ("bound: 1", "bound: 0.25", "has no bucket 0.25, so nothing could be counted; expected"),
        ("[{{ .window }}]", "[5m]", "total_query: no window; expected a range of [{{.window}}]"),
        ("      raw:", "      plugin: {}\n      raw:", "slos[2].sli: not one kind"),
        ("      raw:", "      plugin:", "Sloth's plugins are programs; expected events"),
        (
            "    description:",
            "    descripton:",
            "descripton: unknown key (did you mean description?)",
        ),
        ("  - name: alive", "  - name: orders", "shop-orders: given twice"),
        (
            "orders_failed_total{a=",
            'http_server_request_duration_seconds_bucket{le="0.25", a=',
            "error_query: http_server_request_duration_seconds has no bucket 0.25",
        ),
    ],
)
def test_a_slip_is_refused_with_its_place_and_the_remedy(checkout, old, new, said):
    """An objective that could never fire would be worse than none."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        _read(checkout(GOOD.replace(old, new, 1)))
    assert said in str(caught.value)


def test_no_objectives_at_all_make_no_rules(checkout):
    """An empty folder is a choice; the rules for all objectives then find nothing."""
    root = checkout(GOOD)
    (root / slo.SOURCE / "shop.yml").unlink()
    assert yaml.safe_load(slo.rules(root)) == {"groups": []}


def test_a_bound_of_the_librarys_own_histograms_is_known():
    """300 ms is a bucket of every histogram of requests; 250 and 350 ms are not both."""
    for bounds in slo.known_buckets().values():
        assert 0.3 in bounds
        assert 0.35 not in bounds
