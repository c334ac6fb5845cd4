"""End what a killed run began, and do what quiet hours held back: what was decided and proven takes effect, once.

Never begins anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from conf.policy import Policy
from conf.settings import Settings
from tasks.errors import LedgerError, TunegateError
from tasks.ledger import Held, Ledger, Promoted, RolledBack, told_champions
from tasks.promote import end_rollback, promote, requested, requests
from tasks.promote.decision import SHOWN
from tasks.register.runs import client


def finish(read_policy: Callable[[], Policy], settings: Settings) -> tuple[list[Promoted | RolledBack], list[str]]:
    """End half-done rollbacks and promotions, and those held back; one that cannot be ended keeps no other from it.

    Returns:
        The moves that were ended, and a line on each that could not be.

    Raises:
        LedgerError: the chain is broken.
    """
    ledger, reg, policy = Ledger.of(settings), client(settings), read_policy()
    ended: list[Promoted | RolledBack] = []
    stuck: list[str] = []
    for model in sorted(told_champions(ledger.entries())):
        try:
            rolled_back = end_rollback(reg, ledger, model, policy, settings)
        except LedgerError:
            raise
        except TunegateError as error:
            stuck.append(f"{model}: its rollback began and cannot be ended: {error}")
        else:
            ended += [] if rolled_back is None else [rolled_back]
    now, held = datetime.now(UTC), {e.event.request for e in ledger.entries() if isinstance(e.event, Held)}
    for entry, stands in requests(policy, settings):
        due = entry.digest in held and not _quiet(policy, requested(entry).model, now)
        if stands.state != "approved" or not (stands.moving or due):
            continue
        try:
            ended.append(promote(entry.digest, read_policy, settings))
        except LedgerError:
            raise
        except TunegateError as error:
            what = "its move began and cannot be ended" if stands.moving else "held back in quiet hours, it fails now"
            stuck.append(f"{entry.digest[:SHOWN]}: {what}: {error}")
    return ended, stuck


def _quiet(policy: Policy, model: str, now: datetime) -> bool:
    rule = policy.rule_for(model)
    return rule is not None and rule.quiet_hours is not None and rule.quiet_hours.hold(now)
