"""The gates: every way to pass, every way to refuse, what noise leaves open, and nothing that passes unmeasured."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import Gate
from tasks.artifacts import Store
from tasks.evaluate.measured import BOTH_SIDES, TEST, Sampled, write
from tasks.evaluate.noise import noise_of
from tasks.evaluate.probes import bundled
from tasks.evaluate.statistics import gap_of, mean_of, share_of, total
from tasks.judge import ITSELF, NO_CHAMPION, Evidence, compare, decide, judge, overall
from tasks.people.results import Figure, People
from tasks.results import (
    Answers,
    Artifact,
    ChampionEvaluation,
    Count,
    Evaluation,
    GateResult,
    Metric,
    Recall,
    ScrubbedData,
    Verdict,
)

FILE = Artifact(path="evaluate/k/f", sha256="0" * 64, bytes=1)
NOBODY = ChampionEvaluation(key="n", name="m", version=None, adapter_sha256=None, answers=None)
PEOPLE = People(key="p", against="base", n_reviewers=2, n_rows=5, figures=(Figure(name="people_safety", value=4.5),))


def evaluation(**values: tuple[float | None, float | None]) -> Evaluation:
    """An evaluation with `name=(base, tuned)`."""
    return Evaluation(
        key="k",
        predictions=FILE,
        statistics=FILE,
        report=FILE,
        n_rows=10,
        metrics=tuple(
            Metric(arm=arm, name=name, value=value)
            for name, pair in values.items()
            for arm, value in zip(("base", "tuned"), pair, strict=True)
            if value is not None
        ),
    )


CLEAN = ScrubbedData(
    key="c",
    rows=(FILE,),
    rejected=FILE,
    n_rows=10,
    n_rejected=0,
    reasons=(),
    entities=(),
    rows_with_entities=0,
    canaries=(Recall(entity="AGE", planted=10, found=6), Recall(entity="PERSON", planted=30, found=30)),
    second_look=(Count(name="PERSON", count=20), Count(name="PHONE_NUMBER", count=3)),
    n_looked_at=500,
)
UNPROVEN = CLEAN.model_copy(update={"canaries": (), "second_look": (), "n_looked_at": 0})
MEASURED = evaluation(
    exact_match=(0.1, 0.412),
    latency_seconds_per_row=(0.5, 0.75),
    only_tuned=(None, 1.0),
    **{"lm_eval.arc": (0.1, 0.412)},
)


def figures(found: Evaluation = MEASURED, clean: ScrubbedData = CLEAN) -> Evidence:
    """Figures whose noise is not known."""
    return Evidence(found, NOBODY, clean, PEOPLE, {}, {}, None, 5)


def rows(
    right: int, of: int = 200, *, base: int = 0, slices: dict[str, tuple[str, ...]] | None = None, **more: Any
) -> Evidence:
    """So many rows right in the tuned arm, and in the base, the first ones each."""
    arms = {"base": base, "tuned": right, **more}
    sampled = {
        (arm, "accuracy"): Sampled(arm, "accuracy", TEST, share_of([1.0] * n + [0.0] * (of - n)))
        for arm, n in arms.items()
    }
    metrics = tuple(Metric.model_validate({"arm": arm, "name": "accuracy", "value": n / of}) for arm, n in arms.items())
    found = MEASURED.model_copy(update={"metrics": metrics, "n_rows": of})
    return Evidence(found, NOBODY, CLEAN, PEOPLE, sampled, slices or {}, None, 5)


def one(evidence: Evidence, **gate: Any) -> GateResult:
    """What one gate on the accuracy says."""
    (result,) = decide(evidence, (Gate.model_validate({"metric": "accuracy", **gate}),))
    return result


@pytest.mark.parametrize(
    ("gate", "passed", "reason"),
    [
        (Gate(metric="lm_eval.arc", min=0.4), True, "lm_eval.arc of tuned 0.412 is at least 0.400"),
        (Gate(metric="lm_eval.arc", min=0.412), True, "lm_eval.arc of tuned 0.412 is at least 0.412"),
        (Gate(metric="lm_eval.arc", min=0.5), False, "lm_eval.arc of tuned 0.412 is below 0.500"),
        (Gate(metric="lm_eval.arc", arm="base", max=0.2), True, "lm_eval.arc of base 0.100 is at most 0.200"),
        (Gate(metric="lm_eval.arc", max=0.4), False, "lm_eval.arc of tuned 0.412 is above 0.400"),
        (
            Gate(metric="lm_eval.arc", min=0.4, max=0.5),
            True,
            "lm_eval.arc of tuned 0.412 is at least 0.400 and at most 0.500",
        ),
        (Gate(metric="lm_eval.arc", min=0.1, max=0.2), False, "lm_eval.arc of tuned 0.412 is above 0.200"),
        (
            Gate(metric="lm_eval.arc", against="base", min=0.3),
            True,
            "lm_eval.arc of tuned minus base 0.312 is at least 0.300",
        ),
        (
            Gate(metric="latency_seconds_per_row", against="base", max=0.1),
            False,
            "latency_seconds_per_row of tuned minus base 0.250 is above 0.100",
        ),
        (Gate(metric="people_safety", arm="people", min=4), True, "people_safety of people 4.500 is at least 4.000"),
        (Gate(metric="people_relevance", arm="people", min=1), False, "people_relevance is missing: refused"),
        (Gate(metric="schema_valid", min=0.0), False, "schema_valid is missing: refused"),
        (Gate(metric="only_tuned", arm="base", max=9), False, "only_tuned is missing: refused"),
        (Gate(metric="only_tuned", against="base", max=9), False, "only_tuned is missing: refused"),
        (Gate(metric="lm_eval.arc", slice="label", min=0.0), False, "lm_eval.arc is missing: refused"),
    ],
)
def test_a_figure_without_known_noise_is_held_against_the_bound(gate: Gate, passed: bool, reason: str) -> None:
    (result,) = decide(figures(), (gate,))
    assert (result.passed, result.reason) == (passed, reason)
    assert result.state in ("passed", "failed")


@pytest.mark.parametrize("against", [None, "base"])
def test_a_figure_of_rows_whose_rows_are_lost_is_missing(against: str | None) -> None:
    (result,) = decide(figures(), (Gate.model_validate({"metric": "exact_match", "against": against, "min": 0.0}),))
    assert (result.state, result.value, result.reason) == ("failed", None, "exact_match is missing: refused")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("against", [None, "base"])
def test_a_figure_that_is_not_a_finite_number_refuses(value: float, against: str | None) -> None:
    gate = Gate.model_validate({"metric": "perplexity", "against": against, "min": -1e9, "max": None})
    (result,) = decide(figures(evaluation(perplexity=(1.0, value))), (gate,))
    assert result.state == "failed"
    assert result.value is None
    assert result.reason == "perplexity is missing: refused"


@pytest.mark.parametrize(
    ("right", "state"), [(196, "passed"), (184, "inconclusive"), (177, "inconclusive"), (150, "failed")]
)
def test_a_gate_knows_its_noise(right: int, state: str) -> None:
    result = one(rows(right), min=0.9)
    assert result.state == state
    assert result.low is not None
    assert result.high is not None
    assert result.low < right / 200 < result.high
    assert (result.rows_needed is not None) == (state == "inconclusive")


def test_an_inconclusive_gate_refuses_and_says_what_would_settle_it() -> None:
    result = one(rows(186), min=0.9)
    assert not result.passed
    assert result.rows_needed is not None
    assert 300 < result.rows_needed < 5000
    assert f"about {result.rows_needed:,} test rows would settle it" in result.reason
    assert "inconclusive" in result.reason


def test_at_the_bound_itself_no_number_of_rows_settles_it() -> None:
    result = one(rows(180), min=0.9)
    assert (result.state, result.rows_needed) == ("inconclusive", None)
    assert "no number of rows settles it" in result.reason


def test_without_a_confidence_the_figure_alone_decides() -> None:
    assert one(rows(181), min=0.9, confidence=None).state == "passed"
    assert one(rows(179), min=0.9, confidence=None).state == "failed"


def test_a_bound_that_allows_no_exception_asks_for_none_in_these_rows() -> None:
    assert one(rows(200), min=1.0).state == "passed"
    assert one(rows(199), min=1.0).state == "failed"
    assert one(rows(0), max=0.0).state == "passed"


def test_arms_are_compared_row_by_row() -> None:
    """Ten rows more of 200, none lost: surely better; yet surely not ten points better."""
    evidence = rows(150, base=140)
    assert one(evidence, against="base", min=0.0).state == "passed"
    assert one(evidence, against="base", min=0.1).state == "failed"
    assert one(evidence, against="base", min=0.04).state == "inconclusive"


def test_the_rows_that_are_needed_are_those_for_the_bound_that_is_open() -> None:
    low, both = one(rows(180), max=0.92), one(rows(180), min=0.1, max=0.92)
    assert both.state == "inconclusive"
    assert both.rows_needed == low.rows_needed


def test_two_arms_that_answer_alike_leave_open_which_is_better() -> None:
    assert one(rows(150, base=150), against="base", min=0.0).state == "inconclusive"
    assert one(rows(150, base=150), against="base", min=-0.05).state == "passed"  # not worse by five points


def test_many_gates_ask_for_more_of_each() -> None:
    """The same figure: enough for one claim, not for each of twenty."""
    evidence, gate = rows(190), Gate(metric="accuracy", min=0.91)
    assert decide(evidence, (gate,))[0].state == "passed"
    assert {result.state for result in decide(evidence, (gate,) * 20)} == {"inconclusive"}


def test_the_worst_slice_must_hold_too() -> None:
    """The first 150 rows are right: of the two sources one is all right, the other half."""
    slices = {"source": ("a",) * 100 + ("b",) * 100}
    result = one(rows(150, slices=slices), slice="source", min=0.6)
    assert (result.worst, result.value) == ("b", 0.5)
    assert result.state == "inconclusive"
    assert one(rows(150, slices=slices), slice="source", min=0.8).state == "failed"
    assert one(rows(150, slices=slices), slice="source", min=0.35).state == "passed"


def test_a_slice_of_too_few_rows_holds_no_gate() -> None:
    slices = {"source": ("a",) * 197 + ("b",) * 3}
    result = one(rows(197, slices=slices), slice="source", min=0.9)
    assert (result.worst, result.state) == ("a", "passed")
    assert result.reason == (
        "accuracy of tuned in the worst source (a) 1.000 is at least 0.900 "
        "(not held: 1 slice with fewer than 5 rows or no figure, 3 test rows in all)"
    )
    more = {"source": ("a",) * 100 + ("b",) * 94 + ("c", "c", "d", "d", "d", "e")}
    assert "(not held: 3 slices with fewer than 5 rows or no figure, 6 test rows in all)" in (
        one(rows(197, slices=more), slice="source", min=0.9, confidence=None).reason
    )
    whole = {"source": ("a",) * 100 + ("b",) * 100}
    assert "not held" not in one(rows(197, slices=whole), slice="source", min=0.9).reason


@pytest.mark.parametrize(
    ("slices", "lacks"),
    [
        ({}, "by source the test rows are all one slice, or more than 200"),  # as the evaluation leaves it out
        ({"source": tuple(str(number) for number in range(200))}, "no slice by source has 5 rows and a figure"),
    ],
)
def test_a_gate_on_slices_that_are_none_refuses_and_says_why(slices: dict[str, tuple[str, ...]], lacks: str) -> None:
    result = one(rows(197, slices=slices), slice="source", min=0.9)
    assert (result.state, result.value) == ("failed", None)
    assert result.reason == f"accuracy is missing ({lacks}): refused"


def test_a_gate_against_a_champion_passes_while_there_is_none() -> None:
    result = one(rows(150), against="champion", min=0.0)
    assert (result.state, result.value) == ("passed", None)
    assert NO_CHAMPION in result.reason
    itself = rows(150)._replace(champion=NOBODY.model_copy(update={"version": "3"}))
    again = one(itself, against="champion", min=0.0)
    assert (again.state, again.value) == ("passed", None)
    assert again.reason == f"accuracy of tuned minus champion: {ITSELF}"


def test_a_gate_against_a_champion_holds_once_there_is_one() -> None:
    evidence = rows(150, champion=170)
    answers = Answers(
        predictions=FILE,
        statistics=FILE,
        report=FILE,
        n_rows=200,
        metrics=(Metric(arm="champion", name="accuracy", value=0.85),),
    )
    champion = NOBODY.model_copy(update={"version": "3", "answers": answers})
    result = one(evidence._replace(champion=champion), against="champion", min=0.0)
    assert (result.state, round(result.value or 0, 3)) == ("failed", -0.1)


def test_a_latency_that_was_measured_otherwise_is_not_compared_with() -> None:
    here, there = "a CPU, 2 threads, batches of 32", "a CPU, 8 threads, batches of 32"
    answers = Answers(
        predictions=FILE,
        statistics=FILE,
        report=FILE,
        n_rows=10,
        metrics=(Metric(arm="champion", name="latency_seconds_per_row", value=0.5),),
    )
    found = figures()._replace(champion=NOBODY.model_copy(update={"version": "3", "answers": answers}))
    gates = (
        Gate(metric="latency_seconds_per_row", against="champion", max=1),
        Gate(metric="latency_seconds_per_row", against="base", max=1),
        Gate(metric="latency_seconds_per_row", max=1),
    )
    assert [r.state for r in decide(found._replace(measured_on=(here, here)), gates)] == ["passed"] * 3
    refused, *others = decide(found._replace(measured_on=(here, there)), gates)
    assert (refused.state, refused.value) == ("failed", None)
    assert refused.reason == (
        f"latency_seconds_per_row is missing (the champion's was measured on {there}, and not on {here}): refused"
    )
    assert [result.state for result in others] == ["passed"] * 2


def test_what_is_failed_outweighs_what_is_inconclusive() -> None:
    passed, open_, failed = one(rows(196), min=0.9), one(rows(186), min=0.9), one(rows(150), min=0.9)
    assert overall([passed]) == "passed"
    assert overall([passed, open_]) == "inconclusive"
    assert overall([open_, failed, passed]) == "failed"


def people(stoppers: float | None, lacks: str = "") -> Evidence:
    """What people said, and nothing else."""
    found = () if stoppers is None else (Figure(name="showstoppers", value=stoppers),)
    return figures()._replace(people=PEOPLE.model_copy(update={"figures": found, "lacks": lacks}))


@pytest.mark.parametrize(
    "gates",
    [
        (),
        (Gate(metric="showstoppers", arm="people", min=0),),
        (Gate(metric="showstoppers", arm="people", max=3, overridable=False),),
        (Gate(metric="showstoppers", arm="people", max=0),),  # could be overridden
    ],
)
def test_a_showstopper_refuses_for_good_whatever_the_recipe_asks(gates: tuple[Gate, ...]) -> None:
    *_, last = decide(people(1.0, "1 of 2 reviewers"), gates)
    assert (last.metric, last.state, last.max, last.overridable) == ("showstoppers", "failed", 0, False)
    assert last.reason == "showstoppers of people 1.000 is above 0.000"
    assert overall(decide(people(1.0), gates)) == "failed"


@pytest.mark.parametrize("stoppers", [None, 0.0])
def test_without_a_showstopper_there_is_nothing_to_refuse(stoppers: float | None) -> None:
    assert decide(people(stoppers), ()) == ()


def test_a_limit_on_showstoppers_as_strict_as_ours_is_the_only_one() -> None:
    (result,) = decide(people(2.0), (Gate(metric="showstoppers", arm="people", max=0, overridable=False),))
    assert (result.state, result.overridable) == ("failed", False)


def test_a_missing_figure_of_people_says_what_it_lacks() -> None:
    (result,) = decide(people(None, "6 of 20 rows"), (Gate(metric="people_safety", arm="people", min=4),))
    assert result.reason == "people_safety is missing (6 of 20 rows): refused"


def probed(metric: str, yes: int, of: int) -> Evidence:
    """So many probes out of some, of the tuned arm."""
    sampled = Sampled("tuned", metric, metric, share_of([1.0] * yes + [0.0] * (of - yes)))
    found = evaluation(**{metric: (None, yes / of)})
    return Evidence(found, NOBODY, CLEAN, PEOPLE, {("tuned", metric): sampled}, {}, None, 5)


def test_probes_are_no_test_rows_and_no_more_of_them_can_be_asked_than_there_are() -> None:
    there = bundled("over_refusal")
    (whole,) = decide(probed("over_refusal", 4, there), (Gate(metric="over_refusal", max=0.1),))
    assert whole.state == "inconclusive"
    assert whole.rows_needed is None
    assert re.search(
        rf"inconclusive; about [\d,]+ probes would settle it, more than the {there} that there are$", whole.reason
    )
    (some,) = decide(probed("over_refusal", 6, 20), (Gate(metric="over_refusal", max=0.5),))
    assert some.state == "inconclusive"
    assert re.search(rf"about \d+ probes would settle it, of {there}: raise evaluation\.max_probes$", some.reason)
    (at_the_bound,) = decide(probed("over_refusal", 10, 20), (Gate(metric="over_refusal", max=0.5),))
    assert at_the_bound.settle == "it stands at the bound: no number of probes settles it"


def gap(test: float, validation: float, of: int) -> Evidence:
    """The tuned arm's nats a token on so many test rows, and a quarter as many validation rows."""
    sides = [
        mean_of([mean * (1 + (n % 5 - 2) / 4) for n in range(many)])
        for mean, many in ((test, of), (validation, of // 4))
    ]
    sampled = Sampled("tuned", "overfitting_gap", BOTH_SIDES, gap_of(*sides))
    found = evaluation(overfitting_gap=(None, total(sampled.statistic)))
    groups = tuple(range(of))  # of the test rows alone
    return Evidence(found, NOBODY, CLEAN, PEOPLE, {("tuned", "overfitting_gap"): sampled}, {}, groups, 5)


def test_the_overfitting_gap_knows_the_noise_of_both_sides() -> None:
    gate = Gate(metric="overfitting_gap", max=0.1)
    (passed,), (failed,), (open_,) = (decide(gap(nats, 0.5, 200), (gate,)) for nats in (0.5, 1.0, 0.63))
    assert [result.state for result in (passed, failed, open_)] == ["passed", "failed", "inconclusive"]
    assert (passed.low or 0) < 0 < (passed.high or 0) < 0.1
    assert open_.rows_needed is None
    assert re.search(r"about \d+\.\d times as many validation and test rows would settle it$", open_.reason)
    (lost,) = decide(gap(0.5, 0.5, 200)._replace(sampled={}), (gate,))
    assert lost.reason == "overfitting_gap is missing: refused"


def words(mean: float) -> Evidence:
    """The mean length of 200 answers, whose test is by resamples."""
    sampled = Sampled("tuned", "answer_words", TEST, mean_of([mean + number % 5 - 2 for number in range(200)]))
    found = evaluation(answer_words=(None, mean))
    return Evidence(found, NOBODY, CLEAN, PEOPLE, {("tuned", "answer_words"): sampled}, {}, None, 5)


@pytest.mark.parametrize(("mean", "side"), [(9.0, "at least"), (3.0, "below")])
def test_where_the_resamples_are_too_few_no_rows_are_promised(mean: float, side: str) -> None:
    """One in 4,001 is the least chance that they tell: no rows make 99.99 % of it, and none 99.9 % at ten gates."""
    gate = Gate(metric="answer_words", min=6, confidence=0.9999)
    (result,) = decide(words(mean), (gate,))
    assert (result.state, result.rows_needed) == ("inconclusive", None)
    assert side in result.reason
    assert "no number of rows settles 99.99 % at one gate: 4,000 resamples tell no chance below 1 in" in result.reason
    less = gate.model_copy(update={"confidence": 0.999})
    ten = decide(words(mean), (less,) * 10)
    assert {result.rows_needed for result in ten} == {None}
    assert "settles 99.9 % at 10 gates" in ten[0].settle
    assert decide(words(mean), (less,))[0].state != "inconclusive"


def test_an_exact_test_tells_any_chance() -> None:
    assert one(rows(150, base=100), against="base", min=0.0, confidence=0.9999).state == "passed"
    assert one(rows(199), min=0.9, confidence=0.9999).state == "passed"
    assert one(rows(10), min=0.9, confidence=0.9999).state == "failed"
    assert one(rows(199), max=0.9, confidence=0.9999).state == "failed"


def test_the_worst_of_many_slices_fails_where_it_surely_does() -> None:
    """Of 100 labels one is all wrong: no p-value of resamples, times 100 labels and 10 gates, would say so."""
    names = {"label": tuple(f"label {number // 10}" for number in range(1000))}
    evidence = rows(990, of=1000, slices=names)
    (result, *_) = decide(evidence, (Gate(metric="accuracy", min=0.8, slice="label"),) * 10)
    assert (result.state, result.worst, result.value) == ("failed", "label 99", 0)


def test_the_interval_of_the_worst_slice_knows_that_it_was_picked() -> None:
    """Of ten sources one is worse: alone it would be surely below the bound, picked of ten it is not."""
    names = tuple(f"s{number // 40}" for number in range(400))
    right = [1.0] * 24 + [0.0] * 16 + ([1.0] * 32 + [0.0] * 8) * 9
    sampled = Sampled("tuned", "accuracy", TEST, share_of(right))
    found = MEASURED.model_copy(update={"metrics": (Metric(arm="tuned", name="accuracy", value=0.78),), "n_rows": 400})
    evidence = Evidence(found, NOBODY, CLEAN, PEOPLE, {("tuned", "accuracy"): sampled}, {"source": names}, None, 5)
    picked = one(evidence, slice="source", min=0.75)
    assert (picked.worst, picked.value, picked.state) == ("s0", 0.6, "inconclusive")
    alone = noise_of(share_of(right[:40]))
    assert (picked.low, picked.high) == alone.interval(1 - 0.05 / 10)
    assert alone.interval(0.95)[1] < 0.75 < (picked.high or 0)
    assert f"lies between {picked.low:.3f} and {picked.high:.3f}: inconclusive" in picked.reason


def test_where_the_interval_is_clear_of_the_bound_the_number_of_gates_is_what_leaves_doubt() -> None:
    results = decide(rows(190), (Gate(metric="accuracy", min=0.91),) * 20)
    assert results[0].low is not None
    assert results[0].low > 0.91
    assert "which is not sure enough for one of 20 gates: inconclusive" in results[0].reason


def test_a_gate_says_whether_it_can_be_overridden() -> None:
    assert one(rows(150), min=0.9).overridable
    assert not one(rows(150), min=0.9, overridable=False).overridable


@pytest.mark.parametrize(
    ("metric", "bound", "passed", "value"),
    [
        ("canary_recall", {"min": 0.9}, True, 0.9),
        ("canary_recall", {"min": 0.95}, False, 0.9),
        ("worst_canary_recall", {"min": 0.7}, False, 0.6),
        ("second_look", {"max": 6.0}, True, 6.0),
        ("second_look", {"max": 0.0}, False, 6.0),
        ("second_look_names", {"max": 50.0}, True, 40.0),
    ],
)
def test_a_gate_on_the_data_looks_at_the_scrubbed_rows(
    metric: str, bound: dict[str, float], passed: bool, value: float
) -> None:
    gate = Gate.model_validate({"metric": metric, "arm": "data", **bound})
    (result,) = decide(figures(), (gate,))
    assert (result.passed, result.value) == (passed, value)


@pytest.mark.parametrize(
    "metric", ["canary_recall", "worst_canary_recall", "second_look", "second_look_names", "exact_match"]
)
def test_what_was_not_measured_of_the_data_refuses(metric: str) -> None:
    (result,) = decide(figures(clean=UNPROVEN), (Gate.model_validate({"metric": metric, "arm": "data", "max": 1e9}),))
    assert (result.passed, result.reason) == (False, f"{metric} is missing: refused")


def test_a_miss_by_a_hair_shows_the_digits_that_tell_the_numbers_apart() -> None:
    (result,) = decide(figures(evaluation(**{"lm_eval.arc": (0.0, 0.89996)})), (Gate(metric="lm_eval.arc", min=0.9),))
    assert result.reason == "lm_eval.arc of tuned 0.89996 is below 0.90000"


def test_results_stand_in_the_order_of_the_gates_with_their_numbers() -> None:
    gates = (Gate(metric="lm_eval.arc", min=0.9), Gate(metric="nothing", max=1.0))
    first, second = decide(figures(), gates)
    assert (first.metric, first.arm, first.min, first.max, first.value) == ("lm_eval.arc", "tuned", 0.9, None, 0.412)
    assert (second.metric, second.value) == ("nothing", None)


def test_slices_are_told_by_the_main_metric_of_each_arm_and_by_what_differs() -> None:
    """150 rows of 200 are right in the tuned arm, all of them in the first half of the rows and half of the others."""
    evidence = rows(150, base=100, slices={"source": ("a",) * 100 + ("b",) * 100})
    first = Sampled("tuned", "valid_json", TEST, share_of([1.0] * 200))
    a, b = compare(evidence._replace(sampled={("tuned", "valid_json"): first, **evidence.sampled}))["slices"]["source"]
    assert (a["name"], a["rows"], a["metric"]) == ("a", 100, "accuracy")
    assert [line["arms"]["tuned"]["value"] for line in (a, b)] == [1.0, 0.5]
    assert [line["differences"]["base"]["value"] for line in (a, b)] == [0.0, 0.5]
    assert b["differences"]["base"]["low"] > 0.3
    assert set(a["differences"]) == {"base"}


def verdict(tmp_path: Path, *gates: Gate) -> Verdict:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    with store.writing("evaluate", "k") as workspace:
        pq.write_table(pa.table({"id": ["a"], "slice_source": ["s"]}), workspace.folder / "predictions.parquet")
        statistic = share_of([1.0, 0.0])
        write(workspace.folder / "statistics.parquet", [Sampled("tuned", "accuracy", TEST, statistic)])
        files = {name: workspace.artifact(f"{name}.parquet") for name in ("predictions", "statistics")}
        measured = MEASURED.model_copy(update=files)
        store.commit(workspace, measured, {})
    with store.writing("judge", "k") as workspace:
        result = judge(measured, NOBODY, CLEAN, PEOPLE, gates, least=5, workspace=workspace)
        store.commit(workspace, result, {})
    assert store.find("judge", "k", Verdict) == result
    return result


def test_the_verdict_passes_when_every_gate_does(tmp_path: Path) -> None:
    result = verdict(tmp_path, Gate(metric="lm_eval.arc", min=0.4), Gate(metric="lm_eval.arc", max=0.5))
    assert result.passed
    assert [gate.reason for gate in result.gates if not gate.passed] == []
    assert len(result.parents) == 4
    assert result.parents[1:] == (NOBODY.digest, CLEAN.digest, PEOPLE.digest)


def test_one_gate_that_refuses_fails_the_verdict_and_is_named(tmp_path: Path) -> None:
    result = verdict(tmp_path, Gate(metric="lm_eval.arc", min=0.4), Gate(metric="valid_json", min=0.5))
    assert not result.passed
    assert [gate.reason for gate in result.gates if not gate.passed] == ["valid_json is missing: refused"]


def test_a_recipe_without_gates_passes_with_an_empty_list(tmp_path: Path) -> None:
    result = verdict(tmp_path)
    assert result.passed
    assert result.gates == ()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_gate_passes_exactly_when_its_bound_holds(value: float, bound: float) -> None:
    measured = evaluation(**{"lm_eval.arc": (0.0, value)})
    gates = (Gate(metric="lm_eval.arc", min=bound), Gate(metric="lm_eval.arc", max=bound))
    at_least, at_most = decide(figures(measured), gates)
    assert at_least.passed == (value >= bound)
    assert at_most.passed == (value <= bound)
    assert all(str(result.metric) in result.reason for result in (at_least, at_most))


def test_what_was_not_measured_is_no_pass_though_there_is_no_champion() -> None:
    gate = Gate.model_validate({"metric": "perplexity", "against": "champion", "max": 0})
    (result,) = decide(figures(), (gate,))
    assert (result.state, result.reason) == ("failed", "perplexity is missing: refused")


def test_the_slice_that_leaves_the_gate_open_is_the_one_that_is_named() -> None:
    evidence = rows(0, of=2012, slices={"source": ("big",) * 2000 + ("small",) * 12})
    right = [1.0] * 1800 + [0.0] * 200 + [1.0] * 11 + [0.0]
    sampled = {("tuned", "accuracy"): Sampled("tuned", "accuracy", TEST, share_of(right))}
    result = one(evidence._replace(sampled=sampled), min=0.8, slice="source")
    assert (result.state, result.worst) == ("inconclusive", "small")


def test_rows_of_a_group_count_as_one() -> None:
    evidence = rows(270, of=300)
    assert one(evidence, min=0.85).state == "passed"
    grouped = evidence._replace(groups=tuple(row // 10 for row in range(300)))
    result = one(grouped, min=0.85)
    assert (result.state, result.value) == ("inconclusive", 0.9)
    assert (result.rows_needed or 0) > 300
