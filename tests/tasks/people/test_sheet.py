"""Which rows a sheet holds, and in which order its answers stand."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tasks.errors import RecipeError, StoreError
from tasks.people.sheet import find_sheet, make_sheet, order, questions, sample, tuned_first
from tests.tasks.people.made import make_evaluation, row_id, store_in, the_champion

IDS = [row_id(number) for number in range(200)]


def test_the_sample_follows_from_the_evaluation_and_the_ids_alone() -> None:
    assert sample(IDS, "one", 20) == sample(reversed(IDS), "one", 20)
    assert sample(IDS, "one", 20) != sample(IDS, "another", 20)


def test_a_larger_sample_begins_with_the_smaller() -> None:
    assert sample(IDS, "one", 50)[:20] == sample(IDS, "one", 20)


def test_a_sample_larger_than_the_rows_is_all_of_them_once() -> None:
    assert sorted(sample([*IDS, IDS[0]], "one", 1000)) == sorted(IDS)


@pytest.mark.parametrize("count", [1, 2, 7, 20, 21])
def test_each_arm_stands_first_in_half_of_the_rows(count: int) -> None:
    first = tuned_first(IDS[:count], b"s" * 32)
    assert abs(2 * len(first) - count) <= 1
    assert first <= set(IDS[:count])


def test_the_order_follows_from_the_secret() -> None:
    orders = {tuned_first(IDS[:20], bytes([number]) * 32) for number in range(20)}
    assert len(orders) == 20
    assert {len(tuned_first(IDS[:1], bytes([number]) * 32)) for number in range(20)} == {0, 1}


def test_a_sheet_asked_for_again_is_the_same_and_another_evaluation_has_another(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    evaluation = make_evaluation(store)
    sheet = make_sheet(evaluation, 10, None, store)
    assert make_sheet(evaluation, 10, "base", store) == sheet
    assert len({sheet.name, make_sheet(make_evaluation(store, key="other"), 10, None, store).name}) == 2
    assert find_sheet(sheet.name, store_in(tmp_path)) == sheet
    assert find_sheet("sheet-0000000000000000", store) is None


def test_the_secret_is_its_owners_alone_and_differs_between_stores(tmp_path: Path) -> None:
    sheets = []
    for name in ("here", "there"):
        store = store_in(tmp_path / name)
        sheet = make_sheet(make_evaluation(store), 10, None, store)
        file = store.open(sheet.secret)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_bytes()) == 32
        sheets.append(sheet)
    assert sheets[0].rows == sheets[1].rows
    assert sheets[0].secret.sha256 != sheets[1].secret.sha256
    assert sheets[0].name != sheets[1].name


def test_a_lost_secret_makes_another_sheet_and_never_the_old_one_in_another_order(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    evaluation = make_evaluation(store)
    sheet = make_sheet(evaluation, 10, None, store)
    store.open(sheet.secret).unlink()
    again = make_sheet(evaluation, 10, None, store_in(tmp_path))
    assert again.name != sheet.name
    assert find_sheet(sheet.name, store_in(tmp_path)) is None


def test_questions_show_both_answers_in_the_order_that_was_drawn(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sheet = make_sheet(make_evaluation(store), 10, None, store)
    first = order(sheet, store)
    asked = questions(sheet, store)
    assert [question.number for question in asked] == list(range(1, 11))
    for row, question in zip(sheet.rows, asked, strict=True):
        assert ("second arm" in question.a) == (row in first)
        assert ("first arm" in question.b) == (row in first)
        assert question.a.rsplit(" ", 1)[1] == question.b.rsplit(" ", 1)[1] == question.reference.rsplit(" ", 1)[1]


def test_against_the_champion_where_it_answered_and_never_where_it_did_not(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with_champion = make_evaluation(store, champion=True, key="champion")
    champion = the_champion(with_champion)
    assert make_sheet(with_champion, 5, None, store, champion).against == "champion"
    assert make_sheet(with_champion, 5, "base", store, champion).against == "base"
    without = make_evaluation(store)
    assert make_sheet(without, 5, None, store).against == "base"
    with pytest.raises(RecipeError, match=r"^--against champion: no champion answered the rows of this evaluation$"):
        make_sheet(without, 5, "champion", store)


def test_predictions_that_were_changed_are_not_asked_about(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    evaluation = make_evaluation(store)
    with store.open(evaluation.predictions).open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(StoreError, match="not what its digest says"):
        make_sheet(evaluation, 5, None, store_in(tmp_path))
