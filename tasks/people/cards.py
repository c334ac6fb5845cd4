"""Scorecards as CSV: written for a spreadsheet, and read back with every mistake at once, by line and column.

A cell that a spreadsheet would take for a formula gets an apostrophe before it, which is taken away when it is read.
What was typed is never quoted in a message: it may name somebody.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from conf.load import Problem
from tasks.errors import RecipeError
from tasks.people.results import MAX_NOTES, SCALES, Card, Marks, Sheet
from tasks.people.sheet import Question
from tasks.results import Frozen
from tasks.scrub.second_look import look_again

LETTERS: tuple[Literal["a", "b"], ...] = ("a", "b")
PREFERENCES = {"": None, "a": "a", "b": "b", "tie": "tie"}
SHOWN = ("prompt", "reference", "answer_a", "answer_b")  # to read only; the page's download leaves them out
ASKED = (
    "sheet",
    "row",
    *(f"{letter}_{asked}" for letter in LETTERS for asked in (*SCALES, "notes")),
    "preference",
)
# What Excel, LibreOffice and Sheets begin a formula with; also as wide letters, and after a break that they skip.
FORMULA = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001
NEVER_IN_NOTES = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "SECRET")
MAX_BYTES = 20_000_000


class Blind(Frozen):
    """What a reviewer said of one row, by its number, before anybody knows whose answers A and B are."""

    number: int
    a: Marks
    b: Marks
    preferred: Literal["a", "b", "tie"] | None


class Line(Frozen):
    """One row of the file: the line that it begins on, and its cells by column."""

    number: int
    cells: dict[str, str]


def guarded(text: str) -> str:
    """The text as a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith((*FORMULA, "'")) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if text[:1] == "'" and text[1:2] and text[1] in f"{FORMULA}'" else text


def write_cards(sheet: Sheet, questions: Sequence[Question]) -> str:
    """The sheet as CSV to be filled in, with a byte order mark, by which Excel knows UTF-8."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, (*ASKED[:2], *SHOWN, *ASKED[2:]), restval="")
    writer.writeheader()
    for question in questions:
        texts = (question.prompt, question.reference, question.a, question.b)
        shown = {name: guarded(text) for name, text in zip(SHOWN, texts, strict=True)}
        writer.writerow({"sheet": sheet.name, "row": question.number, **shown})
    return f"\ufeff{stream.getvalue()}"


def read_lines(file: str, content: bytes) -> list[Line]:
    """The filled-in lines of a CSV file, whose cells may be parted by comma, semicolon or tab.

    Raises:
        RecipeError: it is no such file; one line a problem.
    """
    try:
        text = content[:MAX_BYTES].decode("utf-8-sig")
        if len(content) > MAX_BYTES or "\0" in text:
            raise _refused(Problem(file, None, "", "no scorecard: too large, or not a text"))
        header, *records = list(_records(text))
    except UnicodeDecodeError as error:
        raise _refused(Problem(file, None, "", "not UTF-8; save it as CSV UTF-8")) from error
    except csv.Error as error:
        raise _refused(Problem(file, None, "", "no CSV; save the sheet as CSV UTF-8")) from error
    except ValueError as error:
        raise _refused(Problem(file, None, "", "empty")) from error
    columns = [cell.strip().lower() for cell in header[1]]
    problems = [*_header_problems(file, header[0], columns)]
    for number, cells in records:
        if len(cells) != len(columns):
            problems.append(Problem(file, number, "", f"{len(cells)} cells, the first line has {len(columns)}"))
    if problems:
        raise _refused(*problems)
    return [Line(number=number, cells=dict(zip(columns, cells, strict=True))) for number, cells in records]


def sheet_of(file: str, lines: Sequence[Line], find: Callable[[str], Sheet | None]) -> Sheet:
    """The sheet that the first line names.

    Raises:
        RecipeError: there is no such sheet, or no line.
    """
    if not lines:
        raise _refused(Problem(file, None, "", "no row; every row of the sheet must be there"))
    first = lines[0]
    sheet = find(first.cells["sheet"].strip())
    if sheet is None:
        where = "made with another store or TUNEGATE_HOME, or made anew since"
        raise _refused(Problem(file, first.number, "sheet", f"no sheet of that name is known: {where}"))
    return sheet


def read_cards(file: str, lines: Sequence[Line], sheet: Sheet) -> tuple[Blind, ...]:
    """What the lines say, in the order of the sheet.

    Raises:
        RecipeError: a line of another sheet, an unknown, missing or second row, a score that is none; one line each.
    """
    problems: list[Problem] = []
    read: dict[int, int] = {}  # row: its line
    found: list[Blind] = []
    for line in lines:
        if line.cells["sheet"].strip() != sheet.name:
            problems.append(Problem(file, line.number, "sheet", f"not {sheet.name}, as the first line says"))
        row = line.cells["row"].strip()
        number = int(row) if re.fullmatch(r"[1-9]\d{0,5}", row) else 0
        if not 1 <= number <= len(sheet.rows):
            problems.append(Problem(file, line.number, "row", f"no row of this sheet; 1 to {len(sheet.rows)}"))
        elif number in read:
            problems.append(Problem(file, line.number, "row", f"stands twice, first in line {read[number]}"))
        read.setdefault(number, line.number)
        wrong = [*_cell_problems(file, line)]
        problems += wrong
        if not wrong:
            found.append(_blind(number, line))
    missing = [str(number) for number in range(1, len(sheet.rows) + 1) if number not in read]
    if missing:
        problems.append(Problem(file, None, "row", f"missing: {', '.join(missing)}"))
    if problems:
        raise _refused(*problems)
    return tuple(sorted(found, key=lambda blind: blind.number))


def unblinded(sheet: Sheet, blind: Sequence[Blind], tuned_is_a: frozenset[str]) -> tuple[Card, ...]:
    """The cards by arm."""
    cards = []
    for said in blind:
        row = sheet.rows[said.number - 1]
        tuned, against = ("a", "b") if row in tuned_is_a else ("b", "a")
        marks = {"a": said.a, "b": said.b}
        preferred = {tuned: "tuned", against: "against", "tie": "neither", None: None}[said.preferred]
        cards.append(Card(row=row, tuned=marks[tuned], against=marks[against], preferred=preferred))
    return tuple(cards)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The line that a record begins on, and its cells; lines without any text are left out."""
    head = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    begins = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1


def _header_problems(file: str, line: int, columns: Sequence[str]) -> Iterator[Problem]:
    for column in ASKED:
        if column not in columns:
            yield Problem(file, line, column, "this column is missing")
    for column, times in Counter(columns).items():
        if column not in (*ASKED, *SHOWN):
            yield Problem(file, line, "", f"column {columns.index(column) + 1} is none of a scorecard")
        elif times > 1:
            yield Problem(file, line, column, f"this column stands {times} times")


def _cell_problems(file: str, line: Line) -> Iterator[Problem]:
    for letter in LETTERS:
        for scale in SCALES:
            column = f"{letter}_{scale}"
            score = line.cells[column].strip()
            if not re.fullmatch("[1-5]", score):
                why = "no whole number from 1 to 5" if score else "missing; a whole number from 1 to 5"
                yield Problem(file, line.number, column, why)
        column = f"{letter}_notes"
        notes = unguarded(line.cells[column]).strip()
        if len(notes) > MAX_NOTES:
            yield Problem(file, line.number, column, f"{len(notes)} characters; at most {MAX_NOTES}")
        for entity in sorted(look_again([notes], NEVER_IN_NOTES)):
            yield Problem(file, line.number, column, f"seems to hold a {entity}; notes are kept, so leave it out")
    if line.cells["preference"].strip().lower() not in PREFERENCES:
        yield Problem(file, line.number, "preference", "none of A, B, tie; or leave it empty")


def _blind(number: int, line: Line) -> Blind:
    def marks(letter: str) -> Marks:
        scores = {scale: int(line.cells[f"{letter}_{scale}"]) for scale in SCALES}
        return Marks(**scores, notes=unguarded(line.cells[f"{letter}_notes"]).strip())

    preferred = PREFERENCES[line.cells["preference"].strip().lower()]
    return Blind(number=number, a=marks("a"), b=marks("b"), preferred=preferred)


def _refused(*problems: Problem) -> RecipeError:
    return RecipeError(*(str(problem) for problem in problems))
