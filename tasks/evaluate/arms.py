"""The evaluate stage: every arm answers the same untouched rows. Never skips a row or learns a label from one.

    base       the base alone                            prompted   the base, shown some training rows
    tuned      the base with the trained adapter         served     the same in the form it will be served in
    champion   the model in production, in a stage of its own, since it changes when nothing else does

One base stands in memory, adapters are switched on it, and what was answered before is not asked again. Latency is the
wall time of prompts and answers over the rows of an arm, in batches: compare it between the arms of one run, not with a
single request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import Arm, Model, Prompt, Quantization
from conf.schema import Evaluation as EvaluationSection
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.evaluate.contestants import Contestant
from tasks.evaluate.leakage import Leak, leaks
from tasks.evaluate.measure import ArmResult, Held, measure, references_fit, shown
from tasks.evaluate.measured import BOTH_SIDES, TEST, Sampled, write
from tasks.evaluate.metrics import finite
from tasks.evaluate.offtask import ask_off_task
from tasks.evaluate.others import Other, metrics_of
from tasks.evaluate.panel import Asked, Panel
from tasks.evaluate.prompted import best_shots
from tasks.evaluate.report import build
from tasks.evaluate.shots import with_shots
from tasks.evaluate.slices import slices_of
from tasks.evaluate.statistics import gap_of, grouped, mean_of, total
from tasks.results import Adapter, Answers, Artifact, Base, ChampionEvaluation, Evaluation, Metric, Split
from tasks.rows import Row, completion_of, read_rows


class Champion(NamedTuple):
    """The model in production: its verified files, and how it is asked."""

    name: str
    version: str
    adapter_sha256: str
    folder: Path
    base: Base
    model: Model
    prompt: Prompt
    quantization: Quantization
    max_new_tokens: int
    labels: tuple[str, ...]


def evaluate_arms(
    split: Split,
    base: Base,
    adapter: Adapter,
    model: Model,
    prompt: Prompt,
    quantization: Quantization,
    external: Sequence[Other],
    asked: Asked,
) -> Evaluation:
    """Answer the test rows with each arm, measure, and keep predictions, statistics and report.

    Args:
        external: files of other tools on this adapter.

    Raises:
        DataError: there are no test rows, or their answers do not fit the task.
        RecipeError: the JSON Schema is not one.
        ModelError: the chat template fits no prompt that stands before an answer.
    """
    section, workspace = asked.section, asked.workspace
    held = held_out(split, asked)
    panel = Panel(base, model, prompt, quantization, asked)
    folder = workspace.open_folder(adapter.files)
    alone, tuned = panel.contestant(), panel.contestant(folder, adapter.weights.sha256)
    examples = panel.encode(held.conversations)

    def answered(arm: Arm, contestant: Contestant, asked_of: Sequence[Any] = examples) -> ArmResult:
        labels = held.labels if section.constrained else ()
        answers = panel.answers(contestant, asked_of, section.max_new_tokens, arm, labels)
        return measure(held, panel.texts(answers), answers, asked)

    arms: dict[str, ArmResult] = {"base": answered("base", alone)}
    shots = best_shots(panel, alone, split, asked) if section.shots else []
    if shots:
        shown = panel.encode(
            [with_shots(messages, [shot["messages"] for shot in shots]) for messages in held.conversations]
        )
        arms["prompted"] = answered("prompted", alone, shown)
    arms["tuned"] = answered("tuned", tuned)
    gap = _overfitting(panel, tuned, arms["tuned"], held, split, asked)
    off_task = ask_off_task(panel, {"base": alone, "tuned": tuned}, asked)
    if section.served != "as_evaluated":
        arms["served"] = answered("served", panel.contestant(folder, adapter.weights.sha256, section.served))
    leaked = leaks(list(read_rows([workspace.open(split.train.rows)])), held.rows, section.leakage_threshold)
    more = [
        Metric(arm="data", name="leakage", value=len({leak.test for leak in leaked}) / len(held.rows)),
        *(Metric(arm="tuned", name=n, value=v) for n, v in finite({s.metric: total(s.statistic) for s in gap}).items()),
        *off_task.metrics,
        *metrics_of(external),
    ]
    evidence = {
        **_leaks(leaked),
        "shots": [row["id"] for row in shots],
        "off_task": off_task.report,
        "external": [{**other._asdict(), "figures": dict(other.figures)} for other in external],
    }
    answers = _write(held, arms, [*gap, *off_task.sampled], evidence, asked)
    return Evaluation(
        key=workspace.key,
        parents=(split.digest, base.digest, adapter.digest),
        **{**dict(answers), "metrics": (*answers.metrics, *more)},
    )


def evaluate_champion(
    split: Split, name: str, champion: Champion | None, asked: Asked, itself: str | None = None
) -> ChampionEvaluation:
    """Let the model in production answer the same rows, asked as it is asked in production.

    Args:
        champion: None where nobody is to answer.
        itself: the champion's version, where that is the very adapter that was evaluated.

    Raises:
        ModelError: its chat template fits no prompt that stands before an answer.
    """
    key = asked.workspace.key
    if champion is None:
        return ChampionEvaluation(
            key=key, parents=(split.digest,), name=name, version=itself, adapter_sha256=None, answers=None
        )
    held = held_out(split, asked)
    panel = Panel(champion.base, champion.model, champion.prompt, champion.quantization, asked)
    contestant = panel.contestant(champion.folder, champion.adapter_sha256)
    examples = panel.encode(held.conversations)
    answers = panel.answers(contestant, examples, champion.max_new_tokens, "champion", champion.labels)
    result = measure(held, panel.texts(answers), answers, asked, champion.max_new_tokens)
    return ChampionEvaluation(
        key=key,
        parents=(split.digest,),
        name=name,
        version=champion.version,
        adapter_sha256=champion.adapter_sha256,
        answers=_write(held, {"champion": result}, [], {}, asked),
    )


def held_out(split: Split, asked: Asked) -> Held:
    """The test rows and what is expected of them; references that do not fit the task fail before a model is loaded."""
    rows = held_out_rows(split, asked.section, asked.workspace)
    labels = label_set(split, asked.section, asked.workspace)
    held = Held(rows, labels)
    references_fit(held, asked)
    return held


def held_out_rows(split: Split, evaluation: EvaluationSection, workspace: Workspace) -> list[Row]:
    """The test rows by id, all or the first `max_test_rows`: ids are hashes, so the choice favours nothing.

    Raises:
        DataError: there are none.
    """
    rows = sorted(read_rows([workspace.open(split.test.rows)]), key=lambda row: row["id"])
    if not rows:
        raise DataError("evaluation: no test rows; raise split.test_size or give a dataset with side: test")
    return rows[: evaluation.max_test_rows]


def label_set(split: Split, evaluation: EvaluationSection, workspace: Workspace) -> tuple[str, ...]:
    """The closed set of a classification: the recipe's, or the answers of the training rows. Empty for other tasks."""
    if evaluation.task != "classification":
        return ()
    if evaluation.labels is not None:
        return evaluation.labels
    return tuple(sorted({completion_of(row).strip() for row in read_rows([workspace.open(split.train.rows)])}))


def _overfitting(
    panel: Panel, tuned: Contestant, result: ArmResult, held: Held, split: Split, asked: Asked
) -> list[Sampled]:
    """How much less likely a token of the test rows is than one of the validation rows, in nats.

    Both sides are scored by the tuned arm, so that nothing else differs. None where a side has no two groups of rows:
    nothing would tell how sure the gap is.
    """
    validation = list(read_rows([asked.workspace.open(split.validation.rows)]))
    groups = [_numbered(held.rows), _numbered(validation)]
    if min(len(set(numbers)) for numbers in groups) < 2:
        return []
    scored = panel.likelihoods(tuned, panel.encode([row["messages"] for row in validation]))
    sides = [result.scores.statistics["perplexity"], mean_of(scored.nll, scored.nll_tokens)]
    gap = gap_of(*(grouped(side, numbers) for side, numbers in zip(sides, groups, strict=True)))
    return [Sampled("tuned", "overfitting_gap", BOTH_SIDES, gap)]


def _numbered(rows: Sequence[Row]) -> list[int]:
    """The group of each row as a number: no names."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(row["group"], len(numbers)) for row in rows]


def _leaks(leaked: Sequence[Leak]) -> dict[str, Any]:
    return {"leaks": [leak._asdict() for leak in leaked]}


def _write(
    held: Held, arms: Mapping[str, ArmResult], more: Sequence[Sampled], evidence: dict[str, Any], asked: Asked
) -> Answers:
    """The files of the arms, and their figures."""
    workspace, section = asked.workspace, asked.section
    _write_predictions(held, arms, asked)
    sampled = [Sampled(arm, name, TEST, s) for arm, r in arms.items() for name, s in r.scores.statistics.items()]
    write(workspace.folder / "statistics.parquet", [*sampled, *more], asked.measured_on)
    content = {**build(section.task, len(held.rows), held.labels, arms), **evidence}
    (workspace.folder / "report.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    names: tuple[tuple[str, str], ...] = (
        ("predictions", "predictions.parquet"),
        ("statistics", "statistics.parquet"),
        ("report", "report.json"),
    )
    files: dict[str, Artifact] = {field: workspace.artifact(name) for field, name in names}
    metrics = [
        Metric.model_validate({"arm": arm, "name": name, "value": value})
        for arm, result in arms.items()
        for name, value in result.scores.metrics.items()
    ]
    return Answers(**files, n_rows=len(held.rows), metrics=tuple(metrics))


def _write_predictions(held: Held, arms: Mapping[str, ArmResult], asked: Asked) -> None:
    """A line a row: id, group, label, prompt, expected, slice_…, and for each arm text, `_correct` and `_failure`."""
    slices = slices_of(asked.section.slices, held.row_labels, held.prompts, held.sources)
    columns: dict[str, Any] = {
        "id": [row["id"] for row in held.rows],
        "group": _numbered(held.rows),
        "label": pa.array(held.row_labels, pa.string()),
        "prompt": held.prompts,
        "expected": held.expected,
        **{f"slice_{kind}": list(names) for kind, names in slices.items()},
    }
    for arm, result in arms.items():
        columns[arm] = shown(result, asked)
        columns[f"{arm}_correct"] = list(result.scores.correct)
        columns[f"{arm}_failure"] = pa.array(result.failures, pa.string())
    pq.write_table(pa.table(columns), asked.workspace.folder / "predictions.parquet", compression="zstd")
