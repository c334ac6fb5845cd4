"""`tunegate up` that fails or is killed half-way: one line that says why, nothing left behind, and the next one works.

Real servers and workers in one TUNEGATE_HOME; the tests run in order, each on what the one before it left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from conf.settings import PROJECT
from flows.log import reason
from flows.platform import POOLS, _deployed
from tests.flows.place import Place
from tests.flows.platform import Platform, free_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.platform]

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that nobody has brought up."""
    found = Platform(Place(tmp_path_factory.mktemp("half")), free_port(), free_port())
    yield found
    found.down()
    found.api.close()


@pytest.fixture(scope="module")
def stranger() -> Iterator[int]:
    """The port of somebody else's server, which answers 200 to whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield http.server_port
    http.shutdown()
    thread.join()
    http.server_close()


def begun(half: Platform, **more: str) -> subprocess.Popen[str]:
    """`tunegate up`, not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "up", *half.ports],
        cwd=PROJECT,
        env=half.place.environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def nothing_is_left(half: Platform) -> None:
    assert half.processes() == []
    assert not record(half).exists()
    for port in half.ports[1::2]:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", int(port)))


def record(half: Platform) -> Path:
    return half.place.home / "platform.json"


@pytest.mark.parametrize("option", ["--prefect-port", "--mlflow-port"])
def test_a_port_that_is_taken_is_named_with_its_option(half: Platform, stranger: int, option: str) -> None:
    done = half.place.command("up", *half.ports, option, str(stranger))  # the last of two counts
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: port {stranger} is in use by ")
    assert done.stderr.endswith(f"; choose another with {option}\n")
    assert done.stderr.count("\n") == 1
    nothing_is_left(half)


def test_one_port_for_both_servers_is_refused(half: Platform) -> None:
    port = half.ports[1]
    done = half.place.command("up", "--prefect-port", port, "--mlflow-port", port)
    assert done.stderr == f"error: port {port} is given to both servers; choose another with --mlflow-port\n"
    assert done.returncode == 1
    nothing_is_left(half)


def test_a_port_that_no_machine_has_is_bad_usage(half: Platform) -> None:
    done = half.place.command("up", "--prefect-port", "65536")
    assert done.returncode == 3
    assert done.stderr.startswith("error: Invalid value for '--prefect-port': 65536 is not in the range 1<=x<=65535.")


def test_a_prefect_server_of_ones_own_that_does_not_answer_is_named(half: Platform) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    done = half.place.command("up", PREFECT_API_URL=address, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.stderr == f"error: the Prefect server at {address}: [Errno 111] Connection refused\n"
    assert done.returncode == 1
    nothing_is_left(half)


def test_an_mlflow_that_cannot_start_says_why(half: Platform, stranger: int) -> None:
    newer = half.place.folder / "newer.db"
    with contextlib.closing(sqlite3.connect(newer)) as database:  # as a later MLflow leaves it
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('of_tomorrow')")
        database.commit()
    theirs = f"http://127.0.0.1:{stranger}/api"  # a Prefect server that need not start for this
    done = half.place.command("up", *half.ports, MLFLOW_TRACKING_URI=f"sqlite:///{newer}", PREFECT_API_URL=theirs)
    log = half.place.home / "logs" / "mlflow.log"
    why = "alembic.util.exc.CommandError: Can't locate revision identified by 'of_tomorrow'"
    assert done.stderr == f"error: mlflow: ended at once, {why}; its log: {log}\n"
    assert (done.returncode, done.stdout) == (1, "")
    nothing_is_left(half)


def test_the_reason_of_a_database_error_is_told_without_its_afterwords(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("a file, and no database\n" * 100)
    engine = create_engine(f"sqlite:///{tmp_path / 'broken.db'}")
    try:
        engine.connect().execute(text("SELECT name FROM sqlite_master"))
    except DatabaseError:
        said = traceback.format_exc()
    assert "(Background on this error" in said.splitlines()[-1]
    assert reason(said) == "sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database"
    assert reason("\n") == ""


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_an_up_that_is_asked_to_end_stops_what_it_started(half: Platform, number: signal.Signals) -> None:
    """By Ctrl-C, as a service, or with its terminal."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests has them ignore it, as nohup does, and so does what they start")
    with begun(half) as stopped:
        wait_for(lambda: bool(half.processes("prefect")))
        stopped.send_signal(number)
        _, errors = stopped.communicate()
    assert errors.strip() == "error: stopped; the same command goes on from here"
    # to a shell they are one; the second is Python's own, where an import was at work
    assert stopped.returncode in (130, -signal.SIGINT)
    nothing_is_left(half)


def test_an_up_that_is_killed_while_it_deploys_leaves_no_record_and_does_not_lock(half: Platform) -> None:
    with begun(half) as killed:
        wait_for(lambda: bool(half.processes("deploy")))
        killed.send_signal(signal.SIGKILL)
    assert half.processes("prefect")
    assert half.processes("mlflow")
    assert not record(half).exists()


def test_a_worker_that_dies_at_once_is_named_and_all_is_stopped(half: Platform) -> None:
    """And what the killed one left, servers on the very ports that this one wants, was stopped before."""
    log = half.place.home / "logs" / "worker-cpu.log"
    log.write_text("what a worker said last week\n")
    with begun(half) as starting:
        wait_for(lambda: bool(half.processes("worker-cpu")))
        for process in half.processes("worker-cpu"):
            process.kill()
        out, errors = starting.communicate()
    assert "servers: " in out
    assert errors == f"error: worker-cpu: ended at once, and said nothing; its log: {log}\n"
    assert starting.returncode == 1
    nothing_is_left(half)


def test_a_record_whose_ports_are_now_somebody_elses_is_not_believed(half: Platform, stranger: int) -> None:
    there = f"http://127.0.0.1:{stranger}"
    parts = ["prefect", "mlflow", "worker-cpu", "worker-gpu"]
    stale = {"prefect_ui": there, "prefect_api": f"{there}/api", "mlflow": there, "parts": parts}
    record(half).write_text(json.dumps(stale))
    found = half.up()
    assert (found["prefect_ui"], found["mlflow"]) == (half.ui, half.mlflow)
    assert {process.environ()["TUNEGATE_PART"] for process in half.processes()} >= set(parts)


def test_runs_of_the_pool_cpu_see_no_gpu_and_no_deployment_names_a_folder_of_this_machine(half: Platform) -> None:
    seen = {pool: half.processes(f"worker-{pool}")[0].environ().get("CUDA_VISIBLE_DEVICES") for pool in POOLS}
    assert seen == {"cpu": "", "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
    for name in _deployed():
        (step,) = half.deployment(f"{name}/{name}")["pull_steps"]
        assert list(step.values()) == [{"directory": "."}]


def test_a_worker_that_dies_at_the_next_up_leaves_what_stood(half: Platform) -> None:
    for process in half.processes("worker-gpu"):
        process.kill()
    wait_for(lambda: not half.processes("worker-gpu"))
    before, stood = record(half).read_text(), {process.pid for process in half.processes("prefect")}
    with begun(half) as starting:
        wait_for(lambda: bool(half.processes("worker-gpu")))
        for process in half.processes("worker-gpu"):
            process.kill()
        _, errors = starting.communicate()
    assert errors.startswith("error: worker-gpu: ended at once, ")
    assert starting.returncode == 1
    assert half.processes("worker-gpu") == []
    assert stood == {process.pid for process in half.processes("prefect")}
    assert record(half).read_text() == before
    half.down()
    nothing_is_left(half)
