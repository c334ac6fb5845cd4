"""A Prefect server, a worker and our deployments, as real processes on loopback, for tests that need them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from conf.settings import PROJECT, environment
from tests.flows.place import Place
from tests.waiting import wait_for


class Platform:
    """The server's API, as a browser would use it."""

    def __init__(self, url: str) -> None:
        self.api = httpx.Client(base_url=url, timeout=30)

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; returns its id."""
        found = self.api.get(f"/deployments/name/{deployment}").raise_for_status().json()
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(
            self.api.post(f"/deployments/{found['id']}/create_flow_run", json=body).raise_for_status().json()["id"]
        )

    def state(self, run: str) -> dict[str, Any]:
        """Type, name, message and details of a run's state."""
        return dict(self.api.get(f"/flow_runs/{run}").raise_for_status().json()["state"])

    def wait_for_state(self, run: str, *names: str) -> dict[str, Any]:
        """Wait until a run is in one of these states."""
        wait_for(lambda: self.state(run)["name"] in names, seconds=120)
        return self.state(run)

    def resume(self, run: str, **form: str) -> dict[str, Any]:
        """Send the form; returns the server's answer, which says whether it took it."""
        return dict(self.api.post(f"/flow_runs/{run}/resume", json={"run_input": form}).raise_for_status().json())


@contextmanager
def platform(place: Place) -> Iterator[Platform]:
    """Server, pool, deployments and worker of a place; ended by their process groups."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    from conf.settings import settings

    variables = {
        **place.environment(),
        **environment(settings()),
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(PROJECT),
    }
    prefect = [str(Path(sys.executable).with_name("prefect"))]
    log = (place.folder / "platform.log").open("w")

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*prefect, *arguments], cwd=PROJECT, env=variables, stdout=log, stderr=log, start_new_session=True
        )

    def run(*arguments: str) -> None:
        subprocess.run(
            [*prefect, *arguments], cwd=PROJECT, env=variables, stdout=log, stderr=log, check=True, timeout=120
        )

    processes = [begin("server", "start", "--port", str(port))]
    try:
        wait_for(lambda: _answers(url), seconds=120)
        run("work-pool", "create", "local", "--type", "process")
        run("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
        processes.append(begin("worker", "start", "--pool", "local"))
        server = Platform(url)
        with server.api:
            yield server
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
