"""The figures, against small examples by hand, against scikit-learn, and for any answers at all."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import COMMON_METRICS, METRICS, TaskKind
from tasks.errors import DataError, RecipeError
from tasks.evaluate import metrics
from tasks.evaluate.measure import ArmResult
from tasks.evaluate.metrics import (
    ABSENT,
    INVALID,
    NOT_JSON,
    OTHER,
    Scores,
    canonical,
    f1_by_class,
    parse,
    perplexity,
    score,
)
from tasks.evaluate.report import build

LABELS = ("a", "b", "c")
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"kind": {"enum": ["bug", "ask"]}, "urgent": {"type": "boolean"}, "item": {"type": "string"}},
        "required": ["kind", "urgent", "item"],
        "additionalProperties": False,
    }
)
label_texts = st.sampled_from(["a", "b", "c", " A ", "d", "", "a b"])
label_pairs = st.lists(st.tuples(st.sampled_from(LABELS), label_texts), min_size=1, max_size=30)
objects = st.fixed_dictionaries(
    {"kind": st.sampled_from(["bug", "ask"]), "urgent": st.booleans(), "item": st.text(max_size=3)}
)
json_answers = st.one_of(
    objects.map(json.dumps), st.text(max_size=8), st.sampled_from(["", "{}", "[1]", "3", '{"kind": 1}', "{"])
)
json_pairs = st.lists(st.tuples(objects.map(json.dumps), json_answers), min_size=1, max_size=15)


def by_hand(kind: str, urgent: bool, item: str) -> str:
    return json.dumps({"kind": kind, "urgent": urgent, "item": item})


def reported(task: TaskKind, n_rows: int, scores: Scores, labels: Sequence[str] = ()) -> dict[str, Any]:
    """The report of one arm without answers."""
    return build(task, n_rows, labels, {"tuned": ArmResult([], scores, [])})


def test_classification_by_hand() -> None:
    scores = score("classification", ["a", " A", "b", "x", ""], ["a", "a", "b", "b", "c"], labels=LABELS)
    assert scores.metrics["accuracy"] == pytest.approx(3 / 5)
    assert scores.metrics["valid_label"] == pytest.approx(3 / 5)
    assert scores.metrics["exact_match"] == pytest.approx(2 / 5)  # " A" is the label a, but not its text
    # a: 2 of 2 answered, 2 of 2 found; b: 1 of 1 answered, 1 of 2 found; c: never answered
    assert scores.metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores.correct == (True, True, True, False, False)
    assert scores.confusion is not None
    assert scores.confusion.labels == ("a", "b", "c", OTHER)
    assert scores.confusion.matrix == ((2, 0, 0, 0), (0, 1, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0))


def test_case_and_spacing_of_a_label_do_not_matter_but_exact_match_sees_them() -> None:
    scores = score("classification", ["Card  LOST"], ["card lost"], labels=["card lost"])
    assert (scores.metrics["accuracy"], scores.metrics["valid_label"], scores.metrics["exact_match"]) == (1, 1, 0)


def test_classes_that_no_row_expects_and_no_answer_names_do_not_lower_the_macro_f1() -> None:
    assert score("classification", ["a"], ["a"], labels=LABELS).metrics["macro_f1"] == 1.0


def test_an_expected_label_outside_the_set_counts_but_its_text_stays_out_of_the_report() -> None:
    scores = score("classification", ["a", "b"], ["a", "secret"], labels=LABELS)
    assert scores.metrics["accuracy"] == 0.5
    assert scores.metrics["macro_f1"] == pytest.approx((1 + 0 + 0) / 3)  # a, b, and the label outside
    assert "secret" not in json.dumps(reported("classification", 2, scores, labels=LABELS))


def test_f1_equals_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    expected = ["a", "b", "c", "a", "b", "c", "a", "a", "b", "c"]
    answered = ["a", "c", "c", "b", "b", "x", "a", "", "b", "a"]
    classes = f1_by_class(expected, answered, LABELS)
    precision, recall, f1, support = precision_recall_fscore_support(
        expected, answered, labels=list(LABELS), zero_division=0.0
    )
    assert [c.precision for c in classes] == pytest.approx(precision.tolist())
    assert [c.recall for c in classes] == pytest.approx(recall.tolist())
    assert [c.f1 for c in classes] == pytest.approx(f1.tolist())
    assert [c.support for c in classes] == support.tolist()
    macro = f1_score(expected, answered, labels=list(LABELS), average="macro", zero_division=0.0)
    assert metrics.macro_f1(classes) == pytest.approx(macro)


@given(label_pairs)
def test_classification_figures_stay_within_their_bounds_and_agree(pairs: list[tuple[str, str]]) -> None:
    expected, answers = zip(*pairs, strict=True)
    scores = score("classification", answers, expected, labels=LABELS)
    assert set(scores.metrics) == set(METRICS["classification"]) - set(COMMON_METRICS[1:])
    assert all(0 <= value <= 1 for value in scores.metrics.values())
    assert scores.metrics["exact_match"] <= scores.metrics["accuracy"] <= scores.metrics["valid_label"]
    assert len(scores.correct) == len(pairs)
    assert scores.confusion is not None
    assert sum(map(sum, scores.confusion.matrix)) == len(pairs)


@given(st.data(), label_pairs)
def test_classification_does_not_depend_on_the_order_of_rows(data: st.DataObject, pairs: list[tuple[str, str]]) -> None:
    shuffled = data.draw(st.permutations(pairs))
    one, other = (
        score("classification", [b for _, b in some], [a for a, _ in some], labels=LABELS) for some in (pairs, shuffled)
    )
    assert one.metrics == pytest.approx(other.metrics)
    assert one.confusion == other.confusion


def test_structured_output_by_hand() -> None:
    expected = [by_hand("bug", True, "x"), by_hand("ask", False, "x"), by_hand("bug", False, "y")]
    answers = [
        '{"item":"x", "urgent":true, "kind":"bug"}',  # the same object, written otherwise
        by_hand("bug", False, "x"),  # one field wrong
        "I think it is a bug",  # not JSON
    ]
    scores = score("structured_output", answers, expected, json_schema=SCHEMA)
    assert scores.metrics["valid_json"] == pytest.approx(2 / 3)
    assert scores.metrics["schema_valid"] == pytest.approx(2 / 3)
    assert scores.metrics["exact_match"] == pytest.approx(1 / 3)
    assert scores.metrics["field_accuracy"] == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)
    kind = (2 * 1 / (2 + 2) + 0) / 2  # bug: 1 hit, answered twice, expected twice; ask: never answered
    urgent = (1 + 2 * 1 / (1 + 2)) / 2  # true: found; false: 1 hit of 2, answered once
    item = (1 + 0) / 2  # x: both found; y: lost with the invalid answer
    assert scores.metrics["field_macro_f1"] == pytest.approx((kind + urgent + item) / 3)
    assert scores.correct == (True, False, False)


def test_a_field_report_lists_values_only_where_the_schema_closes_them() -> None:
    expected = [by_hand("bug", True, "Mrs Smith")]
    scores = score("structured_output", ["no"], expected, json_schema=SCHEMA)
    report = reported("structured_output", 1, scores)["arms"]["tuned"]
    assert "Mrs Smith" not in json.dumps(report)
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 0.0, "support": 1}
    assert report["per_field"]["item"] == {**nothing, "per_class": {}, "confusion": None}
    assert report["per_field"]["kind"]["per_class"]["bug"]["support"] == 1
    assert report["per_field"]["kind"]["confusion"] == {"labels": [INVALID, "bug"], "matrix": [[0, 0], [1, 0]]}
    assert report["confusion"]["field"] == "kind"


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', "NaN", '{"a": Infinity}', "", "{'a': 1}", '{"a": 1} so', "[" * 100_000, "9" * 5_000]
)
def test_what_is_not_one_json_value_is_invalid(text: str) -> None:
    assert parse(text) is NOT_JSON


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("1", "1.0", True), ("true", "1", False), ("false", "0", False), ('"1"', "1", False), ("[1,2]", "[2,1]", False)],
)
def test_json_values_are_compared_with_their_type(one: str, other: str, same: bool) -> None:
    assert (canonical(parse(one)) == canonical(parse(other))) is same


def test_a_missing_optional_field_is_right_only_where_it_is_missing_too() -> None:
    schema = '{"type": "object", "properties": {"note": {"type": "string"}}}'
    scores = score("structured_output", ["{}", "{}", "x"], ["{}", '{"note": "n"}', "{}"], json_schema=schema)
    assert scores.metrics["field_accuracy"] == pytest.approx(1 / 3)
    assert ABSENT not in json.dumps(reported("structured_output", 3, scores))


def test_a_string_that_reads_like_another_value_is_kept_apart_from_it() -> None:
    schema = '{"properties": {"n": {}}}'
    scores = score("structured_output", ['{"n": "1"}'], ['{"n": 1}'], json_schema=schema)
    assert scores.metrics["field_accuracy"] == 0.0


def test_json_that_the_schema_refuses_is_valid_json_only() -> None:
    scores = score("structured_output", ["[]"], [by_hand("bug", True, "x")], json_schema=SCHEMA)
    assert (scores.metrics["valid_json"], scores.metrics["schema_valid"]) == (1.0, 0.0)


def test_reference_answers_must_be_objects() -> None:
    with pytest.raises(DataError, match="1 of 2 test rows"):
        score("structured_output", ["{}", "{}"], ["{}", "[]"], json_schema=SCHEMA)


@pytest.mark.parametrize(
    ("text", "what"),
    [('{"type": "objekt"}', "type"), ("[]", "not a JSON object"), ('{"$ref": "#/$defs/none"}', "leads nowhere")],
)
def test_a_schema_that_is_none_is_an_error_of_the_recipe(text: str, what: str) -> None:
    with pytest.raises(RecipeError, match=rf"evaluation\.json_schema.*{what}"):
        score("structured_output", ["{}"], ["{}"], json_schema=text)


def test_a_schema_elsewhere_is_never_fetched() -> None:
    with pytest.raises(RecipeError, match="leads nowhere"):
        score("structured_output", ["{}"], ["{}"], json_schema='{"$ref": "http://127.0.0.1:9/schema.json"}')


@settings(max_examples=50)
@given(json_pairs)
def test_structured_figures_stay_within_their_bounds_and_agree(pairs: list[tuple[str, str]]) -> None:
    expected, answers = zip(*pairs, strict=True)
    scores = score("structured_output", answers, expected, json_schema=SCHEMA)
    assert set(scores.metrics) == set(METRICS["structured_output"]) - set(COMMON_METRICS[1:])
    assert all(0 <= value <= 1 for value in scores.metrics.values())
    assert scores.metrics["exact_match"] <= scores.metrics["schema_valid"] <= scores.metrics["valid_json"]
    assert scores.metrics["exact_match"] <= scores.metrics["field_accuracy"] + 1e-9


@settings(max_examples=50)
@given(st.lists(objects.map(json.dumps), min_size=1, max_size=10))
def test_right_answers_score_one_everywhere(expected: list[str]) -> None:
    scores = score("structured_output", expected, expected, json_schema=SCHEMA)
    assert set(scores.metrics.values()) == {1.0}


def test_overlap_by_hand() -> None:
    scores = score("generation", ["the cat sat", "", "a b c d e"], ["the cat ran", "dog", "a b c d e"])
    assert scores.metrics["rouge_l"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scores.metrics["exact_match"] == pytest.approx(1 / 3)
    assert score("generation", ["a b c d e"], ["a b c d e"]).metrics["bleu"] == pytest.approx(100.0)
    # n-gram precisions 3/4, 2/3, 1/2 and 1/(2*1) smoothed; no brevity penalty (Papineni et al. 2002)
    by_formula = 100 * math.exp((math.log(3 / 4) + math.log(2 / 3) + math.log(1 / 2) + math.log(1 / 2)) / 4)
    assert score("generation", ["a b c x"], ["a b c d"]).metrics["bleu"] == pytest.approx(by_formula)


def test_overlap_of_words_and_pairs_by_hand() -> None:
    found = score("generation", ["the cat sat down"], ["the cat ran down the road"]).metrics
    assert found["rouge_1"] == pytest.approx(2 * (3 / 4) * (3 / 6) / (3 / 4 + 3 / 6))
    assert found["rouge_2"] == pytest.approx(2 * (1 / 3) * (1 / 5) / (1 / 3 + 1 / 5))
    assert found["answer_words"] == 4
    assert found["length_ratio"] == pytest.approx(4 / 6)


def test_lengths_are_of_all_answers_together() -> None:
    found = score("generation", ["a b c", "", "a"], ["a", "a b c d", "a b c"]).metrics
    assert found["answer_words"] == pytest.approx(4 / 3)
    assert found["length_ratio"] == pytest.approx(4 / 8)
    assert "length_ratio" not in score("generation", ["a"], [""]).metrics


def test_meteor_is_that_of_nltk_by_words_and_stems_without_any_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])

    def meteor(answer: str, expected: str) -> float:
        return score("generation", [answer], [expected]).metrics["meteor"]

    # all words match, "cats" by its stem, in one chunk and in two (Lavie and Agarwal 2007)
    assert meteor("My cats sat", "my cat sat") == pytest.approx(1 - 0.5 * (1 / 3) ** 3)
    assert meteor("gamma delta alpha beta", "alpha beta gamma delta") == pytest.approx(1 - 0.5 * (2 / 4) ** 3)
    # precision 1 and recall 1/3 of "hello", ",", "there": 10 P R / (R + 9 P), and one chunk of one word
    assert meteor("Hello", "hello, there") == pytest.approx((10 / 3) / (1 / 3 + 9) * 0.5)
    assert meteor("a dog", "one hound") == 0.0


def test_chat_counts_loops_and_refusals() -> None:
    answers = ["Your lamp is on its way.", "I'm sorry, I can't help with that.", "so it is " * 9, ""]
    found = score("chat", answers, ["Your lamp is on its way."] * 4)
    assert found.metrics["refusal"] == 1 / 4
    assert found.metrics["repetition"] == 1 / 4
    assert found.metrics["exact_match"] == 1 / 4
    assert found.correct == (True, False, False, False)
    assert set(found.metrics) == set(METRICS["chat"]) - set(COMMON_METRICS[1:])


def test_free_text_has_every_figure_that_the_schema_names() -> None:
    found = score("generation", ["one two three"], ["one two three"]).metrics
    assert set(found) == set(METRICS["generation"]) - set(COMMON_METRICS[1:])
    assert {found[name] for name in ("rouge_1", "rouge_2", "rouge_l", "length_ratio", "exact_match")} == {1.0}
    assert found["chrf"] == pytest.approx(100.0)


@settings(max_examples=25)
@given(st.data(), st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=8))
def test_overlap_stays_within_its_bounds_in_any_order(data: st.DataObject, pairs: list[tuple[str, str]]) -> None:
    shuffled = data.draw(st.permutations(pairs))
    one, other = (score("generation", [b for _, b in some], [a for a, _ in some]) for some in (pairs, shuffled))
    assert one.metrics == pytest.approx(other.metrics)
    assert 0 <= one.metrics["rouge_l"] <= 1
    assert -1e-9 <= one.metrics["bleu"] <= 100 + 1e-9


def test_perplexity_is_the_exponential_of_the_mean_and_never_a_wrong_number() -> None:
    assert perplexity(6 * math.log(4), 6) == pytest.approx(4.0)
    for value in (perplexity(1e9, 1), perplexity(0.0, 0), perplexity(math.nan, 3)):
        assert metrics.finite({"perplexity": value}) == {}


def test_many_classes_give_no_matrix_and_no_warning() -> None:
    labels = [f"label {number}" for number in range(metrics.MAX_MATRIX + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score("classification", labels, labels, labels=labels)
    assert scores.confusion is None
    assert scores.metrics["macro_f1"] == 1.0
