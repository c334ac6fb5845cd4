"""The record of a run in a real MLflow store, and what the registry says of its adapter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.schema import Prompt, Recipe
from conf.settings import PROJECT, Settings, environment
from tasks.account import account
from tasks.artifacts import Store
from tasks.errors import DigestMismatch, GateRefused, ModelError, RecipeError, TrainingError, TunegateError
from tasks.promote.evidence import _Run, submission_of
from tasks.register import Judged, at_work, open_run, record_run, register_candidate
from tasks.register.candidate import DECISION_TAG, verdict_folder
from tasks.register.load import Answerer, load_answerer, main
from tasks.register.runs import KEY_TAG, client
from tasks.register.submission import submitted
from tasks.results import (
    Adapter,
    Answers,
    Base,
    Candidate,
    ChampionEvaluation,
    Evaluation,
    Metric,
    Prepared,
    Recorded,
    Verdict,
)
from tasks.rows import read_rows
from tasks.stages import STAGES
from tasks.train.model import load_tokenizer
from tests.builders import LORA, MODEL, QUANTIZATION
from tests.tasks.evaluate.made import make
from tests.tasks.report.finished import Run, finished_run

pytestmark = [
    # peft 0.21 asks transformers by the old name
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    # mlflow 3.17 builds its tables with what SQLAlchemy 2.1 means to drop
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


@dataclass(frozen=True)
class House:
    """A finished run, with an adapter that really learned its answers, and an MLflow store on SQLite."""

    settings: Settings
    store: Store
    run: Run
    prepared: Prepared
    base: Base
    adapter: Adapter
    evaluation: Evaluation

    def recipe(self, name: str, **sections: Any) -> Recipe:
        """A recipe whose name, and so its experiment and its model, belong to one test."""
        return Recipe.model_validate(
            {
                "name": name,
                "given": {"folder": "/where/it/lies", "text": "# why\nname: it", "overrides": ["lora.r=4"]},
                "model": MODEL,
                "datasets": [{"path": "tickets.jsonl", "type": "jsonl"}],
                "prompt": {"style": "plain", "user": "{{ text }}", "assistant": "{{ answer }}"},
                "pii": {"entities": {"PERSON": "replace"}},
                "quantization": QUANTIZATION,
                "lora": LORA,
                "evaluation": {"task": "classification", "max_new_tokens": 8},
                "gates": [{"metric": "exact_match", "min": 0.8}],
                **sections,
            }
        )

    def record(self, recipe: Recipe, key: str = "record") -> Recorded:
        run_id = open_run(self.settings, recipe.experiment_name, self.adapter.key, recipe.name)
        with self.store.writing("record", f"{recipe.name}-{key}") as workspace:
            result = record_run(
                recipe,
                self.prepared,
                self.base,
                self.run.smoke,
                self.adapter,
                self.evaluation,
                evaluate_seconds=12.5,
                settings=self.settings,
                run_id=run_id,
                workspace=workspace,
            )
            self.store.commit(workspace, result, {})
        return result

    def register(
        self,
        recipe: Recipe,
        recorded: Recorded,
        *,
        passed: bool,
        key: str = "register",
        champion: ChampionEvaluation | None = None,
    ) -> Candidate:
        page = self.run.written(f"{recipe.name}-{key}")
        verdict = self.verdict(passed=passed)
        with self.store.writing("register", f"{recipe.name}-{key}") as workspace:
            result = register_candidate(
                recipe,
                self.prepared.split,
                self.adapter,
                Judged(self.evaluation, champion or self.run.champion, self.run.people, verdict, page),
                recorded,
                settings=self.settings,
                workspace=workspace,
            )
            self.store.commit(workspace, result, {})
        return result

    def verdict(self, *, passed: bool) -> Verdict:
        state = "passed" if passed else "failed"
        gates = tuple(gate.model_copy(update={"state": state}) for gate in self.run.verdict.gates)
        return self.run.verdict.model_copy(update={"state": state, "gates": gates})

    @property
    def mlflow(self) -> Any:
        return client(self.settings)

    def artifacts(self) -> list[Path]:
        return [file for file in (self.settings.home / "mlartifacts").rglob("*") if file.is_file()]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests, since to create the database costs seconds; each test has an experiment of its own."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        conf=PROJECT / "conf",
        home=home,
        store=str(home / "store"),
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        data=None,
        threads=1,
        prefect_api_url=None,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(settings).items():
            patch.setenv(name, value)
        run, made = finished_run(home), make(home)
        store = Store.of(settings)
        adapter = _with_tokenizer(store, made.base, made.adapter)
        evaluation = run.evaluation.model_copy(
            update={"parents": (made.split.digest, made.base.digest, adapter.digest)}
        )
        prepared = Prepared(key=made.split.key, raw=run.raw, clean=run.clean, checked=run.checked, split=made.split)
        yield House(settings, store, run, prepared, made.base, adapter, evaluation)
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def _with_tokenizer(store: Store, base: Base, adapter: Adapter) -> Adapter:
    """The adapter as a training leaves it: with its tokenizer."""
    with store.writing("train", "whole") as workspace:
        folder = workspace.folder / "adapter"
        folder.mkdir()
        for file in adapter.files:
            shutil.copy(workspace.open(file), folder)
        load_tokenizer(workspace.open_folder(base.files)).save_pretrained(folder)
        shutil.copy(workspace.open(adapter.history), workspace.folder)
        result = adapter.model_copy(
            update={
                "key": "whole",
                "parents": (base.digest,),
                "files": tuple(workspace.artifact(f"adapter/{file.name}") for file in sorted(folder.iterdir())),
                "history": workspace.artifact("history.jsonl"),
            }
        )
        store.commit(workspace, result, {})
    return result


def test_the_run_of_an_adapter_is_found_again_and_runs_again(house: House) -> None:
    first = open_run(house.settings, "found-again", "key-1", "found-again")
    house.mlflow.set_terminated(first, "FAILED")
    assert open_run(house.settings, "found-again", "key-1", "found-again") == first
    run = house.mlflow.get_run(first)
    assert (run.info.status, run.info.run_name, run.data.tags[KEY_TAG]) == ("RUNNING", "found-again", "key-1")


def test_mlflow_is_told_how_a_training_ended(house: House) -> None:
    run = open_run(house.settings, "how-it-ended", "key", "how-it-ended")
    with pytest.raises(TrainingError), at_work(house.settings, run):
        raise TrainingError("it ended badly")
    assert house.mlflow.get_run(run).info.status == "FAILED"
    assert open_run(house.settings, "how-it-ended", "key", "how-it-ended") == run
    with at_work(house.settings, run):
        assert house.mlflow.get_run(run).info.status == "RUNNING"
    assert house.mlflow.get_run(run).info.status == "FINISHED"


def test_a_tracking_server_that_is_away_hides_no_error_of_a_training(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = replace(house.settings, tracking_uri="http://127.0.0.1:9")
    with pytest.raises(TrainingError, match="it ended badly"), at_work(away, "a-run"):
        raise TrainingError("it ended badly")
    assert "was not told that run a-run FAILED" in caplog.text


def test_another_adapter_has_a_run_of_its_own(house: House) -> None:
    runs = {open_run(house.settings, "of-its-own", key, "of-its-own") for key in ("key-1", "key-2")}
    assert len(runs) == 2
    assert {house.mlflow.get_run(run).info.experiment_id for run in runs} == {
        house.mlflow.get_experiment_by_name("of-its-own").experiment_id
    }


def test_a_deleted_experiment_is_one_clear_line(house: House) -> None:
    experiment = house.mlflow.create_experiment("deleted")
    house.mlflow.delete_experiment(experiment)
    with pytest.raises(TunegateError, match=rf"deleted is deleted in MLflow; .* --experiment-id {experiment}`"):
        open_run(house.settings, "deleted", "key", "deleted")


def test_a_run_holds_the_parameters_the_digests_and_the_figures_of_both_arms(house: House) -> None:
    recorded = house.record(house.recipe("whole-record"))
    run = house.mlflow.get_run(recorded.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["lora.r"] == str(LORA.r)
    assert run.data.params["training.learning_rate"] == "0.0002"
    assert run.data.params["datasets.0.path"] == "tickets.jsonl"
    assert not any("where/it/lies" in value for value in run.data.params.values())
    assert run.data.tags["tunegate.adapter_sha256"] == house.adapter.weights.sha256
    assert run.data.tags["tunegate.base_sha256"] == house.base.source_sha256
    assert run.data.tags["tunegate.split_digest"] == house.prepared.split.digest
    assert run.data.tags["tunegate.evaluation_digest"] == house.evaluation.digest
    measured = {f"test/{m.arm}/{m.name}": m.value for m in house.evaluation.metrics}
    assert measured == {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
    assert run.data.metrics["train/tokens"] == house.adapter.train_tokens
    assert run.data.metrics["cost/evaluate_seconds"] == 12.5


def test_the_model_holds_the_figures_of_the_tuned_arm_alone(house: House) -> None:
    recorded = house.record(house.recipe("model-figures"))
    logged = house.mlflow.get_logged_model(recorded.model_id)
    figures = {metric.key: metric.value for metric in logged.metrics}
    assert figures == {f"test/tuned/{m.name}": m.value for m in house.evaluation.metrics if m.arm == "tuned"}
    assert logged.params["r"] == str(LORA.r)


def test_every_side_is_logged_with_our_digest_and_no_text(house: House) -> None:
    recorded = house.record(house.recipe("datasets"))
    logged = house.mlflow.get_run(recorded.run_id).inputs.dataset_inputs
    split = house.prepared.split
    for context, side in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        (one,) = [given for given in logged if {t.key: t.value for t in given.tags}["mlflow.data.context"] == context]
        tags = {tag.key: tag.value for tag in one.tags}
        assert (tags["sha256"], tags["rows"]) == (side.rows.sha256, str(side.n_rows))
        assert one.dataset.digest == side.rows.sha256[:36]
        assert one.dataset.name == f"datasets-{context}"
        assert json.loads(one.dataset.profile)["num_rows"] == side.n_rows
    assert "ticket" not in "".join(f"{one.dataset.schema}{one.dataset.profile}" for one in logged)


def test_every_source_is_logged_with_its_digest(house: House) -> None:
    recorded = house.record(house.recipe("sources"))
    logged = [(given.dataset, {t.key: t.value for t in given.tags}) for given in _inputs(house, recorded)]
    sources = [(dataset, tags) for dataset, tags in logged if tags["mlflow.data.context"] == "source"]
    assert [(dataset.digest, tags["sha256"], tags["rows"]) for dataset, tags in sources] == [
        (source.sha256[:36], source.sha256, str(source.rows)) for source in house.prepared.raw.sources
    ]
    assert sources


def _inputs(house: House, recorded: Recorded) -> list[Any]:
    return list(house.mlflow.get_run(recorded.run_id).inputs.dataset_inputs)


def test_reports_predictions_and_lineage_are_kept_and_no_raw_row(house: House) -> None:
    recorded = house.record(house.recipe("files"))
    folder = _artifact_folder(house, recorded.run_id)
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == {
        "check/rejected.parquet",
        "check/report.json",
        "evaluation/predictions.parquet",
        "evaluation/report.json",
        "evaluation/statistics.parquet",
        "ingest/rejected.parquet",
        "lineage.json",
        "scrub/pii.json",
        "scrub/rejected.parquet",
        "scrub/uploads.json",
        "smoke/report.json",
        "train/history.jsonl",
    }
    pii = json.loads((folder / "scrub" / "pii.json").read_text())
    assert pii["entities"] == [entity.model_dump() for entity in house.prepared.clean.entities]
    lineage = json.loads((folder / "lineage.json").read_text())
    assert set(lineage) == {"raw", "clean", "checked", "split", "base", "adapter", "evaluation"}
    assert lineage["raw"]["sources"] == [source.model_dump() for source in house.prepared.raw.sources]


def _artifact_folder(house: House, run_id: str) -> Path:
    return Path(house.mlflow.get_run(run_id).info.artifact_uri.removeprefix("file://"))


def test_the_adapter_is_logged_as_it_stands_in_the_store(house: House) -> None:
    recorded = house.record(house.recipe("as-it-stands"))
    logged = house.mlflow.get_logged_model(recorded.model_id)
    folder = Path(logged.artifact_location.removeprefix("file://"))
    for file in house.adapter.files:
        copy = folder / Path(file.path).name
        assert not copy.is_symlink()
        assert copy.read_bytes() == house.store.open(file).read_bytes()
    form = json.loads((folder / "tunegate.json").read_text())
    assert Base.model_validate(form["base"]) == house.base
    assert (form["max_new_tokens"], form["prompt"]["style"]) == (8, "plain")
    assert str(logged.status) in ("READY", "LoggedModelStatus.READY")


def test_to_record_a_run_again_leaves_one_model_and_the_same_record(house: House) -> None:
    recipe = house.recipe("recorded-twice")
    first = house.record(recipe)
    before = house.mlflow.get_run(first.run_id)
    again = house.record(recipe, "again")
    after = house.mlflow.get_run(first.run_id)
    assert (again.run_id, again.model_id) == (first.run_id, first.model_id)
    assert after.data.params == before.data.params
    assert after.data.metrics == before.data.metrics
    assert len(after.inputs.dataset_inputs) == 3 + len(house.prepared.raw.sources)
    assert len(house.mlflow.search_logged_models([before.info.experiment_id])) == 1


def test_a_recording_that_was_killed_leaves_one_finished_model(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    recipe = house.recipe("killed")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "finalize_logged_model", killed)
        with pytest.raises(KeyboardInterrupt):
            house.record(recipe)
    recorded = house.record(recipe)
    experiment = house.mlflow.get_experiment_by_name("killed").experiment_id
    ready = [
        model.model_id
        for model in house.mlflow.search_logged_models([experiment])
        if str(model.status) in ("READY", "LoggedModelStatus.READY")
    ]
    assert ready == [recorded.model_id]
    assert house.mlflow.get_run(recorded.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("new-evaluation", {"evaluation": {"task": "classification", "max_new_tokens": 16, "batch_size": 4}}),
        ("new-description", {"description": "another text"}),
        ("new-registry", {"registry": {"name": "elsewhere"}}),
        ("new-tracking", {"tracking": {"log_system_metrics": False}}),
        ("new-limit", {"pii": {"entities": {"PERSON": "replace"}, "upload_limit": 3, "task_runner": "ray"}}),
        ("new-gates", {"gates": [{"metric": "exact_match", "min": 0.1}]}),
    ],
)
def test_what_changes_without_training_anew_is_recorded_in_the_same_run(
    house: House, name: str, sections: dict[str, Any]
) -> None:
    first = house.record(house.recipe(name))
    again = house.record(house.recipe(name, **sections), "again")
    assert again.run_id == first.run_id


def test_the_evaluation_last_asked_for_stands_in_the_run(house: House) -> None:
    house.record(house.recipe("last-evaluation"))
    changed = house.recipe("last-evaluation", evaluation={"task": "classification", "batch_size": 4})
    recorded = house.record(changed, "again")
    assert house.mlflow.get_run(recorded.run_id).data.tags["evaluation.batch_size"] == "4"


def test_a_text_longer_than_mlflow_takes_is_cut_and_marked(house: House) -> None:
    prompt = {"style": "plain", "system": "x" * 7000, "user": "{{ text }}", "assistant": "{{ answer }}"}
    recorded = house.record(house.recipe("long-text", prompt=prompt, description="y" * 20_000))
    run = house.mlflow.get_run(recorded.run_id)
    assert run.data.params["prompt.system"] == "x" * 497 + "…"
    assert run.data.tags["description"] == "y" * 497 + "…"


def test_a_passed_adapter_becomes_version_1_and_the_challenger(house: House) -> None:
    recipe = house.recipe("passed")
    recorded = house.record(recipe)
    candidate = house.register(recipe, recorded, passed=True)
    assert (candidate.name, candidate.version) == ("passed-candidates", "1")
    assert candidate.model_uri == "models:/passed-candidates@challenger"
    version = house.mlflow.get_model_version_by_alias("passed-candidates", "challenger")
    assert (str(version.version), version.source) == ("1", f"models:/{recorded.model_id}")
    assert version.run_id == recorded.run_id
    assert version.tags == {
        "recipe_digest": recipe.digest(),
        "split_digest": house.prepared.split.digest,
        "adapter_sha256": house.adapter.weights.sha256,
        "recipe_origin": "outside",
        "files_sha256": house.mlflow.get_logged_model(recorded.model_id).tags["tunegate.files_sha256"],
        "evaluation_digest": house.evaluation.digest,
        "started_by": account(),
        "verdict_digest": house.verdict(passed=True).digest,
        "validation_status": "pending",
    }
    with house.store.open(candidate.note).open() as note:
        assert json.load(note) == {"name": "passed-candidates", "version": "1", **version.tags}


def test_the_run_holds_the_verdict_the_recipe_and_the_page(house: House) -> None:
    recipe = house.recipe("verdict")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=False)
    folder = _artifact_folder(house, recorded.run_id)
    assert Verdict.model_validate_json((folder / "verdict.json").read_text()) == house.verdict(passed=False)
    resolved = json.loads((folder / "recipe.resolved.json").read_text())
    assert Recipe.model_validate(resolved).digest() == recipe.digest()
    assert "/where/it/lies" not in json.dumps(resolved)
    assert (folder / "recipe.given.yaml").read_text() == "# why\nname: it\n# --set lora.r=4"
    assert (folder / "report.html").is_file()
    assert house.mlflow.get_run(recorded.run_id).data.tags["tunegate.verdict"] == "failed"


def test_the_run_holds_the_answers_and_figures_of_the_champion(house: House) -> None:
    recipe = house.recipe("beside-champion")
    recorded = house.record(recipe)
    theirs = Answers(
        predictions=house.evaluation.predictions,
        statistics=house.evaluation.statistics,
        report=house.evaluation.report,
        n_rows=house.evaluation.n_rows,
        metrics=(Metric(arm="champion", name="exact_match", value=0.25),),
    )
    champion = house.run.champion.model_copy(update={"version": "1", "answers": theirs})
    house.register(recipe, recorded, passed=True, champion=champion)
    folder = _artifact_folder(house, recorded.run_id)
    for file in (theirs.predictions, theirs.statistics, theirs.report):
        kept = folder / "champion" / Path(file.path).name
        assert kept.read_bytes() == house.store.open(file).read_bytes()
    assert house.mlflow.get_run(recorded.run_id).data.metrics["test/champion/exact_match"] == 0.25


def _submission(house: House, recorded: Recorded, folder: str = ".") -> dict[str, Any]:
    file = _artifact_folder(house, recorded.run_id) / folder / "submission.json"
    return dict(json.loads(file.read_text()))


def test_whoever_trains_and_judges_stands_beside_the_verdict_and_never_drops_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = house.recipe("submitted")
    recorded = house.record(recipe)
    for judge in ("second", "third"):
        monkeypatch.setattr("tasks.register.submission.account", lambda judge=judge: judge)
        house.register(recipe, recorded, passed=True, key=judge)
        house.mlflow.set_model_version_tag("submitted-candidates", "1", "started_by", "nobody")
        house.mlflow.set_model_version_tag("submitted-candidates", "1", "recipe_origin", "reviewed")
    everybody = sorted({account(), "nobody", "second", "third"})
    folder = verdict_folder(house.verdict(passed=True).digest, recipe.digest())
    assert _submission(house, recorded) == _submission(house, recorded, folder)
    assert _submission(house, recorded) == {"started_by": everybody, "recipe_origin": "outside"}


def test_a_registration_is_done_anew_when_what_it_says_of_whose_run_it_is_changes() -> None:
    assert submitted.__module__ in STAGES["register"].modules


def test_what_was_decided_on_keeps_whose_run_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = house.recipe("kept-submission")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=True)
    house.mlflow.set_model_version_tag("kept-submission-candidates", "1", DECISION_TAG, "approved")
    monkeypatch.setattr("tasks.register.submission.account", lambda: "later")
    house.register(recipe, recorded, passed=True, key="again")
    assert _submission(house, recorded)["started_by"] == [account()]


def test_a_candidate_that_does_not_say_whose_run_it_is_is_nobodys_to_ask_for(house: House, tmp_path: Path) -> None:
    recipe = house.recipe("nobodys")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=True)
    folder = verdict_folder(house.verdict(passed=True).digest, recipe.digest())
    file = _artifact_folder(house, recorded.run_id) / folder / "submission.json"
    file.write_text('{"started_by": ["somebody"]}')
    with pytest.raises(DigestMismatch, match=r"submission\.json cannot be read; run its recipe again"):
        submission_of(_Run(house.mlflow, recorded.run_id, tmp_path).submission(folder))
    file.unlink()
    with pytest.raises(DigestMismatch, match=r"submission\.json is missing; run its recipe again"):
        submission_of(_Run(house.mlflow, recorded.run_id, tmp_path).submission(folder))


ADDRESS = "jo@example.org"
NO_ADDRESSES = {"entities": {"EMAIL_ADDRESS": "replace"}}


def _with_address(house: House, column: str) -> Evaluation:
    """The evaluation, but that each row has an e-mail address in a column of its predictions."""
    table = pq.read_table(house.store.open(house.evaluation.predictions))
    texts = [f"{text}, write to {ADDRESS}" for text in table[column].to_pylist()]
    place = table.column_names.index(column)
    with house.store.writing("evaluate", f"address-{column}") as workspace:
        pq.write_table(table.set_column(place, column, [texts]), workspace.folder / "predictions.parquet")
        changed = house.evaluation.model_copy(
            update={"key": workspace.key, "predictions": workspace.artifact("predictions.parquet")}
        )
        return house.store.commit(workspace, changed, {})


def test_a_personal_value_in_the_predictions_stops_the_record_before_anything_is_logged(house: House) -> None:
    recipe = house.recipe("address", pii=NO_ADDRESSES)
    with pytest.raises(GateRefused, match=r"\d+ EMAIL_ADDRESS in evaluation/predictions.parquet, so nothing") as error:
        replace(house, evaluation=_with_address(house, "expected")).record(recipe)
    assert ADDRESS not in str(error.value)
    (run,) = house.mlflow.search_runs([house.mlflow.get_experiment_by_name("address").experiment_id])
    assert (run.data.params, run.data.metrics) == ({}, {})
    assert not _artifact_folder(house, run.info.run_id).exists()


def test_what_the_recipe_lets_pass_and_what_models_said_is_counted_in_the_record(house: House) -> None:
    for name, column, pii in (
        ("address-let-pass", "expected", {**NO_ADDRESSES, "upload_limit": 1000}),
        ("address-answered", "tuned", NO_ADDRESSES),
    ):
        recorded = replace(house, evaluation=_with_address(house, column)).record(house.recipe(name, pii=pii))
        seen = json.loads((_artifact_folder(house, recorded.run_id) / "scrub" / "uploads.json").read_text())
        found = seen["evaluation/predictions.parquet"]
        assert bool(found["proven"]) == (column == "expected")
        assert bool(found["in_answers"]) == (column == "tuned")
        assert seen["recipe"]["seen"] == {}


def test_a_personal_value_on_the_page_stops_the_registration_before_anything_is_logged(house: House) -> None:
    recipe = house.recipe("address-page", pii=NO_ADDRESSES)
    recorded = house.record(recipe)
    before = sorted(_artifact_folder(house, recorded.run_id).rglob("*"))
    shown = replace(house, run=replace(house.run, evaluation=_with_address(house, "prompt")))
    with pytest.raises(GateRefused, match=r"\d+ EMAIL_ADDRESS in report.html, so nothing is uploaded"):
        shown.register(recipe, recorded, passed=True)
    assert sorted(_artifact_folder(house, recorded.run_id).rglob("*")) == before
    assert house.mlflow.search_registered_models("name = 'address-page-candidates'") == []


def test_an_adapter_has_one_version_however_often_its_gates_are_edited(house: House) -> None:
    recipe = house.recipe("edited")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=True)
    edited = house.recipe("edited", gates=[{"metric": "exact_match", "min": 0.7}])
    candidate = house.register(edited, recorded, passed=True, key="again")
    assert candidate.version == "1"
    assert len(house.mlflow.search_model_versions("name = 'edited-candidates'")) == 1
    version = house.mlflow.get_model_version("edited-candidates", "1")
    assert version.tags["recipe_digest"] == edited.digest()


def test_a_challenger_that_is_refused_later_stops_being_it(house: House) -> None:
    recipe = house.recipe("refused-later")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=True)
    candidate = house.register(recipe, recorded, passed=False, key="again")
    assert (candidate.version, candidate.model_uri) == ("1", f"models:/{recorded.model_id}")
    assert house.mlflow.get_registered_model("refused-later-candidates").aliases == {}
    version = house.mlflow.get_model_version("refused-later-candidates", "1")
    assert version.tags["validation_status"] == "rejected"
    assert house.register(recipe, recorded, passed=True, key="third").version == "1"
    assert house.mlflow.get_model_version("refused-later-candidates", "1").tags["validation_status"] == "pending"
    assert house.mlflow.get_registered_model("refused-later-candidates").aliases == {"challenger": 1}


def test_a_refusal_does_not_take_the_alias_from_another_adapter(house: House) -> None:
    recipe = house.recipe("two-adapters")
    recorded = house.record(recipe)
    house.register(recipe, recorded, passed=True)
    other_model = house.record(house.recipe("the-other-adapter"))
    other = house.mlflow.create_model_version("two-adapters-candidates", f"models:/{other_model.model_id}")
    house.mlflow.set_registered_model_alias("two-adapters-candidates", "challenger", other.version)
    house.register(recipe, recorded, passed=False, key="again")
    aliases = house.mlflow.get_registered_model("two-adapters-candidates").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"challenger": str(other.version)}


def test_an_adapter_that_was_refused_at_once_gets_a_version_and_challenges_nobody(house: House) -> None:
    recipe = house.recipe("refused-first")
    recorded = house.record(recipe)
    candidate = house.register(recipe, recorded, passed=False)
    assert (candidate.version, candidate.is_challenger) == ("1", False)
    assert candidate.model_uri == f"models:/{recorded.model_id}"
    assert house.mlflow.get_model_version("refused-first-candidates", "1").tags["validation_status"] == "rejected"
    assert house.mlflow.get_registered_model("refused-first-candidates").aliases == {}


def test_the_production_model_is_never_touched(house: House) -> None:
    recipe = house.recipe("production", registry={"name": "tickets"})
    house.register(recipe, house.record(recipe), passed=True)
    names = {model.name for model in house.mlflow.search_registered_models()}
    assert "tickets-candidates" in names
    assert not [name for name in names if not name.endswith("-candidates")]


@pytest.fixture(scope="module")
def challenger(house: House) -> tuple[Candidate, Recorded]:
    recipe = house.recipe("answers")
    recorded = house.record(recipe)
    return house.register(recipe, recorded, passed=True), recorded


@pytest.fixture(scope="module")
def answerer(house: House, challenger: tuple[Candidate, Recorded]) -> Answerer:
    return load_answerer(challenger[0].model_uri, house.settings)


def test_the_challenger_answers_as_it_was_trained(house: House, answerer: Answerer) -> None:
    rows = list(read_rows([house.store.open(house.prepared.split.test.rows)]))
    asked = [row["messages"][0]["content"] for row in rows]
    answers = [answerer.answer({"text": text}) for text in asked]
    right = sum(answer == row["messages"][1]["content"] for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.9
    assert answerer.answer({"text": asked[0]}) == answers[0]


@pytest.mark.parametrize("uri", ["models:/answers-candidates/1", "the logged model"])
def test_a_version_and_a_logged_model_are_loaded_too(
    uri: str, house: House, challenger: tuple[Candidate, Recorded], answerer: Answerer
) -> None:
    named = f"models:/{challenger[1].model_id}" if uri == "the logged model" else uri
    row = {"text": "the line is down, ticket 5"}
    assert load_answerer(named, house.settings).answer(row) == answerer.answer(row) == "outage"


@pytest.mark.parametrize("uri", ["models:/answers-candidates@champion", "models:/nothing/1", "models:/m-0", "nonsense"])
def test_a_name_that_the_registry_does_not_know_is_one_clear_line(
    uri: str, house: House, challenger: tuple[Candidate, Recorded]
) -> None:
    with pytest.raises(ModelError, match=f"^{uri}: ") as refused:
        load_answerer(uri, house.settings)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.slow  # a new process imports everything anew
def test_a_new_process_gives_the_tuned_answer_and_nothing_else(
    house: House, challenger: tuple[Candidate, Recorded]
) -> None:
    done = _in_a_process(house, challenger[0].model_uri, "please close my account, ticket 9")
    assert (done.returncode, done.stdout) == (0, "closing\n"), done.stderr
    unknown = _in_a_process(house, "models:/answers-candidates@champion", "please close my account")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.splitlines()[-1].startswith("error: models:/answers-candidates@champion: no model")
    assert "Traceback" not in unknown.stderr


def test_a_process_without_a_question_tells_how_it_is_used(capsys: pytest.CaptureFixture[str], house: House) -> None:
    assert main(["models:/answers-candidates@challenger"]) == 3
    assert capsys.readouterr().err == "usage: python -m tasks.register.load models:/NAME@ALIAS QUESTION\n"


def _in_a_process(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.register.load", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "tokenizer.json", "tunegate.json"])
def test_a_file_that_was_changed_after_registration_is_refused(name: str, house: House) -> None:
    model = f"tampered-{name.partition('.')[0].replace('_', '-')}"
    recipe = house.recipe(model)
    recorded = house.record(recipe)
    candidate = house.register(recipe, recorded, passed=True)
    file = _registered(house, recorded) / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for uri in (candidate.model_uri, f"models:/{model}-candidates/1", f"models:/{recorded.model_id}"):
        with pytest.raises(DigestMismatch, match="its files are not those that were registered"):
            load_answerer(uri, house.settings)


def test_weights_that_are_gone_are_refused(house: House) -> None:
    recipe = house.recipe("gone")
    recorded = house.record(recipe)
    (_registered(house, recorded) / "adapter_model.safetensors").unlink()
    with pytest.raises(DigestMismatch, match="its files are not those that were registered"):
        load_answerer(f"models:/{recorded.model_id}", house.settings)


def _registered(house: House, recorded: Recorded) -> Path:
    return Path(house.mlflow.get_logged_model(recorded.model_id).artifact_location.removeprefix("file://"))


def test_a_base_that_is_not_in_the_store_is_refused_by_its_name(
    house: House, challenger: tuple[Candidate, Recorded], tmp_path: Path
) -> None:
    elsewhere = Settings(**{**vars(house.settings), "store": str(tmp_path / "empty")})
    with pytest.raises(ModelError, match=r"its base tiny is not in the store .*/empty; run its recipe again"):
        load_answerer(challenger[0].model_uri, elsewhere)


def test_a_template_may_name_columns_that_are_no_identifiers() -> None:
    prompt = Prompt(user='{{ row["Ticket text"] }} {{ product }}', assistant="{{ answer }}")
    answerer = Answerer(None, None, prompt, QUANTIZATION, 8)
    assert answerer.columns() == {"product"}
    assert answerer._render(prompt.user or "", {"Ticket text": "No signal", "product": "tv"}) == "No signal tv"
    with pytest.raises(RecipeError, match="other columns than product"):
        answerer._render(prompt.user or "", {"product": "tv"})


def test_no_pickle_is_among_the_artifacts(house: House, challenger: tuple[Candidate, Recorded]) -> None:
    files = house.artifacts()
    assert {file.suffix for file in files} <= {
        ".json",
        ".jsonl",
        ".yaml",
        ".html",
        ".parquet",
        ".safetensors",
        ".jinja",
    }
    # a pickle of protocol 2 and above begins with 0x80, and one of torch is a zip archive
    assert [file.name for file in files if file.read_bytes()[:1] == b"\x80" or file.read_bytes()[:2] == b"PK"] == []
