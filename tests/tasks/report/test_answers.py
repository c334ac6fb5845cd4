"""Which rows are shown, in which order, and what is counted of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.artifacts import sha256_of
from tasks.errors import DigestMismatch
from tasks.report import render, wording
from tasks.report.answers import EXAMPLES, MAX_CHARACTERS, Answered, Example, read_answers
from tasks.results import Artifact
from tests.tasks.report.finished import Run, finished_run


def rows_of(run: Run) -> dict[str, dict[str, Any]]:
    """The predictions by id, the champion's beside them."""
    rows: dict[str, dict[str, Any]] = {}
    for answers in (run.evaluation, run.champion.answers):
        if answers is not None:
            for row in pq.read_table(run.store.open(answers.predictions)).to_pylist():
                rows.setdefault(row["id"], {}).update(row)
    return rows


def answered(run: Run) -> Answered:
    return read_answers(run.evaluation, run.champion, run.verdict, run.store.open)


def with_rows(run: Run, change: dict[str, Any]) -> Run:
    """The run with the first row's predictions changed."""
    old = run.evaluation.predictions
    place = Path(run.store.root) / old.path
    table = pq.read_table(place)
    rows = table.to_pylist()
    rows[0].update(change)
    pq.write_table(table.from_pylist(rows, schema=table.schema), place)
    predictions = Artifact(path=old.path, sha256=sha256_of(place), bytes=place.stat().st_size)
    return replace(run, evaluation=run.evaluation.model_copy(update={"predictions": predictions}))


def test_rows_are_won_and_lost_against_the_champion(passed_run: Run) -> None:
    found, rows = answered(passed_run), rows_of(passed_run)
    assert found.against == "champion"
    lost = {key for key, row in rows.items() if row["champion_correct"] and not row["tuned_correct"]}
    won = {key for key, row in rows.items() if row["tuned_correct"] and not row["champion_correct"]}
    assert found.outcome("lost").total == len(lost) > EXAMPLES
    assert set(found.outcome("lost").ids) == lost
    assert found.outcome("won").total == len(won)
    assert sum(group.total for group in found.examples) == len(rows)


def test_without_a_champion_rows_are_won_and_lost_against_the_base(first_run: Run) -> None:
    found, rows = answered(first_run), rows_of(first_run)
    assert found.against == "base"
    assert found.outcome("won").total == sum(row["tuned_correct"] and not row["base_correct"] for row in rows.values())


def test_the_worst_stand_first_by_gravity_then_by_how_little_is_right_then_by_id(passed_run: Run) -> None:
    shown = answered(passed_run).outcome("lost").shown
    gravity = [wording.GRAVITY[example.of("tuned").failure or ""] for example in shown]
    assert gravity == sorted(gravity)
    assert len(shown) == EXAMPLES
    same = [e for e in shown if e.of("tuned").failure == "wrong_label"]
    assert [len(e.differs) for e in same] == sorted((len(e.differs) for e in same), reverse=True)


def test_an_example_names_the_fields_in_which_it_is_wrong_with_both_values(passed_run: Run) -> None:
    shown = answered(passed_run).outcome("lost").shown
    claim = next(example for example in shown if example.of("tuned").failure == "unsupported_claim")
    (field,) = claim.differs
    assert (field.name, field.answered) == ("product", '"Ultra 9000"')
    assert field.expected in {'"Basic"', '"Plus"', '"Fibre 500"', '"Mobile S"', '"TV Max"'}


def test_a_field_that_is_missing_is_absent_and_not_null(run: Run) -> None:
    changed = with_rows(
        run, {"expected": '{"a": null, "b": 1}', "tuned": '{"b": true}', "tuned_correct": False, "champion": "x"}
    )
    found = answered(changed)
    first = pq.read_table(changed.store.open(changed.evaluation.predictions))["id"][0].as_py()
    row = next(e for group in found.examples for e in group.shown if e.id == first)
    assert [(d.name, d.expected, d.answered) for d in row.differs] == [("a", "null", None), ("b", "1", "true")]


def test_failures_are_counted_for_every_arm_with_rows_of_the_tuned_one(passed_run: Run) -> None:
    found, rows = answered(passed_run), rows_of(passed_run)
    for failure in found.failures:
        for arm, count in failure.rows.items():
            assert count == sum(row[f"{arm}_failure"] == failure.kind for row in rows.values())
        assert all(example.of("tuned").failure == failure.kind for example in failure.shown)
    assert [set(failure.rows) for failure in found.failures] == [
        {"base", "prompted", "champion", "tuned", "served"}
    ] * len(found.failures)
    wrong = sum(not row["champion_correct"] for row in rows.values())
    assert sum(failure.rows["champion"] for failure in found.failures) == wrong


def likeness(example: Example) -> float:
    """ROUGE-L of what the tuned arm said."""
    from rouge_score.rouge_scorer import RougeScorer

    said = RougeScorer(["rougeL"]).score(example.expected, example.of("tuned").text)
    return float(said["rougeL"].fmeasure)


def test_free_texts_are_lost_where_they_became_less_like_the_reference(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "generation", champion=True)
    found = answered(run)
    assert found.by == "rouge_l"
    first, last = found.outcome("lost").shown[0], found.outcome("lost").shown[-1]
    assert likeness(first) <= likeness(last)
    assert first.of("champion").text == first.expected
    assert found.outcome("lost").total + found.outcome("won").total > 0
    assert sum(group.total for group in found.examples) == run.evaluation.n_rows
    assert wording.PARAPHRASES in render(run.recipe, run.facts())


def test_a_long_text_is_cut_and_says_how_much_is_missing(run: Run) -> None:
    text = "x" * (MAX_CHARACTERS + 500)
    changed = with_rows(
        run, {"prompt": text, "tuned": "y", "tuned_correct": False, "tuned_failure": "policy_violation"}
    )
    found = answered(changed)
    row = next(e for group in found.examples for e in group.shown if e.prompt.startswith("xxx"))
    assert row.prompt == "x" * MAX_CHARACTERS + " … (500 more characters)"


def test_a_kind_of_failure_that_is_not_known_stands_first(run: Run) -> None:
    found = answered(with_rows(run, {"tuned": "y", "tuned_correct": False, "tuned_failure": "haywire"}))
    group = next(group for group in found.examples for e in group.shown if e.of("tuned").failure == "haywire")
    assert group.shown[0].of("tuned").failure == "haywire"


def test_probes_that_failed_are_a_few_of_each_kind(passed_run: Run) -> None:
    found = answered(passed_run)
    kinds = [probe.kind for probe in found.probes["forgetting"]]
    assert set(kinds) == {"arithmetic", "facts", "reading", "instruction", "code"}
    assert max(kinds.count(kind) for kind in kinds) <= 3
    assert {probe.kind for probe in found.probes["safety"]} <= {"harmful", "jailbreak", "injection", "pii", "harmless"}


def test_a_file_that_was_changed_is_not_shown(run: Run) -> None:
    (Path(run.store.root) / run.evaluation.report.path).write_text("{}", encoding="utf-8")
    with pytest.raises(DigestMismatch, match=r"report\.json"):
        answered(run)
