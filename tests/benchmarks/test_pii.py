"""The score that the README quotes: what counts as found, left and masked, and that nothing measures what it taught."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from benchmarks.pii import TEMPLATES, _show_left, held_out, ours, score
from tasks.scrub.labelled import Labelled, Span, Template, read_templates
from tasks.scrub.ner.train import HERE

TEXTS = [
    Labelled("Ask Jo Doe at 12.", (Span(4, 10, "PERSON"),), "one"),
    Labelled("Mail jo@example.org", (Span(5, 19, "EMAIL_ADDRESS"),), "two"),
]
NAME, ADDRESS = (4, 10), (5, 19)


def test_all_that_is_labelled_and_no_more_is_a_perfect_score() -> None:
    figures, left, total = score(TEXTS, [[NAME], [ADDRESS]], None)
    assert figures == {"recall": 1.0, "precision": 1.0, "F2": 1.0, "left": 0.0, "masked": 0.0}
    assert (left.total(), total) == (0, {"PERSON": 1, "EMAIL_ADDRESS": 1})


def test_one_letter_that_can_be_read_leaves_the_entity() -> None:
    figures, left, _ = score(TEXTS, [[(4, 9)], [ADDRESS]], None)
    assert (figures["recall"], figures["left"]) == (1.0, 0.5)
    assert left == {"PERSON": 1, "EMAIL_ADDRESS": 0}


def test_what_is_not_found_costs_recall_and_what_else_goes_costs_precision() -> None:
    figures, left, _ = score(TEXTS, [[(0, 10)], []], None)
    # of three words two are found, and one that is none; of twelve other letters and signs three are masked
    assert figures == pytest.approx({"recall": 2 / 3, "precision": 2 / 3, "F2": 2 / 3, "left": 0.5, "masked": 0.25})
    assert left == {"PERSON": 0, "EMAIL_ADDRESS": 1}


@pytest.mark.parametrize("of_the_address", [[], [ADDRESS]])
def test_what_a_policy_does_not_ask_for_counts_neither_way(of_the_address: list[tuple[int, int]]) -> None:
    figures, left, total = score(TEXTS, [[NAME], of_the_address], frozenset({"PERSON"}))
    assert figures == {"recall": 1.0, "precision": 1.0, "F2": 1.0, "left": 0.0, "masked": 0.0}
    assert (left, total) == ({"PERSON": 0}, {"PERSON": 1})


def test_what_leaks_is_told_by_entity_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    left, total = Counter({"PERSON": 1, "URL": 3}), Counter({"AGE": 8, "PERSON": 2, "URL": 4})
    _show_left({("held-out", "ours"): (left, total)})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "left readable, held-out, ours:",
        "  URL 75% of 4 · PERSON 50% of 2 · AGE 0% of 8",
    ]


@pytest.mark.slow
def test_the_strict_policy_finds_on_the_held_out_templates_what_the_readme_says() -> None:
    """Each template once, a little below the README's figures: whoever makes it worse hears of it."""
    texts = held_out(1)
    figures, left, total = score(texts, ours("pii-strict")([text.text for text in texts]), None)
    assert total.total() > 1300
    assert figures["recall"] >= 0.975
    assert figures["precision"] >= 0.945
    assert figures["left"] <= 0.045
    assert figures["masked"] <= 0.030
    certain = {"CREDIT_CARD", "IBAN_CODE", "EMAIL_ADDRESS"}  # by checksum or form
    assert {entity: left[entity] for entity in certain} == dict.fromkeys(certain, 0)


_WORD = re.compile(r"\{\{[^}]*\}\}|[\w']+")


def runs_of(templates: Iterable[Template], words: int = 8) -> dict[tuple[str, ...], str]:
    """So many words or fields in a row, and a template in which they stand."""
    found: dict[tuple[str, ...], str] = {}
    for template in templates:
        told = [word.casefold() for word in _WORD.findall(template.text)]
        found.update((tuple(told[at : at + words]), template.text) for at in range(len(told) - words + 1))
    return found


def test_no_held_out_template_shares_eight_words_in_a_row_with_one_that_trained() -> None:
    measured, taught = runs_of(read_templates(TEMPLATES)), runs_of(read_templates(HERE / "templates"))
    assert len(measured) > 1000
    assert [measured[run] for run in measured.keys() & taught.keys()] == []
