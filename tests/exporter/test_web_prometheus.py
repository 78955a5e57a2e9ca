"""A real Prometheus scrapes through TLS, a client certificate and a password."""

import json

import bcrypt
import pytest
import yaml

import servers
from certificates import Authority
from webserver import Page, serving, until

SCRAPES = 3


def job(name, port, **settings):
    """Return a scrape job for the exporter, every 200 ms."""
    target = {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    return {"job_name": name, "scheme": "https", "scrape_interval": "200ms", **settings} | target


@pytest.fixture
def secured(tmp_path):
    """A web config file with everything on, and Prometheus' side of it."""
    authority = Authority()
    authority.server(tmp_path)
    authority.write(tmp_path, "client", "prometheus", client=True)
    (tmp_path / "ca.crt").write_text(authority.pem)
    stored = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()
    web = {
        "tls_server_config": {
            "cert_file": "server.crt",
            "key_file": "server.key",
            "client_ca_file": "ca.crt",
            "client_auth_type": "RequireAndVerifyClientCert",
        },
        "basic_auth_users": {"prometheus": stored},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    trust = {"ca_file": str(tmp_path / "ca.crt"), "server_name": "localhost"}
    own = {
        "cert_file": str(tmp_path / "client.crt"),
        "key_file": str(tmp_path / "client.key"),
    }
    return str(tmp_path / "web.yml"), trust, own


def test_prometheus_comes_in_with_certificate_and_password(secured, tmp_path, program, free_port):
    """With both it scrapes over one connection; without either it is told why."""
    path, trust, own = secured
    words = program("prometheus")
    user = {"username": "prometheus", "password": "sesame"}
    wrong = {"username": "prometheus", "password": "wrong"}
    with serving(Page(), web_config=path) as server:
        jobs = [
            job("in", server.port, basic_auth=user, tls_config=trust | own),
            job("wrong", server.port, basic_auth=wrong, tls_config=trust | own),
            job("bare", server.port, basic_auth=user, tls_config=trust),
        ]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
        port = free_port()
        words += [
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

        def targets():
            answer = json.loads(servers.fetch(f"http://127.0.0.1:{port}/api/v1/targets"))
            found = answer["data"]["activeTargets"]
            return {one["labels"]["job"]: (one["health"], one["lastError"]) for one in found}

        ready = f"http://127.0.0.1:{port}/-/ready"
        with servers.Server(words, ready=ready, log=tmp_path / "prometheus.log"):
            assert until(
                lambda: sorted(health for health, _ in targets().values()) == ["down", "down", "up"]
            )
            assert until(lambda: len(server.page.asked) >= SCRAPES)
            found = targets()
            connections = len(server._connections._open)
    assert found["in"] == ("up", "")
    assert found["wrong"] == ("down", "server returned HTTP status 401 Unauthorized")
    assert found["bare"][0] == "down"
    assert "tls:" in found["bare"][1]
    # One for each of the two who got through the handshake, and perhaps one that just fails.
    assert connections <= SCRAPES
