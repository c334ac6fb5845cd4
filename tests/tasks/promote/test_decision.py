"""Which decisions count: who, on what, when, how often; each bad actor by name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.errors import PromotionRefused
from tasks.ledger import Decided, Expired, Moving, Promoted, Proof, Refused, RolledBack
from tasks.promote.decision import (
    GUESSES,
    LOCK,
    NOT_PROVEN,
    REPLAYED,
    Attempt,
    against_guesses,
    deciders,
    find_request,
    judged,
    wrong_codes,
)
from tests.tasks.promote.desk import NOW, SIGNED, Desk, policy

LOCKED = "too many wrong codes; wait 15 minutes, or sign with a key"


def why(event: Decided | Refused) -> str:
    assert isinstance(event, Refused)
    return event.why


def test_a_request_waits_until_enough_different_people_approved_it() -> None:
    desk = Desk(policy(needed=2))
    assert desk.state() == ("waiting", "0 of 2 approvals; may approve: ann, bob, cem")
    assert isinstance(desk.decide("ann"), Decided)
    assert desk.state() == ("waiting", "1 of 2 approvals; may approve: bob, cem")
    assert isinstance(desk.decide("cem"), Decided)
    assert desk.state() == ("approved", "approved")
    desk.write(Promoted(request=desk.request, model="bank", version="1", previous=None))
    assert desk.state() == ("promoted", "promoted")


def test_nobody_approves_twice() -> None:
    desk = Desk(policy(needed=2))
    desk.decide("ann")
    assert why(desk.decide("ann")) == "has decided already"
    assert desk.state()[0] == "waiting"


def test_one_rejection_ends_a_request_even_an_approved_one() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    desk.decide("bob", "rejected")
    assert desk.state() == ("rejected", "rejected by bob")
    assert why(desk.decide("cem")) == "the request is rejected: rejected by bob"


def test_someone_who_is_not_on_the_list_decides_nothing() -> None:
    desk = Desk(policy())
    assert why(desk.decide("dan")) == "not an approver of this model"
    assert why(desk.decide("mallory")) == "not an approver of this model"
    assert why(desk.decide("<script>")) == "not an approver of this model"
    assert [e.event.claimed for e in desk.entries if isinstance(e.event, Refused)] == ["dan", "mallory", "?"]


@pytest.mark.parametrize("kind", ["approved", "rejected"])
def test_nobody_decides_on_their_own_run(kind: str) -> None:
    desk = Desk(policy(), requested_by=("trainer", "ann.login"))
    assert why(desk.decide("ann", kind)) == "nobody decides on their own run"
    assert isinstance(desk.decide("bob"), Decided)


@pytest.mark.parametrize("candidate", ["", "ab" * 5, "ab" * 32, "cd" * 6, "AB" * 6])
def test_a_digest_that_is_not_the_candidates_decides_nothing(candidate: str) -> None:
    assert why(Desk(policy()).decide(candidate=candidate)) == "the digest is not that of the candidate"


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_decision_without_a_reason_is_none(reason: str) -> None:
    assert why(Desk(policy()).decide(reason=reason)) == "a decision needs a reason"


def test_a_proof_that_does_not_hold_decides_nothing() -> None:
    desk = Desk(policy(needed=1))
    assert why(desk.decide(proof=None)) == NOT_PROVEN
    assert desk.state()[0] == "waiting"


def test_a_name_that_the_policy_does_not_know_or_that_is_locked_is_not_asked_for_a_proof() -> None:
    desk = Desk(policy())

    def never(*_: object) -> Proof:
        raise AssertionError

    for _ in range(GUESSES):
        desk.decide("ann", proof=None)
    for name in ("eve", "ann"):
        attempt = Attempt(kind="approved", approver=name, candidate="ab" * 6, reason="x")
        refused = judged(desk.entries, desk.request, attempt, desk.policy, NOW, never, by_code=True)
        assert isinstance(refused, Refused)


def code(step: int) -> Proof:
    return Proof(method="totp", value="mac", step=step)


def test_a_code_counts_once_whatever_it_stands_under() -> None:
    desk = Desk(policy(needed=2))
    first, second = desk.request, desk.write(desk.entries[0].event.model_copy(update={"version": "4"})).digest
    assert isinstance(desk.decide("ann", proof=code(100)), Decided)
    desk.request = second
    assert why(desk.decide("ann", proof=code(100))) == "this code was used already"
    assert why(desk.decide("ann", proof=code(99))) == "this code was used already"
    assert isinstance(desk.decide("bob", proof=code(100)), Decided)  # another person's
    assert isinstance(desk.decide("ann", proof=code(101)), Decided)
    assert first != second


def test_wrong_codes_lock_a_name_for_a_while_and_no_other() -> None:
    desk = Desk(policy(needed=2))
    for _ in range(GUESSES):
        assert why(desk.decide("ann", proof=None)) == NOT_PROVEN
    assert why(desk.decide("ann", proof=code(1))) == LOCKED
    assert isinstance(desk.decide("bob", proof=code(1)), Decided)
    later = NOW + LOCK + timedelta(seconds=1)
    assert isinstance(desk.decide("ann", proof=code(1), now=later), Decided)


def test_each_further_series_of_wrong_codes_locks_twice_as_long_until_a_good_one() -> None:
    desk, now, locks = Desk(policy(needed=2), expires_at=NOW + timedelta(days=365)), NOW, []
    for _ in range(12):
        for _ in range(GUESSES):
            assert why(desk.decide("ann", proof=None, now=now)) == NOT_PROVEN
            assert isinstance(desk.decide("bob", proof=None, now=now), Refused)  # each name counts for itself
        began = now
        while against_guesses(desk.entries, "ann", now):
            now += timedelta(minutes=15)
        locks.append((now - began) / timedelta(minutes=15))
    assert locks == [1, 2, 4, 8, 16, 32, 64, 96, 96, 96, 96, 96]  # a day at most
    for reason in (REPLAYED, "a decision needs a reason"):
        assert len(wrong_codes(desk.entries, "ann")) == 12 * GUESSES
        desk.write(Refused(request=desk.request, claimed="ann", why=reason, step=9), now)
    for _ in range(GUESSES - 1):
        desk.decide("ann", proof=None, now=now)
    assert against_guesses(desk.entries, "ann", now) == ""
    desk.decide("ann", proof=None, now=now)
    assert against_guesses(desk.entries, "ann", now) == LOCKED


def test_wrong_codes_lock_no_key() -> None:
    desk = Desk(policy(needed=1))
    for _ in range(GUESSES):
        desk.decide("ann", proof=None)
    assert why(desk.decide("ann", proof=code(1))) == LOCKED
    assert isinstance(desk.decide("ann", proof=SIGNED), Decided)


def test_a_stale_request_decides_nothing() -> None:
    desk = Desk(policy(needed=1))
    late = NOW + timedelta(hours=72, seconds=1)
    assert desk.state(late) == ("expired", "nobody decided before 2026-03-05 12:00 UTC")
    assert why(desk.decide(now=late)).startswith("the request is expired")


def test_an_approval_that_nobody_used_in_time_is_worth_nothing() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    assert desk.state(NOW + timedelta(hours=73))[0] == "expired"


def test_another_policy_voids_what_was_decided_under_the_old_one() -> None:
    desk = Desk(policy(needed=2))
    desk.decide("ann")
    desk.policy = policy(needed=1)
    assert desk.state() == ("expired", "the policy changed since; request it anew")


def test_a_move_that_began_is_ended_late_and_takes_its_approvals_all_the_same() -> None:
    desk = Desk(policy(needed=2))
    desk.write(Moving(request=desk.request))
    late = NOW + timedelta(hours=100)
    assert desk.state(late)[0] == "expired"  # a forged line moves nothing
    desk.entries.pop()
    desk.decide("ann")
    desk.decide("bob")
    desk.write(Moving(request=desk.request))
    assert desk.state(late) == ("approved", "approved")
    desk.policy = policy(needed=3)
    assert desk.state(late)[0] == "waiting"


def test_a_move_that_could_not_begin_when_it_is_said_to_have_begun_has_not() -> None:
    late = NOW + timedelta(hours=73)
    night = {"start": "22:00", "end": "06:00", "timezone": "UTC"}
    for at, approvers, stands in (
        (late, ["ann", "bob"], "expired"),  # nobody had moved it in time
        (NOW + timedelta(hours=11), ["ann", "bob"], "expired"),  # at 23:00, when no model changes
        (NOW, ["ann"], "expired"),  # one of two approvals
        (NOW, ["ann", "bob"], "approved"),
    ):
        desk = Desk(policy(needed=2, quiet_hours=night))
        for approver in approvers:
            desk.decide(approver)
        desk.write(Moving(request=desk.request), at)
        assert (at, approvers, desk.state(late)[0]) == (at, approvers, stands)


def test_an_approval_after_the_move_is_said_to_have_begun_begins_none() -> None:
    desk = Desk(policy(needed=1))
    desk.write(Moving(request=desk.request))
    assert isinstance(desk.decide("ann"), Decided)  # and the line keeps nobody from deciding
    assert desk.state(NOW + timedelta(hours=73))[0] == "expired"


def test_a_move_is_void_where_the_champion_had_changed_before_it_began() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    desk.write(Promoted(request="ff" * 32, model="bank", version="9", previous=None))
    desk.write(Moving(request=desk.request))
    assert desk.state() == ("expired", "the champion changed since; request it anew")


def test_a_request_that_was_voided_stays_so() -> None:
    desk = Desk(policy(needed=1))
    desk.write(Expired(request=desk.request, why="the candidate changed after it was requested"))
    assert why(desk.decide()).startswith("the request is expired: the candidate changed")


def test_a_model_that_no_rule_fits_is_nobodys_to_promote() -> None:
    with pytest.raises(PromotionRefused, match="no rule of the policy fits"):
        deciders(policy(), "energy", ())
    desk = Desk(policy(), model="energy")
    nobody = "energy: no rule of the policy fits this model; nobody may promote it"
    assert desk.state() == ("waiting", nobody)
    assert why(desk.decide()) == nobody


def test_a_move_that_the_policy_forbids_since_hides_no_other_request() -> None:
    desk = Desk(policy(needed=1, overrides=OVERRIDES), overrides=("perplexity",), reason="wrong gate")
    desk.decide("ann")
    desk.write(Moving(request=desk.request))
    assert desk.state()[0] == "approved"
    desk.policy = policy(needed=1)
    assert desk.state() == ("waiting", "bank: the policy lets nobody override a gate on perplexity")
    assert why(desk.decide("bob")) == "its move has begun"


@pytest.mark.parametrize("name", ["", "ab", "zzzzzz", "0" * 64, "." * 10])
def test_a_request_is_named_by_its_digits(name: str) -> None:
    desk = Desk(policy())
    with pytest.raises(PromotionRefused, match="no such request"):
        find_request(desk.entries, name)
    assert find_request(desk.entries, desk.request[:8])[0].digest == desk.request


OVERRIDES = [
    {"metrics": ["exact_match"], "approvers": ["ann", "bob"], "needed": 2},
    {"metrics": ["perplexity"], "approvers": ["ann", "bob", "dan"], "needed": 1},
]


def test_gates_are_overridden_only_by_those_whom_the_policy_names_for_each_of_them() -> None:
    desk = Desk(policy(needed=1, overrides=OVERRIDES), overrides=("exact_match", "perplexity"), reason="wrong gate")
    assert why(desk.decide("cem")) == "not an approver of this model"
    decided = desk.decide("ann")
    assert isinstance(decided, Decided)
    assert decided.kind == "overridden"
    assert desk.state() == ("waiting", "1 of 2 approvals; may approve: bob")
    desk.decide("bob")
    assert desk.state() == ("approved", "approved")


def test_whoever_may_override_must_also_be_an_approver_of_the_model() -> None:
    desk = Desk(policy(needed=1, overrides=OVERRIDES), overrides=("perplexity",))
    assert why(desk.decide("dan")) == "not an approver of this model"


def test_an_override_is_rejected_like_any_request() -> None:
    desk = Desk(policy(needed=1, overrides=OVERRIDES), overrides=("perplexity",))
    rejected = desk.decide("ann", "rejected")
    assert isinstance(rejected, Decided)
    assert rejected.kind == "rejected"
    assert desk.state() == ("rejected", "rejected by ann")


def test_a_gate_that_no_override_names_stays_a_refusal() -> None:
    with pytest.raises(PromotionRefused, match="lets nobody override a gate on accuracy"):
        deciders(policy(needed=1, overrides=OVERRIDES), "bank", ("perplexity", "accuracy"))


def test_a_good_code_under_an_attempt_that_fails_is_used_up() -> None:
    desk = Desk(policy(needed=1))
    code = Proof(method="totp", value="hmac", step=100)
    refused = desk.decide("ann", proof=code, reason=" ")
    assert why(refused) == "a decision needs a reason"
    assert isinstance(refused, Refused)
    assert refused.step == 100
    assert why(desk.decide("ann", proof=code)) == "this code was used already"
    assert isinstance(desk.decide("ann", proof=code.model_copy(update={"step": 101})), Decided)


def test_a_move_that_has_begun_is_not_rejected() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    desk.write(Moving(request=desk.request))
    assert why(desk.decide("bob", "rejected")) == "its move has begun"
    assert desk.state() == ("approved", "approved")


def test_a_request_is_void_once_another_model_became_champion() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    assert desk.state()[0] == "approved"
    desk.write(Promoted(request="ff" * 32, model="loans", version="9", previous=None))
    assert desk.state()[0] == "approved"  # of another name
    desk.write(Promoted(request="ff" * 32, model="bank", version="9", previous=None))
    assert desk.state() == ("expired", "the champion changed since; request it anew")
    assert why(desk.decide("bob")).startswith("the request is expired")


def test_a_move_that_was_killed_is_void_once_the_champion_was_rolled_back() -> None:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    desk.write(Moving(request=desk.request))
    late = NOW + timedelta(days=30)
    assert desk.state(late)[0] == "approved"
    desk.write(RolledBack(model="bank", version="2", previous="3", approver="bob", reason="wrong", proof=SIGNED))
    assert desk.state(late)[0] == "expired"


def test_a_rollback_before_the_request_does_not_touch_it() -> None:
    desk = Desk(policy(needed=1))
    desk.write(RolledBack(model="bank", version="1", previous="2", approver="bob", reason="wrong", proof=SIGNED))
    desk.request = desk.write(desk.entries[0].event).digest
    desk.decide("ann")
    assert desk.state()[0] == "approved"
