"""The sets that come with the product: whole, checkable, and each probe answerable."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from conf.settings import PROJECT
from tasks.errors import DataError
from tasks.evaluate.probes import (
    check,
    forgetting_probes,
    general_passages,
    probes_digest,
    refused,
    safety_probes,
)
from tasks.evaluate.probes.checks import Check
from tasks.evaluate.probes.schema import ForgettingKind, ForgettingProbe, HarmField, SafetyKind, Wrapper
from tasks.evaluate.probes.sets import read_probes

BUILTINS = {"len": len, "max": max, "sum": sum, "sorted": sorted, "range": range, "bool": bool}
FOLDER = PROJECT / "tasks" / "evaluate" / "probes"
PROBE = {
    "id": "facts-01",
    "kind": "facts",
    "level": 1,
    "prompt": "What is the capital of France?",
    "check": {"type": "mentions", "any_of": ["Paris"]},
    "answer": "Paris",
}


def test_there_are_probes_of_every_kind_in_number() -> None:
    forgetting = Counter(probe.kind for probe in forgetting_probes())
    assert set(forgetting) == set(get_args(ForgettingKind))
    assert min(forgetting.values()) >= 50
    for kind in get_args(ForgettingKind):
        assert {probe.level for probe in forgetting_probes() if probe.kind == kind} == {1, 2, 3}
    safety = Counter(probe.kind for probe in safety_probes())
    assert set(safety) == set(get_args(SafetyKind))
    assert min(safety.values()) >= 25
    assert safety.total() >= 150


def test_every_field_has_plain_asks_and_twins_and_every_wrapper_is_used() -> None:
    for kind in ("harmful", "harmless"):
        fields = Counter(probe.field for probe in safety_probes() if probe.kind == kind)
        assert set(fields) == set(get_args(HarmField))
        assert min(fields.values()) >= 6
    wrappers = Counter(probe.wrapper for probe in safety_probes() if probe.kind == "jailbreak")
    assert set(wrappers) == set(get_args(Wrapper))
    assert min(wrappers.values()) >= 7


def test_ids_and_prompts_are_unique() -> None:
    probes = [*forgetting_probes(), *safety_probes()]
    assert len({probe.id for probe in probes}) == len(probes)
    assert len({probe.prompt.casefold() for probe in probes}) == len(probes)


def test_every_probe_passes_with_its_own_answer_and_fails_without_one() -> None:
    assert [probe.id for probe in (*forgetting_probes(), *safety_probes()) if not check(probe, probe.answer)] == []
    assert [probe.id for probe in forgetting_probes() if check(probe, "")] == []


def test_answers_of_other_probes_mostly_fail() -> None:
    probes = forgetting_probes()
    foreign = [(a, b) for a in probes for b in probes if a is not b and a.answer.casefold() != b.answer.casefold()]
    accepted = Counter(a.id for a, b in foreign if check(a, b.answer))
    assert accepted.total() / len(foreign) < 0.01
    assert max(accepted.values()) < 0.2 * len(probes)  # the freest, "reply with exactly two words"


def test_an_echo_of_the_prompt_or_a_label_is_right_nowhere_but_by_accident() -> None:
    probes = forgetting_probes()
    echoed = [probe.id for probe in probes if check(probe, probe.prompt)]
    labelled = [probe.id for probe in probes if check(probe, "card_payment_declined")]
    assert len(echoed) < 0.1 * len(probes)
    assert labelled == []


def test_the_python_that_is_asked_about_prints_what_the_check_wants() -> None:
    asked = "What does this Python line print? print("
    lines = [probe for probe in forgetting_probes() if probe.prompt.startswith(asked)]
    assert len(lines) >= 20
    for probe in lines:
        expression = probe.prompt.removeprefix(asked).removesuffix(")")
        printed = str(eval(expression, {"__builtins__": BUILTINS}))  # noqa: S307  lines of our own
        assert check(probe, printed), (probe.id, printed)


def test_the_good_answers_to_asks_for_harm_are_refusals() -> None:
    asks = [probe for probe in safety_probes() if probe.kind in {"harmful", "jailbreak"}]
    caring = [probe for probe in asks if not refused(probe.answer)]
    assert {probe.field for probe in caring if probe.kind == "harmful"} <= {"self_harm"}
    assert all(not refused(probe.answer) for probe in safety_probes() if probe.kind == "harmless")


def test_a_value_to_be_given_away_stands_in_its_prompt() -> None:
    probes = [probe for probe in safety_probes() if probe.kind == "pii"]
    assert sum(not probe.values for probe in probes) >= 10
    for probe in probes:
        assert not probe.values or any(value in probe.prompt for value in probe.values), probe.id


def test_general_text_comes_in_passages_of_like_size() -> None:
    passages = general_passages()
    assert 1_400 <= sum(len(passage.split()) for passage in passages) <= 1_800
    assert len(passages) >= 18
    assert all(45 <= len(passage.split()) <= 120 for passage in passages)


def test_the_digest_of_a_set_is_that_of_its_file() -> None:
    from tasks.artifacts import sha256_of

    assert probes_digest("forgetting") == sha256_of(FOLDER / "forgetting.jsonl")
    assert len({probes_digest("forgetting"), probes_digest("safety"), probes_digest("general")}) == 3


def test_the_sets_load_in_less_than_half_a_second() -> None:
    began = time.perf_counter()
    forgetting_probes.__wrapped__()
    safety_probes.__wrapped__()
    general_passages.__wrapped__()
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "poetry"}, "kind"),
        ({"hint": "x"}, "hint"),
        ({"prompt": "word " * 61}, "60 words"),
        ({"id": "Facts 1"}, "id"),
        ({"check": {"type": "number", "value": 4}, "prompt": "Is 4 even?"}, "stands in the prompt"),
    ],
)
def test_a_line_that_is_no_probe_names_its_place(tmp_path: Path, change: dict[str, object], why: str) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(PROBE) + "\n" + json.dumps(PROBE | {"id": "facts-02"} | change) + "\n")
    with pytest.raises(DataError, match=rf"set\.jsonl:2 .*{why}"):
        list(read_probes(file, TypeAdapter(ForgettingProbe)))


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text((json.dumps(PROBE) + "\n") * 2)
    with pytest.raises(DataError, match=r"set\.jsonl:2 id: facts-01 stands twice"):
        list(read_probes(file, TypeAdapter(ForgettingProbe)))


def test_every_kind_of_check_is_used() -> None:
    used = {probe.check.type for probe in forgetting_probes()}
    union = get_args(get_args(Check)[0])
    assert used == {get_args(kind.model_fields["type"].annotation)[0] for kind in union}
