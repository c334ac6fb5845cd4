"""`tunegate run` as a person runs it: the whole way on a tiny model, twice, and with an edited gate.

Real flows on Prefect's ephemeral server, real MLflow on SQLite, real processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conf.load import load_recipe
from conf.settings import PROJECT
from tasks.errors import RecipeError
from tests.builders import QUESTIONS
from tests.flows.place import Place
from tests.flows.warm import WarmCommandLine

pytestmark = pytest.mark.slow

FROM_GATES_ON = ("judge", "report", "register")
STAGES = (
    *("ingest", "scrub", "check", "split", "base", "smoke", "train", "evaluate", "champion", "record"),
    *FROM_GATES_ON,
)


def stages_done(output: str) -> list[str]:
    return [line.split(":")[0] for line in output.splitlines() if ": done in" in line]


def stages_cached(output: str) -> list[str]:
    return [line.split(":")[0] for line in output.splitlines() if ": already done" in line]


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
    planted = (b"@example.com", b"Whitfield")
    leaks = [
        str(file.relative_to(place.home))
        for file in place.home.rglob("*")
        if file.is_file() and any(value in file.read_bytes() for value in planted)
    ]
    assert leaks == []


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
    assert "perplexity" in refused.stdout


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
    loaded = subprocess.run(
        [sys.executable, "-m", "tasks.register.load", "models:/tiny-candidates@challenger", QUESTIONS[0]],
        cwd=PROJECT,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")  # and not a word of a library's


@pytest.fixture(scope="module")
def warm(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommandLine]:
    folder = tmp_path_factory.mktemp("warm")
    own = place.environment(TUNEGATE_HOME=str(folder / "home"), HF_HUB_OFFLINE="1")
    with WarmCommandLine(own, folder / "log") as line:
        yield line


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--set", "lora.rnak=8"), 3, "lora.rnak"),
        (("--set", "datasets.0.path=nowhere.jsonl"), 3, "nowhere.jsonl"),
        (("--set", "gates.0.metric=acuracy"), 3, "did you mean accuracy"),
        (("--set", "model.model_name_or_path=/nowhere/model"), 3, "no such folder"),
        (
            (
                "--set",
                "model.model_name_or_path=acme/model",
                "--set",
                "model.model_revision=0123456789012345678901234567890123456789",
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
    ended = warm.command("run", str(place.recipe), *arguments)
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
