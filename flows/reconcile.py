"""What a schedule does while nobody looks: end what was begun, and ask whether people approved every champion."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from conf.load import load_policy
from conf.settings import prepare_environment, settings
from flows.events import end_expired, tell_moved, tell_rolled_back
from flows.runs import end_silent, end_waiting
from tasks import promote as promotion
from tasks.errors import LedgerError
from tasks.ledger import Promoted
from tasks.promote.audit import Finding, verify
from tasks.promote.finish import finish


@flow(name="reconcile", persist_result=False)
def reconcile() -> int:
    """End what a killed run left half done, quiet hours held back or nobody answered; then verify as `tunegate verify`.

    Returns:
        How many things were looked at and hold.

    Raises:
        LedgerError: something does not hold; each is named.
    """
    current, policy = settings(), load_policy()
    prepare_environment(current)
    stuck = _finish()
    end_expired(policy)
    for entry, stands in promotion.requests(policy, current):
        if stands.state in ("rejected", "expired", "promoted"):
            end_waiting(entry.digest, f"{stands.state}: {stands.why}")
    end_silent()
    findings = [*stuck, *verify(policy, current)]
    _show(findings)
    bad = [finding for finding in findings if not finding.holds]
    if bad:
        raise LedgerError("\n".join(f"{finding.subject}: {finding.what}" for finding in bad))
    return len(findings)


def _finish() -> list[Finding]:
    """End what was begun or held back, and tell; what cannot be ended is a finding."""
    ended, stuck = finish(load_policy, settings())
    for move in ended:
        get_run_logger().warning(
            "a killed run had begun it, or quiet hours held it back; now it is done: %s version %s is champion",
            move.model,
            move.version,
        )
        if isinstance(move, Promoted):
            tell_moved(move)
        else:
            tell_rolled_back(move)
    return [Finding("half-done move", False, why) for why in stuck]


def _show(findings: list[Finding]) -> None:
    table = [{"": "✓" if f.holds else "✗", "what": f.subject, "found": f.what} for f in findings]
    create_table_artifact(table, key="reconcile", description="Champions, proofs and the ledger, as last looked at")
