"""Filters on names."""

import pytest

from gnomon_exporter.filters import NameFilter


def test_drops_what_the_exclude_matches_anywhere():
    """An expression without anchors matches in the middle of a name."""
    names = NameFilter("device", exclude="loop|ram", include="")
    assert [name for name in ("sda", "loop0", "zram0") if names.keeps(name)] == ["sda"]


def test_keeps_only_what_the_include_matches():
    """An include drops everything else."""
    names = NameFilter("device", exclude="", include="^sd")
    assert [name for name in ("sda", "loop0", "nvme0n1") if names.keeps(name)] == ["sda"]


def test_keeps_everything_without_expressions():
    """Empty expressions say nothing."""
    assert NameFilter("device", exclude="", include="").keeps("")


def test_an_include_overrides_the_default_exclude():
    """Whoever asks for loop devices gets them, though the default excludes them."""
    assert NameFilter("device", exclude="^loop", include="^loop", default="^loop").keeps("loop0")


def test_an_include_and_an_exclude_at_once_are_refused():
    """The message names both settings."""
    with pytest.raises(ValueError, match="device_include and device_exclude exclude each other"):
        NameFilter("device", exclude="a", include="b", default="c")


@pytest.mark.parametrize("setting", ["exclude", "include"])
def test_an_invalid_expression_is_refused_with_the_setting(setting):
    """The message names the setting, the expression and the fault."""
    expressions = {"exclude": "", "include": "", setting: "(open"}
    with pytest.raises(ValueError, match=rf"device_{setting}: not a regular expression: '\(open'"):
        NameFilter("device", **expressions)
