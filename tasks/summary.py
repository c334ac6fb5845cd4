"""One line on each result, for a person who watches. Counts only."""

from __future__ import annotations

from functools import singledispatch

from tasks.results import (
    Adapter,
    Base,
    Candidate,
    ChampionEvaluation,
    CheckedData,
    Evaluation,
    Prepared,
    RawData,
    Recorded,
    Report,
    Result,
    ScrubbedData,
    SmokeTest,
    Split,
    Verdict,
)


@singledispatch
def summary(result: Result) -> str:
    """What the stage left."""
    return result.key[:12]


@summary.register
def _(result: RawData) -> str:
    return f"{result.n_rows:,} rows, {result.n_rejected:,} rejected"


@summary.register
def _(result: ScrubbedData) -> str:
    found = sum(entity.count for entity in result.entities)
    return f"{found:,} personal values out of {result.rows_with_entities:,} rows"


@summary.register
def _(result: CheckedData) -> str:
    total = result.expectations_passed + result.expectations_failed
    return (
        f"{result.n_rows:,} rows kept, {result.n_rejected:,} dropped; {result.expectations_passed}/{total} expectations"
    )


@summary.register
def _(result: Split) -> str:
    return f"train {result.train.n_rows:,} · validation {result.validation.n_rows:,} · test {result.test.n_rows:,}"


@summary.register
def _(result: Base) -> str:
    return f"{result.name}, {result.parameters / 1e6:,.0f}M parameters"


@summary.register
def _(result: Prepared) -> str:
    return summary(result.split)


@summary.register
def _(result: SmokeTest) -> str:
    losses = f"loss {result.first_loss:.2f} → {result.last_loss:.2f}"
    return f"{result.steps} steps on {result.n_rows} rows, {losses}; a row with its loss mask: {result.report.path}"


@summary.register
def _(result: Adapter) -> str:
    validation = (
        "" if result.eval_loss is None else f", validation loss {result.eval_loss:.3f} at step {result.best_step}"
    )
    return f"{result.steps} steps, {result.train_tokens:,} tokens{validation}"


@summary.register
def _(result: Evaluation) -> str:
    arms = dict.fromkeys(metric.arm for metric in result.metrics if metric.arm != "data")
    return f"{', '.join(arms)} on {result.n_rows:,} held-out rows"


@summary.register
def _(result: ChampionEvaluation) -> str:
    rows = f"version {result.version} on {result.answers.n_rows:,} held-out rows" if result.answers else ""
    return rows or "no other model is in production"


@summary.register
def _(result: Recorded) -> str:
    return f"MLflow run {result.run_id[:8]}"


@summary.register
def _(result: Verdict) -> str:
    held = sum(gate.passed for gate in result.gates)
    open_ = sum(gate.state == "inconclusive" for gate in result.gates)
    return f"{held} of {len(result.gates)} gates hold" + (f", {open_} inconclusive" if open_ else "")


@summary.register
def _(result: Report) -> str:
    return f"{result.page.bytes / 1e3:,.0f} kB"


@summary.register
def _(result: Candidate) -> str:
    return f"{result.name} version {result.version}{'' if result.is_challenger else ', which challenges nobody'}"
