"""Where the ledger ended, as MLflow remembers it: a tail that was cut is missed."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.ledger import Expired
from tasks.promote.head import HEAD_TAG, lost_head
from tests.tasks.promote.desk import Desk, policy


@pytest.fixture
def desk() -> Desk:
    desk = Desk(policy(needed=1))
    desk.decide("ann")
    return desk


def test_what_the_ledger_holds_at_its_number_is_not_lost(desk: Desk) -> None:
    tags = {HEAD_TAG: f"1 {desk.entries[1].digest}"}
    assert lost_head({}, desk.entries) == lost_head({}, ()) == ""
    assert lost_head(tags, desk.entries) == ""
    desk.write(Expired(request=desk.request, why="later"))
    assert lost_head(tags, desk.entries) == ""


def test_a_cut_tail_and_another_in_its_place_are_missed(desk: Desk) -> None:
    tags = {HEAD_TAG: f"1 {desk.entries[1].digest}"}
    why = "MLflow remembers an entry 1 that the ledger does not hold: it was cut, or is another"
    del desk.entries[1:]
    assert lost_head(tags, desk.entries) == lost_head(tags, ()) == why
    desk.decide("bob")
    assert lost_head(tags, desk.entries) == why


@pytest.mark.parametrize("number", [0, 2])
def test_the_right_digest_at_another_number_is_missed(desk: Desk, number: int) -> None:
    assert f"an entry {number} that" in lost_head({HEAD_TAG: f"{number} {desk.entries[1].digest}"}, desk.entries)


@pytest.mark.parametrize("kept", ["", "1", "-1 " + 64 * "0", "one " + 64 * "0", 12 * "1" + " " + 64 * "0"])
def test_a_tag_that_somebody_wrote_is_no_head(desk: Desk, kept: Any) -> None:
    assert lost_head({HEAD_TAG: kept}, desk.entries) == f"its tag {HEAD_TAG} names no entry of a ledger"
