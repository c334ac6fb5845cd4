"""Flow runs: their names, how they end, which wait for a person, and their end when the answer came elsewhere."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from conf.settings import settings

if TYPE_CHECKING:
    from prefect import State
    from prefect.client.orchestration import SyncPrefectClient

    from tasks.errors import TunegateError


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


def others_wait(run: str, request: str) -> bool:
    """Whether another flow run is suspended over the request: one form is enough."""
    with _client() as client:
        return any(str(other) != run for other in _waiting(client, request))


def end_waiting(request: str, why: str) -> None:
    """Complete every flow run that is suspended over a request that is decided.

    Where no server is up, or it cannot be reached, they wait on; `reconcile` ends them.
    """
    if settings().prefect_api_url is None:
        return
    from prefect.states import Completed

    try:
        with _client() as client:
            for run in _waiting(client, request):
                client.set_flow_run_state(run, Completed(message=why), force=True)
    except httpx.HTTPError as error:
        logging.getLogger("tunegate").warning("the runs that wait for %s could not be ended: %r", request[:12], error)


def _waiting(client: SyncPrefectClient, request: str) -> list[UUID]:
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = {"state": {"type": {"any_": ["PAUSED"]}}, "tags": {"all_": [_tag(request)]}}
    return [run.id for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))]


def _tag(request: str) -> str:
    return f"request-{request[:12]}"


def _client() -> SyncPrefectClient:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)
