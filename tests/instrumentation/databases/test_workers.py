"""An application with a database that several workers serve."""

import contextlib
import os
import subprocess
import sys
import textwrap

import httpx
import pytest

import servers

APP = """
    import os, time
    from fastapi import FastAPI
    from sqlalchemy import create_engine, event
    import gnomon

    app = FastAPI()
    engine = create_engine("sqlite:///desk.db", pool_size=20, max_overflow=30)
    event.listen(engine, "connect", lambda raw, _: raw.create_function("nap", 1, time.sleep))
    gnomon.instrument(app, service="several")
    gnomon.watch_engine(engine, name="desk", slow_seconds=0.01)

    @app.get("/slow/{number}")
    def slow(number: int):
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT nap(0.02), {number}")
        return os.getpid()
"""


@pytest.fixture
def address(tmp_path):
    """The address of the application, served by two workers."""
    (tmp_path / "program.py").write_text(textwrap.dedent(APP))
    (tmp_path / "runtime").mkdir()
    port = servers.free_port()
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    environment.pop("GNOMON_RUN_DIR", None)
    words = [sys.executable, "-m", "uvicorn", "program:app", "--port", str(port), "--workers", "2"]
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    process.kill()
    process.wait()


def test_the_page_is_of_all_workers(address, until):
    """Slow queries, and what the pools may open, are added up, whichever worker is asked."""
    pids = []

    def both_were_slow():
        with contextlib.suppress(httpx.TransportError):
            pids.append(httpx.get(f"{address}/slow/{len(pids)}").json())
        return len(set(pids)) == 2

    until(both_were_slow, 60)

    def told():
        return httpx.get(f"{address}/metrics/queries").json()["queries"]

    until(lambda: [query["count"] for query in told()] == [len(pids)], 30)
    (query,) = told()
    assert (query["shape"], query["pool"]) == ("SELECT nap(?), ?", "desk")
    page = httpx.get(f"{address}/metrics").text
    series = '{db_client_connection_pool_name="desk"}'
    assert f"db_client_connection_max{series} 100.0" in page.splitlines()
    assert f"gnomon_db_pool_size{series} 40.0" in page.splitlines()
    assert f"db_client_connection_pending_requests{series} 0.0" in page.splitlines()
    slow = 'gnomon_db_slow_queries_total{db_client_connection_pool_name="desk",'
    assert f'{slow}db_query_summary="SELECT"}} {len(pids)}.0' in page.splitlines()
