"""A move in the ledger is held against the decisions before it; a ledger that somebody wrote by hand is found out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks.ledger import Decided, Expired, Moving, Promoted, Proof, Requested, RolledBack
from tasks.promote.earned import EDITED, earned
from tests.tasks.promote.desk import NOW, SIGNED, Desk, policy

FORGED = Proof(method="ssh", value="forged")


def found(desk: Desk, *, model: str = "bank", moving: bool = True, at: datetime = NOW) -> tuple[bool, str]:
    """What is said of a promotion that is written at the end."""
    if moving:
        desk.write(Moving(request=desk.request), at)
    move = Promoted(request=desk.request, model=model, version="1", previous=None)
    entry = desk.write(move, at)
    return earned(desk.entries, move, entry.number, desk.policy, lambda decision: decision.proof != FORGED)


def forge(desk: Desk, approver: str, kind: Any = "approved", proof: Proof = SIGNED) -> None:
    """A line past all rules: whoever can write the file can write a well-chained one."""
    desk.write(Decided(kind=kind, request=desk.request, approver=approver, reason="mine", proof=proof))


def test_a_move_with_the_decisions_that_it_took_holds() -> None:
    desk = Desk(policy(needed=2))
    desk.decide("ann")
    desk.decide("cem")
    assert found(desk) == (True, "approved by ann, cem")


def test_a_promotion_without_a_decision_does_not_hold() -> None:
    assert found(Desk(policy(needed=1))) == (False, "nobody had approved it")
    assert found(Desk(policy(needed=1)), moving=False) == (False, "its move never began")


def test_a_promotion_that_nobody_asked_for_does_not_hold() -> None:
    desk = Desk(policy(needed=1))
    desk.request = "ff" * 32
    assert found(desk) == (False, "nobody had asked for it")


def test_a_promotion_of_another_model_than_was_asked_for_does_not_hold() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    assert found(desk, model="loans") == (False, "it was asked for another model")


def test_too_few_approvals_do_not_carry_a_move() -> None:
    desk = Desk(policy(needed=2))
    desk.decide("ann")
    forge(desk, "ann")  # twice is once
    assert found(desk) == (False, "1 of 2 approvals; may approve: bob, cem")


def test_whoever_is_no_approver_of_this_model_does_not_count() -> None:
    desk = Desk(policy(needed=1))
    forge(desk, "dan")
    assert found(desk) == (False, "0 of 1 approvals; may approve: ann, bob, cem")


def test_a_decision_after_the_move_began_does_not_count() -> None:
    desk = Desk(policy(needed=1))
    desk.write(Moving(request=desk.request))
    forge(desk, "ann")
    assert found(desk, moving=False) == (False, "nobody had approved it")


def test_a_move_that_was_only_said_to_have_begun_before_takes_nothing_from_the_one_that_did() -> None:
    desk = Desk(policy(needed=1))
    desk.write(Moving(request=desk.request))
    desk.decide("ann")
    assert found(desk) == (True, "approved by ann")


@pytest.mark.parametrize("edited", [False, True])
def test_a_decision_that_is_not_proven_or_by_an_owner_is_found_whatever_the_policy_says_now(edited: bool) -> None:
    for approver, proof, why in (
        ("ann", FORGED, "a decision on it is not proven"),
        ("bob", SIGNED, "somebody whose run it was approved it"),
    ):
        desk = Desk(policy(needed=1), requested_by=("trainer", "bob.login"))
        forge(desk, approver, proof=proof)
        if edited:
            desk.policy = policy(needed=2)
        assert found(desk) == (False, why)


def test_a_rejected_expired_or_overtaken_request_carries_no_move() -> None:
    rejected, voided, overtaken, late = (Desk(policy(needed=1)) for _ in range(4))
    for desk in (rejected, voided, overtaken, late):
        desk.decide("ann")
    forge(rejected, "bob", "rejected")
    assert found(rejected) == (False, "it was rejected: rejected by bob")
    voided.write(Expired(request=voided.request, why="the candidate changed after it was requested"))
    assert found(voided) == (False, "it was expired: the candidate changed after it was requested")
    overtaken.write(Moving(request=overtaken.request))
    overtaken.write(RolledBack(model="bank", version="1", previous="2", approver="bob", reason="no", proof=SIGNED))
    assert found(overtaken, moving=False) == (False, "it was expired: the champion changed since; request it anew")
    assert found(late, at=NOW + timedelta(hours=73)) == (False, "the request had expired")


def test_a_request_promotes_once() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    assert found(desk)[0]
    assert found(desk) == (False, "it was promoted: promoted")


def test_what_the_edited_policy_cannot_judge_is_said_and_what_it_can_is_required() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    desk.policy = policy(needed=3)
    assert found(desk) == (True, f"approved by ann; {EDITED}")
    empty = Desk(policy(needed=1))
    empty.policy = policy(needed=3)
    assert found(empty) == (False, "nobody had approved it")


def test_an_override_takes_decisions_to_override() -> None:
    overrides = [{"metrics": ["perplexity"], "approvers": ["ann", "bob"], "needed": 2}]
    desk = Desk(policy(needed=1, overrides=overrides), overrides=("perplexity",), reason="wrong gate")
    desk.decide("ann")
    forge(desk, "bob", "approved")
    assert found(desk) == (False, "1 of 2 approvals; may approve: bob")
    whole = Desk(policy(needed=1, overrides=overrides), overrides=("perplexity",), reason="wrong gate")
    whole.decide("ann")
    whole.decide("bob")
    assert found(whole) == (True, "approved by ann, bob")
    assert isinstance(whole.entries[0].event, Requested)
