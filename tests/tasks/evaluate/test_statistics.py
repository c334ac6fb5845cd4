"""Figures as functions of sums: for any part of the rows what the library says of that part."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluate import metrics, statistics
from tasks.evaluate.statistics import Floats, Statistic, extremes, figure, gap_of, mean_of, resampled, total

LABELS = ("a", "b", "c", "d")
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ran.", "Ünïcode", "42,5")


def of_part(statistic: Statistic, part: Sequence[int]) -> float:
    """The figure of some rows, which may be taken more than once, by one product."""
    weights = np.bincount(part, minlength=statistic.rows.shape[0]).astype(np.float64)
    return float(figure(statistic.kind, np.asarray(weights @ statistic.rows), statistic.groups))


def parts(n_rows: int, seed: int) -> list[list[int]]:
    """All rows, single rows, some, and resamples with rows that are taken more than once."""
    chance = random.Random(seed)  # noqa: S311
    some = [sorted(chance.sample(range(n_rows), size)) for size in (1, 2, n_rows // 2, n_rows - 1)]
    return [list(range(n_rows)), *some, *([chance.randrange(n_rows) for _ in range(n_rows)] for _ in range(5))]


def texts(n_rows: int, seed: int) -> list[tuple[str, str]]:
    """Expected texts and answers that share some words; some are empty."""
    chance = random.Random(seed)  # noqa: S311
    expected = [" ".join(chance.choices(WORDS, k=chance.randrange(12))) for _ in range(n_rows)]
    return [
        (text, " ".join(word if chance.random() < 0.8 else chance.choice(WORDS) for word in text.split()))
        for text in expected
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "average"), [("macro_f1", "macro"), ("weighted_f1", "weighted")])
def test_f1_of_any_part_of_the_rows_is_that_of_scikit_learn(seed: int, name: str, average: str) -> None:
    from sklearn.metrics import f1_score

    chance = random.Random(seed)  # noqa: S311
    expected = chance.choices([*LABELS, "outside"], weights=[9, 5, 2, 1, 1], k=60)
    answers = [text if chance.random() < 0.6 else chance.choice([*LABELS, "?", ""]) for text in expected]
    statistic = metrics.score("classification", answers, expected, labels=LABELS).statistics[name]
    for part in parts(len(expected), seed):
        wanted, given = [expected[row] for row in part], [answers[row] for row in part]
        counted = sorted(set(wanted) | (set(given) & set(LABELS)))
        theirs = f1_score(wanted, given, labels=counted, average=average, zero_division=0.0)
        assert of_part(statistic, part) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_bleu_and_chrf_of_any_part_of_the_rows_are_those_of_sacrebleu(seed: int, name: str) -> None:
    import sacrebleu

    theirs = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}[name]
    pairs = texts(40, seed)
    statistic = metrics.score("generation", [b for _, b in pairs], [a for a, _ in pairs]).statistics[name]
    for part in parts(len(pairs), seed):
        expected = theirs([pairs[row][1] for row in part], [[pairs[row][0] for row in part]]).score
        assert of_part(statistic, part) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=5))
def test_bleu_and_chrf_are_those_of_sacrebleu_for_any_texts(pairs: list[tuple[str, str]]) -> None:
    import sacrebleu

    expected, answers = zip(*pairs, strict=True)
    found = metrics.score("generation", answers, expected).metrics
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(list(answers), [list(expected)]).score, abs=1e-9)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(list(answers), [list(expected)]).score, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_figures_over_fields_are_the_means_of_the_figures_of_each_field(seed: int) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    chance = random.Random(seed)  # noqa: S311
    rows = [{"kind": chance.choice("xyz"), "size": chance.choice([1, 2]), "free": f"t{number}"} for number in range(30)]
    given = [{key: value if chance.random() < 0.7 else 7 for key, value in row.items()} for row in rows]
    schema = json.dumps({"properties": {"kind": {"enum": ["x", "y", "z"]}, "size": {"enum": [1, 2]}, "free": {}}})
    scores = metrics.score(
        "structured_output", [json.dumps(row) for row in given], [json.dumps(row) for row in rows], json_schema=schema
    )
    found = scores.statistics

    def theirs(pairs: Sequence[tuple[str, str]]) -> tuple[float, float, float]:
        """Precision, recall and F1 of one field; 7 is no value of any."""
        wanted, got = zip(*pairs, strict=True)
        labels = sorted(set(wanted) | (set(got) - {"7"}))
        return tuple(
            precision_recall_fscore_support(wanted, got, labels=labels, average="macro", zero_division=0.0)[:3]
        )

    for part in parts(len(rows), seed):
        pairs = {name: [(str(rows[row][name]), str(given[row][name])) for row in part] for name in rows[0]}
        figures = np.array([theirs(of) for of in pairs.values()]).mean(axis=0)
        names = ("field_precision", "field_recall", "field_macro_f1")
        assert [of_part(found[name], part) for name in names] == pytest.approx(figures.tolist())
        right = [np.mean([a == b for a, b in of]) for of in pairs.values()]
        assert of_part(found["field_accuracy"], part) == pytest.approx(np.mean(right))
    whole = {name: [(str(a[name]), str(b[name])) for a, b in zip(rows, given, strict=True)] for name in rows[0]}
    for field in scores.fields:
        figures_of_field = (field.macro_precision, field.macro_recall, field.macro_f1)
        assert figures_of_field == pytest.approx(theirs(whole[field.name]))


def test_a_mean_leaves_out_rows_without_weight_and_a_perplexity_is_the_exponential_of_one() -> None:
    statistic = mean_of([3.0, 0.0, 1.0], [1.0, 0.0, 3.0])
    assert total(statistic) == 1.0
    assert of_part(statistic, [0, 1]) == 3.0
    assert math.isnan(of_part(statistic, [1]))
    nats = statistic._replace(kind="exp_mean")
    assert total(nats) == pytest.approx(math.e)
    assert of_part(nats, [0, 0, 2]) == pytest.approx(math.exp(7 / 5))
    assert float(figure("exp_mean", np.array([1e9, 1.0]))) == math.inf


@pytest.mark.parametrize("task", ["classification", "structured_output", "generation", "chat"])
def test_no_rows_have_no_figure(task: str) -> None:
    some = ['{"a": 1}', '{"a": 2}']
    scores = metrics.score(task, some, some, labels=some, json_schema='{"properties": {"a": {}}}')  # type: ignore[arg-type]
    for name, statistic in scores.statistics.items():
        assert math.isnan(figure(statistic.kind, np.zeros(statistic.rows.shape[1]), statistic.groups)), name


@pytest.mark.parametrize("task", ["classification", "structured_output", "generation", "chat"])
def test_every_figure_is_that_of_its_statistic_over_all_rows(task: str) -> None:
    expected = ['{"a": 1}', '{"a": 2}', '{"a": 1}']
    answers = ['{"a": 1}', "no", '{"a": 2}']
    scores = metrics.score(task, answers, expected, labels=expected, json_schema='{"properties": {"a": {}}}')  # type: ignore[arg-type]
    assert set(scores.statistics) == set(scores.metrics)
    for name, value in scores.metrics.items():
        statistic = scores.statistics[name]
        sums: Floats = np.asarray(statistic.rows.sum(axis=0))
        assert statistic.rows.shape[0] == len(expected)
        assert value == float(figure(statistic.kind, sums, statistic.groups))


def test_resamples_with_a_row_more_are_figured_out_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_SUMS_AT_ONCE", 40)
    pairs = texts(20, 1)
    scores = metrics.score("classification", [b for _, b in pairs], [a for a, _ in pairs], labels=LABELS)
    weights = np.random.default_rng(0).multinomial(21, np.full(21, 1 / 21), size=50).astype(np.float64)
    for statistic in scores.statistics.values():
        more = extremes(statistic)
        assert more is not None
        together = resampled(statistic, weights, *more)
        assert together.shape == (2, 50)
        for row, figures in zip(more, together, strict=True):
            sums = [np.asarray(taken[:-1] @ statistic.rows) + taken[-1] * row for taken in weights]
            assert figures.tolist() == [float(figure(statistic.kind, one, statistic.groups)) for one in sums]


def test_a_field_of_free_texts_takes_room_by_its_rows_not_by_its_classes() -> None:
    """Each text is a class of its own: 3,000 rows of 9,000 numbers would be 200 MB a field."""
    texts = [json.dumps({"a": f"text {number}"}) for number in range(3000)]
    scores = metrics.score("structured_output", texts, texts, json_schema='{"properties": {"a": {}}}')
    rows = scores.statistics["field_macro_f1"].rows
    assert rows.shape == (3000, 9000)
    assert rows.nnz == 3 * 3000
    assert scores.metrics["field_macro_f1"] == 1.0


def test_a_gap_is_one_mean_less_the_other_each_by_its_own_weights() -> None:
    gap = gap_of(mean_of([3.0, 5.0, 0.0], [1, 1, 2]), mean_of([6.0], [4]))
    assert gap.rows.shape == (4, 4)
    assert total(gap) == 8 / 4 - 6 / 4
    assert math.isnan(of_part(gap, [0, 1, 2]))  # of one side alone there is none
