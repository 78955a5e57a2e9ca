"""exporter.yml and the command line: what is good runs, what is not is named by its place."""

import logging
import time
from pathlib import Path

import pytest

from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.config import COMMAND_LINE, Config, as_text, read
from gnomon_exporter.exporter import Exporter
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.options import parse
from gnomon_exporter.paths import Paths
from gnomon_exporter.registry import Entry
from gnomon_exporter.settings import settings_of
from gnomon_exporter.strict_yaml import ConfigError


class Widgets:
    """Widgets by colour.

    colours: report only these.
    """

    def __init__(
        self,
        _paths: Paths,
        *,
        colours: tuple[str, ...] = (),
        address: str = "tcp://localhost",
        password: str = "",
        patience: float = 1.5,
        most: int = 3,
        deep: bool = False,
    ) -> None:
        self.settings = (colours, address, password, patience, most, deep)
        if not 0 < patience < 100:
            raise ValueError("patience: must lie between 0 and 100")
        if most == 13:
            raise ValueError("such a number brings no luck")

    def collect(self):
        yield GaugeMetricFamily("widgets", "Widgets.", 1)


class Gadgets:
    """Gadgets."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def collect(self):
        yield GaugeMetricFamily("gadgets", "Gadgets.", 1)


REGISTRY = {"gadgets": Entry(Gadgets), "widgets": Entry(Widgets, default=False, node=False)}


def _options(*arguments):
    return parse(arguments, REGISTRY)


def _read(tmp_path, text, *arguments):
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    return read(_options(f"--config.file={file}", *arguments), REGISTRY)


def _on(config: Config):
    return list(config.collectors)


def test_without_a_file_the_defaults_run():
    """No configuration is needed: what is on by default runs with its defaults."""
    config = read(_options(), REGISTRY)
    assert _on(config) == ["gadgets"]
    assert config.collectors["gadgets"].timeout == 5.0


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("", ["--collector.widgets"], ["gadgets", "widgets"]),
        ("", ["--no-collector.gadgets"], []),
        ("", ["--collector.disable-defaults"], []),
        ("", ["--collector.disable-defaults", "--collector.gadgets"], ["gadgets"]),
        ("disable_defaults: true", [], []),
        ("collectors: {widgets: }", [], ["gadgets", "widgets"]),
        ("collectors: {widgets: {most: 4}}", [], ["gadgets", "widgets"]),
        (
            "collectors: {widgets: {enabled: false}}",
            ["--collector.widgets"],
            ["gadgets", "widgets"],
        ),
        ("collectors: {widgets: {}}", ["--no-collector.widgets"], ["gadgets"]),
        ("disable_defaults: true\ncollectors: {gadgets: }", [], ["gadgets"]),
        ("collectors: {gadgets: {enabled: false}}", [], []),
    ],
)
def test_what_is_on(tmp_path, text, arguments, expected):
    """A flag wins over the file; what the file names is on unless it says otherwise."""
    assert _on(_read(tmp_path, text, *arguments)) == expected


def test_settings_come_from_the_file(tmp_path):
    """Each kind of setting arrives as its constructor declares it."""
    config = _read(
        tmp_path,
        """
        collector_timeout: 2s
        series_limit: 500
        collectors:
          widgets:
            timeout: 1m30s
            colours: [red, no]
            address: unix:///run/w.sock
            password: s3cret
            patience: 1e1
            most: 4
            deep: true
        """,
    )
    widgets = config.collectors["widgets"]
    assert widgets.settings == {
        "colours": ("red", "no"),
        "address": "unix:///run/w.sock",
        "password": "s3cret",
        "patience": 10.0,
        "most": 4,
        "deep": True,
    }
    assert (widgets.timeout, config.collectors["gadgets"].timeout) == (90.0, 2.0)
    assert config.series_limit == 500


def test_flags_win_over_the_file(tmp_path):
    """The command line has the last word, setting by setting."""
    config = _read(
        tmp_path,
        "collectors: {widgets: {most: 4, deep: true, colours: [red], patience: 3}}",
        "--collector.widgets.most=5",
        "--no-collector.widgets.deep",
        "--collector.widgets.colours=green",
        "--collector.widgets.colours=blue",
        "--collector.widgets.patience=500ms",
    )
    assert config.collectors["widgets"].settings == {
        "most": 5,
        "deep": False,
        "colours": ("green", "blue"),
        "patience": 0.5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colectors: {}", "1: colectors: unknown key (did you mean collectors?); expected one of "),
        (
            "\ncollectors:\n  widget: {}",
            "3: collectors.widget: unknown key (did you mean widgets?)",
        ),
        (
            "collectors:\n  widgets:\n    color: [red]",
            "3: collectors.widgets.color: unknown key (did you mean colours?)",
        ),
        (
            "collectors: {widgets: {most: many}}",
            "1: collectors.widgets.most: 'many'; expected a whole number",
        ),
        (
            "collectors: {widgets: {patience: soon}}",
            "1: collectors.widgets.patience: 'soon'; expected a number, or a duration such as 5s",
        ),
        (
            "collectors: {widgets: {timeout: 5}}",
            "1: collectors.widgets.timeout: '5'; expected a duration with its unit",
        ),
        ("collector_timeout: 0s", "1: collector_timeout: '0s'; expected a duration"),
        ("series_limit: 0", "1: series_limit: '0'; expected a whole number from 1 on"),
        (
            "collectors: {widgets: {password: [s3cret]}}",
            "1: collectors.widgets.password: a list; expected a text",
        ),
        ("collectors: [widgets]", "1: collectors: not a mapping"),
        ("collectors: {widgets: true}", "1: collectors.widgets: not a mapping"),
        ("a: b: c", "1: a colon where no key can be"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, text, message):
    """File, line, key, and what was expected."""
    with pytest.raises(ConfigError) as refused:
        _read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path}/exporter.yml:{message}")
    assert "s3cret" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    """A file that is named must be there."""
    with pytest.raises(ConfigError, match=r"nowhere\.yml: cannot be read: No such file"):
        read(_options(f"--config.file={tmp_path}/nowhere.yml"), REGISTRY)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (
            "collectors:\n  widgets:\n    patience: 100",
            (),
            "exporter.yml:3: collectors.widgets.patience: must lie between 0 and 100",
        ),
        (
            "collectors:\n  widgets:\n    most: 13",
            (),
            "exporter.yml:2: collectors.widgets: such a number brings no luck",
        ),
        (
            "collectors: {widgets: {}}",
            ("--collector.widgets.patience=100",),
            f"{COMMAND_LINE}: --collector.widgets.patience: must lie between 0 and 100",
        ),
    ],
)
def test_a_collectors_own_complaint_gets_its_place(tmp_path, text, arguments, message):
    """What a constructor refuses is reported where the setting stands."""
    (tmp_path / "exporter.yml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        Exporter(_options(f"--config.file={tmp_path}/exporter.yml", *arguments), REGISTRY)
    assert str(refused.value).endswith(message)


def test_the_configuration_in_force_is_a_configuration_without_secrets(tmp_path):
    """What /config shows can be read again, and says everything but passwords."""
    config = _read(
        tmp_path,
        """
        collectors:
          widgets:
            colours: ['a "b"', "c: #d"]
            address: redis://me:hunter2@host:1/0
            password: s3cret
        """,
    )
    text = as_text(config, REGISTRY)
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert "redis://me:<secret>@host:1/0" in text
    again = _read(tmp_path, text).collectors["widgets"]
    assert again.settings["colours"] == ('a "b"', "c: #d")
    assert _on(_read(tmp_path, text)) == _on(config)


def _metric(exporter, name):
    page = exporter.render(None, time.monotonic() + 5).decode()
    return next(line.split()[-1] for line in page.splitlines() if line.startswith(name + " "))


def test_reload(tmp_path, caplog):
    """A good new configuration replaces the old one, a bad one is reported and replaces nothing."""
    caplog.set_level(logging.INFO)
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: {widgets: {most: 4}}")
    exporter = Exporter(_options(f"--config.file={file}"), REGISTRY)
    assert exporter.names == ["gadgets", "widgets"]
    read_first = _metric(exporter, "gnomon_exporter_config_last_reload_success_timestamp_seconds")

    file.write_text("collectors: {widgets: {most: none}}")
    exporter.reload()
    assert exporter.names == ["gadgets", "widgets"]
    assert _metric(exporter, "gnomon_exporter_config_last_reload_successful") == "0"
    assert (
        _metric(exporter, "gnomon_exporter_config_last_reload_success_timestamp_seconds")
        == read_first
    )
    assert "the old one stays" in caplog.text
    assert "exporter.yml:1: collectors.widgets.most: 'none'" in caplog.text

    file.write_text("collectors: {widgets: {enabled: false}}")
    exporter.reload()
    assert exporter.names == ["gadgets"]
    assert _metric(exporter, "gnomon_exporter_config_last_reload_successful") == "1"


def test_reload_keeps_the_collectors_that_stay_as_they_were(tmp_path):
    """An unchanged collector keeps its memory and its stuck thread; a changed one starts anew."""
    file = Path(tmp_path / "exporter.yml")
    file.write_text("collectors: {widgets: {most: 4}}")
    exporter = Exporter(_options(f"--config.file={file}"), REGISTRY)
    guards = dict(exporter._running.scraper.guards)
    file.write_text("collectors: {widgets: {most: 5}}")
    exporter.reload()
    assert exporter._running.scraper.guards["gadgets"] is guards["gadgets"]
    assert exporter._running.scraper.guards["widgets"] is not guards["widgets"]


TARGETS = """
collectors:
  widgets:
    timeout: 3s
    most: 4
    targets:
      left: {address: tcp://me:hunter2@left, most: 5}
      right: {timeout: 1s, password: s3cret}
"""


def test_targets_take_what_their_collector_says_and_say_the_rest(tmp_path):
    """A target has its collector's settings, flags included, but for those it gives itself."""
    config = _read(tmp_path, TARGETS, "--collector.widgets.deep")
    left, right = config.targets["widgets", "left"], config.targets["widgets", "right"]
    assert left.settings == {"most": 5, "deep": True, "address": "tcp://me:hunter2@left"}
    assert right.settings == {"most": 4, "deep": True, "password": "s3cret"}
    assert (left.timeout, right.timeout) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("text", "arguments", "collectors", "targets"),
    [
        ("widgets: {targets: {a: }}", [], ["gadgets"], ["a"]),
        ("widgets: {targets: {a: {}, b: {}}}", [], ["gadgets"], ["a", "b"]),
        ("widgets: {targets: }", [], ["gadgets"], []),
        ("widgets: {enabled: true, targets: {a: {}}}", [], ["gadgets", "widgets"], ["a"]),
        ("widgets: {targets: {a: }}", ["--collector.widgets"], ["gadgets", "widgets"], ["a"]),
        ("widgets: {enabled: false, targets: {a: {}}}", [], ["gadgets"], []),
        ("widgets: {targets: {a: {}}}", ["--no-collector.widgets"], ["gadgets"], []),
        ("widgets: {targets: {a: {}}}", ["--collector.disable-defaults"], [], ["a"]),
    ],
)
def test_what_has_targets_is_not_meant_itself(tmp_path, text, arguments, collectors, targets):
    """Targets stand for their collector, unless it is asked for; turned off, so are they."""
    config = _read(tmp_path, f"collectors: {{{text}}}", *arguments)
    assert _on(config) == collectors
    assert list(config.targets) == [("widgets", target) for target in targets]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "widgets:\n    targets:\n      a: {adress: x}",
            "4: collectors.widgets.targets.a.adress: unknown key (did you mean address?)",
        ),
        (
            "widgets: {enabled: false, targets: {a: {most: many}}}",
            "2: collectors.widgets.targets.a.most: 'many'; expected a whole number",
        ),
        (
            "widgets: {targets: {a: {targets: {}}}}",
            "2: collectors.widgets.targets.a.targets: unknown key",
        ),
        (
            "widgets: {targets: {a: {enabled: true}}}",
            "2: collectors.widgets.targets.a.enabled: unknown key",
        ),
        ("widgets: {targets: [a]}", "2: collectors.widgets.targets: not a mapping"),
        ("widgets: {targets: {a: b}}", "2: collectors.widgets.targets.a: not a mapping"),
        ("widgets: {targets: {a: {}, a: {}}}", "2: collectors.widgets.targets.a: given twice"),
        (
            "widgets: {targets: {a/b: {}}}",
            "2: collectors.widgets.targets.a/b: such a name; expected up to 64 letters, digits",
        ),
        ("widgets: {targets: {'': {}}}", "2: collectors.widgets.targets: such a name"),
        ("gadgets: {targets: {a: {}}}", "2: collectors.gadgets.targets: unknown key"),
    ],
)
def test_a_bad_target_is_refused_with_its_place(tmp_path, text, message):
    """File, line, key, and what was expected, also where the targets are off."""
    with pytest.raises(ConfigError) as refused:
        _read(tmp_path, f"collectors:\n  {text}")
    assert str(refused.value).startswith(f"{tmp_path}/exporter.yml:{message}")


@pytest.mark.parametrize(
    ("text", "arguments", "place"),
    [
        (
            "    targets:\n      a: {patience: 100}",
            (),
            "exporter.yml:4: collectors.widgets.targets.a.patience: must lie between",
        ),
        (
            "    patience: 100\n    targets:\n      a: {most: 1}",
            (),
            "exporter.yml:3: collectors.widgets.patience: must lie between",
        ),
        (
            "    targets:\n      a: {most: 13}",
            (),
            "exporter.yml:4: collectors.widgets.targets.a: such a number",
        ),
        (
            "    targets: {a: }",
            ("--collector.widgets.patience=100",),
            f"{COMMAND_LINE}: --collector.widgets.patience: must lie between",
        ),
    ],
)
def test_a_targets_complaint_gets_the_place_of_its_setting(tmp_path, text, arguments, place):
    """In the target's section, its collector's, or on the command line: where the value stands."""
    file = tmp_path / "exporter.yml"
    file.write_text(f"collectors:\n  widgets:\n{text}")
    with pytest.raises(ConfigError) as refused:
        Exporter(_options(f"--config.file={file}", *arguments), REGISTRY)
    assert place in str(refused.value)


@pytest.mark.parametrize("enabled", ["", "    enabled: true\n"])
def test_the_configuration_in_force_has_the_targets_without_their_secrets(tmp_path, enabled):
    """/config shows what each target runs by, and can be read again."""
    given = TARGETS.replace("    timeout: 3s\n", f"    timeout: 3s\n{enabled}")
    config = _read(tmp_path, given)
    text = as_text(config, REGISTRY)
    assert "hunter2" not in text
    assert "s3cret" not in text
    again = _read(tmp_path, text)
    assert _on(again) == _on(config)
    assert list(again.targets) == list(config.targets)
    assert again.targets["widgets", "left"].settings["most"] == 5
    assert again.targets["widgets", "right"].timeout == 1.0


def test_reload_keeps_the_targets_that_stay_as_they_were(tmp_path):
    """A changed target starts anew, a new one is there, one that was taken out is gone."""
    file = Path(tmp_path / "exporter.yml")
    file.write_text("collectors: {widgets: {targets: {a: {most: 1}, b: {most: 2}, c: {}}}}")
    exporter = Exporter(_options(f"--config.file={file}"), REGISTRY)

    def guards():
        probes = exporter._running.probes
        return {target: probes[name, target].guards[name] for name, target in probes}

    before = guards()
    assert list(before) == ["a", "b", "c"]
    file.write_text("collectors: {widgets: {targets: {a: {most: 1}, b: {most: 3}, d: {}}}}")
    exporter.reload()
    assert list(guards()) == ["a", "b", "d"]
    assert guards()["a"] is before["a"]
    assert guards()["b"] is not before["b"]
    file.write_text("collectors: {widgets: {targets: {a: {most: 13}}}}")
    exporter.reload()
    assert list(guards()) == ["a", "b", "d"]


def test_a_target_has_the_bounds_of_a_collector(tmp_path):
    """The cap on a family's series holds for it and is counted; a failure is its own."""

    class Floods(Widgets):
        """Too many widgets."""

        def collect(self):
            family = GaugeMetricFamily("widgets", "Widgets.", labels=["number"])
            for number in range(12):
                family.add_metric((str(number),), 1)
            yield family
            if self.settings[1] == "bad":
                raise OSError("it broke")

    (tmp_path / "exporter.yml").write_text(
        "series_limit: 10\ncollectors: {floods: {targets: {a: {}, b: {address: bad}}}}"
    )
    registry = {"floods": Entry(Floods, node=True, threaded=True)}
    exporter = Exporter(parse([f"--config.file={tmp_path}/exporter.yml"], registry), registry)
    deadline = time.monotonic() + 10
    good, bad = (exporter.probe("floods", name, deadline).decode() for name in "ab")
    assert good.count("\nwidgets{") == 10
    assert 'gnomon_scrape_dropped_series_total{collector="floods"} 2' in good
    assert 'gnomon_scrape_collector_success{collector="floods"} 1' in good
    assert 'gnomon_scrape_collector_success{collector="floods"} 0' in bad
    assert "node_scrape_" not in good
    assert exporter.probe("floods", "c", deadline) is None
    fared = {state.target: state.success for state in exporter.states()}
    assert fared == {"": None, "a": True, "b": False}


def test_no_setting_is_called_what_every_collector_has():
    """`enabled`, `timeout` and `targets` stand beside a collector's own settings."""
    for name, entry in COLLECTORS.items():
        assert not settings_of(entry.factory).keys() & {"enabled", "timeout", "targets"}, name


def test_states_tell_how_each_collector_fared():
    """Before the first scrape nothing is known; after it there is a duration and a result."""
    exporter = Exporter(_options(), REGISTRY)
    (state,) = exporter.states()
    assert (state.name, state.description, state.duration, state.success) == (
        "gadgets",
        "Gadgets",
        None,
        None,
    )
    exporter.render(None, time.monotonic() + 5)
    (state,) = exporter.states()
    assert state.success is True
    assert state.duration > 0
    assert exporter.ready()
