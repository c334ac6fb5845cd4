"""A person decides, in the Prefect UI; the flow is suspended meanwhile, so that no worker waits with them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Literal

from prefect import State, flow, get_run_logger, suspend_flow_run
from prefect.artifacts import create_markdown_artifact
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field, ValidationError

from conf.load import load_policy
from conf.settings import prepare_environment, settings
from flows.events import end_expired, locks_told, tell_decided, tell_moved, tell_requested
from flows.forms import ModelName
from flows.runs import deployed_run, form_sent_at, is_marked, mark, other_run, refusal, sent_form
from tasks import promote as promotion
from tasks.errors import PromotionRefused, TunegateError
from tasks.ledger import Entry, Promoted

LATE_SECONDS = 24 * 3600  # a form that comes after the request expired is still taken: refused, and recorded


class Decision(RunInput):
    """The form. Nothing has a default: a decision is never made by pressing a button alone."""

    decision: Literal["approve", "reject"]
    approver: str = Field(min_length=1, description="Your name in conf/policies/promotion.yaml.")
    candidate: str = Field(
        min_length=1, description="The first 12 digits of the candidate: above, and in this run's artifact."
    )
    reason: str = Field(min_length=1, description="Why; it stands in the ledger for good.")
    code: str = Field(min_length=1, description="The one-time code of your authenticator app.")


@flow(name="promote", flow_run_name="promote-{model}", persist_result=False)
def promote(model: ModelName) -> Promoted | State[None]:
    """Ask for a promotion, wait for enough people, move the champion.

    A resumed flow starts from the top: each form comes again, and counts once. What does not count is asked again.

    Args:
        model: the registered name, without `-candidates`.

    Returns:
        The move; a completed state where people rejected it, nobody decided in time, or another run has the same
        request, which it names; a failed state where it was refused.
    """
    try:
        return _ask_and_move(model)
    except TunegateError as error:
        return refusal(error)


def _ask_and_move(model: str) -> Promoted | State[None]:
    run, policy, current = deployed_run(), load_policy(), settings()
    prepare_environment(current)
    if run is None:
        raise PromotionRefused(f"{model}: only a deployment can wait for a person; here: tunegate promote {model}")
    end_expired(policy)
    entry = promotion.request(model, policy, current, name=run)
    if not is_marked(run, entry.digest):  # a run that a form has resumed goes on with it, and announces nothing again
        if other := other_run(run, entry.digest, promotion.requested(entry).attempt):
            return Completed(message=f"run {other} has this request already: decide there")
        _announce(entry)
        mark(run, entry.digest)
    stands = _ask_until_decided(entry, run)
    if stands.state in ("rejected", "expired"):  # an end like any other, and no failure of which the team is to hear
        return Completed(message=f"{stands.state}: {stands.why}")
    log = get_run_logger()
    log.info("decided; now the way back is rehearsed and every digest taken anew, which may take minutes on a CPU")
    done = promotion.promote(entry.digest, load_policy, current)
    log.info("%s version %s is champion, instead of %s", done.model, done.version, done.previous or "none")
    tell_moved(done)
    return done


def _announce(entry: Entry) -> None:
    asked, stands = promotion.requested(entry), promotion.where(entry, load_policy(), settings())
    page = promotion.review(entry, stands, settings())
    create_markdown_artifact(page, key=f"request-{asked.model}", description="What the approvers are asked")
    tell_requested(asked, stands)


def _ask_until_decided(entry: Entry, run: str) -> promotion.Standing:
    """Where the request stands, once it waits for nobody."""
    policy, current, why, number = load_policy(), settings(), "", 0
    asked = promotion.requested(entry)
    while (stands := promotion.where(entry, policy, current)).state == "waiting":
        text = (f"**Not counted: {why}**\n\n" if why else "") + promotion.review(entry, stands, current)
        left = (asked.expires_at - datetime.now(UTC)).total_seconds()
        form = _form(text, _key(number), int(left) + LATE_SECONDS)
        why = "resumed without a form" if form is None else _record(entry, form, run, f"{run}/{number}")
        if why:
            get_run_logger().warning("not counted, asked again: %s", why)
        number += 1
    _record_late(entry, run, number)
    return stands


def _key(number: int) -> str:
    return f"decision-{number}"


def _form(text: str, key: str, seconds: int) -> Decision | None:
    """Wait for the form of this key; None where the run was sent past it, by a state that somebody forced."""
    asked = Decision.with_initial_data(description=text)
    try:
        return suspend_flow_run(wait_for_input=asked, key=key, timeout=seconds)
    except ValidationError as error:
        if error.title != asked.__name__:
            raise
        return None


def _record_late(entry: Entry, run: str, first: int) -> None:
    """Record each form that came once nothing waited for it: the request was decided elsewhere, or ended."""
    for number in count(first):
        sent = sent_form(run, _key(number))
        if sent is None:
            return
        why = _record(entry, Decision(**sent), run, f"{run}/{number}")
        if why:
            get_run_logger().warning("not counted: %s", why)


def _record(entry: Entry, form: Decision, run: str, name: str) -> str:
    """Record the form once; why it does not count, or nothing."""
    attempt = promotion.Attempt(
        kind="approved" if form.decision == "approve" else "rejected",
        approver=form.approver,
        candidate=form.candidate,
        reason=form.reason,
        name=name,
    )
    replayed = promotion.is_recorded(name, settings())
    sent_at = None if replayed else form_sent_at(run)
    asked = promotion.requested(entry)
    try:
        with locks_told(asked.model):
            stands = promotion.decide(entry.digest, attempt, load_policy(), settings(), code=form.code, sent_at=sent_at)
    except PromotionRefused as refused:
        return str(refused)
    if not replayed:
        tell_decided(asked, attempt, stands)
    return ""
