"""Forms of a suspended run: what comes once nothing waits for it is refused, and leaves its trace."""

from __future__ import annotations

import importlib
import json
import logging
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import State
from prefect.input import keyset_from_paused_state
from prefect.states import StateType, Suspended

from conf.settings import settings
from flows import events, runs
from tasks.ledger import Entry, Expired, Ledger, Promoted, Refused, Requested
from tasks.promote.decision import GUESSES, Standing
from tests.tasks.promote.desk import DIGESTS, SIGNED, policy

module = importlib.import_module("flows.promote")  # the package's name of it is the flow's
MOVED = Promoted(request="0" * 64, model="bank", version="2", previous="1")
FORM = {"decision": "approve", "approver": "ann", "candidate": "ab" * 6, "reason": "read it", "code": "123456"}


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Entry:
    """A request that expired a minute ago."""
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    rules = policy(needed=1)
    monkeypatch.setattr(module, "load_policy", lambda: rules)
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))
    for name in ("keep_head", "head_kept"):
        monkeypatch.setattr(module.promotion, name, lambda *_: nullcontext())  # no MLflow is here
    monkeypatch.setattr(module, "form_sent_at", lambda _: datetime.now(UTC))
    asked = Requested(
        model="bank",
        version="3",
        model_id="m-1",
        run_id="run",
        digests=DIGESTS,
        requested_by=("trainer",),
        policy=rules.digest(),
        expires_at=datetime.now(UTC) - timedelta(minutes=1),
    )
    return Ledger.of(settings()).append(asked)


def test_a_form_sent_to_a_request_that_ended_is_refused_once_and_leaves_a_trace(
    late: Entry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent = {"decision-0": FORM, "decision-1": {**FORM, "decision": "reject"}}
    monkeypatch.setattr(module, "sent_form", lambda run, key: sent.get(key) if run == "run-1" else None)
    for _ in range(2):  # a run that starts from the top again brings the same forms
        module._ask_until_decided(late, "run-1")
    _, expired, *refused = [entry.event for entry in Ledger.of(settings()).entries()]
    assert isinstance(expired, Expired)
    why = f"the request is expired: {expired.why}"
    assert refused == [
        Refused(request=late.digest, claimed="ann", why=why, attempt=f"run-1/{number}") for number in range(2)
    ]
    assert "nobody decided before" in caplog.text


def test_a_run_of_a_request_that_another_has_ends_and_names_it_but_never_one_that_a_form_has_resumed(
    late: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(module, "deployed_run", lambda: "second")
    monkeypatch.setattr(module, "end_expired", lambda _: None)
    monkeypatch.setattr(module, "prepare_environment", lambda _: None)
    monkeypatch.setattr(module.promotion, "request", lambda *_, **__: late)
    monkeypatch.setattr(module.promotion, "promote", lambda *_: MOVED)
    monkeypatch.setattr(module, "tell_moved", lambda _: None)
    monkeypatch.setattr(module, "other_run", lambda *_: "first")
    approved = Standing("approved", ("ann",), "approved", moving=False)

    def ask(*arguments: object) -> Standing:
        asked.append(arguments)
        return approved

    monkeypatch.setattr(module, "_ask_until_decided", ask)
    monkeypatch.setattr(module, "is_marked", lambda *_: False)
    ended = module._ask_and_move("bank")
    assert (ended.type, ended.message) == (StateType.COMPLETED, "run first has this request already: decide there")
    assert asked == []
    monkeypatch.setattr(module, "is_marked", lambda *_: True)
    assert module._ask_and_move("bank") == MOVED
    assert asked == [(late, "second")]


def answered(late: Entry, monkeypatch: pytest.MonkeyPatch) -> State[None]:
    """How a run that has this request ends, where nothing waits for it any more."""
    monkeypatch.setattr(module, "deployed_run", lambda: "run-1")
    monkeypatch.setattr(module, "end_expired", lambda _: None)
    monkeypatch.setattr(module, "prepare_environment", lambda _: None)
    monkeypatch.setattr(module.promotion, "request", lambda *_, **__: late)
    monkeypatch.setattr(module, "is_marked", lambda *_: True)
    monkeypatch.setattr(module, "sent_form", lambda *_: None)
    ended = module.promote.fn("bank")
    assert isinstance(ended, State)
    return ended


def test_a_run_whose_request_nobody_answered_ends_and_is_no_failure(
    late: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = answered(late, monkeypatch)
    assert ended.type == StateType.COMPLETED
    assert str(ended.message).startswith("expired: nobody decided before")


def test_a_run_whose_form_says_reject_ends_and_is_no_failure(late: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.promotion, "proof_of", lambda *_, **__: SIGNED)
    monkeypatch.setattr(module.promotion, "review", lambda *_: "the page")
    monkeypatch.setattr(module.promotion.registry, "close", lambda *_: None)
    monkeypatch.setattr(module.promotion, "client", lambda _: None)
    monkeypatch.setattr(module, "tell_decided", lambda *_: None)
    monkeypatch.setattr(module, "suspend_flow_run", lambda **_: module.Decision(**{**FORM, "decision": "reject"}))
    asked = module.promotion.requested(late).model_copy(update={"expires_at": datetime.now(UTC) + timedelta(hours=1)})
    ended = answered(Ledger.of(settings()).append(asked), monkeypatch)
    assert (ended.type, ended.message) == (StateType.COMPLETED, "rejected: rejected by ann")


def test_the_team_is_told_when_a_form_locks_an_approver(late: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(events, "tell", lambda kind, model, _: told.append((kind, model)))
    asked = module.promotion.requested(late).model_copy(update={"expires_at": datetime.now(UTC) + timedelta(hours=1)})
    entry = Ledger.of(settings()).append(asked)
    for number in range(GUESSES):
        assert told == []
        why = module._record(entry, module.Decision(**FORM), "run-1", f"run-1/{number}")
        assert "wrong code or key" in why
    assert told == [("approval.refused", "bank")]
    assert "too many wrong codes came for ann" in why


class Server:
    """Answers as Prefect's client, for one form."""

    def __init__(self, run: UUID, key: str) -> None:
        self.run, self.key = run, keyset_from_paused_state(Suspended(pause_key=key))["response"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return None

    def read_flow_run_input(self, run: UUID, key: str) -> str:
        found = (run, key) == (self.run, self.key)
        request = httpx.Request("GET", "http://server/input")
        httpx.Response(200 if found else 404, request=request).raise_for_status()
        return json.dumps(FORM)


def test_a_form_is_read_by_the_key_that_prefect_keeps_it_under(monkeypatch: pytest.MonkeyPatch) -> None:
    run = uuid4()
    monkeypatch.setattr(runs, "_client", lambda: Server(run, "decision-1"))
    assert runs.sent_form(str(run), "decision-1") == FORM
    assert runs.sent_form(str(run), "decision-0") is None
