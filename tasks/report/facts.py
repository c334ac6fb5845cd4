"""Everything the report page shows, gathered from the files of the stages. Never computes a metric and never decides.

The files, as the stages leave them, beside those of `tasks.report.answers`:

    adapter.history    JSON lines: step, epoch, and loss or eval_loss
    checked.report     JSON: see `tasks.check.suite.Outcome`
    smoke.report       JSON: tokens, a list of text and loss
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.artifacts import Workspace
from tasks.people.results import People
from tasks.report.answers import Answered, read_answers
from tasks.report.since import Since
from tasks.results import (
    Adapter,
    ChampionEvaluation,
    CheckedData,
    Evaluation,
    Frozen,
    RawData,
    ScrubbedData,
    SmokeTest,
    Split,
    Verdict,
)


class Step(Frozen):
    """One line of the training history."""

    step: int
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None


class ExpectationResult(Frozen):
    """One expectation, what it asks for in words, and how many values broke it; never the values."""

    type: str
    column: str | None = None
    severity: str = "critical"
    success: bool
    asked: str = ""
    element_count: int | None = None
    unexpected_count: int | None = None
    observed_value: int | None = None


class Score(Frozen):
    """F1 of one class in both arms; `support` is the number of test rows.

    `field` is the field that a class belongs to, where the answers are JSON.
    """

    name: str
    field: str | None = None
    base: float | None
    tuned: float | None
    support: int | None = None


class FieldScores(Frozen):
    """Precision, recall and F1 of one field, each the mean over its values, in both arms: (base, tuned)."""

    name: str
    precision: tuple[float | None, float | None]
    recall: tuple[float | None, float | None]
    f1: tuple[float | None, float | None]
    support: int | None


class Confusion(Frozen):
    """Rows of the tuned arm by expected (first index) and answered label (second index); of one field, if JSON."""

    field: str | None = None
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Token(Frozen):
    """One token of the smoke test's row; `loss` where the training learns from it."""

    text: str
    loss: bool


class ReportFacts(Frozen):
    """What the page shows.

    `since` is what changed since the champion was made, None without one. `seconds` is what each stage took, when it
    was done; `run_url` is where the MLflow run lies.
    """

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
    answered: Answered
    history: tuple[Step, ...]
    expectations: tuple[ExpectationResult, ...]
    fields: tuple[FieldScores, ...]
    classes: tuple[Score, ...]
    confusions: tuple[Confusion, ...]
    tokens: tuple[Token, ...]
    since: Since | None
    seconds: dict[str, float]
    run_url: str | None


class Told(Frozen):
    """What the page is told beside the results of the stages; see `ReportFacts`."""

    people: People
    since: Since | None
    seconds: dict[str, float]


def gather(
    raw: RawData,
    clean: ScrubbedData,
    checked: CheckedData,
    split: Split,
    smoke: SmokeTest,
    adapter: Adapter,
    evaluation: Evaluation,
    champion: ChampionEvaluation,
    people: People,
    verdict: Verdict,
    *,
    workspace: Workspace,
    since: Since | None = None,
    seconds: Mapping[str, float] | None = None,
    run_url: str | None = None,
) -> ReportFacts:
    """Open and read the stages' files.

    Raises:
        StoreError: a file is gone, or is not the one its digest names.
    """
    scored = json.loads(workspace.open(evaluation.report).read_text(encoding="utf-8"))
    base, tuned = (scored["arms"].get(arm, {}) for arm in ("base", "tuned"))
    base_fields, tuned_fields = base.get("per_field", {}), tuned.get("per_field", {})
    return ReportFacts(
        raw=raw,
        clean=clean,
        checked=checked,
        split=split,
        smoke=smoke,
        adapter=adapter,
        evaluation=evaluation,
        champion=champion,
        people=people,
        verdict=verdict,
        answered=read_answers(evaluation, champion, verdict, workspace.open),
        history=tuple(_history(workspace.open(adapter.history))),
        expectations=tuple(_expectations(json.loads(workspace.open(checked.report).read_text(encoding="utf-8")))),
        fields=tuple(_fields(base_fields, tuned_fields)),
        classes=(
            *_scores(base.get("per_class", {}), tuned.get("per_class", {})),
            *(
                score
                for name in tuned_fields
                for score in _scores(
                    base_fields.get(name, {}).get("per_class", {}), tuned_fields[name].get("per_class", {}), name
                )
            ),
        ),
        confusions=tuple(_confusions(tuned)),
        tokens=tuple(_tokens(json.loads(workspace.open(smoke.report).read_text(encoding="utf-8")))),
        since=since,
        seconds=dict(seconds or {}),
        run_url=run_url,
    )


def _history(file: Path) -> Iterator[Step]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            record = json.loads(line)
            yield Step.model_validate({key: record[key] for key in Step.model_fields if key in record})


def _expectations(report: dict[str, Any]) -> Iterator[ExpectationResult]:
    for record in report["expectations"]:
        known = {key: record[key] for key in ExpectationResult.model_fields if key in record}
        yield ExpectationResult.model_validate({**known, "asked": _in_words(record.get("asked", {}))})


def _in_words(asked: dict[str, Any]) -> str:
    """`min value 1, max value 2,000`; a list is told by its length."""
    return ", ".join(
        f"{key.replace('_', ' ')} {f'of {len(value)}' if isinstance(value, list) else _number(value)}"
        for key, value in asked.items()
    )


def _number(value: object) -> str:
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _tokens(report: dict[str, Any]) -> Iterator[Token]:
    for token in report["tokens"]:
        yield Token(text=token["text"], loss=token["loss"])


def _scores(base: dict[str, Any], tuned: dict[str, Any], field: str | None = None) -> tuple[Score, ...]:
    """The names of both arms in alphabetical order."""
    return tuple(
        Score(
            name=name,
            field=field,
            base=base.get(name, {}).get("f1"),
            tuned=tuned.get(name, {}).get("f1"),
            support=tuned.get(name, base.get(name, {})).get("support"),
        )
        for name in sorted({*base, *tuned})
    )


def _fields(base: dict[str, Any], tuned: dict[str, Any]) -> Iterator[FieldScores]:
    """The fields of both arms in alphabetical order."""
    for name in sorted({*base, *tuned}):
        sides = base.get(name, {}), tuned.get(name, {})
        both = {of: (sides[0].get(of), sides[1].get(of)) for of in ("precision", "recall", "f1")}
        yield FieldScores(name=name, support=sides[1].get("support", sides[0].get("support")), **both)


def _confusions(tuned: dict[str, Any]) -> Iterator[Confusion]:
    """That of the labels, or one a field."""
    by_field = {name: scores.get("confusion") for name, scores in tuned.get("per_field", {}).items()}
    for field, found in (by_field or {None: tuned.get("confusion")}).items():
        if found:
            counts = tuple(tuple(row) for row in found["matrix"])
            yield Confusion(field=field, labels=tuple(found["labels"]), counts=counts)
