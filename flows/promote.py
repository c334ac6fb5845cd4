"""A person decides, in the Prefect UI; the flow is suspended meanwhile, so that no worker waits with them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Literal

from prefect import flow, runtime, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from conf.load import load_policy
from conf.settings import prepare_environment, settings
from tasks import promote as promotion
from tasks.errors import PromotionRefused
from tasks.ledger import Promoted


class Decision(RunInput):
    """The form. Nothing has a default: a decision is never made by pressing a button alone."""

    decision: Literal["approve", "reject"]
    approver: str = Field(min_length=1, description="Your name in conf/policies/promotion.yaml.")
    candidate: str = Field(min_length=1, description="The first 12 digits of the candidate, as shown above.")
    reason: str = Field(min_length=1, description="Why; it stands in the ledger for good.")
    code: str = Field(min_length=1, description="The one-time code of your authenticator app.")


@flow(name="promote", flow_run_name="promote-{model}", persist_result=False)
def promote(model: str) -> Promoted:
    """Ask for a promotion, wait for enough people, move the champion.

    A resumed flow starts from the top: each form comes again, and counts once. What does not count is asked again.

    Args:
        model: the registered name, without `-candidates`.
    """
    current, policy = settings(), load_policy()
    prepare_environment(current)
    if runtime.deployment.id is None:
        raise PromotionRefused(f"{model}: only a deployment can wait for a person; here: tunegate promote {model}")
    entry = promotion.request(model, policy, current, name=str(runtime.flow_run.id))
    why = ""
    for number in count():
        stands = promotion.where(entry, policy, current)
        if stands.state != "waiting":
            break
        text = promotion.review(entry, stands, current) + (f"\n\n**Not counted: {why}**" if why else "")
        left = (promotion.requested(entry).expires_at - datetime.now(UTC)).total_seconds()
        form = suspend_flow_run(
            wait_for_input=Decision.with_initial_data(description=text), key=f"decision-{number}", timeout=int(left)
        )
        why = _record(entry.digest, form, f"{runtime.flow_run.id}/{number}")
    return promotion.promote(entry.digest, policy, current)


def _record(request: str, form: Decision, name: str) -> str:
    """Record the form once; why it does not count, or nothing."""
    attempt = promotion.Attempt(
        kind="approved" if form.decision == "approve" else "rejected",
        approver=form.approver,
        candidate=form.candidate,
        reason=form.reason,
        name=name,
    )
    try:
        promotion.decide(request, attempt, load_policy(), settings(), code=form.code)
    except PromotionRefused as refused:
        return str(refused)
    return ""
