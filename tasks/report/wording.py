"""How a figure, a bound and a digest are written for a person, on the page and at a terminal. Never judges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tasks.results import GateResult

Better = Literal["higher", "lower", "neither"]
Change = Literal["better", "worse", "same", "changed", "unknown"]
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
        "Personal values", "that a second look by other means finds, per 1,000 answers or rows", "lower", "number"
    ),
    "second_look_names": Meaning("Suspected names", "that a second look sees, per 1,000 rows", "lower", "number"),
    "canary_recall": Meaning("Canary recall", "share of the planted values that scrubbing took away"),
    "worst_canary_recall": Meaning("Worst canary recall", "of the entity of which scrubbing took away the least"),
    "generated_tokens_per_row": Meaning("Answer length", "generated tokens a row", "neither", "number"),
}


def meaning(metric: str) -> Meaning:
    """What is known of a metric; an unknown one is shown under its own name, and no direction is claimed for it."""
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


def difference(metric: str, base: float | None, tuned: float | None) -> str:
    """Tuned minus base with its sign, or an empty text where one of them is missing."""
    if base is None or tuned is None:
        return ""
    text = figure(metric, tuned - base)
    return text if text.startswith(MINUS) else f"+{text}"


def change(metric: str, base: float | None, tuned: float | None) -> Change:
    """Whether the tuned arm is better than the base: lower is better for perplexity and latency."""
    if base is None or tuned is None or math.isnan(base) or math.isnan(tuned):
        return "unknown"
    if base == tuned:
        return "same"
    better = meaning(metric).better
    if better == "neither":
        return "changed"
    return "better" if (tuned > base) == (better == "higher") else "worse"


def bound(gate: GateResult) -> str:
    """What the gate asks for: `at least 0.9`, `at most 2`, `0.1 to 0.9`."""
    low, high = (None if limit is None else f"{limit:g}".replace("-", MINUS) for limit in (gate.min, gate.max))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}"


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
    return f"+{text}" if gate.arm == "difference" and value > 0 else text


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def arm(gate: GateResult) -> str:
    """Which figure the gate looks at."""
    return {"difference": f"tuned {MINUS} base", "data": "scrubbed rows"}.get(gate.arm, gate.arm)


def headline(gates: tuple[GateResult, ...]) -> str:
    """The verdict in one sentence."""
    refused = [gate for gate in gates if not gate.passed]
    if not gates:
        return "There was no gate to pass."
    if not refused:
        return "The one gate passed." if len(gates) == 1 else f"All {len(gates)} gates passed."
    verb = "gate" if len(gates) == 1 else "gates"
    return f"{len(refused)} of {len(gates)} {verb} refused."


def short(digest: str) -> str:
    """The first twelve hex digits, enough for a person to compare."""
    return digest[:12]


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
