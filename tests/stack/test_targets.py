"""The files in which Prometheus discovers targets."""

import json
import subprocess

import pytest
import yaml

from gnomon_stack import targets
from gnomon_stack.targets import Target
from gnomon_stack.trouble import Trouble


def test_a_target_is_its_address_and_service(tmp_path):
    """The file is what prometheus/targets/README.md shows."""
    path = targets.add(tmp_path, targets.parse("shop", "http://127.0.0.1:8000", None))
    assert path == tmp_path / "shop.yml"
    assert yaml.safe_load(path.read_text()) == [
        {"targets": ["127.0.0.1:8000"], "labels": {"service": "shop"}}
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["shop.yml"]


def test_an_address_becomes_labels():
    """Scheme, path and parameters that Prometheus would not assume stand in the file."""
    url = "https://shop.example/deep/path%20x?module=http_2xx&target=a%26b"
    target = targets.parse("shop", url, "store", ["team=web", "instance=front"])
    assert target == Target(
        "shop",
        ("shop.example:443",),
        {
            "service": "store",
            "__scheme__": "https",
            "__metrics_path__": "/deep/path x",
            "__param_module": "http_2xx",
            "__param_target": "a&b",
            "team": "web",
            "instance": "front",
        },
    )
    assert target.urls == [url.replace("example/", "example:443/")]
    assert target.visible == {"team": "web", "instance": "front"}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost", "localhost:80"),
        ("http://localhost/", "localhost:80"),
        ("http://[::1]:9000/metrics", "[::1]:9000"),
        ("https://[::1]", "[::1]:443"),
    ],
)
def test_the_port_is_always_written(url, address):
    """Not every Prometheus adds the scheme's port, and `instance` shows what is written."""
    assert targets.parse("t", url, None).addresses == (address,)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://localhost/",
        "http://",
        "http:///metrics",
        "http://h:0/",
        "http://h:65536/",
        "http://h:x/",
        "http://[::1/",
        "http://h/a b",
        "http://h/a\nb",
        "http://h/#part",
        "http://h\u00e9/",
        "http://h/?collect[]=cpu",
        "http://h/?a=1&a=2",
        "http://h/?a=",
    ],
)
def test_an_address_that_cannot_be_scraped_is_refused(url):
    """What Prometheus could not take never reaches its file."""
    with pytest.raises(Trouble, match=r"expected http|cannot|empty") as refused:
        targets.parse("t", url, None)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("http://user:hunter2@h/", "password_file"),
        ("http://hunter2@h/", "password_file"),
        ("http://user:hun/ter2@h/", "host or port is wrong"),
        ("http://h/?access_token=hunter2", "authorization"),
        ("http://h/?API-Key=1&apikey=hunter2", "cannot stand|authorization"),
    ],
)
def test_credentials_are_refused_and_not_repeated(url, remedy):
    """Everyone who sees Prometheus sees target files; the message does not spread them either."""
    with pytest.raises(Trouble, match=remedy) as refused:
        targets.parse("t", url, None)
    assert "ter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "../host", "a/b", ".hidden", "a b", "x.yml", "a" * 101])
def test_a_name_is_a_plain_file_name(name):
    """No target is written outside the folder, hidden in it, or under a doubled suffix."""
    with pytest.raises(Trouble, match="cannot name a target"):
        targets.parse(name, "http://h/", None)


@pytest.mark.parametrize(
    "label", ["team", "=x", "a-b=x", "__address__=x", "job=x", "service=x", "team=", "team=\n"]
)
def test_a_label_that_would_break_or_mislead_is_refused(label):
    """Job and service have their own meaning; double underscores are Prometheus' own."""
    with pytest.raises(Trouble) as refused:
        targets.parse("t", "http://h/", None, [label])
    assert refused.value.code == 2


def test_an_empty_service_is_refused():
    """An empty label is no label, and then nobody knows whose target it is."""
    with pytest.raises(Trouble, match="service is empty"):
        targets.parse("t", "http://h/", "")


def test_a_taken_name_is_replaced_only_on_request(tmp_path):
    """The first target stays until --replace is said."""
    targets.add(tmp_path, targets.parse("t", "http://one/", None))
    other = targets.parse("t", "http://two/", None)
    with pytest.raises(Trouble, match="--replace"):
        targets.add(tmp_path, other)
    assert targets.load(tmp_path) == ([targets.parse("t", "http://one/", None)], [])
    targets.add(tmp_path, other, replace=True)
    assert targets.load(tmp_path) == ([other], [])


def test_two_targets_never_give_one_series(tmp_path):
    """Two paths of one server differ in a label or are refused: else samples would be mixed."""
    targets.add(tmp_path, targets.parse("a", "http://h/one", "s"))
    with pytest.raises(Trouble, match="target 'a' already gives series"):
        targets.add(tmp_path, targets.parse("b", "http://h/two", "s"))
    targets.add(tmp_path, targets.parse("b", "http://h/two", "s", ["part=two"]))
    targets.add(tmp_path, targets.parse("c", "http://h/three", None))
    assert [target.name for target in targets.load(tmp_path)[0]] == ["a", "b", "c"]


def test_a_missing_target_is_not_removed_in_silence(tmp_path):
    """The names that there are stand in the message."""
    targets.add(tmp_path, targets.parse("shop", "http://h/", None))
    for name in ("shopp", "../shop", "shop.yml"):
        with pytest.raises(Trouble, match="there is: shop"):
            targets.remove(tmp_path, name)
    targets.remove(tmp_path, "shop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["[", "- targets\n", "- labels: {a: b}\n", "7", "\x00"])
def test_a_file_that_is_broken_is_named_and_the_rest_listed(tmp_path, text):
    """One file that a hand has broken hides no other."""
    targets.add(tmp_path, targets.parse("good", "http://h/", None))
    (tmp_path / "bad.yml").write_text(text)
    found, unreadable = targets.load(tmp_path)
    assert [target.name for target in found] == ["good"]
    assert unreadable == [f"{tmp_path}/bad.yml is no list of targets: Prometheus ignores it"]


def test_prometheus_reads_what_is_written(tmp_path, program):
    """The checker finds nothing wrong with a file that has every kind of label."""
    url = "https://[::1]:8443/m?module=x"
    targets.add(tmp_path, targets.parse("shop", url, "läden: 'a', \"b\"", ["zone=yes"]))
    config = {
        "scrape_configs": [{"job_name": "a", "file_sd_configs": [{"files": ["shop.yml"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [*program("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def test_the_commands_say_what_they_did(checkout):
    """Added, listed for people and for programs, removed; refusals end with status 2 or 1."""
    added = checkout.run("target", "add", "shop", "http://127.0.0.1:8000", "--service", "store")
    assert added.returncode == 0, added.stderr
    assert "prometheus/targets/shop.yml" in added.stdout
    assert "make up" in added.stdout
    listed = checkout.run("target", "list")
    assert {"shop", "store", "http://127.0.0.1:8000/metrics"} <= set(listed.stdout.split())
    assert json.loads(checkout.run("target", "list", "--json").stdout) == [
        {
            "name": "shop",
            "addresses": ["127.0.0.1:8000"],
            "labels": {"service": "store"},
            "service": "store",
            "urls": ["http://127.0.0.1:8000/metrics"],
            "health": None,
        }
    ]
    assert checkout.run("target", "add", "x", "nonsense").returncode == 2
    again = checkout.run("target", "add", "shop", "http://127.0.0.1:8000")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("gnomon: target 'shop' is there already")
    assert checkout.run("target", "remove", "shop").returncode == 0
    assert "No targets" in checkout.run("target", "list").stdout
