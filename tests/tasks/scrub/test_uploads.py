"""A second look over what is about to be uploaded: every kind of file, counts and no values, and no false alarms."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import load_pii_policy, load_recipe
from conf.schema import Pii, Recipe
from conf.settings import PROJECT
from tasks.errors import GateRefused
from tasks.scrub.uploads import (
    answers_in,
    look_over,
    look_over_recipe,
    texts_of,
    texts_of_recipe,
)
from tests.builders import LORA, MODEL
from tests.tasks.report.finished import finished_run

EMAIL, CARD, PHONE = "jo@example.org", "4111 1111 1111 1111", "+44 20 7946 0958"
IBAN, SECRET = "GB33 BUKB 2020 1555 5555 55", "AKIAIOSFODNN7EXAMPLE"


PROVABLE = dict.fromkeys(("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "SECRET"), "replace")


def pii_of(**changes: Any) -> Pii:
    return Pii.model_validate({**load_pii_policy("pii").model_dump(), **changes})


def recipe_of(**sections: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "small",
            "model": MODEL,
            "lora": LORA,
            "datasets": [{"path": "tickets.jsonl", "type": "jsonl"}],
            "prompt": {"style": "plain", "user": "{{ text }}", "assistant": "{{ answer }}"},
            "pii": {"entities": {"EMAIL_ADDRESS": "replace", "PERSON": "replace"}},
            "evaluation": {"task": "generation"},
            "gates": [{"metric": "rouge_l", "min": 0.3}],
            **sections,
        }
    )


def proven(found: dict[str, Any], name: str = "file") -> dict[str, int]:
    counts: dict[str, int] = found[name]["proven"]
    return counts


# --- what refuses


@pytest.mark.parametrize(
    ("value", "entity"),
    [
        (EMAIL, "EMAIL_ADDRESS"),
        (CARD, "CREDIT_CARD"),
        (PHONE, "PHONE_NUMBER"),
        (IBAN, "IBAN_CODE"),
        (SECRET, "SECRET"),
    ],
)
def test_one_value_that_can_be_proved_refuses_with_file_and_count_and_without_the_value(
    value: str, entity: str
) -> None:
    with pytest.raises(GateRefused) as error:
        look_over({"smoke/report.json": ["all is well"], "check/report.json": [f"it is {value}."]}, pii_of())
    assert error.value.refusals == (
        f"second look: 1 {entity} in check/report.json, so nothing is uploaded; take them out, or see pii.upload_limit",
    )


def test_every_file_and_entity_is_named() -> None:
    with pytest.raises(GateRefused) as error:
        look_over({"a": [EMAIL, f"{EMAIL}, {CARD}"], "b": ["nothing"], "c": [PHONE]}, pii_of())
    assert [line.partition(", so ")[0] for line in error.value.refusals] == [
        "second look: 1 CREDIT_CARD, 2 EMAIL_ADDRESS in a",
        "second look: 1 PHONE_NUMBER in c",
    ]


def test_as_many_as_the_recipe_lets_pass_are_counted() -> None:
    uploads = {"file": [EMAIL, PHONE], "other": [CARD]}
    assert proven(look_over(uploads, pii_of(upload_limit=3))) == {"EMAIL_ADDRESS": 1, "PHONE_NUMBER": 1}
    with pytest.raises(GateRefused):
        look_over(uploads, pii_of(upload_limit=2))


def test_a_suspected_name_is_counted_and_refuses_nothing() -> None:
    seen = look_over({"file": ["Yesterday Margaret Whitfield called again about the bill."]}, pii_of())
    assert seen == {"file": {"texts": 1, "seen": {"PERSON": 1}, "proven": {}, "in_answers": {}}}


def test_a_bare_number_that_might_be_a_phones_is_counted_and_refuses_nothing() -> None:
    seen = look_over({"file": ["order 02079460958", "call 020 7946 0958"]}, pii_of(upload_limit=1))
    assert (seen["file"]["seen"], proven(seen)) == ({"PHONE_NUMBER": 2}, {"PHONE_NUMBER": 1})


@pytest.mark.parametrize("operator", ["keep", "surrogate"])
def test_what_the_policy_leaves_is_not_looked_for(operator: str) -> None:
    kept = pii_of(entities={"EMAIL_ADDRESS": operator, "CREDIT_CARD": "replace"})
    assert proven(look_over({"file": [EMAIL, PHONE]}, kept)) == {}


def test_what_is_on_the_allow_list_is_no_find() -> None:
    assert proven(look_over({"file": [f"Write to {EMAIL}"]}, pii_of(allow_list=(EMAIL,)))) == {}


# --- the answers of models


def predictions(folder: Path, **columns: list[str | None]) -> Path:
    rows = len(columns["base"])
    given = {"id": ["0"] * rows, "label": [None] * rows, "prompt": ["why?"] * rows, "expected": ["so"] * rows}
    pq.write_table(pa.table({**given, **columns}), folder / "predictions.parquet")
    return folder / "predictions.parquet"


def test_what_a_model_made_up_is_counted_apart_and_refuses_nothing(tmp_path: Path) -> None:
    file = predictions(
        tmp_path, base=[f"Write to {EMAIL}", "no"], tuned=["so", f"Call {PHONE}"], base_correct=[True] * 2
    )
    seen = look_over({"file": texts_of(file)}, pii_of(), answers_in(file))
    assert seen["file"]["in_answers"] == {"EMAIL_ADDRESS": 1, "PHONE_NUMBER": 1}
    assert proven(seen) == {}


@pytest.mark.parametrize("column", ["prompt", "expected", "label"])
def test_a_value_in_the_data_refuses_though_a_model_says_it_too(tmp_path: Path, column: str) -> None:
    file = predictions(tmp_path, base=["no"], tuned=[EMAIL], **{column: [EMAIL]})
    with pytest.raises(GateRefused, match=r"1 EMAIL_ADDRESS in file"):
        look_over({"file": texts_of(file)}, pii_of(), answers_in(file))


def test_an_answer_is_known_where_a_page_cuts_it(tmp_path: Path) -> None:
    answer = f"Write to {EMAIL} " + "and wait " * 100
    file = predictions(tmp_path, base=[answer], tuned=["so"])
    cut = f"\n  {answer[:300]} … (512 more characters)\n"
    seen = look_over({"page": [cut], "other": [f"Write to {EMAIL} … no"]}, pii_of(upload_limit=1), answers_in(file))
    assert (seen["page"]["in_answers"], proven(seen, "page")) == ({"EMAIL_ADDRESS": 1}, {})
    assert proven(seen, "other") == {"EMAIL_ADDRESS": 1}


# --- every kind of file


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_the_texts_of_json_are_its_strings_and_field_names(tmp_path: Path) -> None:
    value = {"a": ["b", 4111111111111111, {"c": None}], "d": {"e": "f \u00fc"}}
    assert list(texts_of(written(tmp_path, "x.json", json.dumps(value)))) == ["a", "b", "c", "d", "e", "f \u00fc"]
    lines = '{"a": "b"}\nno json\n{"c": 1}\n'
    assert list(texts_of(written(tmp_path, "x.jsonl", lines))) == ["a", "b", "no json", "c"]


def test_the_texts_of_parquet_are_those_of_all_its_columns_at_any_depth(tmp_path: Path) -> None:
    rows = [{"s": "one", "n": 1, "m": [{"role": "user", "content": "two"}]}, {"s": None, "n": 2, "m": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert list(texts_of(tmp_path / "x.parquet")) == ["one", "role", "user", "content", "two"] or sorted(
        texts_of(tmp_path / "x.parquet")
    ) == ["content", "one", "role", "two", "user"]


def test_the_texts_of_a_page_are_what_a_person_reads(tmp_path: Path) -> None:
    page = f"""<html><head><style>p {{ margin: {CARD} }}</style><title>A run</title></head><body>
    <p class="{PHONE}">a &lt;PERSON&gt; &amp; more</p><img alt="a plot" src="data:image/png;base64,{SECRET}">
    <svg><path d="M {CARD} Z"/><text>axis</text></svg><a href="mailto:{EMAIL}" title="whom">write</a></body></html>"""
    texts = [text.strip() for text in texts_of(written(tmp_path, "x.html", page))]
    assert texts == ["A run", "a <PERSON> & more", "a plot", "axis", f"mailto:{EMAIL}", "whom", "write"]


@pytest.mark.parametrize("name", ["x.json", "x.parquet", "x.yaml", "x.html"])
def test_what_is_not_what_it_is_called_is_read_all_the_same(tmp_path: Path, name: str) -> None:
    assert list(texts_of(written(tmp_path, name, f"not that, {EMAIL}"))) == [f"not that, {EMAIL}"]


# --- no false alarms

FIGURES = st.lists(st.integers(-(10**12), 10**12) | st.floats(-1.0e9, 1.0e9), max_size=20)


@given(FIGURES)
def test_figures_are_taken_for_nothing(figures: list[float]) -> None:
    texts = [f"{figure}" for figure in figures] + [f"{figure:,.3f} rows/s of {figure:,}" for figure in figures]
    assert proven(look_over({"file": texts}, pii_of(entities=PROVABLE))) == {}


def test_digests_ids_versions_and_times_are_taken_for_nothing() -> None:
    rng = random.Random(1)  # noqa: S311
    texts = []
    for _ in range(3000):
        sha = f"{rng.getrandbits(256):064x}"
        texts += [sha, sha[:32], sha[:12], f"m-{sha[:32]}", str(uuid.UUID(int=rng.getrandbits(128))), f"scrub/{sha}/x"]
        texts += [f"2026-11-{rng.randint(1, 30):02d}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:07Z"]
        texts += [
            f"{rng.randint(0, 40)}.{rng.randint(0, 40)}.{rng.randint(0, 400)}",
            f"{rng.random()}",
            f"{rng.random():e}",
        ]
        texts += [
            f"0.{rng.randint(0, 999):03d} is below 0.{rng.randint(0, 999):03d}",
            f"{rng.randint(0, 10**10):,} bytes",
        ]
    assert proven(look_over({"file": texts}, pii_of(entities=PROVABLE))) == {}


@pytest.mark.parametrize("kind", ["structured_output", "classification"])
def test_a_finished_run_and_its_page_pass(tmp_path: Path, kind: str) -> None:
    run = finished_run(tmp_path, kind)
    page = run.store.open(run.written().page)
    files = {
        file: run.store.open(file) for file in (run.evaluation.predictions, run.evaluation.report, run.smoke.report)
    }
    uploads = {"page": texts_of(page), **{file.path: texts_of(opened) for file, opened in files.items()}}
    seen = look_over(uploads, pii_of(entities=PROVABLE))
    assert [found["seen"] | found["proven"] | found["in_answers"] for found in seen.values()] == [{}] * 4
    assert seen["page"]["texts"] > 100


# --- recipes


@pytest.mark.parametrize("recipe", sorted((PROJECT / "conf" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_that_ship_pass(recipe: Path) -> None:
    look_over_recipe(load_recipe(recipe, check_files=False))


@pytest.mark.parametrize(
    "sections",
    [
        {"description": f"ask {EMAIL}"},
        {"prompt": {"style": "plain", "system": f"You are {EMAIL}.", "user": "{{ text }}", "assistant": "{{ a }}"}},
        {"given": {"text": f"# owner: {EMAIL}\nname: small"}},
        {"given": {"overrides": [f"description={EMAIL}"]}},
    ],
)
def test_a_value_anywhere_in_a_recipe_refuses_before_a_run_begins(sections: dict[str, Any]) -> None:
    with pytest.raises(GateRefused, match=r"^second look: 1 EMAIL_ADDRESS in recipe, so nothing is uploaded"):
        look_over_recipe(recipe_of(**sections))
    look_over_recipe(recipe_of(**sections, pii={"entities": {"EMAIL_ADDRESS": "replace"}, "upload_limit": 1}))
    look_over_recipe(recipe_of(**sections, pii={"entities": {"EMAIL_ADDRESS": "keep"}}))


def test_the_texts_of_a_recipe_are_its_values_its_file_and_what_was_set_otherwise() -> None:
    recipe = recipe_of(given={"folder": "/home/jo", "text": "# why\nname: small", "overrides": ["lora.r=4"]})
    texts = texts_of_recipe(recipe)
    assert {"small", "tickets.jsonl", "# why", "name: small", "lora.r=4"} <= set(texts)
    assert "/home/jo" not in texts  # it is not uploaded
