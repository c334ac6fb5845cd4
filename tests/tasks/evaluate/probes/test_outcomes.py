"""From answers to outcomes: one for each probe, in order, with a definition that holds at both ends."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.evaluate.probes import (
    FORGETTING_METRICS,
    SAFETY_METRICS,
    failures,
    forgetting_outcomes,
    forgetting_probes,
    safety_outcomes,
    safety_probes,
)

HELP = "Sure. First you gather what you need, then you wait until nobody looks, and then you begin."
COUNTS = {
    kind: sum(probe.kind == kind for probe in safety_probes())
    for kind in ("harmful", "jailbreak", "injection", "pii", "harmless")
}


def means(outcomes: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in outcomes.items()}


def test_good_answers_score_full_marks_and_none_score_nothing() -> None:
    probes = forgetting_probes()
    good = forgetting_outcomes(probes, [probe.answer for probe in probes])
    assert tuple(good) == FORGETTING_METRICS
    assert set(means(good).values()) == {1.0}
    assert set(means(forgetting_outcomes(probes, [""] * len(probes))).values()) == {0.0}


def test_each_outcome_stands_where_its_probe_does() -> None:
    probes = forgetting_probes()
    wrong = 7
    answers = ["" if at == wrong else probe.answer for at, probe in enumerate(probes)]
    outcomes = forgetting_outcomes(probes, answers)
    assert outcomes["forgetting_accuracy"].dtype == np.float64
    assert list(np.flatnonzero(outcomes["forgetting_accuracy"] == 0)) == [wrong]
    kinds = [name for name in FORGETTING_METRICS if "." in name]
    assert sum(len(outcomes[name]) for name in kinds) == len(probes)
    assert np.isclose(sum(outcomes[name].sum() for name in kinds), outcomes["forgetting_accuracy"].sum())


def test_a_well_behaved_model_has_clean_hands() -> None:
    probes = safety_probes()
    outcomes = safety_outcomes(probes, [probe.answer for probe in probes])
    assert tuple(outcomes) == SAFETY_METRICS
    assert {name: len(values) for name, values in outcomes.items()} == {
        "unsafe_rate": COUNTS["harmful"] + COUNTS["jailbreak"],
        "no_answer": COUNTS["harmful"] + COUNTS["jailbreak"],
        "over_refusal": COUNTS["harmless"],
        "injection_followed": COUNTS["injection"],
        "pii_disclosed": COUNTS["pii"],
    }
    assert means(outcomes)["unsafe_rate"] == 0.0
    assert means(outcomes)["over_refusal"] == 0.0
    assert means(outcomes)["injection_followed"] == 0.0
    assert means(outcomes)["pii_disclosed"] == 0.0


def test_a_model_that_helps_with_everything_is_unsafe() -> None:
    probes = safety_probes()
    found = means(safety_outcomes(probes, [HELP] * len(probes)))
    assert found == {
        "unsafe_rate": 1.0, "no_answer": 0.0, "over_refusal": 0.0, "injection_followed": 0.0, "pii_disclosed": 0.0,
    }  # fmt: skip


def test_a_model_that_refuses_everything_is_safe_and_of_no_use() -> None:
    probes = safety_probes()
    found = means(safety_outcomes(probes, ["I'm sorry, but I can't help with that."] * len(probes)))
    assert found == {
        "unsafe_rate": 0.0, "no_answer": 0.0, "over_refusal": 1.0, "injection_followed": 0.0, "pii_disclosed": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("answer", ["", "card_arrival", '{"label": "other"}'])
def test_a_model_that_knows_only_labels_neither_refuses_nor_helps(answer: str) -> None:
    probes = safety_probes()
    found = means(safety_outcomes(probes, [answer] * len(probes)))
    assert found["unsafe_rate"] == found["over_refusal"] == found["pii_disclosed"] == 0.0
    assert found["no_answer"] == 1.0


def test_a_model_that_gives_in_follows_every_order_and_tells_every_value() -> None:
    probes = safety_probes()
    answers = [
        probe.canary if probe.kind == "injection" else "0171 555 0199" if probe.kind == "pii" else ""
        for probe in probes
    ]
    found = means(safety_outcomes(probes, answers))
    assert found["injection_followed"] == found["pii_disclosed"] == 1.0


def test_the_second_look_adds_what_it_sees_to_the_asks_for_a_value() -> None:
    probes = safety_probes()
    answers = [""] * len(probes)
    seen = [probe.kind == "pii" for probe in probes]
    assert safety_outcomes(probes, answers, seen)["pii_disclosed"].mean() == 1.0
    assert safety_outcomes(probes, answers, [not one for one in seen])["pii_disclosed"].mean() == 0.0


def test_answers_that_do_not_pair_up_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        forgetting_outcomes(forgetting_probes(), ["5"])
    with pytest.raises(ValueError, match="zip"):
        safety_outcomes(safety_probes(), ["5"])


def test_failures_carry_the_answers_but_none_that_may_be_personal() -> None:
    probes = (*forgetting_probes(), *safety_probes())
    failed = failures(probes, ["Call 0171 555 0199"] * len(probes))
    assert len(failed) > 200
    assert {failure.answer for failure in failed} == {None}
    harmful = next(probe for probe in safety_probes() if probe.kind == "harmful")
    (failure,) = failures([harmful], [HELP])
    assert (failure.id, failure.kind, failure.prompt, failure.answer) == (harmful.id, "harmful", harmful.prompt, HELP)
    assert failures(probes, [probe.answer for probe in probes]) == ()
