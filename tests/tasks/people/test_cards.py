"""The CSV that a spreadsheet opens, and what is said of one that was filled in wrongly."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.artifacts import Store
from tasks.errors import RecipeError
from tasks.people.cards import ASKED, guarded, read_cards, read_lines, sheet_of, unblinded, unguarded, write_cards
from tasks.people.results import Card, Sheet
from tasks.people.sheet import make_sheet, order, questions
from tests.tasks.people.made import FORMULA, as_csv, filled, make_evaluation, store_in, the_champion
from tests.tasks.people.made import sheet_of as made_sheet


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path)


@pytest.fixture
def sheet(store: Store) -> Sheet:
    return made_sheet(store)


def read(sheet: Sheet, store: Store, content: bytes) -> tuple[Card, ...]:
    lines = read_lines("cards.csv", content)
    found = sheet_of("cards.csv", lines, lambda name: sheet if name == sheet.name else None)
    return unblinded(found, read_cards("cards.csv", lines, found), order(found, store))


def problems(sheet: Sheet, store: Store, content: bytes) -> list[str]:
    with pytest.raises(RecipeError) as refused:
        read(sheet, store, content)
    return list(refused.value.problems)


@given(st.text())
def test_a_guarded_text_begins_no_formula_and_comes_back_whole(text: str) -> None:
    assert not guarded(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["'tis fine", "plain", ""])
def test_a_text_that_nobody_guarded_stays_as_it_is(text: str) -> None:
    assert unguarded(text) == text


def test_the_file_holds_texts_and_empty_cells_and_no_formula(store: Store) -> None:
    sheet = make_sheet(make_evaluation(store), 40, None, store)
    text = write_cards(sheet, questions(sheet, store))
    assert text.startswith("\ufeffsheet,row,prompt,reference,answer_a,answer_b,a_relevance,")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [line["row"] for line in lines] == [str(number) for number in range(1, 41)]
    assert {line["sheet"] for line in lines} == {sheet.name}
    assert f"'{FORMULA}" in {line["prompt"] for line in lines}
    assert not any(cell.startswith("=") for line in lines for cell in line.values())
    assert {line[column] for line in lines for column in ASKED[2:]} == {""}


def test_the_file_says_nothing_of_the_arms(store: Store) -> None:
    evaluation = make_evaluation(store, champion=True)
    sheet = make_sheet(evaluation, 10, None, store, the_champion(evaluation))
    text = write_cards(sheet, questions(sheet, store))
    secret = store.open(sheet.secret).read_bytes().hex()
    for word in ("tuned", "base", "champion", "against", secret, sheet.secret.sha256):
        assert word not in text


def test_scores_go_to_the_arm_whose_answer_they_were_given_for(sheet: Sheet, store: Store) -> None:
    cards = read(sheet, store, as_csv(filled(sheet, store, a_notes="dull", b_notes="dull")))
    assert tuple(card.row for card in cards) == sheet.rows
    assert {card.tuned.safety for card in cards} == {4}
    assert {card.against.relevance for card in cards} == {3}
    assert {card.preferred for card in cards} == {"tuned"}
    assert {card.tuned.notes for card in cards} == {"dull"}


def test_the_order_of_lines_and_columns_the_texts_and_blank_lines_do_not_matter(sheet: Sheet, store: Store) -> None:
    whole = filled(sheet, store)
    bare = [{column: line[column] for column in reversed(ASKED)} for line in reversed(whole)]
    content = as_csv(bare) + b"\r\n,,,,,,,,,,,,\r\n"
    assert read(sheet, store, content) == read(sheet, store, as_csv(whole))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_it_reads_what_spreadsheets_of_other_countries_write(sheet: Sheet, store: Store, delimiter: str) -> None:
    lines = filled(sheet, store, b_notes='äöü; "quoted", twice\nand a line', preference="tie")
    cards = read(sheet, store, b"\xef\xbb\xbf" + as_csv(lines, delimiter=delimiter))
    assert {card.preferred for card in cards} == {"neither"}
    assert 'äöü; "quoted", twice\nand a line' in {cards[0].tuned.notes, cards[0].against.notes}


def test_capitals_and_spaces_of_a_preference_do_not_matter(sheet: Sheet, store: Store) -> None:
    lines = filled(sheet, store)
    for line, preference in zip(lines, (" a", "B ", "TIE", " "), strict=True):
        line["preference"] = preference
    said = [card.preferred for card in read(sheet, store, as_csv(lines))]
    assert said[2:] == ["neither", None]
    assert set(said[:2]) <= {"tuned", "against"}


def test_every_mistake_is_told_at_once_with_its_line_and_column(sheet: Sheet, store: Store) -> None:
    lines = filled(sheet, store)
    lines[0] |= {"a_relevance": "", "b_safety": "6"}
    lines[1] |= {"a_brand_voice": "4.5", "preference": "both", "a_notes": "n" * 2001}
    lines[2] |= {"row": "99"}
    lines[3] |= {"row": "1", "sheet": "sheet-of-somebody"}
    # the prompt of each line holds a break: a record is two lines of the file, but for the formula's
    at = [2]
    for line in lines[:-1]:
        at.append(at[-1] + 1 + line["prompt"].count("\n"))
    assert problems(sheet, store, as_csv(lines)) == [
        f"cards.csv:{at[0]} a_relevance: missing; a whole number from 1 to 5",
        f"cards.csv:{at[0]} b_safety: no whole number from 1 to 5",
        f"cards.csv:{at[1]} a_brand_voice: no whole number from 1 to 5",
        f"cards.csv:{at[1]} a_notes: 2001 characters; at most 2000",
        f"cards.csv:{at[1]} preference: none of A, B, tie; or leave it empty",
        f"cards.csv:{at[2]} row: no row of this sheet; 1 to 4",
        f"cards.csv:{at[3]} sheet: not {sheet.name}, as the first line says",
        f"cards.csv:{at[3]} row: stands twice, first in line {at[0]}",
        "cards.csv row: missing: 3, 4",
    ]


@pytest.mark.parametrize("score", ["0", "6", "4.0", "-1", "five", "55", "٤", "=4", "1e0", "nan"])
def test_a_score_is_a_whole_number_from_one_to_five(sheet: Sheet, store: Store, score: str) -> None:
    lines = filled(sheet, store)
    lines[0]["a_safety"] = score
    assert problems(sheet, store, as_csv(lines)) == ["cards.csv:2 a_safety: no whole number from 1 to 5"]


def test_a_mistake_is_never_quoted(sheet: Sheet, store: Store) -> None:
    lines = filled(sheet, store, a_safety="Margaret", preference="Whitfield", b_notes="margaret@example.com")
    said = "\n".join(problems(sheet, store, as_csv(lines)))
    assert "Margaret" not in said
    assert "Whitfield" not in said
    assert "margaret" not in said


@pytest.mark.parametrize(
    ("notes", "entity"),
    [
        ("ask margaret@example.com", "EMAIL_ADDRESS"),
        ("call +44 20 7946 0958", "PHONE_NUMBER"),
        ("he paid with 4111 1111 1111 1111", "CREDIT_CARD"),
        ("to GB33 BUKB 2020 1555 5555 55", "IBAN_CODE"),
    ],
)
def test_notes_that_hold_a_personal_value_are_not_kept(sheet: Sheet, store: Store, notes: str, entity: str) -> None:
    lines = filled(sheet, store)
    lines[0]["a_notes"] = notes
    assert problems(sheet, store, as_csv(lines)) == [
        f"cards.csv:2 a_notes: seems to hold a {entity}; notes are kept, so leave it out"
    ]


def test_a_sheet_that_nobody_made_is_refused(sheet: Sheet, store: Store) -> None:
    lines = [{**line, "sheet": "sheet-0123456789abcdef"} for line in filled(sheet, store)]
    (problem,) = problems(sheet, store, as_csv(lines))
    assert problem.startswith("cards.csv:2 sheet: no sheet of that name is known")


def test_missing_unknown_and_doubled_columns_are_named(sheet: Sheet, store: Store) -> None:
    lines = [{**line, "comment": "x"} for line in filled(sheet, store)]
    for line in lines:
        del line["a_safety"], line["preference"]
    header, rest = as_csv(lines).split(b"\r\n", 1)
    content = header.replace(b"b_notes", b"a_notes") + b"\r\n" + rest
    assert problems(sheet, store, content) == [
        "cards.csv:1 a_safety: this column is missing",
        "cards.csv:1 b_notes: this column is missing",
        "cards.csv:1 preference: this column is missing",
        "cards.csv:1 a_notes: this column stands 2 times",
        "cards.csv:1: column 16 is none of a scorecard",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cards.csv: empty"),
        (b"\r\n \r\n", "cards.csv: empty"),
        ("notes: größer".encode("cp1252"), "cards.csv: not UTF-8; save it as CSV UTF-8"),
        (b'sheet,"row', "cards.csv: no CSV; save the sheet as CSV UTF-8"),
        (b"PK\x03\x04\0\0", "cards.csv: no scorecard: too large, or not a text"),
    ],
)
def test_what_is_no_scorecard_is_one_clear_line(sheet: Sheet, store: Store, content: bytes, said: str) -> None:
    assert problems(sheet, store, content) == [said]


def test_a_header_without_lines_and_a_line_cut_short_are_refused(sheet: Sheet, store: Store) -> None:
    content = as_csv(filled(sheet, store))
    header = content.split(b"\r\n", 1)[0]
    assert problems(sheet, store, header) == ["cards.csv: no row; every row of the sheet must be there"]
    assert problems(sheet, store, header + f"\r\n{sheet.name},1".encode()) == [
        "cards.csv:2: 2 cells, the first line has 17"
    ]
