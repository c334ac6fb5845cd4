"""The review page in Markdown, as the Prefect UI shows it beside a run: verdict first. Pure; report.html says more.

Never quotes a row: what was lost is named by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from conf.schema import Recipe
from tasks.people.results import SCALES, People
from tasks.report import lines, wording
from tasks.report.answers import Answered
from tasks.report.facts import Told
from tasks.report.since import Change, Since
from tasks.results import ChampionEvaluation, Evaluation, Outcome, Verdict

WORDS = {"passed": "Passed", "failed": "Refused", "inconclusive": "Inconclusive, so refused"}
STATES = {"passed": "✓ passed", "failed": "✗ **failed**", "inconclusive": "? **inconclusive**"}
IDS = 10  # of the worst lost rows
WORST = 3  # slices of a kind
CHANGES = 15  # of the recipe, and of the code
MINUS = wording.MINUS


class _Said(NamedTuple):
    """What the tables are made of."""

    evaluation: Evaluation
    champion: ChampionEvaluation
    answered: Answered


def review(
    recipe: Recipe, outcome: Outcome, answered: Answered, told: Told, tracking_uri: str, run_page: str | None = None
) -> str:
    """The page of one run.

    Args:
        recipe: that was run.
        outcome: of the run.
        answered: what the files of evaluation and verdict say.
        told: what else report.html was told.
        tracking_uri: where the rest of the record lies.
        run_page: the address of the run there, where a browser can follow it.
    """
    candidate, verdict = outcome.candidate, outcome.verdict
    run = f"[`{candidate.run_id}`]({run_page})" if run_page else f"`{candidate.run_id}`"
    said = _Said(outcome.evaluation, outcome.champion, answered)
    parts = [
        [f"# {WORDS[verdict.state]}: {candidate.name} version {candidate.version}", "", _headline(verdict, said)],
        _gates(verdict),
        ["## Since the champion", "", *_since(told.since, said.champion)],
        [f"## The arms on {outcome.evaluation.n_rows:,} held-out rows", "", *_arms(said)],
        *_differences(said),
        [f"## Rows against the {answered.against}", "", *_rows(answered)],
        ["## Failures", "", *_failures(said, wording.about_failures(recipe.evaluation.task))],
        ["## Slices", "", *_slices(said)],
        ["## Off the task", "", *_off_task(said)],
        *_of_others(answered),
        ["## Data", "", *_data(outcome, answered)],
        ["## Licences", "", *_licences(recipe)],
        ["## People", "", *_people(told.people)],
        ["## Cost", "", *_cost(outcome, told)],
        [
            "## Record",
            "",
            f"- Recipe `{recipe.name}`, digest `{wording.short(recipe.digest())}`",
            f"- Adapter `{wording.short(outcome.adapter.weights.sha256)}`: what an approver types to decide on it",
            f"- MLflow run {run} of {tracking_uri}, with report.html, predictions and every digest",
        ],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _headline(verdict: Verdict, said: _Said) -> str:
    needed = wording.settles(verdict)
    more = f" About {needed:,} test rows would settle it; there are {said.evaluation.n_rows:,}." if needed else ""
    return wording.headline(verdict.gates) + more


def _gates(verdict: Verdict) -> list[str]:
    gates = wording.worst_first(verdict.gates)
    head = [
        "| | gate | of | measured | truth between | asked | sure |",
        "|---|---|---|---:|---|---|---:|",
    ]
    table = [
        f"| {STATES[gate.state]} | {gate.metric} | {_cell(wording.arm(gate))} | {wording.measured(gate)} "
        f"| {wording.interval(gate.metric, gate.low, gate.high)} | {wording.bound(gate)} "
        f"| {f'{100 * gate.confidence:g} %' if gate.confidence else ''} |"
        for gate in gates
    ]
    # below the table, which is as wide as Prefect's page: what stood further right would be cut off
    reasons = [
        f"- {STATES[gate.state]}: {_cell(gate.reason)}" for gate in gates if gate.state != "passed" or wording.why(gate)
    ]
    fixed = [f"{_cell(gate.metric)} of {_cell(wording.arm(gate))}" for gate in gates if not gate.overridable]
    return [*head, *table, "", *reasons, f"- Cannot be overridden: {'; '.join(fixed)}"]  # leakage never can


def _cell(text: str) -> str:
    """A text that may be a label of the data, so that it does not end its cell or make markup."""
    return "".join(f"\\{c}" if c in "\\|`*_[]<>" else c for c in " ".join(text.split()))


def _since(since: Since | None, champion: ChampionEvaluation) -> list[str]:
    if since is None and champion.version and not champion.answers:
        return [f"This very adapter is the champion, version {champion.version}: there is nothing to compare with."]
    if since is None:
        return ["What it was made of is not at hand." if champion.answers else "There is no champion to compare with."]
    if since.unreadable:
        return [f"What {since.champion} was made of cannot be read: {_cell(since.unreadable)}"]
    rows = [
        f"- {moved.side} rows: {moved.kept:,} kept, {moved.added:,} added, {moved.gone:,} gone"
        for moved in since.rows or ()
    ]
    known = f"- **{since.known:,} of today's test rows were training rows of the champion**" if since.known else ""
    return [
        f"- The champion is {since.champion}",
        *([known] if known else []),
        *(rows or ["- rows: the champion's are not in this store"]),
        *_changes("data", [change for change in since.data if not change.same]),
        *_changes("recipe", since.recipe),
        *(_changes("code", since.code) if since.code is not None else ["- code: the champion's is not known"]),
    ]


def _changes(of: str, changes: Sequence[Change]) -> list[str]:
    """What changed, a line each; `report.html` has all of them, and the lines of long values that differ."""
    if not changes:
        return [f"- {of}: nothing changed"]
    found = [
        f"- {of}: {_cell(change.what)}, {_cell(change.before or 'not there')} → {_cell(change.after or 'not there')}"
        for change in changes[:CHANGES]
    ]
    more = len(changes) - CHANGES
    return [*found, f"- {of}: {more:,} more in report.html"] if more > 0 else found


def _slices(said: _Said) -> list[str]:
    """The worst of each kind."""
    found = lines.slices(said)
    if not found:
        return ["None has rows enough, or the recipe asks for none."]
    rival = said.answered.against
    told = f"{wording.meaning(found[0].metric).title} on parts of the test rows, the worst {WORST} of each kind."
    head = [
        f"| by | part | rows | tuned | truth between | tuned {MINUS} {rival} | truth between |",
        "|---|---|---:|---:|---|---:|---|",
    ]
    return [told, "", *head] + [
        f"| {group.kind} | {_cell(part.name)} | {part.rows:,} | {part.value} | {part.between} | {part.more} "
        f"| {part.more_between} |"
        for group in found
        for part in group.parts[:WORST]
    ]


def _people(people: People) -> list[str]:
    if not people.n_reviewers:
        return ["Nobody was asked."]
    stoppers = [
        f"- ✗ **showstopper**: row `{wording.short(found.row)}`, {found.scale.replace('_', ' ')} {found.score} "
        f"({_cell(found.reviewer)})"
        for found in people.showstoppers
    ] or ["- no showstopper"]
    asked = f"- {people.n_reviewers} reviewer{'' if people.n_reviewers == 1 else 's'}, {people.n_rows:,} rows"
    if people.lacks:
        return [f"{asked}: too few for a figure ({people.lacks})", *stoppers]
    means = [
        f"{scale.replace('_', ' ')} {mean:.2f}"
        for scale in SCALES
        if (mean := people.value(f"people_{scale}")) is not None
    ]
    return [f"{asked}, tuned beside {people.against}; of 5: {', '.join(means)}", *stoppers]


def _cost(outcome: Outcome, told: Told) -> list[str]:
    spent = ", ".join(f"{name} {wording.duration(seconds)}" for name, seconds in told.seconds.items())
    whole = f"{wording.duration(sum(told.seconds.values()))} in all stages: {spent}" if spent else "not known"
    return [f"- {outcome.adapter.train_tokens:,} tokens trained on", f"- time: {whole}"]


def _arms(said: _Said) -> list[str]:
    arms = lines.columns(said)
    found = [f"| metric | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    for line in lines.arms(said):
        cells = [f"{cell.value} ({cell.between})" if cell.between else cell.value for cell in line.cells]
        found.append(f"| {line.meaning.title} | {' | '.join(cells)} |")
    return found


def _differences(said: _Said) -> Iterator[list[str]]:
    """Against the champion and the base with the best prompt; the base where there is neither."""
    for against in lines.differences(said)[:2]:
        head = [f"| metric | tuned {MINUS} {against.arm} | truth between | says |", "|---|---:|---|---|"]
        found = [
            f"| {line.meaning.title} | {line.value} | {line.between} | {line.word} |"
            for line in (*against.shares, *against.others)
        ]
        yield [f"## Tuned against {against.arm}", "", *head, *found]


def _rows(answered: Answered) -> list[str]:
    lost, won, still = (answered.outcome(name) for name in ("lost", "won", "still_wrong"))
    ids = ", ".join(f"`{wording.short(row)}`" for row in lost.ids[:IDS])
    by = f", by {wording.meaning(answered.by).title}" if answered.by else ""
    told = [f"- {lost.total:,} lost, {won.total:,} won, {still.total:,} still wrong{by}"]
    return [*told, f"- lost, worst first: {ids}"] if ids else told


def _failures(said: _Said, about: str) -> list[str]:
    arms = lines.columns(said)
    if not said.answered.failures:
        return ["No arm gave a wrong answer."]
    head = [f"| kind | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    return [*([about, ""] if about else []), *head] + [
        f"| {wording.failure(failure.kind)[0]} | {' | '.join(f'{failure.rows.get(arm, 0):,}' for arm in arms)} |"
        for failure in said.answered.failures
    ]


def _off_task(said: _Said) -> list[str]:
    found = [against for names in (lines.FORGETTING, lines.SAFETY) if (against := lines.probes(said, names))]
    if not found:
        return ["Not asked: the recipe leaves it out."]
    head = [f"| | base | tuned | tuned {MINUS} base | truth between | says |", "|---|---:|---:|---:|---|---|"]
    return head + [
        f"| {line.meaning.title} | {line.theirs} | {line.ours} | {line.value} | {line.between} | {line.word} |"
        for against in found
        for line in (*against.shares, *against.others)
    ]


def _of_others(answered: Answered) -> Iterator[list[str]]:
    """What other tools measured of the tuned arm, each figure with its file."""
    if answered.others:
        head = ["| figure | tuned | file |", "|---|---:|---|"]
        found = [
            f"| {_cell(name)} | {wording.figure(name, value)} | {_cell(other.file)} `{wording.short(other.sha256)}` |"
            for other in answered.others
            for name, value in sorted(other.figures.items())
        ]
        yield ["## What other tools measured", "", *head, *found]


def _licences(recipe: Recipe) -> list[str]:
    """What the base and each source may be used under."""
    stated = [(recipe.model.model_name_or_path, recipe.model.license)]
    stated += [(dataset.path, dataset.license) for dataset in recipe.datasets]
    return [f"- {_cell(name)}: {_cell(licence) if licence else '**not stated**'}" for name, licence in stated]


def _data(outcome: Outcome, answered: Answered) -> list[str]:
    p = outcome.prepared
    sides = (("train", p.split.train), ("validation", p.split.validation), ("test", p.split.test))
    found = sum(count.count for count in p.clean.entities)
    recall = p.clean.value("canary_recall")
    proof = "not measured" if recall is None else f"{100 * recall:.1f} % of the planted ones"
    leaked = len({leak.test for leak in answered.leaks})
    return [
        f"- {p.raw.n_rows:,} rows read, {p.raw.n_rejected:,} rejected",
        f"- {found:,} personal values taken out of {p.clean.rows_with_entities:,} rows; proof: {proof}",
        f"- {p.checked.n_rows:,} rows kept by the checks, {p.checked.n_rejected:,} dropped",
        "- " + " · ".join(f"{name} {side.n_rows:,}" for name, side in sides),
        f"- {leaked:,} of {outcome.evaluation.n_rows:,} test rows resemble a training row",
    ]
