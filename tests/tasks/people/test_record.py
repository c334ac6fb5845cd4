"""Scores in a real MLflow store: traces and assessments, found by the model's name and written once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from conf.settings import PROJECT, Settings, environment
from tasks.artifacts import Store
from tasks.errors import ModelError, TunegateError
from tasks.people import record
from tasks.people.candidate import evaluated, version_of
from tasks.people.collect import add_scorecard
from tasks.people.record import record_scorecard
from tasks.people.results import Card, Sheet
from tasks.people.sheet import answers, make_sheet
from tasks.register.candidate import CHALLENGER, verdict_folder
from tasks.register.record import LINEAGE
from tasks.register.runs import client
from tasks.results import Evaluation
from tests.builders import make_split
from tests.flows.platform import free_port
from tests.tasks.people.made import make_evaluation, marks, the_champion
from tests.waiting import wait_for

pytestmark = [
    # mlflow 3.17 builds its tables with what SQLAlchemy 2.1 means to drop
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
    # and imports, with its first span, a module of its own that it warns of
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


@dataclass(frozen=True)
class House:
    """An MLflow store on SQLite that holds registered candidates."""

    settings: Settings
    store: Store

    @property
    def mlflow(self) -> Any:
        return client(self.settings)

    def register(self, model: str, evaluation: Evaluation) -> str:
        """A version as the register stage leaves it: tags, and the lineage in its run."""
        experiment = self.mlflow.get_experiment_by_name(model)
        place = (self.settings.home / "mlartifacts").as_uri()
        experiment_id = experiment.experiment_id if experiment else self.mlflow.create_experiment(model, place)
        run = self.mlflow.create_run(experiment_id).info.run_id
        split = make_split(self.store) if not (self.settings.home / "store" / "split").exists() else None
        lineage = {
            "evaluation": evaluation.model_dump(mode="json"),
            "split": (split or self._split()).model_dump(mode="json"),
            "champion": {"key": "n", "name": model, "version": None, "adapter_sha256": None, "answers": None},
        }
        self.mlflow.log_dict(run, lineage, f"{verdict_folder('verdict', 'recipe')}/{LINEAGE}")
        name = f"{model}-candidates"
        if not experiment:
            self.mlflow.create_registered_model(name)
        tags = {"verdict_digest": "verdict", "recipe_digest": "recipe", "evaluation_digest": evaluation.digest}
        made = self.mlflow.create_model_version(name, f"runs:/{run}/adapter", run, tags=tags)
        return str(made.version)

    def _split(self) -> Any:
        from tasks.results import Split

        found = self.store.find("split", "split", Split)
        assert found is not None
        return found

    def traces(self, model: str) -> list[Any]:
        experiment = self.mlflow.get_experiment_by_name(model).experiment_id
        return list(self.mlflow.search_traces(locations=[experiment], max_results=500))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests, since to create the database costs seconds; each test has a model of its own."""
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
        yield House(settings, Store.of(settings))
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def cards_of(sheet: Sheet, score: int, notes: str = "", preferred: str | None = None) -> tuple[Card, ...]:
    return tuple(
        Card.model_validate(
            {
                "row": row,
                "tuned": marks(score).model_copy(update={"notes": notes}),
                "against": marks(3),
                "preferred": preferred,
            }
        )
        for row in sheet.rows
    )


def add(house: House, sheet: Sheet, reviewer: str, cards: tuple[Card, ...]) -> tuple[str, ...]:
    kept = add_scorecard(sheet, reviewer, cards, house.store, "login")
    _, traces = record_scorecard(kept, answers(sheet, house.store), house.settings)
    return traces


def said(trace: Any, reviewer: str) -> dict[str, Any]:
    return {a.name: a.value for a in trace.info.assessments if a.source.source_id == reviewer and a.valid}


def test_the_challenger_is_meant_or_without_one_the_newest_or_the_version_that_is_named(house: House) -> None:
    old, new = (make_evaluation(house.store, 5, key=f"which-{age}") for age in ("old", "new"))
    assert [house.register("which", old), house.register("which", new)] == ["1", "2"]
    found, evaluation, _ = evaluated("which", None, house.settings)
    assert (found.model, found.version, evaluation) == ("which", "2", new)
    assert evaluated("which-candidates", "1", house.settings)[1] == old
    house.mlflow.set_registered_model_alias("which-candidates", CHALLENGER, "1")
    assert evaluated("which", None, house.settings)[1] == old
    assert version_of(new.digest, house.settings) == found


def test_a_model_a_version_or_an_evaluation_that_mlflow_does_not_know_is_one_clear_line(house: House) -> None:
    with pytest.raises(ModelError, match=r"^nowhere: MLflow has no candidate of it; run its recipe first$"):
        evaluated("nowhere", None, house.settings)
    with pytest.raises(ModelError, match="MLflow has no version 7"):
        evaluated("nowhere", "7", house.settings)
    with pytest.raises(ModelError, match="no candidate of the evaluation 000000000000"):
        version_of("0" * 64, house.settings)


def test_every_answer_is_a_trace_of_the_run_with_the_scores_under_the_reviewers_name(house: House) -> None:
    evaluation = make_evaluation(house.store, 8, key="scores")
    house.register("scores", evaluation)
    sheet = make_sheet(evaluation, 3, None, house.store)
    ids = add(house, sheet, "ada", cards_of(sheet, 5, "short and right", "tuned"))
    traces = house.traces("scores")
    assert sorted(trace.info.trace_id for trace in traces) == sorted(ids)
    assert Counter(trace.info.tags["tunegate.arm"] for trace in traces) == {"tuned": 3, "base": 3}
    run_id = version_of(evaluation.digest, house.settings).run_id
    for trace in traces:
        tuned = trace.info.tags["tunegate.arm"] == "tuned"
        (span,) = trace.data.spans
        assert ("second arm" if tuned else "first arm") in span.outputs
        assert set(span.inputs) == {"prompt"}
        assert trace.info.trace_metadata["mlflow.sourceRun"] == trace.info.tags["tunegate.run"] == run_id
        assert trace.info.tags["tunegate.model"] == "scores-candidates/1"
        scale = 5 if tuned else 3
        scores = dict.fromkeys(("relevance", "factual_accuracy", "brand_voice", "safety"), scale)
        notes = {"notes": "short and right"} if tuned else {}
        assert said(trace, "ada") == {**scores, **notes, "preferred": tuned}
        assert {a.source.source_type for a in trace.info.assessments} == {"HUMAN"}


def test_to_record_again_adds_nothing_and_a_second_reviewer_adds_to_the_same_traces(house: House) -> None:
    evaluation = make_evaluation(house.store, 8, key="again")
    house.register("again", evaluation)
    sheet = make_sheet(evaluation, 2, None, house.store)
    ids = add(house, sheet, "ada", cards_of(sheet, 5, "good"))
    assert add(house, sheet, "ada", cards_of(sheet, 5, "good")) == ids
    assert set(add(house, sheet, "ben", cards_of(sheet, 4))) == set(ids)
    traces = house.traces("again")
    assert len(traces) == 4
    for trace in traces:
        assert len(trace.info.assessments) == 4 + 4 + (trace.info.tags["tunegate.arm"] == "tuned")
        assert set(said(trace, "ben")) == {"relevance", "factual_accuracy", "brand_voice", "safety"}


def test_a_recording_that_was_killed_goes_on_where_it_stopped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    evaluation = make_evaluation(house.store, 8, key="killed")
    house.register("killed", evaluation)
    sheet = make_sheet(evaluation, 2, None, house.store)
    log, calls = mlflow.log_assessment, iter(range(7))

    def until_killed(*given: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return log(*given)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_assessment", until_killed)
        with pytest.raises(KeyboardInterrupt):
            add(house, sheet, "ada", cards_of(sheet, 5))
    assert sum(len(trace.info.assessments) for trace in house.traces("killed")) == 7
    add(house, sheet, "ada", cards_of(sheet, 5))
    assert [len(trace.info.assessments) for trace in house.traces("killed")] == [4, 4, 4, 4]


def test_traces_are_found_again_however_many_pages_they_fill(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PAGE", 3)
    evaluation = make_evaluation(house.store, 8, key="pages")
    house.register("pages", evaluation)
    sheet = make_sheet(evaluation, 4, None, house.store)
    assert add(house, sheet, "ada", cards_of(sheet, 5)) == add(house, sheet, "ada", cards_of(sheet, 5))
    assert len(house.traces("pages")) == 8


@pytest.mark.slow
def test_a_server_takes_them_as_the_database_does(house: House) -> None:
    evaluation = make_evaluation(house.store, 8, key="server")
    house.register("server", evaluation)
    sheet = make_sheet(evaluation, 2, None, house.store)
    kept = add_scorecard(sheet, "ada", cards_of(sheet, 5, "good", "tuned"), house.store, "login")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", house.settings.tracking_uri,
         "--port", str(port), "--workers", "1"],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers_at(f"{url}/health"))
        through = replace(house.settings, tracking_uri=url)
        first, again = (record_scorecard(kept, answers(sheet, house.store), through) for _ in range(2))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert first == again
    traces = house.traces("server")
    assert sorted(trace.info.trace_id for trace in traces) == sorted(first[1])
    assert sorted(len(trace.info.assessments) for trace in traces) == [5, 5, 6, 6]


def answers_at(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_while_mlflow_is_away_the_scores_are_kept_and_the_line_says_what_to_do(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = make_evaluation(house.store, 8, key="away")
    house.register("away", evaluation)
    sheet = make_sheet(evaluation, 1, None, house.store)
    kept = add_scorecard(sheet, "ada", cards_of(sheet, 5), house.store, "login")
    away = replace(house.settings, tracking_uri=f"http://127.0.0.1:{free_port()}")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(TunegateError, match=r"^MLflow is away; the scores are kept, and the same command logs"):
            record_scorecard(kept, answers(sheet, house.store), away)
    assert len(add(house, sheet, "ada", cards_of(sheet, 5))) == 2


def test_an_earlier_score_stays_marked_as_overridden(house: House) -> None:
    evaluation = make_evaluation(house.store, 8, key="changed")
    house.register("changed", evaluation)
    sheet = make_sheet(evaluation, 1, None, house.store)
    add(house, sheet, "ada", cards_of(sheet, 5, "good", "tuned"))
    add(house, sheet, "ada", cards_of(sheet, 2))
    (tuned,) = [trace for trace in house.traces("changed") if trace.info.tags["tunegate.arm"] == "tuned"]
    scores = dict.fromkeys(("relevance", "factual_accuracy", "brand_voice", "safety"), 2)
    assert said(tuned, "ada") == {**scores, "notes": "withdrawn", "preferred": "withdrawn"}
    assert Counter(a.valid for a in tuned.info.assessments) == {True: 6, False: 6}
    before = len(tuned.info.assessments)
    add(house, sheet, "ada", cards_of(sheet, 2))
    (tuned,) = [trace for trace in house.traces("changed") if trace.info.tags["tunegate.arm"] == "tuned"]
    assert len(tuned.info.assessments) == before


def test_two_sheets_of_one_evaluation_share_the_tuned_traces_and_not_their_scores(house: House) -> None:
    evaluation = make_evaluation(house.store, 8, champion=True, key="two-sheets")
    house.register("two-sheets", evaluation)
    for opponent, score in (("base", 5), ("champion", 4)):
        sheet = make_sheet(evaluation, 1, opponent, house.store, the_champion(evaluation))  # type: ignore[arg-type]  # both are opponents
        add(house, sheet, "ada", cards_of(sheet, score))
    traces = house.traces("two-sheets")
    assert sorted(trace.info.tags["tunegate.arm"] for trace in traces) == ["base", "champion", "tuned"]
    (tuned,) = [trace for trace in traces if trace.info.tags["tunegate.arm"] == "tuned"]
    assert sorted(a.value for a in tuned.info.assessments if a.name == "safety" and a.valid) == [4, 5]
