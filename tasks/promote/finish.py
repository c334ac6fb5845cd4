"""End what a killed run began: a move that was decided, proven and begun takes effect, once. Never begins one."""

from __future__ import annotations

from collections.abc import Callable

from conf.policy import Policy
from conf.settings import Settings
from tasks.errors import LedgerError, TunegateError
from tasks.ledger import Ledger, Promoted, RolledBack, told_champions
from tasks.promote import end_rollback, promote, requests
from tasks.promote.decision import SHOWN
from tasks.register.runs import client


def finish(read_policy: Callable[[], Policy], settings: Settings) -> tuple[list[Promoted | RolledBack], list[str]]:
    """End half-done rollbacks and promotions; one that cannot be ended keeps no other from it.

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
    begun = [entry for entry, stands in requests(policy, settings) if stands.moving and stands.state == "approved"]
    for entry in begun:
        try:
            ended.append(promote(entry.digest, read_policy, settings))
        except LedgerError:
            raise
        except TunegateError as error:
            stuck.append(f"{entry.digest[:SHOWN]}: its move began and cannot be ended: {error}")
    return ended, stuck
