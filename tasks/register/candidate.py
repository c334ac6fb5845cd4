"""Attach the verdict to the run and, where it passed, register the adapter as the challenger.

Never touches the production model: only a promotion may.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from conf.schema import Recipe, candidates_of
from conf.settings import Settings
from tasks.artifacts import Workspace
from tasks.people.results import People
from tasks.register.record import FILES_TAG, LINEAGE, SEEN
from tasks.register.runs import client
from tasks.register.submission import STARTED_TAG, SUBMISSION, submitted
from tasks.results import Adapter, Candidate, ChampionEvaluation, Evaluation, Recorded, Report, Split, Verdict
from tasks.scrub.uploads import answers_in, look_over, texts_in, texts_of, texts_of_recipe

CHALLENGER = "challenger"
VERDICT_TAG = "tunegate.verdict_digest"  # of the gates that judged last
DECISION_TAG = "tunegate.decision"  # on a version that people have decided on: no stage touches it any more


class Judged(NamedTuple):
    """What was found of an adapter: its answers and the champion's, what people and gates say, and the page of it."""

    evaluation: Evaluation
    champion: ChampionEvaluation
    people: People
    verdict: Verdict
    page: Report


def register_candidate(
    recipe: Recipe,
    split: Split,
    adapter: Adapter,
    judged: Judged,
    recorded: Recorded,
    *,
    settings: Settings,
    workspace: Workspace,
) -> Candidate:
    """Register the adapter under `<name>-candidates`; one version an adapter, however often its gates are edited.

    A refused adapter is never the challenger, also where an earlier verdict had made it one: it can be asked for by its
    version only, as an override. A version that people have decided on stays as it is, whatever is judged later.

    Raises:
        GateRefused: personal values stand in what would be logged; nothing was.
    """
    import mlflow

    registry, evaluation, verdict = client(settings), judged.evaluation, judged.verdict
    champion_files = _champion_files(judged, workspace)
    seen = _looked_over(recipe, judged, champion_files, workspace)
    name = candidates_of(recipe.registered_name)
    known = _version_of(registry, name, recorded.model_id)
    before = registry.get_model_version(name, known).tags if known else {}
    started = filter(None, before.get(STARTED_TAG, "").split(","))
    submission = submitted(registry, recorded.run_id, started, origin(recipe, settings))
    with mlflow.start_run(run_id=recorded.run_id):
        for folder in (".", verdict_folder(verdict.digest, recipe.digest())):  # the last, and each for good
            mlflow.log_dict(verdict.model_dump(mode="json"), f"{folder}/verdict.json")
            mlflow.log_dict(recipe.resolved(), f"{folder}/recipe.resolved.json")
            if DECISION_TAG not in before:  # else it is part of what was decided on
                mlflow.log_dict(submission.model_dump(mode="json"), f"{folder}/{SUBMISSION}")
        lineage = mlflow.artifacts.load_dict(f"runs:/{recorded.run_id}/{LINEAGE}")
        beside = {"champion": judged.champion, "people": judged.people}  # they change when nothing was trained anew
        lineage |= {name: result.model_dump(mode="json") for name, result in beside.items()}
        mlflow.log_dict(lineage, f"{folder}/{LINEAGE}")
        mlflow.log_artifact(str(workspace.open(verdict.comparison)))
        for metric in judged.champion.answers.metrics if judged.champion.answers else ():
            mlflow.log_metric(f"test/{metric.arm}/{metric.name}", metric.value)
        for file in champion_files:
            mlflow.log_artifact(str(file), "champion")
        mlflow.log_text(_as_given(recipe), "recipe.given.yaml")
        mlflow.log_artifact(str(workspace.open(judged.page.page)))
        mlflow.log_dict(seen, f"{folder}/{SEEN}")
        mlflow.set_tags({"tunegate.verdict": verdict.state, VERDICT_TAG: verdict.digest})
    tags = {
        "recipe_digest": recipe.digest(),
        "split_digest": split.digest,
        "adapter_sha256": adapter.weights.sha256,
        "files_sha256": registry.get_logged_model(recorded.model_id).tags[FILES_TAG],
        "evaluation_digest": evaluation.digest,
        "verdict_digest": verdict.digest,
        "recipe_origin": submission.recipe_origin,
        STARTED_TAG: ",".join(submission.started_by),
        "validation_status": "pending" if verdict.passed else "rejected",
    }
    version = known or _new_version(registry, name, recorded)
    decided = DECISION_TAG in registry.get_model_version(name, version).tags
    for tag, value in ({} if decided else tags).items():
        registry.set_model_version_tag(name, version, tag, value)
    challenges = verdict.passed and not decided
    if challenges:
        registry.set_registered_model_alias(name, CHALLENGER, version)
    elif not verdict.passed and _challenger(registry, name) == version:
        registry.delete_registered_model_alias(name, CHALLENGER)
    (workspace.folder / "candidate.json").write_text(json.dumps({"name": name, "version": version, **tags}))
    return Candidate(
        key=workspace.key,
        parents=(adapter.digest, evaluation.digest, verdict.digest),
        note=workspace.artifact("candidate.json"),
        name=name,
        version=version,
        is_challenger=challenges,
        model_uri=_alias_uri(name) if challenges else _source(recorded.model_id),
        run_id=recorded.run_id,
    )


def origin(recipe: Recipe, settings: Settings) -> Literal["reviewed", "outside"]:
    """`reviewed` or `outside`: whether the recipe was read from conf/recipes, as its relative data paths were."""
    return "reviewed" if recipe.given.folder == str(settings.conf / "recipes") else "outside"


def verdict_folder(verdict: str, recipe: str) -> str:
    """Where a run keeps what these gates said under this recipe; gates judged later have a folder of their own."""
    return f"verdicts/{verdict[:16]}-{recipe[:16]}"


def _champion_files(judged: Judged, workspace: Workspace) -> list[Path]:
    """What the champion answered to the same rows, and its figures; the candidate's are in the record already."""
    answers = judged.champion.answers
    return (
        [workspace.open(file) for file in (answers.predictions, answers.statistics, answers.report)] if answers else []
    )


def _looked_over(recipe: Recipe, judged: Judged, champion_files: list[Path], workspace: Workspace) -> dict[str, Any]:
    """What a second look sees in what the verdict adds to the run."""
    files = [workspace.open(file) for file in (judged.page.page, judged.verdict.comparison)]
    results = {"verdict": judged.verdict, "champion": judged.champion, "people": judged.people}
    answered = [answers for answers in (judged.evaluation, judged.champion.answers) if answers]
    return look_over(
        {
            "recipe": texts_of_recipe(recipe),
            **{name: texts_in(result.model_dump(mode="json")) for name, result in results.items()},
            **{file.name: texts_of(file) for file in files},
            **{f"champion/{file.name}": texts_of(file) for file in champion_files},
        },
        recipe.pii,
        {text for answers in answered for text in answers_in(workspace.open(answers.predictions))},
    )


def _as_given(recipe: Recipe) -> str:
    """The recipe's file as it stood, and after it the overrides as comments."""
    given = recipe.given
    return "".join([given.text, *(f"\n# --set {override}" for override in given.overrides)])


def still_challenger(candidate: Candidate, settings: Settings) -> bool:
    """Whether MLflow still says what this candidate's stage left there: a run with other gates may have changed it."""
    from mlflow.exceptions import MlflowException

    registry = client(settings)
    try:
        if registry.get_run(candidate.run_id).data.tags.get(VERDICT_TAG) not in candidate.parents:
            return False
        return not candidate.is_challenger or _challenger(registry, candidate.name) == candidate.version
    except MlflowException:
        return False  # the registry was emptied, or is another one


def _alias_uri(name: str) -> str:
    return f"models:/{name}@{CHALLENGER}"


def _version_of(registry: Any, name: str, model_id: str) -> str | None:
    found = [v for v in registry.search_model_versions(f"name = '{name}'") if v.source == _source(model_id)]
    return str(found[0].version) if found else None


def _challenger(registry: Any, name: str) -> str | None:
    return {str(k): str(v) for k, v in registry.get_registered_model(name).aliases.items()}.get(CHALLENGER)


def _new_version(registry: Any, name: str, recorded: Recorded) -> str:
    from mlflow.exceptions import MlflowException

    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = registry.create_model_version(
        name, _source(recorded.model_id), run_id=recorded.run_id, model_id=recorded.model_id
    )
    return str(version.version)


def _source(model_id: str) -> str:
    # what a version keeps of its model on every kind of store; its field model_id comes back empty from a database
    return f"models:/{model_id}"
