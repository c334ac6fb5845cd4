"""Tests of tasks/check: every rule, the suite and what it refuses, and that no value of a row is left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.schema import Expectation, ExpectColumnValuesToBeInSet, Quality
from tasks.artifacts import Store
from tasks.check import check_rows, require
from tasks.check.rules import reasons_to_drop
from tasks.check.suite import evaluate
from tasks.errors import DataError, GateRefused
from tasks.results import CheckedData, ScrubbedData
from tasks.rows import Row, completion_of, prompt_of, read_rows, row_id
from tests.builders import scrubbed_data

# Great Expectations 1.24 imports two modules of the standard library that Python 3.11 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning")

ENGLISH = "My parcel has not arrived although the tracking page says that it was delivered on Monday."
GERMAN = "Mein Paket ist nicht angekommen, obwohl in der Sendungsverfolgung steht, dass es zugestellt wurde."


def row(prompt: str, completion: str = "yes", *, side: str | None = None, system: str | None = None) -> Row:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {
        "id": row_id(messages),  # type: ignore[arg-type]
        "group": "0" * 64,
        "messages": messages,  # type: ignore[typeddict-item]
        "label": completion,
        "source": "tickets.jsonl",
        "meta": {"line": None, "side": side},
    }


def scrubbed(store: Store, rows: Iterable[Row]) -> ScrubbedData:
    """The rows, numbered by line, as the scrub stage would leave them."""
    numbered = [{**row, "meta": {**row["meta"], "line": line}} for line, row in enumerate(rows, start=1)]
    return scrubbed_data(store, numbered)  # type: ignore[arg-type]


class Checked:
    """A checked data set with its files read back."""

    def __init__(self, store: Store, result: CheckedData) -> None:
        self.result = result
        self.folder = Path(store.root) / "check" / result.key
        self.rows = list(read_rows(store.open(shard) for shard in result.rows))
        self.rejected = [(r["line"], r["reason"]) for r in pq.read_table(store.open(result.rejected)).to_pylist()]
        self.report: dict[str, Any] = json.loads(store.open(result.report).read_text(encoding="utf-8"))


def check(tmp_path: Path, rows: Iterable[Row], **quality: Any) -> Checked:
    # near duplicates off, unless a test is about them: short texts of a test resemble each other
    section = Quality.model_validate({"near_duplicate_threshold": None, "max_rejected_fraction": 1.0, **quality})
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    clean = scrubbed(store, rows)
    with store.writing("check", "k") as workspace:
        result = check_rows(clean, section, workspace=workspace)
        store.commit(workspace, result, {})
    return Checked(store, result)


def dropped(rows: Sequence[Row], **quality: Any) -> list[tuple[int, str]]:
    """What the row rules alone drop: line, from 1, and reason."""
    reasons = reasons_to_drop(rows, Quality.model_validate({"near_duplicate_threshold": None, **quality}))
    return [(line, reason) for line, reason in enumerate(reasons, start=1) if reason is not None]


def expectations(*given: dict[str, Any]) -> dict[str, Any]:
    return {"expectations": given}


# --- the row rules


def test_rows_without_a_question_or_an_answer_are_rejected() -> None:
    assert dropped([row(" \n"), row("Where is it?", "  "), row("Where is my card?")]) == [
        (1, "empty_prompt"),
        (2, "empty_completion"),
    ]


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "</s>",
        "<eos>",
        "<end_of_turn>",
        "[/INST]",
        "<</SYS>>",
        "<\uff5cUser\uff5c>",
    ],
)
def test_a_text_with_a_control_token_is_rejected(token: str) -> None:
    rows = [row(f"Where is it? {token}"), row("And why?", f"yes{token}"), row("Is 1 < 2 | 3 > 2 [inst]?")]
    assert dropped(rows) == [(1, "control_tokens"), (2, "control_tokens")]


def test_a_question_of_placeholders_alone_is_empty() -> None:
    assert dropped([row("<PERSON_3f9a1c07b2d4> <EMAIL_ADDRESS>"), row("Where is <PERSON>?")]) == [(1, "empty_prompt")]


def test_a_system_message_does_not_fill_an_empty_question() -> None:
    assert dropped([row("", system="Answer in JSON."), row("Where is my card?", system="Answer in JSON.")]) == [
        (1, "empty_prompt")
    ]


def test_questions_outside_the_bounds_of_length_are_rejected() -> None:
    rows = [row("a" * 9), row("b" * 10), row("c" * 20), row("d" * 21)]
    assert dropped(rows, min_prompt_characters=10, max_prompt_characters=20) == [
        (1, "prompt_too_short"),
        (4, "prompt_too_long"),
    ]


def test_a_system_message_does_not_lengthen_a_short_question() -> None:
    rows = [row("Hi", system="Answer in JSON."), row("Where is my card?", system="Answer in JSON.")]
    assert dropped(rows, min_prompt_characters=10) == [(1, "prompt_too_short")]


def test_a_question_in_another_language_is_rejected() -> None:
    assert dropped([row(ENGLISH), row(GERMAN)], languages=("en",)) == [(2, "other_language")]


def test_every_language_of_the_recipe_is_kept() -> None:
    assert dropped([row(ENGLISH), row(GERMAN)], languages=("en", "de")) == []


def test_a_text_too_short_to_tell_its_language_is_kept() -> None:
    assert dropped([row("Paket ist weg!"), row(ENGLISH)], languages=("en",)) == []


def test_placeholders_do_not_decide_the_language() -> None:
    names = " ".join(["<STREET_ADDRESS>", "<CREDIT_CARD>", "<PHONE_NUMBER>"] * 5)
    assert dropped([row(f"{GERMAN} {names}"), row(ENGLISH)], languages=("en",)) == [(1, "other_language")]


def test_every_copy_of_a_question_with_different_answers_is_dropped() -> None:
    rows = [row("Where is my card?", "delivery"), row("Lost it", "loss"), row("where is my CARD", "theft")]
    assert dropped(rows) == [(1, "contradicting_answers"), (3, "contradicting_answers")]


def test_answers_that_differ_in_case_and_spacing_do_not_contradict() -> None:
    assert dropped([row("Where is it?", "In  transit"), row("Where is it?", "in transit ")]) == [(2, "duplicate")]


def test_contradictions_stay_where_the_recipe_allows_them() -> None:
    rows = [row("Say hello", "Hello!"), row("Say hello", "Good day!")]
    assert dropped(rows, drop_contradictions=False, drop_duplicates=False) == []


def test_the_later_copy_of_a_question_is_dropped() -> None:
    assert dropped([row("Where is order 17?"), row("Lost it"), row("where is  order 17")]) == [(3, "duplicate")]
    assert dropped([row("What is 2 + 2?"), row("What is 3 + 5?")]) == []


def test_duplicates_stay_where_the_recipe_says_so() -> None:
    assert dropped([row("Where?"), row("Where?")], drop_duplicates=False) == []


def test_the_training_copy_goes_where_a_test_row_is_fixed() -> None:
    rows = [row("Where is my card?", side="train"), row("Where is my card?", side="test")]
    assert dropped(rows) == [(1, "duplicate")]


def test_a_training_row_that_contradicts_a_fixed_test_row_goes_alone() -> None:
    rows = [row("Where is my card?", "loss", side="train"), row("Where is my card?", "delivery", side="test")]
    assert dropped(rows) == [(1, "contradicting_answers")]


def test_a_fixed_test_set_stays_whole_but_for_empty_rows() -> None:
    tests = [
        row("Where is my card?", "loss", side="test"),
        row("Where is my card?", "delivery", side="test"),
        row("Where is my card now?", "delivery", side="test"),
        row(GERMAN, side="test"),
        row("Hi", side="test"),
        row("", side="test"),
    ]
    rules = {"languages": ("en",), "min_prompt_characters": 5, "near_duplicate_threshold": 0.3}
    assert dropped(tests, **rules) == [(6, "empty_prompt")]


# --- near duplicates

LONG = (
    "Hello, I ordered a coffee machine from your shop three weeks ago and it still has not arrived at my house, "
    "could you please look into where the parcel is and tell me when I can expect it, thank you very much"
)


def test_a_later_row_that_is_nearly_the_same_is_dropped() -> None:
    rows = [row(LONG), row("Something else entirely, please"), row(f"{LONG} indeed")]
    assert dropped(rows, near_duplicate_threshold=0.9) == [(3, "near_duplicate")]


def test_rows_below_the_threshold_stay() -> None:
    half = " ".join(LONG.split()[:20])
    assert dropped([row(LONG), row(half)], near_duplicate_threshold=0.9) == []


def test_the_similarity_that_decides_is_the_true_one() -> None:
    """Of n words 1 is added: n - 2 shingles of n - 1 are shared, whatever the estimate says."""
    words = [letter * 3 for letter in "abcdefghijkl"]  # 12 words, 10 shingles
    rows = [row(" ".join(words)), row(" ".join([*words, "zzz"]))]  # 10 of 11 shared: 0.909…
    assert dropped(rows, near_duplicate_threshold=0.90) == [(2, "near_duplicate")]
    assert dropped(rows, near_duplicate_threshold=0.91) == []


def test_short_texts_are_compared_word_by_word() -> None:
    rows = [row("card lost"), row("lost card"), row("card stolen")]
    assert dropped(rows, near_duplicate_threshold=0.9) == [(2, "near_duplicate")]


def test_a_shared_system_message_does_not_make_rows_alike() -> None:
    rows = [row("card lost", system=LONG), row("top up failed", system=LONG), row("refund please", system=LONG)]
    assert dropped(rows, near_duplicate_threshold=0.5) == []


def test_the_same_question_under_another_system_message_is_another_row() -> None:
    question = "Summarise the text"
    other = "You are a pirate and answer in rhymes about the sea"
    rows = [row(question, system=LONG), row("Translate the text", system=LONG)]
    rows += [row(question, system=other), row("Translate the text", system=other)]
    assert dropped(rows, near_duplicate_threshold=0.5, drop_contradictions=False) == []


def test_the_training_row_goes_where_it_nearly_repeats_a_fixed_test_row() -> None:
    rows = [row(LONG, side="train"), row(f"{LONG} indeed", side="test")]
    assert dropped(rows, near_duplicate_threshold=0.9) == [(1, "near_duplicate")]


def word_of(*numbers: int) -> str:
    """Four letters that depend on the numbers and on nothing else."""
    return "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(repr(numbers).encode()).digest()[:4])


def test_no_near_duplicate_escapes_among_many_rows() -> None:
    """Hashing proposes, and must not miss: each of 200 long texts comes back with one more word."""
    texts = [" ".join(word_of(i, j) for j in range(30)) for i in range(200)]
    rows = [row(text) for text in texts]
    again = [row(f"{prompt_of(r)} indeed") for r in rows]
    assert dropped([*rows, *again], near_duplicate_threshold=0.9) == [
        (line, "near_duplicate") for line in range(201, 401)
    ]


# --- the suite

CARD = "4539578763621486"
NO_CARD = {"type": "expect_column_values_to_not_match_regex", "column": "prompt", "regex": r"\d{16}"}


def test_a_critical_expectation_that_fails_refuses_with_its_numbers(tmp_path: Path) -> None:
    rows = [row(f"My card {CARD} is lost"), row("Where is it?"), row("What is that?")]
    checked = check(tmp_path, rows, **expectations(NO_CARD))
    line = "expect_column_values_to_not_match_regex(prompt): 1 of 3 rows unexpected, mostly 1.0 required"
    assert checked.result.refusals == (line,)
    assert (checked.result.expectations_passed, checked.result.expectations_failed) == (1, 1)
    with pytest.raises(GateRefused) as refused:
        require(checked.result)
    assert refused.value.refusals == (line,)


def test_a_value_that_failed_stands_in_no_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [row(f"My card {CARD} is lost", CARD), row("Where is it?")]
    asked = [
        NO_CARD,
        {"type": "expect_column_values_to_be_in_set", "column": "completion", "value_set": ("yes",)},
        {"type": "expect_column_values_to_match_regex", "column": "label", "regex": "^yes$"},
        {"type": "expect_column_values_to_match_regex", "column": "prompt", "regex": "("},
    ]
    checked = check(tmp_path, rows, **expectations(*asked))
    assert checked.result.expectations_failed == 4
    shards = {Path(shard.path).name for shard in checked.result.rows}
    others = [file for file in checked.folder.rglob("*") if file.is_file() and file.name not in shards]
    assert {file.name for file in others} == {"report.json", "rejected.parquet", "manifest.json"}
    assert not any(CARD.encode() in file.read_bytes() for file in others)
    written = capfd.readouterr()
    assert CARD not in written.out + written.err


def test_the_report_holds_counts_and_what_the_recipe_asked_for(tmp_path: Path) -> None:
    label = {
        "type": "expect_column_values_to_be_in_set",
        "column": "label",
        "value_set": ("yes",),
        "severity": "warning",
    }
    checked = check(tmp_path, [row("One"), row("Two", "no"), row("Three"), row("")], **expectations(label))
    assert checked.report == {
        "rows_read": 4,
        "rows_kept": 3,
        "rejected": {"empty_prompt": 1},
        "expectations": [
            {
                "type": "expect_table_row_count_to_be_between",
                "column": None,
                "severity": "critical",
                "success": True,
                "evaluated": True,
                "element_count": None,
                "missing_count": None,
                "unexpected_count": None,
                "unexpected_percent": None,
                "observed_value": 3,
                "asked": {"min_value": 1},
            },
            {
                "type": "expect_column_values_to_be_in_set",
                "column": "label",
                "severity": "warning",
                "success": False,
                "evaluated": True,
                "element_count": 3,
                "missing_count": 0,
                "unexpected_count": 1,
                "unexpected_percent": pytest.approx(100 / 3),
                "observed_value": None,
                "asked": {"value_set": ["yes"], "mostly": 1.0},
            },
        ],
    }


def test_a_warning_that_fails_refuses_nothing(tmp_path: Path) -> None:
    checked = check(tmp_path, [row(f"Card {CARD}")], **expectations({**NO_CARD, "severity": "warning"}))
    assert checked.result.expectations_failed == 1
    assert checked.result.refusals == ()
    require(checked.result)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            {"type": "expect_table_row_count_to_be_between", "min_value": 5},
            "expect_table_row_count_to_be_between: 2 seen, at least 5 required",
        ),
        (
            {"type": "expect_column_unique_value_count_to_be_between", "column": "completion", "max_value": 1},
            "expect_column_unique_value_count_to_be_between(completion): 2 seen, at most 1 required",
        ),
        (
            {"type": "expect_column_values_to_be_between", "column": "prompt_characters", "max_value": 4},
            "expect_column_values_to_be_between(prompt_characters): 1 of 2 rows unexpected, mostly 1.0 required",
        ),
        (
            {"type": "expect_column_values_to_match_regex", "column": "source", "regex": "csv$", "mostly": 0.5},
            "expect_column_values_to_match_regex(source): 2 of 2 rows unexpected, mostly 0.5 required",
        ),
        (
            {"type": "expect_column_values_to_match_regex", "column": "prompt", "regex": "("},
            "expect_column_values_to_match_regex(prompt): could not be evaluated; see the recipe's values",
        ),
    ],
)
def test_each_kind_of_failure_is_one_line(tmp_path: Path, asked: dict[str, Any], line: str) -> None:
    checked = check(tmp_path, [row("One?", "a"), row("Other?", "b")], **expectations(asked))
    assert checked.result.refusals == (line,)


def test_a_column_of_empty_cells_passes_nothing_but_a_check_for_empty_cells(tmp_path: Path) -> None:
    unlabelled: list[Row] = [{**row("One?"), "label": None}, {**row("Other?"), "label": None}]
    checked = check(
        tmp_path,
        unlabelled,
        **expectations(
            {"type": "expect_column_values_to_be_in_set", "column": "label", "value_set": ("yes",)},
            {"type": "expect_column_values_to_not_be_null", "column": "label"},
        ),
    )
    assert checked.result.refusals == (
        "expect_column_values_to_be_in_set(label): every value is empty",
        "expect_column_values_to_not_be_null(label): 2 of 2 rows unexpected, mostly 1.0 required",
    )


def test_an_expectation_given_twice_is_evaluated_twice(tmp_path: Path) -> None:
    checked = check(tmp_path, [row("One?")], **expectations(NO_CARD, NO_CARD))
    assert checked.result.expectations_passed == 3


def test_an_expectation_that_the_library_does_not_know_is_an_error() -> None:
    """The recipe's closed list keeps these out; the library itself drops them and calls the suite passed."""
    unknown: Expectation = ExpectColumnValuesToBeInSet.model_construct(
        type="expect_column_values_to_be_nice",  # type: ignore[arg-type]
        column="prompt",
        value_set=("x",),
        mostly=1.0,
        severity="critical",
    )
    with pytest.raises(DataError, match="2 asked for, 1 taken"):
        evaluate([row("One?")], [unknown])


def test_no_suite_passes_for_no_rows() -> None:
    outcomes = evaluate([], [Quality.model_validate(expectations(NO_CARD)).expectations[0]])
    assert not outcomes[0].success
    assert outcomes[0].refusal == "expect_table_row_count_to_be_between: 0 seen, at least 1 required"


# --- the whole stage


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left \\(there was none to begin with\\)"):
        check(tmp_path, [])


def test_an_error_names_the_reasons_where_every_row_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left \\(empty_completion 1, empty_prompt 2\\)"):
        check(tmp_path, [row(""), row(" "), row("Where?", "")])


def test_more_rows_lost_than_the_recipe_allows_refuses(tmp_path: Path) -> None:
    rows = [row("One?"), row("One?"), row("One?"), row("Two?")]
    assert check(tmp_path / "a", rows, max_rejected_fraction=0.5).result.refusals == ()
    assert check(tmp_path / "b", rows, max_rejected_fraction=0.49).result.refusals == (
        "max_rejected_fraction: 2 of 4 rows rejected, 0.500, allowed 0.49",
    )


def test_rows_keep_their_order_and_their_content(tmp_path: Path) -> None:
    rows = [row("Three?", "c"), row("One?", "a", side="test"), row("Two?", "b"), row("One?", "a")]
    checked = check(tmp_path, rows)
    assert [(prompt_of(r), completion_of(r)) for r in checked.rows] == [("Three?", "c"), ("One?", "a"), ("Two?", "b")]
    assert checked.rejected == [(4, "duplicate")]
    assert (checked.result.n_rows, checked.result.n_rejected) == (3, 1)


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    rows = [row(LONG), row(f"{LONG} indeed"), row("One?"), row("One?"), row(ENGLISH), row(GERMAN)]
    quality: dict[str, Any] = {"near_duplicate_threshold": 0.8, "languages": ("en",), **expectations(NO_CARD)}
    assert check(tmp_path / "a", rows, **quality).result == check(tmp_path / "b", rows, **quality).result
