"""A ledger in memory with one request on it, and the policy that it was made under."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from conf.policy import Policy
from tasks.ledger import BEGINNING, Decided, Digests, Entry, Event, Proof, Refused, Requested
from tasks.promote.decision import Attempt, judged, standing

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DIGESTS = Digests(adapter="ab" * 32, files="f", base="b", split="s", recipe="r", evaluation="e", verdict="v")
SIGNED = Proof(method="ssh", value="signature")


def policy(needed: int = 2, **rule: Any) -> Policy:
    people = [{"name": name, "logins": [f"{name}.login"], "totp": True} for name in ("ann", "bob", "cem", "dan")]
    rules = [{"models": ["bank"], "approvers": ["ann", "bob", "cem"], "needed": needed, **rule}]
    return Policy.model_validate({"approvers": people, "rules": rules})


class Desk:
    """A ledger in memory, with one request on it."""

    def __init__(self, policy: Policy, **asked: Any) -> None:
        self.policy = policy
        self.entries: list[Entry] = []
        values = {
            "model": "bank", "version": "3", "model_id": "m-1", "run_id": "run", "digests": DIGESTS,
            "requested_by": ("trainer",), "policy": policy.digest(), "expires_at": NOW + timedelta(hours=72),
        }  # fmt: skip
        self.request = self.write(Requested(**{**values, **asked})).digest

    def write(self, event: Event, at: datetime = NOW) -> Entry:
        previous = self.entries[-1].digest if self.entries else BEGINNING
        self.entries.append(Entry(number=len(self.entries), at=at, previous=previous, event=event))
        return self.entries[-1]

    def decide(
        self,
        approver: str = "ann",
        kind: Any = "approved",
        proof: Proof | None = SIGNED,
        now: datetime = NOW,
        **other: Any,
    ) -> Decided | Refused:
        values = {"candidate": "ab" * 6, "reason": "read the report", **other}
        attempt = Attempt(kind=kind, approver=approver, **values)
        by_code = proof is None or proof.method == "totp"
        event = judged(self.entries, self.request, attempt, self.policy, now, lambda *_: proof, by_code=by_code)
        self.write(event, now)
        return event

    def state(self, now: datetime = NOW) -> tuple[str, str]:
        stands = standing(self.entries, self.request, self.policy, now)
        return stands.state, stands.why
