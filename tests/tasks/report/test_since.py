"""What changed since the champion, from two records."""

import copy
from typing import Any

import pytest

from tasks.report.since import Change, Made, Since, since
from tests.tasks.report.finished import Run, made_before, made_now


def test_a_candidate_that_is_made_as_the_champion_was_has_no_change(passed_run: Run) -> None:
    now = made_now(passed_run)
    found = since(now._replace(name="tickets version 3"), now)
    assert found.champion == "tickets version 3"
    assert all(change.same for change in found.data)
    assert found.recipe == ()
    assert found.code == ()
    assert found.known == 0
    assert found.rows is not None
    assert [(moved.added, moved.gone) for moved in found.rows] == [(0, 0)] * 3


@pytest.fixture
def found(passed_run: Run) -> Since:
    return since(made_before(passed_run), made_now(passed_run))


def test_rows_are_told_apart_by_their_ids(found: Since) -> None:
    assert found.rows is not None
    train, _, test = found.rows
    assert (train.side, train.kept, train.added, train.gone) == ("train", 800, 200, 11)
    assert (test.kept, test.added, test.gone) == (240, 0, 0)


def test_sources_counts_and_digests_stand_beside_each_other(found: Since) -> None:
    data = {change.what: (change.before, change.after) for change in found.data}
    assert data["source tickets.jsonl"] == ("1,223 rows, 4d4d4d4d4d4d", "1,200 rows, 5e5e5e5e5e5e")
    assert data["source phone-notes.jsonl"] == (None, "300 rows, 7b7b7b7b7b7b")
    assert data["rows read"] == ("1,223", "1,500")
    assert data["training rows"] == ("811", "1,000")
    assert data["base model, digest"] == ("9c9c9c9c9c9c", "9c9c9c9c9c9c")


def test_the_recipe_is_compared_key_by_key_and_a_new_gate_is_one_change(found: Since) -> None:
    recipe = {change.what: change for change in found.recipe}
    assert set(recipe) == {
        "prompt.system",
        "training.learning_rate",
        "gates[exact_match tuned].min",
        "gates[exact_match tuned champion]",
    }
    assert (recipe["training.learning_rate"].before, recipe["training.learning_rate"].after) == ("0.0004", "0.0002")
    assert (recipe["gates[exact_match tuned].min"].before, recipe["gates[exact_match tuned].min"].after) == (
        "0.75",
        "0.8",
    )
    added = recipe["gates[exact_match tuned champion]"]
    assert added.before is None
    assert added.after is not None
    assert "min -0.05" in added.after
    assert "slice" not in added.after  # is null


def test_a_long_text_is_shown_by_the_lines_that_differ(found: Since) -> None:
    change = next(change for change in found.recipe if change.what == "prompt.system")
    assert "-Category, priority, action, product." in change.lines
    assert "+Nothing else." in change.lines


def test_a_value_that_moved_in_a_list_is_no_change(passed_run: Run) -> None:
    now = made_now(passed_run)
    recipe = copy.deepcopy(dict(now.recipe))
    recipe["gates"] = list(reversed(recipe["gates"]))
    assert since(now._replace(recipe=recipe), now).recipe == ()


def test_stages_whose_code_changed_alike_are_told_once(found: Since) -> None:
    assert found.code == (
        Change(what="git revision", before="1c2d1c2d1c2d+", after="8f3a8f3a8f3a", where="adapter, evaluation"),
        Change(what="torch", before="2.12.1", after="2.13.0", where="adapter, evaluation"),
    )


def test_test_rows_that_the_champion_was_trained_on_are_counted(passed_run: Run) -> None:
    before, now = made_before(passed_run), made_now(passed_run)
    rows = {**before.rows, "train": before.rows["train"] | {"test 1", "test 2"}}
    assert since(before._replace(rows=rows), now).known == 2


@pytest.mark.parametrize("missing", ["rows", "manifests"])
def test_what_the_store_lacks_is_said_to_be_unknown_and_not_unchanged(passed_run: Run, missing: str) -> None:
    before: Made = made_before(passed_run)._replace(**{missing: {}})
    found = since(before, made_now(passed_run))
    assert (found.rows is None, found.known is None, found.code is None) == (
        missing == "rows",
        missing == "rows",
        missing == "manifests",
    )


def test_a_record_of_another_version_lacks_a_count_and_not_the_page(passed_run: Run) -> None:
    before = made_before(passed_run)
    lineage: dict[str, Any] = copy.deepcopy(dict(before.lineage))
    del lineage["adapter"]["train_tokens"]
    found = since(before._replace(lineage=lineage), made_now(passed_run))
    tokens = next(change for change in found.data if change.what == "tokens trained on")
    assert (tokens.before, tokens.after) == (None, "303,412")
