"""What the platform is told, as Prefect events: a candidate, a request, a decision. Automations and triggers listen.

Holds names, digests and reasons, never a text of a row. Where no server is up, nobody is told, and nothing fails.
"""

from __future__ import annotations

from typing import Literal

from conf.settings import settings

Kind = Literal[
    "candidate.registered",
    "approval.requested",
    "approval.decided",
    "approval.expired",
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
