"""Flow runs: their names, how they end, which wait for a person, and the end of those that nobody ends elsewhere."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from conf.settings import settings

if TYPE_CHECKING:
    from prefect import State
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from tasks.errors import TunegateError


# Three beats and more, also where a pool's template does not set them and a run beats every three minutes.
SILENCE = timedelta(minutes=10)
TAKEN = ("PENDING", "RUNNING")  # states of a run that a worker has


def deployed_run() -> str | None:
    """The id of this flow run where a deployment started it, or None."""
    from prefect import runtime

    return None if runtime.deployment.id is None else str(runtime.flow_run.id)


def form_sent_at(run: str) -> datetime:
    """When the server took the form that this run goes on with: at its last resumption, or else at its creation.

    Of a run that starts again it is now: its parameters may be others since.
    """
    with _client() as client:
        resumed = [state.timestamp for state in client.read_flow_run_states(UUID(run)) if state.name == "Resuming"]
        found = client.read_flow_run(UUID(run))
    if resumed:
        return max(resumed)
    return found.created if found.created and found.run_count <= 1 else datetime.now(UTC)


def sent_form(run: str, key: str) -> dict[str, Any] | None:
    """What somebody filled in where this run was suspended under the key, or None where nobody has yet."""
    from prefect.input import keyset_from_base_key

    try:
        with _client() as client:
            sent = client.read_flow_run_input(UUID(run), keyset_from_base_key(f"suspended-{key}")["response"])
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return None
        raise
    return dict(json.loads(sent))


def run_name() -> str:
    """`retrain-demo`, and with overrides `retrain-demo training.seed=7`: two runs of a recipe are told apart."""
    from prefect.runtime import flow_run

    given = flow_run.parameters
    return " ".join((f"{flow_run.flow_name}-{given['recipe']}", *given.get("overrides", ())))


def refusal(error: TunegateError) -> State[None]:
    """The end of a run that was refused: its line is all there is to say, where Prefect would log a traceback first."""
    from prefect.states import Failed

    return Failed(message=str(error))


def mark(run: str, request: str) -> None:
    """Mark a flow run, by a tag, as the one that waits for an answer to a request."""
    with _client() as client:
        tags = client.read_flow_run(UUID(run)).tags
        client.update_flow_run(UUID(run), tags=[*tags, _tag(request)])


def is_marked(run: str, request: str) -> bool:
    """Whether the flow run is marked with the request already."""
    with _client() as client:
        return _tag(request) in client.read_flow_run(UUID(run)).tags


def other_run(run: str, request: str, first: str) -> str | None:
    """Another flow run that waits for an answer to the request, or is at work on it: one form is enough.

    Args:
        first: the run that asked, which may not be marked yet; empty where it was asked at a terminal.
    """
    live = ("PAUSED", "SCHEDULED", "PENDING", "RUNNING")
    with _client() as client:
        found = _runs(client, *live, tags={"all_": [_tag(request)]})
        found += _runs(client, *live, id={"any_": [first]}) if first else []
        return next((str(o.id) for o in found if str(o.id) != run and not _is_silent(client, o)), None)


def end_waiting(request: str, why: str) -> None:
    """Complete every flow run that is suspended over a request that is decided, or was killed at work on it.

    Where no server is up, or it cannot be reached, they wait on; `reconcile` ends them.
    """
    if settings().prefect_api_url is None:
        return
    from prefect.states import Completed

    try:
        with _client() as client:
            for run in _runs(client, "PAUSED", *TAKEN, tags={"all_": [_tag(request)]}):
                if run.state_type == "PAUSED" or _is_silent(client, run):
                    client.set_flow_run_state(run.id, Completed(message=why), force=True)
    except httpx.HTTPError as error:
        logging.getLogger("tunegate").warning("the runs that wait for %s could not be ended: %r", request[:12], error)


def crash_silent(client: SyncPrefectClient) -> list[str]:
    """Crash every run of `promote` and `rollback` whose worker was killed, begun or not; returns their names.

    They carry no tag `heartbeat`, see deployments/automations.yaml, so nobody else notices. What they began ends with
    `reconcile`, or with the next promotion or rollback of that model.
    """
    from prefect.states import Crashed

    killed = [run for run in _runs(client, *TAKEN, flows=("promote", "rollback")) if _is_silent(client, run)]
    for run in killed:
        why = f"Nothing heard of it for {SILENCE.total_seconds() / 60:.0f} minutes; its worker is gone."
        crashed: State[None] = Crashed(message=why)
        client.set_flow_run_state(run.id, crashed, force=True)
    return [run.name for run in killed]


def end_silent() -> None:
    """Crash the silent runs of the server that this process uses, if it uses one."""
    if settings().prefect_api_url is not None:
        with _client() as client:
            crash_silent(client)


def _runs(client: SyncPrefectClient, *states: str, flows: tuple[str, ...] = (), **wanted: object) -> list[FlowRun]:
    """The flow runs in states of these types, of these flows or of all, that fit a filter of Prefect's."""
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter

    return client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"name": {"any_": flows}}) if flows else None,
        flow_run_filter=FlowRunFilter.model_validate({**wanted, "state": {"type": {"any_": states}}}),
    )


def _is_silent(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a worker is said to have the run, and nothing was heard of it since long: no beat, no change of state."""
    from prefect.events.filters import EventFilter

    since = datetime.now(UTC) - SILENCE
    if run.state is None or run.state.type.name not in TAKEN or run.state.timestamp > since:
        return False
    of_it = {"occurred": {"since": since}, "resource": {"id": [f"prefect.flow-run.{run.id}"]}}
    return not client.read_events(EventFilter.model_validate(of_it), limit=1).events


def _tag(request: str) -> str:
    return f"request-{request[:12]}"


def _client() -> SyncPrefectClient:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)
