"""`tunegate up` and what runs on it: schedules, one GPU, killed workers, notifications, kill -9 of everything.

Real servers and workers; the tests share one platform and run in order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from conf.settings import BEAT, PROJECT
from tasks.ledger import Ledger, Promoted, Refused, Requested
from tests.flows.place import Place
from tests.flows.platform import Platform, free_port, platform
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.platform]

ENDLESS = ["training.max_steps=1000000", "training.logging_steps=1000"]
NOTICED_SECONDS = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Platform]:
    """Up after an `up` that was killed while its first server was starting."""
    half = Platform(place, free_port(), free_port())
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "up", *half.ports],
        cwd=PROJECT,
        env=place.environment(),
        stdout=subprocess.DEVNULL,
    ) as killed:
        wait_for(lambda: bool(half.processes("prefect")))
        killed.send_signal(signal.SIGKILL)
    assert half.processes("prefect")
    with platform(place) as up:
        left = {process.pid for process in up.processes("prefect")}
        assert not left & {process.pid for process in half.processes() if str(half.ports[1]) in process.cmdline()}
        yield up


class Listener:
    """A webhook of the team's chat: keeps what it is sent."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def has_heard(self, words: str) -> bool:
        return any(words in f"{message['subject']} | {message['body']}" for message in self.heard)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    found = Listener()
    thread = threading.Thread(target=found.http.serve_forever)
    thread.start()
    yield found
    found.http.shutdown()
    thread.join()
    found.http.server_close()


@pytest.fixture(scope="module")
def waiting(server: Platform) -> str:
    """The run that waits for a person over the first candidate."""
    run = server.start("retrain/retrain", recipe="tiny")
    assert server.wait_for_state(run, "Completed", "Failed", "Crashed", seconds=600)["name"] == "Completed"
    return server.wait_for_run("promote", "Suspended")


def test_what_is_up_stays_up_when_it_is_asked_for_again(server: Platform) -> None:
    before = {process.pid for process in server.processes()}
    ours = server.api.get("/work_pools/gpu").json()["base_job_template"]
    bare = {"job_configuration": {"name": "{{ name }}"}, "variables": {"properties": {"name": {"type": "string"}}}}
    made_by_a_worker = {"concurrency_limit": None, "base_job_template": bare}
    server.api.patch("/work_pools/gpu", json=made_by_a_worker).raise_for_status()
    again = server.up()
    assert (again["prefect_ui"], again["mlflow"]) == (server.ui, server.mlflow)
    assert before <= {process.pid for process in server.processes()}
    pool = server.api.get("/work_pools/gpu").json()
    assert pool["concurrency_limit"] == 1
    assert pool["base_job_template"]["variables"]["properties"]["env"]["default"] == BEAT
    server.api.patch("/work_pools/gpu", json={"base_job_template": ours}).raise_for_status()


def test_all_of_it_listens_on_loopback_alone(server: Platform) -> None:
    ours = {process.pid for process in server.processes()}
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert {int(port) for port in server.ports[1::2]} <= {c.laddr.port for c in listening}


def test_down_where_nothing_is_up_says_so(tmp_path: Path) -> None:
    (tmp_path / "platform.json").write_text('{"prefect_ui": "stale"}')
    ended = subprocess.run(
        [sys.executable, "-m", "flows.cli", "down"],
        cwd=PROJECT,
        env={**os.environ, "TUNEGATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (0, "nothing was up\n")
    assert not (tmp_path / "platform.json").exists()


@pytest.mark.parametrize("recipe", ["/etc/passwd", "../other", "tiny.yaml"])
def test_a_recipe_from_outside_the_folder_starts_nothing(server: Platform, recipe: str) -> None:
    before = server.runs("retrain")
    answer = server.try_start("retrain/retrain", recipe=recipe)
    assert answer.status_code == 409
    assert "is not one of ['strict', 'tiny']" in answer.text
    assert server.runs("retrain") == before


def test_a_recipe_from_outside_fails_its_run_where_the_server_did_not_look(server: Platform) -> None:
    deployment = server.deployment("prepare/prepare")["id"]
    server.api.patch(f"/deployments/{deployment}", json={"enforce_parameter_schema": False}).raise_for_status()
    run = server.start("prepare/prepare", recipe="/etc/passwd")
    state = server.wait_for_state(run, "Failed", "Completed", "Crashed")
    server.api.patch(f"/deployments/{deployment}", json={"enforce_parameter_schema": True}).raise_for_status()
    assert state["name"] == "Failed"
    assert "a deployment takes one of strict, tiny" in state["message"]


def test_an_override_that_could_not_be_promoted_fails_its_run_before_a_row_is_read(server: Platform) -> None:
    run = server.start("retrain/retrain", recipe="tiny", overrides=["split.seed=9"])
    state = server.wait_for_state(run, "Failed", "Completed", "Crashed")
    assert state["name"] == "Failed"
    assert "overrides: split of a deployed run must be as conf/recipes says" in state["message"]


def test_a_second_run_of_a_request_ends_and_names_the_first(server: Platform, waiting: str) -> None:
    second = server.start("promote/promote", model="tiny")
    state = server.wait_for_state(second, "Suspended", "Completed", "Failed", "Crashed")
    assert (state["name"], state["message"]) == ("Completed", f"run {waiting} has this request already: decide there")
    assert server.state(waiting)["name"] == "Suspended"


def test_a_request_that_waits_for_a_person_holds_no_process(server: Platform, waiting: str) -> None:
    wait_for(lambda: not [p for p in server.processes() if waiting in p.environ().get("PREFECT__FLOW_RUN_ID", "")])
    assert server.state(waiting)["name"] == "Suspended"
    assert server.api.get("/work_pools/gpu").json()["concurrency_limit"] == 1


def test_a_refused_gate_fails_the_run_and_asks_nobody(server: Platform, waiting: str) -> None:
    run = server.start("retrain/retrain", recipe="strict")
    state = server.wait_for_state(run, "Completed", "Failed", "Crashed")
    assert state["name"] == "Failed"
    assert "perplexity" in state["message"]
    assert server.artifact("review-tiny")["data"].startswith("# Refused: tiny-candidates version 1")
    # the same adapter had passed the other recipe's gate: it challenges no more, and goes on waiting for no one else
    assert server.runs("promote", "Suspended") == [waiting]


def test_the_schedule_of_retrain_fires_with_its_recipe(server: Platform) -> None:
    begun = ("Pending", "Submitting", "Running", "Failed", "Completed", "Crashed")
    before = server.runs("retrain", *begun)
    deployment = server.deployment("retrain/retrain")
    (schedule,) = deployment["schedules"]
    assert schedule["active"] is False
    address = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    server.api.patch(address, json={"active": True, "schedule": {"interval": 20}}).raise_for_status()
    wait_for(lambda: len(server.runs("retrain", *begun)) > len(before))
    server.api.patch(address, json={"active": False}).raise_for_status()
    run = server.runs("retrain", *begun)[0]
    found = server.api.get(f"/flow_runs/{run}").json()
    assert found["auto_scheduled"] is True
    assert found["parameters"] == {"recipe": "strict"}  # the first there is: there is no demo
    state = server.wait_for_state(run, "Failed", "Completed", "Crashed", seconds=600)
    assert state["name"] == "Failed"
    assert "perplexity" in state["message"]  # the gate that nothing passes: it came to the end of the recipe
    wait_for(lambda: not server.runs("retrain", *begun[:3]))  # a second one may have begun


def test_a_schedule_fires_and_is_still_on_after_the_next_up(server: Platform) -> None:
    deployment = server.deployment("reconcile/reconcile")
    (schedule,) = deployment["schedules"]
    assert schedule["active"] is False
    address = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    server.api.patch(address, json={"active": True, "schedule": {"interval": 15}}).raise_for_status()
    run = server.wait_for_run("reconcile", "Completed")
    assert server.api.get(f"/flow_runs/{run}").json()["auto_scheduled"] is True
    server.up()
    (after,) = server.deployment("reconcile/reconcile")["schedules"]
    assert after["active"] is True
    server.api.patch(address, json={"active": False}).raise_for_status()
    assert "chain whole" in server.artifact("reconcile")["data"]


def test_one_gpu_trains_one_run_and_a_killed_worker_frees_it(server: Platform, waiting: str) -> None:
    first = server.start("finetune/finetune", recipe="tiny", overrides=ENDLESS)
    server.wait_for_state(first, "Running")
    second = server.start("finetune/finetune", recipe="tiny")
    wait_for(lambda: bool(trainers(server)))
    time.sleep(6)  # three looks of the worker at its queue
    assert server.state(second)["type"] in {"SCHEDULED", "PENDING"}
    assert server.state(second)["name"] != "Running"
    for process in server.processes("worker-gpu"):
        process.kill()
    killed = time.monotonic()
    server.wait_for_state(first, "Crashed", seconds=NOTICED_SECONDS)
    print(f"noticed after {time.monotonic() - killed:.0f} s")  # noqa: T201
    assert "its worker is gone" in server.state(first)["message"]
    server.up()  # starts the worker again, and nothing else
    assert server.wait_for_state(second, "Completed", "Failed", "Crashed")["name"] == "Completed"
    assert server.state(waiting)["name"] == "Suspended"


def test_a_worker_that_is_killed_before_its_run_begins_frees_the_gpu(server: Platform) -> None:
    first = server.start("finetune/finetune", recipe="tiny", overrides=ENDLESS)
    wait_for(lambda: server.state(first)["type"] != "SCHEDULED")
    while killed := server.processes("worker-gpu"):  # again, for a run that it has just started
        for process in killed:
            process.kill()
    end = time.monotonic() + NOTICED_SECONDS
    second = server.start("finetune/finetune", recipe="tiny")
    server.up()  # the worker again, with its pool's only place still taken
    assert (server.state(first)["type"], server.state(second)["type"]) == ("PENDING", "SCHEDULED")
    server.wait_for_state(first, "Crashed", seconds=end - time.monotonic())
    print(f"noticed after {NOTICED_SECONDS - end + time.monotonic():.0f} s")  # noqa: T201
    assert "Not begun" in server.state(first)["message"]
    assert server.wait_for_state(second, "Completed", "Failed", "Crashed")["name"] == "Completed"


def trainers(server: Platform) -> list[psutil.Process]:
    return [process for process in server.processes("worker-gpu") if "tasks.train.worker" in process.cmdline()]


NO_SUCH_MODEL = {"model": "unheard-of", "approver": "first-approver", "reason": "wrong answers", "code": "000000"}


def start_refused_rollback(server: Platform) -> str:
    wait_for(lambda: not server.forks(), seconds=30)  # that of the test before, which may still send its log
    return server.start("rollback/rollback", **NO_SUCH_MODEL)


def test_a_refused_rollback_is_a_fork_that_ends_with_its_reason_and_without_a_traceback(server: Platform) -> None:
    run = start_refused_rollback(server)
    wait_for(lambda: bool(server.forks()), seconds=60)
    state = server.wait_for_state(run, "Failed", "Completed", "Crashed")
    assert (state["name"], state["message"]) == ("Failed", "unheard-of: there is no previous champion to go back to")
    wait_for(lambda: "Finished in state Failed" in "".join(server.log(run)[-1:]), seconds=30)  # sent after the state
    assert not [line for line in server.log(run) if "Traceback" in line or "exception" in line]


def test_a_fork_that_is_killed_is_noticed_at_once(server: Platform) -> None:
    run = start_refused_rollback(server)
    wait_for(lambda: bool(server.forks()), seconds=60)
    for fork in server.forks():
        fork.kill()
    assert server.wait_for_state(run, "Failed", "Completed", "Crashed", seconds=30)["name"] == "Crashed"


def test_code_that_changed_since_the_worker_imported_it_is_not_forked(server: Platform) -> None:
    module, forks = PROJECT / "flows" / "__init__.py", []
    before = module.stat()
    os.utime(module)
    try:
        run = start_refused_rollback(server)
        while (state := server.state(run)["name"]) not in ("Failed", "Completed", "Crashed"):
            forks += server.forks()
    finally:
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (state, forks) == ("Failed", [])


def test_a_run_that_down_stops_goes_on_after_the_next_up(server: Platform) -> None:
    overrides = ["training.max_steps=400", "training.seed=3"]
    run = server.start("retrain/retrain", recipe="tiny", overrides=overrides)
    wait_for(lambda: bool(trainers(server)), seconds=120)
    (child,) = server.runs("finetune", "Running")
    names = [server.api.get(f"/flow_runs/{found}").json()["name"] for found in (run, child)]
    assert names == [f"{flow}-tiny training.max_steps=400 training.seed=3" for flow in ("retrain", "finetune")]
    server.down()
    assert server.processes() == []
    server.up()
    assert server.wait_for_state(run, "Completed", "Failed", "Crashed", seconds=600)["name"] == "Completed"
    assert server.state(child)["name"] == "Completed"
    assert server.runs("finetune", "Running", "Pending", "Scheduled") == []


def test_the_team_is_told_of_requests_decisions_and_failures(
    server: Platform, place: Place, listener: Listener, waiting: str
) -> None:
    sent = {"subject": "{{subject}}", "body": "{{body}}"}
    script = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block;"
        f"Block(name='approvals', url='{listener.url}', json_data={sent}).save('approvals')"
    )
    environment = place.environment(PREFECT_API_URL=f"{server.ui}/api", PREFECT_HOME=str(place.home / "prefect"))
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
    server.up(TUNEGATE_NOTIFY="custom-webhook/approvals")
    place.command("enroll", "first-approver")
    server.start("retrain/retrain", recipe="tiny", overrides=["training.seed=11"])
    wait_for(lambda: listener.has_heard("tunegate: tiny asks for approval"))
    asked = json.loads(place.command("promote", "tiny", "--json").stdout)
    newest = asked["event"]["attempt"]
    server.wait_for_state(newest, "Suspended")
    reject = ("reject", asked["request"][:12], "--as", "first-approver", "--reason", "no better")
    done = place.command(
        *reject, "--candidate", asked["event"]["digests"]["adapter"][:12], typed=f"{place.code('first-approver')}\n"
    )
    assert done.returncode == 0, done.stderr
    wait_for(lambda: listener.has_heard("tiny: rejected by first-approver"), seconds=60)
    assert server.wait_for_state(newest, "Completed")["message"] == "rejected: rejected by first-approver"
    server.start("retrain/retrain", recipe="strict")
    wait_for(lambda: listener.has_heard("ended as Failed"))
    late = {**asked["event"], "expires_at": "2026-01-01T00:00:00Z", "attempt": "late"}
    Ledger(place.home / "ledger.jsonl").append(Requested.model_validate_json(json.dumps(late)))
    server.start("reconcile/reconcile")
    wait_for(lambda: listener.has_heard("the request for tiny expired"))


@pytest.fixture(scope="module")
def asking(server: Platform, place: Place) -> str:
    """A run that waits for a person over a candidate of its own."""
    before = server.runs("promote")
    place.command("enroll", "first-approver")
    server.start("retrain/retrain", recipe="tiny", overrides=["training.seed=5"])
    wait_for(lambda: bool(set(server.runs("promote", "Suspended")) - set(before)), seconds=600)
    (run,) = set(server.runs("promote", "Suspended")) - set(before)
    return run


def forge_resumption(server: Platform, run: str) -> dict[str, Any]:
    """Send a suspended run on by force, past its form; returns the state that it comes to."""
    before = server.state(run)
    assert before["name"] == "Suspended"
    forged = {"state": {"type": "SCHEDULED", "name": "Resuming"}, "force": True}
    server.api.post(f"/flow_runs/{run}/set_state", json=forged).raise_for_status()
    wait_for(lambda: server.state(run)["id"] != before["id"], seconds=30)
    return server.wait_for_state(run, "Suspended", "Completed", "Failed", "Crashed")


def test_a_forged_resumption_without_a_form_promotes_nothing_and_asks_again(
    server: Platform, place: Place, asking: str
) -> None:
    state = forge_resumption(server, asking)
    assert (state["name"], state["state_details"]["pause_key"]) == ("Suspended", "decision-1")
    wait_for(lambda: "not counted, asked again: resumed without a form" in server.log(asking), seconds=30)
    promoted_nothing(place)


def test_a_forged_resumption_with_a_form_written_by_hand_is_judged_as_any_form(
    server: Platform, place: Place, asking: str
) -> None:
    asked = json.loads(place.command("promote", "tiny", "--json").stdout)
    assert asked["event"]["attempt"] == asking
    form = {
        "decision": "approve",
        "approver": "first-approver",
        "candidate": asked["event"]["digests"]["adapter"][:12],
        "reason": "approved, honestly",
        "code": "000000",
    }
    number = int(server.state(asking)["state_details"]["pause_key"].removeprefix("decision-"))
    by_hand = {"key": f"suspended-decision-{number}-response", "value": json.dumps(form)}
    server.api.post(f"/flow_runs/{asking}/input", json=by_hand).raise_for_status()
    state = forge_resumption(server, asking)
    assert (state["name"], state["state_details"]["pause_key"]) == ("Suspended", f"decision-{number + 1}")
    wait_for(lambda: any("wrong code" in line for line in server.log(asking)), seconds=30)
    events = [entry.event for entry in Ledger(place.home / "ledger.jsonl").entries()]
    (refused,) = [e for e in events if isinstance(e, Refused) and e.attempt == f"{asking}/{number}"]
    assert (refused.claimed, refused.why) == ("first-approver", "wrong code or key")
    promoted_nothing(place)


def test_a_request_outlives_kill_9_of_everything_and_is_approved_after_the_next_up(
    server: Platform, place: Place, asking: str
) -> None:
    asked = json.loads(place.command("promote", "tiny", "--json").stdout)
    assert asked["event"]["attempt"] == asking
    before = server.state(asking)
    while alive := server.processes():  # again, for what was just being started
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)
    with pytest.raises(httpx.TransportError):
        server.api.get("/health")
    server.up()
    assert (server.state(asking)["name"], server.state(asking)["id"]) == ("Suspended", before["id"])
    form = {"approver": "first-approver", "candidate": asked["event"]["digests"]["adapter"][:12]}
    sent = server.resume(
        asking, **form, decision="approve", reason="read the review", code=place.code("first-approver")
    )
    assert sent["status"] == "ACCEPT"
    assert server.wait_for_state(asking, "Completed", "Failed", "Crashed", "Suspended")["name"] == "Completed"
    assert place.alias("champion") == "1"
    assert place.command("verify").returncode == 0
    entries = Ledger(place.home / "ledger.jsonl").entries()
    assert [e.event.request for e in entries if isinstance(e.event, Promoted)] == [asked["request"]]


def promoted_nothing(place: Place) -> None:
    assert place.alias("champion") is None
    assert '"kind": "promoted"' not in (place.home / "ledger.jsonl").read_text()
