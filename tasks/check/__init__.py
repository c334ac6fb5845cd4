"""Check: drop the rows that teach nothing or contradict each other, then hold the rest to the recipe's expectations.

Never changes a text, and never writes or logs a value of a row: reports hold counts and what the recipe itself says.
"""

from __future__ import annotations

import json

from conf.schema import Quality
from tasks.artifacts import Workspace
from tasks.check.rules import reasons_to_drop
from tasks.check.suite import Outcome, evaluate
from tasks.errors import DataError, GateRefused
from tasks.results import CheckedData, Count, ScrubbedData
from tasks.rows import read_rows, rejection, write_rejected, write_rows

__all__ = ["check_rows", "require"]


def check_rows(clean: ScrubbedData, quality: Quality, *, workspace: Workspace) -> CheckedData:
    """Apply the row rules, then the Great Expectations suite. What is refused stands in the result: see `require`.

    Rows stay in their order. The rules, each with the reason of its rejections, stand in `tasks.check.rules`. The
    report is JSON: `rows_read`, `rows_kept`, `rejected` (reason → count) and `expectations`, each as
    `tasks.check.suite.Outcome.record` gives it.

    Raises:
        DataError: no row came in, or none is left, or the suite is not the one that the recipe asks for.
    """
    rows = list(read_rows(workspace.open(shard) for shard in clean.rows))
    reasons = reasons_to_drop(rows, quality)
    kept = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    shards, n_rows = write_rows(workspace, kept)
    rejected, n_rejected, counts = write_rejected(
        workspace, (rejection(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason is not None)
    )
    if not n_rows:
        why = ", ".join(f"{count.name} {count.count:,}" for count in counts) or "there was none to begin with"
        raise DataError(f"check: no row is left ({why}); see quality in the recipe")
    outcomes = evaluate(kept, quality.expectations)
    _write_report(workspace, len(rows), n_rows, counts, outcomes)
    return CheckedData(
        key=workspace.key,
        parents=(clean.digest,),
        rows=shards,
        rejected=rejected,
        report=workspace.artifact("report.json"),
        n_rows=n_rows,
        n_rejected=n_rejected,
        reasons=counts,
        expectations_passed=sum(outcome.success for outcome in outcomes),
        expectations_failed=sum(not outcome.success for outcome in outcomes),
        refusals=(*_too_many_rejected(n_rejected, len(rows), quality), *(o.refusal for o in outcomes if o.refusal)),
    )


def require(checked: CheckedData) -> None:
    """Let only rows pass that nothing critical speaks against.

    Raises:
        GateRefused: a critical expectation failed, or too many rows were rejected; one line each.
    """
    if checked.refusals:
        raise GateRefused(*checked.refusals)


def _too_many_rejected(rejected: int, read: int, quality: Quality) -> tuple[str, ...]:
    allowed = quality.max_rejected_fraction
    if rejected <= allowed * read:
        return ()
    return (f"max_rejected_fraction: {rejected:,} of {read:,} rows rejected, {rejected / read:.3f}, allowed {allowed}",)


def _write_report(
    workspace: Workspace, read: int, kept: int, rejected: tuple[Count, ...], outcomes: tuple[Outcome, ...]
) -> None:
    content = {
        "rows_read": read,
        "rows_kept": kept,
        "rejected": {count.name: count.count for count in rejected},
        "expectations": [outcome.record() for outcome in outcomes],
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    (workspace.folder / "report.json").write_text(text, encoding="utf-8")
