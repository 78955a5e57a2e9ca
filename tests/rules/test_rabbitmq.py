"""The scrape job for RabbitMQ's own plugin: a real broker, a real Prometheus, 200 queues."""

import json
import urllib.parse

import amqp
import pytest
import yaml

from servers import ROOT, Server, fetch, free_port, program, until

QUEUES = 200


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A Prometheus with the checked-in job, before and after a file names a broker."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "rabbitmq")
    job["scrape_interval"] = "1s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    (folder / "targets/rabbitmq").mkdir(parents=True)  # as in a checkout
    url = f"http://127.0.0.1:{free_port()}"
    words = [
        *program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with Server(words, ready=f"{url}/-/ready", log=folder / "prometheus.log"):
        yield url, folder


def query(url, expression):
    """Return the labels and value of each series."""
    answer = fetch(f"{url}/api/v1/query?query={urllib.parse.quote(expression)}")
    found = json.loads(answer)["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in found]


def test_reads_each_queue_of_a_real_rabbitmq(prometheus, rabbitmq):
    """Messages and consumers of 200 queues have the plugin's names, and nothing is down."""
    url, folder = prometheus
    assert json.loads(fetch(f"{url}/api/v1/targets"))["data"]["activeTargets"] == []
    connection = amqp.Connection(f"127.0.0.1:{rabbitmq.port}")
    connection.connect()
    channel = connection.channel()
    for number in range(QUEUES):
        channel.queue_declare(f"q{number}", durable=True, auto_delete=False)
    for _ in range(3):
        channel.basic_publish(amqp.Message("x"), "", "q7")
    channel.basic_consume("q8")
    (folder / "targets/rabbitmq/broker.yml").write_text(
        f'- targets: ["127.0.0.1:{rabbitmq.metrics_port}"]\n'
    )
    name = "rabbitmq_detailed_queue_messages"
    ((labels, _),) = until(lambda: query(url, f'{name}{{queue="q7"}} == 3'))
    assert labels == {
        "__name__": name,
        "instance": f"127.0.0.1:{rabbitmq.metrics_port}",
        "job": "rabbitmq",
        "queue": "q7",
        "service": "broker",
        "vhost": "/",
    }
    consumed = 'rabbitmq_detailed_queue_consumers{queue="q8"} == 1'
    assert until(lambda: query(url, consumed))
    for part in ("messages", "messages_ready", "messages_unacked", "consumers"):
        name = f"rabbitmq_detailed_queue_{part}"
        ((_, count),) = query(url, f'count({name}{{queue=~"q[0-9]+"}})')
        assert count == QUEUES, part
    for name in (
        "rabbitmq_detailed_process_resident_memory_bytes",
        "rabbitmq_detailed_resident_memory_limit_bytes",
        "rabbitmq_detailed_disk_space_available_bytes",
        "rabbitmq_detailed_disk_space_available_limit_bytes",
    ):
        assert query(url, name), name
    ((_, is_up),) = query(url, 'up{job="rabbitmq"}')
    assert is_up == 1
    connection.close()
