"""Whether a move of the champion had the decisions that it took, by what stood in the ledger before it. Pure.

Who may approve, and how many of them it takes, is what the policy says today. Where it was edited since the request,
that is not judged; what stands in the ledger must hold all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conf.policy import Policy
from tasks.errors import PromotionRefused
from tasks.ledger import Decided, Entry, Moving, Promoted, Requested
from tasks.promote.decision import find_request, missing_approvals, standing

EDITED = "the policy was edited since: how many it took, and of whom, is not judged"


def earned(
    entries: Sequence[Entry], move: Promoted, number: int, policy: Policy, proven: Callable[[Decided], bool]
) -> tuple[bool, str]:
    """Whether the promotion that is entry `number` was decided on as it should, and one line on it.

    Args:
        proven: whether a decision's proof holds.
    """
    before = entries[:number]
    try:
        request, asked = find_request(before, move.request)
    except PromotionRefused:
        return False, "nobody had asked for it"
    moving = [e for e in before if isinstance(e.event, Moving) and e.event.request == move.request]
    began = moving[-1] if moving else None  # one that was written by hand before does not count, see `standing`
    if asked.model != move.model or began is None:
        return False, "it was asked for another model" if began else "its move never began"
    decisions = _decisions(before[request.number : began.number], asked, move.request)
    stands = standing(before, request.digest, policy, began.at)
    owners = {policy.person_of(login) for login in asked.requested_by}
    approvals = tuple(dict.fromkeys(decision.approver for decision in decisions))
    edited = policy.digest() != asked.policy
    missing = "" if edited else missing_approvals(policy, asked, approvals)
    against = (
        (began.at > asked.expires_at, "the request had expired"),
        (not approvals, "nobody had approved it"),
        (stands.state in ("rejected", "expired", "promoted"), f"it was {stands.state}: {stands.why}"),
        (not all(proven(decision) for decision in decisions), "a decision on it is not proven"),
        (not owners.isdisjoint(approvals), "somebody whose run it was approved it"),
        (bool(missing), missing),
    )
    held = f"approved by {', '.join(approvals)}{f'; {EDITED}' if edited else ''}"
    return next(((False, why) for holds, why in against if holds), (True, held))


def _decisions(entries: Sequence[Entry], asked: Requested, request: str) -> list[Decided]:
    """What was decided for it, as it was asked: to override gates is another decision than to approve."""
    kind = "overridden" if asked.overrides else "approved"
    events = [entry.event for entry in entries]
    return [e for e in events if isinstance(e, Decided) and e.request == request and e.kind == kind]
