"""The review page in Markdown, as the Prefect UI shows it beside a run: verdict first. Pure; report.html says more."""

from __future__ import annotations

from conf.schema import Recipe
from tasks.report import wording
from tasks.results import ChampionEvaluation, Evaluation, Outcome, Verdict

WORDS = {"passed": "Passed", "failed": "Refused", "inconclusive": "Inconclusive, so refused"}
STATES = {"passed": "✓ passed", "failed": "✗ **failed**", "inconclusive": "? **inconclusive**"}


def review(recipe: Recipe, outcome: Outcome, tracking_uri: str, run_page: str | None = None) -> str:
    """The page of one run; `tracking_uri` tells where the rest of the record lies, `run_page` is its address there."""
    candidate, verdict = outcome.candidate, outcome.verdict
    version = f"{candidate.name} version {candidate.version}"
    run = f"[`{candidate.run_id}`]({run_page})" if run_page else f"`{candidate.run_id}`"
    return "\n".join(
        [
            f"# {WORDS[verdict.state]}: {version}",
            "",
            wording.headline(verdict.gates),
            "",
            *_gates(verdict),
            "",
            f"## The arms on {outcome.evaluation.n_rows:,} held-out rows",
            "",
            *_metrics(outcome.evaluation, outcome.champion),
            "",
            "## Data",
            "",
            *_data(outcome),
            "",
            "## Record",
            "",
            f"- Recipe `{recipe.name}`, digest `{wording.short(recipe.digest())}`",
            f"- Adapter `{wording.short(outcome.adapter.weights.sha256)}`: what an approver types to decide on it",
            f"- MLflow run {run} of {tracking_uri}, with report.html, predictions and every digest",
        ]
    )


def _gates(verdict: Verdict) -> list[str]:
    head = ["| | gate | of | measured | truth between | asked |", "|---|---|---|---:|---|---|"]
    return head + [
        f"| {STATES[gate.state]} | {gate.metric} | {wording.arm(gate)} | {wording.measured(gate)} "
        f"| {wording.interval(gate.metric, gate.low, gate.high)} | {wording.bound(gate)} |"
        for gate in verdict.gates
    ]


def _metrics(evaluation: Evaluation, champion: ChampionEvaluation) -> list[str]:
    arms = wording.arms(evaluation, champion)
    lines = [f"| metric | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    for metric in wording.metrics_of_arms(evaluation):
        values = [wording.of_arm(evaluation, champion, arm, metric) for arm in arms]
        shown = [wording.figure(metric, value) if value is not None else "" for value in values]
        lines.append(f"| {wording.meaning(metric).title} | {' | '.join(shown)} |")
    return lines


def _data(outcome: Outcome) -> list[str]:
    p = outcome.prepared
    sides = (("train", p.split.train), ("validation", p.split.validation), ("test", p.split.test))
    found = sum(count.count for count in p.clean.entities)
    return [
        f"- {p.raw.n_rows:,} rows read, {p.raw.n_rejected:,} rejected",
        f"- {found:,} personal values taken out of {p.clean.rows_with_entities:,} rows",
        f"- {p.checked.n_rows:,} rows kept by the checks, {p.checked.n_rejected:,} dropped",
        "- " + " · ".join(f"{name} {side.n_rows:,}" for name, side in sides),
    ]
