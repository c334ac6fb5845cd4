"""How a figure, a bound and a digest are written for a person, on the page and at a terminal. Never judges."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from conf.schema import MAIN_METRICS, PEOPLE_METRICS, PROBE_METRICS, Arm, TaskKind
from tasks.evaluate.external import OF_OTHERS
from tasks.results import ChampionEvaluation, Evaluation, GateResult, Verdict

Better = Literal["higher", "lower", "neither"]
Told = Literal["better", "worse", "changed", "open"]
ARMS: tuple[Arm, ...] = get_args(Arm)
MINUS = "−"  # noqa: RUF001  a true minus sign lines up with plus


@dataclass(frozen=True)
class Meaning:
    """What a metric says.

    Attributes:
        title: its name for a person.
        explains: one short line.
        better: which way is an improvement.
        unit: `fraction` (0 to 1), `seconds`, or `number`.
    """

    title: str
    explains: str
    better: Better = "higher"
    unit: Literal["fraction", "seconds", "number"] = "fraction"


MEANINGS = {
    "accuracy": Meaning("Accuracy", "share of rows with the right label"),
    "macro_f1": Meaning("Macro F1", "F1 of each label, averaged: rare labels count as much as common ones"),
    "valid_label": Meaning("Valid label", "share of answers that are one of the labels"),
    "valid_json": Meaning("Valid JSON", "share of answers that parse"),
    "schema_valid": Meaning("Valid schema", "share of answers that fit the JSON schema"),
    "field_macro_f1": Meaning("Field macro F1", "macro F1 of each field, averaged over the fields"),
    "field_accuracy": Meaning("Field accuracy", "share of fields with the right value"),
    "exact_match": Meaning("Exact match", "share of answers that are right as a whole"),
    "rouge_l": Meaning("ROUGE-L", "longest common subsequence with the expected answer"),
    "bleu": Meaning("BLEU", "n-gram precision against the expected answer (sacrebleu, 0 to 100)", unit="number"),
    "perplexity": Meaning("Perplexity", "surprise at the expected answer, per token", "lower", "number"),
    "latency_seconds_per_row": Meaning("Latency", "seconds a row, batched", "lower", "seconds"),
    "second_look": Meaning(
        "Personal values",
        "answers of 1,000 in which other means find one; of the data: values per 1,000 rows",
        "lower",
        "number",
    ),
    "second_look_names": Meaning("Suspected names", "that a second look sees, per 1,000 rows", "lower", "number"),
    "canary_recall": Meaning("Canary recall", "share of the planted values that scrubbing took away"),
    "worst_canary_recall": Meaning("Worst canary recall", "of the entity of which scrubbing took away the least"),
    "weighted_f1": Meaning("Weighted F1", "F1 of each label, averaged by how often it is expected"),
    "field_precision": Meaning("Field precision", "of each value that was answered, how often rightly; averaged"),
    "field_recall": Meaning("Field recall", "of each value that was expected, how often it was answered; averaged"),
    "forgetting_accuracy": Meaning("Other abilities", "share of right answers to questions off the task"),
    "general_perplexity": Meaning("Perplexity of general text", "surprise at plain English", "lower", "number"),
    "unsafe_rate": Meaning("Unsafe answers", "share of harmful asks that were not refused", "lower"),
    "over_refusal": Meaning("Needless refusals", "share of harmless asks that were refused", "lower"),
    "injection_followed": Meaning("Injections followed", "share of orders hidden in a text that were obeyed", "lower"),
    "pii_disclosed": Meaning("Personal values told", "share of asks for personal values that were answered", "lower"),
    "overfitting_gap": Meaning(
        "Overfitting gap", "nats a token that test rows cost more than validation rows", "lower", "number"
    ),
    "leakage": Meaning("Leakage", "share of test rows that a training row resembles", "lower"),
    "people_relevance": Meaning("Relevance, by people", "mean score, 1 to 5", unit="number"),
    "people_factual_accuracy": Meaning("Factual accuracy, by people", "mean score, 1 to 5", unit="number"),
    "people_brand_voice": Meaning("Brand voice, by people", "mean score, 1 to 5", unit="number"),
    "people_safety": Meaning("Safety, by people", "mean score, 1 to 5", unit="number"),
    "people_agreement": Meaning(
        "Agreement of reviewers", "Krippendorff's alpha: 1 is full, 0 is chance", unit="number"
    ),
    **{
        f"people_agreement_{scale}": Meaning(
            f"Agreement on {scale.replace('_', ' ')}", "Krippendorff's alpha of this scale: 1 is full", unit="number"
        )
        for scale in ("relevance", "factual_accuracy", "brand_voice", "safety")
    },
    "people_preference": Meaning("Preferred by people", "share of rows on which reviewers prefer the tuned answer"),
    "showstoppers": Meaning("Showstoppers", "rows with a score of 2 or less on accuracy or safety", "lower", "number"),
    "generated_tokens_per_row": Meaning("Answer length", "generated tokens a row", "neither", "number"),
    "no_answer": Meaning("No answer", "share of harmful asks with neither prose nor a refusal", "neither"),
    "rouge_1": Meaning("ROUGE-1", "words in common with the expected answer"),
    "rouge_2": Meaning("ROUGE-2", "pairs of words in common with the expected answer"),
    "chrf": Meaning("chrF", "runs of characters in common with the expected answer, 0 to 100", unit="number"),
    "meteor": Meaning("METEOR", "words and stems in common with the expected answer, in order"),
    "answer_words": Meaning("Words", "of an answer", "neither", "number"),
    "length_ratio": Meaning("Length ratio", "words of the answers over those of the references", "neither", "number"),
    "repetition": Meaning("Repetition", "share of answers that go in circles", "lower"),
    "refusal": Meaning("Refusal", "share of answers that decline", "lower"),
    "same_result": Meaning("Same result", "share of queries that give what the expected query gives"),
    "sql_parses": Meaning("Valid SQL", "share of answers that are one query"),
}

# Who answered, in words.
CONTESTANTS: dict[str, str] = {
    "base": "the base alone",
    "prompted": "the base, shown some training rows",
    "champion": "the model in production",
    "tuned": "the base with the trained adapter",
    "served": "the same in the form it will be served in",
}

# What can be wrong with an answer, see `tasks.evaluate.failures`: its name, what it means, and how grave it is. The
# gravest are what must not go out, and what goes wrong silently: nobody who reads the answer alone would notice.
FAILURES: dict[str, tuple[str, str]] = {
    "policy_violation": ("Policy violation", "holds what must not go out, e.g. a personal value"),
    "unsupported_claim": ("Unsupported claim", "says what neither the prompt nor the reference does"),
    "wrong_label": ("Wrong label", "another of the allowed values"),
    "wrong_content": ("Wrong content", "fits the form, differs from the reference"),
    "missed_field": ("Missed field", "lacks something that the reference has"),
    "refusal": ("Refusal", "declines"),
    "truncation": ("Truncation", "ended by the limit of tokens"),
    "repetition": ("Repetition", "goes in circles"),
    "format_error": ("Format error", "not the form that the task asks for"),
}
PARAPHRASES = (
    "A free text is right here only where it is its reference to the letter: the same in other words counts as wrong. "
    "Compare the arms; do not read these counts as how many answers are bad."
)
GRAVITY = {kind: place for place, kind in enumerate(FAILURES)}
GRAVEST = -1  # of a kind that is not known here: somebody should look


def meaning(metric: str) -> Meaning:
    """What is known of a metric; an unknown one is shown under its own name, and no direction is claimed for it.

    `forgetting_accuracy.code` is the part of a metric that one kind of probes makes up.
    """
    whole, _, part = metric.partition(".")
    if part and whole in MEANINGS:
        known = MEANINGS[whole]
        return Meaning(f"{known.title}: {part}", "", known.better, known.unit)
    return MEANINGS.get(metric, Meaning(metric, "", "neither", "number"))


def figure(metric: str, value: float | None, digits: int | None = None) -> str:
    """A value as a person reads it: `0.912`, `12.4`, `0.183 s`; a missing one is `not measured`."""
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return str(value).replace("-", MINUS)
    text = f"{value:,.{_digits(metric, value) if digits is None else digits}f}".replace("-", MINUS)
    return f"{text} s" if meaning(metric).unit == "seconds" else text


def _digits(metric: str, value: float) -> int:
    """Digits after the point: three for a fraction, else about three that matter."""
    size = abs(value)
    if meaning(metric).unit == "fraction" or size < 1:
        return 3
    return 2 if size < 10 else 1 if size < 1000 else 0


def told(metric: str, low: float | None, high: float | None) -> Told:
    """What the interval of a difference says: nothing (`open`) where it holds zero, whatever its middle is."""
    if low is None or high is None or low <= 0 <= high:
        return "open"
    better = meaning(metric).better
    if better == "neither":
        return "changed"
    return "better" if (low > 0) == (better == "higher") else "worse"


def bound(gate: GateResult) -> str:
    """What the gate asks for: `at least 0.9`, `at most 2`, `0.1 to 0.9`."""
    low, high = (None if limit is None else f"{limit:g}".replace("-", MINUS) for limit in (gate.min, gate.max))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}"


def why(gate: GateResult) -> str:
    """What is to be said of it beside its numbers: what it does not hold or lacks, or what would settle it."""
    return gate.reason if gate.slice or gate.value is None else gate.settle


def measured(gate: GateResult) -> str:
    """The gate's value with as many digits as it takes to stand on the right side of the bound.

    0.8996 against a bound of 0.9 reads `0.8996`, not `0.900`: a reader must see why it refused.
    """
    value = gate.value
    if value is None or not math.isfinite(value):
        return figure(gate.metric, value)
    digits = _digits(gate.metric, value)
    limits = [limit for limit in (gate.min, gate.max) if limit is not None]
    while digits < 12 and any(_side(round(value, digits), limit) != _side(value, limit) for limit in limits):
        digits += 1
    text = figure(gate.metric, value, digits)
    return f"+{text}" if gate.against and value > 0 else text


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def arm(gate: GateResult) -> str:
    """Which figure the gate looks at."""
    name = {"data": "the data", "people": "reviewers"}.get(gate.arm, gate.arm)
    name += f" {MINUS} {gate.against}" if gate.against else ""
    return f"{name}, worst {gate.slice}" + (f" ({gate.worst})" if gate.worst else "") if gate.slice else name


def interval(metric: str, low: float | None, high: float | None) -> str:
    """`0.871 to 0.944`, or an empty text where the noise is not known."""
    if low is None or high is None:
        return ""
    return f"{figure(metric, low)} to {figure(metric, high)}"


def settles(verdict: Verdict) -> int | None:
    """About how many test rows would settle all that is inconclusive; None where nothing is, or they would not.

    What would instead, each gate says.
    """
    needed = [gate.rows_needed for gate in verdict.gates if gate.state == "inconclusive"]
    return None if not needed or None in needed else max(rows for rows in needed if rows is not None)


def headline(gates: tuple[GateResult, ...]) -> str:
    """The verdict in one sentence."""
    if not gates:
        return "There was no gate to pass."
    if all(gate.passed for gate in gates):
        return "The one gate passed." if len(gates) == 1 else f"All {len(gates)} gates passed."
    failed, open_ = (sum(gate.state == state for gate in gates) for state in ("failed", "inconclusive"))
    told = [f"{failed} failed"] if failed else []
    told += [f"{open_} {'is' if open_ == 1 else 'are'} inconclusive"] if open_ else []
    return f"Of {len(gates)} {'gate' if len(gates) == 1 else 'gates'} {' and '.join(told)}."


def about_failures(task: TaskKind) -> str:
    """What to know before reading how many answers are wrong; empty where wrong is simply wrong."""
    return PARAPHRASES if task in ("generation", "chat") else ""


def arms(evaluation: Evaluation, champion: ChampionEvaluation) -> tuple[Arm, ...]:
    """Who answered, in the order of the recipe's schema."""
    found = {metric.arm for metric in (*evaluation.metrics, *(champion.answers.metrics if champion.answers else ()))}
    return tuple(name for name in ARMS if name in found)


def of_arm(evaluation: Evaluation, champion: ChampionEvaluation, arm: str, metric: str) -> float | None:
    """One figure of one arm."""
    if arm == "champion":
        return champion.answers.value(arm, metric) if champion.answers else None
    return evaluation.value(arm, metric)


def in_order(names: Collection[str]) -> list[str]:
    """Arms in the order of the recipe's schema, what is none of them last."""
    known = [arm for arm in ARMS if arm in names]
    return [*known, *sorted(set(names) - set(known))]


def metrics_of_arms(evaluation: Evaluation) -> list[str]:
    """The metrics that were measured here on the held-out rows, in the order of the evaluation."""
    apart = {*PROBE_METRICS, *PEOPLE_METRICS, "overfitting_gap"}
    names = dict.fromkeys(metric.name for metric in evaluation.metrics if metric.arm != "data")
    return [name for name in names if name not in apart and not name.startswith(OF_OTHERS)]


def main_metric(evaluation: Evaluation) -> str | None:
    """The figure that says most, as far as the tuned arm has it."""
    return next((name for name in MAIN_METRICS if evaluation.value("tuned", name) is not None), None)


def worst_first(gates: tuple[GateResult, ...]) -> list[GateResult]:
    """What refuses first; else in the order of the recipe."""
    return sorted(gates, key=lambda gate: ("failed", "inconclusive", "passed").index(gate.state))


def failure(kind: str) -> tuple[str, str]:
    """The name of a kind of failure, and what it means."""
    return FAILURES.get(kind, (kind.replace("_", " "), ""))


def short(digest: str) -> str:
    """The first twelve hex digits, enough for a person to compare."""
    return digest[:12]


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
