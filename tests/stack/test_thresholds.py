"""thresholds.yml and the recordings that it makes."""

import subprocess

import pytest
import yaml

from gnomon_exporter.strict_yaml import ConfigError
from gnomon_stack import thresholds

GOOD = """\
host:
  memory_high:ratio:
    level: instance:memory:ratio
    value: 0.9
    meaning: HostMemoryHigh. In use.
    overrides:
      - {where: {instance: 'a"b\\c'}, value: 0.97}
      - {where: {service: "=~batch-.*", team: ml}, value: 12}
"""


@pytest.fixture
def file(tmp_path):
    """Write a file of thresholds."""

    def write(text):
        path = tmp_path / "thresholds.yml"
        path.write_text(text)
        return path

    return write


def test_the_first_override_that_matches_wins_and_all_labels_are_kept(file, program, tmp_path):
    """What Prometheus itself makes of it: a threshold for each level, with the level's labels."""
    (tmp_path / "rules.yml").write_text(thresholds.rules(thresholds.read(file(GOOD))))
    series = {
        r'{instance="a\"b\\c", service="batch-1", team="ml"}': 0.97,
        '{instance="x", service="batch-1", team="ml"}': 12,
        '{instance="x", service="batch-1"}': 0.9,
        "{}": 0.9,
    }
    case = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "input_series": [
                    {"series": f"instance:memory:ratio{labels}", "values": "0.5x5"}
                    for labels in series
                ],
                "promql_expr_test": [
                    {
                        "expr": "threshold:memory_high:ratio",
                        "eval_time": "2m",
                        "exp_samples": [
                            {"labels": f"threshold:memory_high:ratio{labels}", "value": value}
                            for labels, value in series.items()
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(case))
    words = [*program("promtool"), "test", "rules", str(tmp_path / "test.yml")]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "value: 0.9\n",
            "value: high\n",
            "4: host.memory_high:ratio.value: 'high'; expected a num",
        ),
        ("value: 0.9\n", "valeu: 0.9\n", "value: missing"),
        ("    meaning: HostMemoryHigh. In use.\n", "", "meaning: missing"),
        ("level: instance:memory:ratio", "level: a > b", "expected the bare name of a metric"),
        ("memory_high:ratio:", "MemoryHigh:", "not a threshold's name"),
        ("{instance: 'a\"b\\c'}", "{}", "where: empty"),
        ("{instance: 'a\"b\\c'}", "{in-stance: a}", "not a label's name"),
        ("host:\n", "host:\n  interval: often\n", "such as 30s"),
        ("    value: 0.9\n", "    value: 0.9\n    extra: 1\n", "extra: unknown key"),
    ],
)
def test_a_slip_is_refused_with_its_place_and_what_was_expected(file, old, new, said):
    """Nothing is made of a file with a slip in it."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        thresholds.read(file(GOOD.replace(old, new)))
    assert said in str(caught.value)


def test_one_name_for_two_thresholds_is_refused(file):
    """The two recordings would be one series with two values."""
    with pytest.raises(ConfigError, match="given twice"):
        thresholds.read(file(GOOD + GOOD.replace("host:", "disk:", 1)))
