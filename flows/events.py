"""What the platform is told, as Prefect events: a candidate, a request, a decision. Automations and triggers listen.

Holds names, digests and reasons, never a text of a row. Where no server is up, nobody is told, and nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from conf.settings import settings
from tasks.errors import ApproverLocked

if TYPE_CHECKING:
    from conf.policy import Policy
    from tasks.ledger import Promoted, Requested, RolledBack
    from tasks.promote.decision import Attempt, Standing

Kind = Literal[
    "candidate.registered",
    "approval.requested",
    "approval.decided",
    "approval.expired",
    "approval.refused",
    "champion.moved",
    "champion.rolled-back",
]


def tell(kind: Kind, model: str, message: str) -> None:
    """Emit `tunegate.KIND` about a model."""
    if settings().prefect_api_url is None:
        return
    from prefect.events import emit_event

    emit_event(
        f"tunegate.{kind}",
        resource={"prefect.resource.id": f"tunegate.model.{model}", "prefect.resource.name": model},
        payload={"model": model, "message": message},
    )


def tell_requested(asked: Requested, stands: Standing) -> None:
    """People are asked about a candidate."""
    tell("approval.requested", asked.model, f"{asked.candidates} version {asked.version}: {stands.why}")


def end_expired(policy: Policy) -> None:
    """Write into the ledger which requests ended with nobody's decision, and tell."""
    from tasks.promote import expire

    for asked, why in expire(policy, settings()):
        tell("approval.expired", asked.model, f"{asked.candidates} version {asked.version}: {why}")


def tell_decided(asked: Requested, attempt: Attempt, stands: Standing) -> None:
    """Somebody's decision counts."""
    said = f"{attempt.kind} by {attempt.approver}; {stands.state}: {stands.why}"
    tell("approval.decided", asked.model, f"{asked.model}: {said}")


@contextmanager
def locks_told(model: str) -> Iterator[None]:
    """What is tried within may lock an approver, and then people are told: somebody may be guessing codes."""
    try:
        yield
    except ApproverLocked as locked:
        tell("approval.refused", model, f"{model}: {locked}")
        raise


def tell_moved(done: Promoted) -> None:
    """A model has a new champion."""
    tell("champion.moved", done.model, f"{done.model} version {done.version} is the champion")


def tell_rolled_back(done: RolledBack) -> None:
    """A model has its previous champion again."""
    message = f"{done.model} version {done.version} is the champion again, by {done.approver}"
    tell("champion.rolled-back", done.model, message)
