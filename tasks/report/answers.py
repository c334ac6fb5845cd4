"""What the arms answered, read from the files of evaluation and judge: intervals, telling rows, failures, probes.

Never computes a metric and never decides. What the page shows of it, the Markdown beside a run shows too.

    verdict.comparison       JSON: see `tasks.judge.compare`
    evaluation.report        JSON: see `tasks.evaluate.report`, and leaks, shots, off_task
    evaluation.predictions   Parquet: id, label, prompt, expected, and for each arm its text, _correct and _failure
    champion.answers         the same of the champion, on the same rows
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from tasks.report import wording
from tasks.results import Artifact, ChampionEvaluation, Evaluation, Frozen, Verdict

EXAMPLES = 8  # of each outcome
EXAMPLES_OF_A_FAILURE = 2
FAILED_PROBES = 3  # of a kind
IDS = 200  # of lost rows that are named
MAX_OF_A_FIELD = 80  # characters
MAX_CHARACTERS = 1_500  # of one text: the page is read, not searched
FREE_TEXT = ("generation", "chat")  # right to the letter says little there
LIKENESS = "rouge_l"  # by which free texts are compared row by row

Outcome = Literal["won", "lost", "still_wrong", "still_right"]
Open = Callable[[Artifact], Path]


class Read(Frozen):
    """A record of another stage's file: what is not known here is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Estimate(Read):
    """A figure, or a difference of two, and the ends of its interval; None where it is not a finite number."""

    value: float | None
    low: float | None = None
    high: float | None = None


class SliceLine(Read):
    """A part of the test rows, how each arm does on it, and what the tuned arm has more than each other one."""

    name: str
    rows: int
    metric: str | None
    arms: dict[str, Estimate]
    differences: dict[str, Estimate] = Field({})


class Comparison(Read):
    """Every figure with its interval, and what the tuned arm has more than each other one."""

    confidence: float
    measured_on: dict[str, str] = Field({})
    arms: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    slices: dict[str, tuple[SliceLine, ...]]

    @property
    def paces_differ(self) -> bool:
        """Whether the champion's latency was measured on another machine, or with other threads or batches."""
        return len(set(self.measured_on.values())) > 1

    def of(self, arm: str, metric: str) -> Estimate | None:
        """The figure of one arm, or None where its noise is not known."""
        return self.arms.get(arm, {}).get(metric)

    def against(self, arm: str, metric: str) -> Estimate | None:
        """Tuned minus that arm, or None where its noise is not known."""
        return self.differences.get(arm, {}).get(metric)


class Answer(Frozen):
    """What one arm answered; `failure` is what is wrong with it, None where it is right."""

    arm: str
    text: str
    correct: bool
    failure: str | None


class Differing(Frozen):
    """A field of a JSON answer that is not as expected, both values as JSON; None where one has no such field."""

    name: str
    expected: str | None
    answered: str | None


class Example(Frozen):
    """One held-out row and its answers; `differs` are the JSON fields that the tuned arm answered otherwise."""

    id: str
    label: str | None
    prompt: str
    expected: str
    answers: tuple[Answer, ...]
    differs: tuple[Differing, ...] = ()

    def of(self, arm: str) -> Answer:
        """The answer of one arm."""
        return next(answer for answer in self.answers if answer.arm == arm)


class Examples(Frozen):
    """How many rows had one outcome, the worst of them, and the ids of as many more."""

    outcome: Outcome
    total: int
    shown: tuple[Example, ...]
    ids: tuple[str, ...]


class Failure(Frozen):
    """A kind of failure: in how many rows of each arm, and rows in which the tuned arm fails so."""

    kind: str
    rows: dict[str, int]
    shown: tuple[Example, ...]


class Probe(Read):
    """A prompt off the task that the tuned arm failed; `answer` is None where it may hold a personal value."""

    id: str
    kind: str
    prompt: str
    answer: str | None


class Other(Read):
    """A file of another tool, and what it says of the tuned arm."""

    format: str
    file: str
    sha256: str
    figures: dict[str, float]


class Leak(Read):
    """A test row that a training row resembles, by their ids."""

    test: str
    train: str
    similarity: float


class Answered(Frozen):
    """What the files say of the arms.

    `against` is the arm that wins and losses are counted against: the champion or, without one, the base. `by` is the
    metric by which the rows of free texts are compared, None where an answer is right or wrong.
    """

    task: str
    against: str
    by: str | None
    comparison: Comparison
    examples: tuple[Examples, ...]
    failures: tuple[Failure, ...]
    probes: dict[str, tuple[Probe, ...]]
    leaks: tuple[Leak, ...]
    shots: int
    others: tuple[Other, ...]

    def outcome(self, outcome: Outcome) -> Examples:
        """The examples of one outcome."""
        return next(group for group in self.examples if group.outcome == outcome)


def read_answers(evaluation: Evaluation, champion: ChampionEvaluation, verdict: Verdict, open_: Open) -> Answered:
    """Open and read the files.

    Raises:
        StoreError: a file is gone, or is not the one its digest names.
    """
    scored = _json(open_(evaluation.report))
    answers = champion.answers
    failures = {name: arm.get("failures", {}) for name, arm in scored["arms"].items()}
    if answers is not None:
        failures["champion"] = _json(open_(answers.report))["arms"]["champion"].get("failures", {})
    against = "champion" if answers is not None else "base"
    task = str(scored.get("task", ""))
    likeness = _likeness(evaluation, champion, against, open_) if task in FREE_TEXT else None
    rows = _rows(open_(evaluation.predictions), None if answers is None else open_(answers.predictions))
    ranked = sorted(rows, key=lambda row: _worst_first(row, likeness))
    return Answered(
        task=task,
        against=against,
        by=LIKENESS if likeness is not None else None,
        comparison=read_comparison(verdict, open_),
        examples=tuple(_examples(ranked, against, likeness)),
        failures=tuple(_failures(failures, ranked)),
        probes={name: tuple(_probes(failed)) for name, failed in scored.get("off_task", {}).get("tuned", {}).items()},
        leaks=tuple(Leak.model_validate(leak) for leak in scored.get("leaks", ())),
        shots=len(scored.get("shots", ())),
        others=tuple(Other.model_validate(other) for other in scored.get("external", ())),
    )


def read_comparison(verdict: Verdict, open_: Open) -> Comparison:
    """The intervals of all figures and differences.

    Raises:
        StoreError: the file is gone, or is not the one its digest names.
    """
    return Comparison.model_validate(_json(open_(verdict.comparison)))


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _rows(file: Path, champion: Path | None) -> list[dict[str, Any]]:
    """The rows with the answers of all arms; `answers` names the arms, `place` is where the row stands in the files."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    names = [name.removesuffix("_correct") for name in (rows[0] if rows else ()) if name.endswith("_correct")]
    theirs = {} if champion is None else {str(row["id"]): row for row in pq.read_table(champion).to_pylist()}
    found = []
    for place, row in enumerate(rows):
        both = {**row, **{key: theirs[row["id"]][key] for key in _columns("champion")}} if theirs else row
        found.append({**both, "place": place, "answers": [*names, *(["champion"] if theirs else [])]})
    return found


def _columns(arm: str) -> tuple[str, str, str]:
    return arm, f"{arm}_correct", f"{arm}_failure"


def _likeness(
    evaluation: Evaluation, champion: ChampionEvaluation, against: str, open_: Open
) -> list[tuple[float, float]] | None:
    """How like the reference the answer of each row is: of the arm `against`, and of the tuned one."""
    from tasks.evaluate.measured import read

    files = [evaluation.statistics, *([champion.answers.statistics] if champion.answers else [])]
    found = {one.arm: one.statistic for file in files for one in read(open_(file)) if one.metric == LIKENESS}
    if not {against, "tuned"} <= set(found):
        return None
    sides = [found[arm].rows[:, 0].tolist() for arm in (against, "tuned")]
    return list(zip(*sides, strict=True))


def _worst_first(row: Mapping[str, Any], likeness: Sequence[tuple[float, float]] | None) -> tuple[Any, ...]:
    """Free texts by how much likeness was lost; others by what is wrong, then by how little is right; then by id."""
    lost = 0.0
    if likeness is not None:
        before, after = likeness[row["place"]]
        lost = after - before
    # what goes wrong silently, or must not go out, before what any reader of the answer notices
    kind = wording.GRAVITY.get(row.get("tuned_failure") or "", wording.GRAVEST)
    return lost, kind, _alike(row["expected"] or "", row["tuned"] or ""), str(row["id"])


def _alike(expected: str, answered: str) -> float:
    """The share of right fields of a JSON object, or of words that both texts have, 0 to 1."""
    fields = _fields(expected, answered)
    if fields is not None:
        return 1 - len(_differing(*fields)) / max(1, len({*fields[0], *fields[1]}))
    one, other = Counter(expected.split()), Counter(answered.split())
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 1.0


def _fields(expected: str, answered: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        one, other = json.loads(expected), json.loads(answered)
    except (ValueError, RecursionError):
        return None
    return (one, other) if isinstance(one, dict) and isinstance(other, dict) else None


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Differing, ...]:
    """Fields with another value; as JSON, since 1 is not true."""
    sides = [
        {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in s.items()} for s in (one, other)
    ]
    return tuple(
        Differing(name=key, expected=_brief(sides[0].get(key)), answered=_brief(sides[1].get(key)))
        for key in sorted({*one, *other})
        if sides[0].get(key) != sides[1].get(key)
    )


def _brief(value: str | None) -> str | None:
    return value if value is None or len(value) <= MAX_OF_A_FIELD else f"{value[: MAX_OF_A_FIELD - 1]}…"


def _examples(
    ranked: Sequence[Mapping[str, Any]], against: str, likeness: Sequence[tuple[float, float]] | None
) -> Iterator[Examples]:
    rows: dict[Outcome, list[Mapping[str, Any]]] = {"lost": [], "still_wrong": [], "won": [], "still_right": []}
    for row in ranked:
        rows[_outcome(row, against, likeness)].append(row)
    if likeness is not None:
        rows["won"].reverse()  # the most won first
    for outcome, found in rows.items():
        shown = found[:EXAMPLES] if outcome != "still_right" else []
        ids = tuple(str(row["id"]) for row in found[:IDS]) if outcome == "lost" else ()
        yield Examples(outcome=outcome, total=len(found), shown=tuple(_example(row) for row in shown), ids=ids)


def _outcome(row: Mapping[str, Any], against: str, likeness: Sequence[tuple[float, float]] | None) -> Outcome:
    before, after = (bool(row[f"{arm}_correct"]) for arm in (against, "tuned"))
    if likeness is not None:
        was, is_ = likeness[row["place"]]
        if was != is_:
            return "lost" if is_ < was else "won"
        return "still_right" if after else "still_wrong"
    outcomes: dict[tuple[bool, bool], Outcome] = {
        (False, True): "won",
        (True, False): "lost",
        (False, False): "still_wrong",
        (True, True): "still_right",
    }
    return outcomes[before, after]


def _example(row: Mapping[str, Any]) -> Example:
    expected, answered = (str(row[name] or "") for name in ("expected", "tuned"))
    fields = _fields(expected, answered)
    return Example(
        id=row["id"],
        label=row["label"],
        prompt=_cut(row["prompt"] or ""),
        expected=_cut(expected),
        answers=tuple(
            Answer(
                arm=arm, text=_cut(row[arm] or ""), correct=bool(row[f"{arm}_correct"]), failure=row[f"{arm}_failure"]
            )
            for arm in wording.in_order(row["answers"])
        ),
        differs=() if fields is None else _differing(*fields),
    )


def _failures(counts: Mapping[str, Mapping[str, int]], ranked: Sequence[Mapping[str, Any]]) -> Iterator[Failure]:
    """The kinds that any arm shows, the gravest first."""
    kinds = {kind for arm in counts.values() for kind in arm}
    for kind in sorted(kinds, key=lambda kind: (wording.GRAVITY.get(kind, wording.GRAVEST), kind)):
        rows = [row for row in ranked if row["tuned_failure"] == kind]
        yield Failure(
            kind=kind,
            rows={arm: counts[arm].get(kind, 0) for arm in wording.in_order(counts)},
            shown=tuple(_example(row) for row in rows[:EXAMPLES_OF_A_FAILURE]),
        )


def _probes(failed: Sequence[Mapping[str, Any]]) -> Iterator[Probe]:
    seen: Counter[str] = Counter()
    for failure in failed:
        seen[failure["kind"]] += 1
        if seen[failure["kind"]] <= FAILED_PROBES:
            probe = Probe.model_validate(failure)
            answer = None if probe.answer is None else _cut(probe.answer)
            yield probe.model_copy(update={"prompt": _cut(probe.prompt), "answer": answer})


def _cut(text: str) -> str:
    rest = len(text) - MAX_CHARACTERS
    return text if rest <= 0 else f"{text[:MAX_CHARACTERS]} … ({rest:,} more characters)"
