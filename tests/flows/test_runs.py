"""Which runs wait, which are dead and how they end, as a real server of Prefect's sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow, states
from prefect.events import emit_event
from prefect.events.filters import EventFilter
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from flows import platform, runs
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

REQUEST, OTHER = "ab" * 32, "cd" * 32


@flow
def promote() -> None:
    """One of this name."""


@flow
def finetune() -> None:
    """One that the server's automations watch."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()


@pytest.fixture(autouse=True)
def server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)


def run(state: states.State, *marked: str, of: object = promote) -> str:
    """A flow run in a state; marked with these requests."""
    with runs._client() as client:
        found = str(client.create_flow_run(of, state=state).id)
    for request in marked:
        runs.mark(found, request)
    return found


def state(of: str) -> str:
    with runs._client() as client:
        found = client.read_flow_run(UUID(of)).state
    assert found is not None
    return str(found.name)


def silent(monkeypatch: pytest.MonkeyPatch, since: timedelta = timedelta(0)) -> None:
    """Take a run for dead after so long without a sign of life."""
    monkeypatch.setattr(runs, "SILENCE", since)


def test_a_run_that_was_killed_with_its_worker_is_crashed_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    killed, waits, queued = run(states.Running()), run(states.Suspended()), run(states.Scheduled())
    unbegun = run(states.Pending())
    watched, fresh = run(states.Running(), of=finetune), run(states.Running())
    runs.end_silent()
    assert state(fresh) == "Running"  # not ten minutes ago
    silent(monkeypatch)
    runs.end_silent()
    assert (state(killed), state(unbegun)) == ("Crashed", "Crashed")
    assert [state(one) for one in (waits, queued, watched)] == ["Suspended", "Scheduled", "Running"]


def test_an_up_that_finds_the_platform_crashes_what_was_killed_and_says_so(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(monkeypatch)
    killed, waits = run(states.Running()), run(states.Suspended())
    monkeypatch.delenv("PREFECT_API_URL")  # `up` knows the server by its record
    said: list[str] = []
    platform._crash_silent(address, said.append)
    assert (state(killed), state(waits)) == ("Crashed", "Suspended")
    with runs._client() as client:
        assert client.read_flow_run(UUID(killed)).name in said[0]
    assert said[0].startswith("runs that were killed: ")
    platform._crash_silent(address, said.append)
    assert len(said) == 1


def test_a_run_that_beats_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    began = datetime.now(UTC)
    lives, killed = run(states.Running()), run(states.Running())
    time.sleep(4)
    resource = f"prefect.flow-run.{lives}"
    emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": resource})
    beats = EventFilter.model_validate(
        {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [resource]}}
    )

    def heard() -> bool:
        with runs._client() as client:
            return bool(client.read_events(beats, limit=1).events)

    wait_for(heard, seconds=60)
    silent(monkeypatch, datetime.now(UTC) - began - timedelta(seconds=3))  # after both began, and before the beat
    runs.end_silent()
    assert (state(lives), state(killed)) == ("Running", "Crashed")


def test_runs_of_a_request_that_is_decided_are_completed_where_they_wait_or_were_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, works, another = (
        run(states.Suspended(), REQUEST), run(states.Running(), REQUEST), run(states.Suspended(), OTHER)
    )  # fmt: skip
    runs.end_waiting(REQUEST, "rejected by ann")
    assert [state(one) for one in (waits, works, another)] == ["Completed", "Running", "Suspended"]
    silent(monkeypatch)
    runs.end_waiting(REQUEST, "promoted as version 2")
    assert state(works) == "Completed"


@pytest.mark.parametrize("found", [states.Suspended, states.Running, states.Scheduled, states.Pending])
def test_a_second_run_of_a_request_finds_the_first(found: type[states.State]) -> None:
    request = f"{found.__name__:x<64}"
    second = run(states.Running())
    assert runs.other_run(second, request, "") is None
    assert runs.other_run(second, request, second) is None
    first = run(found(), request)
    assert runs.other_run(second, request, "") == first
    asks = run(found())  # and has not marked itself yet
    assert runs.other_run(second, f"{request[:11]}-", asks) == asks


def test_a_run_that_ended_or_was_killed_is_no_reason_not_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    request, second = "ef" * 32, run(states.Running())
    for over in (states.Completed(), states.Crashed(), states.Failed()):
        ended = run(over, request)
        assert runs.other_run(second, request, ended) is None
    killed = run(states.Running(), request)
    assert runs.other_run(second, request, killed) == killed
    run(states.Pending(), request)  # killed before it began
    silent(monkeypatch)
    assert runs.other_run(second, request, killed) is None
