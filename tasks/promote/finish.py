"""End what a killed run began, and do what quiet hours held back: what was decided and proven takes effect, once.

Never begins anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

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

    def end(what: str, move: Callable[[], Promoted | RolledBack | None]) -> None:
        try:
            done = move()
        except LedgerError:
            raise
        except TunegateError as error:
            stuck.append(f"{what}: {error}")
        else:
            ended.extend([] if done is None else [done])

    for model in sorted(told_champions(ledger.entries())):
        what = f"{model}: its rollback began and cannot be ended"
        end(what, partial(end_rollback, reg, ledger, model, policy, settings))
    now, held = datetime.now(UTC), {e.event.request for e in ledger.entries() if isinstance(e.event, Held)}
    for entry, stands in requests(policy, settings):
        due = entry.digest in held and not policy.quiet(requested(entry).model, now)
        if stands.state == "approved" and (stands.moving or due):
            why = "its move began and cannot be ended" if stands.moving else "held back in quiet hours, it fails now"
            end(f"{entry.digest[:SHOWN]}: {why}", partial(promote, entry.digest, read_policy, settings))
    return ended, stuck
