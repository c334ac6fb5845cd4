"""`tunegate up` and `down` for tests: real servers and workers on free ports, and the API as a browser uses it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil

from tests.flows.place import Place
from tests.waiting import wait_for

SECONDS = 420  # beside other tests on two cores; alone they take a tenth


class Patient(httpx.Client):
    """Asks again where SQLite was busy for too long, as Prefect's own client does."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        end = time.monotonic() + 30
        while (answer := super().send(request, **options)).status_code == 503 and time.monotonic() < end:
            time.sleep(1)
        return answer


class Platform:
    """The Prefect server of a place, its ports and its processes."""

    def __init__(self, place: Place, prefect_port: int, mlflow_port: int) -> None:
        self.place = place
        self.ports = ("--prefect-port", str(prefect_port), "--mlflow-port", str(mlflow_port))
        self.ui, self.mlflow = f"http://127.0.0.1:{prefect_port}", f"http://127.0.0.1:{mlflow_port}"
        self.api = Patient(base_url=f"{self.ui}/api", timeout=30)

    def up(self, **more: str) -> dict[str, Any]:
        """`tunegate up`; must succeed."""
        done = self.place.command("up", *self.ports, "--json", **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def down(self) -> str:
        """`tunegate down`; must succeed."""
        done = self.place.command("down")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self, part: str = "") -> list[psutil.Process]:
        """The processes that carry this platform's mark, of one part or all."""
        found = []
        for process in psutil.process_iter():
            try:
                variables = process.environ()
            except (psutil.Error, OSError):
                continue
            ours = variables.get("TUNEGATE_PLATFORM") == str(self.place.home)
            if ours and variables.get("TUNEGATE_PART", "").startswith(part):
                found.append(process)
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment, `flow/name`."""
        return dict(self.api.get(f"/deployments/name/{name}").raise_for_status().json())

    def try_start(self, deployment: str, **parameters: Any) -> httpx.Response:
        """Ask for a run of a deployment; the server may say no."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.api.post(f"/deployments/{self.deployment(deployment)['id']}/create_flow_run", json=body)

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; returns its id."""
        return str(self.try_start(deployment, **parameters).raise_for_status().json()["id"])

    def runs(self, flow: str, *states: str) -> list[str]:
        """Ids of the runs of a flow in these states, newest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"}
        found = self.api.post("/flow_runs/filter", json=body).raise_for_status().json()
        return [run["id"] for run in found if not states or run["state"]["name"] in states]

    def state(self, run: str) -> dict[str, Any]:
        """Type, name, message and details of a run's state."""
        return dict(self.api.get(f"/flow_runs/{run}").raise_for_status().json()["state"])

    def wait_for_state(self, run: str, *names: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Wait until a run is in one of these states."""
        wait_for(lambda: self.state(run)["name"] in names, seconds=seconds)
        return self.state(run)

    def wait_for_run(self, flow: str, state: str) -> str:
        """Wait until there is a run of a flow in this state; returns the newest."""
        wait_for(lambda: bool(self.runs(flow, state)), seconds=SECONDS)
        return self.runs(flow, state)[0]

    def log(self, run: str) -> list[str]:
        """What a run has logged."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return [line["message"] for line in self.api.post("/logs/filter", json=body).raise_for_status().json()]

    def forks(self) -> list[psutil.Process]:
        """The runs at work that are forks of the process that the worker keeps ready."""
        with contextlib.suppress(psutil.Error):  # one has just ended
            kept = [p for p in self.processes("worker-cpu") if any("forkserver" in word for word in p.cmdline())]
            return [child for process in kept for child in process.children()]
        return []

    def artifact(self, key: str) -> dict[str, Any]:
        """The newest artifact of a key."""
        body = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
        return dict(self.api.post("/artifacts/filter", json=body).raise_for_status().json()[0])

    def resume(self, run: str, **form: str) -> dict[str, Any]:
        """Send the form; returns the server's answer, which says whether it took it.

        Sent again where its SQLite was busy (503), as Prefect's own client does.
        """
        answers: list[httpx.Response] = []

        def taken() -> bool:
            answers.append(self.api.post(f"/flow_runs/{run}/resume", json={"run_input": form}))
            return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

        wait_for(taken, seconds=30)
        return dict(answers[-1].raise_for_status().json())


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def platform(place: Place) -> Iterator[Platform]:
    """The platform of a place, up within the block and gone after it."""
    server = Platform(place, free_port(), free_port())
    try:
        server.up()
        with server.api:
            yield server
    finally:
        server.down()
    assert server.processes() == []
