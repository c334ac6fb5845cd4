"""Which evaluation a model's name means, and which MLflow run it belongs to. Never changes either."""

from __future__ import annotations

from typing import Any

from conf.schema import are_candidates, candidates_of, model_of
from conf.settings import Settings
from tasks.errors import ModelError
from tasks.promote.evidence import lineage_of
from tasks.promote.registry import alias
from tasks.register.candidate import CHALLENGER
from tasks.register.runs import client
from tasks.results import ChampionEvaluation, Evaluation, Frozen


class Version(Frozen):
    """A registered candidate and the run that holds its record."""

    model: str
    version: str
    run_id: str
    experiment_id: str


def evaluated(model: str, version: str | None, settings: Settings) -> tuple[Version, Evaluation, ChampionEvaluation]:
    """A candidate's version, its evaluation, and that of the champion it was judged beside.

    Args:
        model: its name, with or without `-candidates`.
        version: of the candidates; None for the challenger, or the newest where there is none: a gate that asks for
            people's scores keeps a candidate from being the challenger until people have scored.

    Raises:
        ModelError: there is no such version.
        DigestMismatch: its record cannot be read.
    """
    name = candidates_of(model_of(model))
    registry = client(settings)
    wanted = version or alias(registry, name, CHALLENGER) or _newest(registry, name)
    if wanted is None:
        raise ModelError(f"{model}: MLflow has no candidate of it; run its recipe first")
    lineage = lineage_of(name, wanted, settings)  # raises where there is no such version
    evaluation = Evaluation.model_validate(lineage["evaluation"])
    champion = ChampionEvaluation.model_validate(lineage["champion"])
    return _version(registry, registry.get_model_version(name, wanted)), evaluation, champion


def version_of(evaluation: str, settings: Settings) -> Version:
    """The candidate that was evaluated so, by the evaluation's digest.

    Raises:
        ModelError: MLflow has none; it was emptied, or is another one.
    """
    registry = client(settings)
    found = [
        entry
        for entry in registry.search_model_versions(f"tags.evaluation_digest = '{evaluation}'")
        if are_candidates(entry.name)
    ]
    if not found:
        raise ModelError(f"MLflow has no candidate of the evaluation {evaluation[:12]}; was it emptied since?")
    return _version(registry, max(found, key=lambda entry: int(entry.version)))


def _newest(registry: Any, name: str) -> str | None:
    versions = [int(entry.version) for entry in registry.search_model_versions(f"name = '{name}'")]
    return str(max(versions)) if versions else None


def _version(registry: Any, entry: Any) -> Version:
    return Version(
        model=model_of(entry.name),
        version=str(entry.version),
        run_id=str(entry.run_id),
        experiment_id=str(registry.get_run(entry.run_id).info.experiment_id),
    )
