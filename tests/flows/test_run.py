"""`tunegate run` as a person runs it: the whole way on a tiny model, twice, and with an edited gate.

Real flows on Prefect's ephemeral server, real MLflow on SQLite, real processes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conf.load import load_recipe
from conf.settings import PROJECT
from tasks.errors import RecipeError
from tests.flows.place import FROM_GATES_ON, PLANTED, STAGES, Place, stages_cached, stages_done
from tests.flows.warm import WarmCommandLine
from tests.searching import files_with

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def first(place: Place) -> subprocess.CompletedProcess[str]:
    return place.run()


def test_the_first_run_does_every_stage_and_registers_a_challenger(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert stages_done(first.stdout) == list(STAGES)
    assert "tiny-candidates version 1" in first.stdout


def test_no_file_that_a_run_leaves_holds_a_personal_value(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    assert files_with(PLANTED, place.conf) == ["recipes/tickets.jsonl"]  # so the search sees them where they are
    assert files_with(["<EMAIL_ADDRESS>"], place.home / "store")
    assert files_with(PLANTED, place.home) == []
    assert not any(value in first.stdout + first.stderr for value in PLANTED)


def test_no_pickle_is_left_outside_prefect(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0
    names = [file for file in place.home.rglob("*") if file.suffix in {".pkl", ".pickle", ".bin", ".pt", ".pth"}]
    assert names == []


def test_the_raw_rows_are_gone_and_their_digest_stays(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0
    (manifest,) = (place.home / "store" / "raw").glob("*/manifest.json")
    rows = json.loads(manifest.read_text())["result"]["rows"]
    assert rows[0]["sha256"]
    assert not (place.home / "store" / rows[0]["path"]).exists()


def test_a_second_run_does_no_stage_again(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0
    second = place.run()
    assert second.returncode == 0, second.stdout + second.stderr
    assert stages_done(second.stdout) == []
    assert stages_cached(second.stdout) == list(STAGES)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("split.seed=9",), "its split differs"),
        (("pii.score_threshold=0.9",), "its scrub differs"),
        (("quality.min_prompt_characters=3",), "its check differs"),
        (("prompt.user='{{ text | upper }}'",), "its raw differs"),
    ],
)
def test_what_was_prepared_is_taken_over_by_its_own_recipe_alone(
    place: Place,
    first: subprocess.CompletedProcess[str],
    monkeypatch: pytest.MonkeyPatch,
    overrides: tuple[str],
    says: str,
) -> None:
    assert first.returncode == 0
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    from tasks import stages

    (made,) = (place.home / "store" / "prepared").iterdir()
    assert stages.take_over(made.name, load_recipe(place.recipe)).split.key == made.name
    with pytest.raises(RecipeError, match=says):
        stages.take_over(made.name, load_recipe(place.recipe, overrides))
    with pytest.raises(RecipeError, match="nothing of the key"):
        stages.take_over("../../etc/passwd", load_recipe(place.recipe))


def test_an_edited_gate_is_judged_and_nothing_else_is_done_again(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    refused = place.run("--set", "gates.0.max=-1000000")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert stages_cached(refused.stdout) == [stage for stage in STAGES if stage not in FROM_GATES_ON]
    assert re.search(r"✗ failed +perplexity .*at most −1e\+06", refused.stdout)  # noqa: RUF001  a true minus
    assert re.search(r"perplexity of tuned minus base -\d+\.\d+ is above -1000000\.000", refused.stdout)


def test_gates_that_are_set_back_bring_the_challenger_back(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    assert place.run("--set", "gates.0.max=-1000000").returncode == 2
    back = place.run()
    assert back.returncode == 0, back.stdout + back.stderr
    assert stages_done(back.stdout) == ["register"]
    assert stages_cached(place.run().stdout) == list(STAGES)


def test_the_challenger_answers_in_a_new_process(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    answer = json.loads(place.run("--json").stdout)
    assert answer["passed"]
    (predictions,) = (place.home / "store" / "evaluate").glob("*/predictions.parquet")
    row = pq.read_table(predictions).to_pylist()[0]
    loaded = subprocess.run(
        [sys.executable, "-m", "tasks.register.load", "models:/tiny-candidates@challenger", row["prompt"]],
        cwd=PROJECT,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")  # and not a word of a library's
    assert loaded.stdout.strip() == row["tuned"].strip()  # what it said when it was evaluated


@pytest.fixture(scope="module")
def warm(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommandLine]:
    folder = tmp_path_factory.mktemp("warm")
    own = place.environment(TUNEGATE_HOME=str(folder / "home"), HF_HUB_OFFLINE="1")
    with WarmCommandLine(own, folder / "log") as line:
        yield line


def unreadable_model(place: Place) -> Path:
    """A folder with a model whose weights end in the middle."""
    folder = place.folder / "cut-off"
    if not folder.exists():
        shutil.copytree(place.folder / "model", folder)
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
        (place.recipe.parent / "empty.jsonl").touch()
    return folder


COMMIT = "0123456789" * 4
HUB = f"datasets=[{{path: acme/tickets, type: huggingface, split: train, revision: '{COMMIT}'}}]"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--set", "model.model_name_or_path={unreadable}"), 1, "cut-off"),
        (("--set", "datasets.0.path=empty.jsonl"), 1, "empty.jsonl"),
        (("--set", HUB), 1, "the Hugging Face hub cannot be reached"),
        (("--set", "lora.rnak=8"), 3, "lora.rnak"),
        (("--set", "datasets.0.path=nowhere.jsonl"), 3, "nowhere.jsonl"),
        (("--set", "gates.0.metric=acuracy"), 3, "did you mean accuracy"),
        (("--set", "model.model_name_or_path=/nowhere/model"), 3, "no such folder"),
        (
            (
                "--set",
                "model.model_name_or_path=acme/model",
                "--set",
                f"model.model_revision='{COMMIT}'",
            ),
            1,
            "cannot be fetched",
        ),
        (("--set", "datasets.0.field_label=nothing"), 1, "nothing"),
        (("--set", "prompt.user='{{ no_such_column }}'"), 1, "rejected"),
        (("--set", "quality.expectations.0.value_set=[other]"), 2, "expect_column_values_to_be_in_set"),
    ],
)
def test_bad_input_gets_one_clear_line_and_its_exit_code(
    place: Place, warm: WarmCommandLine, arguments: tuple[str, ...], code: int, says: str
) -> None:
    given = [word.replace("{unreadable}", str(unreadable_model(place))) for word in arguments]
    ended = warm.command("run", str(place.recipe), *given)
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert len(errors) == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_references_that_do_not_fit_the_task_are_found_before_the_training(place: Place) -> None:
    schema = "evaluation.json_schema={path: any.json, text: '{}'}"
    roles = "pii.roles=[system, user, assistant]"
    ended = place.run("--set", "evaluation.task=structured_output", "--set", schema, "--set", roles)
    assert ended.returncode == 1
    assert "34 of 34 test rows do not have a JSON object" in ended.stderr
    assert "smoke: failed" in ended.stdout
    assert "train" not in stages_done(ended.stdout)
