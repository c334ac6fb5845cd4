"""What the schedule ends and tells; what there is to end is decided in tasks.promote.finish."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

import pytest

from conf.settings import settings
from flows import events
from tasks import promote as promotion
from tasks.errors import LedgerError
from tasks.ledger import Ledger, Promoted, RolledBack
from tests.tasks.promote.desk import SIGNED, Desk, policy

module = importlib.import_module("flows.reconcile")  # the package's name of it is the flow's
PROMOTED = Promoted(request="0" * 64, model="bank", version="2", previous="1")
BACK = RolledBack(model="loans", version="1", previous="2", approver="ann", reason="worse", proof=SIGNED)


def test_what_was_ended_is_told_and_what_was_not_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    told: list[object] = []
    for name in ("tell_moved", "tell_rolled_back"):
        monkeypatch.setattr(module, name, told.append)
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(module, "prepare_environment", lambda _: None)
    monkeypatch.setattr(module, "finish", lambda *_: ([PROMOTED, BACK], ["8f3c: its move began and cannot be ended"]))
    monkeypatch.setattr(module, "verify", lambda *_: [])
    shown: list[object] = []
    monkeypatch.setattr(module, "_show", shown.extend)
    with pytest.raises(LedgerError, match="half-done move: 8f3c: its move began and cannot be ended"):
        module.reconcile.fn()
    assert told == [PROMOTED, BACK]
    assert [record.getMessage() for record in caplog.records] == [
        "a killed run had begun it, or quiet hours held it back; now it is done: bank version 2 is champion",
        "a killed run had begun it, or quiet hours held it back; now it is done: loans version 1 is champion",
    ]
    assert len(shown) == 1


def test_whoever_waits_hears_why_a_request_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    rules, told = policy(needed=1), []
    asked = Desk(policy(needed=2)).entries[0].event  # under another policy
    Ledger.of(settings()).append(asked)
    monkeypatch.setattr(promotion, "keep_head", lambda *_: None)  # no MLflow is here
    monkeypatch.setattr(events, "tell", lambda *said: told.append(said))
    for _ in range(2):
        events.end_expired(rules)
    why = "the policy changed since; request it anew"
    assert told == [("approval.expired", "bank", f"bank-candidates version 3: {why}")]
