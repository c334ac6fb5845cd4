"""What an approver reads before deciding, as Markdown that a terminal shows as well as Prefect's form does. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.ledger import Decided, Digests, Entry, Requested
from tasks.promote.decision import SHOWN, Standing
from tasks.results import Verdict

WORDS = {"passed": "held", "failed": "REFUSED", "inconclusive": "INCONCLUSIVE"}


def page(entry: Entry, asked: Requested, stands: Standing, verdict: Verdict, run_page: str | None = None) -> str:
    """The machine's verdict first, then what is asked, what it is bound to, and where it stands.

    Args:
        run_page: the address of its run in MLflow's UI, where there is one.
    """
    digests = asked.digests
    run = f"[{asked.run_id}]({run_page})" if run_page else asked.run_id
    gates = [f"- {WORDS[gate.state]}: {gate.reason}" for gate in verdict.gates]
    bound = ", ".join(f"{name} `{value[:SHOWN]}`" for name, value in digests.stated().items() if name != "adapter")
    return "\n".join(
        [
            f"## Make {asked.candidates} version {asked.version} the champion of {asked.model}?",
            "",
            f"**{'All gates hold' if verdict.passed else 'REFUSED BY ITS GATES: to approve is to override them'}**",
            "",
            *gates,
            *([] if verdict.passed else ["", f"Why it is asked for all the same: {asked.reason}"]),
            "",
            f"Request `{entry.digest[:SHOWN]}`, {stands.state}: {stands.why}.",
            f"Candidate `{digests.adapter[:SHOWN]}` (type these digits). Bound to {bound}.",
            f"Started by {', '.join(asked.requested_by)}; expires {asked.expires_at:%Y-%m-%d %H:%M} UTC. "
            f"Its report.html lies in MLflow run {run}.",
        ]
    )


def decided(page: str, digests: Digests, decisions: Iterable[Decided]) -> str:
    """What stays with a version that was promoted: its digests, who decided what and why, the page that they had read.

    In this order, for MLflow keeps no more than the beginning of a long one.
    """
    bound = ", ".join(f"{name} `{value}`" for name, value in digests.stated().items())
    made = [f"- {event.kind} by {event.approver} ({event.proof.method}): {event.reason}" for event in decisions]
    return "\n".join([f"Bound to {bound}.", "", "## Decided", "", *made, "", page])
