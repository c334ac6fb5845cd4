"""Whether a decision counts, and what the decisions on a request add up to. Pure: no clock, no registry, no file.

requested ─► approved … (N different people) ─► promoted
    │
    └─► rejected (by one) · expired (in time, or since the policy or the candidate changed)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from conf.policy import NAME, Approver, Policy, Rule
from tasks.errors import PromotionRefused
from tasks.ledger import Decided, Entry, Expired, Moving, Promoted, Proof, Refused, Requested, RolledBack

NOT_PROVEN = "wrong code or key"
REPLAYED = "this code was used already"
NOT_LISTED = "not an approver of this model"
GUESSES = 5  # so many wrong codes without a good one lock a name, so many more lock it for twice as long
LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(days=1)  # whoever guesses keeps out whom they guess for
SHOWN = 12  # hex digits of a digest that a person reads and types

State = Literal["waiting", "approved", "rejected", "expired", "promoted"]


@dataclass(frozen=True)
class Standing:
    """Where a request stands: the people who approved it, one line on why it is there, and whether its move began."""

    state: State
    approvals: tuple[str, ...]
    why: str
    moving: bool


@dataclass(frozen=True)
class Attempt:
    """What a person sent: who they say they are, what they decide on which candidate, and why.

    `name` is that of the form it came by: a flow that starts from the top again brings the same form again.
    """

    kind: Literal["approved", "rejected"]
    approver: str
    candidate: str
    reason: str
    name: str = ""


@dataclass(frozen=True)
class Rollback:
    """What a person orders: that `version` is the model's champion again instead of `previous`, and why."""

    model: str
    version: str
    previous: str
    approver: str
    reason: str

    @property
    def move(self) -> str:
        """What it does, as it is signed."""
        return move_of(self.model, self.previous, self.version)


def find_request(entries: Sequence[Entry], name: str) -> tuple[Entry, Requested]:
    """The request whose digest begins with `name`, of at least six hex digits.

    Raises:
        PromotionRefused: there is none, or more than one.
    """
    found = [(entry, entry.event) for entry in entries if isinstance(entry.event, Requested)]
    matching = [(e, r) for e, r in found if re.fullmatch("[0-9a-f]{6,64}", name) and e.digest.startswith(name)]
    if len(matching) != 1:
        raise PromotionRefused(
            f"{name[:64]}: {'no' if not matching else 'more than one'} such request; see tunegate status"
        )
    return matching[0]


def standing(entries: Sequence[Entry], request: str, policy: Policy, now: datetime) -> Standing:
    """Where the request of this digest stands at this time under this policy.

    Raises:
        PromotionRefused: there is no such request.
    """
    found, asked = find_request(entries, request)
    events = [entry.event for entry in entries]
    approvals = _approvals(events, request)
    moving = _began(entries, request, asked, policy)
    overtaken = _overtaken(events[found.number + 1 :], asked.model)
    state, why = _settled(events, request) or overtaken or _open(asked, approvals, policy, now, moving=moving)
    return Standing(state, approvals, why, moving)


def _approvals(events: Sequence[object], request: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.approver for e in _decisions(events, request) if e.kind != "rejected"))


def _began(entries: Sequence[Entry], request: str, asked: Requested, policy: Policy) -> bool:
    """Whether its move began, at a time when it could: a line `Moving` that somebody wrote by hand begins none.

    Where the policy was edited since, what it said then is not judged.
    """
    edited = policy.digest() != asked.policy
    for number, entry in enumerate(entries):
        if isinstance(entry.event, Moving) and entry.event.request == request and entry.at <= asked.expires_at:
            approvals = _approvals([before.event for before in entries[:number]], request)
            allowed = not missing_approvals(policy, asked, approvals) and not policy.quiet(asked.model, entry.at)
            if approvals and (edited or allowed):
                return True
    return False


def _overtaken(later: Sequence[object], model: str) -> tuple[State, str] | None:
    """Void once the champion is another than when it was asked for: nobody decided on that."""
    moved = any(isinstance(e, Promoted | RolledBack) and e.model == model for e in later)
    return ("expired", "the champion changed since; request it anew") if moved else None


def _settled(events: Sequence[object], request: str) -> tuple[State, str] | None:
    """What the ledger says for good, whatever the clock and the policy say now."""
    if any(isinstance(e, Promoted) and e.request == request for e in events):
        return "promoted", "promoted"
    rejected = next((e for e in _decisions(events, request) if e.kind == "rejected"), None)
    if rejected is not None:
        return "rejected", f"rejected by {rejected.approver}"
    ended = next((e for e in events if isinstance(e, Expired) and e.request == request), None)
    return None if ended is None else ("expired", ended.why)


def _open(
    asked: Requested, approvals: Sequence[str], policy: Policy, now: datetime, *, moving: bool
) -> tuple[State, str]:
    """A move that began is ended whatever the clock says; it too takes enough approvals of people who may approve."""
    if policy.digest() != asked.policy and not moving:
        return "expired", "the policy changed since; request it anew"
    if now > asked.expires_at and not moving:
        return "expired", f"nobody decided before {asked.expires_at:%Y-%m-%d %H:%M} UTC"
    missing = missing_approvals(policy, asked, approvals)
    return ("waiting", missing) if missing else ("approved", "approved")


def rule_of(policy: Policy, model: str) -> Rule:
    """The rule that holds for a model.

    Raises:
        PromotionRefused: there is none, so nobody may.
    """
    rule = policy.rule_for(model)
    if rule is None:
        raise PromotionRefused(f"{model}: no rule of the policy fits this model; nobody may promote it")
    return rule


def deciders(policy: Policy, model: str, overrides: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Who may decide, and how many of them it takes; to override gates, those whom the policy names for each of them.

    Raises:
        PromotionRefused: no rule fits, or a gate may not be overridden.
    """
    rule = rule_of(policy, model)
    approvers, needed = rule.approvers, rule.needed
    for metric in overrides:
        allowed = next((override for override in rule.overrides if metric in override.metrics), None)
        if allowed is None:
            raise PromotionRefused(f"{model}: the policy lets nobody override a gate on {metric}")
        approvers = tuple(name for name in approvers if name in allowed.approvers)
        needed = max(needed, allowed.needed)
    return approvers, needed


def kind_of(attempt: Attempt, asked: Requested) -> Literal["approved", "overridden", "rejected"]:
    """What the attempt would be in the ledger: to approve what gates refused is to override them."""
    return "overridden" if asked.overrides and attempt.kind == "approved" else attempt.kind


def judged(
    entries: Sequence[Entry],
    request: str,
    attempt: Attempt,
    policy: Policy,
    now: datetime,
    prove: Callable[[Approver], Proof | None],
    *,
    by_code: bool,
) -> Decided | Refused:
    """The attempt as an entry: a decision, or a refusal with its reason.

    Args:
        prove: the proof, verified, or None where it does not hold. Not asked for a name whose codes are locked.
        by_code: whether it comes with a one-time code: nobody guesses a signature, so keys are never locked.
    """
    locked = against_guesses(entries, attempt.approver, now) if by_code else ""
    proof = None if locked else _proof(attempt.approver, policy, prove)
    why = _against(entries, request, attempt, policy, now)
    why = why or locked or _against_proof(entries, attempt.approver, proof)
    if proof is not None and not why:
        return Decided(
            kind=kind_of(attempt, find_request(entries, request)[1]),
            request=request,
            approver=attempt.approver,
            reason=attempt.reason.strip(),
            proof=proof,
            attempt=attempt.name,
        )
    # a good code under an attempt that fails is used up all the same: others may have seen it
    step = proof.step if proof else None
    return Refused(request=request, claimed=safe(attempt.approver), why=why, attempt=attempt.name, step=step)


def judged_rollback(
    entries: Sequence[Entry],
    order: Rollback,
    policy: Policy,
    now: datetime,
    prove: Callable[[Approver], Proof | None],
    *,
    by_code: bool,
) -> RolledBack | Refused:
    """The order as an entry: a rollback, or a refusal with its reason; `prove` and `by_code` as in `judged`.

    Raises:
        PromotionRefused: no rule fits.
    """
    locked = against_guesses(entries, order.approver, now) if by_code else ""
    proof = None if locked else _proof(order.approver, policy, prove)
    reasons = (
        (order.approver not in rule_of(policy, order.model).approvers, NOT_LISTED),
        (not order.reason.strip(), "a rollback needs a reason"),
        (bool(locked), locked),
    )
    why = next((why for holds, why in reasons if holds), "")
    why = why or _against_proof(entries, order.approver, proof)
    if proof is not None and not why:
        return RolledBack(
            model=order.model,
            version=order.version,
            previous=order.previous,
            approver=order.approver,
            reason=order.reason.strip(),
            proof=proof,
        )
    step = proof.step if proof else None
    return Refused(request=order.move, claimed=safe(order.approver), why=why, step=step)


def move_of(model: str, champion: str, previous: str) -> str:
    """What a rollback does, as it is signed."""
    return f"{model}/{champion}->{previous}"


def _proof(name: str, policy: Policy, prove: Callable[[Approver], Proof | None]) -> Proof | None:
    """The proof of whoever claims this name; not asked for one that the policy does not know."""
    approver = policy.approver(name)
    return prove(approver) if approver else None


def _against_proof(entries: Sequence[Entry], name: str, proof: Proof | None) -> str:
    return NOT_PROVEN if proof is None else against_replay(entries, name, proof)


def recorded(entries: Sequence[Entry], name: str) -> Decided | Refused | None:
    """What became of the form of this name, or None where it was never brought."""
    events = [entry.event for entry in entries]
    return next((e for e in events if isinstance(e, Decided | Refused) and e.attempt == name), None)


def safe(name: str) -> str:
    """The name that was claimed, if it can be one; a ledger holds nothing else that somebody typed."""
    return name if re.fullmatch(NAME, name) and len(name) <= 64 else "?"


def against_guesses(entries: Sequence[Entry], name: str, now: datetime) -> str:
    """Why no code counts under this name for now, in one line; empty where one would."""
    wrong = wrong_codes(entries, name)
    series = len(wrong) // GUESSES
    if not series:
        return ""
    lock = min(LOCK * 2 ** min(series - 1, 10), LONGEST_LOCK)
    left = wrong[series * GUESSES - 1] + lock - now
    minutes = math.ceil(left / timedelta(minutes=1))
    return f"too many wrong codes; wait {minutes} minutes, or sign with a key" if minutes > 0 else ""


def wrong_codes(entries: Sequence[Entry], name: str) -> list[datetime]:
    """When wrong codes came under this name since the last good one."""
    wrong: list[datetime] = []
    for entry in entries:
        event = entry.event
        if isinstance(event, Decided | RolledBack) and event.approver == name and event.proof.step is not None:
            wrong = []
        if isinstance(event, Refused) and event.claimed == name:
            if event.step is not None and event.why != REPLAYED:  # whoever saw it typed may send that again
                wrong = []
            elif event.why == NOT_PROVEN:
                wrong.append(entry.at)
    return wrong


def _against(entries: Sequence[Entry], request: str, attempt: Attempt, policy: Policy, now: datetime) -> str:
    """Why this attempt cannot count, whatever its proof; empty where nothing speaks against it."""
    _, asked = find_request(entries, request)
    stands = standing(entries, request, policy, now)
    approvers, _, nobody = _deciders(policy, asked)
    decided = {e.approver for e in _decisions([entry.event for entry in entries], request)}
    owners = {policy.person_of(login) for login in asked.requested_by}
    reasons = (
        (stands.state not in ("waiting", "approved"), f"the request is {stands.state}: {stands.why}"),
        (stands.moving, "its move has begun"),
        (bool(nobody), nobody),
        (attempt.approver not in approvers, NOT_LISTED),
        (attempt.approver in owners, "nobody decides on their own run"),
        (attempt.approver in decided, "has decided already"),
        (not attempt.reason.strip(), "a decision needs a reason"),
        (attempt.candidate != asked.digests.adapter[:SHOWN], "the digest is not that of the candidate"),
    )
    return next((why for holds, why in reasons if holds), "")


def against_replay(entries: Sequence[Entry], approver: str, proof: Proof) -> str:
    """A code counts once, and none from before the last one."""
    used = [
        e.event.proof.step
        for e in entries
        if isinstance(e.event, Decided | RolledBack) and e.event.approver == approver
    ]
    used += [e.event.step for e in entries if isinstance(e.event, Refused) and e.event.claimed == approver]
    last = max((step for step in used if step is not None), default=None)
    return REPLAYED if proof.step is not None and last is not None and proof.step <= last else ""


def _decisions(events: Sequence[object], request: str) -> list[Decided]:
    return [e for e in events if isinstance(e, Decided) and e.request == request]


def missing_approvals(policy: Policy, asked: Requested, approvals: Sequence[str]) -> str:
    """What is still needed, in one line; empty where nothing is."""
    approvers, needed, nobody = _deciders(policy, asked)
    counted = [name for name in approvals if name in approvers]
    if nobody or len(counted) >= needed:
        return nobody
    left = sorted(set(approvers) - set(approvals))
    return f"{len(counted)} of {needed} approvals; may approve: {', '.join(left) or 'nobody'}"


def _deciders(policy: Policy, asked: Requested) -> tuple[tuple[str, ...], int, str]:
    """As `deciders`, or why nobody may: a policy that was edited under one request must not hide all others."""
    try:
        return *deciders(policy, asked.model, asked.overrides), ""
    except PromotionRefused as refused:
        return (), 0, str(refused)
