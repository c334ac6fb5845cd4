"""Asking, moving and rolling back against a real registry and a real ledger; what a candidate is made of is made up."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pyotp
import pytest

from conf.policy import QuietHours
from conf.settings import PROJECT, Settings
from tasks import promote as promotion
from tasks.account import account
from tasks.artifacts import Store
from tasks.errors import ApproverLocked, DigestMismatch, LedgerError, ModelError, PromotionRefused
from tasks.ledger import (
    Decided,
    Enrolled,
    Entry,
    Expired,
    Held,
    Ledger,
    Moving,
    Promoted,
    Refused,
    Rehearsed,
    Requested,
    RolledBack,
)
from tasks.people.collect import add_scorecard, collect
from tasks.people.results import People
from tasks.promote import Attempt, audit, evidence, head, registry
from tasks.promote.audit import verify
from tasks.promote.decision import GUESSES, NOT_PROVEN
from tasks.promote.evidence import Verified
from tasks.promote.finish import finish
from tasks.register.champion import standing_champion
from tasks.register.runs import client
from tasks.results import Answers, Artifact, ChampionEvaluation, Verdict
from tests.tasks.people.made import card, marks, sheet_of, store_in
from tests.tasks.promote.desk import DIGESTS, SIGNED, policy

# mlflow 3.17 builds its tables with what SQLAlchemy 2.1 means to drop
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

FILE = Artifact(path="champion/k/f", sha256="0" * 64, bytes=1)
NUMBERS = count(1)
NO_REHEARSAL: dict[str, Any] = {"needed": 1, "rehearsal_rows": 0}


class Killed(BaseException):
    """What no code of ours can catch by mistake."""


def kill(*_: object) -> None:
    raise Killed


class House:
    """A registry with versions 1 to 3 of one model and one candidate, and a ledger that nothing stands in yet."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.settings, self.model, self.registry = settings, model, client(settings)
        self.policy = policy(**{**NO_REHEARSAL, "models": [model]})
        self.ledger = Ledger.of(settings)
        self.ledger.path.unlink(missing_ok=True)
        for name, versions in ((model, 3), (f"{model}-candidates", 1)):
            self.registry.create_registered_model(name)
            for _ in range(versions):
                self.registry.create_model_version(name, (settings.home / "model").as_uri())

    def aliases(self, champion: str, previous: str | None = None) -> None:
        for name, version in (("champion", champion), ("previous", previous)):
            if version is not None:
                self.registry.set_registered_model_alias(self.model, name, version)

    def alias(self, name: str) -> str | None:
        return registry.alias(self.registry, self.model, name)

    def requested(self, **changes: Any) -> Entry:
        values = {
            "model": self.model,
            "version": "1",
            "model_id": "m-0",
            "run_id": "run",
            "digests": DIGESTS,
            "requested_by": ("trainer",),
            "policy": self.policy.digest(),
            "expires_at": datetime.now(UTC) + timedelta(hours=1),
        }
        return self.ledger.append(Requested(**{**values, **changes}))

    def promoted(self, version: str, previous: str | None = None) -> Entry:
        """A request that was promoted, as far as the ledger knows."""
        request = self.requested().digest
        return self.ledger.append(Promoted(request=request, model=self.model, version=version, previous=previous))

    def sealed(self, *moves: Entry) -> None:
        """Write on the versions that were promoted which entry promoted them, as each promotion does."""
        for move in moves:
            assert isinstance(move.event, Promoted)
            self.registry.set_model_version_tag(self.model, move.event.version, registry.ENTRY_TAG, move.digest)

    def promoted_twice(self) -> None:
        """Version 2 is the champion, and 1 was before it."""
        self.promoted("1")
        self.promoted("2", "1")
        self.aliases("2", "1")

    def code(self, name: str = "ann") -> str:
        promotion.enroll(name, self.policy, self.settings, replace=True)
        secret = (promotion.secrets_folder(self.settings) / f"{name}.totp").read_text()
        return pyotp.TOTP(secret).at(int(time.time()))

    def approved(self) -> Entry:
        entry = self.requested()
        attempt = Attempt("approved", "ann", DIGESTS.adapter[:12], "read it")
        promotion.decide(entry.digest, attempt, self.policy, self.settings, code=self.code())
        return entry

    def rollback(self) -> RolledBack:
        return promotion.rollback(self.model, "worse", "ann", self.policy, self.settings, code=self.code())

    def finish(self) -> tuple[list[Promoted | RolledBack], list[str]]:
        return finish(lambda: self.policy, self.settings)

    def alias_findings(self) -> list[str]:
        """What `verify` says of this model's aliases, where it does not hold."""
        found = verify(self.policy, self.settings)
        return [f.what for f in found if f.subject == self.model and not f.holds]

    def replaced(self) -> list[str]:
        """What `verify` says of secrets that were replaced; that is no fault, so it holds."""
        return [f.what for f in verify(self.policy, self.settings) if "secret was replaced" in f.what and f.holds]

    def head_findings(self) -> list[str]:
        """What `verify` says of where the ledger ended, of this model."""
        found = verify(self.policy, self.settings)
        return [f.what for f in found if f.subject == f"{self.model}-candidates" and not f.holds]

    def last(self) -> Any:
        return self.ledger.entries()[-1].event


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One database for all tests, since to create it costs seconds; each test has a model of its own."""
    folder = tmp_path_factory.mktemp("home")
    yield Settings(
        conf=PROJECT / "conf",
        home=folder,
        store=str(folder / "store"),
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        data=None,
        threads=1,
        prefect_api_url=None,
    )
    import mlflow

    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture
def house(home: Settings, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(promotion, "verified_digests", lambda *_: DIGESTS)
    monkeypatch.setattr(promotion, "review", lambda *_: "the page")
    monkeypatch.setattr(promotion, "verified", lambda *_: verified())
    monkeypatch.setattr(promotion, "lineage_of", lambda *_: {})
    monkeypatch.setattr(promotion, "heard_all", lambda *_: True)
    monkeypatch.setattr(audit, "verified_digests", lambda *_: DIGESTS)
    return House(home, f"bank-{next(NUMBERS)}")


def verified(**stated: Any) -> Verified:
    """A candidate as it is found, whose gates asked about no champion."""
    submission = {"started_by": ["trainer"], "recipe_origin": "reviewed"}
    passed = Verdict(key="v", comparison=FILE, state="passed", gates=())
    return Verified(DIGESTS, passed, {}, {}, submission)._replace(**stated)


def compared_with(version: str | None) -> ChampionEvaluation:
    """What a candidate's record says of the champion that its gates asked about."""
    answers = Answers(predictions=FILE, statistics=FILE, report=FILE, n_rows=1, metrics=())
    return ChampionEvaluation(
        key="c", name="bank", version=version, adapter_sha256=None, answers=answers if version else None
    )


@pytest.mark.parametrize(
    ("compared", "champion", "why"),
    [
        ("1", "2", "its gates knew version 1 as champion, and now it is version 2; run its recipe again"),
        (None, "1", "its gates knew nothing as champion, and now it is version 1; run its recipe again"),
        ("1", None, "its gates knew version 1 as champion, and now it is nothing; run its recipe again"),
        ("2", "2", ""),
        (None, None, ""),
    ],
)
def test_a_candidate_whose_gates_knew_another_champion_is_not_asked_for(
    house: House, compared: str | None, champion: str | None, why: str
) -> None:
    if champion is not None:
        house.aliases(champion)
    if not why:
        promotion._refuse_other_champion(house.model, compared_with(compared), house.settings)
        return
    with pytest.raises(PromotionRefused, match=why):
        promotion._refuse_other_champion(house.model, compared_with(compared), house.settings)


def test_of_two_that_ask_at_once_the_second_finds_the_request_of_the_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "_refuse_foreign_recipe", lambda *_: None)
    house.registry.set_registered_model_alias(f"{house.model}-candidates", "challenger", "1")
    names, asked = iter(["first"]), []

    def meanwhile(*_: object) -> object:
        asked.extend(promotion.request(house.model, house.policy, house.settings, name=name) for name in names)
        return verified()

    monkeypatch.setattr(promotion, "verified", meanwhile)
    assert [promotion.request(house.model, house.policy, house.settings, name="second")] == asked
    assert promotion.requested(asked[0]).attempt == "first"


def test_a_candidate_whose_gates_asked_about_no_champion_may_meet_any(
    house: House,
) -> None:
    house.aliases("2")
    promotion._refuse_other_champion(house.model, evidence.compared_champion(verified()), house.settings)


def test_a_rollback_that_finds_other_aliases_once_it_may_write_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted_twice()

    def meanwhile(*_: object) -> object:
        house.aliases("3", "2")
        return DIGESTS

    monkeypatch.setattr(promotion, "verified_digests", meanwhile)
    with pytest.raises(PromotionRefused, match="the champion changed meanwhile; nothing was changed, ask again"):
        house.rollback()
    assert (house.alias("champion"), house.alias("previous")) == ("3", "2")
    assert not any(isinstance(entry.event, RolledBack) for entry in house.ledger.entries())
    monkeypatch.setattr(promotion, "verified_digests", lambda *_: DIGESTS)
    house.aliases("2", "1")
    assert house.rollback().version == "1"
    assert (house.alias("champion"), house.alias("previous")) == ("1", "2")


@pytest.mark.parametrize(("champion", "previous"), [("3", "1"), ("1", "2")])
def test_an_alias_moved_by_hand_to_a_version_that_was_approved_once_is_found_and_no_way_back(
    house: House, champion: str, previous: str
) -> None:
    house.sealed(house.promoted("1"), house.promoted("2", "1"), house.promoted("3", "2"))
    house.aliases("3", "2")
    assert house.alias_findings() == []
    house.aliases(champion, previous)
    (found,) = house.alias_findings()
    assert found.endswith(": moved outside")
    with pytest.raises(PromotionRefused, match=r"moved by hand\? nothing was changed; look with tunegate verify"):
        house.rollback()
    assert (house.alias("champion"), house.alias("previous")) == (champion, previous)
    assert not any(isinstance(entry.event, RolledBack) for entry in house.ledger.entries())


def test_an_alias_previous_moved_while_a_promotion_was_half_done_is_set_as_the_ledger_says(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted_twice()
    entry = house.approved()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "close", kill)
        with pytest.raises(Killed):
            promotion.promote(entry.digest, lambda: house.policy, house.settings)
    version = house.alias("champion")
    assert (version, house.alias("previous")) == ("4", "2")
    house.aliases("4", "1")
    done = promotion.promote(entry.digest, lambda: house.policy, house.settings)
    assert (done.version, done.previous) == ("4", "2")
    assert (house.alias("champion"), house.alias("previous")) == ("4", "2")


def test_an_alias_previous_planted_before_the_first_promotion_is_found(house: House) -> None:
    house.registry.set_registered_model_alias(house.model, "previous", "3")
    entry = house.approved()
    assert promotion.promote(entry.digest, lambda: house.policy, house.settings).previous is None
    assert house.alias_findings() == ["previous is 3, the ledger says none: moved outside"]


def test_an_alias_previous_that_was_removed_is_found(house: House) -> None:
    house.sealed(house.promoted("1"), house.promoted("2", "1"))
    house.aliases("2")
    assert house.alias_findings() == ["previous is none, the ledger says 1: moved outside"]


def test_a_way_back_that_was_changed_is_found_before_anybody_needs_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sealed(house.promoted("1"), house.promoted("2", "1"))
    house.aliases("2", "1")
    assert house.alias_findings() == []
    changed = DIGESTS.model_copy(update={"files": "other"})
    monkeypatch.setattr(audit, "verified_digests", lambda _, version, __: changed if version == "1" else DIGESTS)
    (found,) = house.alias_findings()
    assert found.startswith("the way back, version 1: adapter, base, data,")


def test_a_champion_of_others_on_the_same_server_is_named_and_no_fault(house: House) -> None:
    name = f"foreign-{house.model}"
    house.registry.create_registered_model(name)
    house.registry.create_model_version(name, (house.settings.home / "model").as_uri())
    house.registry.set_registered_model_alias(name, "champion", "1")
    found = [f for f in verify(house.policy, house.settings) if name in f.what or name == f.subject]
    assert [(f.subject, f.holds) for f in found] == [("registry", True)]
    assert found[0].what.startswith("not ours, and not looked at (no ledger entry, no candidates): ")
    house.registry.create_registered_model(f"{name}-candidates")  # and now it is ours
    (smuggled,) = [f for f in verify(house.policy, house.settings) if name in f.what or name == f.subject]
    assert (smuggled.subject, smuggled.holds) == (name, False)
    assert smuggled.what == "champion is 1, the ledger says none: moved outside"
    for model in (name, f"{name}-candidates"):
        house.registry.delete_registered_model(model)


def test_an_edited_line_of_the_ledger_is_found_and_stops_every_decision_and_move(house: House) -> None:
    house.promoted_twice()
    entry, code = house.approved(), house.code("bob")
    whole = house.ledger.path.read_text()
    edited = whole.replace('"reason": "read it"', '"reason": "as I said"')
    assert edited != whole
    house.ledger.path.write_text(edited)
    (number,) = [n for n, line in enumerate(edited.splitlines(), 1) if "as I said" in line]
    why = f"{house.ledger.path}:{number}: was changed: its digest is another"
    (found,) = verify(house.policy, house.settings)
    assert (found.subject, found.holds) == ("ledger", False)
    assert found.what.startswith(why)
    attempt = Attempt("approved", "bob", DIGESTS.adapter[:12], "read it too")
    house.registry.set_registered_model_alias(f"{house.model}-candidates", "challenger", "1")
    tries: tuple[Callable[[], object], ...] = (
        lambda: promotion.request(house.model, house.policy, house.settings),
        lambda: promotion.decide(entry.digest, attempt, house.policy, house.settings, code=code),
        lambda: promotion.promote(entry.digest, lambda: house.policy, house.settings),
        lambda: promotion.rollback(house.model, "worse", "ann", house.policy, house.settings, code=code),
    )
    for refused in tries:
        with pytest.raises(LedgerError, match=re.escape(why)):
            refused()
    assert house.ledger.path.read_text() == edited
    assert (house.alias("champion"), house.alias("previous")) == ("2", "1")


def wrong(code: str) -> str:
    return f"{(int(code) + 500_000) % 1_000_000:06}"


@pytest.mark.parametrize(
    ("approver", "reason", "guesses", "code", "why"),
    [
        ("dan", "worse", 0, lambda h: h.code("dan"), "not an approver of this model"),  # a person, and not for this one
        ("mallory", "worse", 0, lambda h: h.code(), "not an approver of this model"),
        ("<script>", "worse", 0, lambda h: h.code(), "not an approver of this model"),
        ("ann", " ", 0, lambda h: h.code(), "a rollback needs a reason"),
        ("ann", "worse", GUESSES, lambda h: h.code(), "too many wrong codes; wait 15 minutes, or sign with a key"),
        ("ann", "worse", GUESSES - 1, lambda h: wrong(h.code()), "wrong code or key"),
        ("ann", "worse", 0, lambda h: h.code()[:5], "wrong code or key"),
        ("ann", "worse", 0, lambda h: (h.code(), h.code("bob"))[1], "wrong code or key"),
    ],
)
def test_a_rollback_that_is_refused_moves_nothing_and_leaves_its_trace(
    house: House, approver: str, reason: str, guesses: int, code: Callable[[House], str], why: str
) -> None:
    house.promoted_twice()
    for _ in range(guesses):
        house.ledger.append(Refused(request="guess", claimed="ann", why=NOT_PROVEN))
    typed = code(house)
    with pytest.raises(PromotionRefused, match=f"{house.model}: {why}; nothing was changed"):
        promotion.rollback(house.model, reason, approver, house.policy, house.settings, code=typed)
    last = house.last()
    assert isinstance(last, Refused)
    claimed = approver if approver.isalpha() else "?"
    assert (last.request, last.claimed, last.why) == (f"{house.model}/2->1", claimed, why)
    assert (house.alias("champion"), house.alias("previous")) == ("2", "1")


def test_the_guess_that_locks_a_name_is_told_and_no_other(house: House) -> None:
    entry, code = house.requested(), wrong(house.code())
    attempt = Attempt("approved", "ann", DIGESTS.adapter[:12], "let me in")
    raised = []
    for _ in range(GUESSES + 1):
        with pytest.raises(PromotionRefused) as caught:
            promotion.decide(entry.digest, attempt, house.policy, house.settings, code=code)
        raised.append(type(caught.value))
    assert raised == [*(GUESSES - 1) * [PromotionRefused], ApproverLocked, PromotionRefused]
    house.promoted_twice()
    with pytest.raises(PromotionRefused, match="too many wrong codes; wait 15 minutes") as caught:
        promotion.rollback(house.model, "worse", "ann", house.policy, house.settings, code=code)
    assert type(caught.value) is PromotionRefused


def test_a_code_counts_for_one_rollback_and_a_refused_one_uses_it_up(house: House) -> None:
    house.promoted_twice()
    words, code = (house.model, "worse", "ann", house.policy, house.settings), house.code()
    with pytest.raises(PromotionRefused, match="a rollback needs a reason"):
        promotion.rollback(house.model, "", "ann", house.policy, house.settings, code=code)
    with pytest.raises(PromotionRefused, match="this code was used already"):
        promotion.rollback(*words, code=code)
    assert house.last().why == "this code was used already"
    assert house.alias("champion") == "2"


def test_whoever_was_taken_off_the_list_while_the_way_back_was_rehearsed_does_not_count(house: House) -> None:
    entry = house.approved()
    shorter = policy(**NO_REHEARSAL, models=[house.model], approvers=["bob", "cem"])
    read = iter([house.policy, shorter])
    with pytest.raises(PromotionRefused, match="the policy changed since"):
        promotion.promote(entry.digest, lambda: next(read), house.settings)
    assert house.alias("champion") is None
    assert not any(isinstance(found.event, Moving) for found in house.ledger.entries())


def test_one_move_that_the_policy_forbids_since_blocks_no_other_model(house: House) -> None:
    override = {"metrics": ["perplexity"], "approvers": ["ann"], "needed": 1}
    house.policy = policy(**NO_REHEARSAL, models=["*"], overrides=[override])
    stuck = house.requested(model="other", overrides=("perplexity",))
    said = {"approver": "ann", "reason": "wrong gate", "proof": SIGNED}
    house.ledger.append(Decided(kind="overridden", request=stuck.digest, **said))
    house.ledger.append(Moving(request=stuck.digest))
    house.policy = policy(**NO_REHEARSAL, models=["*"])
    entry = house.approved()
    states = {e.digest: (s.state, s.why) for e, s in promotion.requests(house.policy, house.settings)}
    assert states[entry.digest][0] == "approved"
    assert states[stuck.digest] == ("waiting", "other: the policy lets nobody override a gate on perplexity")
    assert promotion.expire(house.policy, house.settings) == []


def test_a_champion_whose_alias_was_removed_is_no_reason_to_take_the_next_for_the_first(house: House) -> None:
    assert standing_champion(house.model, house.settings) is None  # nobody ever was
    house.promoted("2")
    for model in (house.model, "gone-altogether"):
        if model != house.model:
            house.ledger.append(Promoted(request="0" * 64, model=model, version="2", previous=None))
        with pytest.raises(ModelError, match=rf"{model}: the ledger names version 2 .* the registry none.* verify"):
            standing_champion(model, house.settings)


@pytest.mark.parametrize("champion", [None, "3"])
def test_nothing_is_asked_or_moved_while_registry_and_ledger_name_other_champions(
    house: House, champion: str | None
) -> None:
    house.promoted("2")
    entry = house.approved()
    if champion is not None:
        house.aliases(champion)
    why = f"the ledger names version 2 as champion, the registry {champion or 'none'}: moved by hand"
    house.registry.set_registered_model_alias(f"{house.model}-candidates", "challenger", "1")
    with pytest.raises(PromotionRefused, match=why):
        promotion.promote(entry.digest, lambda: house.policy, house.settings)
    house.ledger.append(Expired(request=entry.digest, why="so that another is asked for"))
    with pytest.raises(PromotionRefused, match=why):
        promotion.request(house.model, house.policy, house.settings)
    assert house.alias("champion") == champion


def test_an_approval_is_void_once_people_said_more_than_the_gates_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = house.approved()
    monkeypatch.setattr(promotion, "heard_all", lambda *_: False)
    with pytest.raises(PromotionRefused, match="scorecards came in since it was judged; the approval is void"):
        promotion.promote(entry.digest, lambda: house.policy, house.settings)
    assert house.last() == Expired(request=entry.digest, why="scorecards came in since it was judged")
    assert house.alias("champion") is None
    house.registry.set_registered_model_alias(f"{house.model}-candidates", "challenger", "1")
    with pytest.raises(PromotionRefused, match="scorecards came in since it was judged; run its recipe again"):
        promotion.request(house.model, house.policy, house.settings)


def test_gates_heard_all_until_a_scorecard_says_more(home: Settings, tmp_path: Path) -> None:
    store: Store = store_in(tmp_path)
    sheet = sheet_of(store, 1)
    (found,) = [store.find("evaluate", "evaluated", evidence.Evaluation)]
    assert found is not None
    settings = Settings(**{**vars(home), "store": str(tmp_path / "store")})
    record = {"evaluation": found.model_dump(mode="json")}

    def hear(told: People) -> None:
        record["people"] = told.model_dump(mode="json")

    def say(reviewer: str, score: int) -> None:
        row = card(0, marks(score), marks(3), "tuned").model_copy(update={"row": sheet.rows[0]})
        add_scorecard(sheet, reviewer, (row,), store, "somebody")

    hear(collect(found, store))
    assert evidence.heard_all(record, settings)
    for reviewer in ("ada", "ben"):
        say(reviewer, 4)
        assert not evidence.heard_all(record, settings)
        hear(collect(found, store))
        assert evidence.heard_all(record, settings)
    hear(collect(found, store).model_copy(update={"key": "of another time", "parents": ()}))
    assert evidence.heard_all(record, settings)  # the same, in other words
    say("ben", 1)  # a showstopper
    assert not evidence.heard_all(record, settings)


def test_a_promotion_that_was_killed_is_ended_once_and_one_that_cannot_be_keeps_no_other_from_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, entry = house.requested(run_id="another"), house.approved()
    attempt = Attempt("approved", "bob", DIGESTS.adapter[:12], "read it")
    promotion.decide(stuck.digest, attempt, house.policy, house.settings, code=house.code("bob"))
    assert house.finish() == ([], [])  # decided, and not begun: that is not for a schedule
    house.ledger.append(Moving(request=stuck.digest))
    with monkeypatch.context() as patch:
        patch.setattr(registry, "move_aliases", kill)
        with pytest.raises(Killed):
            promotion.promote(entry.digest, lambda: house.policy, house.settings)
    assert house.alias("champion") is None

    errors = iter([DigestMismatch("its files are not those that were evaluated")])

    def changed(*_: object) -> object:
        for error in errors:  # of the older one
            raise error
        return DIGESTS

    monkeypatch.setattr(promotion, "verified_digests", changed)
    (done,), (why,) = house.finish()
    assert isinstance(done, Promoted)
    assert (done.request, done.version) == (entry.digest, house.alias("champion"))
    assert why.startswith(f"{stuck.digest[:12]}: its move began and cannot be ended: ")
    assert house.finish() == ([], [])


@pytest.mark.parametrize("lacks", ["champion", "digests", "scorecards", "way back"])
def test_a_move_that_has_reached_no_alias_is_verified_like_a_fresh_one(
    house: House, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    house.policy = policy(needed=1, rehearsal_rows=5, models=[house.model])
    house.promoted("1")
    house.aliases("3" if lacks == "champion" else "1")
    entry = house.approved()
    house.ledger.append(Moving(request=entry.digest))
    rehearsed = Rehearsed(request=entry.digest, model=house.model, version="1", rows=5, same=5)

    def way_back(*_: object) -> Rehearsed:
        if lacks == "way back":
            raise PromotionRefused("the way back to it does not work")
        return rehearsed

    monkeypatch.setattr(promotion, "rehearse", way_back)
    if lacks == "digests":
        monkeypatch.setattr(promotion, "verified_digests", lambda *_: DIGESTS.model_copy(update={"files": "other"}))
    monkeypatch.setattr(promotion, "heard_all", lambda *_: lacks != "scorecards")
    before = house.alias("champion")
    ended, (why,) = house.finish()
    assert ended == []
    assert why.startswith(f"{entry.digest[:12]}: its move began and cannot be ended: ")
    assert house.alias("champion") == before
    assert len(house.registry.search_model_versions(f"name = '{house.model}'")) == 3  # and nothing was copied


def test_a_move_that_has_reached_the_alias_is_ended_though_people_said_more_since(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted("1")
    house.aliases("1")
    entry = house.approved()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "close", kill)
        with pytest.raises(Killed):
            promotion.promote(entry.digest, lambda: house.policy, house.settings)
    monkeypatch.setattr(promotion, "heard_all", lambda *_: False)
    house.policy = house.policy.model_copy(
        update={"rules": (house.policy.rules[0].model_copy(update={"rehearsal_rows": 5}),)}
    )
    monkeypatch.setattr(promotion, "rehearse", kill)
    (done,), stuck = house.finish()
    assert (done.version, stuck, house.alias("champion")) == ("4", [], "4")


def test_a_move_that_is_only_said_to_have_begun_is_not_for_a_schedule(house: House) -> None:
    entry = house.requested()
    house.ledger.append(Moving(request=entry.digest))
    attempt = Attempt("approved", "ann", DIGESTS.adapter[:12], "read it")
    promotion.decide(entry.digest, attempt, house.policy, house.settings, code=house.code())
    assert house.finish() == ([], [])
    assert house.alias("champion") is None


def test_whoever_guessed_too_often_still_decides_by_a_key(house: House, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ann = house.policy.approvers[0].model_copy(update={"ssh_keys": (key.with_suffix(".pub").read_text().strip(),)})
    house.policy = house.policy.model_copy(update={"approvers": (ann, *house.policy.approvers[1:])})
    entry, attempt = house.requested(), Attempt("approved", "ann", DIGESTS.adapter[:12], "read it")
    decide = partial(promotion.decide, entry.digest, attempt, house.policy, house.settings)
    code = house.code()
    for _ in range(GUESSES):
        with pytest.raises(PromotionRefused, match="wrong code or key"):
            decide(code=wrong(code))
    with pytest.raises(PromotionRefused, match="too many wrong codes; wait 15 minutes, or sign with a key"):
        decide(code=code)
    assert decide(key=key).state == "approved"


def test_a_rollback_that_was_killed_is_ended_and_a_forged_one_is_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted_twice()
    forged = RolledBack(model=house.model, version="1", previous="2", approver="ann", reason="mine", proof=SIGNED)
    whole = house.ledger.path.read_bytes()
    house.ledger.append(forged)
    assert house.finish() == ([], [])
    assert house.alias("champion") == "2"
    house.ledger.path.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "swap_back", kill)
        with pytest.raises(Killed):
            house.rollback()
    (done,), stuck = house.finish()
    assert (type(done), done.version, stuck) == (RolledBack, "1", [])
    assert (house.alias("champion"), house.alias("previous")) == ("1", "2")
    assert house.finish() == ([], [])


def test_aliases_set_back_by_hand_after_a_rollback_stay_and_are_found(house: House) -> None:
    house.promoted_twice()
    house.rollback()
    house.aliases("2", "1")
    assert house.finish() == ([], [])
    assert house.alias("champion") == "2"
    assert house.alias_findings() == ["champion is 2, the ledger says 1: moved outside"]
    with pytest.raises(PromotionRefused, match="moved by hand"):
        house.rollback()


def test_a_rollback_that_was_killed_before_its_mark_is_done_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted_twice()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "mark_rolled_back", kill)
        with pytest.raises(Killed):
            house.rollback()
    assert house.alias("champion") == "1"
    assert house.finish() == ([], [])
    house.aliases("2", "1")
    assert house.finish() == ([], [])
    assert house.alias("champion") == "2"


def test_a_killed_rollback_to_what_was_changed_since_is_not_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted_twice()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "swap_back", kill)
        with pytest.raises(Killed):
            house.rollback()
    changed = DIGESTS.model_copy(update={"files": "other"})
    monkeypatch.setattr(promotion, "verified_digests", lambda *_: changed)
    ended, (why,) = house.finish()
    assert ended == []
    assert why.startswith(f"{house.model}: its rollback began and cannot be ended: {house.model} version 1: it is not")
    assert house.alias("champion") == "2"
    monkeypatch.setattr(promotion, "verified_digests", lambda *_: DIGESTS)
    (done,), stuck = house.finish()
    assert (done.version, stuck, house.alias("champion")) == ("1", [], "1")


def test_verify_finds_a_promotion_that_somebody_wrote_into_the_ledger(house: House) -> None:
    honest = house.approved()
    house.ledger.append(Moving(request=honest.digest))
    house.ledger.append(Promoted(request=honest.digest, model=house.model, version="1", previous=None))
    forged = house.promoted("2")
    found = {f.subject: (f.holds, f.what) for f in verify(house.policy, house.settings) if "promoted" in f.what}
    assert found == {
        "entry 4": (True, f"promoted {house.model} version 1: approved by ann"),
        f"entry {forged.number}": (False, f"promoted {house.model} version 2: its move never began"),
    }


def test_a_secret_is_never_replaced_unseen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = promotion.secrets_folder(house.settings)
    for file in folder.glob("*cem*"):
        file.unlink()
    promotion.enroll("cem", house.policy, house.settings)
    secret = (folder / "cem.totp").read_text()
    with pytest.raises(PromotionRefused, match="cem was enrolled already: tunegate enroll cem --replace"):
        promotion.enroll("cem", house.policy, house.settings)
    assert [entry.event for entry in house.ledger.entries()] == [Enrolled(approver="cem", login=account())]
    assert house.replaced() == []
    with monkeypatch.context() as patch:
        patch.setattr(promotion.proofs, "enroll", kill)
        with pytest.raises(Killed):
            promotion.enroll("cem", house.policy, house.settings, replace=True)
    assert (folder / "cem.totp").read_text() == secret
    promotion.enroll("cem", house.policy, house.settings, replace=True)
    assert (folder / "cem.totp").read_text() != secret
    assert house.last() == Enrolled(approver="cem", login=account(), replaces=True)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert house.replaced() == 2 * [f"cem's secret was replaced on {today} by {account()}: did they ask for it?"]


def test_a_secret_that_was_taken_away_first_or_that_no_ledger_knows_is_replaced_all_the_same(house: House) -> None:
    promotion.enroll("cem", house.policy, house.settings, replace=True)
    (promotion.secrets_folder(house.settings) / "cem.totp").unlink()
    with pytest.raises(PromotionRefused, match="cem was enrolled already"):
        promotion.enroll("cem", house.policy, house.settings)
    promotion.enroll("cem", house.policy, house.settings, replace=True)
    house.ledger.path.unlink()
    with pytest.raises(PromotionRefused, match="cem was enrolled already"):
        promotion.enroll("cem", house.policy, house.settings)


def test_an_older_ledger_tells_a_replaced_secret_too(house: House) -> None:
    for _ in range(2):
        house.ledger.append(Enrolled(approver="bob", login="somebody"))
    (found,) = house.replaced()
    assert "bob's secret was replaced" in found


def test_what_nobody_decided_in_time_is_recorded_by_whoever_comes_next(house: House) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    late = house.requested(expires_at=past)
    attempt = Attempt("approved", "ann", DIGESTS.adapter[:12], "too late")
    with pytest.raises(PromotionRefused, match="the request is expired: nobody decided before"):
        promotion.decide(late.digest, attempt, house.policy, house.settings, code="000000")
    assert [type(entry.event) for entry in house.ledger.entries()] == [Requested, Expired, Refused]
    another = house.requested(expires_at=past, run_id="another")
    with pytest.raises(ModelError, match="no candidate"):
        promotion.request(house.model, house.policy, house.settings)
    last = house.last()
    assert isinstance(last, Expired)
    assert last.request == another.digest


def test_a_cut_tail_is_found_though_no_champion_moved_and_what_follows_does_not_hide_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    entry, whole = house.approved(), house.ledger.path.read_bytes()
    assert house.head_findings() == []
    house.ledger.path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))  # the approval
    (found,) = house.head_findings()
    assert found == "MLflow remembers an entry 2 that the ledger does not hold: it was cut, or is another"
    attempt = Attempt("approved", "bob", DIGESTS.adapter[:12], "instead")
    promotion.decide(entry.digest, attempt, house.policy, house.settings, code=house.code("bob"))
    assert house.head_findings() == [found]
    assert f"{house.model}-candidates: {found}; look with tunegate verify" in caplog.text
    house.ledger.path.unlink()
    assert house.head_findings() == [found]


def test_refused_voided_and_rolled_back_are_remembered_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def missed() -> bool:
        whole = house.ledger.path.read_bytes()
        house.ledger.path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
        found = house.head_findings()
        house.ledger.path.write_bytes(whole)
        return bool(found) and house.head_findings() == []

    entry = house.approved()
    attempt = Attempt("approved", "ann", "0" * 12, "again")
    with pytest.raises(PromotionRefused, match="has decided already"):
        promotion.decide(entry.digest, attempt, house.policy, house.settings, code="000000")
    assert missed()
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "heard_all", lambda *_: False)
        with pytest.raises(PromotionRefused, match="the approval is void"):
            promotion.promote(entry.digest, lambda: house.policy, house.settings)
    assert missed()
    house.requested(expires_at=datetime.now(UTC) - timedelta(minutes=1))
    promotion.expire(house.policy, house.settings)
    assert missed()
    house.promoted_twice()
    promotion.rollback(house.model, "worse", "bob", house.policy, house.settings, code=house.code("bob"))
    assert missed()


def test_a_decision_stands_while_mlflow_is_away_and_the_next_one_catches_up(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: Settings) -> Any:
        raise ConnectionError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(head, "client", away)
        entry = house.approved()
    assert promotion.where(entry, house.policy, house.settings).state == "approved"
    assert "MLflow was not told where the ledger ends: ConnectionError" in caplog.text
    candidates = house.registry.get_registered_model(f"{house.model}-candidates")
    assert head.HEAD_TAG not in candidates.tags
    again = Attempt("approved", "ann", DIGESTS.adapter[:12], "again")
    with pytest.raises(PromotionRefused, match="has decided already"):
        promotion.decide(entry.digest, again, house.policy, house.settings, code="000000")
    last = house.ledger.entries()[-1]
    candidates = house.registry.get_registered_model(f"{house.model}-candidates")
    assert candidates.tags[head.HEAD_TAG] == f"{last.number} {last.digest}"


@pytest.fixture
def held(house: House, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An approved request that came in quiet hours, which are over now."""
    hours = {"start": "22:00", "end": "06:00", "timezone": "UTC"}
    house.policy = policy(needed=1, rehearsal_rows=5, models=[house.model], quiet_hours=hours)
    house.promoted("1")
    house.aliases("1")
    entry = house.approved()
    monkeypatch.setattr(promotion, "rehearse", kill)
    monkeypatch.setattr(QuietHours, "hold", lambda *_: True)
    for _ in range(2):
        with pytest.raises(PromotionRefused, match="no model changes from 22:00 to 06:00 UTC; after that reconcile"):
            promotion.promote(entry.digest, lambda: house.policy, house.settings)
    assert house.finish() == ([], [])
    *before, last = [found.event for found in house.ledger.entries()]
    assert last == Held(request=entry.digest, why="no model changes from 22:00 to 06:00 UTC")
    assert not any(isinstance(event, Held) for event in before)
    monkeypatch.setattr(QuietHours, "hold", lambda *_: False)

    def works(request: str, model: str, version: str, rows: int, _: Settings) -> Rehearsed:
        return Rehearsed(request=request, model=model, version=version, rows=rows, same=rows)

    monkeypatch.setattr(promotion, "rehearse", works)
    return entry


def test_quiet_hours_hold_back_before_any_rehearsal_and_after_them_the_move_follows_once(
    house: House, held: Entry
) -> None:
    (done,), stuck = house.finish()
    assert isinstance(done, Promoted)
    assert (done.request, done.previous, stuck) == (held.digest, "1", [])
    assert house.alias("champion") == done.version
    assert house.finish() == ([], [])


def test_what_quiet_hours_held_back_is_verified_again_like_any_other(
    house: House, held: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "heard_all", lambda *_: False)
    ended, (why,) = house.finish()
    assert ended == []
    assert why.startswith(f"{held.digest[:12]}: held back in quiet hours, it fails now: ")
    assert house.alias("champion") == "1"
    assert house.finish() == ([], [])  # the approval is void
