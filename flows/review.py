"""The review page in Markdown, as the Prefect UI shows it beside a run: verdict first. Pure; report.html says more."""

from __future__ import annotations

from typing import get_args

from conf.schema import Arm, Recipe
from tasks.report import wording
from tasks.results import Evaluation, Outcome, Verdict


def review(recipe: Recipe, outcome: Outcome, tracking_uri: str) -> str:
    """The page of one run; `tracking_uri` tells where the rest of the record lies."""
    candidate, verdict = outcome.candidate, outcome.verdict
    version = f"{candidate.name} version {candidate.version}"
    return "\n".join(
        [
            f"# {'Passed' if verdict.passed else 'Refused'}: {version}",
            "",
            wording.headline(verdict.gates),
            "",
            *_gates(verdict),
            "",
            f"## Base against tuned, {outcome.evaluation.n_rows:,} held-out rows",
            "",
            *_metrics(outcome.evaluation),
            "",
            "## Data",
            "",
            *_data(outcome),
            "",
            "## Record",
            "",
            f"- Recipe `{recipe.name}`, digest `{wording.short(recipe.digest())}`",
            f"- Adapter `{wording.short(outcome.adapter.weights.sha256)}`: what an approver types to decide on it",
            f"- MLflow run `{candidate.run_id}` of {tracking_uri}, with report.html, predictions and every digest",
        ]
    )


def _gates(verdict: Verdict) -> list[str]:
    head = ["| | gate | of | measured | asked |", "|---|---|---|---:|---|"]
    return head + [
        f"| {'✓ passed' if gate.passed else '✗ **refused**'} | {gate.metric} | {wording.arm(gate)} "
        f"| {wording.measured(gate)} | {wording.bound(gate)} |"
        for gate in verdict.gates
    ]


def _metrics(evaluation: Evaluation) -> list[str]:
    arms: tuple[Arm, ...] = get_args(Arm)
    lines = ["| metric | base | tuned | difference |", "|---|---:|---:|---:|"]
    for metric in dict.fromkeys(m.name for m in evaluation.metrics):
        base, tuned = (evaluation.value(arm, metric) for arm in arms)
        values = (wording.figure(metric, base), wording.figure(metric, tuned), wording.difference(metric, base, tuned))
        lines.append(f"| {wording.meaning(metric).title} | {' | '.join(values)} |")
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
