"""Files for Grafana's data sources, Jaeger and Loki: whole, and what they name is there."""

import json
import os
import re
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from servers import ROOT

#: Prints what the library's resource says under a name.
_RESOURCE = """
import gnomon
from opentelemetry import trace
with gnomon.expose(service="shop"):
    print(trace.get_tracer_provider().resource.attributes["{}"])
"""

PROVISIONED = sorted((ROOT / "grafana/provisioning").rglob("*.yml"))
JAEGER = sorted((ROOT / "jaeger").glob("*.yml"))

#: A value under one of these keys is a secret; it comes from a variable or a file.
_SECRET = re.compile(r"pass(word|wd)?|secret|token|apikey|api_key|credential", re.IGNORECASE)


def loaded(name: str) -> Any:
    """Return a YAML file of the checkout."""
    return yaml.safe_load((ROOT / name).read_text())


def leaves(found: Any, key: str = "") -> list[tuple[str, Any]]:
    """Return all values of a file that are no mapping and no list, each with its key."""
    if isinstance(found, dict):
        return [leaf for name, value in found.items() for leaf in leaves(value, str(name))]
    if isinstance(found, list):
        return [leaf for value in found for leaf in leaves(value, key)]
    return [(key, found)]


def sources() -> dict[str, dict[str, Any]]:
    """Return Grafana's data sources by uid."""
    found = loaded("grafana/provisioning/datasources/gnomon.yml")["datasources"]
    return {source["uid"]: source for source in found}


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by uid."""
    files = (ROOT / "grafana/dashboards").glob("*.json")
    return {found["uid"]: found for found in (json.loads(file.read_text()) for file in files)}


def links() -> list[str]:
    """Return the addresses that Jaeger's page leads to."""
    ui = json.loads((ROOT / "jaeger/ui.json").read_text())
    return [entry["url"] for entry in (*ui["menu"], *ui["linkPatterns"])]


@pytest.mark.parametrize("file", [*PROVISIONED, *JAEGER], ids=lambda file: file.name)
def test_no_secret_stands_in_a_file(file):
    """Nor anything that looks like one."""
    found = leaves(yaml.safe_load(file.read_text()))
    assert found
    for key, value in found:
        assert not _SECRET.search(key) or str(value).startswith("$"), key
        assert "@" not in str(value), value


def test_data_sources_have_fixed_names_that_others_know():
    """Dashboards, exemplars and spans lead to each other by uid, on every machine the same."""
    found = sources()
    assert found.keys() == {"prometheus", "jaeger", "alertmanager"}
    assert [uid for uid, source in found.items() if source.get("isDefault")] == ["prometheus"]
    for source in found.values():
        assert source["editable"] is False
        assert re.fullmatch(r"\$GNOMON_[A-Z]+_URL", source["url"])
    named = [value for key, value in leaves(list(found.values())) if key == "datasourceUid"]
    assert named
    assert set(named) <= found.keys()
    for dashboard in dashboards().values():
        own = [value for key, value in leaves(dashboard) if key == "uid" and value]
        assert set(own) <= {*found, "$datasource", "${datasource}", "-- Grafana --", *dashboards()}


def test_an_exemplar_leads_to_its_trace():
    """By the label that the library's exemplars have."""
    [way] = sources()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert way == {"name": "trace_id", "datasourceUid": "jaeger"}


def test_a_span_leads_to_its_numbers():
    """$ is doubled, for Grafana takes a single one for a variable of the environment."""
    way = sources()["jaeger"]["jsonData"]["tracesToMetrics"]
    assert way["datasourceUid"] == "prometheus"
    assert {tag["value"] for tag in way["tags"]} == {"service", "http_route"}
    [whose] = [tag["key"] for tag in way["tags"] if tag["value"] == "service"]
    # Jaeger's answers have service.name elsewhere than among a span's attributes.
    assert whose != "service.name"
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}  # nothing listens there
    asked = [sys.executable, "-c", _RESOURCE.format(whose)]
    ran = subprocess.run(
        asked, env={**os.environ, **endpoint}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["shop"]
    for query in way["queries"]:
        assert query["query"].count("{$$__tags}") == 1
        assert not re.search(r"(?<!\$)\$(?!\$)", query["query"].replace("$$", ""))
        assert re.search(r"\bhttp_server_request_duration_seconds_(count|bucket)\{", query["query"])


@pytest.mark.parametrize("url", links())
def test_jaeger_s_page_leads_to_dashboards_and_variables_that_there_are(url):
    """Where one is renamed, this says so."""
    parts = urlsplit(re.sub(r"#\{[^}]*\}", "X", url))
    assert (parts.scheme, parts.netloc) == ("http", "127.0.0.1:3000")
    dashboard = dashboards()[parts.path.removeprefix("/d/")]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    asked = parse_qs(parts.query, keep_blank_values=True)
    assert {name.removeprefix("var-") for name in asked} <= {*variables, "from", "to"}


def test_jaeger_s_pipeline_uses_what_is_defined():
    """Also with tail sampling laid over it: a list is replaced as a whole."""
    plain, tail = loaded("jaeger/jaeger.yml"), loaded("jaeger/tail-sampling.yml")
    pipeline = plain["service"]["pipelines"]["traces"]
    assert pipeline["processors"][0] == "memory_limiter"
    assert set(pipeline["processors"]) == plain["processors"].keys()
    assert set(pipeline["receivers"]) == plain["receivers"].keys()
    assert set(pipeline["exporters"]) == plain["exporters"].keys()
    assert set(plain["service"]["extensions"]) == plain["extensions"].keys()
    over = tail["service"]["pipelines"]["traces"]["processors"]
    assert over == ["memory_limiter", "tail_sampling", "batch"]
    assert set(over) == plain["processors"].keys() | tail["processors"].keys()


def test_jaeger_listens_where_it_is_told_and_on_loopback_otherwise():
    """No address of its own stands in the file."""
    found = leaves(loaded("jaeger/jaeger.yml"))
    listens = [value for key, value in found if key in {"endpoint", "host"}]
    assert len(listens) == 6
    assert all(value.startswith("${env:JAEGER_LISTEN_HOST:-127.0.0.1}") for value in listens)


def blocks(page: str, language: str) -> list[str]:
    """Return the code of a language in a page of the documentation."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_loki_s_data_source_finds_the_trace_in_lines_of_the_log():
    """Of the demo's format, of JSON as the page shows it; where the id is empty, no link is."""
    [text] = [block for block in blocks("logs.md", "yaml") if "type: loki" in block]
    loki, jaeger = yaml.safe_load(text)["datasources"]
    [field] = loki["jsonData"]["derivedFields"]
    assert field["datasourceUid"] == jaeger["uid"] == "jaeger"
    assert field["url"] == "$${__value.raw}"
    assert jaeger["jsonData"]["tracesToLogsV2"]["datasourceUid"] == loki["uid"]
    wanted = re.compile(field["matcherRegex"])
    trace = "0af7651916cd43dd8448eb211c80319c"
    for line in (
        f"2026-01-01 12:00:00,000 INFO shop trace_id={trace} span_id=b7ad6b7169203331 sold",
        json.dumps({"event": "sold", "trace_id": trace}),
        json.dumps({"trace_id": trace}, separators=(",", ":")),
    ):
        found = wanted.search(line)
        assert found is not None, line
        assert found[1] == trace
    assert not wanted.search("INFO shop trace_id= span_id= sold")
