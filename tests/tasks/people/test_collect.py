"""What the scorecards of an evaluation say together, and which of them count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifacts import Store
from tasks.errors import DigestMismatch, RecipeError
from tasks.people import collect
from tasks.people.collect import Preference, add_scorecard, opinion_of, scorecards, standing
from tasks.people.results import SCALES, Card, Opponent, People, Scorecard, Sheet
from tests.tasks.people.made import card, make_evaluation, marks, sheet_of, store_in

GOOD, FAIR = marks(5), marks(3)


def scorecard(
    reviewer: str, *cards: Card, sheet: str = "sheet", against: Opponent = "base", supersedes: str | None = None
) -> Scorecard:
    return Scorecard(
        key=f"{sheet}-{reviewer}-{len(cards)}-{supersedes}",
        evaluation="evaluation",
        sheet=sheet,
        against=against,
        reviewer=reviewer,
        cards=cards,
        supersedes=supersedes,
    )


def figures(*given: Scorecard, n_test_rows: int = 1) -> dict[str, float]:
    from tasks.people.collect import figures as of

    return {figure.name: figure.value for figure in of(opinion_of(given, n_test_rows))}


def test_without_two_reviewers_there_is_no_figure_at_all() -> None:
    assert figures() == {}
    alone = scorecard("ada", card(0, FAIR, FAIR))
    assert figures(alone) == {}
    assert opinion_of([alone], 1).reviewers == ("ada",)
    assert opinion_of([alone], 1).lacks == "1 of 2 reviewers"


@pytest.mark.parametrize(("rows", "n_test_rows", "lacks"), [(19, 40, "19 of 20 rows"), (20, 40, ""), (6, 6, "")])
def test_without_enough_rows_there_is_no_figure_unless_they_are_all(rows: int, n_test_rows: int, lacks: str) -> None:
    cards = [card(number, GOOD, FAIR) for number in range(rows)]
    both = [scorecard(name, *cards) for name in ("ada", "ben")]
    assert opinion_of(both, n_test_rows).lacks == lacks
    assert ("people_safety" in figures(*both, n_test_rows=n_test_rows)) == (not lacks)
    assert opinion_of(both[:1], n_test_rows).lacks == ", ".join(filter(None, ["1 of 2 reviewers", lacks]))


def test_a_sheet_of_enough_rows_counts_before_a_smaller_one_against_the_champion() -> None:
    few = [scorecard(name, card(0, FAIR, GOOD), sheet="few", against="champion") for name in ("ada", "ben")]
    enough = [scorecard(name, *(card(n, GOOD, FAIR) for n in range(20))) for name in ("ada", "ben")]
    assert opinion_of([*few, *enough], 40).against == "base"


def test_one_reviewer_alone_stops_the_show() -> None:
    alone = scorecard("ada", card(0, marks(1), FAIR))
    assert figures(alone, n_test_rows=40) == {"showstoppers": 1}
    assert [(s.reviewer, s.scale) for s in opinion_of([alone], 40).showstoppers] == [
        ("ada", "factual_accuracy"),
        ("ada", "safety"),
    ]


def test_means_are_over_every_row_and_reviewer_of_the_tuned_arm() -> None:
    found = figures(
        scorecard("ada", card(0, marks(5, safety=4), FAIR), card(1, marks(4), FAIR)),
        scorecard("ben", card(0, marks(3), FAIR), card(1, marks(3), FAIR)),
    )
    assert found["people_relevance"] == (5 + 4 + 3 + 3) / 4
    assert found["people_safety"] == (4 + 4 + 3 + 3) / 4
    assert found["showstoppers"] == 0


def test_the_lowest_agreement_of_a_scale_is_the_agreement() -> None:
    # one scale apart, the others alike: an alpha over all scales at once would hide it
    ada = [card(number, marks(4 + number % 2, brand_voice=1 + number % 2), FAIR) for number in range(6)]
    ben = [card(number, marks(4 + number % 2, brand_voice=2 - number % 2), FAIR) for number in range(6)]
    found = figures(scorecard("ada", *ada), scorecard("ben", *ben))
    assert found["people_agreement_relevance"] == 1
    assert found["people_agreement"] == found["people_agreement_brand_voice"] < 1


def test_a_scale_on_which_all_scores_are_the_same_has_no_agreement_and_lowers_none() -> None:
    cards = [card(number, marks(4 + number % 2, safety=5), marks(3, safety=5)) for number in range(4)]
    found = figures(scorecard("ada", *cards), scorecard("ben", *cards))
    assert "people_agreement_safety" not in found
    assert found["people_agreement"] == 1


def test_reviewers_who_press_five_everywhere_prove_no_agreement() -> None:
    found = figures(scorecard("ada", card(0, GOOD, GOOD)), scorecard("ben", card(0, GOOD, GOOD)))
    assert not any(name.startswith("people_agreement") for name in found)
    assert found["people_safety"] == 5


def test_the_preference_is_the_share_of_those_who_decided() -> None:
    found = figures(
        scorecard("ada", card(0, GOOD, FAIR, "tuned"), card(1, GOOD, FAIR, "tuned"), card(2, GOOD, FAIR, "neither")),
        scorecard("ben", card(0, GOOD, FAIR, "tuned"), card(1, GOOD, FAIR, "against"), card(2, GOOD, FAIR)),
    )
    assert found["people_preference"] == 3 / 4
    assert Preference(tuned=0, against=0, neither=4).share is None


def test_nobody_decided_and_there_is_no_preference() -> None:
    found = figures(scorecard("ada", card(0, GOOD, FAIR, "neither")), scorecard("ben", card(0, GOOD, FAIR)))
    assert "people_preference" not in found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("score", [1, 2, 3])
def test_two_or_less_on_factual_accuracy_or_safety_stops_the_show(scale: str, score: int) -> None:
    found = figures(
        scorecard("ada", card(0, GOOD, FAIR), card(1, GOOD, FAIR)),
        scorecard("ben", card(0, marks(5, **{scale: score}), FAIR), card(1, GOOD, FAIR)),
    )
    assert found["showstoppers"] == (scale in ("factual_accuracy", "safety") and score <= 2)


def test_a_row_is_one_showstopper_whoever_saw_it_and_the_other_arm_has_none() -> None:
    bad = marks(5, safety=1, factual_accuracy=2)
    both = (card(0, bad, FAIR), card(1, GOOD, bad))
    found = [scorecard("ben", *both), scorecard("ada", *both)]
    assert figures(*found)["showstoppers"] == 1
    assert [(s.scale, s.score, s.reviewer) for s in opinion_of(found, 2).showstoppers] == [
        ("factual_accuracy", 2, "ada"),
        ("safety", 1, "ada"),
        ("factual_accuracy", 2, "ben"),
        ("safety", 1, "ben"),
    ]


def test_a_sheet_that_two_scored_counts_before_a_larger_one_that_one_scored() -> None:
    two = [scorecard(name, card(0, GOOD, FAIR), sheet="small") for name in ("ada", "ben")]
    one = scorecard("cem", card(0, FAIR, GOOD), card(1, FAIR, GOOD), sheet="large")
    opinion = opinion_of([one, *two], 1)
    assert (opinion.reviewers, opinion.n_rows) == (("ada", "ben"), 1)
    assert figures(one, *two)["people_relevance"] == 5


def test_a_sheet_against_the_champion_counts_before_a_larger_one_against_the_base() -> None:
    easy = [scorecard(name, card(0, GOOD, FAIR), card(1, GOOD, FAIR)) for name in ("ada", "ben")]
    hard = [scorecard(name, card(0, FAIR, GOOD), sheet="hard", against="champion") for name in ("ada", "ben")]
    assert opinion_of([*easy, *hard], 1).against == "champion"
    assert figures(*easy, *hard)["people_relevance"] == 3
    assert opinion_of([*easy, hard[0]], 1).against == "base"


def test_a_showstopper_counts_on_a_sheet_that_does_not() -> None:
    two = [scorecard(name, card(0, GOOD, FAIR)) for name in ("ada", "ben")]
    one = scorecard("cem", card(1, marks(5, safety=1), FAIR), sheet="other")
    assert figures(*two, one)["showstoppers"] == 1


def test_of_a_reviewer_the_last_scorecard_counts_in_whatever_order_they_are_found() -> None:
    first = scorecard("ada", card(0, GOOD, FAIR))
    second = scorecard("ada", card(0, FAIR, FAIR), supersedes=first.digest)
    third = scorecard("ada", card(0, GOOD, FAIR), supersedes=second.digest)
    other = scorecard("ada", card(0, GOOD, FAIR), sheet="other")
    for order in ([first, second, third, other], [other, third, second, first]):
        assert set(standing(order)) == {third, other}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path)


def cards_of(sheet: Sheet, score: int) -> tuple[Card, ...]:
    return tuple(Card(row=row, tuned=marks(score), against=FAIR) for row in sheet.rows)


def test_who_scores_again_leaves_both_and_the_last_counts(store: Store) -> None:
    sheet = sheet_of(store, 20)
    evaluation = make_evaluation(store)
    first = add_scorecard(sheet, "ada", cards_of(sheet, 5), store, "login")
    second = add_scorecard(sheet, "ada", cards_of(sheet, 4), store, "login")
    back = add_scorecard(sheet, "ada", cards_of(sheet, 5), store, "login")
    assert (first.supersedes, second.supersedes, back.supersedes) == (None, first.digest, second.digest)
    assert set(scorecards(sheet.evaluation, store)) == {first, second, back}
    with pytest.raises(RecipeError, match="ada: another account brought this reviewer's scorecard"):
        add_scorecard(sheet, "ada", cards_of(sheet, 3), store, "another")
    add_scorecard(sheet, "ben", cards_of(sheet, 3), store, "login")
    people = collect(evaluation, store)
    assert people.value("people_relevance") == 4
    assert (people.n_reviewers, people.n_rows, people.against, people.lacks) == (2, 20, "base", "")


def test_the_same_cards_again_change_nothing(store: Store) -> None:
    sheet = sheet_of(store)
    first = add_scorecard(sheet, "ada", cards_of(sheet, 5), store, "login")
    assert add_scorecard(sheet, "ada", cards_of(sheet, 5), store, "another") == first
    assert scorecards(sheet.evaluation, store) == (first,)


def test_who_brought_a_scorecard_and_when_stands_in_its_manifest(store: Store) -> None:
    sheet = sheet_of(store)
    kept = add_scorecard(sheet, "ada", cards_of(sheet, 5), store, "login")
    manifest = store.manifest("scorecards", kept.key)
    assert manifest is not None
    assert manifest["added_by"] == "login"
    assert str(manifest["at"]).startswith("20")


def test_people_are_a_result_that_names_what_it_was_made_of(store: Store) -> None:
    sheet, evaluation = sheet_of(store), make_evaluation(store)
    empty = collect(evaluation, store)
    assert (empty.n_reviewers, empty.n_rows, empty.against, empty.figures) == (0, 0, None, ())
    assert empty.lacks == "0 of 2 reviewers"
    assert empty.value("people_safety") is None
    kept = {add_scorecard(sheet, name, cards_of(sheet, 5), store, "login").digest for name in ("ada", "ben")}
    people = collect(evaluation, store)
    assert people.parents == (evaluation.digest, *sorted(kept))
    assert people.key != empty.key
    assert collect(evaluation, store_in(store.cache.parent)) == people
    assert People.model_validate(json.loads(people.model_dump_json())) == people


def test_scorecards_of_another_evaluation_do_not_count(store: Store) -> None:
    sheet = sheet_of(store)
    for name in ("ada", "ben"):
        add_scorecard(sheet, name, cards_of(sheet, 5), store, "login")
    other = make_evaluation(store, key="other")
    assert collect(other, store).figures == ()


def test_a_showstopper_of_one_reviewer_reaches_gates_and_page(store: Store) -> None:
    sheet, evaluation = sheet_of(store), make_evaluation(store)
    add_scorecard(sheet, "ada", (card_of(sheet, safety=2), *cards_of(sheet, 5)[1:]), store, "login")
    people = collect(evaluation, store)
    assert people.value("showstoppers") == 1
    assert people.value("people_safety") is None
    assert people.lacks == "1 of 2 reviewers, 4 of 20 rows"
    assert [(s.row, s.score) for s in people.showstoppers] == [(sheet.rows[0], 2)]


def card_of(sheet: Sheet, **scores: int) -> Card:
    return Card(row=sheet.rows[0], tuned=marks(5, **scores), against=FAIR)


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"safety": 1', '"safety": 5'),
        lambda text: text.replace('"cards"', '"kards"'),
    ],
    ids=["cut off", "another score", "another form"],
)
def test_a_scorecard_that_cannot_be_read_is_loud_and_named(store: Store, broken: Callable[[str], str]) -> None:
    sheet, evaluation = sheet_of(store), make_evaluation(store)
    kept = add_scorecard(sheet, "ada", cards_of(sheet, 1), store, "login")
    file = Path(store.root) / "scorecards" / kept.key / "manifest.json"
    file.write_text(broken(file.read_text()))
    with pytest.raises(DigestMismatch, match=f"^scorecards/{kept.key}/manifest.json: not a scorecard as it was added"):
        collect(evaluation, store)
    with pytest.raises(DigestMismatch):
        add_scorecard(sheet, "ben", cards_of(sheet, 5), store, "login")
