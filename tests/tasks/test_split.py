"""The split: who stands where depends on the group and the seed alone."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import Split as SplitSection
from tasks.artifacts import Store
from tasks.errors import DataError
from tasks.progress import Nobody, listening, stage
from tasks.results import Side, Split
from tasks.rows import Row, read_rows
from tasks.split import side_of, split_rows
from tests.builders import checked_data, make_rows

SECTION = SplitSection(validation_size=0.1, test_size=0.2, min_test_rows=5)
GROUPS = st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True)


def row(group: str, *, side: str | None = None, label: str | None = None) -> Row:
    made = make_rows(1)[0]
    return {**made, "group": group, "label": label, "meta": {"line": 1, "side": side}}


def split_of(folder: Path, rows: list[Row], section: SplitSection = SECTION, key: str = "k") -> tuple[Store, Split]:
    store = Store(str(folder / "store"), folder / "cache")
    checked = checked_data(store, rows, key)
    with store.writing("split", key) as workspace:
        result = split_rows(checked, section, workspace=workspace)
        store.commit(workspace, result, {})
    assert result.parents == (checked.digest,)
    return store, result


def sides(store: Store, split: Split) -> dict[str, str]:
    """The side on which each row stands, by its id."""
    return {
        row["id"]: name
        for name, side in (("train", split.train), ("validation", split.validation), ("test", split.test))
        for row in read_rows([store.open(side.rows)])
    }


@settings(deadline=None)
@given(GROUPS, st.data())
def test_a_row_keeps_its_side_when_others_come_go_or_change_places(groups: list[str], data: st.DataObject) -> None:
    before = {group: side_of(row(group), SECTION) for group in groups}
    added = data.draw(st.lists(st.text(max_size=8)))
    later = data.draw(st.permutations([*data.draw(st.lists(st.sampled_from(groups))), *added]))
    after = {group: side_of(row(group), SECTION) for group in later}
    assert all(after[group] == before[group] for group in before.keys() & after.keys())


def test_the_files_keep_every_row_on_its_side_when_rows_are_added_and_removed(tmp_path: Path) -> None:
    rows = make_rows(400)
    first = sides(*split_of(tmp_path, rows[:300], key="first"))
    later = sides(*split_of(tmp_path, rows[:49:-1], key="later"))  # 50 are gone, 100 are new, in reverse
    assert len(first) == 300
    assert len(later) == 350
    assert {one: later[one] for one in first.keys() & later.keys()} == {
        one: first[one] for one in first if one in later
    }


@settings(deadline=None)
@given(st.text(), st.integers(0, 10), st.sampled_from([None, "a label"]))
def test_neither_text_nor_label_nor_source_decides_a_side(group: str, number: int, label: str | None) -> None:
    other: Row = {**make_rows(11)[number], "group": group, "label": label, "source": "elsewhere"}
    assert side_of(other, SECTION) == side_of(row(group), SECTION)


@settings(deadline=None)
@given(st.text(), st.floats(0.01, 0.4), st.floats(0, 0.3), st.floats(0.01, 0.2))
def test_a_larger_test_share_takes_rows_from_training_and_gives_none_back(
    group: str, test_size: float, more: float, validation_size: float
) -> None:
    smaller = SplitSection(test_size=test_size, validation_size=validation_size)
    larger = SplitSection(test_size=test_size + more, validation_size=validation_size)
    moved = (side_of(row(group), smaller), side_of(row(group), larger))
    assert moved[0] == moved[1] or moved == ("train", "test")


def test_another_seed_cuts_elsewhere() -> None:
    other = SECTION.model_copy(update={"seed": 1})
    groups = [str(number) for number in range(1000)]
    moved = sum(side_of(row(group), SECTION) != side_of(row(group), other) for group in groups)
    # two independent cuts of 0.7, 0.2 and 0.1 agree on 0.49 + 0.04 + 0.01 of the groups
    assert abs(moved - 460) < 5 * math.sqrt(1000 * 0.46 * 0.54)


def test_the_shares_of_5000_groups_are_those_of_the_recipe_but_for_chance(tmp_path: Path) -> None:
    _, split = split_of(tmp_path, make_rows(5000))
    for side, share in ((split.train, 0.7), (split.validation, 0.1), (split.test, 0.2)):
        assert _is_near(side.n_groups, 5000, share)
        assert side.n_rows == side.n_groups
    assert split.train.n_rows + split.validation.n_rows + split.test.n_rows == 5000


def test_each_label_has_the_recipes_share_of_each_side_but_for_chance(tmp_path: Path) -> None:
    rows = [{**one, "label": "rare" if number % 10 == 0 else "common"} for number, one in enumerate(make_rows(5000))]
    _, split = split_of(tmp_path, rows)  # type: ignore[arg-type]
    for side, share in ((split.train, 0.7), (split.validation, 0.1), (split.test, 0.2)):
        counts = {label.name: label.count for label in side.labels}
        assert _is_near(counts["rare"], 500, share)
        assert _is_near(counts["common"], 4500, share)


def _is_near(count: int, of: int, share: float) -> bool:
    """Within five standard deviations of a binomial count: a sound cut fails once in two million times."""
    return abs(count - of * share) < 5 * math.sqrt(of * share * (1 - share))


def test_every_row_stands_on_one_side_and_no_group_on_two(tmp_path: Path) -> None:
    rows = make_rows(600)
    for number, one in enumerate(rows):
        one["group"] = hashlib.sha256(str(number // 3).encode()).hexdigest()
    store, split = split_of(tmp_path, rows)
    groups = {
        name: {one["group"] for one in read_rows([store.open(side.rows)])}
        for name, side in (("train", split.train), ("validation", split.validation), ("test", split.test))
    }
    assert Counter(sides(store, split).keys()) == Counter(one["id"] for one in rows)
    assert sum(len(found) for found in groups.values()) == len(set.union(*groups.values())) == 200
    assert [split.train.n_groups, split.validation.n_groups, split.test.n_groups] == [
        len(groups[name]) for name in ("train", "validation", "test")
    ]
    assert split.train.n_rows == 3 * split.train.n_groups


def test_a_fixed_test_side_takes_every_row_of_its_source_and_no_other(tmp_path: Path) -> None:
    rows = make_rows(300)
    for number, one in enumerate(rows):
        one["meta"]["side"] = "test" if number < 40 else "train"
    store, split = split_of(tmp_path, rows)
    found = sides(store, split)
    assert {one["id"] for one in rows[:40]} == {one for one, side in found.items() if side == "test"}
    assert split.test.n_rows == 40
    assert _is_near(split.validation.n_rows, 260, 0.1)  # a fixed training source still gives the validation rows


def test_a_fixed_side_leaves_the_rows_of_other_sources_where_they_were(tmp_path: Path) -> None:
    rows = make_rows(300)
    before = sides(*split_of(tmp_path, rows[100:], key="before"))
    for one in rows[:100]:
        one["meta"]["side"] = "test"
    after = sides(*split_of(tmp_path, rows, key="after"))
    assert {one: after[one] for one in before} == before


def test_a_group_on_two_sides_is_refused_with_the_number_of_groups(tmp_path: Path) -> None:
    rows = make_rows(200)
    trained = [one for one in rows if side_of(one, SECTION) == "train"]
    for one in rows[:50]:
        one["meta"]["side"] = "test"
    for fixed, other in zip(rows[:2], trained[-2:], strict=True):
        fixed["group"] = other["group"]
    with pytest.raises(DataError, match=r"^split: 2 groups stand on more than one side") as refused:
        split_of(tmp_path, rows)
    assert rows[0]["group"] not in str(refused.value)


def test_too_few_test_rows_are_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"held-out rows are fewer than split\.min_test_rows 200"):
        split_of(tmp_path, make_rows(100), SECTION.model_copy(update={"min_test_rows": 200}))


def test_as_many_test_rows_as_asked_are_enough(tmp_path: Path) -> None:
    _, split = split_of(tmp_path, make_rows(100), key="first")
    exact = SECTION.model_copy(update={"min_test_rows": split.test.n_rows})
    assert split_of(tmp_path, make_rows(100), exact, key="again")[1].test == _moved(split.test, "again")


def _moved(side: Side, key: str) -> Side:
    """The side as it stands in the folder of another key."""
    path = side.rows.path.replace("/first/", f"/{key}/")
    return side.model_copy(update={"rows": side.rows.model_copy(update={"path": path})})


@pytest.mark.parametrize(
    ("fixed", "message"), [("test", "no row is left to train on"), (None, "no row is left to validate on")]
)
def test_a_side_without_rows_is_refused_with_what_to_change(tmp_path: Path, fixed: str | None, message: str) -> None:
    rows = make_rows(60)
    for one in rows:
        one["meta"]["side"] = fixed
    rows = [one for one in rows if side_of(one, SECTION) != "validation"]
    with pytest.raises(DataError, match=f"^split: {message}.*(lower|raise)"):
        split_of(tmp_path, rows)


def test_no_rows_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left to train on"):
        split_of(tmp_path, [])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (split_of(tmp_path / name, make_rows(300))[1] for name in ("one", "other"))
    assert one == other


def test_a_row_without_a_label_counts_for_no_label(tmp_path: Path) -> None:
    rows = make_rows(200)
    for one in rows[::2]:
        one["label"] = None
    _, split = split_of(tmp_path, rows)
    assert 0 < sum(label.count for label in split.train.labels) < split.train.n_rows
    assert all(label.name for label in split.train.labels)


def test_progress_tells_how_many_of_how_many_rows(tmp_path: Path) -> None:
    told: list[tuple[str, float, float | None, str, str]] = []

    class Board(Nobody):
        def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
            told.append((name, done, total, unit, note))

    with listening(Board()), stage("split"):
        split_of(tmp_path, make_rows(2500))
    assert told == [("split", done, 2500, "rows", "") for done in (0, 1000, 2000)]


def test_the_same_question_on_two_sides_is_an_error(tmp_path: Path) -> None:
    same = [{**one, "messages": make_rows(1)[0]["messages"]} for one in make_rows(200)]
    with pytest.raises(DataError, match="rows ask what a row of another side asks"):
        split_of(tmp_path, same)  # type: ignore[arg-type]
