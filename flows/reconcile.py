"""What a schedule looks at while nobody does: is every champion still the one that people approved?"""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from conf.load import load_policy
from conf.settings import prepare_environment, settings
from flows.events import tell
from flows.runs import end_waiting
from tasks import promote as promotion
from tasks.errors import LedgerError
from tasks.promote.audit import Finding, verify


@flow(name="reconcile", persist_result=False)
def reconcile() -> int:
    """End requests that nobody answered in time, then verify all that `tunegate verify` does.

    Returns:
        How many things were looked at and hold.

    Raises:
        LedgerError: something does not hold; each is named.
    """
    current, policy = settings(), load_policy()
    prepare_environment(current)
    for asked in promotion.expire(policy, current):
        tell("approval.expired", asked.model, f"{asked.candidates} version {asked.version}: nobody decided in time")
    for entry, stands in promotion.requests(policy, current):
        if stands.state in ("rejected", "expired", "promoted"):
            end_waiting(entry.digest, f"{stands.state}: {stands.why}")
    findings = verify(policy, current)
    _show(findings)
    bad = [finding for finding in findings if not finding.holds]
    if bad:
        raise LedgerError("\n".join(f"{finding.subject}: {finding.what}" for finding in bad))
    return len(findings)


def _show(findings: list[Finding]) -> None:
    table = [{"": "✓" if f.holds else "✗", "what": f.subject, "found": f.what} for f in findings]
    create_table_artifact(table, key="reconcile", description="Champions, proofs and the ledger, as last looked at")
