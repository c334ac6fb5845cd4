"""The base with the best prompt: which training rows it is shown is settled on validation rows, never on test rows."""

from __future__ import annotations

from tasks.evaluate.contestants import Contestant
from tasks.evaluate.panel import Asked, Panel
from tasks.evaluate.shots import best_of, choose_shots, with_shots
from tasks.results import Split
from tasks.rows import Row, read_rows

CHOICES = 3  # sets of shots that are tried
TRIED_ON = 16  # validation rows, by id


def best_shots(panel: Panel, base: Contestant, split: Split, asked: Asked) -> list[Row]:
    """Of a few sets of training rows the one under which the base finds the validation answers most likely.

    Without validation rows the first set; none where the training rows are fewer than the shots.
    """
    workspace, count = asked.workspace, asked.section.shots
    train = sorted(read_rows([workspace.open(split.train.rows)]), key=lambda row: row["id"])
    validation = sorted(read_rows([workspace.open(split.validation.rows)]), key=lambda row: row["id"])[:TRIED_ON]
    sets = [choose_shots(train, count, seed) for seed in range(CHOICES)] if len(train) >= count else []
    if not sets or not validation:
        return sets[0] if sets else []
    return sets[best_of(sets, lambda shots: -_surprise(panel, base, shots, validation))]


def _surprise(panel: Panel, base: Contestant, shots: list[Row], rows: list[Row]) -> float:
    """Nats a token of the answers to these rows."""
    examples = panel.encode([with_shots(row["messages"], [shot["messages"] for shot in shots]) for row in rows])
    scored = panel.likelihoods(base, examples)
    return sum(scored.nll) / max(1, sum(scored.nll_tokens))
