"""The review page: one self-contained HTML file that a person reads before deciding. No script, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.schema import Recipe
from tasks.artifacts import Workspace
from tasks.people.results import SCALES, People
from tasks.report import forest, lines, wording
from tasks.report.facts import Confusion, ReportFacts, Score, Told, gather
from tasks.report.since import Since
from tasks.results import (
    Adapter,
    ChampionEvaluation,
    CheckedData,
    Count,
    Evaluation,
    RawData,
    Report,
    Result,
    ScrubbedData,
    SmokeTest,
    Split,
    Verdict,
)

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["ReportFacts", "gather", "render", "write_report"]

FEW_SCORES = 15  # a longer table of scores is folded away
CONFUSIONS = 12  # rows of the table of confusions
DONE = {
    "replace": "replaced",
    "pseudonym": "numbered",
    "surrogate": "made-up value",
    "hash": "keyed hash",
    "drop_row": "row dropped",
    "keep": "kept",
}


def write_report(
    recipe: Recipe,
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
) -> Report:
    """Write `report.html`, and `told.json` for shorter forms of it.

    Args:
        since: what changed since the champion was made; None without a champion.
        seconds: by stage what it took, when it was done.
        run_url: where the MLflow run lies; a link where a browser can follow it.

    Raises:
        StoreError: a file of an earlier stage is gone, or is not the one its digest names.
    """
    facts = gather(
        raw,
        clean,
        checked,
        split,
        smoke,
        adapter,
        evaluation,
        champion,
        people,
        verdict,
        workspace=workspace,
        since=since,
        seconds=seconds,
        run_url=run_url,
    )
    (workspace.folder / "report.html").write_text(render(recipe, facts), encoding="utf-8")
    told = Told(people=people, since=since, seconds=dict(seconds or {}))
    (workspace.folder / "told.json").write_text(told.model_dump_json(), encoding="utf-8")
    return Report(
        key=workspace.key,
        parents=tuple(
            r.digest for r in (raw, clean, checked, split, smoke, adapter, evaluation, champion, people, verdict)
        ),
        page=workspace.artifact("report.html"),
        told=workspace.artifact("told.json"),
    )


def render(recipe: Recipe, facts: ReportFacts) -> str:
    """The page as HTML. The same recipe and facts always give the same text."""
    from markupsafe import Markup

    from tasks.report import plots

    # our own drawings, whose texts plots.py and forest.py escape: the only thing that the template does not
    matrices = [Markup(plots.confusion_matrix(c, f"confusion-{i}")) for i, c in enumerate(facts.confusions)]  # noqa: S704
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            recipe=recipe,
            facts=facts,
            answered=facts.answered,
            evaluation=facts.evaluation,
            verdict=facts.verdict,
            split=facts.split,
            adapter=facts.adapter,
            people=facts.people,
            since=facts.since,
            final=[gate for gate in facts.verdict.gates if not gate.passed and not gate.overridable],
            settles=wording.settles(facts.verdict),
            tiles=lines.tiles(recipe, facts),
            arms=lines.columns(facts),
            arm_lines=lines.arms(facts),
            differences=lines.differences(facts),
            about_failures=wording.about_failures(recipe.evaluation.task),
            slices=lines.slices(facts),
            forgetting=lines.probes(facts, lines.FORGETTING),
            safety=lines.probes(facts, lines.SAFETY),
            scales=SCALES,
            curve=Markup(plots.loss_curve(facts.history, facts.adapter.best_step)),  # noqa: S704
            matrices=list(zip(facts.confusions, matrices, strict=True)),
            confused=_most_confused(facts.confusions),
            classes=sorted(facts.classes, key=_weakest_first),
            few=len(facts.classes) <= FEW_SCORES and not facts.fields,
            learned=sum(token.loss for token in facts.tokens),
            entities=sorted(facts.clean.entities, key=lambda entity: (-entity.count, entity.name)),
            done_with=partial(_done_with, recipe),
            canary_recall=facts.clean.value("canary_recall"),
            sides=_sides(facts.split),
            labels=_rows_by_label(facts.split),
            stages=_stages(facts),
            resolved=resolved_recipe(recipe),
        )
    )


def resolved_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every default spelled out, texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    values = recipe.resolved()
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "arm": wording.arm,
        "axis": _drawn(forest.axis),
        "between": wording.interval,
        "bound": wording.bound,
        "contestant": lambda arm: wording.CONTESTANTS.get(arm, arm),
        "drawn": _drawn(lambda drawing: drawing),
        "drawn_gate": _drawn(forest.gate),
        "duration": wording.duration,
        "failure": wording.failure,
        "figure": wording.figure,
        "headline": wording.headline,
        "is_link": lambda url: url.startswith(("http://", "https://")),
        "key": _drawn(forest.key),
        "meaning": wording.meaning,
        "measured": wording.measured,
        "most": lambda counts: max(counts.values(), default=0),
        "sentence": lambda name: name.removeprefix("expect_").replace("_", " "),
        "short": wording.short,
        "why": wording.why,
        "worst_first": wording.worst_first,
    }
    return environment


def _drawn(draw: Callable[..., str]) -> Callable[..., Any]:
    """A drawing of ours as a text that the template does not escape: forest.py does."""
    from markupsafe import Markup

    return lambda *arguments: Markup(draw(*arguments))  # noqa: S704


def _weakest_first(score: Score) -> tuple[float, str, str]:
    return (-1.0 if score.tuned is None else score.tuned, score.field or "", score.name)


def _most_confused(confusions: tuple[Confusion, ...]) -> list[tuple[str | None, str, str, int]]:
    """Field, expected label, answered label, rows: off the diagonal, most rows first."""
    found = [
        (confusion.field, expected, answered, count)
        for confusion in confusions
        for expected, row in zip(confusion.labels, confusion.counts, strict=True)
        for answered, count in zip(confusion.labels, row, strict=True)
        if expected != answered and count
    ]
    return sorted(found, key=lambda item: (-item[3], *map(str, item)))[:CONFUSIONS]


def _done_with(recipe: Recipe, entity: str) -> str:
    operator = recipe.pii.entities.get(entity)
    return DONE[operator] if operator else ""


def _sides(split: Split) -> list[tuple[str, object]]:
    return [("Train", split.train), ("Validation", split.validation), ("Test", split.test)]


def _rows_by_label(split: Split) -> list[tuple[str, list[int]]]:
    """The label and its rows in train, validation and test; nothing where the rows have no label."""

    def by_name(counts: tuple[Count, ...]) -> dict[str, int]:
        return {count.name: count.count for count in counts}

    sides = [by_name(side.labels) for side in (split.train, split.validation, split.test)]
    return [
        (label, [side.get(label, 0) for side in sides]) for label in sorted({name for side in sides for name in side})
    ]


def _stages(facts: ReportFacts) -> list[tuple[str, Result]]:
    return [
        ("Ingest", facts.raw),
        ("Scrub", facts.clean),
        ("Check", facts.checked),
        ("Split", facts.split),
        ("Smoke test", facts.smoke),
        ("Adapter", facts.adapter),
        ("Evaluation", facts.evaluation),
        ("Verdict", facts.verdict),
    ]
