"""The lines of the page's tables: figures beside their intervals and drawings, in the order in which they are read.

Pure, and never judges: what a gate says of a figure stands in the verdict alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from conf.schema import PROBE_METRICS, Recipe
from tasks.evaluate.pace import LATENCY
from tasks.report import forest, wording
from tasks.report.answers import Answered, Estimate, SliceLine
from tasks.report.facts import ReportFacts
from tasks.report.wording import MINUS
from tasks.results import ChampionEvaluation, Evaluation

OPPONENTS = ("champion", "prompted", "base", "served")  # whom a reader asks about first
COLUMNS = ("tuned", *OPPONENTS)
WORDS: dict[wording.Told, tuple[str, str]] = {
    "better": ("▲ better", "good"),
    "worse": ("▼ worse", "bad"),
    "changed": ("changed", "muted"),
    "open": ("not told apart", "muted"),
}
SAFETY = ("unsafe_rate", "over_refusal", "injection_followed", "pii_disclosed", "no_answer")


class Asked(Protocol):
    """Who answered, and what the files say of it: the facts of the page, or as much of them as Markdown needs."""

    @property
    def evaluation(self) -> Evaluation:
        """The arms of the run."""

    @property
    def champion(self) -> ChampionEvaluation:
        """The model in production."""

    @property
    def answered(self) -> Answered:
        """Intervals, rows and failures."""


class Cell(NamedTuple):
    """One figure of one arm, and its interval, empty where the noise is not known."""

    arm: str
    value: str
    between: str


class ArmLine(NamedTuple):
    """One metric, and each arm's figure."""

    metric: str
    meaning: wording.Meaning
    cells: list[Cell]


class DifferenceLine(NamedTuple):
    """One metric: what the tuned arm has more than another; `drawing` is empty where the noise is not known.

    `theirs` and `ours` are the two figures themselves.
    """

    metric: str
    meaning: wording.Meaning
    value: str
    between: str
    drawing: str
    word: str
    css: str
    theirs: str
    ours: str


class Against(NamedTuple):
    """All differences to one arm: shares on one scale under its axis, other figures each on its own."""

    arm: str
    axis: str
    shares: list[DifferenceLine]
    others: list[DifferenceLine]


class Part(NamedTuple):
    """One slice: its rows, the arms drawn, the figure of the tuned one, and what that has more than its rival."""

    name: str
    rows: int
    drawing: str
    value: str
    between: str
    more: str
    more_between: str
    word: str
    css: str


class Slices(NamedTuple):
    """The slices of one kind, the worst of the tuned arm first."""

    kind: str
    metric: str
    arms: list[str]
    axis: str
    parts: list[Part]


class Tile(NamedTuple):
    """One thing that a reader asks about before anything else, and where the page says more of it."""

    place: str
    title: str
    value: str
    more: str
    css: str = ""


def columns(facts: Asked) -> list[str]:
    """Who answered, as a reader compares them: the tuned arm, and whom it would replace, stand side by side."""
    there = wording.arms(facts.evaluation, facts.champion)
    return [arm for arm in COLUMNS if arm in there]


def arms(facts: Asked) -> list[ArmLine]:
    """The metrics on the held-out rows, a cell for each of `columns`."""
    found = columns(facts)
    return [
        ArmLine(name, wording.meaning(name), [_cell(facts, arm, name) for arm in found])
        for name in wording.metrics_of_arms(facts.evaluation)
    ]


def _cell(facts: Asked, arm: str, metric: str) -> Cell:
    value = wording.of_arm(facts.evaluation, facts.champion, arm, metric)
    estimate = facts.answered.comparison.of(arm, metric)
    between = wording.interval(metric, estimate.low, estimate.high) if estimate else ""
    return Cell(arm, wording.figure(metric, value) if value is not None else "", between)


def differences(facts: Asked) -> list[Against]:
    """Tuned minus each other arm that answered the held-out rows."""
    there = wording.arms(facts.evaluation, facts.champion)
    names = wording.metrics_of_arms(facts.evaluation)
    return [against for arm in OPPONENTS if arm in there if (against := _against(facts, arm, names))]


def probes(facts: Asked, of: Sequence[str]) -> Against | None:
    """The same of what was asked off the task, tuned minus base."""
    return _against(facts, "base", [name for name in of if facts.evaluation.value("tuned", name) is not None])


FORGETTING = tuple(name for name in PROBE_METRICS if name.startswith("forgetting") or name == "general_perplexity")


def _against(facts: Asked, arm: str, names: Sequence[str]) -> Against | None:
    found = [(name, _difference(facts, arm, name)) for name in names]
    known = [(name, estimate) for name, estimate in found if estimate is not None]
    if not known:
        return None
    shares = [(name, e) for name, e in known if wording.meaning(name).unit == "fraction"]
    scale = forest.Scale.over([0.0, *(v for _, e in shares for v in (e.value, e.low, e.high))], (-1.0, 1.0))
    return Against(
        arm=arm,
        axis=forest.axis(scale) if shares else "",
        shares=[_difference_line(facts, arm, name, estimate, scale) for name, estimate in shares],
        others=[
            _difference_line(facts, arm, name, estimate, None)
            for name, estimate in known
            if wording.meaning(name).unit != "fraction"
        ],
    )


def _difference(facts: Asked, arm: str, metric: str) -> Estimate | None:
    known = facts.answered.comparison.against(arm, metric)
    if known is not None:
        return known
    if metric == LATENCY and arm == "champion" and facts.answered.comparison.paces_differ:
        return None
    sides = [wording.of_arm(facts.evaluation, facts.champion, one, metric) for one in ("tuned", arm)]
    tuned, other = sides
    return None if tuned is None or other is None else Estimate(value=tuned - other)


def _difference_line(
    facts: Asked, arm: str, metric: str, estimate: Estimate, scale: forest.Scale | None
) -> DifferenceLine:
    theirs, ours = (wording.of_arm(facts.evaluation, facts.champion, one, metric) for one in (arm, "tuned"))
    noisy = estimate.low is not None and estimate.high is not None
    own = scale or forest.Scale.over((0.0, estimate.value, estimate.low, estimate.high))
    word, css = WORDS[wording.told(metric, estimate.low, estimate.high)] if noisy else ("noise not known", "muted")
    return DifferenceLine(
        metric=metric,
        meaning=wording.meaning(metric),
        value=signed(metric, estimate.value),
        between=_signed_interval(metric, estimate),
        drawing=forest.difference(metric, estimate, own, labelled=scale is None) if noisy else "",
        word=word,
        css=css,
        theirs=wording.figure(metric, theirs),
        ours=wording.figure(metric, ours),
    )


def signed(metric: str, value: float | None) -> str:
    """A difference with its sign."""
    text = wording.figure(metric, value)
    return text if value is None or text.startswith(MINUS) else f"+{text}"


def _signed_interval(metric: str, estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{signed(metric, estimate.low)} to {signed(metric, estimate.high)}"


def slices(facts: Asked) -> list[Slices]:
    """One table a kind; the worst slice of the tuned arm stands first."""
    rival = facts.answered.against
    return [_slices(kind, lines, rival) for kind, lines in facts.answered.comparison.slices.items() if lines]


def _slices(kind: str, lines: Sequence[SliceLine], rival: str) -> Slices:
    metric = lines[0].metric or ""
    higher = wording.meaning(metric).better != "lower"
    values = [v for line in lines for e in line.arms.values() for v in (e.value, e.low, e.high)]
    scale = forest.Scale.over(values, forest.limits_of(metric))

    def worst_first(line: SliceLine) -> tuple[float, str]:
        value = line.arms["tuned"].value
        return (float("-inf") if value is None else value if higher else -value), line.name

    return Slices(
        kind=kind,
        metric=metric,
        arms=wording.in_order(lines[0].arms),
        axis=forest.axis(scale),
        parts=[_part(line, metric, scale, rival) for line in sorted(lines, key=worst_first)],
    )


def _part(line: SliceLine, metric: str, scale: forest.Scale, rival: str) -> Part:
    tuned, more = line.arms["tuned"], line.differences.get(rival, Estimate(value=None))
    word, css = WORDS[wording.told(metric, more.low, more.high)]
    return Part(
        name=line.name,
        rows=line.rows,
        drawing=forest.arms(metric, line.arms, scale),
        value=wording.figure(metric, tuned.value),
        between=wording.interval(metric, tuned.low, tuned.high),
        more=signed(metric, more.value),
        more_between=_signed_interval(metric, more),
        word=word,
        css=css,
    )


def tiles(recipe: Recipe, facts: ReportFacts) -> list[Tile]:
    """What an approver asks first, each in a line."""
    return [
        *_told(facts),
        _lost(facts),
        *_off_task(facts),
        _leakage(facts),
        _personal(facts),
        _people(facts),
        _licence(recipe),
        _cost(facts),
    ]


def _told(facts: ReportFacts) -> Iterator[Tile]:
    """The main figure against whoever is to be replaced, and against the base with the best prompt."""
    metric = wording.main_metric(facts.evaluation)
    for arm, title in (
        ("champion", "Against the champion"),
        ("prompted", "Against prompting"),
        ("base", "Against the base"),
    ):
        estimate = facts.answered.comparison.against(arm, metric) if metric else None
        if metric and estimate:
            word, css = WORDS[wording.told(metric, estimate.low, estimate.high)]
            value = f"{signed(metric, estimate.value)} {word}"
            yield Tile(
                "arms", title, value, f"{wording.meaning(metric).title}, {_signed_interval(metric, estimate)}", css
            )


def _lost(facts: ReportFacts) -> Tile:
    answered = facts.answered
    lost, won = answered.outcome("lost").total, answered.outcome("won").total
    return Tile(
        "rows",
        "Rows lost and won",
        f"{lost:,} lost, {won:,} won",
        f"against the {answered.against}, of {facts.evaluation.n_rows:,}",
    )


def _off_task(facts: ReportFacts) -> Iterator[Tile]:
    for metric, title in (("forgetting_accuracy", "Other abilities"), ("unsafe_rate", "Unsafe answers")):
        estimate = facts.answered.comparison.against("base", metric)
        if estimate is None:
            yield Tile("off-task", title, "not measured", "the recipe leaves it out")
            continue
        word, css = WORDS[wording.told(metric, estimate.low, estimate.high)]
        yield Tile(
            "off-task",
            title,
            f"{signed(metric, estimate.value)} {word}",
            f"against the base, {_signed_interval(metric, estimate)}",
            css,
        )


def _leakage(facts: ReportFacts) -> Tile:
    leaked = len({leak.test for leak in facts.answered.leaks})
    return Tile(
        "data",
        "Leakage",
        f"{leaked:,} of {facts.evaluation.n_rows:,}",
        "test rows that resemble a training row",
        "bad" if leaked else "good",
    )


def _personal(facts: ReportFacts) -> Tile:
    recall, left = facts.clean.value("canary_recall"), facts.evaluation.value("tuned", "second_look")
    more = (
        "not looked for in the answers"
        if left is None
        else f"{wording.figure('second_look', left)} of 1,000 answers with a suspect"
    )
    value = "not measured" if recall is None else f"{100 * recall:.1f} % taken away"
    return Tile("data", "Planted personal values", value, more)


def _people(facts: ReportFacts) -> Tile:
    people = facts.people
    if not people.n_reviewers:
        return Tile("people", "People", "nobody was asked", "")
    accuracy, stoppers = people.value("people_factual_accuracy"), people.value("showstoppers")
    asked = f"{people.n_reviewers} reviewer{'' if people.n_reviewers == 1 else 's'}"
    few = f"too few for a figure: {people.lacks}"
    scored = few if accuracy is None else f"{accuracy:.1f} of 5 on accuracy, {asked}"
    if stoppers:
        return Tile("people", "People", f"{stoppers:.0f} showstopper{'' if stoppers == 1 else 's'}", scored, "bad")
    if accuracy is None:
        return Tile("people", "People", asked, scored)
    return Tile("people", "People", f"{accuracy:.1f} of 5 on accuracy", f"{asked}, no showstopper")


def _licence(recipe: Recipe) -> Tile:
    data = dict.fromkeys(dataset.license or "not stated" for dataset in recipe.datasets)
    stated = recipe.model.license is not None and "not stated" not in data
    more = f"of the base; of the data: {', '.join(data)}"
    return Tile("lineage", "Licences", recipe.model.license or "not stated", more, "" if stated else "open")


def _cost(facts: ReportFacts) -> Tile:
    spent = (
        f"{wording.duration(sum(facts.seconds.values()))} in all stages" if facts.seconds else "the time is not known"
    )
    return Tile("training", "Cost", f"{facts.adapter.train_tokens:,} tokens", spent)
